"""The assigners under test: what `conformance/capabilities.py` declares of each, under more knobs than it names.

A registered assigner is here by its declaration; an entry adds knobs that make more of its rule matter.
"""

from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np

from assigncore import ProbIoU, RotatedIoU, build_assigner
from assigncore.assigners import yolov6, yolov8, yolov8_obb
from assigncore.conformance import CAPABILITIES, TARGETS, available_targets
from assigncore.conformance.capabilities import Priors, Rounding
from assigncore.conformance.laws.bench import Bench
from assigncore.conformance.scenes.recipes import Recipe
from assigncore.conformance.scenes.scene import BOXES

from .calculators import CLOSENESS, HALF, IN_HALF, ROTATED, Closeness

OVERLAPS_IN_HALF = {"iou_calculator": HALF}
CLOSE = {"iou_calculator": Closeness()}
TURNED = {"iou_calculator": RotatedIoU()}
SIGMAS = (0.05, 0.5, 2.0)
"""Of the keypoints: what is near, at hand and anywhere."""

LARGE_MAPS = {"featmap_sizes": ((8192, 8192),) * 3, "anchor_strides": (1, 2, 4), "anchor_scale": 4}
"""Of `RegionAssigner`: the scenes' boxes are anywhere, so that its maps are to cover them all."""


class WithClasses(Recipe):
    """A recipe whose labels are masks: of the scene's class, and of the next one for every second object."""

    def arrays(self, scene):
        """Give the array arguments."""
        given = super().arrays(scene)
        labels, n_classes = given["gt_labels"], given["pred_scores"].shape[-1]
        masks = labels[:, None] == np.arange(n_classes)
        more = (labels[:, None] + 1) % n_classes == np.arange(n_classes)
        return {**given, "gt_labels": masks | (more & (labels % 2 == 0)[:, None])}


class OnLargeMaps(Recipe):
    """A recipe whose feature maps do not end where the scene's priors do."""

    def statics(self, scene):
        """Give the arguments that are no arrays."""
        return {**super().statics(scene), **LARGE_MAPS, "image_shape": (80, 60), "allowed_border": -1}


class OfOrientedBoxes(Recipe):
    """A recipe that turns every box of a scene by an angle that its own numbers decide."""

    def arrays(self, scene):
        """Give the array arguments."""
        of_points = self.capabilities.priors is not Priors.BOXES
        given = super().arrays(scene)
        boxes = [name for name in given if name in BOXES and not (of_points and name == "priors")]
        return {**given, **{name: oriented(given[name]) for name in boxes}}


class OfPoses(Recipe):
    """A recipe that gives every ground truth and prediction three keypoints, which its own box decides."""

    def arrays(self, scene):
        """Give the array arguments."""
        given = super().arrays(scene)
        boxes = given["gt_bboxes"]
        # Of a broken box no keypoint is known to be visible, and whether it counts is decided by its numbers.
        with np.errstate(invalid="ignore"):
            shown = np.nan_to_num(np.fmod(np.abs(boxes[..., :3]), 3), nan=2.0, posinf=2.0)
        visible = np.floor(shown).astype(boxes.dtype)[..., None]
        return {
            **given,
            "gt_keypoints": np.concatenate([keypoints(boxes), visible], axis=-1),
            "pred_keypoints": keypoints(given["pred_bboxes"]),
        }


def keypoints(boxes):
    """Give two corners and the centre of boxes, (..., 3, 2)."""
    with np.errstate(invalid="ignore"):
        center = (boxes[..., :2] + boxes[..., 2:]) / 2
    return np.stack([boxes[..., :2], boxes[..., 2:], center], axis=-2)


def oriented(boxes):
    """Turn boxes x1, y1, x2, y2 into oriented ones; of a broken box the angle may be broken too."""
    with np.errstate(invalid="ignore"):
        center, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
        angle = np.fmod(boxes.sum(axis=-1, keepdims=True), 7) - 3
    return np.concatenate([center, sides, angle], axis=-1)


@dataclass(frozen=True, eq=False)
class Subject:
    """One assigner with its knobs, by the name of the test's parameter."""

    name: str
    recipe: Recipe

    def __str__(self):
        """Name the parameter."""
        return self.name

    @property
    def tied(self):
        """Whether it keeps to the laws where values tie; else it is held to them where they are apart."""
        return self.recipe.capabilities.rounding is not Rounding.TIES

    def arguments(self, scene):
        """Give the array arguments for a scene, in float32."""
        return {
            name: x.astype("float32") if x.dtype.kind == "f" else x
            for name, x in self.recipe.arrays(scene).items()
        }


def subject(name, assigner, *, like=Recipe, **declared):
    """Make a subject of an assigner, or of its type and knobs; `declared` is what these knobs change."""
    if isinstance(assigner, dict):
        assigner = build_assigner(assigner)
    kind = type(assigner).__name__
    promise = replace(CAPABILITIES[kind], **declared)
    if getattr(assigner, "iou_calculator", None) == Closeness():
        promise = replace(promise, rule=partial(promise.rule, **CLOSENESS))
    return Subject(name, like(kind, assigner, promise))


def _kind(kind, **common):
    def of_kind(name, knobs=(), **declared):
        return subject(name, {"type": kind, **dict(knobs)}, **{**common, **declared})

    return of_kind


_max_iou = _kind("MaxIoUAssigner")
_atss = _kind("ATSSAssigner")
_center_region = _kind("CenterRegionAssigner")
_hungarian = _kind("HungarianAssigner")
_soft_label = _kind("DynamicSoftLabelAssigner")
_region = _kind("RegionAssigner", like=OnLargeMaps)
_COSTS = CAPABILITIES["HungarianAssigner"].knobs["match_costs"]
_ROTATED_COSTS = (
    {"type": "FocalLossCost", "weight": 2.0},
    {"type": "BBoxL1Cost", "box_format": "xywhr", "weight": 5.0},
    {"type": "OverlapCost", "iou_calculator": {"type": "RotatedIoU"}, "weight": 2.0},
)
_RANGES = CAPABILITIES["FCOSAssigner"].knobs
TWO = {"min_positives": 2}
_MATCHED = {"match_costs": _COSTS, "nonfinite": "forbid"}


_ROTATED = {"like": OfOrientedBoxes, "rounding": Rounding.NUMBERS}


def _knobs(**knobs):
    return knobs


BY_RULE = (
    _max_iou("max_iou", _knobs(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3)),
    _max_iou("max_iou-first", _knobs(pos_iou_thr=0.5, neg_iou_thr=(0.1, 0.4), gt_max_assign_all=False)),
    _max_iou("max_iou-ignore", _knobs(pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.1, ignore_iof_thr=0.4)),
    _max_iou(
        "max_iou-ignore_by_region",
        _knobs(pos_iou_thr=0.4, neg_iou_thr=0, match_low_quality=False, ignore_iof_thr=0.3,
               ignore_wrt_candidates=False),
    ),
    _max_iou("max_iou-zero", _knobs(pos_iou_thr=0.0, neg_iou_thr=0.0, ignore_iof_thr=0.6)),
    _max_iou(
        "max_iou-negative_min", _knobs(pos_iou_thr=0.6, neg_iou_thr=0.4, min_pos_iou=-1, ignore_iof_thr=0.01)
    ),
    _max_iou(
        "max_iou-negative_min-first",
        _knobs(pos_iou_thr=0.6, neg_iou_thr=0.4, min_pos_iou=-1, ignore_iof_thr=0.01, gt_max_assign_all=False),
    ),
    _max_iou(
        "max_iou-half", _knobs(pos_iou_thr=0.5, neg_iou_thr=0.4, ignore_iof_thr=0.5, **OVERLAPS_IN_HALF),
        rule=partial(CAPABILITIES["MaxIoUAssigner"].rule, **IN_HALF),
    ),
    _max_iou(
        "max_iou-calculator",
        _knobs(pos_iou_thr=0.7, neg_iou_thr=0.5, min_pos_iou=-0.2, ignore_iof_thr=0.8, **CLOSE),
    ),
    _max_iou(
        "max_iou-rotated",
        _knobs(pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0.1, ignore_iof_thr=0.5, iou_calculator=RotatedIoU()),
        rule=partial(CAPABILITIES["MaxIoUAssigner"].rule, **ROTATED), **_ROTATED,
    ),
    _kind("ApproxMaxIoUAssigner")(
        "approx_max_iou", _knobs(pos_iou_thr=0.5, neg_iou_thr=0.3, ignore_iof_thr=0.5)
    ),
    _kind("ApproxMaxIoUAssigner")(
        "approx_max_iou-calculator",
        _knobs(pos_iou_thr=0.7, neg_iou_thr=0.5, gt_max_assign_all=False, **CLOSE),
    ),
    _kind("ApproxMaxIoUAssigner")(
        "approx_max_iou-rotated", _knobs(pos_iou_thr=0.5, neg_iou_thr=0.3, ignore_iof_thr=0.5, **TURNED),
        rule=partial(CAPABILITIES["ApproxMaxIoUAssigner"].rule, **ROTATED), **_ROTATED,
    ),
    _kind("GridAssigner")("grid", _knobs(pos_iou_thr=0.5, neg_iou_thr=0.5)),
    _kind("GridAssigner")(
        "grid-first",
        _knobs(pos_iou_thr=0.4, neg_iou_thr=[0.1, 0.4], min_pos_iou=0.2, gt_max_assign_all=False),
    ),
    _kind("AscendMaxIoUAssigner")(
        "ascend_max_iou", _knobs(pos_iou_thr=0.5, neg_iou_thr=0.4, ignore_iof_thr=0.5)
    ),
    _kind("AscendMaxIoUAssigner")(
        "ascend_max_iou-calculator",
        _knobs(pos_iou_thr=0.8, neg_iou_thr=0.5, gt_max_assign_all=False, ignore_iof_thr=0.8, **CLOSE),
    ),
    _kind("Matcher")(
        "matcher", _knobs(thresholds=(0.3, 0.7), labels=(0, -1, 1), allow_low_quality_matches=True)
    ),
    _kind("Matcher")("matcher-four_intervals", _knobs(thresholds=(0.1, 0.3, 0.6), labels=[-1, 0, -1, 1])),
    _kind("Matcher")(
        "matcher-calculator",
        _knobs(thresholds=(-0.5, 0.6), labels=(0, -1, 1), allow_low_quality_matches=True, **CLOSE),
    ),
    _kind("SSDMatcher")("ssd_matcher"),
    _kind("SSDMatcher")("ssd_matcher-calculator", _knobs(threshold=0.7, **CLOSE)),
    _atss("atss", _knobs(topk=4)),
    _atss("atss-ignore", _knobs(topk=6, ignore_iof_thr=0.3)),
    _kind("PointAssigner")("point"),
    _kind("PointAssigner")("point-one", _knobs(pos_num=1, scale=2)),
    _center_region("center_region", _knobs(pos_scale=0.5, neg_scale=0.8)),
    _center_region("center_region-dominate", _knobs(pos_scale=0.4, neg_scale=0.4, foreground_dominate=True)),
    _center_region("center_region-calculator", _knobs(pos_scale=0.5, neg_scale=1.0, min_pos_iof=0.3, **CLOSE)),
    _center_region(
        "center_region-rotated", _knobs(pos_scale=0.5, neg_scale=0.8, **TURNED),
        rule=partial(CAPABILITIES["CenterRegionAssigner"].rule, **ROTATED), **_ROTATED,
    ),
    _kind("RFLAAssigner")("rfla"),
    _kind("RFLAAssigner")("rfla-one_round", _knobs(topk=(2, 0), neg_iou_thr=0.5)),
    _kind("RFLAAssigner")(
        "rfla-rotated", _knobs(topk=(2, 1), iou_calculator=ProbIoU()), like=OfOrientedBoxes, rule=None
    ),
    _kind("RFLAAssigner")("rfla-min_positives", _knobs(topk=(1, 1), **TWO), repeats=True),
    _kind("FCOSAssigner")("fcos", _RANGES),
    _kind("FCOSAssigner")(
        "fcos-center_sampling", _knobs(**_RANGES, center_sampling=True, center_sample_radius=0.8)
    ),
    _region("region"),
    _region("region-larger_center", _knobs(center_ratio=0.8, ignore_ratio=0.4)),
    _max_iou(
        "max_iou-min_positives",
        _knobs(pos_iou_thr=0.7, neg_iou_thr=0.3, match_low_quality=False, **TWO), repeats=True,
    ),
    _atss("atss-min_positives", _knobs(topk=3, ignore_iof_thr=0.3, **TWO), repeats=True),
    _kind("FCOSAssigner")("fcos-min_positives", _knobs(**_RANGES, **TWO), repeats=True),
    _center_region(
        "center_region-min_positives", _knobs(pos_scale=0.4, neg_scale=0.6, **TWO), repeats=True
    ),
)  # fmt: skip
"""Those of priors and ground truths alone."""

BY_PREDICTIONS = (
    _kind("UniformAssigner")("uniform", _knobs(pos_ignore_thr=0.15, neg_ignore_thr=0.7, match_times=3)),
    _kind("UniformAssigner")("uniform-one", _knobs(pos_ignore_thr=0.5, neg_ignore_thr=0.4, match_times=1)),
    _kind("UniformAssigner")(
        "uniform-rotated", _knobs(pos_ignore_thr=0.15, neg_ignore_thr=0.7, match_times=3, **TURNED),
        rule=partial(CAPABILITIES["UniformAssigner"].rule, measure=ROTATED["measure"]), **_ROTATED,
    ),
    _kind("TaskAlignedAssigner")("task_aligned", _knobs(topk=4)),
    _kind("TaskAlignedAssigner")(
        "task_aligned-all", _knobs(topk=3, alpha=2, beta=3, topk_inside=True, conflicts="all")
    ),
    subject("task_aligned-yolov6", yolov6(topk=5)),
    subject("task_aligned-yolov8", yolov8(topk=4, smallest_side=4.0)),
    subject("task_aligned-obb", yolov8_obb(topk=4, smallest_side=4.0), like=OfOrientedBoxes),
    _kind("TaskAlignedAssigner")(
        "task_aligned-rotated", _knobs(topk=4, iou_calculator=RotatedIoU()), like=OfOrientedBoxes
    ),
    subject("task_aligned-one_to_one", yolov8(topk=5, topk2=1, smallest_side=0)),
    _kind("SimOTAAssigner")("sim_ota", _knobs(center_radius=0.25)),
    _kind("SimOTAAssigner")(
        "sim_ota-sqrt_scores", _knobs(center_radius=1.5, candidate_topk=4, cls_weight=2.0, sqrt_scores=True)
    ),
    _kind("SimOTAAssigner")(
        "sim_ota-rotated", _knobs(center_radius=0.5, iou_calculator=RotatedIoU()), like=OfOrientedBoxes
    ),
    _soft_label("soft_label"),
    _soft_label("soft_label-rotated", _knobs(iou_calculator=RotatedIoU()), like=OfOrientedBoxes),
    _soft_label("soft_label-outside", _knobs(own_class_only=True, select_outside=True, topk=4)),
    _soft_label("soft_label-closed", _knobs(closed_boxes=True)),
    _soft_label("soft_label-masks", _knobs(soft_center_radius=1.0), reads=("gt_masks",)),
    _kind("TaskAlignedAssigner", like=WithClasses)("task_aligned-classes", _knobs(topk=3)),
    _kind("SimOTAAssigner", like=WithClasses)("sim_ota-classes"),
    _kind("SimOTAAssigner", like=OfPoses)(
        "sim_ota-poses", _knobs(center_radius=1.0, sigmas=SIGMAS, dynamic_k_indicator="oks"), rule=None
    ),
    _kind("TaskAlignedAssigner", like=OfPoses)("task_aligned-poses", _knobs(topk=4, sigmas=SIGMAS), rule=None),
    _kind("TaskAlignedAssigner")("task_aligned-min_positives", _knobs(topk=2, **TWO), repeats=True),
    _kind("SimOTAAssigner")(
        "sim_ota-min_positives", _knobs(center_radius=1.0, candidate_topk=2, **TWO), repeats=True
    ),
    _kind("YOLOv7Assigner")("yolov7", _knobs(candidate_topk=4)),
    _kind("YOLOv7Assigner")("yolov7-rotated", _knobs(candidate_topk=4, **TURNED), like=OfOrientedBoxes),
    _kind("SinkhornAssigner")("sinkhorn", _knobs(center_radius=0.5, num_iters=20)),
    _kind("SinkhornAssigner")(
        "sinkhorn-probiou", _knobs(center_radius=0.5, num_iters=20, iou_calculator=ProbIoU()), like=OfOrientedBoxes
    ),
    _atss("atss-rotated", _knobs(topk=5, iou_calculator=RotatedIoU(), ignore_iof_thr=0.5), rule=None, **_ROTATED),
    _atss(
        "atss-alpha", _knobs(topk=6, alpha=0.8),
        rule=None, rounding=Rounding.NUMBERS, reads=("pred_logits", "pred_bboxes"),
    ),
    _atss("atss-batched", _knobs(topk=5, strictly_above=True, inside_margin=1e-9, conflicts="all")),
    _kind("MultiInstanceAssigner")("multi_instance", _knobs(num_instance=2, append_boxes=False)),
    _kind("MultiInstanceAssigner")(
        "multi_instance-three", _knobs(num_instance=3, pos_iou_thr=0.4, neg_iou_thr=0.2, append_boxes=False)
    ),
    _kind("MultiInstanceAssigner")(
        "multi_instance-rotated", _knobs(num_instance=2, append_boxes=False, **TURNED),
        rule=partial(CAPABILITIES["MultiInstanceAssigner"].rule, **ROTATED), **_ROTATED,
    ),
    _hungarian("hungarian", _MATCHED),
    _hungarian("hungarian-repeat", _knobs(**_MATCHED, repeat=2)),
    _hungarian("hungarian-rotated", _knobs(match_costs=_ROTATED_COSTS, nonfinite="forbid"), like=OfOrientedBoxes),
    _kind("MaskHungarianAssigner")("mask_hungarian", _knobs(nonfinite="forbid")),
    _kind("TopkHungarianAssigner")("topk_hungarian", _knobs(topk=3, nonfinite="forbid")),
    _kind("TopkHungarianAssigner")(
        "topk_hungarian-rotated",
        _knobs(topk=3, nonfinite="forbid", reg_cost=_ROTATED_COSTS[1], iou_cost=_ROTATED_COSTS[2], **TURNED),
        like=OfOrientedBoxes,
    ),
    _kind("GreedyMatcher")("greedy", _knobs(match_costs=_COSTS)),
    _kind("GreedyMatcher")("greedy-repeat", _knobs(match_costs=_COSTS, repeat=2, max_cost=2.0)),
)  # fmt: skip
"""Those that read predictions."""

SUBJECTS = (*BY_RULE, *BY_PREDICTIONS)
BY_NAME = {subject.name: subject for subject in SUBJECTS}

LEADERS = tuple({s.recipe.name: s for s in reversed(SUBJECTS)}.values())[::-1]
"""The first subject of each assigner."""

ELSEWHERE = tuple(s for s in SUBJECTS if s in BY_RULE or s in LEADERS)
"""Those that run on every library; of assigners that read predictions, the first of each."""

COMPILED = tuple(s for s in LEADERS if s in BY_RULE or s.name in ("task_aligned", "hungarian"))
"""Those that stand for all where JAX compiles for the shapes of one law."""

AVAILABLE = [target for target in available_targets() if target.name != "array_api_strict:device1"]
"""The libraries that can run here. On a second device the same code runs; laws about placement go there."""


@cache
def bench_of(subject, target):
    """Give a subject on a target, with all that is compiled for it."""
    thorough = not target.compiles_operations or subject is LEADERS[0]
    return Bench(subject.recipe, subject.recipe, TARGETS[target.name], thorough)

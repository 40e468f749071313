"""The knobs of MMDetection's assigners, and what they mean: one entry each, for every version.

An entry has the constructor's knobs, says which assigner of the core they build, brings what the published
calls hand over into the core's form, and the core's result into the published one. What is left to a version
is the signature of ``assign``: :mod:`assigncore.adapters.mmdet.assigners` reads instances,
:mod:`assigncore.adapters.mmdet2.assigners` loose tensors. The defaults of knobs are the core's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import assigncore
from assigncore.adapters.containers import (
    BOX_COLUMNS,
    POINT_COLUMNS,
    array_of,
    as_many_as_predictions,
    boxes_of,
    every_column,
    labels_of,
    points_of,
)
from assigncore.adapters.core_by_knobs import CoreByKnobs
from assigncore.adapters.errors import also_assertion
from assigncore.adapters.mmdet.building import build_from
from assigncore.adapters.mmdet.overlaps import (
    AxisAlignedBboxOverlaps3D,
    BboxOverlaps2D,
    BboxOverlaps2D_GLIP,
    BboxOverlapsNearest3D,
    FakeRBboxOverlaps2D,
    RBbox2HBboxOverlaps2D,
    RBboxOverlaps2D,
)
from assigncore.adapters.mmdet.result import AssignResult
from assigncore.adapters.mmdet.thresholds import background_threshold
from assigncore.backend import Array, get_backend

__all__ = [
    "ATSS",
    "CALCULATORS",
    "ApproxMaxIoU",
    "CenterRegion",
    "Entry",
    "Grid",
    "GroundTruths",
    "MaxIoU",
    "Point",
    "Region",
    "SimOTA",
    "TaskAligned",
    "TaskAlignedKnobs",
    "Uniform",
    "build_iou_calculator",
    "with_metrics",
]

CALCULATORS: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        BboxOverlaps2D,
        BboxOverlaps2D_GLIP,
        BboxOverlapsNearest3D,
        AxisAlignedBboxOverlaps3D,
        FakeRBboxOverlaps2D,
        RBbox2HBboxOverlaps2D,
        RBboxOverlaps2D,
    )
}
"""By the names of configs, those of MMRotate and MMDetection3D among them."""


def build_iou_calculator(config: Any) -> Any:
    """Build an overlap calculator from a config mapping; one that is built already passes through."""
    return build_from(CALCULATORS, config, "overlap calculator")


class GroundTruths(NamedTuple):
    """Ground truths and ignore regions as a version hands them over.

    Attributes
    ----------
    bboxes : boxes
        Of the ground truths.
    labels : array (G,) or None
        Their classes.
    ignored : boxes or None
        Ignore regions.
    has_labels : bool
        Whether they have labels even where there are none of them, as version 3's have; of version 2's that
        come without, the result has none either.
    """

    bboxes: Any
    labels: Any
    ignored: Any = None
    has_labels: bool = False

    def named(
        self,
        boxes_of: Callable[[Any], Array] = boxes_of,
        *,
        needs_labels: bool = False,
        predicted: Array | None = None,
    ) -> dict[str, Any]:
        """Return the boxes and labels of ground truths by the core's names."""
        boxes = boxes_of(self.bboxes)
        labels = labels_of(self.labels, boxes, needed=needs_labels or self.has_labels, predicted=predicted)
        return {"gt_bboxes": boxes, "gt_labels": labels}

    def ignore_regions(self, boxes_of: Callable[[Any], Array] = boxes_of) -> Array | None:
        """Return the boxes of ignore regions, or None."""
        return None if self.ignored is None else boxes_of(self.ignored)

    def published(self, result: assigncore.AssignResult) -> AssignResult:
        """Return the result of an assigner that needed labels, without them where none came."""
        found = AssignResult.of(result)
        if self.labels is None and not self.has_labels:
            found.labels = None
        return found


class Entry(CoreByKnobs):
    """An assigner of MMDetection: its knobs, the core's assigner of them, and its published form."""

    core_class: ClassVar[type[Any]]
    usual_options: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Options of the core that are arguments of ``assign``, as most calls have them."""
    iou_calculator: Any

    @also_assertion
    def __post_init__(self) -> None:
        if isinstance(getattr(self, "iou_calculator", None), Mapping):
            self.iou_calculator = build_iou_calculator(self.iou_calculator)
        self.core(**self.usual_options)

    def boxes_of(self, x: Any) -> Array:
        """Return boxes in the form that the calculator takes: (..., N, 4), or (..., N, 5) where oriented."""
        calculator = getattr(self, "iou_calculator", None)
        return boxes_of(x, getattr(calculator, "columns", None) or BOX_COLUMNS)

    def decide(self, priors: Array, gt: Mapping[str, Any], **inputs: Any) -> AssignResult:
        """Assign by the core's names, in MMDetection's form."""
        return AssignResult.of(self.core().assign(priors, **gt, **inputs))

    def build(self, **options: Any) -> Any:
        """Build the core's assigner."""
        return self.core_class(**self.core_knobs(), **options)

    def core_knobs(self) -> dict[str, Any]:
        """Return the knobs that are the core's too, by name."""
        known = {each.name for each in fields(self.core_class)}
        own = [each.name for each in fields(self)]  # type: ignore[arg-type]
        return {name: getattr(self, name) for name in own if name in known}


class _AnyColumns(Entry):
    """An entry whose boxes have the columns its calculator takes."""

    def boxes_of(self, x: Any) -> Array:
        """Return boxes in the form that the calculator takes, with every column where it does not say."""
        takes_any = getattr(self.iou_calculator, "columns", None) is None
        return every_column(x) if takes_any else super().boxes_of(x)


@dataclass(eq=False)
class MaxIoU(_AnyColumns):
    """Of :class:`assigncore.MaxIoUAssigner`."""

    pos_iou_thr: float
    neg_iou_thr: float | tuple[float, float]
    min_pos_iou: float = assigncore.MaxIoUAssigner.min_pos_iou
    gt_max_assign_all: bool = assigncore.MaxIoUAssigner.gt_max_assign_all
    ignore_iof_thr: float = assigncore.MaxIoUAssigner.ignore_iof_thr
    ignore_wrt_candidates: bool = assigncore.MaxIoUAssigner.ignore_wrt_candidates
    match_low_quality: bool = assigncore.MaxIoUAssigner.match_low_quality
    gpu_assign_thr: float = -1  # Without effect: memory is bounded everywhere.
    iou_calculator: Any = field(default_factory=BboxOverlaps2D)
    core_class: ClassVar[type[Any]] = assigncore.MaxIoUAssigner

    def core_knobs(self) -> dict[str, Any]:
        """Return the knobs that are the core's too, with the threshold read by its type as upstream."""
        return {**super().core_knobs(), "neg_iou_thr": background_threshold(self.neg_iou_thr)}

    def decide(self, priors: Array, gt: Mapping[str, Any], **inputs: Any) -> AssignResult:
        """Assign as the core does, but for ignored priors at a `min_pos_iou` of -1 or below.

        In the published code an ignored prior overlaps every ground truth by -1. Where all are ignored, that
        is each ground truth's best overlap, and the last one takes them: all, or the first.
        """
        result = super().decide(priors, gt, **inputs)
        n_gts, takes = result.num_gts, self.match_low_quality and self.min_pos_iou <= -1
        if not takes or n_gts == 0 or result.num_preds == 0 or inputs["ignore_bboxes"] is None:
            return result
        xp = get_backend(result.gt_inds, "gt_inds").xp
        every = xp.ones_like(result.gt_inds, dtype=xp.bool)
        own = every if self.gt_max_assign_all else xp.cumulative_sum(xp.astype(every, xp.int64)) == 1
        taken = own & xp.all(result.max_overlaps == -1)
        result.gt_inds = xp.where(taken, n_gts, result.gt_inds)
        if result.labels is not None:
            result.labels = xp.where(taken, gt["gt_labels"][-1], result.labels)
        return result

    def of_boxes(self, priors: Any, gt: GroundTruths) -> AssignResult:
        """Assign priors (N, 4)."""
        return self.decide(
            self.boxes_of(priors), gt.named(self.boxes_of), ignore_bboxes=gt.ignore_regions(self.boxes_of)
        )


@dataclass(eq=False)
class ApproxMaxIoU(MaxIoU):
    """Of :class:`assigncore.ApproxMaxIoUAssigner`."""

    core_class = assigncore.ApproxMaxIoUAssigner

    def of_approximations(self, squares: Array, approxs: Array, gt: GroundTruths) -> AssignResult:
        """Assign squares (N, 4) by their approximations (N, A, 4)."""
        return self.decide(squares, gt.named(), approxs=approxs, ignore_bboxes=gt.ignore_regions())


@dataclass(eq=False)
class Grid(_AnyColumns):
    """Of :class:`assigncore.GridAssigner`. Ignore regions are without effect, as published."""

    pos_iou_thr: float
    neg_iou_thr: float | tuple[float, float]
    min_pos_iou: float = assigncore.GridAssigner.min_pos_iou
    gt_max_assign_all: bool = assigncore.GridAssigner.gt_max_assign_all
    iou_calculator: Any = field(default_factory=BboxOverlaps2D)
    core_class = assigncore.GridAssigner

    def core_knobs(self) -> dict[str, Any]:
        """Return the knobs that are the core's too, with the threshold read by its type as upstream."""
        threshold = background_threshold(self.neg_iou_thr, pairs=(tuple, list))
        return {**super().core_knobs(), "neg_iou_thr": threshold}

    def of_cells(self, priors: Any, responsible_flags: Any, gt: GroundTruths) -> AssignResult:
        """Assign priors (N, 4) with their flags (N,), which are true where not 0."""
        return self.decide(
            self.boxes_of(priors), gt.named(self.boxes_of), responsible_flags=responsible_flags != 0
        )


@dataclass(eq=False)
class ATSS(Entry):
    """Of :class:`assigncore.ATSSAssigner`."""

    topk: int
    alpha: float | None = assigncore.ATSSAssigner.alpha
    iou_calculator: Any = field(default_factory=BboxOverlaps2D)
    ignore_iof_thr: float = assigncore.ATSSAssigner.ignore_iof_thr
    core_class = assigncore.ATSSAssigner

    def of_levels(
        self, priors: Any, num_level_priors: Sequence[int], gt: GroundTruths, logits: Any, bboxes: Any
    ) -> AssignResult:
        """Assign priors (N, 4 or more) of levels, with `alpha` by predictions.

        Raises
        ------
        AssertionError
            If `alpha` is set and predictions are missing, as upstream asserts.
        """
        predictions = {}
        if self.alpha is not None:
            if logits is None or bboxes is None:
                raise AssertionError(
                    f"alpha={self.alpha}: expected scores and boxes of the predictions, got None"
                )
            predictions = {"pred_logits": logits, "pred_bboxes": self.boxes_of(bboxes)}
        return self.decide(
            self.boxes_of(priors),
            gt.named(self.boxes_of),
            num_level_priors=tuple(num_level_priors),
            ignore_bboxes=gt.ignore_regions(self.boxes_of),
            **predictions,
        )


@dataclass(eq=False)
class CenterRegion(Entry):
    """Of :class:`assigncore.CenterRegionAssigner`."""

    pos_scale: float
    neg_scale: float
    min_pos_iof: float = assigncore.CenterRegionAssigner.min_pos_iof
    ignore_gt_scale: float = assigncore.CenterRegionAssigner.ignore_gt_scale
    foreground_dominate: bool = assigncore.CenterRegionAssigner.foreground_dominate
    iou_calculator: Any = field(default_factory=BboxOverlaps2D)
    core_class = assigncore.CenterRegionAssigner

    def of_boxes(self, priors: Any, gt: GroundTruths) -> AssignResult:
        """Assign priors (N, 4), and list shadows, which are None without labels."""
        named = gt.named()
        result = self.core().assign(boxes_of(priors), **named, ignore_bboxes=gt.ignore_regions())
        published, labels = AssignResult.of(result), named["gt_labels"]
        shadowed = None if labels is None else assigncore.shadowed_labels(result, labels)
        published.set_extra_property("shadowed_labels", shadowed)
        return published


@dataclass(eq=False)
class Point(Entry):
    """Of :class:`assigncore.PointAssigner`. Ignore regions are without effect, as published."""

    scale: float = assigncore.PointAssigner.scale
    pos_num: int = assigncore.PointAssigner.pos_num
    core_class = assigncore.PointAssigner

    def of_points(self, points: Any, gt: GroundTruths) -> AssignResult:
        """Assign points x, y, stride (N, 3 or more); a second stride is not read, as published."""
        named = gt.named()
        points = points_of(points, named["gt_bboxes"], POINT_COLUMNS)
        return self.decide(points[..., :POINT_COLUMNS], named)


@dataclass(eq=False)
class Region(Entry):
    """Of :class:`assigncore.RegionAssigner`."""

    center_ratio: float = assigncore.RegionAssigner.center_ratio
    ignore_ratio: float = assigncore.RegionAssigner.ignore_ratio
    core_class = assigncore.RegionAssigner

    def of_levels(
        self,
        anchors: Any,
        valid_flags: Any,
        gt: GroundTruths,
        *,
        img_meta: Any,
        featmap_sizes: Sequence[Sequence[int]],
        anchor_strides: Sequence[float],
        **options: Any,
    ) -> AssignResult:
        """Assign anchors (N, 4) of levels where their flags (N,) are true.

        Without ground truths all are background, as published.

        Raises
        ------
        NotImplementedError
            If there are ignore regions.
        """
        if gt.ignored is not None:
            raise NotImplementedError("the method has no ignore regions, and some are given")
        named = gt.named()
        return self.decide(
            boxes_of(anchors),
            named,
            prior_valid=array_of(valid_flags) != 0 if len(named["gt_bboxes"]) else None,
            featmap_sizes=[tuple(size) for size in featmap_sizes],
            anchor_strides=tuple(anchor_strides),
            image_shape=tuple(img_meta["img_shape"][:2]),
            **options,
        )


@dataclass(eq=False)
class SimOTA(Entry):
    """Of :class:`assigncore.SimOTAAssigner`. Ignore regions are without effect, as published."""

    center_radius: float = assigncore.SimOTAAssigner.center_radius
    candidate_topk: int = assigncore.SimOTAAssigner.candidate_topk
    iou_weight: float = assigncore.SimOTAAssigner.iou_weight
    cls_weight: float = assigncore.SimOTAAssigner.cls_weight
    core_class = assigncore.SimOTAAssigner

    def of_predictions(
        self, points: Any, bboxes: Any, scores: Array, gt: GroundTruths, **options: Any
    ) -> AssignResult:
        """Assign points with strides (N, 4) by boxes (N, 4) and scores (N, C)."""
        bboxes = self.boxes_of(bboxes)
        named = gt.named(self.boxes_of, needs_labels=True, predicted=bboxes)
        points, predictions = as_many_as_predictions(
            points_of(points, bboxes), named["gt_bboxes"], pred_bboxes=bboxes, pred_scores=scores
        )
        return gt.published(self.core(**options).assign(points, **named, **predictions))


@dataclass(eq=False)
class TaskAlignedKnobs(Entry):
    """Of what counts score and overlap at once, by exponents that are arguments of each call."""

    topk: int
    iou_calculator: Any = field(default_factory=BboxOverlaps2D)
    core_class: ClassVar[type[Any]] = assigncore.TaskAlignedAssigner
    usual_options = MappingProxyType(
        {"alpha": assigncore.TaskAlignedAssigner.alpha, "beta": assigncore.TaskAlignedAssigner.beta}
    )

    @also_assertion
    def __post_init__(self) -> None:
        if self.topk < 1:
            raise ValueError(f"topk: expected at least 1, got {self.topk!r}")
        super().__post_init__()


@dataclass(eq=False)
class TaskAligned(TaskAlignedKnobs):
    """Of :class:`assigncore.TaskAlignedAssigner`. Ignore regions are without effect, as published."""

    def of_predictions(
        self, priors: Any, bboxes: Any, scores: Array, gt: GroundTruths, *, alpha: float, beta: float
    ) -> AssignResult:
        """Assign priors (N, 4) by boxes (N, 4) and probabilities (N, C)."""
        bboxes = self.boxes_of(bboxes)
        named = gt.named(self.boxes_of, needs_labels=True, predicted=bboxes)
        priors, predictions = as_many_as_predictions(
            self.boxes_of(priors), named["gt_bboxes"], pred_bboxes=bboxes, pred_scores=scores
        )
        result = self.core(alpha=alpha, beta=beta).assign(priors, **named, **predictions)
        return with_metrics(gt.published(result), result.extras["assign_metrics"])


def with_metrics(result: AssignResult, metrics: Array) -> AssignResult:
    """Hang metrics on a result, beside its properties, as published."""
    result.assign_metrics = metrics  # type: ignore[attr-defined]
    return result


@dataclass(eq=False)
class Uniform(Entry):
    """Of :class:`assigncore.UniformAssigner`. Ignore regions are without effect, as published."""

    pos_ignore_thr: float
    neg_ignore_thr: float
    match_times: int = assigncore.UniformAssigner.match_times
    iou_calculator: Any = field(default_factory=BboxOverlaps2D)
    core_class = assigncore.UniformAssigner

    def of_predictions(self, priors: Any, bboxes: Any, gt: GroundTruths) -> AssignResult:
        """Assign priors (N, 4) with the boxes predicted from them (N, 4).

        YOLOF's loss of boxes is computed from the predictions handed back: they stay attached to what they
        were computed from.
        """
        named = gt.named()
        priors, predictions = as_many_as_predictions(
            boxes_of(priors), named["gt_bboxes"], pred_bboxes=boxes_of(bboxes)
        )
        result = self.core().assign(priors, **named, **predictions)
        published, extras = AssignResult.of(result), dict(result.extras)
        own = predictions["pred_bboxes"]
        extras["pos_predicted_boxes"] = get_backend(own).xp.take(own, extras.pop("pos_prior"), axis=0)
        for name, x in extras.items():
            published.set_extra_property(name, x)
        return published

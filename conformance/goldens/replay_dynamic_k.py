"""The replays of the assigners by dynamic k whose drop-ins are of PyTorch alone, or that have none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.backend import get_backend
from assigncore.conformance.goldens.calls import Call, Outputs, Replay, answered
from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.registry import build_assigner
from assigncore.result import AssignResult

__all__ = ["DYNAMIC_K_REPLAYS"]

Array = Any
AnyArray = NDArray[Any]

_BATCH_SOFT_LABEL_INPUTS = {
    "priors": "priors",
    "pred_bboxes": "pred_bboxes",
    "pred_scores": "pred_logits",
    "gt_bboxes": "gt_bboxes",
    "gt_labels": "gt_labels",
    "pad_bbox_flag": "gt_valid",
}


def _batch_soft_label(case: GoldenCase) -> Call:
    """Translate the batched variant, whose outputs are targets: labels, boxes and overlaps per prior."""
    knobs = dict(case.init)
    num_classes = knobs.pop("num_classes")
    knobs.pop("batch_iou", None)  # Whether upstream loops over images; it changes no value.
    options = {"own_class_only": True, "select_outside": True}
    assigner = build_assigner({"type": "DynamicSoftLabelAssigner", **knobs, **options})
    arrays = {_BATCH_SOFT_LABEL_INPUTS[name]: x for name, x in case.inputs.items()}
    # Upstream takes points of whole numbers; the core asks its caller for real ones.
    arrays["priors"] = arrays["priors"].astype(arrays["pred_bboxes"].dtype)
    arrays["gt_labels"] = arrays["gt_labels"][..., 0]
    arrays["gt_valid"] = arrays["gt_valid"][..., 0] > 0

    def assign(**arrays: Array) -> Outputs:
        result = assigner.assign(**arrays)
        xp = get_backend(result.gt_inds).xp
        positive, boxes = result.pos_mask, arrays["gt_bboxes"]
        assert result.labels is not None
        assert result.max_overlaps is not None
        targets = xp.zeros_like(arrays["pred_bboxes"])
        if boxes.shape[1] > 0:
            matched = xp.where(positive, result.matched_gt, 0)[..., None]
            own = xp.take_along_axis(boxes, xp.broadcast_to(matched, (*matched.shape[:2], 4)), axis=1)
            targets = xp.where(positive[..., None], own, 0.0)
        return {
            "assigned_labels": xp.where(positive, result.labels, num_classes),
            "assigned_labels_weights": xp.ones_like(result.max_overlaps),
            "assigned_bboxes": targets,
            "assign_metrics": xp.where(positive, result.max_overlaps, 0.0),
        }

    return Call(assign, arrays)


def _pose_inputs(case: GoldenCase) -> dict[str, AnyArray]:
    """Name a case's boxes, classes and poses as the core does."""
    x = case.inputs
    visible = x["gt_visible"][..., None]
    return {
        "priors": x["priors"],
        "gt_bboxes": x["gt_bboxes"],
        "pred_bboxes": x["bboxes"],
        "pred_scores": x["scores"],
        "gt_labels": x["gt_labels"],
        "pred_keypoints": x["keypoints"],
        "gt_keypoints": np.concatenate([x["gt_keypoints"], visible], axis=-1),
    }


def _pose_sim_ota(case: GoldenCase) -> Call:
    """Translate MMYOLO's SimOTA by poses, whose overlaps are the roots of the poses' similarities."""
    count = case.inputs["gt_keypoints"].shape[1]
    # Upstream adds no similarity unless it is told to, and without tolerances takes them as 1.
    knobs = {"oks_weight": 0.0, "sigmas": (1.0,) * count, **case.init}
    assigner = build_assigner({"type": "SimOTAAssigner", **knobs})
    sides = case.inputs["gt_bboxes"][:, 2:] - case.inputs["gt_bboxes"][:, :2]
    arrays = {**_pose_inputs(case), "gt_areas": (sides**2).sum(axis=-1) / 4}
    arrays["pred_visibility"] = 1 / (1 + np.exp(-case.inputs["visible"]))

    def assign(**arrays: Array) -> Outputs:
        result = assigner.assign(**arrays)
        xp = get_backend(result.gt_inds).xp
        roots = xp.sqrt(result.extras["oks"])
        overlaps = xp.where(result.pos_mask, roots, result.max_overlaps)
        return {"gt_inds": result.gt_inds, "max_overlaps": overlaps, "labels": result.labels}

    return Call(assign, arrays)


def _sim_ota_of_mmpose(case: GoldenCase) -> Call:
    """Translate MMPose's SimOTA, which RTMO trains with."""
    assigner = build_assigner({"type": "SimOTAAssigner", **case.init})
    x = case.inputs
    arrays = {**_pose_inputs(case), "gt_areas": x["areas"], "pred_visibility": x["visible"]}

    def assign(**arrays: Array) -> Outputs:
        result = assigner.assign(**arrays)
        return {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, "labels": result.labels}

    return Call(assign, arrays)


LISTS = {"positive_infos": 4, "priors": 2, "targets_normed": 7}
"""The lists of each level that the published assigner of YOLOv7 returns, and their columns."""


def _yolov7(case: GoldenCase) -> Call:
    """Translate the assigner of YOLOv7, with its lists of positives in a form that can be compiled."""
    knobs = {**case.init, **{name: x for name, x in case.call.items() if name == "near_neighbor_thr"}}
    strides = tuple(knobs.pop("featmap_strides"))
    del knobs["num_base_priors"], knobs["num_classes"]
    assigner = build_assigner({"type": "YOLOv7Assigner", **knobs})
    maps = [case.inputs[f"pred_{stride:02d}"] for stride in strides]
    sizes = tuple((int(x.shape[2]), int(x.shape[3])) for x in maps)
    in_strides = case.inputs["priors_base_sizes"]
    base_sizes = in_strides * np.asarray(strides, dtype=in_strides.dtype)[:, None, None]
    levels = [_decoded(x, stride, base) for x, stride, base in zip(maps, strides, base_sizes, strict=True)]
    predictions = [np.concatenate(part, axis=1) for part in zip(*levels, strict=True)]
    targets = _targets_by_image(case)
    height, width = case.call["batch_input_shape"]
    center, half = targets[..., 2:4], targets[..., 4:6] / 2
    scale = np.asarray([width, height], dtype=targets.dtype)
    arrays = {
        "gt_bboxes": np.concatenate([(center - half) * scale, (center + half) * scale], axis=-1),
        "gt_labels": targets[..., 1].astype(np.int64),
        "gt_valid": targets[..., 0] >= 0,
        "pred_bboxes": predictions[0],
        "pred_objectness": predictions[1],
        "pred_logits": predictions[2],
        "base_sizes": base_sizes,
        "in_strides": in_strides,
        "targets": targets,
    }

    def assign(in_strides: Array, targets: Array, **arrays: Array) -> Outputs:
        result = assigner.assign(**arrays, featmap_strides=strides, featmap_sizes=sizes)
        outputs: Outputs = {}
        for level in range(len(strides)):
            for name, x in zip(LISTS, _lists(result, level, in_strides, targets), strict=True):
                outputs[f"mlvl_{name}_{level}"] = x
        return outputs

    return Call(assign, arrays)


def _decoded(x: AnyArray, stride: int, base: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Decode a map (B, A, h, w, 5 + C) to boxes, objectness and class logits of its priors."""
    images, anchors, height, width, length = x.shape
    small = 1 / (1 + np.exp(-x[..., :4]))
    cells = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(x.dtype)
    center = (small[..., :2] * 2 - x.dtype.type(0.5) + cells) * stride
    half = (small[..., 2:] * 2) ** 2 * base[:, None, None, :] / 2
    boxes = np.concatenate([center - half, center + half], axis=-1)
    count = anchors * height * width
    flat = x.reshape(images, count, length)
    return boxes.reshape(images, count, 4), flat[..., 4], flat[..., 5:]


def _targets_by_image(case: GoldenCase) -> AnyArray:
    """Sort the targets into a padded batch (B, G, 7), with image -1 where a row is padding.

    Upstream's are repeated for each anchor, with its number in the last column; the lists it returns hold the
    first one's rows.
    """
    targets = case.inputs["batch_targets_normed"][0]
    images = next(len(x) for name, x in case.inputs.items() if name.startswith("pred_"))
    own = [targets[targets[:, 0] == image] for image in range(images)]
    padded = np.zeros((images, max(map(len, own)), 7), dtype=targets.dtype)
    padded[..., 0] = -1
    for image, rows in enumerate(own):
        padded[image, : len(rows)] = rows
    return padded


def _lists(result: AssignResult, level: int, in_strides: Array, targets: Array) -> tuple[Array, ...]:
    """List the positives of a level in the published order, then -1 up to the most there could be."""
    backend = get_backend(result.gt_inds)
    xp, device = backend.xp, backend.device_of(result.gt_inds)
    extras = {name.removeprefix("candidate_"): x for name, x in result.extras.items()}
    images, each = (int(n) for n in extras["prior"].shape)
    each //= int(in_strides.shape[0])
    extras = {name: x[:, level * each : (level + 1) * each] for name, x in extras.items()}
    rows = (images * each,)
    if images * each == 0:
        integers = xp.zeros((0, LISTS["positive_infos"]), dtype=extras["prior"].dtype, device=device)
        rest = list(LISTS)[1:]
        return integers, *(xp.zeros((0, LISTS[name]), dtype=targets.dtype, device=device) for name in rest)
    code = xp.reshape(extras["gt_inds"], rows)
    listed = (code > 0)[:, None]
    order = xp.argsort(xp.astype(code <= 0, xp.int32), stable=True)
    image = xp.arange(images, dtype=code.dtype, device=device)[:, None]
    image = xp.broadcast_to(image, (images, each))
    infos = xp.stack(
        [xp.reshape(x, rows) for x in (image, extras["anchor"], extras["x"], extras["y"])], axis=-1
    )
    matched = xp.where(code > 0, code - 1, 0) + xp.reshape(image, rows) * targets.shape[1]
    own = xp.take(xp.reshape(targets, (images * targets.shape[1], 7)), matched, axis=0)
    sizes = xp.take(in_strides[level, :, :], xp.reshape(extras["anchor"], rows), axis=0)
    return tuple(xp.take(xp.where(listed, x, -1), order, axis=0) for x in (infos, sizes, own))


def _expect_yolov7(case: GoldenCase) -> GoldenCase:
    """Expect the published lists, padded; a list without a row has no columns of its own upstream."""
    images, n_gts = _targets_by_image(case).shape[:2]
    levels, anchors = case.inputs["priors_base_sizes"].shape[:2]
    most = images * 5 * anchors * n_gts
    expected = {}
    for level in range(levels):
        for name, width in LISTS.items():
            rows = answered(case).expected.get(f"mlvl_{name}_{level}")
            if rows is None:
                continue
            dtype = np.int64 if name == "positive_infos" else rows.dtype
            padded = np.full((most, width), -1, dtype=dtype)
            padded[: len(rows)] = rows if len(rows) else np.zeros((0, width))
            expected[f"mlvl_{name}_{level}"] = padded
    return replace(case, expected=MappingProxyType(expected))


DYNAMIC_K_REPLAYS: Mapping[str, Replay] = MappingProxyType(
    {
        "BatchDynamicSoftLabelAssigner": Replay(_batch_soft_label, answered, batches=True),
        "BatchYOLOv7Assigner": Replay(_yolov7, _expect_yolov7, batches=True),
        "MMPoseSimOTAAssigner": Replay(_sim_ota_of_mmpose, answered),
        "PoseSimOTAAssigner": Replay(_pose_sim_ota, answered),
    }
)
"""The variants of these assigners."""

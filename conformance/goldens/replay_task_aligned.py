"""The replays of the batched task-aligned assigners and batched ATSS, whose drop-ins are PyTorch's alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from assigncore.assigners.task_aligned_presets import yolo26_pose, yolov6, yolov8, yolov8_obb
from assigncore.backend import get_backend
from assigncore.boxes.calculators import PositiveCIoU, SmoothedIoU
from assigncore.conformance.goldens.calls import Call, Outputs, Refusal, Replay
from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.reference.task_aligned import batch_atss, batch_task_aligned
from assigncore.registry import build_assigner
from assigncore.result import AssignResult

__all__ = ["TASK_ALIGNED_REPLAYS"]

Array = Any


def _batched_inputs(case: GoldenCase) -> dict[str, Any]:
    """Return the core's inputs of a batched assigner: flags as booleans, labels without their column.

    Upstream reads labels of any dtype and takes a negative one for class 0.
    """
    inputs = dict(case.inputs)
    labels = inputs.pop("gt_labels")[..., 0].astype(np.int64)
    valid = inputs.pop("pad_bbox_flag")[..., 0] > 0
    return {**inputs, "gt_labels": np.maximum(labels, 0), "gt_valid": valid}


def _task_aligned(case: GoldenCase) -> Call:
    """Translate the batched assigner of YOLOv6, with its one-hot scores."""
    knobs = {name: x for name, x in case.init.items() if name not in ("num_classes", "use_ciou")}
    if case.init.get("use_ciou", False):
        knobs["iou_calculator"] = PositiveCIoU()
    assigner = yolov6(**knobs)
    inputs = _batched_inputs(case)
    inputs["priors"] = inputs["priors"][:, :3]
    n_classes = int(case.init["num_classes"])

    def assign(**arrays: Array) -> Outputs:
        result = assigner.assign(**arrays)
        fields = _fields(result, arrays, result.extras["assign_metrics"], n_classes)
        return {
            "assigned_labels": fields["labels"],
            "assigned_bboxes": fields["bboxes"],
            "assigned_scores": fields["scores"],
            "fg_mask_pre_prior": fields["mask"],
        }

    return Call(assign, inputs)


_ULTRA_INPUTS = {
    "gt_kpts": "gt_keypoints",
    "pred_coef": "pred_coefficients",
    "pred_kpts": "pred_keypoints",
    "proto": "mask_prototypes",
}


def _ultralytics(case: GoldenCase) -> Call:
    """Translate the assigner of YOLOv8, whose defaults are TOOD's and whose strides say what is small.

    Or its twins for oriented boxes, for poses and for masks.
    """
    kind = case.variant.partition("Task")[0]
    preset = {"UltraRotated": yolov8_obb, "UltraPose": yolo26_pose}.get(kind, yolov8)
    init = dict(case.init)
    n_classes, strides = int(init.pop("num_classes")), init.pop("stride", [8, 16, 32])
    if init.get("topk2") == init.get("topk", 13):
        init.pop("topk2")
    if kind == "UltraSeg":
        init["mask_ranks"] = 3 * init.get("topk", 13)
    assigner = preset(**{"topk": 13, "alpha": 1.0, "smallest_side": strides[:2][-1], **init})
    inputs = _batched_inputs(case)
    inputs["priors"] = inputs["priors"][:, :3]
    inputs["gt_labels"] = case.inputs["gt_labels"][..., 0].astype(np.int64)
    inputs = {_ULTRA_INPUTS.get(name, name): x for name, x in inputs.items()}

    def assign(gt_labels: Array, **arrays: Array) -> Outputs:
        # A negative label reads the score of a class counted from the end, and comes back as 0.
        xp = get_backend(gt_labels).xp
        read = xp.where(gt_labels < 0, gt_labels + n_classes, gt_labels)
        result = assigner.assign(gt_labels=read, **arrays)
        known = {**arrays, "gt_labels": xp.where(gt_labels < 0, 0, gt_labels)}
        fields = _fields(result, known, result.extras["assign_metrics"], n_classes)
        return {
            "target_labels": fields["labels"],
            "target_bboxes": fields["bboxes"],
            "target_scores": fields["scores"],
            "fg_mask": fields["mask"],
            "target_gt_idx": fields["gt_index"],
        }

    return Call(assign, inputs)


def _atss(case: GoldenCase) -> Call:
    """Translate the batched assigner by adaptive thresholds, whose anchors are five strides wide."""
    n_classes = int(case.init["num_classes"])
    assigner = build_assigner(
        {
            "type": "ATSSAssigner",
            "topk": case.init["topk"],
            "strictly_above": True,
            "inside_margin": 1e-9,
            "conflicts": "all",
        }
    )
    inputs = _batched_inputs(case)
    inputs.pop("pred_scores")
    points = inputs["priors"]
    half = points[:, 2:4] * points.dtype.type(2.5)
    inputs["priors"] = np.concatenate([points[:, :2] - half, points[:, :2] + half], axis=-1)
    smoothed = SmoothedIoU(eps=1e-9)

    def assign(pred_bboxes: Array | None = None, **arrays: Array) -> Outputs:
        result = assigner.assign(**arrays, num_level_priors=case.call["num_level_priors"])
        xp = get_backend(result.gt_inds).xp
        ones = xp.astype(result.gt_inds > 0, arrays["gt_bboxes"].dtype)
        fields = _fields(result, arrays, ones, n_classes)
        scores = fields["scores"]
        if pred_bboxes is not None and arrays["gt_bboxes"].shape[1] > 0:
            overlap = smoothed(fields["bboxes"], pred_bboxes, is_aligned=True)
            scores = scores * overlap[..., None]
        return {
            "assigned_labels": xp.where(fields["mask"], fields["labels"], n_classes),
            "assigned_bboxes": fields["bboxes"],
            "assigned_scores": scores,
            "fg_mask_pre_prior": fields["mask"],
        }

    return Call(assign, inputs)


def _fields(
    result: AssignResult, arrays: Mapping[str, Array], soft: Array, n_classes: int
) -> dict[str, Array]:
    """Return what batched packages return: rows of ground truths, the first one's for background."""
    xp = get_backend(result.gt_inds).xp
    gt_bboxes, gt_labels = arrays["gt_bboxes"], arrays["gt_labels"]
    if gt_bboxes.shape[1] == 0:
        zeros = xp.astype(result.gt_inds * 0, gt_bboxes.dtype)
        boxes = xp.stack([zeros] * gt_bboxes.shape[-1], axis=-1)
        scores = xp.stack([zeros] * n_classes, axis=-1)
        index = result.gt_inds * 0
        return {
            "labels": index + n_classes,
            "bboxes": boxes,
            "scores": scores,
            "mask": index > 0,
            "gt_index": index,
        }
    index = xp.where(result.gt_inds > 0, result.gt_inds - 1, 0)
    labels = xp.take_along_axis(xp.astype(gt_labels, index.dtype), index, axis=-1)
    columns = [gt_bboxes[..., i] for i in range(gt_bboxes.shape[-1])]
    boxes = xp.stack([xp.take_along_axis(column, index, axis=-1) for column in columns], axis=-1)
    classes = xp.stack([labels == c for c in range(n_classes)], axis=-1)
    scores = xp.where(classes & result.pos_mask[..., None], soft[..., None], 0.0)
    return {"labels": labels, "bboxes": boxes, "scores": scores, "mask": result.pos_mask, "gt_index": index}


_INTEGERS = ("assigned_labels", "target_labels", "target_gt_idx")
_MASKS = ("fg_mask_pre_prior", "fg_mask")


def _expect(rule: Callable[[GoldenCase], dict[str, Any]]) -> Callable[[GoldenCase], GoldenCase]:
    """Expect the rule's own answer where upstream fails, and the proper kinds of dtype where it has others.

    Without ground truths upstream's labels, indices and masks are floats.
    """

    def expect(case: GoldenCase) -> GoldenCase:
        found = dict(case.expected) if case.raises is None else rule(case)
        for name, x in found.items():
            kind = np.int64 if name in _INTEGERS else bool if name in _MASKS else case.dtype
            found[name] = x.astype(kind)
        return replace(case, expected=MappingProxyType(found))

    return expect


def _expect_known_labels(case: GoldenCase) -> GoldenCase | Refusal:
    """Expect an error that names a label beyond the classes, where the host can see it."""
    if np.any(case.inputs["gt_labels"] >= case.init["num_classes"]):
        return Refusal(mentions=("gt_labels", "classes"), by_value=True)
    return _expect(lambda case: dict(case.expected))(case)


TASK_ALIGNED_REPLAYS: Mapping[str, Replay] = MappingProxyType(
    {
        "BatchATSSAssigner": Replay(
            _atss,
            _expect(lambda case: batch_atss(case.inputs, case.init, case.call["num_level_priors"])),
            batches=True,
        ),
        "BatchTaskAlignedAssigner": Replay(
            _task_aligned,
            _expect(lambda case: batch_task_aligned(case.inputs, case.init)),
            batches=True,
        ),
        "UltraPoseTaskAlignedAssigner": Replay(_ultralytics, _expect_known_labels, batches=True),
        "UltraRotatedTaskAlignedAssigner": Replay(_ultralytics, _expect_known_labels, batches=True),
        "UltraSegTaskAlignedAssigner": Replay(_ultralytics, _expect_known_labels, batches=True),
        "UltraTaskAlignedAssigner": Replay(_ultralytics, _expect_known_labels, batches=True),
    }
)
"""The variants of these assigners."""

"""The assigners of MMDetection 3 that decide by scores and boxes of dense predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import assigncore
from assigncore.adapters.containers import (
    array_of,
    as_many_as_predictions,
    boxes_of,
    optional,
    points_of,
    required,
)
from assigncore.adapters.mmdet.inputs import PRED, ground_truth
from assigncore.adapters.mmdet.knobs import Knobs, TaskAlignedKnobs
from assigncore.adapters.mmdet.overlaps import BboxOverlaps2D
from assigncore.adapters.mmdet.result import AssignResult
from assigncore.backend import Array

__all__ = ["DynamicSoftLabelAssigner", "SimOTAAssigner", "TaskAlignedAssigner"]


@dataclass(eq=False)
class TaskAlignedAssigner(TaskAlignedKnobs):
    """Decide by score and overlap at once: see :class:`assigncore.TaskAlignedAssigner`."""

    def assign(
        self,
        pred_instances: Any,
        gt_instances: Any,
        gt_instances_ignore: Any = None,
        alpha: float = 1,
        beta: float = 6,
    ) -> AssignResult:
        """Assign ``priors`` (N, 4 or more) by the predictions ``bboxes`` (N, 4) and ``scores`` (N, C).

        Parameters
        ----------
        pred_instances : object with ``priors``, ``bboxes`` and ``scores``, which are probabilities
            Priors and predictions.
        gt_instances : object with ``bboxes`` and ``labels``
            Ground truths.
        gt_instances_ignore : object, optional
            Without effect, as published.
        alpha, beta : float, default 1 and 6
            Exponents of score and overlap.

        Returns
        -------
        AssignResult
            With the attribute ``assign_metrics`` (N,).
        """
        gt = ground_truth(gt_instances)
        priors, predictions = as_many_as_predictions(
            boxes_of(required(pred_instances, "priors", PRED)),
            gt["gt_bboxes"],
            pred_bboxes=boxes_of(required(pred_instances, "bboxes", PRED)),
            pred_scores=required(pred_instances, "scores", PRED),
        )
        result = self.core(alpha=alpha, beta=beta).assign(priors, **gt, **predictions)
        return with_metrics(AssignResult.of(result), result.extras["assign_metrics"])


def with_metrics(result: AssignResult, metrics: Array) -> AssignResult:
    """Hang metrics on a result, beside its properties, as published."""
    result.assign_metrics = metrics  # type: ignore[attr-defined]
    return result


@dataclass(eq=False)
class SimOTAAssigner(Knobs):
    """Decide by a simplified optimal transport: see :class:`assigncore.SimOTAAssigner`."""

    center_radius: float = 2.5
    candidate_topk: int = 10
    iou_weight: float = 3.0
    cls_weight: float = 1.0
    iou_calculator: Any = field(default_factory=BboxOverlaps2D)
    core_class = assigncore.SimOTAAssigner

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Assign ``priors`` (N, 4), points with strides, by ``bboxes`` (N, 4) and ``scores`` (N, C).

        Scores are probabilities. Ignore regions are without effect, as published.
        """
        bboxes, gt = boxes_of(required(pred_instances, "bboxes", PRED)), ground_truth(gt_instances)
        points, predictions = as_many_as_predictions(
            points_of(required(pred_instances, "priors", PRED), bboxes),
            gt["gt_bboxes"],
            pred_bboxes=bboxes,
            pred_scores=required(pred_instances, "scores", PRED),
        )
        return AssignResult.of(self.core().assign(points, **gt, **predictions))


@dataclass(eq=False)
class DynamicSoftLabelAssigner(Knobs):
    """Decide by the cheapest predictions: see :class:`assigncore.DynamicSoftLabelAssigner`."""

    soft_center_radius: float = 3.0
    topk: int = 13
    iou_weight: float = 3.0
    iou_calculator: Any = field(default_factory=BboxOverlaps2D)
    core_class = assigncore.DynamicSoftLabelAssigner

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Assign ``priors`` (N, 4), points with strides, by ``bboxes`` (N, 4) and ``scores`` (N, C).

        Scores are logits. Where the ground truths have ``masks``, tensors (G, H, W) or mask objects with
        ``to_tensor``, their centres are those of the masks. Ignore regions are without effect, as published.
        """
        bboxes, gt = boxes_of(required(pred_instances, "bboxes", PRED)), ground_truth(gt_instances)
        points, predictions = as_many_as_predictions(
            points_of(required(pred_instances, "priors", PRED), bboxes),
            gt["gt_bboxes"],
            pred_bboxes=bboxes,
            pred_logits=required(pred_instances, "scores", PRED),
        )
        masks = None if 0 in gt["gt_bboxes"].shape else _masks(optional(gt_instances, "masks"), bboxes)
        return AssignResult.of(self.core().assign(points, **gt, **predictions, gt_masks=masks))


def _masks(masks: Any, like: Array) -> Any:
    """Return masks as booleans."""
    if masks is None:
        return None
    if hasattr(masks, "to_tensor"):
        masks = masks.to_tensor(dtype=like.dtype, device=like.device)
    return array_of(masks) > 0

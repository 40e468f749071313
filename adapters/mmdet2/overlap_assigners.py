"""The assigners of MMDetection 2 that decide by overlaps and by predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import assigncore
from assigncore.adapters.containers import (
    array_of,
    as_many_as_predictions,
    boxes_of,
    labels_of,
    points_of,
)
from assigncore.adapters.mmdet.knobs import GridKnobs, Knobs, MaxIoUKnobs, TaskAlignedKnobs
from assigncore.adapters.mmdet.prediction_assigners import with_metrics
from assigncore.adapters.mmdet.result import AssignResult
from assigncore.backend import Array

__all__ = ["ApproxMaxIoUAssigner", "GridAssigner", "MaxIoUAssigner", "SimOTAAssigner", "TaskAlignedAssigner"]


def boxes_or_none(x: Any, boxes_of: Callable[[Any], Array] = boxes_of) -> Any:
    """Return boxes (..., N, 4), or None of None."""
    return None if x is None else boxes_of(x)


@dataclass(eq=False)
class MaxIoUAssigner(MaxIoUKnobs):
    """Decide by each prior's best overlap: see :class:`assigncore.MaxIoUAssigner` for rule and knobs."""

    def assign(
        self, bboxes: Any, gt_bboxes: Any, gt_bboxes_ignore: Any = None, gt_labels: Array | None = None
    ) -> AssignResult:
        """Assign priors to ground truths.

        Parameters
        ----------
        bboxes : tensor (N, 4)
            Priors in pixels; further columns are passed over.
        gt_bboxes : tensor (G, 4)
            Ground truths.
        gt_bboxes_ignore : tensor (I, 4), optional
            Ignore regions.
        gt_labels : tensor (G,), optional
            Classes; without them the result's labels are None.

        Returns
        -------
        AssignResult
        """
        boxes = self.boxes_of(gt_bboxes)
        result = self.core().assign(
            self.boxes_of(bboxes),
            boxes,
            gt_labels=labels_of(gt_labels, boxes),
            ignore_bboxes=boxes_or_none(gt_bboxes_ignore, self.boxes_of),
        )
        return AssignResult.of(result)


@dataclass(eq=False)
class ApproxMaxIoUAssigner(MaxIoUKnobs):
    """Decide by the best of several approximations: see :class:`assigncore.ApproxMaxIoUAssigner`."""

    core_class = assigncore.ApproxMaxIoUAssigner

    def assign(
        self,
        approxs: Any,
        squares: Any,
        approxs_per_octave: int,
        gt_bboxes: Any,
        gt_bboxes_ignore: Any = None,
        gt_labels: Array | None = None,
    ) -> AssignResult:
        """Assign squares (N, 4) by their approximations.

        Parameters
        ----------
        approxs : tensor (N, 4 A) or (N A, 4)
            Those of the first square, then those of the next.
        squares : tensor (N, 4)
            Squares.
        approxs_per_octave : int
            A.
        gt_bboxes, gt_bboxes_ignore, gt_labels
            As of :meth:`MaxIoUAssigner.assign`.
        """
        priors = boxes_of(squares)
        result = self.core().assign(
            priors,
            boxes_of(gt_bboxes),
            approxs=array_of(approxs).reshape(len(priors), approxs_per_octave, 4),
            gt_labels=labels_of(gt_labels, boxes_of(gt_bboxes)),
            ignore_bboxes=boxes_or_none(gt_bboxes_ignore),
        )
        return AssignResult.of(result)


@dataclass(eq=False)
class GridAssigner(GridKnobs):
    """Decide by overlaps of the priors of responsible cells: see :class:`assigncore.GridAssigner`."""

    def assign(
        self, bboxes: Any, box_responsible_flags: Array, gt_bboxes: Any, gt_labels: Array | None = None
    ) -> AssignResult:
        """Assign priors (N, 4) with their flags (N,), which are true where not 0."""
        boxes = self.boxes_of(gt_bboxes)
        result = self.core().assign(
            self.boxes_of(bboxes),
            boxes,
            responsible_flags=box_responsible_flags != 0,
            gt_labels=labels_of(gt_labels, boxes),
        )
        return AssignResult.of(result)


@dataclass(eq=False)
class SimOTAAssigner(Knobs):
    """Decide by a simplified optimal transport: see :class:`assigncore.SimOTAAssigner`."""

    center_radius: float = 2.5
    candidate_topk: int = 10
    iou_weight: float = 3.0
    cls_weight: float = 1.0
    core_class = assigncore.SimOTAAssigner
    usual_options = MappingProxyType({"sqrt_scores": True, "eps": 1e-7})

    def assign(
        self,
        pred_scores: Array,
        priors: Any,
        decoded_bboxes: Any,
        gt_bboxes: Any,
        gt_labels: Array,
        gt_bboxes_ignore: Any = None,
        eps: float = 1e-7,
    ) -> AssignResult:
        """Assign points with strides (N, 4) by boxes (N, 4) and scores (N, C).

        Scores are products of class and objectness, whose square roots are compared. `eps` is added to
        overlaps before their logarithm. Ignore regions are without effect, as published.
        """
        bboxes, boxes = boxes_of(decoded_bboxes), boxes_of(gt_bboxes)
        points, predictions = as_many_as_predictions(
            points_of(priors, bboxes), boxes, pred_bboxes=bboxes, pred_scores=pred_scores
        )
        labels = labels_of(gt_labels, boxes, needed=True)
        result = self.core(sqrt_scores=True, eps=eps).assign(points, boxes, gt_labels=labels, **predictions)
        return _with_labels_of(result, gt_labels)


@dataclass(eq=False)
class TaskAlignedAssigner(TaskAlignedKnobs):
    """Decide by score and overlap at once: see :class:`assigncore.TaskAlignedAssigner`."""

    def assign(
        self,
        pred_scores: Array,
        decode_bboxes: Any,
        anchors: Any,
        gt_bboxes: Any,
        gt_bboxes_ignore: Any = None,
        gt_labels: Array | None = None,
        alpha: float = 1,
        beta: float = 6,
    ) -> AssignResult:
        """Assign anchors (N, 4) by predicted boxes (N, 4) and scores (N, C), which are probabilities.

        Ignore regions are without effect, as published.

        Returns
        -------
        AssignResult
            With the attribute ``assign_metrics`` (N,).
        """
        boxes = boxes_of(gt_bboxes)
        priors, predictions = as_many_as_predictions(
            boxes_of(anchors), boxes, pred_bboxes=boxes_of(decode_bboxes), pred_scores=pred_scores
        )
        labels = labels_of(gt_labels, boxes, needed=True)
        result = self.core(alpha=alpha, beta=beta).assign(priors, boxes, gt_labels=labels, **predictions)
        return with_metrics(_with_labels_of(result, gt_labels), result.extras["assign_metrics"])


def _with_labels_of(result: assigncore.AssignResult, gt_labels: Any) -> AssignResult:
    """Return a result, which has no labels where the ground truths have none."""
    published = AssignResult.of(result)
    if gt_labels is None:
        published.labels = None
    return published

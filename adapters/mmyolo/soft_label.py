"""MMYOLO's batched assigner of RTMDet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from assigncore.adapters.assigned_rows import (
    as_many,
    assigned_rows,
    padded_ground_truths,
    real_numbers,
)
from assigncore.adapters.core_by_knobs import CoreByKnobs
from assigncore.adapters.errors import also_assertion
from assigncore.adapters.mmdet.knobs import build_iou_calculator
from assigncore.assigners import DynamicSoftLabelAssigner
from assigncore.boxes.calculators import BboxOverlaps2D
from assigncore.registry import OVERLAP_CALCULATORS, build_overlap_calculator

__all__ = ["BatchDynamicSoftLabelAssigner", "Calculator", "calculator_of"]

Calculator = Callable[..., Any] | Mapping[str, Any]


def calculator_of(config: Calculator | None) -> Callable[..., Any]:
    """Build a calculator: the core's, a scope in front or not, or what MMDetection's drop-ins take."""
    if config is None:
        return BboxOverlaps2D()
    if isinstance(config, Mapping) and isinstance(config.get("type"), str):
        name = config["type"].rpartition(".")[2]
        if OVERLAP_CALCULATORS.registered(name) is not None:
            return cast(
                "Callable[..., Any]", build_overlap_calculator({**config, "type": name}, "iou_calculator")
            )
    return cast("Callable[..., Any]", build_iou_calculator(config))


class BatchDynamicSoftLabelAssigner(CoreByKnobs, torch.nn.Module):
    """Assignment by soft labels and dynamic k of a padded batch, as RTMDet trains.

    Parameters
    ----------
    num_classes : int
        Number of classes: C.
    soft_center_radius : float, default 3.0
        Distance from a centre, in strides, at which its cost is 1.
    topk : int, default 13
        Overlaps that are added up to the number of priors a ground truth takes.
    iou_weight : float, default 3.0
        Weight of the overlap's cost.
    iou_calculator : callable or config mapping, optional
        Overlaps; default :class:`assigncore.BboxOverlaps2D`. A scope in its type is left out. By one of
        MMRotate's, such as ``mmrotate.RBboxOverlaps2D``, boxes are oriented: cx, cy, w, h and an angle.
    batch_iou : bool, default True
        Accepted and not used: upstream chooses by it between two ways to the same values.

    Examples
    --------
    >>> boxes = torch.tensor([[[0.0, 0, 16, 16], [8, 0, 24, 16]]])
    >>> targets = BatchDynamicSoftLabelAssigner(num_classes=2)(
    ...     boxes,
    ...     torch.zeros(1, 2, 2),
    ...     torch.tensor([[8.0, 8, 8, 8], [16, 8, 8, 8]]),
    ...     torch.tensor([[[1]]]),
    ...     boxes[:, :1],
    ...     torch.ones(1, 1, 1),
    ... )
    >>> targets["assigned_labels"].tolist(), targets["assign_metrics"].tolist()
    ([[1, 2]], [[1.0, 0.0]])
    """

    @also_assertion
    def __init__(
        self,
        num_classes: int,
        soft_center_radius: float = DynamicSoftLabelAssigner.soft_center_radius,
        topk: int = DynamicSoftLabelAssigner.topk,
        iou_weight: float = DynamicSoftLabelAssigner.iou_weight,
        iou_calculator: Calculator | None = None,
        batch_iou: bool = True,
    ) -> None:
        super().__init__()
        self.num_classes, self.batch_iou = num_classes, batch_iou
        self.soft_center_radius, self.topk, self.iou_weight = soft_center_radius, topk, iou_weight
        self.iou_calculator = calculator_of(iou_calculator)
        self.core()

    def build(self, **options: Any) -> DynamicSoftLabelAssigner:
        """Build the core's assigner."""
        return DynamicSoftLabelAssigner(
            soft_center_radius=self.soft_center_radius,
            topk=self.topk,
            iou_weight=self.iou_weight,
            iou_calculator=self.iou_calculator,
            own_class_only=True,
            select_outside=True,
        )

    @torch.no_grad()
    def forward(
        self,
        pred_bboxes: Tensor,
        pred_scores: Tensor,
        priors: Tensor,
        gt_labels: Tensor,
        gt_bboxes: Tensor,
        pad_bbox_flag: Tensor,
    ) -> dict[str, Tensor]:
        """Assign the priors of all images.

        Parameters
        ----------
        pred_bboxes, pred_scores : Tensor (B, N, 4 or 5) and (B, N, C)
            Predicted boxes in pixels, and class logits, whatever the name says.
        priors : Tensor (N, 4)
            Points x, y, stride_x, stride_y.
        gt_labels, gt_bboxes, pad_bbox_flag : Tensor (B, K, 1), (B, K, 4 or 5) and (B, K, 1)
            Padded ground truths, and 1 where one is no padding.

        Returns
        -------
        dict of str to Tensor
            ``assigned_labels`` (B, N), for background the number of classes; ``assigned_labels_weights``
            (B, N), ones; ``assigned_bboxes`` (B, N, 4 or 5), zeros for background; ``assign_metrics`` (B, N),
            overlaps of positive priors.
        """
        labels, valid = padded_ground_truths(gt_labels, pad_bbox_flag)
        result = self.core().assign(
            as_many(real_numbers(priors), gt_bboxes, pred_bboxes.shape[1]),
            gt_bboxes,
            pred_bboxes=pred_bboxes,
            pred_logits=pred_scores,
            gt_labels=labels,
            gt_valid=valid,
        )
        rows, positive = assigned_rows(result, labels, gt_bboxes, self.num_classes), result.pos_mask
        assert result.max_overlaps is not None
        return {
            "assigned_labels": torch.where(positive, rows.labels, self.num_classes),
            "assigned_labels_weights": torch.ones_like(result.max_overlaps),
            "assigned_bboxes": torch.where(positive[..., None], rows.bboxes, 0.0),
            "assign_metrics": torch.where(positive, result.max_overlaps, 0.0),
        }

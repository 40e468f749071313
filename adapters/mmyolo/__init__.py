"""The assigners of MMYOLO: its class names, arguments and results over the core's assigners.

Neither MMYOLO nor MMEngine is imported. ``register(TASK_UTILS)`` puts the classes into a registry, so that
existing configs build them; a config may also name them in full,
``type="assigncore.adapters.mmyolo.BatchATSSAssigner"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from assigncore.adapters.assigned_rows import (
    AssignedRows,
    as_many,
    as_tuple,
    assigned_rows,
    class_scores,
    padded_ground_truths,
    real_numbers,
)
from assigncore.adapters.core_by_knobs import CoreByKnobs
from assigncore.adapters.errors import also_assertion
from assigncore.adapters.mmdet.building import register_classes
from assigncore.adapters.mmyolo.pose import PoseSimOTAAssigner
from assigncore.adapters.mmyolo.soft_label import BatchDynamicSoftLabelAssigner, Calculator, calculator_of
from assigncore.adapters.mmyolo.yolov7 import BatchYOLOv7Assigner
from assigncore.assigners import ATSSAssigner
from assigncore.assigners.task_aligned_presets import yolov6
from assigncore.boxes.calculators import PositiveCIoU, SmoothedIoU

__all__ = [
    "BatchATSSAssigner",
    "BatchDynamicSoftLabelAssigner",
    "BatchTaskAlignedAssigner",
    "BatchYOLOv7Assigner",
    "PoseSimOTAAssigner",
    "register",
]

HALF_ANCHOR = 2.5
"""Half the side of the anchors that stand for points, in strides, as published."""


def _targets(rows: AssignedRows, labels: Tensor, scores: Tensor, positive: Tensor) -> dict[str, Tensor]:
    """Return the published dict."""
    return {
        "assigned_labels": labels,
        "assigned_bboxes": rows.bboxes,
        "assigned_scores": scores,
        "fg_mask_pre_prior": positive,
    }


class BatchTaskAlignedAssigner(CoreByKnobs, torch.nn.Module):
    """Task-aligned assignment of a padded batch, as YOLOv6, YOLOv8 and PPYOLOE train.

    Parameters
    ----------
    num_classes : int
        Number of classes: C.
    topk : int, default 13
        Priors each ground truth may take; all of them where there are fewer.
    alpha, beta : float, default 1.0 and 6.0
        Exponents of score and overlap.
    eps : float, default 1e-7
        Added to the largest metric where it is divided by.
    use_ciou : bool, default False
        Whether overlaps are complete IoUs.

    Examples
    --------
    >>> assigner = BatchTaskAlignedAssigner(num_classes=2, topk=1)
    >>> targets = assigner(
    ...     torch.tensor([[[0.0, 0, 8, 8], [0, 0, 8, 6]]]),
    ...     torch.full((1, 2, 2), 0.5),
    ...     torch.tensor([[4.0, 4, 8, 8], [4, 4, 8, 8]]),
    ...     torch.tensor([[[1]]]),
    ...     torch.tensor([[[0.0, 0, 8, 8]]]),
    ...     torch.ones(1, 1, 1),
    ... )
    >>> targets["fg_mask_pre_prior"].tolist(), targets["assigned_scores"].round(decimals=3).tolist()
    ([[True, False]], [[[0.0, 1.0], [0.0, 0.0]]])
    """

    @also_assertion
    def __init__(
        self,
        num_classes: int,
        topk: int = 13,
        alpha: float = 1.0,
        beta: float = 6.0,
        eps: float = 1e-7,
        use_ciou: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes, self.topk, self.alpha, self.beta = num_classes, topk, alpha, beta
        self.eps, self.use_ciou = eps, use_ciou
        self.core()

    def build(self, **options: Any) -> Any:
        """Build the core's assigner."""
        calculator = {"iou_calculator": PositiveCIoU()} if self.use_ciou else {}
        return yolov6(topk=self.topk, alpha=self.alpha, beta=self.beta, eps=self.eps, **calculator)

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
        pred_bboxes, pred_scores : Tensor (B, N, 4) and (B, N, C)
            Predicted boxes in pixels, and probabilities.
        priors : Tensor (N, 2 or more)
            Points x, y, and strides, which are not read.
        gt_labels, gt_bboxes, pad_bbox_flag : Tensor (B, K, 1), (B, K, 4) and (B, K, 1)
            Padded ground truths, and 1 where one is no padding.

        Returns
        -------
        dict of str to Tensor
            ``assigned_labels`` (B, N), for background that of the first ground truth; ``assigned_bboxes``
            (B, N, 4); ``assigned_scores`` (B, N, C); ``fg_mask_pre_prior`` (B, N).
        """
        labels, valid = padded_ground_truths(gt_labels, pad_bbox_flag)
        result = self.core().assign(
            torch.nn.functional.pad(
                as_many(real_numbers(priors), gt_bboxes, pred_bboxes.shape[1])[..., :2], (0, 1), value=1.0
            ),
            gt_bboxes,
            pred_bboxes=pred_bboxes,
            pred_scores=pred_scores,
            gt_labels=labels,
            gt_valid=valid,
        )
        rows = assigned_rows(result, labels, gt_bboxes, self.num_classes)
        scores = class_scores(rows.labels, result.extras["assign_metrics"], self.num_classes)
        return _targets(rows, rows.labels, scores, result.pos_mask)


class BatchATSSAssigner(CoreByKnobs, torch.nn.Module):
    """Assignment by adaptive thresholds of a padded batch, as YOLOv6 and PPYOLOE begin their training.

    Parameters
    ----------
    num_classes : int
        Number of classes: C.
    iou_calculator : callable or config mapping, optional
        Overlaps of anchors; default :class:`assigncore.BboxOverlaps2D`. A scope in its type is left out.
    topk : int, default 9
        Candidates on each level; all priors of a level that has fewer.

    Examples
    --------
    >>> x, y = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="xy")
    >>> points = torch.stack([x, y], dim=-1).reshape(-1, 2) * 8 + 4
    >>> targets = BatchATSSAssigner(num_classes=2)(
    ...     None,
    ...     torch.cat([points, torch.full_like(points, 8.0)], dim=-1),
    ...     [16],
    ...     torch.tensor([[[1]]]),
    ...     torch.tensor([[[0.0, 0, 30, 30]]]),
    ...     torch.ones(1, 1, 1),
    ... )
    >>> targets["assigned_labels"].reshape(4, 4)
    tensor([[2, 2, 2, 2],
            [2, 1, 1, 2],
            [2, 1, 1, 2],
            [2, 2, 2, 2]])
    """

    @also_assertion
    def __init__(
        self,
        num_classes: int,
        iou_calculator: Calculator | None = None,
        topk: int = 9,
    ) -> None:
        super().__init__()
        self.num_classes, self.topk = num_classes, topk
        self.iou_calculator = calculator_of(iou_calculator)
        self._overlap = SmoothedIoU(eps=1e-9)
        self.core()

    def build(self, **options: Any) -> Any:
        """Build the core's assigner."""
        return ATSSAssigner(
            topk=self.topk,
            iou_calculator=self.iou_calculator,
            strictly_above=True,
            inside_margin=1e-9,
            conflicts="all",
        )

    @torch.no_grad()
    def forward(
        self,
        pred_bboxes: Tensor | None,
        priors: Tensor,
        num_level_priors: Sequence[int],
        gt_labels: Tensor,
        gt_bboxes: Tensor,
        pad_bbox_flag: Tensor,
    ) -> dict[str, Tensor]:
        """Assign the priors of all images.

        Parameters
        ----------
        pred_bboxes : Tensor (B, N, 4) or None
            Predicted boxes in pixels. Without them a positive prior's score is 1.
        priors : Tensor (N, 4)
            Points x, y, stride_x, stride_y.
        num_level_priors : sequence of int
            Number of priors of each level.
        gt_labels, gt_bboxes, pad_bbox_flag : Tensor (B, K, 1), (B, K, 4) and (B, K, 1)
            Padded ground truths, and 1 where one is no padding.

        Returns
        -------
        dict of str to Tensor
            ``assigned_labels`` (B, N), for background the number of classes; ``assigned_bboxes``
            (B, N, 4); ``assigned_scores`` (B, N, C); ``fg_mask_pre_prior`` (B, N).
        """
        labels, valid = padded_ground_truths(gt_labels, pad_bbox_flag)
        points = real_numbers(priors)
        center, half = points[..., :2], points[..., 2:4] * HALF_ANCHOR
        anchors = torch.cat([center - half, center + half], dim=-1)
        result = self.core().assign(
            anchors, gt_bboxes, num_level_priors=as_tuple(num_level_priors), gt_labels=labels, gt_valid=valid
        )
        rows = assigned_rows(result, labels, gt_bboxes, self.num_classes)
        positive = result.pos_mask
        assert result.max_overlaps is not None
        soft = positive.to(result.max_overlaps.dtype)
        if pred_bboxes is not None and 0 not in (gt_bboxes.shape[1], pred_bboxes.shape[1]):
            soft = soft * self._overlap(rows.bboxes, pred_bboxes, is_aligned=True)
        background = torch.where(positive, rows.labels, self.num_classes)
        return _targets(rows, background, class_scores(background, soft, self.num_classes), positive)


ASSIGNERS = (
    BatchATSSAssigner,
    BatchDynamicSoftLabelAssigner,
    BatchTaskAlignedAssigner,
    BatchYOLOv7Assigner,
    PoseSimOTAAssigner,
)
"""All of them."""


def register(registry: Any, *, force: bool = True) -> None:
    """Put the assigners into a registry under MMYOLO's names.

    Parameters
    ----------
    registry : object
        Has ``register_module(name=..., module=..., force=...)``, as MMYOLO's ``TASK_UTILS`` has. It also
        builds calculators of the user's own, which configs name.
    force : bool, default True
        Whether to replace what has the name already.
    """
    register_classes(registry, ASSIGNERS, force=force)

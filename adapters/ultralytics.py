"""The task-aligned assigner by the arguments and results of the YOLOv8 family's losses.

A YOLOv8-style detection loss keeps its assigner in an attribute: ``loss.assigner = TaskAlignedAssigner(...)``
puts this one in its place. Nothing of that framework is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from assigncore.adapters.assigned_rows import (
    assigned_rows,
    class_scores,
    padded_ground_truths,
    real_numbers,
)
from assigncore.assigners.task_aligned_presets import yolov8

__all__ = ["TaskAlignedAssigner"]


class TaskAlignedAssigner(torch.nn.Module):
    """Task-aligned assignment of a padded batch, as YOLOv8 and its successors train.

    Parameters
    ----------
    topk : int, default 13
        Priors each ground truth may take; all of them where there are fewer.
    num_classes : int, default 80
        Number of classes: C.
    alpha, beta : float, default 1.0 and 6.0
        Exponents of score and overlap.
    stride : sequence of int, default (8, 16, 32)
        Strides of the levels. Ground truths with a side shorter than the second, or the only one, count as
        that long when it is decided which points are inside.
    eps : float, default 1e-9
        Added to the largest metric where it is divided by.
    topk2 : int, optional
        Of what a ground truth has got, keep so many; by default `topk`, that is all.

    Examples
    --------
    >>> assigner = TaskAlignedAssigner(topk=1, num_classes=2)
    >>> labels, boxes, scores, mask, index = assigner(
    ...     torch.full((1, 2, 2), 0.5),
    ...     torch.tensor([[[0.0, 0, 8, 8], [0, 0, 8, 6]]]),
    ...     torch.tensor([[4.0, 4], [4, 4]]),
    ...     torch.tensor([[[1]]]),
    ...     torch.tensor([[[0.0, 0, 8, 8]]]),
    ...     torch.ones(1, 1, 1),
    ... )
    >>> mask.tolist(), scores.round(decimals=3).tolist()
    ([[True, False]], [[[0.0, 1.0], [0.0, 0.0]]])
    """

    def __init__(
        self,
        topk: int = 13,
        num_classes: int = 80,
        alpha: float = 1.0,
        beta: float = 6.0,
        stride: Sequence[int] = (8, 16, 32),
        eps: float = 1e-9,
        topk2: int | None = None,
    ) -> None:
        super().__init__()
        self.topk, self.num_classes, self.alpha, self.beta = topk, num_classes, alpha, beta
        self.stride, self.eps = stride, eps
        self.topk2 = topk if topk2 is None else topk2
        further: dict[str, Any] = {} if self.topk2 == topk else {"topk2": self.topk2}
        smallest_side = float(list(stride)[:2][-1])
        self.assigner = yolov8(
            topk=topk, alpha=alpha, beta=beta, eps=eps, smallest_side=smallest_side, **further
        )

    def forward(
        self,
        pd_scores: Tensor,
        pd_bboxes: Tensor,
        anc_points: Tensor,
        gt_labels: Tensor,
        gt_bboxes: Tensor,
        mask_gt: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Assign the points of all images.

        Parameters
        ----------
        pd_scores, pd_bboxes : Tensor (B, N, C) and (B, N, 4)
            Predicted probabilities, and boxes in pixels.
        anc_points : Tensor (N, 2)
            Points x, y in pixels.
        gt_labels, gt_bboxes, mask_gt : Tensor (B, K, 1), (B, K, 4) and (B, K, 1)
            Padded ground truths, and true where one is no padding.

        Returns
        -------
        target_labels : Tensor (B, N) of int64
            For background the label of the first ground truth.
        target_bboxes : Tensor (B, N, 4)
            Likewise.
        target_scores : Tensor (B, N, C)
            What the scores are trained towards; 0 for background.
        fg_mask : Tensor (B, N) of bool
            Which points are positive.
        target_gt_idx : Tensor (B, N) of int64
            The ground truth, from 0; 0 for background.
        """
        labels, valid = padded_ground_truths(gt_labels, mask_gt)
        given = gt_labels[..., 0].long()
        # As published: a negative label reads the score of a class counted from the end, and comes back as 0.
        read = torch.where(given < 0, given + pd_scores.shape[-1], labels)
        result = self.assigner.assign(
            torch.nn.functional.pad(real_numbers(anc_points), (0, 1), value=1.0),
            gt_bboxes,
            pred_bboxes=pd_bboxes,
            pred_scores=pd_scores,
            gt_labels=read,
            gt_valid=valid,
        )
        rows = assigned_rows(result, labels, gt_bboxes, self.num_classes)
        scores = class_scores(rows.labels, result.extras["assign_metrics"], self.num_classes)
        return rows.labels, rows.bboxes, scores, result.pos_mask, rows.gt_index

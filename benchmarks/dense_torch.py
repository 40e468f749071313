"""The baselines: each assigner as detectors usually write it, in plain dense PyTorch, one image at a time.

They are what a user has today, so they are neither slowed down nor tuned: the pairwise overlaps are made
whole from broadcast corners, reduced along both axes, and rare rules are a loop over the ground truths.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["assign_by_overlaps", "max_iou", "pairwise_iou"]


def pairwise_iou(gts: Tensor, priors: Tensor) -> Tensor:
    """Compute the IoU (G, N) of boxes (G, 4) with boxes (N, 4)."""
    gt_areas = (gts[:, 2] - gts[:, 0]) * (gts[:, 3] - gts[:, 1])
    prior_areas = (priors[:, 2] - priors[:, 0]) * (priors[:, 3] - priors[:, 1])
    top_left = torch.max(gts[:, None, :2], priors[None, :, :2])
    bottom_right = torch.min(gts[:, None, 2:], priors[None, :, 2:])
    sides = (bottom_right - top_left).clamp(min=0)
    shared = sides[..., 0] * sides[..., 1]
    union = gt_areas[:, None] + prior_areas[None, :] - shared
    return shared / union.clamp(min=1e-6)


def max_iou(
    *,
    priors: Tensor,
    gt_bboxes: Tensor,
    gt_labels: Tensor,
    pos_iou_thr: float,
    neg_iou_thr: float,
    min_pos_iou: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Assign by overlap thresholds; returns `gt_inds`, `max_overlaps` and `labels`, each (N,)."""
    return assign_by_overlaps(
        pairwise_iou(gt_bboxes, priors), gt_labels, pos_iou_thr, neg_iou_thr, min_pos_iou
    )


def assign_by_overlaps(
    overlaps: Tensor, gt_labels: Tensor, pos_iou_thr: float, neg_iou_thr: float, min_pos_iou: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Do so with overlaps (G, N)."""
    best, best_gt = overlaps.max(dim=0)
    best_of_gt, _ = overlaps.max(dim=1)
    gt_inds = torch.full_like(best_gt, -1)
    gt_inds[(best >= 0) & (best < neg_iou_thr)] = 0
    positive = best >= pos_iou_thr
    gt_inds[positive] = best_gt[positive] + 1
    for i in range(len(gt_labels)):
        if best_of_gt[i] >= min_pos_iou:
            gt_inds[overlaps[i] == best_of_gt[i]] = i + 1
    labels = torch.full_like(gt_inds, -1)
    assigned = gt_inds > 0
    labels[assigned] = gt_labels[gt_inds[assigned] - 1]
    return gt_inds, best, labels

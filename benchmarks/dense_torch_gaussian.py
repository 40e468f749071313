"""The baselines of small objects: boxes compared as normal distributions, in plain dense PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from dense_torch import assign_by_overlaps
from torch import Tensor

__all__ = ["max_nwd", "pairwise_nwd", "pairwise_rfd", "rfla"]


def centers_and_sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centres and the sides of boxes (n, 4), (n, 2) each."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]


def pairwise_nwd(gts: Tensor, priors: Tensor, constant: float) -> Tensor:
    """Compute the normalized Wasserstein distance (G, N) of boxes (G, 4) and (N, 4)."""
    (centers, sides), (other_centers, other_sides) = centers_and_sides(gts), centers_and_sides(priors)
    apart = centers[:, None] - other_centers[None]
    longer = (sides[:, None] - other_sides[None]) / 2
    return torch.exp(-torch.sqrt((apart**2).sum(-1) + (longer**2).sum(-1)) / constant)


def pairwise_rfd(gts: Tensor, fields: Tensor, decay: float = 1.0) -> Tensor:
    """Compute one over one more than the divergence (G, N) of receptive fields (N, 4) from boxes (G, 4)."""
    (centers, sides), (field_centers, field_sides) = centers_and_sides(gts), centers_and_sides(fields)
    sides = sides.clamp(min=1e-6)
    size = (field_sides * decay).clamp(min=1e-6)[None] / sides[:, None]
    shift = 2 * (centers[:, None] - field_centers[None]) / sides[:, None]
    divergence = (size**2 + shift**2 - 2 * torch.log(size)).sum(-1) / 2 - 1
    return 1 / (1 + divergence.clamp(min=0))


def max_nwd(
    *,
    priors: Tensor,
    gt_bboxes: Tensor,
    gt_labels: Tensor,
    pos_iou_thr: float,
    neg_iou_thr: float,
    min_pos_iou: float,
    iou_calculator: Mapping[str, Any],
) -> tuple[Tensor, Tensor, Tensor]:
    """Assign by thresholds of the distance; returns `gt_inds`, `max_overlaps` and `labels`, each (N,)."""
    overlaps = pairwise_nwd(gt_bboxes, priors, iou_calculator["constant"])
    return assign_by_overlaps(overlaps, gt_labels, pos_iou_thr, neg_iou_thr, min_pos_iou)


def rfla(
    *,
    priors: Tensor,
    gt_bboxes: Tensor,
    gt_labels: Tensor,
    topk: tuple[int, int],
    decay: float,
    neg_iou_thr: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Assign by rank in two rounds; returns `gt_inds`, `max_overlaps` and `labels`, each (N,)."""
    first, second = pairwise_rfd(gt_bboxes, priors), pairwise_rfd(gt_bboxes, priors, decay)
    best = second.amax(0)
    gt_inds = torch.where(best < neg_iou_thr, 0, -1)
    # The first round has the last word.
    for overlaps, k in ((second, topk[1]), (first, topk[0])):
        places = overlaps.topk(k, dim=1).indices
        for i in range(len(gt_bboxes)):
            gt_inds[places[i]] = i + 1
    labels = torch.full_like(gt_inds, -1)
    assigned = gt_inds > 0
    labels[assigned] = gt_labels[gt_inds[assigned] - 1]
    return gt_inds, best, labels

"""The baselines of the assigners that decide by places and regions, as detectors usually write them.

As in ``dense_torch.py``: one image at a time, all pairs at once, rare rules in a loop over the ground truths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from dense_torch import pairwise_iou
from torch import Tensor

__all__ = ["atss", "center_region", "point", "region", "uniform"]

UNASSIGNED = -1e8


def atss(
    *, priors: Tensor, gt_bboxes: Tensor, gt_labels: Tensor, num_level_priors: Sequence[int], topk: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Assign by an adaptive threshold; returns `gt_inds`, `max_overlaps` and `labels`, each (N,)."""
    overlaps = pairwise_iou(gt_bboxes, priors).T
    centers, gt_centers = _centers(priors), _centers(gt_bboxes)
    distances = (centers[:, None] - gt_centers[None]).pow(2).sum(-1).sqrt()
    nearest, start = [], 0
    for count in num_level_priors:
        level = distances[start : start + count]
        nearest.append(level.topk(min(topk, count), dim=0, largest=False).indices + start)
        start += count
    candidates = torch.cat(nearest)
    candidate_overlaps = overlaps.gather(0, candidates)
    threshold = candidate_overlaps.mean(0) + candidate_overlaps.std(0)
    at = centers[candidates]
    to_sides = torch.cat([at - gt_bboxes[None, :, :2], gt_bboxes[None, :, 2:] - at], dim=-1)
    positive = (candidate_overlaps >= threshold) & (to_sides.min(-1).values > 0.01)
    table = torch.full_like(overlaps, UNASSIGNED)
    gts = torch.arange(len(gt_bboxes), device=priors.device).expand_as(candidates)
    table[candidates[positive], gts[positive]] = candidate_overlaps[positive]
    best, best_gt = table.max(dim=1)
    gt_inds = torch.where(best != UNASSIGNED, best_gt + 1, 0)
    return gt_inds, best, _labels(gt_inds, gt_labels)


def point(
    *, priors: Tensor, gt_bboxes: Tensor, gt_labels: Tensor, scale: float, pos_num: int
) -> tuple[Tensor, Tensor]:
    """Assign the nearest points of the level of a size; returns `gt_inds` and `labels`, each (N,)."""
    points, level = priors[:, :2], priors[:, 2].log2().int()
    centers, sides = _centers(gt_bboxes), (gt_bboxes[:, 2:] - gt_bboxes[:, :2]).clamp(min=1e-6)
    gt_level = ((sides / scale).log2().sum(-1) / 2).int()
    gt_level = gt_level.clamp(int(level.min()), int(level.max()))
    gt_inds = torch.zeros(len(points), dtype=torch.int64, device=priors.device)
    recorded = torch.full((len(points),), math.inf, device=priors.device)
    everyone = torch.arange(len(points), device=priors.device)
    for i in range(len(gt_bboxes)):
        members = everyone[level == gt_level[i]]
        distance = ((points[members] - centers[i]) / sides[i]).norm(dim=1)
        near, order = distance.topk(pos_num, largest=False)
        index = members[order]
        nearer = near < recorded[index]
        gt_inds[index[nearer]] = i + 1
        recorded[index[nearer]] = near[nearer]
    return gt_inds, _labels(gt_inds, gt_labels)


def region(
    *,
    priors: Tensor,
    gt_bboxes: Tensor,
    gt_labels: Tensor,
    num_level_priors: Sequence[int],
    featmap_sizes: Sequence[tuple[int, int]],
    anchor_scale: float,
    anchor_strides: Sequence[int],
    image_shape: tuple[int, int],
    allowed_border: float,
    center_ratio: float,
    ignore_ratio: float,
) -> tuple[Tensor, Tensor]:
    """Assign by the central regions of objects; returns `gt_inds` and `labels`, each (N,)."""
    sides = gt_bboxes[:, 2:] - gt_bboxes[:, :2]
    octave = sides.prod(-1).sqrt().log2() - math.log2(anchor_scale * anchor_strides[0])
    gt_level = (octave + 0.5).floor().clamp(0, len(anchor_strides) - 1).int().tolist()
    levels = priors.split(list(num_level_priors))
    centers = [_centers(anchors / stride) for anchors, stride in zip(levels, anchor_strides, strict=True)]
    gt_inds = [torch.zeros(count, dtype=torch.int64, device=priors.device) for count in num_level_priors]
    beside = [torch.zeros(count, dtype=torch.bool, device=priors.device) for count in num_level_priors]

    def within(gt: Tensor, level: int, ratio: float) -> Tensor:
        area = _central_cells(gt / anchor_strides[level], ratio, featmap_sizes[level])
        return ((centers[level] >= area[:2]) & (centers[level] <= area[2:])).all(-1)

    for i, (gt, own) in enumerate(zip(gt_bboxes, gt_level, strict=True)):
        gt_inds[own][within(gt, own, ignore_ratio)] = -1
        gt_inds[own][within(gt, own, center_ratio)] = i + 1
        for level in (own - 1, own + 1):
            if 0 <= level < len(levels):
                beside[level] |= within(gt, level, ignore_ratio)
    result = torch.cat(gt_inds)
    result[torch.cat(beside)] = -1
    if allowed_border >= 0:
        height, width = (side + allowed_border for side in image_shape)
        low, high = (
            (priors[:, :2] >= -allowed_border).all(-1),
            priors[:, 2:] < torch.tensor([width, height], device=priors.device),
        )
        result[~(low & high.all(-1))] = -1
    return result, _labels(result, gt_labels, otherwise=0)


def center_region(
    *,
    priors: Tensor,
    gt_bboxes: Tensor,
    gt_labels: Tensor,
    pos_scale: float,
    neg_scale: float,
    min_pos_iof: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Assign by cores; returns `gt_inds` (N,), `labels` (N,), and prior and class of shadows (S, 2)."""
    centers = _centers(priors)[:, None]
    in_gt = (centers > gt_bboxes[:, :2]).all(-1) & (centers < gt_bboxes[:, 2:]).all(-1)
    in_core = in_gt & (_covered(priors, _scaled(gt_bboxes, pos_scale)) > min_pos_iof)
    in_shadow = (_covered(priors, _scaled(gt_bboxes, neg_scale)) > min_pos_iof) & ~in_core
    by_size = (gt_bboxes[:, 2:] - gt_bboxes[:, :2]).prod(-1).argsort(descending=True, stable=True)
    rank = torch.empty_like(by_size)
    rank[by_size] = torch.arange(len(gt_bboxes), device=priors.device)
    best, chosen = torch.where(in_core, rank, -1).max(dim=1)
    gt_inds = torch.where(best >= 0, chosen + 1, 0)
    outranked = in_core.clone()
    outranked[torch.arange(len(priors), device=priors.device), chosen] = False
    shadows = torch.cat([in_shadow.nonzero(), outranked.nonzero()])
    shadows[:, 1] = gt_labels[shadows[:, 1]]
    labels = _labels(gt_inds, gt_labels)
    clash = shadows[labels[shadows[:, 0]] == shadows[:, 1], 0]
    gt_inds[clash] = 0
    labels[clash] = -1
    return gt_inds, labels, shadows


def uniform(
    *,
    priors: Tensor,
    gt_bboxes: Tensor,
    gt_labels: Tensor,
    pred_bboxes: Tensor,
    pos_ignore_thr: float,
    neg_ignore_thr: float,
    match_times: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Assign equally many priors to each object; returns `gt_inds` (N,) and all that training reads."""
    targets = _center_and_sides(gt_bboxes)
    nearest = [
        torch.cdist(_center_and_sides(boxes), targets, p=1).topk(match_times, dim=0, largest=False).indices
        for boxes in (pred_bboxes, priors)
    ]
    index = torch.cat(nearest, dim=1).flatten()
    gt = torch.arange(len(gt_bboxes), device=priors.device).repeat(2 * match_times)
    overlaps = pairwise_iou(gt_bboxes, priors)
    gt_inds = torch.zeros(len(priors), dtype=torch.int64, device=priors.device)
    gt_inds[pairwise_iou(gt_bboxes, pred_bboxes).max(dim=0).values > neg_ignore_thr] = -1
    positive = overlaps[gt, index] >= pos_ignore_thr
    # A plain ``gt_inds[index] = ...`` leaves open, from some thousand entries on, which of a prior's is last.
    turns = torch.arange(1, len(index) + 1, device=priors.device)
    last = torch.zeros_like(gt_inds).scatter_reduce(0, index, turns, "amax")
    gt_inds = torch.where(last > 0, torch.where(positive, gt + 1, -1)[last - 1], gt_inds)
    labels = _labels(gt_inds, gt_labels)
    return gt_inds, overlaps.max(dim=1).values, labels, positive, pred_bboxes[index], gt_bboxes[gt]


def _centers(boxes: Tensor) -> Tensor:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _center_and_sides(boxes: Tensor) -> Tensor:
    return torch.cat([_centers(boxes), boxes[:, 2:] - boxes[:, :2]], dim=-1)


def _scaled(boxes: Tensor, scale: float) -> Tensor:
    centers, reach = _centers(boxes), (boxes[:, 2:] - boxes[:, :2]) * 0.5 * scale
    return torch.cat([centers - reach, centers + reach], dim=-1)


def _covered(priors: Tensor, regions: Tensor) -> Tensor:
    """Compute the fraction (N, G) of each prior that each region covers."""
    top_left = torch.max(priors[:, None, :2], regions[None, :, :2])
    bottom_right = torch.min(priors[:, None, 2:], regions[None, :, 2:])
    shared = (bottom_right - top_left).clamp(min=0).prod(-1)
    return shared / (priors[:, 2:] - priors[:, :2]).prod(-1).clamp(min=1e-6)[:, None]


def _central_cells(box: Tensor, ratio: float, size: tuple[int, int]) -> Tensor:
    """Cut the central `ratio` out of a box (4,) in cells, rounded to whole ones."""
    edge = (1 - ratio) / 2
    height, width = size
    low, high = (1 - edge) * box[:2] + edge * box[2:], edge * box[:2] + (1 - edge) * box[2:]
    limits = torch.tensor([width, height, width, height], dtype=box.dtype, device=box.device)
    return torch.cat([low, high]).round().clamp(min=0).minimum(limits)


def _labels(gt_inds: Tensor, gt_labels: Tensor, otherwise: int = -1) -> Tensor:
    labels = torch.full_like(gt_inds, otherwise)
    assigned = gt_inds > 0
    labels[assigned] = gt_labels[gt_inds[assigned] - 1]
    return labels

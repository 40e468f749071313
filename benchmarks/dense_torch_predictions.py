"""The baselines of the assigners that read predictions, as detectors usually write them.

As in ``dense_torch.py``: one image at a time, all pairs at once. Where scores are compared with every class
of every ground truth, as SimOTA and its kin are written, that is an array (V, G, C) over the V priors that
count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from dense_torch import pairwise_iou
from scipy.optimize import linear_sum_assignment
from torch import Tensor

__all__ = ["dynamic_soft_label", "hungarian", "mask_hungarian", "sim_ota", "task_aligned"]

UNASSIGNED = -1e8
SIMOTA_UNASSIGNED = -1e5
FOCAL_ALPHA, FOCAL_GAMMA, FOCAL_EPS = 0.25, 2.0, 1e-12


def task_aligned(
    *,
    priors: Tensor,
    gt_bboxes: Tensor,
    gt_labels: Tensor,
    pred_bboxes: Tensor,
    pred_scores: Tensor,
    topk: int,
    alpha: float,
    beta: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Assign by aligned scores and overlaps; `gt_inds`, `max_overlaps`, `labels` and metrics, each (N,)."""
    overlaps = pairwise_iou(gt_bboxes, pred_bboxes).T
    metrics = pred_scores[:, gt_labels].pow(alpha) * overlaps.pow(beta)
    values, index = metrics.topk(min(topk, len(priors)), dim=0)
    centers = ((priors[:, :2] + priors[:, 2:]) / 2)[index]
    to_sides = torch.cat([centers - gt_bboxes[None, :, :2], gt_bboxes[None, :, 2:] - centers], dim=-1)
    positive = (values > 0) & (to_sides.min(-1).values > 0.01)
    gts = torch.arange(len(gt_bboxes), device=priors.device).expand_as(index)
    table = torch.full_like(overlaps, UNASSIGNED)
    table[index[positive], gts[positive]] = overlaps[index[positive], gts[positive]]
    best, best_gt = table.max(dim=1)
    taken = best != UNASSIGNED
    gt_inds = torch.where(taken, best_gt + 1, 0)
    aligned = torch.where(taken, metrics[torch.arange(len(priors), device=priors.device), best_gt], 0)
    return gt_inds, best, _labels(gt_inds, gt_labels), aligned


def sim_ota(
    *,
    priors: Tensor,
    gt_bboxes: Tensor,
    gt_labels: Tensor,
    pred_bboxes: Tensor,
    pred_scores: Tensor,
    center_radius: float,
    candidate_topk: int,
    iou_weight: float,
    cls_weight: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Assign the cheapest, dynamic k; returns `gt_inds`, `max_overlaps` and `labels`, each (N,)."""
    at, reach = priors[:, None, :2], center_radius * priors[:, None, 2:]
    gt_centers = (gt_bboxes[:, :2] + gt_bboxes[:, 2:]) / 2
    in_box = _inside(at, gt_bboxes[:, :2], gt_bboxes[:, 2:])
    in_center = _inside(at, gt_centers - reach, gt_centers + reach)
    valid = (in_box | in_center).any(dim=1)
    scores, overlaps = pred_scores[valid], pairwise_iou(gt_bboxes, pred_bboxes[valid]).T
    cube = F.one_hot(gt_labels, scores.shape[-1]).float()[None].repeat(len(scores), 1, 1)
    repeated = scores[:, None].repeat(1, len(gt_bboxes), 1)
    cls_cost = F.binary_cross_entropy(repeated, cube, reduction="none").sum(-1)
    cost = cls_cost * cls_weight - (overlaps + 1e-7).log() * iou_weight
    cost = cost + 1e5 * ~(in_box & in_center)[valid]
    return _dynamic_k(cost, overlaps, valid, gt_labels, candidate_topk, SIMOTA_UNASSIGNED)


def dynamic_soft_label(
    *,
    priors: Tensor,
    gt_bboxes: Tensor,
    gt_labels: Tensor,
    pred_bboxes: Tensor,
    pred_logits: Tensor,
    soft_center_radius: float,
    topk: int,
    iou_weight: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Assign by soft labels, dynamic k; returns `gt_inds`, `max_overlaps` and `labels`, each (N,)."""
    valid = _inside(priors[:, None, :2], gt_bboxes[:, :2], gt_bboxes[:, 2:]).any(dim=1)
    logits, overlaps = pred_logits[valid], pairwise_iou(gt_bboxes, pred_bboxes[valid]).T
    gt_centers = (gt_bboxes[:, :2] + gt_bboxes[:, 2:]) / 2
    distance = (priors[valid][:, None, :2] - gt_centers).pow(2).sum(-1).sqrt() / priors[valid][:, None, 2]
    prior_cost = 10 ** (distance - soft_center_radius)
    cube = F.one_hot(gt_labels, logits.shape[-1]).float()[None] * overlaps[..., None]
    repeated = logits[:, None].repeat(1, len(gt_bboxes), 1)
    scale = (cube - repeated.sigmoid()).abs().pow(2)
    cls_cost = (F.binary_cross_entropy_with_logits(repeated, cube, reduction="none") * scale).sum(-1)
    cost = cls_cost - (overlaps + 1e-7).log() * iou_weight + prior_cost
    return _dynamic_k(cost, overlaps, valid, gt_labels, topk, UNASSIGNED)


def hungarian(
    *,
    gt_bboxes: Tensor,
    gt_labels: Tensor,
    pred_bboxes: Tensor,
    pred_logits: Tensor,
    image_shape: tuple[int, int],
    match_costs: Sequence[Mapping[str, Any]],
) -> tuple[Tensor, Tensor]:
    """Match one to one by focal, L1 and GIoU costs; returns `gt_inds` and `labels`, each (N,)."""
    focal, distance, overlap = (cost["weight"] for cost in match_costs)
    height, width = image_shape
    scale = torch.tensor([width, height, width, height], device=pred_bboxes.device)
    p = pred_logits.sigmoid()
    negative = -(1 - p + FOCAL_EPS).log() * (1 - FOCAL_ALPHA) * p.pow(FOCAL_GAMMA)
    positive = -(p + FOCAL_EPS).log() * FOCAL_ALPHA * (1 - p).pow(FOCAL_GAMMA)
    cost = (positive[:, gt_labels] - negative[:, gt_labels]) * focal
    apart = torch.cdist(_center_and_sides(pred_bboxes) / scale, _center_and_sides(gt_bboxes) / scale, p=1)
    cost = cost + apart * distance - _pairwise_giou(pred_bboxes, gt_bboxes) * overlap
    return _solved(cost, gt_labels)


def mask_hungarian(
    *,
    gt_labels: Tensor,
    gt_masks: Tensor,
    pred_logits: Tensor,
    pred_masks: Tensor,
    match_costs: Sequence[Mapping[str, Any]],
) -> tuple[Tensor, Tensor]:
    """Match one to one by class, cross-entropy and dice costs; returns `gt_inds` and `labels`, each (N,)."""
    classes, crossed, dice = (cost["weight"] for cost in match_costs)
    smooth = match_costs[2]["eps"]
    x, m = pred_masks.flatten(1), gt_masks.flatten(1).float()
    cost = -pred_logits.softmax(-1)[:, gt_labels] * classes
    positive = F.binary_cross_entropy_with_logits(x, torch.ones_like(x), reduction="none")
    negative = F.binary_cross_entropy_with_logits(x, torch.zeros_like(x), reduction="none")
    cost = cost + (positive @ m.T + negative @ (1 - m).T) / x.shape[-1] * crossed
    p = x.sigmoid()
    sums = p.sum(-1)[:, None] + m.sum(-1)[None]
    cost = cost + (1 - (2 * (p @ m.T) + smooth) / (sums + smooth)) * dice
    return _solved(cost, gt_labels)


def _inside(points: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Tell which points (N, 1, 2) lie within boxes (G, 2) to (G, 2) or (N, G, 2) to (N, G, 2)."""
    return torch.cat([points - low, high - points], dim=-1).min(-1).values > 0


def _dynamic_k(
    cost: Tensor, overlaps: Tensor, valid: Tensor, gt_labels: Tensor, topk: int, unassigned: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Take of each ground truth the cheapest, as many as its best overlaps sum to; settle conflicts."""
    matching = torch.zeros_like(cost)
    best_overlaps = overlaps.topk(min(topk, len(overlaps)), dim=0).values
    counts = best_overlaps.sum(0).int().clamp(min=1)
    for gt in range(cost.shape[1]):
        index = cost[:, gt].topk(int(counts[gt]), largest=False).indices
        matching[index, gt] = 1
    contested = matching.sum(1) > 1
    if contested.any():
        cheapest = cost[contested].min(dim=1).indices
        matching[contested] = 0
        matching[contested, cheapest] = 1
    taken = matching.sum(1) > 0
    gt_inds = torch.zeros(len(valid), dtype=torch.int64, device=valid.device)
    max_overlaps = torch.full((len(valid),), unassigned, device=valid.device)
    rows = valid.nonzero()[:, 0][taken]
    gt_inds[rows] = matching[taken].argmax(1) + 1
    max_overlaps[rows] = (matching * overlaps).sum(1)[taken]
    return gt_inds, max_overlaps, _labels(gt_inds, gt_labels)


def _solved(cost: Tensor, gt_labels: Tensor) -> tuple[Tensor, Tensor]:
    rows, columns = linear_sum_assignment(cost.cpu().numpy())
    gt_inds = torch.zeros(len(cost), dtype=torch.int64)
    gt_inds[torch.from_numpy(rows)] = torch.from_numpy(columns) + 1
    gt_inds = gt_inds.to(cost.device)
    return gt_inds, _labels(gt_inds, gt_labels)


def _pairwise_giou(predictions: Tensor, gts: Tensor) -> Tensor:
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (predictions, gts)]
    low, high = predictions[:, None, :2], predictions[:, None, 2:]
    shared = (torch.min(high, gts[None, :, 2:]) - torch.max(low, gts[None, :, :2])).clamp(min=0).prod(-1)
    union = (areas[0][:, None] + areas[1][None] - shared).clamp(min=1e-6)
    around = (torch.max(high, gts[None, :, 2:]) - torch.min(low, gts[None, :, :2])).clamp(min=0).prod(-1)
    around = around.clamp(min=1e-6)
    return shared / union - (around - union) / around


def _center_and_sides(boxes: Tensor) -> Tensor:
    return torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], dim=-1)


def _labels(gt_inds: Tensor, gt_labels: Tensor) -> Tensor:
    labels = torch.full_like(gt_inds, -1)
    assigned = gt_inds > 0
    labels[assigned] = gt_labels[gt_inds[assigned] - 1]
    return labels

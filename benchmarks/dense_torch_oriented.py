"""The baseline of oriented boxes: polygons clipped as detectors usually do it, in plain dense PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from dense_torch import assign_by_overlaps
from torch import Tensor

__all__ = ["max_iou", "pairwise_rotated_iou"]

TOUCHING = 1e-4
"""By how much a corner may miss a box and still be on its side, in pixels."""


def corners_of(boxes: Tensor) -> Tensor:
    """Return the corners (n, 4, 2) of boxes (n, 5)."""
    c, s = torch.cos(boxes[:, 4]), torch.sin(boxes[:, 4])
    along = torch.stack([c, s], dim=-1) * boxes[:, 2:3] / 2
    across = torch.stack([-s, c], dim=-1) * boxes[:, 3:4] / 2
    offsets = torch.stack([-along - across, along - across, along + across, across - along], dim=1)
    return boxes[:, None, :2] + offsets


def corners_in(corners: Tensor, boxes: Tensor) -> Tensor:
    """Tell which corners (..., 4, 2) are in boxes (..., 5)."""
    offset = corners - boxes[..., None, :2]
    c, s = torch.cos(boxes[..., 4])[..., None], torch.sin(boxes[..., 4])[..., None]
    u, v = c * offset[..., 0] + s * offset[..., 1], c * offset[..., 1] - s * offset[..., 0]
    half = boxes[..., None, 2:4] / 2 + TOUCHING
    return (u.abs() <= half[..., 0]) & (v.abs() <= half[..., 1])


def pairwise_rotated_iou(gts: Tensor, priors: Tensor) -> Tensor:
    """Compute the IoU (G, N) of boxes (G, 5) with boxes (N, 5): corners inside and crossings, in order."""
    p, q = corners_of(gts)[:, None], corners_of(priors)[None]
    shape = (len(gts), len(priors))
    a, b = p[..., :, None, :], q[..., None, :, :]
    side_a, side_b = (p.roll(-1, dims=-2) - p)[..., :, None, :], (q.roll(-1, dims=-2) - q)[..., None, :, :]
    cross = side_a[..., 0] * side_b[..., 1] - side_a[..., 1] * side_b[..., 0]
    apart = b - a
    divisor = torch.where(cross.abs() < 1e-9, torch.ones_like(cross), cross)
    t = (apart[..., 0] * side_b[..., 1] - apart[..., 1] * side_b[..., 0]) / divisor
    u = (apart[..., 0] * side_a[..., 1] - apart[..., 1] * side_a[..., 0]) / divisor
    crosses = (cross.abs() >= 1e-9) & (t >= 0) & (t <= 1) & (u >= 0) & (u <= 1)
    crossings = a + t[..., None] * side_a
    points = torch.cat([p.expand(*shape, 4, 2), q.expand(*shape, 4, 2), crossings.flatten(2, 3)], dim=2)
    inside = corners_in(p, priors[None]), corners_in(q, gts[:, None])
    found = torch.cat([*(x.expand(*shape, 4) for x in inside), crosses.flatten(2, 3)], dim=2)
    count = found.sum(-1)
    middle = (points * found[..., None]).sum(2) / count.clamp(min=1)[..., None]
    points = torch.where(found[..., None], points - middle[..., None, :], 0.0)
    angle = torch.where(found, torch.atan2(points[..., 1], points[..., 0]), 10.0)
    order = angle.argsort(-1)
    points = points.gather(2, order[..., None].expand_as(points))
    # What is not found comes last, and stands for the first point once more.
    ordered = torch.arange(points.shape[2], device=points.device) < count[..., None]
    points = torch.where(ordered[..., None], points, points[..., :1, :])
    ahead = points.roll(-1, dims=2)
    shared = (points[..., 0] * ahead[..., 1] - points[..., 1] * ahead[..., 0]).sum(-1).abs() / 2
    of_gts, of_priors = (boxes[:, 2] * boxes[:, 3] for boxes in (gts, priors))
    return shared / (of_gts[:, None] + of_priors[None] - shared).clamp(min=1e-6)


def max_iou(
    *, priors: Tensor, gt_bboxes: Tensor, gt_labels: Tensor, **knobs: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Assign by overlap thresholds; returns `gt_inds`, `max_overlaps` and `labels`, each (N,)."""
    thresholds = {name: x for name, x in knobs.items() if name != "iou_calculator"}
    return assign_by_overlaps(pairwise_rotated_iou(gt_bboxes, priors), gt_labels, **thresholds)

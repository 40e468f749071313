"""The assigners by dynamic k: one pair, one class and one prior after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.reference.min_positives import add_positives

__all__ = ["dynamic_soft_label", "sim_ota"]

AnyArray = NDArray[Any]
Outputs = dict[str, AnyArray]


def sim_ota(inputs: Mapping[str, AnyArray], knobs: Mapping[str, Any]) -> Outputs:
    """Assign by SimOTA, with every cost in double precision.

    Parameters
    ----------
    inputs : mapping
        ``priors`` (N, 4), ``pred_bboxes`` (N, 4), ``pred_scores`` (N, C), ``gt_bboxes`` (G, 4), ``gt_labels``
        (G,).
    knobs : mapping
        Those of the assigner that are not the default.

    Returns
    -------
    dict of str to numpy.ndarray
        The outputs by the goldens' names.
    """
    knobs = {"center_radius": 2.5, "candidate_topk": 10, "iou_weight": 3.0, "cls_weight": 1.0, **knobs}
    points, gts = inputs["priors"], inputs["gt_bboxes"]
    scores = np.minimum(inputs["pred_scores"].astype(np.float64), 1)
    if knobs.get("sqrt_scores"):
        scores = np.sqrt(scores)
    radius = points.dtype.type(knobs["center_radius"])

    def inside(n: int, g: int) -> tuple[bool, bool]:
        x, y, stride_x, stride_y = points[n]
        x1, y1, x2, y2 = gts[g]
        center_x, center_y = (x1 + x2) / 2, (y1 + y2) / 2
        near_x = min(x - (center_x - radius * stride_x), center_x + radius * stride_x - x) > 0
        near_y = min(y - (center_y - radius * stride_y), center_y + radius * stride_y - y) > 0
        return bool(min(x - x1, x2 - x, y - y1, y2 - y) > 0), bool(near_x and near_y)

    regions = {(n, g): inside(n, g) for n in range(len(points)) for g in range(len(gts))}
    counted = [n for n in range(len(points)) if any(any(regions[n, g]) for g in range(len(gts)))]
    ious = {(n, g): _iou(inputs["pred_bboxes"][n], gts[g]) for n in counted for g in range(len(gts))}

    def cost(n: int, g: int) -> float:
        entropy = sum(_entropy(float(p), c == inputs["gt_labels"][g]) for c, p in enumerate(scores[n]))
        total = knobs["cls_weight"] * entropy - knobs["iou_weight"] * math.log(
            ious[n, g] + knobs.get("eps", 1e-7)
        )
        return float(total + (0 if all(regions[n, g]) else 1e5))

    fill = (knobs.get("min_positives", 0), counted, cost)
    return _match(inputs, counted, ious, cost, knobs["candidate_topk"], fill, nothing=-1e5)


def dynamic_soft_label(inputs: Mapping[str, AnyArray], knobs: Mapping[str, Any]) -> Outputs:
    """Assign by dynamic soft labels, with every cost in double precision.

    Parameters
    ----------
    inputs : mapping
        ``priors`` (N, 4), ``pred_bboxes`` (N, 4), ``pred_logits`` (N, C), ``gt_bboxes`` (G, 4), ``gt_labels``
        (G,) and optionally ``gt_masks`` (G, H, W).
    knobs : mapping
        Those of the assigner that are not the default.

    Returns
    -------
    dict of str to numpy.ndarray
        The outputs by the goldens' names.
    """
    knobs = {"soft_center_radius": 3.0, "topk": 13, "iou_weight": 3.0, **knobs}
    points, gts, masks = inputs["priors"], inputs["gt_bboxes"], inputs.get("gt_masks")
    logits = inputs["pred_logits"].astype(np.float64)
    own_class, outside = knobs.get("own_class_only", False), knobs.get("select_outside", False)
    closed = knobs.get("closed_boxes", False)
    centers = [_center(gts[g], None if masks is None else masks[g]) for g in range(len(gts))]

    def in_any(n: int) -> bool:
        x, y = points[n, :2]
        depths = [min(x - x1, x2 - x, y - y1, y2 - y) for x1, y1, x2, y2 in gts]
        return any(depth > 0 or (closed and depth == 0) for depth in depths)

    inner = [n for n in range(len(points)) if in_any(n)]
    counted = list(range(len(points))) if outside else inner
    every = range(len(points))
    ious = {(n, g): _iou(inputs["pred_bboxes"][n], gts[g]) for n in every for g in range(len(gts))}

    def cost(n: int, g: int) -> float:
        return own_cost(n, g) if n in inner else 1e8

    def own_cost(n: int, g: int) -> float:
        label = int(inputs["gt_labels"][g])
        total = 0.0
        for c in [label] if own_class else range(logits.shape[1]):
            x, soft = float(logits[n, c]), ious[n, g] if c == label else 0.0
            entropy = max(x, 0) - x * soft + math.log1p(math.exp(-abs(x)))
            total += entropy * (soft - 1 / (1 + math.exp(-x))) ** 2
        apart = math.hypot(points[n, 0] - centers[g][0], points[n, 1] - centers[g][1]) / points[n, 2]
        soft_prior = 10 ** min(apart - knobs["soft_center_radius"], 38)
        return float(total - knobs["iou_weight"] * math.log(ious[n, g] + 1e-7) + soft_prior)

    fill = (knobs.get("min_positives", 0), every, own_cost)
    return _match(inputs, counted, ious, cost, knobs["topk"], fill, nothing=-1e8)


def _match(
    inputs: Mapping[str, AnyArray],
    counted: list[int],
    ious: Mapping[tuple[int, int], float],
    cost: Callable[[int, int], float],
    topk: int,
    fill: tuple[int, Sequence[int], Callable[[int, int], float]],
    *,
    nothing: float,
) -> Outputs:
    """Let each ground truth choose its dynamic k cheapest priors, then give each prior to one.

    `fill` is `min_positives`, the priors that may be had for it, and what they cost.
    """
    n_gts = len(inputs["gt_bboxes"])
    gt_inds = np.zeros(len(inputs["priors"]), dtype=np.int64)
    overlaps = np.full(len(gt_inds), nothing if counted and n_gts else 0.0, dtype=inputs["pred_bboxes"].dtype)
    costs = {(n, g): cost(n, g) for n in counted for g in range(n_gts)}
    choosers: dict[int, list[int]] = {}
    for g in range(n_gts):
        largest = sorted((ious[n, g] for n in counted), reverse=True)[:topk]
        total = overlaps.dtype.type(0)
        for value in largest:
            total += overlaps.dtype.type(value)
        for n in sorted(counted, key=lambda n: costs[n, g])[: max(int(total), 1)]:
            choosers.setdefault(n, []).append(g)
    for n, those in choosers.items():
        g = those[0] if len(those) == 1 else min(range(n_gts), key=lambda g: costs[n, g])
        gt_inds[n], overlaps[n] = g + 1, ious[n, g]
    (least, some, cost), codes = fill, gt_inds.tolist()
    added = add_positives(codes, range(n_gts), least, lambda g, n: cost(n, g), eligible=some)
    for n, g in added.items():
        gt_inds[n], overlaps[n] = g + 1, ious[n, g]
    labels = np.full(len(gt_inds), -1)
    labels[gt_inds > 0] = inputs["gt_labels"][gt_inds[gt_inds > 0] - 1]
    return {"gt_inds": gt_inds, "max_overlaps": overlaps, "labels": labels}


def _entropy(p: float, present: bool) -> float:
    p = p if present else 1 - p
    return -max(math.log(p), -100) if p > 0 else 100.0


def _center(box: AnyArray, mask: AnyArray | None) -> tuple[float, float]:
    if mask is None:
        return float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2
    y, x = np.nonzero(mask)
    return float(x.sum() / max(len(x), 1e-7)), float(y.sum() / max(len(y), 1e-7))


def _iou(a: AnyArray, b: AnyArray) -> float:
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    overlap = sides[0] * sides[1]
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap
    return float(overlap / max(union, a.dtype.type(1e-6)))

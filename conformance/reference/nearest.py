"""The assigners by nearest priors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, product
from typing import Any

import numpy as np

from assigncore.conformance.reference.image import (
    Box,
    Image,
    Measure,
    Outputs,
    Point,
    center,
    first_best,
    in_region,
    iof,
    iou,
    shape,
)
from assigncore.conformance.reference.min_positives import add_positives

__all__ = ["atss", "point", "uniform"]

UNASSIGNED = -1e8


def _nearest(
    priors: dict[int, Box],
    center: Point,
    k: int,
    sides: tuple[Any, Any],
    last_resort: frozenset[int] | set[int] = frozenset(),
) -> list[tuple[Any, int]]:
    """Give the `k` priors nearest to a center, in units of `sides`; the first of equally near ones."""

    def distance(n: int) -> Any:
        if n in last_resort:
            return type(center[0])(1e16)
        dx, dy = ((p - c) / s for p, c, s in zip(_center_of(priors[n]), center, sides, strict=True))
        return dx * dx + dy * dy

    return sorted(((distance(n), n) for n in priors), key=lambda pair: pair)[:k]


def _center_of(prior: Box) -> Point:
    return prior[:2] if len(prior) == 3 else center(prior)


def atss(
    image: Image,
    topk: int,
    ignore_iof_thr: Any = -1,
    strictly_above: bool = False,
    inside_margin: Any = 0.01,
    conflicts: str = "claimants",
    min_positives: int = 0,
    num_level_priors: Sequence[int] = (),
) -> Outputs:
    """Assign by adaptive thresholds; all priors are of one level where the levels are not told."""
    number, priors = image.dtype, image.eligible()
    ends = list(accumulate(num_level_priors or [len(image.priors)]))
    levels = [
        {n: priors[n] for n in range(start, end) if n in priors}
        for start, end in zip([0, *ends], ends, strict=False)
    ]
    ignored = {n for n, box in priors.items() if in_region(image, box, ignore_iof_thr, True, iof)}
    codes = [-1 if n in ignored else 0 for n in range(len(image.priors))]
    overlaps = [number(UNASSIGNED)] * len(codes)
    claims: dict[int, list[int]] = {}
    for g, gt in image.gts.items():
        near = [
            pair
            for own in levels
            for pair in _nearest(own, center(gt), topk, (number(1), number(1)), ignored)
        ]
        values = [iou(gt, priors[n]) for _, n in near]
        threshold = _mean_plus_deviation(values)
        for (_, n), value in zip(near, values, strict=True):
            x, y = center(priors[n])
            inside = min(x - gt[0], y - gt[1], gt[2] - x, gt[3] - y) > number(inside_margin)
            above = value > threshold if strictly_above else value >= threshold
            if inside and above:
                claims.setdefault(n, []).append(g)
    for n, claimants in claims.items():
        competitors = list(image.gts) if conflicts == "all" and len(claimants) > 1 else claimants
        best, value = first_best({g: iou(image.gts[g], priors[n]) for g in competitors})
        codes[n], overlaps[n] = best + 1, value

    def overlap(g: int, n: int) -> Any:
        return iou(image.gts[g], priors[n])

    def distance(g: int, n: int) -> Any:
        return _squared(center(priors[n]), center(image.gts[g]))

    free = [n for n in priors if n not in ignored]
    for n, g in add_positives(codes, image.gts, min_positives, distance, overlap, eligible=free).items():
        overlaps[n] = overlap(g, n)
    return image.outputs(codes, overlaps)


def _squared(a: Point, b: Point) -> Any:
    dx, dy = a[0] - b[0], a[1] - b[1]
    return dx * dx + dy * dy


def _mean_plus_deviation(values: Any) -> Any:
    if len(values) < 2:
        return math.inf
    number = type(values[0])
    mean = values[0] + _sum(value - values[0] for value in values) / number(len(values))
    variance = _sum((value - mean) * (value - mean) for value in values) / number(len(values) - 1)
    return mean + type(values[0])(math.sqrt(variance))


def _sum(values: Any) -> Any:
    total, *rest = values
    for value in rest:
        total = total + value
    return total


def point(image: Image, scale: Any = 4, pos_num: Any = 3, min_positives: int = 0) -> Outputs:
    """Assign the points nearest to each ground truth, on the level of its size."""
    number, points = image.dtype, image.eligible()
    levels = {n: int(math.log2(p[2])) for n, p in points.items()}
    codes = [0] * len(image.priors)
    recorded: dict[int, Any] = {}
    near: dict[int, dict[int, Any]] = {}
    for g, gt in image.gts.items():
        if not points:
            break
        sides = tuple(max(b - a, number(1e-6)) for a, b in (gt[0::2], gt[1::2]))
        level = int((math.log2(sides[0] / number(scale)) + math.log2(sides[1] / number(scale))) / 2)
        level = min(max(level, min(levels.values())), max(levels.values()))
        own = {n: p for n, p in points.items() if levels[n] == level}
        near[g] = {n: distance for distance, n in _nearest(own, center(gt), len(own), sides)}
        for distance, n in _nearest(own, center(gt), pos_num, sides):
            if distance < recorded.get(n, math.inf):
                recorded[n], codes[n] = distance, g + 1
    add_positives(codes, near, min_positives, lambda g, n: near[g].get(n), eligible=points)
    return image.codes_alone(codes)


def uniform(
    image: Image,
    pos_ignore_thr: Any,
    neg_ignore_thr: Any,
    match_times: int = 4,
    min_positives: int = 0,
    measure: Measure = iou,
) -> Outputs:
    """Assign equally many priors and predictions to each ground truth, one write after the other."""
    number, (n_gts, columns) = image.dtype, image.arguments["gt_bboxes"].shape
    nothing = (number(0),) * columns
    predictions = image.boxes("pred_bboxes")
    kinds = [
        {n: box for n, box in enumerate(boxes) if image.valid[n] and box is not None}
        for boxes in (predictions, image.priors)
    ]
    best = {
        g: max((measure(gt, prior) for prior in kinds[1].values()), default=0) for g, gt in image.gts.items()
    }
    codes = [0] * len(image.priors)
    for n, box in kinds[0].items():
        if any(measure(gt, box) > number(neg_ignore_thr) for gt in image.gts.values()):
            codes[n] = -1
    near = [_by_distance(boxes, image.gts) for boxes in kinds]
    ranks = min(match_times, len(codes)) if n_gts else 0
    written = []
    for rank, order, g in product(range(ranks), near, range(n_gts)):
        entry = (False, nothing, nothing, (-1, g))
        for n in order.get(g, ())[rank : rank + 1]:
            prior, gt = image.priors[n], image.gts[g]
            positive = not (0 if prior is None else measure(prior, gt)) < number(pos_ignore_thr)
            codes[n] = g + 1 if positive else -1
            entry = (positive, predictions[n] or nothing, gt, (n, g))
        written.append(entry)
    free = kinds[1]
    added = add_positives(
        codes,
        image.gts,
        min_positives,
        lambda g, n: _l1(free[n], image.gts[g]),
        lambda _g, _n: 0,
        eligible=free,
        last=True,
    )
    found = image.outputs(codes, [number(0)] * len(codes))
    del found["max_overlaps"]
    if codes and n_gts:
        found["max_overlaps"] = np.array([best.get(g, 0) for g in range(n_gts)], dtype=number)
    return {
        **found,
        "pos_idx": np.array(
            [positive or added.get(n, -1) == g for positive, _, _, (n, g) in written], dtype=bool
        ),
        "pos_predicted_boxes": np.array([box for _, box, _, _ in written], dtype=number).reshape(-1, columns),
        "target_boxes": np.array([box for _, _, box, _ in written], dtype=number).reshape(-1, columns),
    }


def _by_distance(boxes: Any, gts: dict[int, Box]) -> dict[int, list[int]]:
    """Give the priors by their distance from each ground truth, the first of equally near ones."""
    return {g: [n for _, n in sorted((_l1(box, gt), n) for n, box in boxes.items())] for g, gt in gts.items()}


def _l1(box: Box, gt: Box) -> Any:
    x, y, w, h = (abs(a - b) for a, b in zip(shape(box), shape(gt), strict=True))
    return ((x + y) + w) + h

"""The assigners by overlap thresholds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from assigncore.conformance.reference.image import Image, Outputs, first_best, in_region, iof, iou
from assigncore.conformance.reference.min_positives import add_positives

__all__ = ["approx_max_iou", "ascend_max_iou", "grid", "matcher", "max_iou", "ssd_matcher"]

Table = dict[int, dict[int, Any]]


def _takers(row: Any, value: Any, first: int, knobs: Mapping[str, Any]) -> list[int]:
    """Give the priors that a ground truth takes for its best overlap."""
    return [n for n, x in row.items() if x == value] if knobs.get("gt_max_assign_all", True) else [first]


def _by_threshold(image: Image, boxes: Any, knobs: Mapping[str, Any]) -> tuple[list[int], list[int], Table]:
    """Give what the threshold assigners share: who counts, who is ignored, overlaps[gt][prior]."""
    measure, fraction = knobs.get("measure", iou), knobs.get("fraction", iof)
    thr, by_prior = knobs.get("ignore_iof_thr", -1), knobs.get("ignore_wrt_candidates", True)
    part = image.eligible()
    ignored = [n for n in part if image.gts and in_region(image, part[n], thr, by_prior, fraction)]
    eligible = [n for n in part if n not in ignored and any(box is not None for box in boxes[n])]
    table = {
        g: {n: max(measure(gt, box) for box in boxes[n] if box is not None) for n in eligible}
        for g, gt in image.gts.items()
    }
    return eligible, ignored, table


def _fill_up(codes: list[int], table: Table, eligible: list[int], knobs: Mapping[str, Any]) -> dict[int, int]:
    """Add what `min_positives` asks for; an overlap of 0 is with nothing, but by a measure of one's own."""
    least = -np.inf if "measure" in knobs else 0

    def distance(g: int, n: int) -> Any:
        return -table[g][n] if table[g][n] > least else None

    return add_positives(codes, table, knobs.get("min_positives", 0), distance, eligible=eligible)


def _is_background(value: Any, thr: Any, dtype: Any) -> bool:
    low, high = thr if isinstance(thr, tuple | list) else (0, thr)
    return bool(dtype(low) <= value < dtype(high))


def _assign_by_threshold(
    image: Image, boxes: Any, knobs: Mapping[str, Any], may_take: Callable[[Any], bool]
) -> tuple[list[int], list[Any], list[int]]:
    eligible, ignored, table = _by_threshold(image, boxes, knobs)
    overlaps = [image.dtype(0 if valid else -1) for valid in image.valid]
    best = [min(image.gts, default=0)] * len(overlaps)
    for n in ignored:
        overlaps[n] = image.dtype(-1)
    if image.gts:
        for n in eligible:
            best[n], overlaps[n] = first_best({g: row[n] for g, row in table.items()})
    codes = [0 if _is_background(x, knobs["neg_iou_thr"], image.dtype) else -1 for x in overlaps]
    for n in eligible:
        if overlaps[n] >= image.dtype(knobs["pos_iou_thr"]):
            codes[n] = best[n] + 1
    for g, row in table.items() if knobs.get("match_low_quality", True) else ():
        if not row:
            continue
        first, value = first_best(row)
        if may_take(value):
            for n in _takers(row, value, first, knobs):
                codes[n], best[n] = g + 1, g
    for n, g in _fill_up(codes, table, eligible, knobs).items():
        best[n] = g
    return codes, overlaps, best


def max_iou(image: Image, **knobs: Any) -> Outputs:
    """Assign by the best overlap and two thresholds."""
    boxes = [[box] for box in image.priors]
    least = image.dtype(knobs.get("min_pos_iou", 0.0))
    codes, overlaps, _ = _assign_by_threshold(image, boxes, knobs, lambda value: value >= least)
    return image.outputs(codes, overlaps)


def approx_max_iou(image: Image, **knobs: Any) -> Outputs:
    """Do the same for the best of several approximations of each prior."""
    boxes = [[image.finite_box(row) for row in rows] for rows in image.arguments["approxs"]]
    least = image.dtype(knobs.get("min_pos_iou", 0.0))
    codes, overlaps, _ = _assign_by_threshold(image, boxes, knobs, lambda value: value >= least)
    return image.outputs(codes, overlaps)


def ascend_max_iou(image: Image, **knobs: Any) -> Outputs:
    """Do the same with masks, where a ground truth that overlaps nothing takes nothing."""
    boxes = [[box] for box in image.priors]
    least = image.dtype(knobs.get("min_pos_iou", 0.0))
    codes, overlaps, best = _assign_by_threshold(image, boxes, knobs, lambda x: x >= least and x > 0)
    found = image.outputs(codes, overlaps)
    extras = {
        "pos_mask": found["gt_inds"] > 0,
        "neg_mask": found["gt_inds"] == 0,
        "anchor_gt_indices": np.array(best, dtype=np.int64),
    }
    if "labels" in found:
        labels = [image.label(g) if image.gts else 0 for g in best]
        extras["anchor_gt_labels"] = np.array(labels, dtype=np.int64)
    return {**found, **extras}


def grid(image: Image, **knobs: Any) -> Outputs:
    """Assign by overlaps of the priors of responsible grid cells."""
    eligible, _, table = _by_threshold(image, [[box] for box in image.priors], knobs)
    responsible = [n for n in eligible if image.arguments["responsible_flags"][n]]
    dtype, neg = image.dtype, knobs["neg_iou_thr"]
    codes = []
    for n in range(len(image.priors)):
        value = max((row[n] for row in table.values()), default=dtype(0)) if n in eligible else dtype(0)
        if isinstance(neg, tuple | list):
            background = dtype(neg[0]) < value <= dtype(neg[1])
        else:
            background = 0 <= value <= dtype(neg)
        codes.append(0 if background else -1)
    overlaps = [dtype(-1)] * len(codes)
    for n in responsible if image.gts else ():
        g, overlaps[n] = first_best({g: row[n] for g, row in table.items()})
        if overlaps[n] > dtype(knobs["pos_iou_thr"]):
            codes[n] = g + 1
    for g, row in table.items():
        mine = {n: row[n] for n in responsible}
        if mine and first_best(mine)[1] > dtype(knobs.get("min_pos_iou", 0.0)):
            first, value = first_best(mine)
            for n in _takers(mine, value, first, knobs):
                codes[n] = g + 1
    _fill_up(codes, table, responsible, knobs)
    return image.outputs(codes, overlaps)


def _best_of_priors(image: Image, knobs: Mapping[str, Any]) -> tuple[list[int], Table, list[int], list[Any]]:
    """Give overlaps by ground truth and prior, and each prior's best ground truth and overlap."""
    eligible, _, table = _by_threshold(image, [[box] for box in image.priors], knobs)
    best = [min(image.gts, default=0)] * len(image.priors)
    overlaps = [image.dtype(0 if valid else -1) for valid in image.valid]
    for n in eligible if table else ():
        best[n], overlaps[n] = first_best({g: row[n] for g, row in table.items()})
    return eligible, table, best, overlaps


def matcher(
    image: Image,
    *,
    thresholds: Sequence[float],
    labels: Sequence[int],
    allow_low_quality_matches: bool = False,
    **knobs: Any,
) -> Outputs:
    """Assign by intervals of overlaps, in which a low-quality match is with the prior's own best."""
    eligible, table, best, overlaps = _best_of_priors(image, knobs)
    codes = [labels[sum(x >= image.dtype(thr) for thr in thresholds)] for x in overlaps]
    for row in table.values() if allow_low_quality_matches else ():
        for n in [n for n, x in row.items() if x == max(row.values())]:
            codes[n] = 1
    codes = [code if code != 1 else best[n] + 1 if n in eligible else -1 for n, code in enumerate(codes)]
    _fill_up(codes, table, eligible, knobs)
    return image.outputs(codes, overlaps, best_gt=np.array(best, dtype=np.int64))


def ssd_matcher(image: Image, *, threshold: Any = 0.5, **knobs: Any) -> Outputs:
    """Assign as SSD does: each ground truth takes its first best prior, whoever else had it."""
    eligible, table, best, overlaps = _best_of_priors(image, knobs)
    above = [n in eligible and x >= image.dtype(threshold) for n, x in enumerate(overlaps)]
    codes = [best[n] + 1 if positive else 0 for n, positive in enumerate(above)]
    for g, row in table.items():
        if row:
            codes[first_best(row)[0]] = g + 1
    _fill_up(codes, table, eligible, knobs)
    return image.outputs(codes, overlaps)

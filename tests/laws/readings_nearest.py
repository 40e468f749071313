"""The rules of the assigners by nearest priors, read like those in `readings`."""

import math
from itertools import product

import numpy as np

from .readings import _in_region, iof, iou
from .readings_regions import _center, _counted, _without_overlaps

UNASSIGNED = -1e8


def _nearest(priors, center, k, sides, last_resort=frozenset()):
    """Give the `k` priors nearest to a centre, in units of `sides`; the first of equally near ones."""

    def distance(n):
        if n in last_resort:
            return type(center[0])(1e16)
        dx, dy = ((p - c) / s for p, c, s in zip(_center_of(priors[n]), center, sides, strict=True))
        return dx * dx + dy * dy

    return sorted(((distance(n), n) for n in priors), key=lambda pair: pair)[:k]


def _center_of(prior):
    return prior[:2] if len(prior) == 3 else _center(prior)


def atss(image, topk, ignore_iof_thr=-1, strictly_above=False, inside_margin=0.01, conflicts="claimants"):
    """Read the rule of the adaptive threshold, with all priors on one level."""
    number, priors = image.dtype, _counted(image)
    ignored = {n for n, box in priors.items() if _in_region(image, box, ignore_iof_thr, True, iof)}
    codes = [-1 if n in ignored else 0 for n in range(len(image.priors))]
    overlaps, claims = [number(UNASSIGNED)] * len(codes), {}
    for g, gt in image.gts.items():
        near = _nearest(priors, _center(gt), topk, (number(1), number(1)), ignored)
        values = [iou(gt, priors[n]) for _, n in near]
        threshold = _mean_plus_deviation(values)
        for (_, n), value in zip(near, values, strict=True):
            x, y = _center(priors[n])
            inside = min(x - gt[0], y - gt[1], gt[2] - x, gt[3] - y) > number(inside_margin)
            above = value > threshold if strictly_above else value >= threshold
            if inside and above:
                claims.setdefault(n, []).append(g)
    for n, claimants in claims.items():
        competitors = list(image.gts) if conflicts == "all" and len(claimants) > 1 else claimants
        values = {g: iou(image.gts[g], priors[n]) for g in competitors}
        best = max(values, key=values.get)
        codes[n], overlaps[n] = best + 1, values[best]
    return image.outputs(codes, overlaps)


def _mean_plus_deviation(values):
    if len(values) < 2:
        return math.inf
    number = type(values[0])
    mean = values[0] + _sum(value - values[0] for value in values) / number(len(values))
    variance = _sum((value - mean) * (value - mean) for value in values) / number(len(values) - 1)
    return mean + type(values[0])(math.sqrt(variance))


def _sum(values):
    total, *rest = values
    for value in rest:
        total = total + value
    return total


def point(image, scale=4, pos_num=3):
    """Read the rule of nearest points."""
    number, points = image.dtype, _counted(image)
    levels = {n: int(math.log2(p[2])) for n, p in points.items()}
    codes, recorded = [0] * len(image.priors), {}
    for g, gt in image.gts.items():
        if not points:
            break
        sides = tuple(max(b - a, number(1e-6)) for a, b in (gt[0::2], gt[1::2]))
        level = int((math.log2(sides[0] / number(scale)) + math.log2(sides[1] / number(scale))) / 2)
        level = min(max(level, min(levels.values())), max(levels.values()))
        own = {n: p for n, p in points.items() if levels[n] == level}
        for distance, n in _nearest(own, _center(gt), pos_num, sides):
            if distance < recorded.get(n, math.inf):
                recorded[n], codes[n] = distance, g + 1
    return _without_overlaps(image, codes)


def uniform(image, pos_ignore_thr, neg_ignore_thr, match_times=4):
    """Read the rule of equally many matches, one write after the other."""
    number, n_gts = image.dtype, len(image.arguments["gt_bboxes"])
    nothing = (number(0),) * 4
    predictions = image.boxes("pred_bboxes")
    kinds = [
        {n: box for n, box in enumerate(boxes) if image.takes_part[n] and box is not None}
        for boxes in (predictions, image.priors)
    ]
    best = {g: max((iou(prior, gt) for prior in kinds[1].values()), default=0) for g, gt in image.gts.items()}
    codes = [0] * len(image.priors)
    for n, box in kinds[0].items():
        if any(iou(box, gt) > number(neg_ignore_thr) for gt in image.gts.values()):
            codes[n] = -1
    near = [_by_distance(boxes, image.gts) for boxes in kinds]
    ranks = min(match_times, len(codes)) if n_gts else 0
    written = []
    for rank, order, g in product(range(ranks), near, range(n_gts)):
        entry = (False, nothing, nothing)
        for n in order.get(g, ())[rank : rank + 1]:
            positive = not iou(image.priors[n] or nothing, image.gts[g]) < number(pos_ignore_thr)
            codes[n] = g + 1 if positive else -1
            entry = (True, predictions[n] or nothing, image.gts[g]) if positive else entry
        written.append(entry)
    found = image.outputs(codes, [number(0)] * len(codes))
    del found["max_overlaps"]
    if codes and n_gts:
        found["max_overlaps"] = np.array([best.get(g, 0) for g in range(n_gts)], dtype=number)
    return {
        **found,
        "pos_idx": np.array([positive for positive, _, _ in written], dtype=bool),
        "pos_predicted_boxes": np.array([box for _, box, _ in written], dtype=number).reshape(-1, 4),
        "target_boxes": np.array([box for _, _, box in written], dtype=number).reshape(-1, 4),
    }


def _by_distance(boxes, gts):
    """Give the priors by their distance from each ground truth, the first of equally near ones."""
    return {g: sorted(boxes, key=lambda n, gt=gt: (_l1(boxes[n], gt), n)) for g, gt in gts.items()}


def _l1(box, gt):
    (x, y), (gx, gy) = _center(box), _center(gt)
    width, height = abs((box[2] - box[0]) - (gt[2] - gt[0])), abs((box[3] - box[1]) - (gt[3] - gt[1]))
    return ((abs(x - gx) + abs(y - gy)) + width) + height

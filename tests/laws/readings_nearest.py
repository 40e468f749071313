"""The rules of the assigners by nearest priors, read like those in `readings`."""

import math

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


def atss(image, topk, ignore_iof_thr=-1):
    """Read the rule of the adaptive threshold, with all priors on one level."""
    number, priors = image.dtype, _counted(image)
    ignored = {n for n, box in priors.items() if _in_region(image, box, ignore_iof_thr, True, iof)}
    codes = [-1 if n in ignored else 0 for n in range(len(image.priors))]
    overlaps = [number(UNASSIGNED)] * len(codes)
    for g, gt in image.gts.items():
        near = _nearest(priors, _center(gt), topk, (number(1), number(1)), ignored)
        values = [iou(gt, priors[n]) for _, n in near]
        threshold = _mean_plus_deviation(values)
        for (_, n), value in zip(near, values, strict=True):
            x, y = _center(priors[n])
            inside = min(x - gt[0], y - gt[1], gt[2] - x, gt[3] - y) > number(0.01)
            if inside and value >= threshold and value > overlaps[n]:
                codes[n], overlaps[n] = g + 1, value
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

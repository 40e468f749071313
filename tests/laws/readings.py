"""The assigners' rules, read pair by pair in plain Python, with nothing of the core in it.

A reading takes the arguments of one image as NumPy arrays and the knobs, and returns the outputs by name.
Numbers are NumPy scalars of the computing dtype, so every operation rounds as it does in an array.
"""

import math

import numpy as np


def read_image(rule, arguments, **knobs):
    """Read one image: bring its arguments to the computing dtype, find what is whole, apply the rule."""
    return rule(Image(arguments), **knobs)


class Image:
    """The rows of one image that count: broken boxes are None, padding is left out."""

    def __init__(self, arguments):
        floats = [array.dtype for array in arguments.values() if array.dtype.kind in "fV"]
        self.dtype = np.result_type(np.float32, *floats).type
        self.arguments = arguments
        self.priors = self.boxes("priors")
        self.takes_part = self.mask("prior_valid", len(self.priors))
        gts = self.boxes("gt_bboxes")
        valid = self.mask("gt_valid", len(gts))
        self.gts = {i: box for i, box in enumerate(gts) if valid[i] and box is not None}
        regions = self.boxes("ignore_bboxes") if "ignore_bboxes" in arguments else []
        valid = self.mask("ignore_valid", len(regions))
        self.regions = [box for i, box in enumerate(regions) if valid[i] and box is not None]

    def boxes(self, name):
        return [self.whole_box(row) for row in self.arguments[name]]

    def whole_box(self, row):
        """Give a box in the computing dtype, or None where a number is NaN, infinite or overflows an area."""
        limit = math.sqrt(float(np.finfo(self.dtype).max)) / 4
        box = tuple(self.dtype(x) for x in row)
        return box if all(abs(x) <= limit for x in box) else None

    def mask(self, name, count):
        return [bool(x) for x in self.arguments.get(name, [True] * count)]

    def label(self, gt):
        return int(self.arguments["gt_labels"][gt])

    def outputs(self, codes, overlaps, **extras):
        """Apply what holds for all: no ground truth, no foreground; no part, no code; labels follow."""
        for n, takes_part in enumerate(self.takes_part):
            if not takes_part:
                codes[n] = -1
            elif not self.gts:
                codes[n], overlaps[n] = 0, 0
        found = {
            "gt_inds": np.array(codes, dtype=np.int64),
            "max_overlaps": np.array(overlaps, dtype=self.dtype),
        }
        if "gt_labels" in self.arguments:
            labels = [self.label(code - 1) if code > 0 else -1 for code in codes]
            found["labels"] = np.array(labels, dtype=np.int64)
        return {**found, **extras}


def _parts(a, b):
    zero = type(a[0])(0)
    width = max(min(a[2], b[2]) - max(a[0], b[0]), zero)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), zero)
    return width * height, (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])


def iou(a, b):
    both, area_a, area_b = _parts(a, b)
    return both / max((area_a + area_b) - both, type(both)(1e-6))


def iof(a, b):
    both, area_a, _ = _parts(a, b)
    return both / max(area_a, type(both)(1e-6))


def in_half(measure, scale):
    """Measure with every operation in half precision."""

    def measure_in_half(a, b):
        half_a, half_b = (tuple(np.float16(x / type(x)(scale)) for x in box) for box in (a, b))
        return type(a[0])(measure(half_a, half_b))

    return measure_in_half


def _in_region(image, box, thr, wrt_candidates, fraction):
    if thr <= 0:
        return False
    covered = [fraction(box, region) if wrt_candidates else fraction(region, box) for region in image.regions]
    return any(value > image.dtype(thr) for value in covered)


def _first_best(overlaps):
    """Give the key of the largest value, the first of several, and the value."""
    best = max(overlaps, key=overlaps.get)
    return best, overlaps[best]


def _takers(row, value, first, knobs):
    """Give the priors that a ground truth takes for its best overlap."""
    return [n for n, x in row.items() if x == value] if knobs.get("gt_max_assign_all", True) else [first]


def _by_threshold(image, boxes, knobs):
    """Give what the threshold assigners share: who counts, who is ignored, overlaps[gt][prior]."""
    measure, fraction = knobs.get("measure", iou), knobs.get("fraction", iof)
    thr, by_prior = knobs.get("ignore_iof_thr", -1), knobs.get("ignore_wrt_candidates", True)
    part = [n for n, box in enumerate(image.priors) if image.takes_part[n] and box is not None]
    ignored = [n for n in part if image.gts and _in_region(image, image.priors[n], thr, by_prior, fraction)]
    counted = [n for n in part if n not in ignored and any(box is not None for box in boxes[n])]
    table = {
        g: {n: max(measure(gt, box) for box in boxes[n] if box is not None) for n in counted}
        for g, gt in image.gts.items()
    }
    return counted, ignored, table


def _is_background(value, thr, dtype):
    low, high = thr if isinstance(thr, tuple | list) else (0, thr)
    return dtype(low) <= value < dtype(high)


def _assign_by_threshold(image, boxes, knobs, may_take):
    counted, ignored, table = _by_threshold(image, boxes, knobs)
    overlaps = [image.dtype(0 if takes_part else -1) for takes_part in image.takes_part]
    best = [min(image.gts, default=0)] * len(overlaps)
    for n in ignored:
        overlaps[n] = image.dtype(-1)
    if image.gts:
        for n in counted:
            best[n], overlaps[n] = _first_best({g: row[n] for g, row in table.items()})
    codes = [0 if _is_background(x, knobs["neg_iou_thr"], image.dtype) else -1 for x in overlaps]
    for n in counted:
        if overlaps[n] >= image.dtype(knobs["pos_iou_thr"]):
            codes[n] = best[n] + 1
    for g, row in table.items() if knobs.get("match_low_quality", True) else ():
        if row:
            first, value = _first_best(row)
        else:
            # All that takes part is ignored, and the overlaps of an ignored prior are -1.
            row = dict.fromkeys(ignored if len(ignored) == sum(image.takes_part) else (), image.dtype(-1))
            first, value = min(row, default=None), image.dtype(-1)
        if row and may_take(value):
            for n in _takers(row, value, first, knobs):
                codes[n], best[n] = g + 1, g
    return codes, overlaps, best


def max_iou(image, **knobs):
    """Read the rule of the best overlap and two thresholds."""
    boxes = [[box] for box in image.priors]
    least = image.dtype(knobs.get("min_pos_iou", 0.0))
    codes, overlaps, _ = _assign_by_threshold(image, boxes, knobs, lambda value: value >= least)
    return image.outputs(codes, overlaps)


def approx_max_iou(image, **knobs):
    """Read the same for the best of several approximations of each prior."""
    boxes = [[image.whole_box(row) for row in rows] for rows in image.arguments["approxs"]]
    least = image.dtype(knobs.get("min_pos_iou", 0.0))
    codes, overlaps, _ = _assign_by_threshold(image, boxes, knobs, lambda value: value >= least)
    return image.outputs(codes, overlaps)


def ascend_max_iou(image, **knobs):
    """Read the same with masks, where a ground truth that overlaps nothing takes nothing."""
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


def grid(image, **knobs):
    """Read the rule of responsible grid cells."""
    counted, _, table = _by_threshold(image, [[box] for box in image.priors], knobs)
    responsible = [n for n in counted if image.arguments["responsible_flags"][n]]
    dtype, neg = image.dtype, knobs["neg_iou_thr"]
    codes = []
    for n in range(len(image.priors)):
        value = max((row[n] for row in table.values()), default=dtype(0)) if n in counted else dtype(0)
        if isinstance(neg, tuple | list):
            background = dtype(neg[0]) < value <= dtype(neg[1])
        else:
            background = 0 <= value <= dtype(neg)
        codes.append(0 if background else -1)
    overlaps = [dtype(-1)] * len(codes)
    for n in responsible if image.gts else ():
        g, overlaps[n] = _first_best({g: row[n] for g, row in table.items()})
        if overlaps[n] > dtype(knobs["pos_iou_thr"]):
            codes[n] = g + 1
    for g, row in table.items():
        mine = {n: row[n] for n in responsible}
        if mine and _first_best(mine)[1] > dtype(knobs.get("min_pos_iou", 0.0)):
            first, value = _first_best(mine)
            for n in _takers(mine, value, first, knobs):
                codes[n] = g + 1
    return image.outputs(codes, overlaps)


def _best_of_priors(image, knobs):
    """Give overlaps by ground truth and prior, and each prior's best ground truth and overlap."""
    counted, _, table = _by_threshold(image, [[box] for box in image.priors], knobs)
    best = [min(image.gts, default=0)] * len(image.priors)
    overlaps = [image.dtype(0 if takes_part else -1) for takes_part in image.takes_part]
    for n in counted if table else ():
        best[n], overlaps[n] = _first_best({g: row[n] for g, row in table.items()})
    return counted, table, best, overlaps


def matcher(image, *, thresholds, labels, allow_low_quality_matches=False, **knobs):
    """Read the rule of intervals, in which a low-quality match is with the prior's own best."""
    counted, table, best, overlaps = _best_of_priors(image, knobs)
    codes = [labels[sum(x >= image.dtype(thr) for thr in thresholds)] for x in overlaps]
    for row in table.values() if allow_low_quality_matches else ():
        for n in [n for n, x in row.items() if x == max(row.values())]:
            codes[n] = 1
    codes = [code if code != 1 else best[n] + 1 if n in counted else -1 for n, code in enumerate(codes)]
    return image.outputs(codes, overlaps, best_gt=np.array(best, dtype=np.int64))


def ssd_matcher(image, *, threshold=0.5, **knobs):
    """Read the rule of SSD: each ground truth takes its first best prior, whoever else had it."""
    counted, table, best, overlaps = _best_of_priors(image, knobs)
    above = [n in counted and x >= image.dtype(threshold) for n, x in enumerate(overlaps)]
    codes = [best[n] + 1 if positive else 0 for n, positive in enumerate(above)]
    for g, row in table.items():
        if row:
            codes[_first_best(row)[0]] = g + 1
    return image.outputs(codes, overlaps)

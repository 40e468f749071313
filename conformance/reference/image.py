"""One image as the reference implementations see it, and the formulas of boxes, a pair at a time.

Numbers are NumPy scalars of the computing dtype, so that every operation rounds as it does in an array.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Box",
    "Image",
    "Measure",
    "Outputs",
    "Point",
    "area",
    "center",
    "first_best",
    "holds",
    "in_half",
    "in_region",
    "iof",
    "iou",
    "scaled",
    "shape",
]

AnyArray = NDArray[Any]
Outputs = dict[str, AnyArray]
Box = tuple[Any, ...]
Point = tuple[Any, Any]
Measure = Callable[[Any, Any], Any]


class Image:
    """The rows of one image: boxes that are not finite are None, padding is left out.

    Parameters
    ----------
    arguments : mapping of str to numpy.ndarray
        The array arguments of an assigner, for one image.
    """

    def __init__(self, arguments: Mapping[str, AnyArray]) -> None:
        floats = [array.dtype for array in arguments.values() if array.dtype.kind in "fV"]
        self.dtype = np.result_type(np.float32, *floats).type
        self.arguments = arguments
        self.priors = self.boxes("priors")
        self.valid = self.mask("prior_valid", len(self.priors))
        gts = self.boxes("gt_bboxes")
        valid = self.mask("gt_valid", len(gts))
        self.gts = {i: box for i, box in enumerate(gts) if valid[i] and box is not None}
        regions = self.boxes("ignore_bboxes") if "ignore_bboxes" in arguments else []
        valid = self.mask("ignore_valid", len(regions))
        self.regions = [box for i, box in enumerate(regions) if valid[i] and box is not None]

    def boxes(self, name: str) -> list[Box | None]:
        """Give the rows of an argument, None where one is not finite."""
        return [self.finite_box(row) for row in self.arguments[name]]

    def finite_box(self, row: Any) -> Box | None:
        """Give a box in the computing dtype, or None where a number is NaN, infinite or overflows an area."""
        limit = math.sqrt(float(np.finfo(self.dtype).max)) / 4
        box = tuple(self.dtype(x) for x in row)
        return box if all(abs(x) <= limit for x in box) else None

    def mask(self, name: str, count: int) -> list[bool]:
        """Give a mask; all true where it is not given."""
        return [bool(x) for x in self.arguments.get(name, [True] * count)]

    def eligible(self) -> dict[int, Box]:
        """Give the finite boxes, or points, of the valid priors."""
        return {n: box for n, box in enumerate(self.priors) if self.valid[n] and box is not None}

    def label(self, gt: int) -> int:
        """Give the class of a ground truth."""
        return int(self.arguments["gt_labels"][gt])

    def outputs(self, codes: list[int], overlaps: list[Any], **extras: Any) -> Outputs:
        """Apply what holds for all: without ground truths all is background; an invalid prior is -1."""
        for n, valid in enumerate(self.valid):
            if not valid:
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

    def codes_alone(self, codes: list[int], **extras: Any) -> Outputs:
        """Give the outputs of a method that has no overlaps."""
        found = self.outputs(codes, [self.dtype(0)] * len(codes), **extras)
        del found["max_overlaps"]
        return found


def _parts(a: Box, b: Box) -> tuple[Any, Any, Any]:
    zero = type(a[0])(0)
    width = max(min(a[2], b[2]) - max(a[0], b[0]), zero)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), zero)
    return width * height, (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])


def iou(a: Box, b: Box) -> Any:
    """Give the intersection over the union, which is at least 1e-6."""
    both, area_a, area_b = _parts(a, b)
    return both / max((area_a + area_b) - both, type(both)(1e-6))


def iof(a: Box, b: Box) -> Any:
    """Give the intersection over the area of `a`, which is at least 1e-6."""
    both, area_a, _ = _parts(a, b)
    return both / max(area_a, type(both)(1e-6))


def in_half(measure: Measure, scale: Any) -> Measure:
    """Measure with every operation in half precision."""

    def measure_in_half(a: Box, b: Box) -> Any:
        half_a, half_b = (tuple(np.float16(x / type(x)(scale)) for x in box) for box in (a, b))
        return type(a[0])(measure(half_a, half_b))

    return measure_in_half


def in_region(image: Image, box: Box, thr: Any, wrt_candidates: bool, fraction: Measure) -> bool:
    """Tell whether an ignore region covers more than `thr` of a box, or a box so much of a region."""
    if thr <= 0:
        return False
    covered = [fraction(box, region) if wrt_candidates else fraction(region, box) for region in image.regions]
    return any(value > image.dtype(thr) for value in covered)


ORIENTED = 5
"""Numbers of an oriented box: center, sides and angle."""


def area(box: Box) -> Any:
    """Give the area."""
    if len(box) == ORIENTED:
        return box[2] * box[3]
    return (box[2] - box[0]) * (box[3] - box[1])


def center(box: Box) -> Point:
    """Give the center."""
    if len(box) == ORIENTED:
        return box[:2]
    half = type(box[0])(0.5)
    return (box[0] + box[2]) * half, (box[1] + box[3]) * half


def scaled(box: Box, scale: Any) -> Box:
    """Scale the sides about the center."""
    number = type(box[0])
    if len(box) == ORIENTED:
        return *box[:2], box[2] * number(scale), box[3] * number(scale), box[4]
    (x, y), half, scale = center(box), number(0.5), number(scale)
    dx, dy = (box[2] - box[0]) * half * scale, (box[3] - box[1]) * half * scale
    return x - dx, y - dy, x + dx, y + dy


def shape(box: Box) -> tuple[Any, Any, Any, Any]:
    """Give center and sides, of an oriented box the longer side first."""
    if len(box) == ORIENTED:
        return *box[:2], max(box[2:4]), min(box[2:4])
    return *center(box), box[2] - box[0], box[3] - box[1]


def holds(box: Box, point: Point) -> bool:
    """Tell whether a point is strictly inside, along an oriented box's own axes."""
    if len(box) == ORIENTED:
        number, half = type(box[0]), type(box[0])(0.5)
        dx, dy, angle = point[0] - box[0], point[1] - box[1], float(box[4])
        c, s = number(np.cos(angle)), number(np.sin(angle))
        along, across = abs(dx * c + dy * s), abs(dy * c - dx * s)
        return bool(along < box[2] * half and across < box[3] * half)
    return bool(box[0] < point[0] < box[2] and box[1] < point[1] < box[3])


def first_best(overlaps: dict[int, Any]) -> tuple[Any, Any]:
    """Give the key of the largest value, the first of several, and the value."""
    best = max(overlaps, key=lambda key: overlaps[key])
    return best, overlaps[best]

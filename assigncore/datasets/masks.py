"""The boxes of segmentations: polygons, and COCO's run lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from assigncore.datasets.files import is_coordinate, is_side

Box = tuple[float, float, float, float]


def segmentation_box(segmentation: Any) -> Box | None:
    """Find the box x1 y1 x2 y2 around a segmentation as COCO writes it; None if there is none in it.

    Parameters
    ----------
    segmentation : list or dict
        Polygons ``[[x, y, x, y, ...], ...]``, or run lengths ``{"counts": ..., "size": [height, width]}``.

    Examples
    --------
    >>> segmentation_box([[1, 2, 5, 2, 5, 9]])
    (1.0, 2.0, 5.0, 9.0)
    >>> segmentation_box({"counts": [5, 2, 5], "size": [4, 3]})
    (1.0, 1.0, 2.0, 3.0)
    """
    if isinstance(segmentation, list):
        polygons = segmentation if all(isinstance(p, list) for p in segmentation) else [segmentation]
        return polygon_box([value for polygon in polygons for value in polygon])
    return _runs_box(segmentation) if isinstance(segmentation, dict) else None


def polygon_box(points: Sequence[Any]) -> Box | None:
    """Find the box x1 y1 x2 y2 around points x, y, x, y, ...; None unless they are at least three."""
    if len(points) < 6 or len(points) % 2 or not all(map(is_coordinate, points)):
        return None
    xs, ys = points[::2], points[1::2]
    return float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys))


def _runs_box(segmentation: dict[str, Any]) -> Box | None:
    """Find the box around a mask's pixels: runs of 0 and 1 in turn, down each column, column by column."""
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list) or len(size) != 2 or type(size[0]) is not int or not is_side(size[0]):
        return None
    if isinstance(counts, str):
        counts = unpack_counts(counts)
    if not isinstance(counts, list) or not all(type(count) is int and 0 <= count < 2**40 for count in counts):
        return None
    height = size[0]
    ends = np.cumsum([0, *counts])
    starts, ends = ends[1:-1:2], ends[2::2]
    starts, lasts = starts[: len(ends)][ends > starts[: len(ends)]], ends[ends > starts[: len(ends)]] - 1
    if not len(starts):
        return None
    left, right = int(starts[0]) // height, int(lasts[-1]) // height
    if np.any(starts // height != lasts // height):
        top, bottom = 0, height - 1
    else:
        top, bottom = int(np.min(starts % height)), int(np.max(lasts % height))
    return float(left), float(top), float(right + 1), float(bottom + 1)


def unpack_counts(text: str) -> list[int] | None:
    """Unpack run lengths that are written as text; None if they are broken.

    Each number is in groups of five bits, the lowest first, a character a group, counted from "0"; bit 5 says
    that more follow, and bit 4 of the last is the sign. From the fourth on they are differences to the second
    before.

    Examples
    --------
    >>> unpack_counts("524O3")
    [5, 2, 4, 1, 7]
    """
    counts: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value, shift = 0, 0
    return counts if shift == 0 else None

"""The formulas of single boxes, and their L1 distance, once, for boxes that were checked before.

They are what the functions of the same names in :mod:`assigncore.boxes` compute once they have checked
their arguments. The core, whose inputs are checked where they come in, calls these.
"""

from __future__ import annotations

from assigncore.backend import Array, get_backend
from assigncore.coordinates import columns, rounded_product

__all__ = ["box_area", "box_centers", "cxcywh_to_xyxy", "pairwise_l1", "xywh_to_xyxy", "xyxy_to_cxcywh"]


def box_area(boxes: Array) -> Array:
    """Return the areas (..., N) of boxes (..., N, 4)."""
    x1, y1, x2, y2 = columns(boxes)
    return rounded_product(x2 - x1, y2 - y1)


def box_centers(boxes: Array) -> Array:
    """Return the centres x, y (..., N, 2) of boxes (..., N, 4)."""
    return (boxes[..., :2] + boxes[..., 2:4]) * 0.5


def xyxy_to_cxcywh(boxes: Array) -> Array:
    """Turn corners x1, y1, x2, y2 into centre and size cx, cy, w, h, (..., N, 4)."""
    xp = get_backend(boxes, "boxes").xp
    return xp.concat([box_centers(boxes), boxes[..., 2:4] - boxes[..., :2]], axis=-1)


def cxcywh_to_xyxy(boxes: Array) -> Array:
    """Turn centre and size cx, cy, w, h into corners x1, y1, x2, y2, (..., N, 4)."""
    xp = get_backend(boxes, "boxes").xp
    half = boxes[..., 2:4] * 0.5
    return xp.concat([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def xywh_to_xyxy(boxes: Array) -> Array:
    """Turn corner and size x, y, w, h into corners x1, y1, x2, y2, (..., N, 4)."""
    xp = get_backend(boxes, "boxes").xp
    return xp.concat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:4]], axis=-1)


def pairwise_l1(a: Array, b: Array) -> Array:
    """Sum the absolute differences of columns, (..., M, D) and (..., N, D) to (..., M, N); no gradient."""
    return get_backend(a, "a").l1_distance(a, b)

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
    """Return the centres x, y (..., N, 2) of boxes (..., N, 4), each column contiguous."""
    xp = get_backend(boxes, "boxes").xp
    return xp.moveaxis(xp.stack(_centers(columns(boxes)), axis=0), 0, -1)


def xyxy_to_cxcywh(boxes: Array) -> Array:
    """Turn corners x1, y1, x2, y2 into centre and size cx, cy, w, h, (..., N, 4)."""
    x1, y1, x2, y2 = columns(boxes)[:4]
    return _rows((*_centers((x1, y1, x2, y2)), x2 - x1, y2 - y1))


def cxcywh_to_xyxy(boxes: Array) -> Array:
    """Turn centre and size cx, cy, w, h into corners x1, y1, x2, y2, (..., N, 4)."""
    cx, cy, w, h = columns(boxes)
    return _rows((cx - w * 0.5, cy - h * 0.5, cx + w * 0.5, cy + h * 0.5))


def xywh_to_xyxy(boxes: Array) -> Array:
    """Turn corner and size x, y, w, h into corners x1, y1, x2, y2, (..., N, 4)."""
    x, y, w, h = columns(boxes)
    return _rows((x, y, x + w, y + h))


def _centers(sides: tuple[Array, ...]) -> tuple[Array, Array]:
    return (sides[0] + sides[2]) * 0.5, (sides[1] + sides[3]) * 0.5


def _rows(columns: tuple[Array, ...]) -> Array:
    """Join columns (..., N) to rows (..., N, D): a library is slow along dimensions as short as D."""
    return get_backend(columns[0]).xp.stack(columns, axis=-1)


def pairwise_l1(a: Array, b: Array) -> Array:
    """Sum the absolute differences of columns, (..., M, D) and (..., N, D) to (..., M, N); no gradient."""
    return get_backend(a, "a").l1_distance(a, b)

"""Rows of coordinates as columns: what the geometry of boxes and points is computed from."""

from __future__ import annotations

import math

from assigncore.backend import Array, get_backend

__all__ = [
    "at_least",
    "by_columns",
    "collapse",
    "columns",
    "divided",
    "drop_broken",
    "quotient",
    "rounded_product",
]


def at_least(x: Array, bound: float, *, own: bool = False) -> Array:
    """Return the larger of each value of `x` and `bound`; NaN stays.

    An `x` that is the caller's `own`, made by a computation that nothing else refers to, may be overwritten.
    """
    return get_backend(x).at_least(x, bound, own=own)


def rounded_product(a: Array, b: Array | float) -> Array:
    """Multiply, and round before anything is added.

    The lower bound changes no finite value. It stands between the product and a following sum, so that no
    compiler can contract the two.
    """
    product = a * b
    return at_least(product, float(get_backend(a).xp.finfo(product.dtype).min), own=True)


def divided(x: Array, divisor: Array | float) -> Array:
    """Divide by a positive number, or by an array of them, and round as a division does.

    A compiler that knows the divisor, or that it is the same for many of `x`, multiplies by its reciprocal,
    which rounds otherwise. The one used here is never more than the number, nor less, but that depends on
    `x`.
    """
    backend = get_backend(x)
    xp = backend.xp
    if isinstance(divisor, (int, float)):
        divisor = xp.full((), float(divisor), dtype=x.dtype, device=backend.device_of(x))
    return backend.quotient(x, xp.maximum(divisor, -xp.abs(x)))


def quotient(x: Array, y: Array, *, own: bool = False) -> Array:
    """Divide, and round to the nearest everywhere; `x` may be overwritten if it is the caller's `own`."""
    return get_backend(x).quotient(x, y, own=own)


def drop_broken(boxes: Array) -> tuple[Array, Array]:
    """Collapse the rows with a NaN, infinite or overflowing coordinate to a point, which overlaps nothing.

    Parameters
    ----------
    boxes : array (..., N, D)
        Boxes, or points with their strides.

    Returns
    -------
    boxes : array (..., N, D)
        The same, with zeros in the broken rows.
    whole : array (..., N) of bool
        False where a row was broken.

    Notes
    -----
    A coordinate overflows where the area of a box that reaches it would: beyond 4.6e18 pixels in float32.
    """
    backend = get_backend(boxes, "boxes")
    return backend.bounded_rows(boxes, math.sqrt(float(backend.xp.finfo(boxes.dtype).max)) / 4)


def collapse(boxes: Array, keep: Array) -> Array:
    """Collapse the rows of `boxes` (..., N, D) where `keep` (..., N) is false to a point at the origin.

    Each column of what is returned is contiguous where the library has strides: the fast layout for pairwise
    work.
    """
    xp = get_backend(boxes, "boxes").xp
    planes = xp.stack([xp.where(keep, value, 0.0) for value in columns(boxes)], axis=0)
    return xp.moveaxis(planes, 0, -1)


def by_columns(boxes: Array) -> Array:
    """Return `boxes` (..., N, D) with each column contiguous where the library has strides.

    It is the fast layout for pairwise work.
    """
    xp = get_backend(boxes, "boxes").xp
    return xp.moveaxis(xp.stack(columns(boxes), axis=0), 0, -1)


def columns(boxes: Array) -> tuple[Array, ...]:
    """Return the coordinates of `boxes` (..., N, D), each (..., N)."""
    return tuple(boxes[..., i] for i in range(boxes.shape[-1]))

"""Masks at sampled points, and in another size."""

from __future__ import annotations

from typing import Any

import numpy as np

from assigncore.backend import Array, ArrayBackend
from assigncore.checks import (
    broadcast_lead,
    check_choice,
    check_dtype,
    check_knob,
    check_shape,
    common_backend,
    raise_precision,
)

__all__ = ["point_sample", "resize_masks", "sample_masks"]

MODES = ("bilinear", "nearest")
PADDINGS = ("zeros", "border")

OF_MASKS = ("bool", "integral", "real floating")
"""Kinds of dtype that masks have."""


def point_sample(masks: Array, points: Array, *, mode: str = "bilinear", padding: str = "zeros") -> Array:
    """Read masks at points, the same points for all masks of an image.

    Parameters
    ----------
    masks : array (..., N, H, W)
        Booleans, integers or real numbers: masks, logits, or anything on a grid.
    points : array (..., P, 2)
        x, y from 0 to 1: (0, 0) is the outer corner of the first pixel, (1, 1) of the last.
    mode : {"bilinear", "nearest"}, default "bilinear"
        Linear between the centres of pixels, or the pixel whose centre is nearest along either axis, of two
        equally near ones that with the even index.
    padding : {"zeros", "border"}, default "zeros"
        What lies outside the grid, as all does that is beyond the centres of the outermost pixels: 0, or the
        nearest pixel's value.

    Returns
    -------
    array (..., N, P)
        In the dtype of `points`, at least float32, and wider where `masks` is. A point that is not finite
        reads NaN.

    Raises
    ------
    TypeError
        If an input is no array, or of a wrong kind of dtype.
    ValueError
        If a shape does not fit, or `mode` or `padding` is unknown.

    Notes
    -----
    A few thousand points, drawn anew each step, stand for a mask in training, so that no cost of all pixels
    need be computed.

    References
    ----------
    Kirillov et al., "PointRend", 2020. Cheng et al., "Masked-attention Mask Transformer for Universal Image
    Segmentation", 2022.

    Examples
    --------
    >>> import numpy as np
    >>> masks = np.array([[[0.0, 1.0], [0.0, 1.0]]])
    >>> point_sample(masks, np.array([[0.25, 0.5], [0.5, 0.5], [0.75, 0.5], [1.0, 0.5]]))
    array([[0. , 0.5, 1. , 0.5]])
    """
    check_choice("mode", mode, MODES)
    check_choice("padding", padding, PADDINGS)
    backend = common_backend({"masks": masks, "points": points})
    xp = backend.xp
    check_shape("masks", masks, "(..., N, H, W)", None, None, None)
    check_shape("points", points, "(..., P, 2)", None, 2)
    check_dtype("masks", masks, backend, *OF_MASKS)
    check_dtype("points", points, backend, "real floating")
    lead = broadcast_lead({"masks": (masks, 3), "points": (points, 2)})
    (points,) = raise_precision(backend, points)
    if backend.is_dtype(masks.dtype, "real floating"):
        points, masks = raise_precision(backend, points, masks)
    rows = 1
    for length in lead:
        rows *= length
    n_masks, height, width = (int(length) for length in masks.shape[-3:])
    n_points = int(points.shape[-2])
    masks = xp.reshape(xp.broadcast_to(masks, (*lead, *masks.shape[-3:])), (rows, n_masks, height, width))
    points = xp.reshape(xp.broadcast_to(points, (*lead, n_points, 2)), (rows, n_points, 2))
    return xp.reshape(sample_masks(backend, masks, points, mode, padding), (*lead, n_masks, n_points))


def sample_masks(
    backend: ArrayBackend, masks: Array, points: Array, mode: str = "bilinear", padding: str = "zeros"
) -> Array:
    """Read `masks` (b or 1, N, H, W) at `points` (b or 1, P, 2), (b, N, P), as `point_sample` does."""
    xp = backend.xp
    height, width = int(masks.shape[-2]), int(masks.shape[-1])
    images = max(int(masks.shape[0]), int(points.shape[0]))
    shape = (images, int(masks.shape[1]), int(points.shape[1]))
    if 0 in (*shape, height, width):
        return xp.zeros(shape, dtype=points.dtype, device=backend.device_of(points))
    flat = xp.reshape(masks, (*masks.shape[:2], height * width))
    x, y = (_place(backend, points[..., i], side, padding) for i, side in enumerate((width, height)))
    if mode == "nearest":
        nearest = _pick(backend, flat, xp.round(x), xp.round(y), height, width, shape)
        return xp.where((xp.isfinite(x) & xp.isfinite(y))[:, None, :], nearest, float("nan"))
    left, top = xp.floor(x), xp.floor(y)
    total = None
    for down in (0.0, 1.0):
        for right in (0.0, 1.0):
            share = _share(x - left, right) * _share(y - top, down)
            value = _pick(backend, flat, left + right, top + down, height, width, shape)
            part = value * share[:, None, :]
            total = part if total is None else total + part
    return total


def _place(backend: ArrayBackend, x: Array, length: int, padding: str) -> Array:
    """Return where points are in pixels from the first one's centre, NaN where not finite."""
    xp = backend.xp
    place = xp.where(xp.isfinite(x), x, float("nan")) * float(length) - 0.5
    if padding == "zeros":
        return place
    last = float(length - 1)
    return xp.where(place < 0, 0.0, xp.where(place > last, last, place))


def _share(fraction: Array, side: float) -> Array:
    return fraction if side else 1.0 - fraction


def _pick(
    backend: ArrayBackend,
    flat: Array,
    column: Array,
    row: Array,
    height: int,
    width: int,
    shape: tuple[int, ...],
) -> Array:
    """Pick the pixels (b, N, P) at whole columns and rows (b or 1, P), 0 where there are none."""
    xp: Any = backend.xp
    inside = (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
    integers = backend.integer_dtype(column)
    place = xp.astype(xp.where(inside, row, 0.0), integers) * width
    place = place + xp.astype(xp.where(inside, column, 0.0), integers)
    if place.shape[0] == 1:
        values = xp.take(flat, place[0, :], axis=-1)
    else:
        flat = xp.broadcast_to(flat, (shape[0], *flat.shape[1:]))
        values = xp.take_along_axis(flat, xp.broadcast_to(place[:, None, :], shape), axis=-1)
    return xp.where(inside[:, None, :], xp.astype(values, column.dtype), 0.0)


def resize_masks(masks: Array, size: tuple[int, int]) -> Array:
    """Bring masks to another size by taking, for each pixel, one of those it came from.

    Parameters
    ----------
    masks : array (..., H, W)
        Booleans, integers or real numbers.
    size : tuple (height, width)
        In pixels, at least 1.

    Returns
    -------
    array (..., height, width)
        In the dtype of `masks`. Row i is row ``floor(i * H / height)`` of `masks`, in float32, and columns
        likewise.

    Raises
    ------
    TypeError
        If `masks` is no array, or of a wrong kind of dtype, or `size` no pair of integers.
    ValueError
        If a shape does not fit, or `masks` have no pixel.

    Notes
    -----
    PyTorch's ``interpolate(..., mode="nearest")`` takes the same pixels. MaskFormer compares predictions
    with ground truths so, at the size of the predictions.

    Examples
    --------
    >>> import numpy as np
    >>> resize_masks(np.array([[1, 2, 3, 4], [5, 6, 7, 8]]), (1, 2))
    array([[1, 3]])
    """
    backend = common_backend({"masks": masks})
    check_shape("masks", masks, "(..., H, W)", None, None)
    check_dtype("masks", masks, backend, *OF_MASKS)
    if not isinstance(size, tuple) or len(size) != 2:
        raise TypeError(f"size: expected a pair (height, width), got {size!r}")
    for side in size:
        check_knob("size", side, at_least=1, integer=True)
    if 0 in masks.shape[-2:]:
        raise ValueError(f"masks: expected at least one pixel, got shape {tuple(masks.shape)}")
    for axis, side in zip((-2, -1), size, strict=True):
        length = int(masks.shape[axis])
        if length != side:
            masks = backend.xp.take(masks, _sources(backend, masks, length, side), axis=axis)
    return masks


def _sources(backend: ArrayBackend, like: Array, length: int, side: int) -> Array:
    """Return which of `length` rows each of `side` rows comes from."""
    xp, device = backend.xp, backend.device_of(like)
    step = float(np.float32(length) / np.float32(side))
    place = xp.floor(xp.arange(side, dtype=xp.float32, device=device) * step)
    return xp.astype(xp.where(place < length, place, float(length - 1)), backend.integer_dtype(like))

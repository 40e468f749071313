"""Overlap calculators of three-dimensional boxes, seen from above or whole.

A turned box is ``x, y, z, dx, dy, dz, yaw``: centre of its bottom, sides, and the angle in radians about the
vertical axis, as MMDetection3D has them. Assigners that compare boxes by their overlap alone take them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, cast

from assigncore.backend import Array, get_backend
from assigncore.boxes.calculators import CheckedCalculator
from assigncore.boxes.formulas import Mode, exact_overlaps
from assigncore.boxes.oriented import RotatedOverlap, rotated_overlaps
from assigncore.checks import check_choice
from assigncore.numerics import at_least, quotient, rounded_product
from assigncore.registry import OVERLAP_CALCULATORS

__all__ = ["AxisAlignedIoU3D", "BEVIoU", "NearestBEVIoU"]

COORDINATES = ("lidar", "depth", "camera")

EPS = 1e-6
"""Floor of the unions and enclosing volumes that are divided by, as published."""


class _FromAbove(CheckedCalculator):
    """A calculator of what boxes (..., 7) look like from above."""

    coordinate: str
    columns: ClassVar[int] = 7
    modes: ClassVar[tuple[str, ...]] = ("iou", "iof")

    def _check_knobs(self) -> None:
        check_choice("coordinate", self.coordinate, COORDINATES)

    def _from_above(self, boxes: Array) -> Array:
        """Return oriented boxes (..., 5)."""
        if self.coordinate == "camera":
            # There y points down, and the angle is about it.
            parts = [boxes[..., i] for i in (0, 2, 3, 5)]
            parts.append(-boxes[..., 6])
        else:
            parts = [boxes[..., i] for i in (0, 1, 3, 4, 6)]
        return get_backend(boxes).xp.stack(parts, axis=-1)


@OVERLAP_CALCULATORS.register
@dataclass(frozen=True)
class BEVIoU(_FromAbove):
    """Exact overlap of three-dimensional boxes in the bird's-eye view, whatever their heights.

    How to call it says `__call__`; boxes have seven columns: see :mod:`assigncore.boxes.calculators_3d`.

    Parameters
    ----------
    coordinate : {"lidar", "depth", "camera"}, default "lidar"
        In which axes boxes are: the vertical one is z, or y in the camera's.

    Raises
    ------
    ValueError
        If there are no such axes.

    Notes
    -----
    The modes are ``"iou"`` and ``"iof"``; of boxes seen from above as :class:`assigncore.RotatedIoU` says.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0, 0, 4, 2, 1, 0], [0, 0, 9, 4, 2, 1, np.pi / 2]])
    >>> BEVIoU()(boxes[:1], boxes).round(4)
    array([[1.    , 0.3333]])
    """

    coordinate: str = "lidar"

    def _overlaps(self, b1: Array, b2: Array, mode: str, is_aligned: bool) -> Array:
        b1, b2 = self._from_above(b1), self._from_above(b2)
        if is_aligned:
            return rotated_overlaps(b1, b2, mode=mode)  # type: ignore[arg-type]
        return RotatedOverlap(mode)(b1, b2)  # type: ignore[arg-type]


@OVERLAP_CALCULATORS.register
@dataclass(frozen=True)
class NearestBEVIoU(_FromAbove):
    """Overlap in the bird's-eye view of the axis-aligned boxes nearest to turned ones.

    Each box is turned to the nearer of the axes about its centre, as MMDetection3D's anchors are compared
    (``BboxOverlapsNearest3D``). How to call it says `__call__`; boxes have seven columns: see
    :mod:`assigncore.boxes.calculators_3d`.

    Parameters
    ----------
    coordinate : {"lidar", "depth", "camera"}, default "lidar"
        In which axes boxes are: the vertical one is z, or y in the camera's.

    Raises
    ------
    ValueError
        If there are no such axes.

    Notes
    -----
    The modes are ``"iou"``, ``"iof"`` and ``"giou"``; the union has a floor of 1e-6.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0, 0, 4, 2, 1, 0], [0, 0, 9, 4, 2, 1, 0.7], [0, 0, 9, 4, 2, 1, 0.8]])
    >>> NearestBEVIoU()(boxes[:1], boxes).round(4)
    array([[1.    , 1.    , 0.3333]])
    """

    coordinate: str = "lidar"
    modes: ClassVar[tuple[str, ...]] = ("iou", "iof", "giou")

    def _overlaps(self, b1: Array, b2: Array, mode: str, is_aligned: bool) -> Array:
        known = cast("Mode", mode)
        return exact_overlaps(self._nearest(b1), self._nearest(b2), known, is_aligned=is_aligned)

    def _nearest(self, boxes: Array) -> Array:
        xp = get_backend(boxes).xp
        x, y, w, h, angle = (self._from_above(boxes)[..., i] for i in range(5))
        turn = angle - rounded_product(xp.floor(quotient(angle, xp.full_like(angle, math.pi)) + 0.5), math.pi)
        is_across = xp.abs(turn) > math.pi / 4
        w, h = xp.where(is_across, h, w) * 0.5, xp.where(is_across, w, h) * 0.5
        return xp.stack([x - w, y - h, x + w, y + h], axis=-1)


@OVERLAP_CALCULATORS.register
@dataclass(frozen=True)
class AxisAlignedIoU3D(CheckedCalculator):
    """Overlap of the volumes of axis-aligned boxes x1, y1, z1, x2, y2, z2.

    It has no knobs; how to call it says `__call__`.

    Notes
    -----
    The modes are ``"iou"`` and ``"giou"``. Unions and enclosing volumes have a floor of 1e-6.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0, 0, 2, 2, 2], [1, 0, 0, 3, 2, 2]])
    >>> AxisAlignedIoU3D()(boxes, boxes).round(4)
    array([[1.    , 0.3333],
           [0.3333, 1.    ]])
    """

    columns: ClassVar[int] = 6
    modes: ClassVar[tuple[str, ...]] = ("iou", "giou")

    def _formula(self, mode: str) -> Callable[[Array, Array], Array]:
        return partial(_overlaps_of_volumes, mode=mode)


def _overlaps_of_volumes(b1: Array, b2: Array, *, mode: str) -> Array:
    """Compute the overlaps of boxes that broadcast, (..., 6) and (..., 6), to (...)."""
    xp = get_backend(b1).xp
    low1, high1, low2, high2 = ([b[..., i + j] for i in range(3)] for b in (b1, b2) for j in (0, 3))

    def volume(lows: list[Array], highs: list[Array]) -> Array:
        sides = [at_least(high - low, 0.0) for low, high in zip(lows, highs, strict=True)]
        return rounded_product(rounded_product(sides[0], sides[1]), sides[2])

    def of_each(choose: Callable[[Array, Array], Array], a: list[Array], b: list[Array]) -> list[Array]:
        return [choose(x, y) for x, y in zip(a, b, strict=True)]

    shared = volume(of_each(xp.maximum, low1, low2), of_each(xp.minimum, high1, high2))
    union = at_least((volume(low1, high1) + volume(low2, high2)) - shared, EPS)
    iou = quotient(shared, union)
    if mode == "iou":
        return iou
    around = at_least(volume(of_each(xp.minimum, low1, low2), of_each(xp.maximum, high1, high2)), EPS)
    return iou - quotient(around - union, around)

"""Oriented boxes: exact rotated overlaps, and distances of the Gaussians that boxes stand for.

An oriented box is ``cx, cy, w, h, angle``: its centre and sides in pixels, and the angle in radians from the
x axis to its side w, positive towards the y axis, which is clockwise to the eye where y points down. Any real
angle will do, a half turn changes nothing, and a quarter turn swaps the sides. Everything here is for boxes
that were checked before; the arithmetic gives the same bits in every library, as that of
:mod:`assigncore.boxes.formulas` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, Literal, NamedTuple, Protocol

from assigncore.backend import Array, get_backend
from assigncore.numerics import at_least, cos, exp, log, log1p, quotient, rounded_product, sin, sqrt

__all__ = [
    "CONVENTIONS",
    "BoxGaussians",
    "Convention",
    "PairFormula",
    "Planes",
    "RotatedMode",
    "RotatedOverlap",
    "corners_of",
    "corners_to_xywhr",
    "enclosing",
    "gaussian_kl",
    "gaussian_wasserstein",
    "gaussians_of",
    "normalized_angles",
    "of_pairs",
    "planes_of",
    "probiou",
    "rotated_overlaps",
    "similarity",
    "turned_into",
]

RotatedMode = Literal["iou", "iof"]

Convention = Literal["le90", "le135", "oc"]

CONVENTIONS: tuple[Convention, ...] = ("le90", "le135", "oc")

TEMPORARIES = 3
"""Times as many pairwise arrays live at once here as while axis-aligned boxes are compared."""


class Planes(NamedTuple):
    """What the pairs of oriented boxes are computed from, each (..., N).

    Attributes
    ----------
    left, top, right, bottom : array
        The smallest axis-aligned box around the box, in pixels.
    area : array
        Square pixels.
    x, y : array
        Centre in pixels.
    half_w, half_h : array
        Half the sides in pixels; 0 where a side is negative.
    cos, sin : array
        Of the angle.
    """

    left: Array
    top: Array
    right: Array
    bottom: Array
    area: Array
    x: Array
    y: Array
    half_w: Array
    half_h: Array
    cos: Array
    sin: Array


def planes_of(boxes: Array, min_side: float = 0.0) -> Planes:
    """Work out what pairs of boxes (..., N, 5) are computed from; sides are at least `min_side` long."""
    xp = get_backend(boxes, "boxes").xp
    x, y, w, h, angle = (boxes[..., i] for i in range(5))
    w, h = at_least(w, min_side), at_least(h, min_side)
    half_w, half_h, c, s = w * 0.5, h * 0.5, cos(angle), sin(angle)
    wide, high = xp.abs(c), xp.abs(s)
    reach_x = rounded_product(half_w, wide) + rounded_product(half_h, high)
    reach_y = rounded_product(half_w, high) + rounded_product(half_h, wide)
    around = x - reach_x, y - reach_y, x + reach_x, y + reach_y
    return Planes(*around, rounded_product(w, h), x, y, half_w, half_h, c, s)


def turned_into(dx: Array, dy: Array, c: Array, s: Array) -> tuple[Array, Array]:
    """Return offsets dx, dy in the axes of boxes whose angles have these cosines and sines."""
    return (
        rounded_product(dx, c) + rounded_product(dy, s),
        rounded_product(dy, c) - rounded_product(dx, s),
    )


class PairFormula(Protocol):
    """A formula of all pairs of checked boxes, and what a backend knows it by."""

    def of_all_pairs(self, gt_bboxes: Array, priors: Array) -> Array:
        """Compute it (..., G, N) in array code, with which every backend's own way agrees."""


@dataclass(frozen=True)
class RotatedOverlap:
    """The rotated overlap of each ground truth with each prior: a formula, and what a backend knows it by.

    Attributes
    ----------
    mode : {"iou", "iof"}
        Which overlap.
    of_prior : bool, default False
        Whether the foreground of ``"iof"`` is the prior, else the ground truth.
    min_side : float, default 0.0
        What shorter sides count as, in pixels.
    """

    mode: RotatedMode
    of_prior: bool = False
    min_side: float = 0.0

    def __call__(self, gt_bboxes: Array, priors: Array) -> Array:
        """Compute the overlaps (..., G, N) of checked boxes (..., G, 5) and (..., N, 5)."""
        return get_backend(gt_bboxes, "gt_bboxes").pairwise(gt_bboxes, priors, self)

    def of_all_pairs(self, gt_bboxes: Array, priors: Array) -> Array:
        """Compute them by the formula."""
        formula = partial(rotated_overlaps, mode=self.mode, of_second=self.of_prior, min_side=self.min_side)
        return of_pairs(formula, gt_bboxes, priors)


def of_pairs(formula: Callable[[Array, Array], Array], b1: Array, b2: Array) -> Array:
    """Compute a formula of pairs row by row, of all rows of `b1` with all of `b2`, (..., M, N).

    Parameters
    ----------
    formula : callable
        Maps boxes (..., M, 1, D) and (..., 1, N, D) to values (..., M, N).
    b1, b2 : array (..., M, D) and (..., N, D)
        Boxes.

    Notes
    -----
    These formulas have many steps: eagerly, so many rows are handled at once as memory allows.
    """
    backend = get_backend(b1, "b1")
    xp = backend.xp
    if backend.is_traced(b1) or backend.is_traced(b2):
        return formula(b1[..., :, None, :], b2[..., None, :, :])
    lead, m, n = prod(b1.shape[:-2]), int(b1.shape[-2]), int(b2.shape[-2])
    lead = max(lead, prod(b2.shape[:-2]))
    most = max(1, backend.pairs_per_tile(b1) // TEMPORARIES)
    if lead * m * n <= most:
        return formula(b1[..., :, None, :], b2[..., None, :, :])
    if m > n:
        step = max(1, most // (lead * n))
        rows = [b1[..., start : min(start + step, m), None, :] for start in range(0, m, step)]
        return xp.concat([formula(some, b2[..., None, :, :]) for some in rows], axis=-2)
    step = max(1, most // (lead * m))
    rows = [b2[..., None, start : min(start + step, n), :] for start in range(0, n, step)]
    return xp.concat([formula(b1[..., :, None, :], some) for some in rows], axis=-1)


def rotated_overlaps(
    b1: Array,
    b2: Array,
    *,
    mode: RotatedMode = "iou",
    of_second: bool = False,
    min_side: float = 0.0,
) -> Array:
    """Compute the overlaps of boxes that broadcast, (..., 5) and (..., 5), to (...).

    Parameters
    ----------
    b1, b2 : array (..., 5)
        Oriented boxes.
    mode : {"iou", "iof"}, default "iou"
        Which overlap.
    of_second : bool, default False
        Whether the foreground of ``"iof"`` is `b2`, else `b1`.
    min_side : float, default 0.0
        What shorter sides count as, in pixels.

    Returns
    -------
    array (...)
        From 0 to 1; 0 where the divisor, a union or an area, is 0.
    """
    xp = get_backend(b1, "b1").xp
    p1, p2 = planes_of(b1, min_side), planes_of(b2, min_side)
    shared = shared_area(xp, p1, p2)
    if mode == "iou":
        whole = (p1.area + p2.area) - shared
    else:
        whole = xp.broadcast_to(p2.area if of_second else p1.area, shared.shape)
    return quotient(shared, xp.where(whole > 0, whole, 1.0), own=True)


def shared_area(xp: Any, p1: Planes, p2: Planes) -> Array:
    """Compute the area (...) that boxes have in common.

    By Green's theorem, in the axes of the second box, where it is an upright window: each side of the first
    contributes the height of its part between the window's left and right, which is cut off at the window's
    bottom and top. All of it is continuous in every coordinate, so that rectangles whose sides nearly
    coincide need no case of their own. The origin is the centre of the smaller box, so that what is far from
    it does not cost it digits.
    """
    dx, dy = p1.x - p2.x, p1.y - p2.y
    x, y = turned_into(dx, dy, p2.cos, p2.sin)
    c = rounded_product(p1.cos, p2.cos) + rounded_product(p1.sin, p2.sin)
    s = rounded_product(p1.sin, p2.cos) - rounded_product(p1.cos, p2.sin)
    # The vectors from the first box's centre to the middles of its sides.
    wx, wy = rounded_product(p1.half_w, c), rounded_product(p1.half_w, s)
    hx, hy = -rounded_product(p1.half_h, s), rounded_product(p1.half_h, c)
    apart = _are_apart(xp, p1, p2, (dx, dy), (x, y), (wx, wy, hx, hy))
    is_smaller = p1.area < p2.area
    left, low = xp.where(is_smaller, -x, 0.0), xp.where(is_smaller, -y, 0.0)
    x, y = xp.where(is_smaller, 0.0, x), xp.where(is_smaller, 0.0, y)
    right, high = left + p2.half_w, low + p2.half_h
    left, low = left - p2.half_w, low - p2.half_h
    # Heights are measured from the first box's centre, or what of the window is nearest to it.
    level = _clamped(xp, y, low, high)
    y, low, high = y - level, low - level, high - level
    corners = [
        (x + (wx - hx), y + (wy - hy)),
        (x + (wx + hx), y + (wy + hy)),
        (x - (wx - hx), y - (wy - hy)),
        (x - (wx + hx), y - (wy + hy)),
    ]
    total = _beneath(xp, corners[3], corners[0], left, right, low, high)
    for i in range(3):
        total = total + _beneath(xp, corners[i], corners[i + 1], left, right, low, high)
    # From corner to corner the circuit is against the sense in which areas are positive.
    return xp.where(apart, 0.0, xp.minimum(at_least(-total, 0.0), xp.minimum(p1.area, p2.area)))


def _clamped(xp: Any, x: Array, low: Array, high: Array) -> Array:
    return xp.minimum(xp.maximum(x, low), high)


def _are_apart(
    xp: Any,
    p1: Planes,
    p2: Planes,
    offset: tuple[Array, Array],
    turned: tuple[Array, Array],
    sides: tuple[Array, Array, Array, Array],
) -> Array:
    """Tell which boxes a line parallel to a side of either, or to an axis, has on different sides of it."""
    dx, dy = offset
    wx, wy, hx, hy = map(xp.abs, sides)
    apart = (p1.left >= p2.right) | (p1.right <= p2.left) | (p1.top >= p2.bottom) | (p1.bottom <= p2.top)
    apart = apart | (xp.abs(turned[0]) >= (wx + hx) + p2.half_w)
    apart = apart | (xp.abs(turned[1]) >= (wy + hy) + p2.half_h)
    u, v = turned_into(dx, dy, p1.cos, p1.sin)
    c = xp.abs(rounded_product(p1.cos, p2.cos) + rounded_product(p1.sin, p2.sin))
    s = xp.abs(rounded_product(p1.sin, p2.cos) - rounded_product(p1.cos, p2.sin))
    along = rounded_product(p2.half_w, c) + rounded_product(p2.half_h, s)
    across = rounded_product(p2.half_w, s) + rounded_product(p2.half_h, c)
    return apart | (xp.abs(u) >= p1.half_w + along) | (xp.abs(v) >= p1.half_h + across)


def _beneath(
    xp: Any,
    start: tuple[Array, Array],
    end: tuple[Array, Array],
    left: Array,
    right: Array,
    low: Array,
    high: Array,
) -> Array:
    """Integrate the height of a side, cut off at `low` and `high`, from `left` to `right`."""
    (x0, y0), (x1, y1) = start, end
    first, last = _clamped(xp, x0, left, right), _clamped(xp, x1, left, right)
    run, rise = x1 - x0, y1 - y0
    run = xp.where(run == 0, 1.0, run)
    # The shares of the side that are cut off at its ends are from 0 to 1, also where all of it is beyond.
    skipped = _clamped_share(xp, quotient(first - x0, run))
    spared = _clamped_share(xp, quotient(x1 - last, run))
    from_y, to_y = y0 + rounded_product(skipped, rise), y1 - rounded_product(spared, rise)
    bottom, top = xp.minimum(from_y, to_y), xp.maximum(from_y, to_y)
    span = top - bottom
    span = xp.where(span > 0, span, 1.0)
    above = quotient(at_least(top - xp.maximum(bottom, high), 0.0), span)
    below = quotient(at_least(xp.minimum(top, low) - bottom, 0.0), span)
    middle = (_clamped(xp, from_y, low, high) + _clamped(xp, to_y, low, high)) * 0.5
    mean = (middle + rounded_product(above, high - middle)) + rounded_product(below, low - middle)
    return rounded_product(last - first, mean)


def _clamped_share(xp: Any, x: Array) -> Array:
    return xp.minimum(at_least(x, 0.0), xp.ones_like(x))


@dataclass(frozen=True, eq=False)
class BoxGaussians:
    """The normal distributions that boxes stand for, each attribute (...).

    Attributes
    ----------
    x, y : array
        Means in pixels.
    xx, yy, xy : array
        Covariances in square pixels.
    det : array
        Determinants of the covariances, not below 0.
    """

    x: Array
    y: Array
    xx: Array
    yy: Array
    xy: Array
    det: Array


def gaussians_of(boxes: Array, share: float, floor: float = 0.0) -> BoxGaussians:
    """Take oriented boxes (..., 5) for normal distributions of the same centre and axes.

    Parameters
    ----------
    boxes : array (..., 5)
        Oriented boxes; the sign of a side does not matter.
    share : float
        Variances along the axes, by the squares of the sides: 1/12 is a uniform distribution's, 1/4 has half
        the side for a standard deviation.
    floor : float, default 0.0
        Added to both variances, in square pixels.
    """
    x, y, w, h, angle = (boxes[..., i] for i in range(5))
    along = rounded_product(rounded_product(w, w), share) + floor
    across = rounded_product(rounded_product(h, h), share) + floor
    c, s = cos(angle), sin(angle)
    cc, ss, cs = rounded_product(c, c), rounded_product(s, s), rounded_product(c, s)
    xx = rounded_product(along, cc) + rounded_product(across, ss)
    yy = rounded_product(along, ss) + rounded_product(across, cc)
    xy = rounded_product(along - across, cs)
    det = at_least(rounded_product(xx, yy) - rounded_product(xy, xy), 0.0)
    return BoxGaussians(x, y, xx, yy, xy, det)


MOST_APART = 100.0
"""The largest Bhattacharyya distance that is told apart, as published."""


def probiou(b1: Array, b2: Array, *, eps: float = 1e-7, floor: float = 0.0) -> Array:
    """Compute the probabilistic IoU of oriented boxes that broadcast, (..., 5) and (..., 5), to (...).

    One minus the Hellinger distance of their distributions; `eps` is added where ultralytics' answers show
    it. A value that rounding makes negative is 0.
    """
    xp = get_backend(b1, "b1").xp
    g1, g2 = gaussians_of(b1, 1 / 12, floor), gaussians_of(b2, 1 / 12, floor)
    dx, dy = g1.x - g2.x, g1.y - g2.y
    xx, yy, xy = g1.xx + g2.xx, g1.yy + g2.yy, g1.xy + g2.xy
    det = at_least(rounded_product(xx, yy) - rounded_product(xy, xy), 0.0)
    apart = rounded_product(xx, rounded_product(dy, dy)) + rounded_product(yy, rounded_product(dx, dx))
    apart = rounded_product(quotient(apart, det + eps), 0.25)
    skew = rounded_product(quotient(rounded_product(xy, rounded_product(-dx, dy)), det + eps), 0.5)
    common = rounded_product(sqrt(rounded_product(g1.det, g2.det)), 4.0) + eps
    shapes = rounded_product(log(quotient(det, common) + eps), 0.5)
    distance = (apart + skew) + shapes
    distance = xp.minimum(at_least(distance, eps), xp.full_like(distance, MOST_APART))
    return at_least(1.0 - sqrt((1.0 - exp(-distance)) + eps), 0.0)


def gaussian_wasserstein(g1: BoxGaussians, g2: BoxGaussians) -> Array:
    """Compute the squared Wasserstein distances (...) of normal distributions, in square pixels."""
    dx, dy = g1.x - g2.x, g1.y - g2.y
    between = rounded_product(dx, dx) + rounded_product(dy, dy)
    mixed = rounded_product(g1.xx, g2.xx) + rounded_product(g1.yy, g2.yy)
    mixed = mixed + rounded_product(rounded_product(g1.xy, g2.xy), 2.0)
    both = rounded_product(sqrt(g1.det), sqrt(g2.det))
    common = sqrt(at_least(mixed + rounded_product(both, 2.0), 0.0))
    shapes = ((g1.xx + g1.yy) + (g2.xx + g2.yy)) - rounded_product(common, 2.0)
    return between + at_least(shapes, 0.0)


def gaussian_kl(g1: BoxGaussians, g2: BoxGaussians, eps: float) -> Array:
    """Compute the Kullback-Leibler divergences (...) of the distributions `g1` from `g2`, not below 0.

    Determinants have the floor `eps`.
    """
    dx, dy = g1.x - g2.x, g1.y - g2.y
    det1, det2 = at_least(g1.det, eps), at_least(g2.det, eps)
    apart = rounded_product(g2.yy, rounded_product(dx, dx)) + rounded_product(g2.xx, rounded_product(dy, dy))
    apart = apart - rounded_product(rounded_product(g2.xy, rounded_product(dx, dy)), 2.0)
    shapes = rounded_product(g2.yy, g1.xx) + rounded_product(g2.xx, g1.yy)
    shapes = shapes - rounded_product(rounded_product(g2.xy, g1.xy), 2.0)
    sizes = log(quotient(det2, det1))
    divergence = rounded_product((quotient(apart, det2) + quotient(shapes, det2)) + sizes, 0.5) - 1.0
    return at_least(divergence, 0.0)


def similarity(distance: Array, tau: float, function: str) -> Array:
    """Turn distances from 0 up into similarities ``1 / (tau + f(distance))``, as the papers' losses do."""
    xp = get_backend(distance).xp
    bent = log1p(distance) if function == "log1p" else sqrt(distance)
    return quotient(xp.ones_like(bent), bent + tau)


def corners_of(boxes: Array) -> Array:
    """Return the corners (..., 4, 2) of oriented boxes (..., 5), in the order of the box's own axes."""
    xp = get_backend(boxes, "boxes").xp
    p = planes_of(boxes)
    wx, wy = rounded_product(p.half_w, p.cos), rounded_product(p.half_w, p.sin)
    hx, hy = -rounded_product(p.half_h, p.sin), rounded_product(p.half_h, p.cos)
    xs = [p.x - (wx + hx), p.x + (wx - hx), p.x + (wx + hx), p.x - (wx - hx)]
    ys = [p.y - (wy + hy), p.y + (wy - hy), p.y + (wy + hy), p.y - (wy - hy)]
    return xp.stack([xp.stack(xs, axis=-1), xp.stack(ys, axis=-1)], axis=-1)


def corners_to_xywhr(corners: Array) -> Array:
    """Find the smallest oriented boxes (..., 5) around four corners each, (..., 4, 2), in order of a circuit.

    A side of the smallest rectangle lies along a side of the convex hull, for which all six lines through two
    of the corners are tried; of equally small ones, the first.
    """
    backend = get_backend(corners, "corners")
    xp = backend.xp
    x, y = corners[..., 0], corners[..., 1]
    lines = ((0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (1, 3))
    run = xp.stack([x[..., j] - x[..., i] for i, j in lines], axis=-1)
    rise = xp.stack([y[..., j] - y[..., i] for i, j in lines], axis=-1)
    length = sqrt(rounded_product(run, run) + rounded_product(rise, rise))
    c = xp.where(length > 0, quotient(run, xp.where(length > 0, length, 1.0)), 1.0)
    s = xp.where(length > 0, quotient(rise, xp.where(length > 0, length, 1.0)), 0.0)
    u, v = turned_into(x[..., None, :], y[..., None, :], c[..., :, None], s[..., :, None])
    u1, u2, v1, v2 = xp.min(u, axis=-1), xp.max(u, axis=-1), xp.min(v, axis=-1), xp.max(v, axis=-1)
    area = rounded_product(u2 - u1, v2 - v1)
    best = xp.argmin(area, axis=-1)[..., None]

    def chosen(values: Array) -> Array:
        return xp.take_along_axis(values, best, axis=-1)[..., 0]

    c, s, u1, u2, v1, v2 = map(chosen, (c, s, u1, u2, v1, v2))
    u, v = (u1 + u2) * 0.5, (v1 + v2) * 0.5
    x, y = turned_into(u, v, c, -s)
    return xp.stack([x, y, u2 - u1, v2 - v1, xp.atan2(s, c)], axis=-1)


def enclosing(boxes: Array) -> Array:
    """Return the smallest axis-aligned boxes x1, y1, x2, y2 around oriented boxes (..., 5), (..., 4)."""
    xp = get_backend(boxes, "boxes").xp
    return xp.stack(planes_of(boxes)[:4], axis=-1)


def normalized_angles(boxes: Array, convention: Convention) -> Array:
    """Give oriented boxes (..., 5) the sides and angles of a convention: see :func:`assigncore.boxes`."""
    xp = get_backend(boxes, "boxes").xp
    x, y, w, h, angle = (boxes[..., i] for i in range(5))
    start = -math.pi / 4 if convention == "le135" else -math.pi / 2
    if convention == "oc":
        angle = _remainder(xp, angle - start, math.pi)
        is_swapped = angle >= math.pi / 2
        angle = xp.where(is_swapped, angle - math.pi / 2, angle) + start
    else:
        is_swapped = w <= h
        angle = xp.where(is_swapped, angle + math.pi / 2, angle)
        angle = _remainder(xp, angle - start, math.pi) + start
    return xp.stack([x, y, xp.where(is_swapped, h, w), xp.where(is_swapped, w, h), angle], axis=-1)


def _remainder(xp: Any, x: Array, period: float) -> Array:
    """Return what is left of `x` above a multiple of `period`, from 0 to below it."""
    left = x - rounded_product(xp.floor(quotient(x, xp.full_like(x, period))), period)
    return xp.where((left >= period) | (left < 0), 0.0, left)

"""The formulas of boxes and of their overlaps, once, for boxes that were checked before.

The arithmetic gives the same bits in every library, compiled or not: see
:func:`assigncore.numerics.rounded_product`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from assigncore.backend import Array, get_backend
from assigncore.boxes.oriented import enclosing, turned_into
from assigncore.numerics import at_least, atan, cos, divided, quotient, rounded_product, sin

__all__ = [
    "EPS",
    "ORIENTED",
    "BoxOverlap",
    "Mode",
    "box_area",
    "box_centers",
    "box_shapes",
    "by_columns",
    "collapse",
    "columns",
    "cxcywh_to_xyxy",
    "drop_nonfinite",
    "enclosing_boxes",
    "exact_overlaps",
    "inside",
    "longer_first",
    "near",
    "overlaps_of_checked",
    "pairwise_l1",
    "pairwise_overlaps",
    "within_image",
    "xywh_to_xyxy",
    "xyxy_to_cxcywh",
]


def drop_nonfinite(boxes: Array) -> tuple[Array, Array]:
    """Collapse the rows with a NaN, infinite or overflowing coordinate to a point, which overlaps nothing.

    Parameters
    ----------
    boxes : array (..., N, D)
        Boxes, or points with their strides.

    Returns
    -------
    boxes : array (..., N, D)
        The same, with zeros in the non-finite rows.
    finite : array (..., N) of bool
        False where a row was not finite.

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
    return tuple([boxes[..., i] for i in range(boxes.shape[-1])])


def box_area(boxes: Array) -> Array:
    """Return the areas (..., N) of boxes (..., N, 4) or (..., N, 5)."""
    if int(boxes.shape[-1]) == ORIENTED:
        return rounded_product(boxes[..., 2], boxes[..., 3])
    x1, y1, x2, y2 = columns(boxes)
    return rounded_product(x2 - x1, y2 - y1)


def box_centers(boxes: Array) -> Array:
    """Return the centres x, y (..., N, 2) of boxes (..., N, 4) or (..., N, 5), each column contiguous."""
    xp = get_backend(boxes, "boxes").xp
    sides = columns(boxes)
    centers = sides[:2] if len(sides) == ORIENTED else _centers(sides)
    return xp.moveaxis(xp.stack(centers, axis=0), 0, -1)


def enclosing_boxes(boxes: Array) -> Array:
    """Return the smallest axis-aligned boxes (..., 4) around oriented ones; others are their own."""
    return enclosing(boxes) if int(boxes.shape[-1]) == ORIENTED else boxes


def xyxy_to_cxcywh(boxes: Array) -> Array:
    """Turn corners x1, y1, x2, y2 into centre and size cx, cy, w, h, (..., N, 4)."""
    x1, y1, x2, y2 = columns(boxes)[:4]
    return _rows((*_centers((x1, y1, x2, y2)), x2 - x1, y2 - y1))


def box_shapes(boxes: Array) -> Array:
    """Return the centres and sides x, y, w, h (..., N, 4) of boxes (..., N, 4) or (..., N, 5).

    Of oriented boxes the longer side comes first, so that it does not matter by which side one is described.
    """
    if int(boxes.shape[-1]) != ORIENTED:
        return xyxy_to_cxcywh(boxes)
    x, y, w, h, _ = columns(boxes)
    return _rows((x, y, *longer_first(w, h)))


def longer_first(w: Array, h: Array) -> tuple[Array, Array]:
    """Return the longer and the shorter of two sides, (...) each."""
    xp = get_backend(w).xp
    return xp.maximum(w, h), xp.minimum(w, h)


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


def inside(points: Array, boxes: Array, *, margin: float | None = None, closed: bool = False) -> Array:
    """Tell which points lie in which boxes: the one test of it.

    Parameters
    ----------
    points, boxes : array (..., 2 or more) and (..., 4) or (..., 5)
        x, y and x1, y1, x2, y2, or oriented boxes. All dimensions but the last broadcast.
    margin : float, optional
        By more than how much a point must be inside, measured by subtraction. Not given: coordinates are
        compared, and a point on a side is outside unless `closed`.
    closed : bool, default False
        Whether the sides belong to a box where there is no margin.

    Returns
    -------
    array (...) of bool
        True where a point is inside.
    """
    x, y = columns(points)[:2]
    if int(boxes.shape[-1]) == ORIENTED:
        return _inside_oriented(x, y, boxes, margin=margin, closed=closed)
    x1, y1, x2, y2 = columns(boxes)
    if margin is not None:
        return (x - x1 > margin) & (y - y1 > margin) & (x2 - x > margin) & (y2 - y > margin)
    if closed:
        return (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)
    return (x > x1) & (x < x2) & (y > y1) & (y < y2)


def _inside_oriented(x: Array, y: Array, boxes: Array, *, margin: float | None, closed: bool) -> Array:
    """Tell which points are in which oriented boxes (..., 5), along the boxes' own axes."""
    xp = get_backend(boxes, "boxes").xp
    center_x, center_y, w, h, angle = columns(boxes)
    along, across = map(xp.abs, turned_into(x - center_x, y - center_y, cos(angle), sin(angle)))
    half_w, half_h = w * 0.5, h * 0.5
    if margin is not None:
        return (half_w - along > margin) & (half_h - across > margin)
    if closed:
        return (along <= half_w) & (across <= half_h)
    return (along < half_w) & (across < half_h)


def within_image(boxes: Array, height: Any, width: Any, border: float) -> Array:
    """Tell which boxes (..., N, 4) reach over the edge of an image by no more than a border, (..., N)."""
    x1, y1, x2, y2 = columns(boxes)
    return (x1 >= -border) & (y1 >= -border) & (x2 < width + border) & (y2 < height + border)


def near(points: Array, centers: Array, reach: Array) -> Array:
    """Tell which points (..., 2) are within their reach (..., 2) of centres (..., 2).

    Along both axes; all dimensions but the last broadcast. A point is compared with the centre less the reach
    and with the centre plus the reach.
    """
    x, y = columns(points)[:2]
    center_x, center_y = columns(centers)
    reach_x, reach_y = columns(reach)
    near_x = (x > center_x - reach_x) & (x < center_x + reach_x)
    return near_x & (y > center_y - reach_y) & (y < center_y + reach_y)


def pairwise_l1(a: Array, b: Array) -> Array:
    """Sum the absolute differences of columns, (..., M, D) and (..., N, D) to (..., M, N); no gradient."""
    return get_backend(a, "a").l1_distance(a, b)


ORIENTED = 5
"""Columns by which oriented boxes are known: see :mod:`assigncore.boxes.oriented`."""

Mode = Literal["iou", "iof", "giou", "diou", "ciou"]

EPS = 1e-6
"""Floor of the unions and enclosing areas that are divided by, in square pixels."""

PENALTY_EPS = 1e-7
"""What DIoU and CIoU add to each divisor, as their authors' code does."""


@dataclass(frozen=True)
class BoxOverlap:
    """The overlap of each ground truth with each prior: a formula, and what a backend knows it by.

    Attributes
    ----------
    mode : {"iou", "iof", "giou", "diou", "ciou"}
        Which overlap.
    of_prior : bool, default False
        Whether the foreground of ``"iof"`` is the prior, else the ground truth.
    """

    mode: Mode
    of_prior: bool = False

    @property
    def turned(self) -> BoxOverlap:
        """The overlap that gives the same where ground truths and priors change places."""
        return replace(self, of_prior=not self.of_prior) if self.mode == "iof" else self

    def __call__(self, gt_bboxes: Array, priors: Array) -> Array:
        """Compute the overlaps (..., G, N) of checked boxes (..., G, 4) and (..., N, 4)."""
        if not self.of_prior:
            return pairwise_overlaps(gt_bboxes, priors, self.mode)
        xp = get_backend(priors, "priors").xp
        return xp.matrix_transpose(pairwise_overlaps(priors, gt_bboxes, self.mode))


def pairwise_overlaps(b1: Array, b2: Array, mode: Mode) -> Array:
    """Compute the overlaps (..., M, N) of each of `b1` with each of `b2`, checked before."""
    return get_backend(b1, "b1").overlaps_of_boxes(b1, b2, mode)


def exact_overlaps(b1: Array, b2: Array, mode: Mode, *, is_aligned: bool) -> Array:
    """Compute the overlaps row by row (..., N), or of each with each (..., M, N), checked before."""
    return (
        overlaps_of_checked(b1, b2, mode, is_aligned=True) if is_aligned else pairwise_overlaps(b1, b2, mode)
    )


def _unrounded(x: Array) -> Array:
    return x


def overlaps_of_checked(
    b1: Array,
    b2: Array,
    mode: Mode,
    *,
    is_aligned: bool = False,
    eps: float = EPS,
    eps_added: bool = False,
    rounded: Callable[[Array], Array] = _unrounded,
) -> Array:
    """Compute the overlaps of boxes that are known to be finite and of one floating dtype.

    Parameters
    ----------
    b1, b2 : array (..., M, 4) and (..., N, 4)
        Boxes; of one shape (..., N, 4) where `is_aligned`.
    mode : {"iou", "iof", "giou", "diou", "ciou"}
        Which overlap; for ``"iof"``, `b1` is the foreground.
    is_aligned : bool, default False
        Pair row with row in place of each with each.
    eps : float, default 1e-6
        Floor of the unions and enclosing areas, in square pixels.
    eps_added : bool, default False
        For ``"iou"``: whether `eps` is added to the union in place of being its floor. Negative areas then
        count as 0.
    rounded : callable, optional
        Applied to the result of each operation, to compute as a narrower dtype would.

    Returns
    -------
    array (..., M, N), or (..., N) where `is_aligned`
        The overlaps.
    """
    xp = get_backend(b1, "b1").xp
    c1, c2 = columns(b1), columns(b2)
    area1, area2 = _area(c1, rounded), _area(c2, rounded)
    if not is_aligned:
        area1, area2 = area1[..., :, None], area2[..., None, :]
        c1, c2 = tuple(c[..., :, None] for c in c1), tuple(c[..., None, :] for c in c2)
    # Each temporary is this function's own, so what follows may be written over it.
    width = xp.minimum(c1[2], c2[2])
    width -= xp.maximum(c1[0], c2[0])
    height = xp.minimum(c1[3], c2[3])
    height -= xp.maximum(c1[1], c2[1])
    overlap = at_least(rounded(width), 0.0, own=True)
    overlap *= rounded(height)
    # One clamp serves a negative height and, like `rounded_product`, the rounding of the product.
    overlap = at_least(rounded(overlap), 0.0, own=True)
    if mode == "iof":
        return rounded(divided(overlap, at_least(area1, eps)))
    union = rounded(area1 + area2)
    union -= overlap
    union = rounded(union)
    if mode in ("diou", "ciou"):
        return _penalised_iou(xp, c1, c2, quotient(overlap, union + PENALTY_EPS), with_aspect=mode == "ciou")
    if eps_added:
        whole = rounded(rounded(at_least(area1, 0.0) + at_least(area2, 0.0)) - overlap)
        return rounded(quotient(overlap, whole + eps))
    union = at_least(union, eps, own=True)
    iou = rounded(quotient(overlap, union, own=True))
    if mode == "iou":
        return iou
    enclosing_width = at_least(rounded(xp.maximum(c1[2], c2[2]) - xp.minimum(c1[0], c2[0])), 0.0)
    enclosing_height = at_least(rounded(xp.maximum(c1[3], c2[3]) - xp.minimum(c1[1], c2[1])), 0.0)
    enclosing = at_least(rounded(enclosing_width * enclosing_height), eps)
    return rounded(iou - rounded(quotient(rounded(enclosing - union), enclosing)))


def _area(c: tuple[Array, ...], rounded: Callable[[Array], Array]) -> Array:
    return rounded(rounded_product(rounded(c[2] - c[0]), rounded(c[3] - c[1])))


def _penalised_iou(
    xp: Any, c1: tuple[Array, ...], c2: tuple[Array, ...], iou: Array, *, with_aspect: bool
) -> Array:
    """Subtract the penalty for distant centres, and for other aspect ratios (Zheng et al., 2020)."""
    enclosing_width = xp.maximum(c1[2], c2[2]) - xp.minimum(c1[0], c2[0])
    enclosing_height = xp.maximum(c1[3], c2[3]) - xp.minimum(c1[1], c2[1])
    diagonal = _squared_length(enclosing_width, enclosing_height) + PENALTY_EPS
    apart = _squared_length((c2[0] + c2[2]) - (c1[0] + c1[2]), (c2[1] + c2[3]) - (c1[1] + c1[3])) * 0.25
    distance_penalty = quotient(apart, diagonal)
    if not with_aspect:
        return iou - distance_penalty
    angle1 = atan(quotient(c1[2] - c1[0], (c1[3] - c1[1]) + PENALTY_EPS))
    angle2 = atan(quotient(c2[2] - c2[0], (c2[3] - c2[1]) + PENALTY_EPS))
    difference = angle2 - angle1
    aspect = rounded_product(rounded_product(difference, difference), 4 / math.pi**2)
    weight = quotient(aspect, (aspect - iou) + (1 + PENALTY_EPS))
    return iou - (distance_penalty + rounded_product(aspect, weight))


def _squared_length(dx: Array, dy: Array) -> Array:
    return rounded_product(dx, dx) + rounded_product(dy, dy)

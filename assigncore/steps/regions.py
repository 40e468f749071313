"""Regions about ground truths, which priors lie in them, and who goes first where they overlap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from assigncore.backend import Array, ArrayBackend, get_backend
from assigncore.boxes.formulas import box_area, box_centers, each_inside_each
from assigncore.numerics import rounded_product
from assigncore.pairs.blocks import plan_pairs
from assigncore.pairs.tiles import View

__all__ = [
    "SizeRank",
    "covered_fraction",
    "emptied",
    "in_any_region",
    "rank_by_size",
    "reduce_in_reach",
    "scaled_boxes",
]


def scaled_boxes(boxes: Array, scale: float) -> Array:
    """Return boxes (..., G, 4) with the same centres and `scale` times the sides.

    Examples
    --------
    >>> import numpy as np
    >>> scaled_boxes(np.array([[0.0, 0.0, 8.0, 4.0]]), 0.5)
    array([[2., 1., 6., 3.]])
    """
    xp, centers = get_backend(boxes, "boxes").xp, box_centers(boxes)
    reach = rounded_product((boxes[..., 2:4] - boxes[..., :2]) * 0.5, scale)
    return xp.concat([centers - reach, centers + reach], axis=-1)


def emptied(boxes: Array, keep: Array) -> Array:
    """Turn the boxes (..., G, 4) where `keep` (..., G) is false inside out, so that nothing is in them."""
    xp, keep = get_backend(boxes, "boxes").xp, keep[..., None]
    low = xp.where(keep, boxes[..., :2], float("inf"))
    return xp.concat([low, xp.where(keep, boxes[..., 2:4], -float("inf"))], axis=-1)


def reduce_in_reach(
    backend: ArrayBackend, points: Array, reach: Array, counted: Array, reduce: Callable[[View], Array]
) -> Array:
    """Reduce the pairs of points and ground truths to an integer a point, a tile at a time.

    Parameters
    ----------
    backend : ArrayBackend
        The library of the arrays.
    points : array (B or 1, N, 2)
        x, y in pixels, or in any other unit that is also that of `reach`.
    reach : array (B, G, 4)
        Boxes: a point that is not strictly inside one has nothing to do with its ground truth.
    counted : array (B or 1, N) of bool
        False where a point has nothing to do with any ground truth.
    reduce : callable
        Maps the view of a tile to integers (b, n), 0 for a point that has nothing to do with any.

    Returns
    -------
    array (B, N) of integers
        In the default integer dtype; without meaning where a point is not counted.
    """
    xp = backend.xp
    boxes = xp.concat([points, points], axis=-1)
    plan = plan_pairs(backend, boxes, reach, counted, skip=True)
    return xp.astype(plan.per_prior(reduce, points), backend.integer_dtype(points))


def in_any_region(backend: ArrayBackend, points: Array, regions: Array | None, counted: Array) -> Array:
    """Tell which of the points that count lie strictly inside any region.

    Parameters
    ----------
    backend : ArrayBackend
        The library of the arrays.
    points : array (B or 1, N, 2)
        x, y in pixels.
    regions : array (B, I, 4) or None
        Boxes.
    counted : array (B or 1, N) of bool
        False where a point is in none.

    Returns
    -------
    array (B or 1, N) of bool
        True where a point is in a region.
    """
    xp = backend.xp
    if regions is None or regions.shape[-2] == 0:
        return xp.zeros_like(counted)

    def last_about(view: View) -> Array:
        hit = each_inside_each(view.of_priors(points), view.of_gts(regions))
        return xp.max(xp.where(hit, view.gt_numbers(points), 0), axis=-2)

    return counted & (reduce_in_reach(backend, points, regions, counted, last_about) > 0)


def covered_fraction(calculator: Any) -> Callable[[Array, Array], Array]:
    """Return the function that computes how much of each prior (..., N, 4) each box (..., G, 4) covers.

    It maps boxes and priors to (..., G, N). The prior is the foreground, which a calculator expects first;
    one that computes row by row is given rows that broadcast, so that priors stay contiguous.
    """
    compute = getattr(calculator, "of_checked", None)
    if compute is None:
        return lambda boxes, priors: get_backend(boxes).xp.matrix_transpose(
            calculator(priors, boxes, mode="iof")
        )
    return lambda boxes, priors: compute(
        priors[..., None, :, :], boxes[..., :, None, :], mode="iof", is_aligned=True
    )


@dataclass(frozen=True, eq=False)
class SizeRank:
    """Who goes first by size: the smaller box has the larger rank.

    Attributes
    ----------
    backend : ArrayBackend
        The library of the arrays.
    rank : array (B, G) of integers
        From 1 to G, in a dtype that is cheap to reduce.
    box_of_rank : array (B, G) of integers
        The box of each rank, from 0.
    """

    backend: ArrayBackend
    rank: Array
    box_of_rank: Array

    def largest(self, view: View, claims: Array) -> Array:
        """Return the largest rank among the boxes that claim a prior, (b, g, n) to (b, n); 0 for none."""
        xp = self.backend.xp
        return xp.max(xp.where(claims, view.of_gts(self.rank)[..., None], 0), axis=-2)

    def gt_inds(self, rank: Array, view: View | None = None) -> Array:
        """Return index + 1 of the boxes of ranks (b, n), of all images or a view; 0 where the rank is 0."""
        xp = self.backend.xp
        boxes = self.box_of_rank if view is None else view.of_images(self.box_of_rank)
        rank = xp.astype(rank, boxes.dtype)
        place = xp.where(rank > 0, rank - 1, 0)
        return xp.where(rank > 0, xp.take_along_axis(boxes, place, axis=-1) + 1, 0)


def rank_by_size(backend: ArrayBackend, boxes: Array, *, first_of_equals: bool) -> SizeRank:
    """Rank boxes (B, G, 4) by area, the smallest highest; of equal ones the first, or else the last."""
    xp, area = backend.xp, box_area(boxes)
    if first_of_equals:
        order = xp.flip(xp.argsort(area, axis=-1, stable=True), axis=-1)
    else:
        order = xp.argsort(-area, axis=-1, stable=True)
    rank = xp.argsort(order, axis=-1, stable=True) + 1
    return SizeRank(backend, xp.astype(rank, xp.int32), order)

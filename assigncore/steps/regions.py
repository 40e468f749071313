"""Regions about ground truths, and who goes first where they overlap."""

from __future__ import annotations

from dataclasses import dataclass

from assigncore.backend import Array, ArrayBackend, get_backend
from assigncore.boxes.formulas import ORIENTED, box_area, box_centers, columns
from assigncore.numerics import rounded_product
from assigncore.pairs.listed import Pairs
from assigncore.steps.candidates import Candidates

__all__ = ["SizeRank", "emptied", "rank_by", "rank_by_size", "scaled_boxes"]


def scaled_boxes(boxes: Array, scale: float) -> Array:
    """Return boxes (..., G, 4) or (..., G, 5) with the same centres and `scale` times the sides.

    Examples
    --------
    >>> import numpy as np
    >>> scaled_boxes(np.array([[0.0, 0.0, 8.0, 4.0]]), 0.5)
    array([[2., 1., 6., 3.]])
    """
    xp, centers = get_backend(boxes, "boxes").xp, box_centers(boxes)
    if int(boxes.shape[-1]) == ORIENTED:
        return xp.concat([centers, rounded_product(boxes[..., 2:4], scale), boxes[..., 4:]], axis=-1)
    (x, y), (x1, y1, x2, y2) = columns(centers), columns(boxes)
    half_w, half_h = rounded_product((x2 - x1) * 0.5, scale), rounded_product((y2 - y1) * 0.5, scale)
    return xp.stack([x - half_w, y - half_h, x + half_w, y + half_h], axis=-1)


def emptied(boxes: Array, keep: Array) -> Array:
    """Turn the boxes (..., G, 4) where `keep` (..., G) is false inside out, so that nothing is in them."""
    xp, keep = get_backend(boxes, "boxes").xp, keep[..., None]
    low = xp.where(keep, boxes[..., :2], float("inf"))
    return xp.concat([low, xp.where(keep, boxes[..., 2:4], -float("inf"))], axis=-1)


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

    def of_candidates(self, candidates: Candidates) -> Array:
        """Return the ranks of the ground truths whose candidates they are, as real numbers (B, G, K)."""
        xp = self.backend.xp
        ranks = xp.astype(self.rank, candidates.value.dtype)
        return xp.broadcast_to(ranks[..., None], candidates.index.shape)

    def gt_inds(self, rank: Array, pairs: Pairs | None = None) -> Array:
        """Return index + 1 of the boxes of ranks (b, n), of all images or of pairs; 0 where the rank is 0."""
        xp = self.backend.xp
        boxes = self.box_of_rank if pairs is None else pairs.of_images(self.box_of_rank)
        # Each table begins with what belongs to no box.
        table = xp.concat([xp.zeros_like(boxes[:, :1]), boxes + 1], axis=-1)
        return self.backend.look_up(table, xp.astype(rank, boxes.dtype))


def rank_by_size(backend: ArrayBackend, boxes: Array, *, first_of_equals: bool) -> SizeRank:
    """Rank boxes (B, G, D) by area, the smallest highest; of equal ones the first, or else the last."""
    return rank_by(backend, box_area(boxes), first_of_equals=first_of_equals)


def rank_by(backend: ArrayBackend, size: Array, *, first_of_equals: bool) -> SizeRank:
    """Rank by any size (B, G), the smallest highest; of equal ones the first, or else the last."""
    xp = backend.xp
    if first_of_equals:
        order = xp.flip(xp.argsort(size, axis=-1, stable=True), axis=-1)
    else:
        order = xp.argsort(-size, axis=-1, stable=True)
    rank = xp.argsort(order, axis=-1, stable=True) + 1
    return SizeRank(backend, xp.astype(rank, xp.int32), order)

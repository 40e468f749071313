"""Cutting the (B, G, N) pairs of ground truths and priors into tiles that are handled one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from assigncore.backend import Array, ArrayBackend

__all__ = ["Tile", "plan_tiles"]

TOUCHED_SHARE = 0.25
"""Share of the ground truths that a block of priors typically touches; only speed depends on it."""

SHORTEST_BLOCK = 1024
"""Priors a block has at least, where memory allows, so that the work outweighs the calls."""


@dataclass(frozen=True)
class Tile:
    """A block of priors in some images, with the ground truths that may touch it.

    Attributes
    ----------
    images : slice
        Of the batch.
    priors : slice
        Of the priors.
    gts : numpy array (g,) of integers, or None
        The ground truths that may touch a prior of the block, ascending; None stands for all. With
        ground truths named, the tile is of one image.
    """

    images: slice
    priors: slice
    gts: np.ndarray[Any, Any] | None = None


def plan_tiles(
    backend: ArrayBackend, priors: Array, gt_bboxes: Array, counted: Array, *, skip: bool
) -> list[Tile]:
    """Cut the pairs into tiles, image by image and from the first prior to the last.

    Parameters
    ----------
    backend : ArrayBackend
        Says how large a tile may be, and whether the host may look at the boxes.
    priors : array (B or 1, ..., N, 4)
        Boxes; dimensions between the first and the last two are alternatives of a prior.
    gt_bboxes : array (B, G, 4)
        Boxes.
    counted : array (B or 1, N) of bool
        False where a prior overlaps nothing anyway.
    skip : bool
        Whether pairs that cannot touch may be left out.

    Returns
    -------
    list of Tile
        Together they hold every pair, or every pair that can touch.
    """
    images, n_gts = int(gt_bboxes.shape[0]), int(gt_bboxes.shape[1])
    n_priors = int(priors.shape[-2])
    alternatives = 1
    for length in priors.shape[1:-2]:
        alternatives *= int(length)
    per_prior = n_gts * alternatives
    whole = [Tile(slice(0, images), slice(0, n_priors))]
    if backend.is_traced(priors) or backend.is_traced(gt_bboxes):
        return whole
    limit = backend.pairs_per_tile(priors)
    if images * per_prior * n_priors <= limit:
        return whole
    if skip and backend.reads_host(priors):
        block = int(limit / (TOUCHED_SHARE * per_prior))
        most = max(1, backend.most_pairs(priors) // per_prior)
        block = min(max(block, SHORTEST_BLOCK), most, n_priors)
        return _touching_tiles(backend, priors, gt_bboxes, counted, block)
    return _dense_tiles(images, n_priors, per_prior, limit)


def _dense_tiles(images: int, n_priors: int, per_prior: int, limit: int) -> list[Tile]:
    several = max(1, limit // (per_prior * n_priors))
    block = min(n_priors, max(1, limit // per_prior))
    return [
        Tile(slice(image, min(image + several, images)), slice(start, min(start + block, n_priors)))
        for image in range(0, images, several)
        for start in range(0, n_priors, block)
    ]


def _touching_tiles(
    backend: ArrayBackend, priors: Array, gt_bboxes: Array, counted: Array, block: int
) -> list[Tile]:
    """Pair each block of priors with the ground truths that touch the box around it."""
    n_priors = int(priors.shape[-2])
    starts = np.arange(0, n_priors, block)
    x1, y1, x2, y2 = _bounds(backend.to_numpy(priors), backend.to_numpy(counted), starts)
    gts = backend.to_numpy(gt_bboxes)[:, None, :, :]
    touches = (x1 < gts[..., 2]) & (x2 > gts[..., 0]) & (y1 < gts[..., 3]) & (y2 > gts[..., 1])
    return [
        Tile(
            slice(image, image + 1), slice(int(start), min(int(start) + block, n_priors)), np.flatnonzero(row)
        )
        for image, rows in enumerate(touches)
        for start, row in zip(starts, rows, strict=True)
    ]


def _bounds(
    priors: np.ndarray[Any, Any], counted: np.ndarray[Any, Any], starts: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], ...]:
    """Return the sides of the box around each block's priors, each (B or 1, blocks, 1)."""
    everything = bool(counted.all())
    between = tuple(range(1, priors.ndim - 2))
    sides = []
    for column, (reduce, nowhere) in enumerate([(np.minimum, np.inf)] * 2 + [(np.maximum, -np.inf)] * 2):
        side = reduce.reduce(priors[..., column], axis=between) if between else priors[..., column]
        side = side if everything else np.where(counted, side, nowhere)
        sides.append(reduce.reduceat(side, starts, axis=-1)[..., None])
    return tuple(sides)

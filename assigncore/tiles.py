"""Cutting the (B, G, N) pairs of ground truths and priors into tiles that are handled one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from assigncore.backend import Array, ArrayBackend

__all__ = [
    "Tile",
    "TileView",
    "block_bounds",
    "by_images",
    "dense_tiles",
    "join_tiles",
    "per_prior",
    "plan_tiles",
]

TOUCHED_SHARE = 0.25
"""Share of the ground truths that a block of priors typically touches; only speed depends on it."""

SHORTEST_BLOCK = 1024
"""Priors a block has at least, where memory allows, so that the work outweighs the calls."""


@dataclass(frozen=True)
class Tile:
    """A block of priors in some images, with the ground truths that may matter to it.

    Attributes
    ----------
    images : slice
        Of the batch.
    priors : slice
        Of the priors.
    gts : numpy array (g,) of integers, or None
        The ground truths that may matter to a prior of the block, ascending; None stands for all. With
        ground truths named, the tile is of one image.
    """

    images: slice
    priors: slice
    gts: np.ndarray[Any, Any] | None = None

    @property
    def num_priors(self) -> int:
        """Number of priors in the block: n."""
        return int(self.priors.stop - self.priors.start)

    @property
    def is_vacant(self) -> bool:
        """Whether no ground truth matters to the block."""
        return self.gts is not None and self.gts.size == 0

    def narrowed(self, gts: np.ndarray[Any, Any]) -> Tile:
        """Return the tile with fewer ground truths."""
        return Tile(self.images, self.priors, gts)


@dataclass(frozen=True)
class TileView:
    """What arrays over the whole scene say of one tile.

    Attributes
    ----------
    backend : ArrayBackend
        The library of the arrays.
    tile : Tile
        The tile.
    like : array
        Any array on the device.
    """

    backend: ArrayBackend
    tile: Tile
    like: Array

    def of_priors(self, x: Array, axis: int = 1) -> Array:
        """Cut `x` (B or 1, ..., N, ...), whose `axis` counts priors, to the tile: (b or 1, ..., n, ...)."""
        images = slice(0, 1) if x.shape[0] == 1 else self.tile.images
        return x[(images, *[slice(None)] * (axis - 1), self.tile.priors, ...)]

    def of_gts(self, x: Array) -> Array:
        """Cut `x` (B, G, ...) to the tile: (b, g, ...)."""
        cut, gts = x[(self.tile.images, ...)], self._gts()
        return cut if gts is None else self.backend.xp.take(cut, gts, axis=1)

    def gt_places(self, n_gts: int) -> Array:
        """Return the ground truths of the tile counted from 1, (g,), out of `n_gts`."""
        xp, gts = self.backend.xp, self._gts()
        if gts is not None:
            return gts + 1
        integers = self.backend.integer_dtype(self.like)
        return xp.arange(1, n_gts + 1, dtype=integers, device=self.backend.device_of(self.like))

    def spread_gts(self, x: Array, n_gts: int, fill: float) -> Array:
        """Put `x` (b, g, ...) of the tile's ground truths among all `n_gts` of them, `fill` elsewhere."""
        gts = self.tile.gts
        if gts is None:
            return x
        xp = self.backend.xp
        place = np.zeros(n_gts, dtype=np.int64)
        place[gts] = np.arange(1, gts.size + 1)
        padded = xp.concat([xp.full_like(x[:, :1, ...], fill), x], axis=1)
        return xp.take(padded, self.backend.host_indices(place, self.like), axis=1)

    def _gts(self) -> Array | None:
        gts = self.tile.gts
        return None if gts is None else self.backend.host_indices(gts, self.like)


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
    # Very short blocks would spend more on what is kept of each tile than they save.
    limit = max(limit, min(SHORTEST_BLOCK * per_prior, backend.most_pairs(priors)))
    return dense_tiles(images, n_priors, per_prior, limit)


def dense_tiles(images: int, n_priors: int, per_prior: int, limit: int) -> list[Tile]:
    """Cut all pairs into tiles of at most `limit`, where each prior is in `per_prior` pairs of an image."""
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
    x1, y1, x2, y2 = block_bounds(backend.to_numpy(priors), backend.to_numpy(counted), starts)
    gts = backend.to_numpy(gt_bboxes)[:, None, :, :]
    touches = (x1 < gts[..., 2]) & (x2 > gts[..., 0]) & (y1 < gts[..., 3]) & (y2 > gts[..., 1])
    return [
        Tile(
            slice(image, image + 1), slice(int(start), min(int(start) + block, n_priors)), np.flatnonzero(row)
        )
        for image, rows in enumerate(touches)
        for start, row in zip(starts, rows, strict=True)
    ]


def block_bounds(
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


def join_tiles(xp: Any, tiles: list[Tile], parts: list[Array]) -> Array:
    """Join what tiles say of their priors, each (b, n), into (B, N)."""
    if len(parts) == 1:
        return parts[0]
    rows = [xp.concat(row, axis=-1) if len(row) > 1 else row[0] for row in by_images(tiles, parts)]
    return xp.concat(rows, axis=0) if len(rows) > 1 else rows[0]


def by_images(tiles: list[Tile], parts: list[Array]) -> list[list[Array]]:
    """Group what belongs to tiles by the images the tiles are of."""
    rows = groupby(zip(tiles, parts, strict=True), key=lambda pair: pair[0].images.start)
    return [[part for _, part in row] for _, row in rows]


def per_prior(
    backend: ArrayBackend,
    tiles: list[Tile],
    like: Array,
    reduce: Callable[[TileView], Array],
    *,
    vacant: float,
) -> Array:
    """Reduce the pairs of each tile to one value a prior, and join the tiles.

    Parameters
    ----------
    backend : ArrayBackend
        The library of the arrays.
    tiles : list of Tile
        As :func:`plan_tiles` returns them.
    like : array
        Any array on the device.
    reduce : callable
        Maps the view of a tile to an array (b, n).
    vacant : float
        The value of priors to which no ground truth of their tile matters.

    Returns
    -------
    array (B, N)
        One value a prior.
    """
    xp = backend.xp
    parts: list[Array | None] = [
        None if tile.is_vacant else reduce(TileView(backend, tile, like)) for tile in tiles
    ]
    kind = next((part.dtype for part in parts if part is not None), None)
    dtype = backend.integer_dtype(like) if kind is None else kind
    device = backend.device_of(like)
    filled = [
        xp.full((1, tile.num_priors), vacant, dtype=dtype, device=device) if part is None else part
        for tile, part in zip(tiles, parts, strict=True)
    ]
    return join_tiles(xp, tiles, filled)

"""Which ground truth each prior overlaps most, and which prior each ground truth does.

The (G, N) overlaps never exist whole when this runs eagerly: one tile after another is reduced and dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from assigncore.backend import Array, ArrayBackend
from assigncore.coordinates import collapse
from assigncore.tiles import Tile, plan_tiles

__all__ = ["BestOverlaps", "PairwiseOverlaps", "best_overlaps"]

NOWHERE = -float("inf")


@dataclass(frozen=True, eq=False)
class PairwiseOverlaps:
    """The overlaps (B, G, N) of ground truths with priors, to be computed a tile at a time.

    Attributes
    ----------
    backend : ArrayBackend
        The library of the arrays.
    measure : callable
        Maps boxes (..., G, 4) and (..., N, 4) to overlaps (..., G, N).
    zero_when_disjoint : bool
        Whether `measure` gives 0 for boxes that share no area, and never less.
    priors : array (B or 1, N, 4) or (B or 1, A, N, 4)
        Priors, or A alternatives of each, of which the best counts.
    gt_bboxes : array (B, G, 4)
        Ground truths.
    counted : array (B or 1, N) of bool
        False where a prior overlaps nothing, whatever its box.
    gt_valid : array (B, G) of bool
        False where a ground truth overlaps nothing, whatever its box.
    """

    backend: ArrayBackend
    measure: Callable[[Array, Array], Array]
    zero_when_disjoint: bool
    priors: Array
    gt_bboxes: Array
    counted: Array
    gt_valid: Array

    def plan(self) -> tuple[PairwiseOverlaps, list[Tile]]:
        """Collapse the boxes that count for nothing, and cut the pairs into tiles."""
        keep = self.counted if self.priors.ndim == 3 else self.counted[:, None, :]
        priors = self.priors if self.backend.surely_all(keep) else collapse(self.priors, keep)
        ready = replace(self, priors=priors, gt_bboxes=collapse(self.gt_bboxes, self.gt_valid))
        tiles = plan_tiles(
            self.backend, ready.priors, ready.gt_bboxes, self.counted, skip=self.zero_when_disjoint
        )
        return ready, tiles

    def of(self, tile: Tile, gts: np.ndarray[Any, Any] | None) -> Array:
        """Return the overlaps (b, g, n) of a tile with the ground truths `gts`, None for all."""
        xp = self.backend.xp
        gt_bboxes = self.gt_bboxes[tile.images, :, :]
        if gts is not None:
            gt_bboxes = xp.take(gt_bboxes, self.backend.host_indices(gts, self.priors), axis=-2)
        priors = _of_images(self.priors, tile.images)
        if priors.ndim == 3:
            overlaps = self.measure(gt_bboxes, priors[:, tile.priors, :])
        else:
            each = self.measure(gt_bboxes[:, None, :, :], priors[:, :, tile.priors, :])
            overlaps = xp.max(each, axis=1)
        if not self.zero_when_disjoint:
            counted = _of_images(self.counted, tile.images)[:, tile.priors]
            pairs = counted[:, None, :] & self.gt_valid[tile.images, :][:, :, None]
            overlaps = xp.where(pairs, overlaps, NOWHERE)
        return overlaps


@dataclass(frozen=True, eq=False)
class BestOverlaps:
    """The extremes of the overlaps, per prior and per ground truth. Ties go to the lowest index.

    Attributes
    ----------
    of_prior : array (B, N)
        Each prior's best overlap with any valid ground truth; without meaning where it does not count.
    gt_of_prior : array (B, N) of integers
        The ground truth that has it, from 0.
    of_gt : array (B, G)
        Each ground truth's best overlap with any counted prior; minus infinity where no prior counts.
    prior_of_gt : array (B, G) of integers
        The prior that has it.
    """

    of_prior: Array
    gt_of_prior: Array
    of_gt: Array
    prior_of_gt: Array
    _pairs: PairwiseOverlaps
    _tiles: list[Tile]
    _of_gt_by_tile: list[Array]
    _only_tile: Array | None

    def last_gt_at_its_best(self, eligible: Array) -> Array:
        """Return, for each prior, the last eligible ground truth whose best overlap the prior attains.

        Parameters
        ----------
        eligible : array (B, G) of bool
            Ground truths that may take priors.

        Returns
        -------
        array (B, N) of integers
            Index + 1 of the ground truth, 0 where there is none.
        """
        pairs, backend = self._pairs, self._pairs.backend
        xp = backend.xp
        places = xp.arange(
            1, eligible.shape[-1] + 1, dtype=self.prior_of_gt.dtype, device=backend.device_of(eligible)
        )

        def last_in(tile: Tile, gts: np.ndarray[Any, Any] | None) -> Array:
            overlaps = self._only_tile if self._only_tile is not None else pairs.of(tile, gts)
            best, may, place = self.of_gt[tile.images, :], eligible[tile.images, :], places
            if gts is not None:
                index = backend.host_indices(gts, pairs.priors)
                best, may = xp.take(best, index, axis=-1), xp.take(may, index, axis=-1)
                place = xp.take(place, index, axis=0)
            at_best = (overlaps == best[..., None]) & may[..., None]
            return xp.max(xp.where(at_best, place[:, None], 0), axis=-2)

        def none_in(tile: Tile) -> Array:
            n = tile.priors.stop - tile.priors.start
            return xp.zeros((1, n), dtype=places.dtype, device=backend.device_of(eligible))

        if self._tiles[0].gts is None:
            last = _join(xp, self._tiles, [last_in(tile, None) for tile in self._tiles])
        else:
            attained = _attained(backend, self, eligible)
            parts = [
                last_in(tile, gts) if gts.size else none_in(tile)
                for tile, gts in zip(self._tiles, attained, strict=True)
            ]
            last = _join(xp, self._tiles, parts)
            # A ground truth that overlaps no prior attains its best, 0, everywhere, in no tile named for it.
            nothing = eligible & (self.of_gt == 0.0)
            last = xp.maximum(last, xp.max(xp.where(nothing, places, 0), axis=-1)[:, None])
        return xp.where(pairs.counted, last, 0)


def best_overlaps(overlaps: PairwiseOverlaps) -> BestOverlaps:
    """Find the extremes of the overlaps, per prior and per ground truth, in one pass over the tiles.

    There must be at least one pair, padding included.
    """
    pairs, tiles = overlaps.plan()
    backend = pairs.backend
    xp = backend.xp
    of_prior, gt_of_prior, of_gt_by_tile, prior_of_gt_by_tile = [], [], [], []
    only_tile = None
    for tile in tiles:
        if tile.gts is not None and tile.gts.size == 0:
            best, at, gt_best, gt_at = _untouched(pairs, tile)
        else:
            tile_overlaps = pairs.of(tile, tile.gts)
            only_tile = tile_overlaps if len(tiles) == 1 and tile.gts is None else None
            best, at = backend.max_and_argmax(tile_overlaps, axis=-2)
            gt_best, gt_at = backend.max_and_argmax(tile_overlaps, axis=-1)
            if tile.gts is not None:
                at = xp.take(backend.host_indices(tile.gts, pairs.priors), xp.reshape(at, (-1,)))[None, :]
                gt_best, gt_at = _spread(pairs, tile.gts, gt_best), _spread(pairs, tile.gts, gt_at)
        of_prior.append(best)
        gt_of_prior.append(at)
        of_gt_by_tile.append(gt_best)
        prior_of_gt_by_tile.append(gt_at + tile.priors.start)
    of_gt, prior_of_gt = _over_tiles(backend, tiles, of_gt_by_tile, prior_of_gt_by_tile)
    return _settle_zeros(
        BestOverlaps(
            _join(xp, tiles, of_prior),
            _join(xp, tiles, gt_of_prior),
            of_gt,
            prior_of_gt,
            pairs,
            tiles,
            of_gt_by_tile,
            only_tile,
        )
    )


def _settle_zeros(best: BestOverlaps) -> BestOverlaps:
    """Give overlaps of 0 to the first that counts: in the tiles, boxes that count for nothing are 0 too."""
    pairs, xp = best._pairs, best._pairs.backend.xp
    gt_of_prior, prior_of_gt = best.gt_of_prior, best.prior_of_gt
    integers = gt_of_prior.dtype
    if pairs.zero_when_disjoint:
        first_gt = xp.argmax(xp.astype(pairs.gt_valid, integers), axis=-1)[:, None]
        first_prior = xp.argmax(xp.astype(pairs.counted, integers), axis=-1)[:, None]
        gt_of_prior = xp.where(best.of_prior > 0.0, gt_of_prior, first_gt)
        prior_of_gt = xp.where(best.of_gt > 0.0, prior_of_gt, first_prior)
    any_counted = xp.any(pairs.counted, axis=-1)[:, None]
    of_gt = xp.where(any_counted, best.of_gt, NOWHERE)
    return replace(best, gt_of_prior=gt_of_prior, of_gt=of_gt, prior_of_gt=prior_of_gt)


def _of_images(x: Array, images: slice) -> Array:
    return x if x.shape[0] == 1 else x[images, ...]


def _untouched(pairs: PairwiseOverlaps, tile: Tile) -> tuple[Array, Array, Array, Array]:
    """Return the extremes of a tile that no ground truth touches."""
    xp, device = pairs.backend.xp, pairs.backend.device_of(pairs.priors)
    integers = pairs.backend.integer_dtype(pairs.priors)
    for_priors, for_gts = (1, tile.priors.stop - tile.priors.start), (1, pairs.gt_bboxes.shape[1])
    return (
        xp.zeros(for_priors, dtype=pairs.priors.dtype, device=device),
        xp.zeros(for_priors, dtype=integers, device=device),
        xp.zeros(for_gts, dtype=pairs.priors.dtype, device=device),
        xp.zeros(for_gts, dtype=integers, device=device),
    )


def _spread(pairs: PairwiseOverlaps, gts: np.ndarray[Any, Any], values: Array) -> Array:
    """Put values (1, g) of the ground truths named into a row (1, G), zeros elsewhere."""
    xp = pairs.backend.xp
    place = np.zeros(pairs.gt_bboxes.shape[1], dtype=np.int64)
    place[gts] = np.arange(1, gts.size + 1)
    padded = xp.concat([xp.zeros_like(values[:, :1]), values], axis=-1)
    return xp.take(padded, pairs.backend.host_indices(place, pairs.priors), axis=-1)


def _by_images(tiles: list[Tile], parts: list[Array]) -> list[list[Array]]:
    """Group what belongs to tiles by the images the tiles are of."""
    rows = groupby(zip(tiles, parts, strict=True), key=lambda pair: pair[0].images.start)
    return [[part for _, part in row] for _, row in rows]


def _join(xp: Any, tiles: list[Tile], parts: list[Array]) -> Array:
    """Join what tiles say of their priors, each (b, n), into (B, N)."""
    if len(parts) == 1:
        return parts[0]
    rows = [xp.concat(row, axis=-1) if len(row) > 1 else row[0] for row in _by_images(tiles, parts)]
    return xp.concat(rows, axis=0) if len(rows) > 1 else rows[0]


def _over_tiles(
    backend: ArrayBackend, tiles: list[Tile], best: list[Array], at: list[Array]
) -> tuple[Array, Array]:
    """Reduce what tiles say of the ground truths, each (b, G), to (B, G); the first tile keeps a tie."""
    if len(best) == 1:
        return best[0], at[0]
    xp = backend.xp
    all_best, all_at = [], []
    for row_best, row_at in zip(_by_images(tiles, best), _by_images(tiles, at), strict=True):
        value, first = backend.max_and_argmax(xp.stack(row_best, axis=0), axis=0)
        all_best.append(value)
        all_at.append(xp.take_along_axis(xp.stack(row_at, axis=0), first[None, ...], axis=0)[0, ...])
    return xp.concat(all_best, axis=0), xp.concat(all_at, axis=0)


def _attained(backend: ArrayBackend, best: BestOverlaps, eligible: Array) -> list[np.ndarray[Any, Any]]:
    """Return, tile by tile, the eligible ground truths that overlap something and are at their best."""
    of_gt, may = backend.to_numpy(best.of_gt), backend.to_numpy(eligible)
    wanted = may & (of_gt > 0)
    return [
        np.flatnonzero((backend.to_numpy(of_tile)[0] == of_gt[image]) & wanted[image])
        for of_tile, image in zip(best._of_gt_by_tile, (t.images.start for t in best._tiles), strict=True)
    ]

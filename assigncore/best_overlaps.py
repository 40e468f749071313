"""Which ground truth each prior overlaps most, and which prior each ground truth does.

The (G, N) overlaps never exist whole when this runs eagerly: one tile after another is reduced and dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from assigncore.backend import Array, ArrayBackend
from assigncore.coordinates import collapse
from assigncore.tiles import Tile, TileView, by_images, join_tiles, per_prior, plan_tiles

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
    alternatives : array (B or 1, A, N) of bool, optional
        False where an alternative overlaps nothing, whatever its box. Required where there are alternatives.
    """

    backend: ArrayBackend
    measure: Callable[[Array, Array], Array]
    zero_when_disjoint: bool
    priors: Array
    gt_bboxes: Array
    counted: Array
    gt_valid: Array
    alternatives: Array | None = None

    def collapsed(self) -> PairwiseOverlaps:
        """Return the same pairs, with the boxes that count for nothing collapsed to points."""
        keep = self.counted if self.alternatives is None else self.counted[:, None, :] & self.alternatives
        priors = self.priors if self.backend.surely_all(keep) else collapse(self.priors, keep)
        return replace(self, priors=priors, gt_bboxes=collapse(self.gt_bboxes, self.gt_valid))

    def tiles(self) -> list[Tile]:
        """Cut the pairs into tiles."""
        return plan_tiles(
            self.backend, self.priors, self.gt_bboxes, self.counted, skip=self.zero_when_disjoint
        )

    def of(self, view: TileView) -> Array:
        """Return the overlaps (b, g, n) of a tile."""
        xp = self.backend.xp
        gt_bboxes = view.of_gts(self.gt_bboxes)
        if self.alternatives is None:
            overlaps = self.measure(gt_bboxes, view.of_priors(self.priors))
        else:
            each = self.measure(gt_bboxes[:, None, :, :], view.of_priors(self.priors, axis=2))
            if not self.zero_when_disjoint:
                each = xp.where(view.of_priors(self.alternatives, axis=2)[:, :, None, :], each, NOWHERE)
            overlaps = xp.max(each, axis=1)
        if not self.zero_when_disjoint:
            pairs = view.of_priors(self.counted)[:, None, :] & view.of_gts(self.gt_valid)[:, :, None]
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
        n_gts = int(eligible.shape[-1])

        def last_in(view: TileView) -> Array:
            overlaps = pairs.of(view) if self._only_tile is None else self._only_tile
            at_best = overlaps == view.of_gts(self.of_gt)[..., None]
            taken = at_best & view.of_gts(eligible)[..., None]
            return xp.max(xp.where(taken, view.gt_places(n_gts)[:, None], 0), axis=-2)

        tiles = self._tiles
        skipping = tiles[0].gts is not None
        if skipping:
            tiles = self._tiles_of_the_best(eligible)
        last = per_prior(backend, tiles, pairs.priors, last_in, vacant=0)
        if skipping:
            # A ground truth that overlaps no prior attains its best, 0, everywhere, in no tile named for it.
            places = TileView(backend, tiles[0].narrowed(np.arange(n_gts)), eligible).gt_places(n_gts)
            nothing = eligible & (self.of_gt == 0.0)
            last = xp.maximum(last, xp.max(xp.where(nothing, places, 0), axis=-1)[:, None])
        return xp.where(pairs.counted, last, 0)

    def _tiles_of_the_best(self, eligible: Array) -> list[Tile]:
        """Narrow each tile to the eligible ground truths that overlap something and are at their best."""
        to_numpy = self._pairs.backend.to_numpy
        of_gt = to_numpy(self.of_gt)
        wanted = to_numpy(eligible) & (of_gt > 0)
        narrowed = []
        for tile, of_tile in zip(self._tiles, self._of_gt_by_tile, strict=True):
            image = tile.images.start
            narrowed.append(
                tile.narrowed(np.flatnonzero((to_numpy(of_tile)[0] == of_gt[image]) & wanted[image]))
            )
        return narrowed


def best_overlaps(overlaps: PairwiseOverlaps) -> BestOverlaps:
    """Find the extremes of the overlaps, per prior and per ground truth, in one pass over the tiles.

    There must be at least one pair, padding included.
    """
    pairs = overlaps.collapsed()
    tiles = pairs.tiles()
    only = len(tiles) == 1 and tiles[0].gts is None
    parts, kept = [], None
    for tile in tiles:
        *extremes, values = _extremes(pairs, TileView(pairs.backend, tile, pairs.priors))
        parts.append(extremes)
        kept = values if only else None
    of_prior, gt_of_prior, of_gt, prior_of_gt = map(list, zip(*parts, strict=True))
    xp = pairs.backend.xp
    best_of_gt, best_prior = _over_tiles(pairs.backend, tiles, of_gt, prior_of_gt)
    return _settle_ties_of_nothing(
        BestOverlaps(
            join_tiles(xp, tiles, of_prior),
            join_tiles(xp, tiles, gt_of_prior),
            best_of_gt,
            best_prior,
            pairs,
            tiles,
            of_gt,
            kept,
        )
    )


def _extremes(pairs: PairwiseOverlaps, view: TileView) -> tuple[Array, Array, Array, Array, Array | None]:
    """Return a tile's best overlap and its place, for its priors (b, n) and all ground truths (b, G)."""
    backend, tile, n_gts = pairs.backend, view.tile, int(pairs.gt_bboxes.shape[1])
    xp = backend.xp
    if tile.is_vacant:
        floats = {"dtype": pairs.priors.dtype, "device": backend.device_of(pairs.priors)}
        integers = floats | {"dtype": backend.integer_dtype(pairs.priors)}
        of_priors, of_gts = (1, tile.num_priors), (1, n_gts)
        none = xp.zeros(of_priors, **floats), xp.zeros(of_priors, **integers)
        return (*none, xp.zeros(of_gts, **floats), xp.zeros(of_gts, **integers), None)
    overlaps = pairs.of(view)
    of_prior, gt = backend.max_and_argmax(overlaps, axis=-2)
    if tile.gts is not None:
        gt = xp.take(view.gt_places(n_gts), xp.reshape(gt, (-1,)), axis=0)[None, :] - 1
    of_gt, prior = backend.max_and_argmax(overlaps, axis=-1)
    of_gt, prior = view.spread_gts(of_gt, n_gts, 0), view.spread_gts(prior, n_gts, 0)
    return of_prior, gt, of_gt, prior + tile.priors.start, overlaps


def _over_tiles(
    backend: ArrayBackend, tiles: list[Tile], best: list[Array], at: list[Array]
) -> tuple[Array, Array]:
    """Reduce what tiles say of the ground truths, each (b, G), to (B, G); the first tile keeps a tie."""
    if len(best) == 1:
        return best[0], at[0]
    xp = backend.xp
    all_best, all_at = [], []
    for row_best, row_at in zip(by_images(tiles, best), by_images(tiles, at), strict=True):
        value, first = backend.max_and_argmax(xp.stack(row_best, axis=0), axis=0)
        all_best.append(value)
        all_at.append(xp.take_along_axis(xp.stack(row_at, axis=0), first[None, ...], axis=0)[0, ...])
    return xp.concat(all_best, axis=0), xp.concat(all_at, axis=0)


def _settle_ties_of_nothing(best: BestOverlaps) -> BestOverlaps:
    """Give an overlap with nothing to the first that counts: in tiles, what does not count ties with it."""
    pairs, xp = best._pairs, best._pairs.backend.xp
    nothing = 0.0 if pairs.zero_when_disjoint else NOWHERE
    integers = best.gt_of_prior.dtype
    first_gt = xp.argmax(xp.astype(pairs.gt_valid, integers), axis=-1)[:, None]
    first_prior = xp.argmax(xp.astype(pairs.counted, integers), axis=-1)[:, None]
    any_counted = xp.any(pairs.counted, axis=-1)[:, None]
    return replace(
        best,
        gt_of_prior=xp.where(best.of_prior > nothing, best.gt_of_prior, first_gt),
        of_gt=xp.where(any_counted, best.of_gt, NOWHERE),
        prior_of_gt=xp.where(best.of_gt > nothing, best.prior_of_gt, first_prior),
    )

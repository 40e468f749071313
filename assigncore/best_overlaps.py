"""Which ground truth each prior overlaps most, and which prior each ground truth does.

The (G, N) overlaps never exist whole when this runs eagerly: one tile after another is reduced and dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from assigncore.backend import Array, ArrayBackend, get_backend
from assigncore.coordinates import collapse
from assigncore.tiles import Tile, TileView, join_images, join_tiles, plan_tiles

__all__ = [
    "NOWHERE",
    "BestOverlaps",
    "PairwiseOverlaps",
    "best_in_tiles",
    "best_of_gts",
    "best_of_priors",
    "best_of_priors_in_tiles",
    "best_overlaps",
]

NOWHERE = -float("inf")
"""The overlap of what does not count."""


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
        return plan_tiles(self.backend, self.priors, self.gt_bboxes)

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
    gt_inds : array (B, N) of integers
        The ground truth that has it, from 1.
    of_gt : array (B, G)
        Each ground truth's best overlap with any counted prior; minus infinity where no prior counts.
    prior_of_gt : array (B, G) of integers
        The prior that has it.
    counted : array (B or 1, N) of bool
        False where a prior overlaps nothing, whatever its box.
    last_at_best : callable
        Of the ground truths that are true in an array (B, G), finds for each prior the last whose best
        overlap it attains, from 1, (B, N); 0 where there is none, anything where a prior does not count.
    """

    of_prior: Array
    gt_inds: Array
    of_gt: Array
    prior_of_gt: Array
    counted: Array
    last_at_best: Callable[[Array], Array]

    @property
    def gt_of_prior(self) -> Array:
        """The ground truth that each prior overlaps most, (B, N), from 0."""
        return self.gt_inds - 1

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
        return get_backend(eligible).keep(self.counted, self.last_at_best(eligible), 0)


def best_overlaps(overlaps: PairwiseOverlaps) -> BestOverlaps:
    """Find the extremes of the overlaps, per prior and per ground truth, in one pass over the pairs.

    There must be at least one pair, padding included.
    """
    return overlaps.backend.best_overlaps(overlaps)


def best_of_priors(overlaps: PairwiseOverlaps) -> Array:
    """Find each prior's best overlap alone, (B, N), as :attr:`BestOverlaps.of_prior`."""
    return overlaps.backend.best_of_priors(overlaps)


def best_of_gts(overlaps: PairwiseOverlaps) -> Array:
    """Find each ground truth's best overlap alone, (B, G), as :attr:`BestOverlaps.of_gt`."""
    return best_overlaps(overlaps).of_gt


def best_of_priors_in_tiles(overlaps: PairwiseOverlaps) -> Array:
    """Find each prior's best a tile after the other: the portable answer to :func:`best_of_priors`."""
    pairs = overlaps.collapsed()
    xp, tiles = pairs.backend.xp, pairs.tiles()
    views = [TileView(pairs.backend, tile, pairs.gt_bboxes) for tile in tiles]
    return join_tiles(xp, tiles, [xp.max(pairs.of(view), axis=-2) for view in views])


def best_in_tiles(overlaps: PairwiseOverlaps) -> BestOverlaps:
    """Find the extremes a tile after the other: the portable answer, and what every other one must equal."""
    pairs = overlaps.collapsed()
    backend, xp = pairs.backend, pairs.backend.xp
    tiles = pairs.tiles()
    views = [TileView(backend, tile, pairs.gt_bboxes) for tile in tiles]
    of_prior, gt_inds = [], []
    # Only the best so far is kept of ground truths: of many, every tile's would outgrow the tiles.
    of_gt: dict[int, tuple[Array, Array]] = {}
    for view in views:
        values = pairs.of(view)
        best, number = backend.first_largest(values, view.gt_numbers(pairs.gt_bboxes))
        of_prior.append(best)
        gt_inds.append(number)
        best, place = backend.max_and_argmax(values, axis=-1)
        prior = place + view.first_priors(pairs.gt_bboxes)
        image = view.tile.first_image
        if image in of_gt:
            kept, first = of_gt[image]
            later = (best > kept) | ((best != best) & (kept == kept))
            best, prior = xp.where(later, best, kept), xp.where(later, prior, first)
        of_gt[image] = best, prior
    only_tile = values if len(tiles) == 1 else None

    def last_at_best(eligible: Array) -> Array:
        def last_in(view: TileView) -> Array:
            values = pairs.of(view) if only_tile is None else only_tile
            at_best = values == view.of_gts(found.of_gt)[..., None]
            taken = at_best & view.of_gts(eligible)[..., None]
            return xp.max(xp.where(taken, view.gt_numbers(eligible), 0), axis=-2)

        return join_tiles(xp, tiles, [last_in(view) for view in views])

    found = _settle_ties_of_nothing(
        BestOverlaps(
            of_prior=join_tiles(xp, tiles, of_prior),
            gt_inds=join_tiles(xp, tiles, gt_inds),
            of_gt=join_images(xp, [best for best, _ in of_gt.values()]),
            prior_of_gt=join_images(xp, [prior for _, prior in of_gt.values()]),
            counted=pairs.counted,
            last_at_best=last_at_best,
        ),
        pairs,
    )
    return found


def _settle_ties_of_nothing(best: BestOverlaps, pairs: PairwiseOverlaps) -> BestOverlaps:
    """Give an overlap with nothing to the first that counts: in tiles, what does not count ties with it."""
    xp = pairs.backend.xp
    nothing = 0.0 if pairs.zero_when_disjoint else NOWHERE
    # Of shorter integers, PyTorch's compiler for CPUs takes the places from beyond the array.
    first_gt = xp.argmax(xp.astype(pairs.gt_valid, xp.int32), axis=-1)[:, None]
    first_prior = xp.argmax(xp.astype(pairs.counted, xp.int32), axis=-1)[:, None]
    any_counted = xp.any(pairs.counted, axis=-1)[:, None]
    return replace(
        best,
        gt_inds=xp.where(best.of_prior > nothing, best.gt_inds, first_gt + 1),
        of_gt=xp.where(any_counted, best.of_gt, NOWHERE),
        prior_of_gt=xp.where(best.of_gt > nothing, best.prior_of_gt, first_prior),
    )

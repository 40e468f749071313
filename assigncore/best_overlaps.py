"""Which ground truth each prior overlaps most, and which prior each ground truth does.

The (G, N) overlaps never exist whole when this runs eagerly: one tile after another is reduced and dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from assigncore.backend import Array, ArrayBackend
from assigncore.coordinates import collapse
from assigncore.pair_plan import PairPlan, plan_pairs
from assigncore.tiles import View

__all__ = ["BestOverlaps", "PairwiseOverlaps", "best_of_gts", "best_of_priors", "best_overlaps"]

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

    def plan(self) -> PairPlan:
        """Cut the pairs into tiles."""
        skip = self.zero_when_disjoint and self.priors.shape[-1] == self.gt_bboxes.shape[-1] == 4
        return plan_pairs(self.backend, self.priors, self.gt_bboxes, self.counted, skip=skip)

    def of(self, view: View) -> Array:
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
    """

    of_prior: Array
    gt_inds: Array
    of_gt: Array
    prior_of_gt: Array
    _pairs: PairwiseOverlaps
    _plan: PairPlan
    _of_gt_by_tile: list[Array]
    _only_tile: Array | None

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
        pairs, xp = self._pairs, self._pairs.backend.xp

        def last_in(view: View) -> Array:
            overlaps = pairs.of(view) if self._only_tile is None else self._only_tile
            at_best = overlaps == view.of_gts(self.of_gt)[..., None]
            taken = at_best & view.of_gts(eligible)[..., None]
            return xp.max(xp.where(taken, view.gt_numbers(eligible), 0), axis=-2)

        # A ground truth that overlaps nothing attains its best, 0, everywhere: in no tile where some skip it.
        overlaps_nothing = eligible & (self.of_gt == 0.0)
        best = self._plan.at_their_best(self._of_gt_by_tile, self.of_gt, eligible & ~overlaps_nothing)
        last = best.per_prior(last_in, self.gt_inds)
        if best.skips and not pairs.backend.surely_all(~overlaps_nothing):
            device = pairs.backend.device_of(last)
            numbers = xp.arange(1, int(eligible.shape[-1]) + 1, dtype=last.dtype, device=device)
            everywhere = xp.max(xp.where(overlaps_nothing, numbers, 0), axis=-1)[:, None]
            last = xp.maximum(last, everywhere)
        return pairs.backend.keep(pairs.counted, last, 0)


def best_overlaps(overlaps: PairwiseOverlaps) -> BestOverlaps:
    """Find the extremes of the overlaps, per prior and per ground truth, in one pass over the tiles.

    There must be at least one pair, padding included.
    """
    pairs = overlaps.collapsed()
    plan, backend = pairs.plan(), pairs.backend
    of_prior, gt_inds = [], []
    kept = None

    def each_tile() -> Iterator[tuple[Array, Array]]:
        nonlocal kept
        for view in plan.views:
            kept = pairs.of(view)
            best, number = backend.first_largest(kept, view.gt_numbers(pairs.gt_bboxes))
            of_prior.append(best)
            gt_inds.append(number)
            best, place = backend.max_and_argmax(kept, axis=-1)
            yield best, place + view.first_priors(pairs.gt_bboxes)

    best_of_gt, best_prior, of_gt = plan.first_largest(each_tile(), pairs.gt_bboxes)
    return _settle_ties_of_nothing(
        BestOverlaps(
            plan.join(of_prior, pairs.priors),
            plan.join(gt_inds, best_prior),
            best_of_gt,
            best_prior,
            pairs,
            plan,
            of_gt,
            kept if plan.is_whole else None,
        )
    )


def best_of_priors(overlaps: PairwiseOverlaps) -> Array:
    """Find each prior's best overlap alone, (B, N), as :attr:`BestOverlaps.of_prior`."""
    pairs = overlaps.collapsed()
    xp = pairs.backend.xp
    return pairs.plan().per_prior(lambda view: xp.max(pairs.of(view), axis=-2), pairs.priors)


def best_of_gts(overlaps: PairwiseOverlaps) -> Array:
    """Find each ground truth's best overlap alone, (B, G), as :attr:`BestOverlaps.of_gt`."""
    pairs = overlaps.collapsed()
    plan, xp = pairs.plan(), pairs.backend.xp
    best = plan.largest((xp.max(pairs.of(view), axis=-1) for view in plan.views), pairs.gt_bboxes)
    return xp.where(xp.any(pairs.counted, axis=-1)[:, None], best, NOWHERE)


def _settle_ties_of_nothing(best: BestOverlaps) -> BestOverlaps:
    """Give an overlap with nothing to the first that counts: in tiles, what does not count ties with it."""
    pairs, xp = best._pairs, best._pairs.backend.xp
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

"""Which ground truth each prior overlaps most, and which prior each ground truth does.

The (G, N) overlaps never exist whole when this runs eagerly: one tile after another is reduced and dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from assigncore.backend import Array, ArrayBackend, get_backend
from assigncore.boxes.calculators import measure_of, zero_when_disjoint
from assigncore.boxes.formulas import collapse
from assigncore.checks import check_dtype, check_knob, check_shape
from assigncore.inputs import InputSpec, Scene, read_scene
from assigncore.inspect.trace import condition, contest, is_recording, mark, next_round
from assigncore.pairs.tiles import Tile, TileView, cut_tiles, join_images, join_tiles, plan_tiles
from assigncore.steps.candidates import FAR, Candidates, k_smallest_per_gt

__all__ = [
    "NOWHERE",
    "BestOverlaps",
    "GivenOverlaps",
    "PairwiseOverlaps",
    "best_in_tiles",
    "best_of_gts",
    "best_of_priors",
    "best_of_priors_in_tiles",
    "best_overlaps",
    "check_thresholds",
    "k_largest_overlaps",
    "k_most_overlapping",
    "k_most_overlapping_in_tiles",
    "last_at_best",
    "low_quality_gt",
    "name_best",
    "name_codes",
    "name_low_quality",
    "overlaps_with_gts",
    "read_overlaps",
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
    eligible : array (B or 1, N) of bool
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
    eligible: Array
    gt_valid: Array
    alternatives: Array | None = None

    @property
    def disjoint(self) -> float:
        """The overlap of a pair that has nothing in common, below those of any other."""
        return 0.0 if self.zero_when_disjoint else NOWHERE

    def collapsed(self) -> PairwiseOverlaps:
        """Return the same pairs, with the boxes that count for nothing collapsed to points."""
        keep = self.eligible if self.alternatives is None else self.eligible[:, None, :] & self.alternatives
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
            pairs = view.of_priors(self.eligible)[:, None, :] & view.of_gts(self.gt_valid)[:, :, None]
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
        Each ground truth's best overlap with any eligible prior; minus infinity where no prior counts.
    prior_of_gt : array (B, G) of integers
        The prior that has it.
    eligible : array (B or 1, N) of bool
        False where a prior overlaps nothing, whatever its box.
    last_at_best : callable
        Of the ground truths that are true in an array (B, G), finds for each prior the last whose best
        overlap it attains, from 1, (B, N); 0 where there is none, anything where a prior does not count.
    """

    of_prior: Array
    gt_inds: Array
    of_gt: Array
    prior_of_gt: Array
    eligible: Array
    last_at_best: Callable[[Array], Array]
    overlaps_of: Callable[[int], Array] | None = None
    """Returns the overlaps of a ground truth of a single image, (N,), while somebody asks why."""

    @property
    def gt_of_prior(self) -> Array:
        """The ground truth that each prior overlaps most, (B, N), from 0."""
        return self.gt_inds - 1

    def last_gt_at_its_best(self, gt_eligible: Array) -> Array:
        """Return, for each prior, the last eligible ground truth whose best overlap the prior attains.

        Parameters
        ----------
        gt_eligible : array (B, G) of bool
            Ground truths that may take priors.

        Returns
        -------
        array (B, N) of integers
            Index + 1 of the ground truth, 0 where there is none.
        """
        return get_backend(gt_eligible).keep(self.eligible, self.last_at_best(gt_eligible), 0)


def best_overlaps(overlaps: PairwiseOverlaps) -> BestOverlaps:
    """Find the extremes of the overlaps, per prior and per ground truth, in one pass over the pairs.

    There must be at least one pair, padding included.
    """
    best = overlaps.backend.best_overlaps(overlaps)
    if not is_recording():
        return best
    # Each ground truth is asked for several times in a row.
    return replace(best, overlaps_of=lru_cache(maxsize=2)(partial(_overlaps_of, overlaps)))


def _overlaps_of(overlaps: PairwiseOverlaps, gt: int) -> Array:
    """Return the overlaps of one ground truth of the one image, (N,)."""
    own = slice(gt, gt + 1)
    alone = replace(overlaps, gt_bboxes=overlaps.gt_bboxes[:, own, :], gt_valid=overlaps.gt_valid[:, own])
    whole = Tile(0, 1, 0, int(overlaps.eligible.shape[-1]))
    pairs = alone.collapsed()
    return pairs.of(TileView(pairs.backend, whole, pairs.gt_bboxes))[0, 0, :]


def name_codes(codes: Array, ignored: Array | None, max_overlaps: Array) -> None:
    """Say, where somebody asks why, which priors (B, N) nobody takes are ignored, by their best overlaps."""
    if is_recording():
        mark("best overlap not among those of background", codes < 0, -1, value=max_overlaps)
        if ignored is not None:
            mark("in an ignore region", ignored & (codes < 0), -1)


def name_best(best: BestOverlaps, enough: str, positive: Array, limit: float) -> None:
    """Say, where somebody asks why, that each prior's best overlap decides, and whether it is enough."""
    if best.overlaps_of is not None:
        next_round("best overlap of the prior")
        condition("takes part with a box that counts", best.eligible[:, None, :])
        contest("the largest overlap", by=best.overlaps_of)
        condition(enough, positive[:, None, :], value=best.overlaps_of, limit=limit)


def name_low_quality(
    scene: Scene, best: BestOverlaps, enough: str, gt_eligible: Array, limit: float, *, assign_all: bool
) -> None:
    """Say, where somebody asks why, that each ground truth takes the priors of its best overlap."""
    overlaps_of = best.overlaps_of
    if overlaps_of is None:
        return
    of_gt, first = best.of_gt[..., None], best.prior_of_gt
    number = scene.xp.arange(scene.shape[1], device=scene.backend.device_of(scene.priors))

    def at_best(gt: int) -> Array:
        if assign_all:
            return (overlaps_of(gt) == of_gt[0, gt, 0]) & best.eligible[0, :]
        return number == first[0, gt]

    next_round("best overlap of the ground truth")
    condition(f"best overlap of the ground truth {enough}", gt_eligible[..., None], value=of_gt, limit=limit)
    condition("the best overlap of the ground truth", at_best, value=overlaps_of, limit=of_gt)
    contest("the later ground truth", by=scene.xp.zeros_like(of_gt), last=True)


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


def k_largest_overlaps(overlaps: PairwiseOverlaps, k: int) -> Array:
    """Find the `k` largest overlaps of each ground truth with priors that count, or all where they are fewer.

    There must be at least one pair, padding included.

    Returns
    -------
    array (B, G, K)
        From the largest on; 0 in place of one that is negative or NaN, or of a pair that does not count.
    """
    negated = k_most_overlapping(overlaps, k).value
    return overlaps.backend.xp.where(negated < 0, -negated, 0.0)


def k_most_overlapping(overlaps: PairwiseOverlaps, k: int) -> Candidates:
    """Find the `k` priors that each ground truth overlaps most; of equal ones, the first.

    A prior that overlaps a ground truth by nothing is none of them. There must be at least one pair, padding
    included.

    Returns
    -------
    Candidates
        With overlaps negated, the largest first.
    """
    return overlaps.backend.k_most_overlapping(overlaps, min(k, int(overlaps.priors.shape[-2])))


def k_most_overlapping_in_tiles(overlaps: PairwiseOverlaps, k: int) -> Candidates:
    """Find them a tile after the other: the portable answer to :func:`k_most_overlapping`."""
    pairs = overlaps.collapsed()

    def negated(view: TileView) -> Array:
        values = pairs.of(view)
        return pairs.backend.xp.where(values > pairs.disjoint, -values, FAR)

    return k_smallest_per_gt(pairs.backend, pairs.tiles(), pairs.gt_bboxes, k, negated)


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

    def attained(gt_eligible: Array) -> Array:
        last = [last_at_best(pairs, view, found.of_gt, gt_eligible, values=only_tile) for view in views]
        return join_tiles(xp, tiles, last)

    found = _settle_ties_of_nothing(
        BestOverlaps(
            of_prior=join_tiles(xp, tiles, of_prior),
            gt_inds=join_tiles(xp, tiles, gt_inds),
            of_gt=join_images(xp, [best for best, _ in of_gt.values()]),
            prior_of_gt=join_images(xp, [prior for _, prior in of_gt.values()]),
            eligible=pairs.eligible,
            last_at_best=attained,
        ),
        pairs,
    )
    return found


def last_at_best(
    pairs: PairwiseOverlaps, view: TileView, of_gt: Array, gt_eligible: Array, *, values: Array | None = None
) -> Array:
    """Find the last eligible ground truth whose best, `of_gt` (B, G), each prior of a tile attains, (b, n).

    It is counted from 1, and 0 is none. `values` are the tile's overlaps, if they are there already.
    """
    xp = pairs.backend.xp
    overlaps = pairs.of(view) if values is None else values
    taken = (overlaps == view.of_gts(of_gt)[..., None]) & view.of_gts(gt_eligible)[..., None]
    return xp.max(xp.where(taken, view.gt_numbers(gt_eligible), 0), axis=-2)


def _settle_ties_of_nothing(best: BestOverlaps, pairs: PairwiseOverlaps) -> BestOverlaps:
    """Give an overlap with nothing to the first that counts: in tiles, what does not count ties with it."""
    xp = pairs.backend.xp
    nothing = 0.0 if pairs.zero_when_disjoint else NOWHERE
    # Of shorter integers, PyTorch's compiler for CPUs takes the places from beyond the array.
    first_gt = xp.argmax(xp.astype(pairs.gt_valid, xp.int32), axis=-1)[:, None]
    first_prior = xp.argmax(xp.astype(pairs.eligible, xp.int32), axis=-1)[:, None]
    any_eligible = xp.any(pairs.eligible, axis=-1)[:, None]
    return replace(
        best,
        gt_inds=xp.where(best.of_prior > nothing, best.gt_inds, first_gt + 1),
        of_gt=xp.where(any_eligible, best.of_gt, NOWHERE),
        prior_of_gt=xp.where(best.of_gt > nothing, best.prior_of_gt, first_prior),
    )


@dataclass(frozen=True, eq=False)
class GivenOverlaps(PairwiseOverlaps):
    """Overlaps (B or 1, G, N) that are there already: a tile of them is cut out, not computed."""

    @property
    def disjoint(self) -> float:
        """The overlap of a pair that has nothing in common, as it is of boxes."""
        return 0.0

    def collapsed(self) -> GivenOverlaps:
        """Return the same pairs: what does not count is masked, since there are no boxes."""
        return self

    def tiles(self) -> list[Tile]:
        """Cut the pairs into tiles."""
        images, n_gts, n_priors = (int(n) for n in self.gt_bboxes.shape)
        return cut_tiles(self.backend, (self.gt_bboxes,), images, n_priors, n_gts)

    def of(self, view: TileView) -> Array:
        """Return the overlaps (b, g, n) of a tile."""
        pairs = view.of_priors(self.eligible)[:, None, :] & view.of_gts(self.gt_valid)[:, :, None]
        return self.backend.xp.where(pairs, view.of_priors(self.gt_bboxes, axis=2), -float("inf"))


def read_overlaps(
    overlaps: Array,
    *,
    gt_labels: Array | None = None,
    gt_valid: Array | None = None,
    prior_valid: Array | None = None,
) -> tuple[Scene, PairwiseOverlaps]:
    """Check given overlaps, and bring them to the forms of assigners that compute theirs.

    Parameters
    ----------
    overlaps : array (..., G, N)
        How much each ground truth has in common with each prior. What is not finite counts as 0.
    gt_labels : array (..., G) of integers, optional
        Classes.
    gt_valid, prior_valid : array (..., G) and (..., N) of bool, optional
        False where a row is padding, or takes no part.

    Returns
    -------
    scene : Scene
        Its boxes are zeros.
    pairs : PairwiseOverlaps
        The overlaps.

    Raises
    ------
    TypeError
        If an input is no array, of a wrong kind of dtype, or of another library than `overlaps`.
    ValueError
        If shapes do not fit or inputs are on different devices.
    """
    backend = get_backend(overlaps, "overlaps")
    check_shape("overlaps", overlaps, "(..., G, N)", None, None)
    check_dtype("overlaps", overlaps, backend, "real floating")
    xp, device = backend.xp, backend.device_of(overlaps)
    n_gts, n_priors = (int(n) for n in overlaps.shape[-2:])
    scene = read_scene(
        xp.zeros((n_priors, 4), dtype=overlaps.dtype, device=device),
        xp.zeros((n_gts, 4), dtype=overlaps.dtype, device=device),
        gt_labels=gt_labels,
        gt_valid=gt_valid,
        prior_valid=prior_valid,
        further={"overlaps": InputSpec(overlaps, ("G", "N"), required=True)},
    )
    table = scene.further["overlaps"]
    shape = (scene.shape[0], n_gts, n_priors)
    table = xp.broadcast_to(xp.where(xp.isfinite(table), table, 0.0), shape)
    pairs = GivenOverlaps(
        backend=backend,
        measure=_no_measure,
        zero_when_disjoint=False,
        priors=scene.priors,
        gt_bboxes=table,
        eligible=scene.prior_eligible,
        gt_valid=scene.gt_valid,
    )
    return scene, pairs


def _no_measure(gt_bboxes: Array, priors: Array) -> Array:
    raise NotImplementedError("the overlaps are given, none are computed")


def check_thresholds(pos_iou_thr: Any, neg_iou_thr: Any, min_pos_iou: Any) -> None:
    """Check the thresholds of an assigner.

    Raises
    ------
    TypeError
        If one is no number, or `neg_iou_thr` is neither a number nor a pair of numbers.
    ValueError
        If one is not finite, or the pair is not in ascending order.
    """
    check_knob("pos_iou_thr", pos_iou_thr)
    check_knob("min_pos_iou", min_pos_iou)
    if not isinstance(neg_iou_thr, tuple):
        check_knob("neg_iou_thr", neg_iou_thr)
        return
    if len(neg_iou_thr) != 2:
        raise ValueError(f"neg_iou_thr: expected a number or a pair of numbers, got {neg_iou_thr!r}")
    for bound in neg_iou_thr:
        check_knob("neg_iou_thr", bound)
    if neg_iou_thr[0] > neg_iou_thr[1]:
        raise ValueError(f"neg_iou_thr: expected the lower bound first, got {neg_iou_thr!r}")


def overlaps_with_gts(
    scene: Scene, calculator: Any, boxes: Array, eligible: Array, alternatives: Array | None = None
) -> PairwiseOverlaps:
    """Pair the valid ground truths of a scene with `boxes` of its priors, where they count."""
    return PairwiseOverlaps(
        backend=scene.backend,
        measure=measure_of(calculator, "iou"),
        zero_when_disjoint=zero_when_disjoint(calculator),
        priors=boxes,
        gt_bboxes=scene.gt_bboxes,
        eligible=eligible,
        gt_valid=scene.gt_valid,
        alternatives=alternatives,
    )


def low_quality_gt(scene: Scene, best: BestOverlaps, gt_eligible: Array, *, assign_all: bool) -> Array:
    """Let each eligible ground truth take the prior it overlaps most; the later ground truth wins a prior.

    Parameters
    ----------
    scene : Scene
        The inputs.
    best : BestOverlaps
        The extremes of the overlaps.
    gt_eligible : array (B, G) of bool
        Ground truths whose best overlap is good enough.
    assign_all : bool
        Whether a ground truth takes every prior that attains its best overlap, else the first of them.

    Returns
    -------
    array (B, N) of integers
        Index + 1 of the ground truth that takes the prior, 0 where none does.
    """
    if assign_all:
        return best.last_gt_at_its_best(gt_eligible)
    xp, backend = scene.xp, scene.backend
    n_gts = gt_eligible.shape[-1]
    places = xp.arange(1, n_gts + 1, dtype=best.prior_of_gt.dtype, device=backend.device_of(gt_eligible))
    return backend.scatter_max(best.prior_of_gt, xp.where(gt_eligible, places, 0), scene.shape[1])

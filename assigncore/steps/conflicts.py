"""One prior, several ground truths: who gets it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from assigncore.backend import Array, ArrayBackend
from assigncore.inputs import Scene
from assigncore.inspect.trace import condition, contest, is_recording
from assigncore.pairs.listed import ListedPairs, Pairs, TilePairs, all_rows
from assigncore.pairs.tiles import Tile, TileView, cut_tiles, per_prior
from assigncore.steps.alignment import Alignment
from assigncore.steps.candidates import FAR, Candidates, gather_priors, k_smallest_per_gt, places_of

__all__ = [
    "Winners",
    "best_claim",
    "best_of_winners",
    "claim_winners",
    "entries_of",
    "fillers_in_reach",
    "last_claim",
    "pairs_of",
    "settle",
    "settle_among_all",
    "settle_contested",
]


def best_claim(
    backend: ArrayBackend,
    index: Array,
    value: Array,
    claims: Array,
    num_priors: int,
    *,
    nothing: float,
    what: str = "overlap",
) -> tuple[Array, Array]:
    """Give each prior to the ground truth that claims it with the largest value; the first on ties.

    Parameters
    ----------
    backend : ArrayBackend
        The library of the arrays.
    index : array (B, G, K) of integers
        The priors each ground truth may claim, from 0.
    value : array (B, G, K)
        What they compete by.
    claims : array (B, G, K) of bool
        Whether the ground truth claims the prior.
    num_priors : int
        Number of priors: N.
    nothing : float
        The value of a prior that nobody claims; less than any other.
    what : str, default "overlap"
        What the values are, for whoever asks why.

    Returns
    -------
    gt_inds : array (B, N) of integers
        Index + 1 of the ground truth, 0 where nobody claims the prior.
    values : array (B, N)
        The value it was won by.
    """
    contest(f"the largest {what}", by=value, index=index)
    return claim_winners(backend, index, value, claims, num_priors, nothing=nothing)


def claim_winners(
    backend: ArrayBackend,
    index: Array,
    value: Array,
    claims: Array,
    num_priors: int,
    *,
    nothing: float,
    last: bool = False,
) -> tuple[Array, Array]:
    """Decide as :func:`best_claim`, without a word of why; the last ground truth on ties if `last`."""
    xp = backend.xp
    images, n_gts, k = (int(n) for n in index.shape)
    flat = (images, n_gts * k)
    index, claims = xp.reshape(index, flat), xp.reshape(claims, flat)
    value = xp.where(claims, xp.reshape(value, flat), nothing)
    best = backend.scatter_max(index, value, num_priors, fill=nothing)
    wins = claims & (value == xp.take_along_axis(best, index, axis=-1))
    # The largest place wins: counted down, it is the first ground truth's.
    device = backend.device_of(index)
    number = xp.arange(1, n_gts + 1, dtype=index.dtype, device=device)
    places = number if last else n_gts + 1 - number
    places = xp.reshape(xp.broadcast_to(places[None, :, None], (images, n_gts, k)), flat)
    place = backend.scatter_max(index, xp.where(wins, places, 0), num_priors)
    return place if last else backend.keep(place > 0, n_gts + 1 - place, 0), best


NOWHERE = -float("inf")


@dataclass(frozen=True, eq=False)
class Winners:
    """The priors that ground truths take, each once or more, and by what.

    Attributes
    ----------
    prior : array (B, E) of integers
        The priors, from 0.
    gt : array (B, E) of integers
        The ground truth that takes it, from 0; the same wherever the prior stands.
    taken : array (B, E) of bool
        False where nobody takes the prior.
    overlaps, metrics : array (B, E)
        Of the pair.
    """

    prior: Array
    gt: Array
    taken: Array
    overlaps: Array
    metrics: Array


def settle(alignment: Alignment, index: Array, claims: Array, overlaps: Array, *, among: str) -> Winners:
    """Give each claimed prior to one ground truth, by the largest overlap; the first on ties.

    Parameters
    ----------
    alignment : Alignment
        The inputs.
    index : array (B, G, K) of integers
        The priors each ground truth may claim, from 0.
    claims : array (B, G, K) of bool
        Whether it claims the prior.
    overlaps : array (B, G, K)
        Overlaps of these pairs.
    among : {"claimants", "inside", "all"}
        Who competes for a prior with several claimants: they; or all ground truths, with overlap 0 where the
        prior is not inside; or all ground truths.

    Returns
    -------
    Winners
        Of every claimed prior.
    """
    scene, xp = alignment.scene, alignment.scene.xp

    def compared(alignment: Alignment, pairs: Pairs) -> Array:
        overlaps = alignment.overlaps(pairs)
        return xp.where(alignment.inside(pairs), overlaps, 0.0) if among == "inside" else overlaps

    if among == "claimants":
        by, _ = best_claim(scene.backend, index, overlaps, claims, scene.shape[1], nothing=NOWHERE)
        prior, gt, taken = entries_of(scene, index, claims, by)
    else:
        prior, gt, taken = settle_among_all(
            scene, index, claims, lambda prior: partial(compared, alignment.of_entries(prior))
        )
    pairs = pairs_of(scene, gt, prior)
    overlaps = compared(alignment, pairs)
    return Winners(prior, gt, taken, overlaps[..., 0], alignment.metrics(pairs, overlaps)[..., 0])


def settle_among_all(
    scene: Scene,
    index: Array,
    claims: Array,
    values_of: Callable[[Array], Callable[[TilePairs], Array]],
) -> tuple[Array, Array, Array]:
    """Give a prior with several claimants to the ground truth of the largest value, claimant or not.

    Parameters
    ----------
    scene : Scene
        The inputs.
    index, claims : array (B, G, K)
        The priors each ground truth may claim, from 0, and whether it does.
    values_of : callable
        Maps some priors (B, E) to the function of pairs of ground truths and them that gives what is
        compared: their overlaps; the first ground truth of equal ones takes the prior.

    Returns
    -------
    prior, gt : array (B, E) of integers
        Claimed priors, once or more each, and the ground truth that takes them, from 0.
    taken : array (B, E) of bool
        False where an entry is without meaning.
    """
    backend, xp = scene.backend, scene.xp
    prior, gt, claimed = entries_of(scene, index, claims, last_claim(scene, index, claims))
    contested = claimed & xp.take_along_axis(_claimed_by_several(scene, index, claims), prior, axis=-1)
    if backend.surely_all(~contested) and not is_recording():
        return prior, gt, claimed
    some = prior
    is_spared = backend.reads_host(contested) and not is_recording()
    if is_spared:
        # On the host the others, most of them, are left out.
        place, is_place = places_of(backend, contested)
        some = xp.take_along_axis(prior, place, axis=-1)
    value = values_of(some)
    if is_recording():
        entries = Tile(0, int(prior.shape[0]), 0, int(prior.shape[1]))
        by = value(TilePairs(TileView(backend, entries, scene.gt_bboxes)))
        contest("the largest overlap among all", by=by, index=prior[:, None, :], among_all=True)

    def best(view: TileView) -> Array:
        pairs = TilePairs(view)
        values = xp.where(pairs.of_gts(scene.gt_valid), value(pairs), NOWHERE)
        return backend.max_and_argmax(values, axis=-2)[1]

    most = per_prior(backend, _tiles(scene, some), some, best)
    if is_spared:
        most = backend.scatter_max(place, xp.where(is_place, most, 0), int(prior.shape[1]))
    return prior, xp.where(contested, most, gt), claimed


def settle_contested(scene: Scene, index: Array, claims: Array, winners: Array) -> Array:
    """Give each claimed prior to its only claimant, or if it has several, to the winner.

    `winners` (B, G, K) are ground truths from 1, the same wherever a prior stands. So are those returned for
    all priors, (B, N), with 0 where nobody claims one.
    """
    xp, (_, n_priors, n_gts) = scene.xp, scene.shape
    flat = _joined(xp, index)
    contested = xp.take_along_axis(_claimed_by_several(scene, index, claims), flat, axis=-1)
    own = xp.where(xp.reshape(contested, index.shape), winners, _places(scene, n_gts)[None, :, None] + 1)
    return scene.backend.scatter_max(flat, _joined(xp, xp.where(claims, own, 0)), n_priors)


def _claimed_by_several(scene: Scene, index: Array, claims: Array) -> Array:
    """Tell which priors several ground truths claim (B, G, K), (B, N)."""
    xp = scene.xp
    return scene.backend.count(_joined(xp, xp.where(claims, index, -1)), scene.shape[1]) > 1


def pairs_of(scene: Scene, gt: Array, prior: Array) -> ListedPairs:
    """Return the pairs (B, E, 1) of ground truths and priors (B, E)."""
    rows = scene.xp.take_along_axis(all_rows(scene.backend, scene.gt_bboxes), gt, axis=-1)
    return ListedPairs(scene.backend, scene.shape, rows, prior[:, :, None])


def last_claim(scene: Scene, index: Array, claims: Array) -> Array:
    """Return the last ground truth that claims each prior, counted from 1, 0 where none does, (B, N)."""
    xp, n_gts = scene.xp, scene.shape[2]
    places = xp.where(claims, _places(scene, n_gts)[None, :, None] + 1, 0)
    return scene.backend.scatter_max(_joined(xp, index), _joined(xp, places), scene.shape[1])


def entries_of(scene: Scene, index: Array, claims: Array, taken_by: Array) -> tuple[Array, Array, Array]:
    """List the claims one after the other, or where the priors are fewer, these; and who takes them.

    A compiler, to which lengths must not be compared with each other, always gets the claims.

    `taken_by` (B, N) counts ground truths from 1. Returns priors, ground truths from 0, and whether an entry
    has a meaning, each (B, E).
    """
    xp, (images, n_priors, _) = scene.xp, scene.shape
    prior, claimed = _joined(xp, index), _joined(xp, claims)
    if not scene.backend.is_traced(prior) and int(prior.shape[1]) > n_priors:
        prior = xp.broadcast_to(_places(scene, n_priors)[None, :], (images, n_priors))
        gt = taken_by - 1
        claimed = gt >= 0
    else:
        gt = xp.take_along_axis(taken_by, prior, axis=-1) - 1
    return prior, xp.where(claimed, gt, 0), claimed


def _joined(xp: Any, x: Array) -> Array:
    """Join what belongs to ground truths, (B, G, K), into (B, G K)."""
    return xp.reshape(x, (x.shape[0], x.shape[1] * x.shape[2]))


def _places(scene: Scene, n: int) -> Array:
    integers = scene.backend.integer_dtype(scene.gt_bboxes)
    return scene.xp.arange(n, dtype=integers, device=scene.backend.device_of(scene.gt_bboxes))


def _tiles(scene: Scene, entries: Array) -> list[Tile]:
    """Cut the pairs of all ground truths with entries (B, E)."""
    images, _, n_gts = scene.shape
    return cut_tiles(scene.backend, (scene.gt_bboxes, entries), images, int(entries.shape[1]), n_gts)


def best_of_winners(alignment: Alignment, winners: Winners, k: int) -> Winners:
    """Keep the `k` priors of the largest metrics for each ground truth; of equal ones, the first."""
    scene, xp, n_priors = alignment.scene, alignment.scene.xp, alignment.scene.shape[1]
    order = xp.argsort(winners.prior, axis=-1, stable=True)
    prior, gt, taken, metrics = (
        xp.take_along_axis(x, order, axis=-1)
        for x in (winners.prior, winners.gt, winners.taken, winners.metrics)
    )
    # A prior that stands several times counts once: where it is taken for the first time.
    places = _places(scene, int(prior.shape[1]))[None, :]
    first = scene.backend.scatter_max(prior, xp.where(taken, int(prior.shape[1]) - places, 0), n_priors)
    once = taken & (xp.take_along_axis(first, prior, axis=-1) == int(prior.shape[1]) - places)

    def values(view: TileView) -> Array:
        own = view.of_priors(gt)[:, None, :] == view.gt_numbers(prior) - 1
        own = own & view.of_priors(once)[:, None, :]
        return xp.where(own, -view.of_priors(metrics)[:, None, :], FAR)

    best = k_smallest_per_gt(scene.backend, _tiles(scene, prior), scene.gt_bboxes, k, values)
    index = xp.reshape(xp.take_along_axis(prior, _joined(xp, best.index), axis=-1), best.index.shape)
    best = Candidates(index, best.value)
    kept = best.found & fillers_in_reach(alignment, best, k)
    kept_by = last_claim(scene, index, kept)
    if is_recording():
        keeps = (kept_by > 0)[:, None, :]
        condition("of the largest metrics among what the object has won", keeps)
    taken = winners.taken & (xp.take_along_axis(kept_by, winners.prior, axis=-1) > 0)
    return Winners(winners.prior, winners.gt, taken, winners.overlaps, winners.metrics)


def fillers_in_reach(alignment: Alignment, candidates: Candidates, k: int) -> Array:
    """Tell which candidates are among the `k` best of all priors, those that are no candidates included.

    A prior that is no candidate has metric 0. Where fewer than `k` candidates have more, the first of all
    priors of metric 0 take the places that are left, so that a candidate of metric 0 must be one of them.

    Parameters
    ----------
    alignment : Alignment
        The inputs.
    candidates : Candidates (B, G, K)
        The best first, of which K is `k` or the number of priors.
    k : int
        How many are chosen.

    Returns
    -------
    array (B, G, K) of bool
        True for candidates of a positive metric.
    """
    scene, xp = alignment.scene, alignment.scene.xp
    integers, (_, n_priors, _) = candidates.index.dtype, scene.shape
    positive = candidates.value < 0
    place = xp.cumulative_sum(xp.astype(alignment.eligible, integers), axis=-1)
    below = gather_priors(scene.backend, place[..., None], candidates.index)[..., 0] - 1
    # Each row by ascending prior, to count the positive ones before each entry, and back again.
    order = xp.argsort(xp.where(candidates.found, candidates.index, n_priors), axis=-1, stable=True)
    running = xp.cumulative_sum(xp.astype(xp.take_along_axis(positive, order, axis=-1), integers), axis=-1)
    back = xp.argsort(order, axis=-1, stable=True)
    positive_below = xp.take_along_axis(running, back, axis=-1)
    n_positive = xp.sum(xp.astype(positive, integers), axis=-1)[..., None]
    return positive | (n_positive + below - positive_below < k)

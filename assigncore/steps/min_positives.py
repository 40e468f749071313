"""Positives for ground truths that a method leaves with too few: the option `min_positives`.

No paper has this step. Small objects often end without a positive, whatever the method, and teach nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from assigncore.backend import Array, ArrayBackend
from assigncore.boxes.formulas import box_centers
from assigncore.inputs import Scene
from assigncore.inspect.trace import condition, contest, is_recording, next_round
from assigncore.steps.candidates import Candidates, PointDistances, k_nearest
from assigncore.steps.conflicts import claim_winners
from assigncore.steps.overlaps import PairwiseOverlaps, k_most_overlapping

__all__ = [
    "Added",
    "add_by_overlap",
    "add_positives",
    "free_priors",
    "nearest_centers",
    "with_added",
]

REACH = 8
"""Priors a ground truth may ask for in place of each positive it lacks."""

NOWHERE = -float("inf")


@dataclass(frozen=True, eq=False)
class Added:
    """The priors that ground truths get so that they have their least number of positives.

    Attributes
    ----------
    backend : ArrayBackend
        The library of the arrays.
    gt_inds : array (B, N) of integers
        Index + 1 of the ground truth that gets the prior, 0 where none does.
    index : array (B, G, K) of integers
        Priors that each ground truth might ask for, from 0.
    value : array (B, G, K)
        What it competes for them by.
    won : array (B, G, K) of bool
        Which of them it gets.
    """

    backend: ArrayBackend
    gt_inds: Array
    index: Array
    value: Array
    won: Array

    def overwrite(self, gt_inds: Array) -> Array:
        """Return codes (B, N) with those of the added priors; `gt_inds` may be overwritten."""
        return self.backend.overwrite(gt_inds, self.gt_inds > 0, self.gt_inds)

    def write(self, values: Array, before: Array) -> Array:
        """Return `before` (B, N) with the values (B, G, K) of the added pairs at their priors."""
        xp = self.backend.xp
        images, n_priors = (int(n) for n in self.gt_inds.shape)
        values = xp.where(self.won, values, NOWHERE)
        index, values = (xp.reshape(x, (images, -1)) for x in (self.index, values))
        written = self.backend.scatter_max(index, values, n_priors, fill=NOWHERE)
        return xp.where(self.gt_inds > 0, written, before)


def add_positives(
    backend: ArrayBackend,
    gt_inds: Array,
    gt_valid: Array,
    least: int,
    nearest: Callable[[int], Candidates],
    *,
    by: Callable[[Candidates], Array] | None = None,
    what: str = "the least distance",
    last: bool = False,
) -> Added | None:
    """Add priors to ground truths that have fewer positives than `least`.

    In rounds, each such ground truth asks for the nearest free prior. One that several ask for goes to the
    one that has fewest positives so far, then to the one that the method prefers. So it goes on until each
    has enough, or none of the ``8 * least`` that were nearest to it is left. No ground truth loses a prior,
    and one that has enough gets none.

    Parameters
    ----------
    backend : ArrayBackend
        The library of the arrays.
    gt_inds : array (B, N) of integers
        What the method has decided: index + 1 of the ground truth, or 0 or -1.
    gt_valid : array (B, G) of bool
        False where a ground truth asks for nothing.
    least : int
        Positives each ground truth is to have, 0 for any number.
    nearest : callable
        Maps a number to so many free priors of each ground truth, the nearest first, by the method's own
        measure; of equally near ones, the first.
    by : callable, optional
        Maps these candidates to what ground truths compete by, (B, G, K), of which the largest wins. Not
        given: the nearest wins.
    what : str
        Who wins, for whoever asks why.
    last : bool, default False
        Whether of equals the last ground truth wins, else the first.

    Returns
    -------
    Added or None
        None where nothing can be added: `least` is 0, or the host sees that nobody lacks anything.

    Notes
    -----
    In each round a ground truth gets a candidate or loses it to another, so that there are as many rounds as
    candidates at most, whatever the number of ground truths.
    """
    if least == 0:
        return None
    xp, (images, n_priors), n_gts = backend.xp, (int(n) for n in gt_inds.shape), int(gt_valid.shape[1])
    integers, device = backend.integer_dtype(gt_inds), backend.device_of(gt_inds)
    count = backend.count(xp.where(gt_inds > 0, gt_inds - 1, -1), n_gts)
    lacks = xp.where(gt_valid & (count < least), least - count, 0)
    if backend.surely_all(lacks == 0):
        return None
    candidates = nearest(min(REACH * least, n_priors))
    index, found = xp.astype(candidates.index, integers), candidates.found & (lacks > 0)[..., None]
    value = -candidates.value if by is None else by(candidates)
    number = xp.arange(1, n_gts + 1, dtype=integers, device=device)[None, :, None]

    def holders(taken: Array) -> Array:
        # Reshaped here: a loop of PyTorch's compiler takes no two views of one array.
        flat = xp.reshape(index, (images, -1))
        return xp.reshape(xp.take_along_axis(taken, flat, axis=-1), index.shape)

    def ask(taken: Array, asked: Array, going: Array) -> tuple[Array, ...]:
        of_candidates = holders(taken)
        has = xp.sum(xp.astype(asked & (of_candidates == number), integers), axis=-1)
        still = (lacks - has)[..., None]
        free = found & (of_candidates == 0)
        place = xp.cumulative_sum(xp.astype(free, integers), axis=-1)
        asks = free & (place == 1) & (still > 0)
        needs = xp.reshape(xp.where(asks, still, 0), (images, -1))
        most = backend.scatter_max(xp.reshape(index, (images, -1)), needs, n_priors)
        neediest = asks & (still == holders(most))
        won, _ = claim_winners(backend, index, value, neediest, n_priors, nothing=NOWHERE, last=last)
        going = going & xp.any(xp.reshape(asks, (images, -1)), axis=-1)
        return xp.where(won > 0, won, taken), asked | neediest, going

    nobody = xp.zeros((images, n_priors), dtype=integers, device=device)
    state = (nobody, xp.zeros_like(found), xp.ones((images,), dtype=xp.bool, device=device))
    rounds = int(index.shape[-1])
    taken, asked, _ = backend.iterate(ask, state, rounds, done=lambda state: ~state[2])
    if is_recording():
        next_round("too few positives")
        few = (lacks > 0)[..., None]
        condition("fewer positives than min_positives", few, value=count[..., None], limit=least)
        condition(f"among the {rounds} nearest that nobody has", found, index=index, value=candidates.value)
        condition("asked for by the object, and by none that has fewer positives", asked, index=index)
        contest(what, by=value, index=index, last=last)
    return Added(backend, taken, index, value, asked & (holders(taken) == number))


def with_added(gt_inds: Array, added: Added | None) -> Array:
    """Return codes (B, N) with those of the added priors, if there are any; they may be overwritten."""
    return gt_inds if added is None else added.overwrite(gt_inds)


def free_priors(eligible: Array, gt_inds: Array) -> Array:
    """Tell which eligible priors (B or 1, N) nobody has by the codes (B, N)."""
    return eligible & (gt_inds <= 0)


def add_by_overlap(overlaps: PairwiseOverlaps, gt_inds: Array, least: int) -> Added | None:
    """Add the free priors of the largest overlaps; the largest, then the first ground truth, wins a prior.

    A prior that overlaps a ground truth by nothing is not one that it can have.
    """

    def nearest(k: int) -> Candidates:
        return k_most_overlapping(replace(overlaps, eligible=free_priors(overlaps.eligible, gt_inds)), k)

    return add_positives(
        overlaps.backend, gt_inds, overlaps.gt_valid, least, nearest, what="the largest overlap"
    )


def nearest_centers(scene: Scene, points: Array, free: Array, k: int) -> Candidates:
    """Find the `k` free (B, N) of points (B or 1, N, 2) that are nearest to each ground truth's centre."""
    distances = PointDistances(
        backend=scene.backend, points=points, centers=box_centers(scene.gt_bboxes), eligible=free
    )
    return k_nearest(distances, k)

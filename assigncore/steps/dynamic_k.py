"""Matching by dynamic k: each ground truth takes as many of its cheapest priors as its overlaps add up to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from assigncore.backend import Array, get_backend
from assigncore.boxes.calculators import measure_of, zero_when_disjoint
from assigncore.inputs import Scene
from assigncore.inspect.trace import condition, contest, is_recording
from assigncore.numerics import at_least, log, rounded_product, running_sum
from assigncore.pairs.listed import ListedPairs, Pairs, TilePairs, all_rows
from assigncore.pairs.tiles import Tile, TileView, cut_tiles
from assigncore.steps.candidates import FAR, Candidates, Smallest, gather_priors, k_smallest_per_gt, places_of
from assigncore.steps.conflicts import entries_of, pairs_of, settle_contested
from assigncore.steps.keypoints import Poses
from assigncore.steps.min_positives import add_positives, free_priors
from assigncore.steps.overlaps import PairwiseOverlaps, k_largest_overlaps

__all__ = ["PairCosts", "Preferred", "dynamic_count", "match_dynamic_k", "overlap_cost", "weighted"]


@dataclass(frozen=True, eq=False)
class Preferred:
    """Priors that ground truths look at before all others.

    Attributes
    ----------
    find : callable
        Returns which they are, (B, N) of bool; asked where it may spare costs.
    floor : float
        What any other prior costs any ground truth at least.
    """

    find: Callable[[], Array]
    floor: float


@dataclass(frozen=True, eq=False)
class Cheapest:
    """The cheapest priors of each ground truth, and which ground truth each is cheapest for.

    Attributes
    ----------
    priors : Candidates (B, G, K)
        The cheapest first; of equally cheap ones, the first.
    cheapest_for : array (B, G, K) of integers
        The ground truth that a prior is cheapest for among all, from 1, the first on ties.
    """

    priors: Candidates
    cheapest_for: Array


@dataclass(frozen=True, eq=False)
class PairCosts:
    """What the priors of a scene cost its ground truths, and how much their predictions overlap.

    Attributes
    ----------
    scene : Scene
        The inputs.
    eligible : array (B or 1, N) of bool
        Which priors may be chosen.
    pred_bboxes : array (B or 1, N, 4)
        Finite boxes of the predictions.
    calculator : OverlapCalculator
        Computes the overlaps.
    classes : array (B or 1, N, C)
        What is predicted of the classes.
    cost : callable
        Maps these costs, the pairs of a tile and their overlaps to what they cost, (b, g, n); a pair whose
        cost is not finite is never chosen.
    of_priors : mapping of str to array (B or 1, N, ...)
        What else belongs to the priors.
    preferred : Preferred, optional
        Spares costs, and changes nothing.
    poses : Poses, optional
        Poses, where these are compared too.
    counts_poses : bool, default False
        Whether the similarities of poses make a dynamic k, in place of the overlaps.
    """

    scene: Scene
    eligible: Array
    pred_bboxes: Array
    calculator: Any
    classes: Array
    cost: Callable[[PairCosts, TilePairs, Array], Array]
    of_priors: Mapping[str, Array] = field(default_factory=dict)
    preferred: Preferred | None = None
    poses: Poses | None = None
    counts_poses: bool = False

    def at(self, prior: Array, eligible: Array) -> PairCosts:
        """Return the costs of some priors (B, E), of which not all may be eligible, in place of all."""

        def pick(x: Array) -> Array:
            picked = gather_priors(self.scene.backend, x if x.ndim == 3 else x[..., None], prior)
            return picked if x.ndim == 3 else picked[..., 0]

        of_priors = {name: pick(x) for name, x in self.of_priors.items()}
        pred_bboxes, classes = pick(self.pred_bboxes), pick(self.classes)
        poses = None if self.poses is None else self.poses.at(prior)
        own = {"eligible": eligible, "pred_bboxes": pred_bboxes, "classes": classes, "of_priors": of_priors}
        return replace(self, **own, poses=poses)

    def overlaps(self, pairs: Pairs) -> Array:
        """Return the overlaps of pairs, (b, g, n)."""
        measure = measure_of(self.calculator, "iou")
        return measure(pairs.of_gts(self.scene.gt_bboxes), pairs.of_priors(self.pred_bboxes))[..., 0, :]

    def qualities(self, pairs: Pairs) -> Array:
        """Return what a dynamic k adds up, (b, g, n)."""
        if self.counts_poses and self.poses is not None:
            return self.poses.similarities(pairs)
        return self.overlaps(pairs)

    def costs(self, pairs: TilePairs) -> Array:
        """Return what the pairs of a tile cost, (b, g, n), infinite where one cannot be."""
        cost = self.cost(self, pairs, self.overlaps(pairs))
        return self.scene.xp.where(self._possible(pairs) & (cost < FAR), cost, FAR)

    def _possible(self, pairs: TilePairs) -> Array:
        return pairs.of_priors(self.eligible) & pairs.of_gts(self.scene.gt_valid)

    def largest_qualities(self, k: int) -> Array:
        """Return the `k` largest that each ground truth's dynamic k may add up, (B, G, K)."""
        scene = self.scene
        if self.counts_poses:
            return -k_smallest_per_gt(
                scene.backend,
                self._tiles(),
                scene.gt_bboxes,
                k,
                lambda view: self._negated_qualities(TilePairs(view)),
            ).value
        overlaps = PairwiseOverlaps(
            backend=scene.backend,
            measure=measure_of(self.calculator, "iou"),
            zero_when_disjoint=zero_when_disjoint(self.calculator),
            priors=self.pred_bboxes,
            gt_bboxes=scene.gt_bboxes,
            eligible=self.eligible,
            gt_valid=scene.gt_valid,
        )
        return k_largest_overlaps(overlaps, k)

    def k_cheapest(self, k: int) -> Cheapest:
        """Find the `k` cheapest priors of each ground truth, a tile at a time."""
        backend, tiles = self.scene.backend, self._tiles()
        smallest = Smallest(backend, min(k, max(tile.last_prior for tile in tiles)))
        for tile in tiles:
            cost = self.costs(TilePairs(TileView(backend, tile, self.scene.gt_bboxes)))
            value, index = backend.k_smallest(cost, min(k, tile.num_priors))
            smallest.add(tile, value, index + tile.first_prior, self._cheapest_for(cost, index))
        value, index, cheapest_for = smallest.found()
        return Cheapest(Candidates(index, value), cheapest_for)

    def _cheapest_for(self, cost: Array, index: Array) -> Array:
        """Return whom candidates (b, g, k) cost least (b, g, n): ground truths from 1, the first on ties."""
        backend, xp = self.scene.backend, self.scene.xp
        if backend.is_traced(cost):
            # Compilers are slow to search all columns, and have the memory for the rows of candidates.
            of_candidates = gather_priors(backend, xp.matrix_transpose(cost), index)
            return backend.max_and_argmax(-of_candidates, axis=-1)[1] + 1
        _, gt = backend.max_and_argmax(-cost, axis=-2)
        return backend.gather_rows(gt[..., None], index)[..., 0] + 1

    def _negated_qualities(self, pairs: TilePairs) -> Array:
        """Return what a dynamic k adds up, negated, 0 where a pair cannot be."""
        return self.scene.xp.where(self._possible(pairs), -self.qualities(pairs), 0.0)

    @property
    def width(self) -> int:
        """Numbers that are computed of a prior at once: as many as there are ground truths, or classes."""
        return max(self.scene.shape[2], int(self.classes.shape[-1]))

    def _tiles(self) -> list[Tile]:
        arrays = (self.scene.gt_bboxes, self.pred_bboxes, self.classes)
        images, n_priors = self.scene.shape[0], int(self.eligible.shape[1])
        return cut_tiles(self.scene.backend, arrays, images, n_priors, self.width)


def match_dynamic_k(
    costs: PairCosts, k: int, *, nothing: float, min_positives: int = 0, reserve: PairCosts | None = None
) -> tuple[Array, Array]:
    """Match each ground truth with its dynamic k cheapest priors, and each prior with one ground truth.

    The dynamic k of a ground truth is the sum of its `k` largest overlaps, or similarities of poses where
    `costs` says so, truncated, and at least 1. A prior that several ground truths choose goes to the one it
    is cheapest for among all ground truths, also where that one did not choose it; so a ground truth may end
    with none.

    Parameters
    ----------
    costs : PairCosts
        Of a scene that has priors and ground truths.
    k : int
        How many overlaps are added up, and the most priors a ground truth can choose.
    nothing : float
        The overlap of a prior that nobody has; less than any other.
    min_positives : int, default 0
        Priors that each ground truth gets at least: the cheapest that nobody has.
    reserve : PairCosts, optional
        What these cost, where more are eligible for it. Not given: `costs`.

    Returns
    -------
    gt_inds : array (B, N) of integers
        Index + 1 of the ground truth, 0 where nobody has the prior.
    overlaps : array (B, N)
        Overlap with the ground truth, or what was added up in its place.

    Notes
    -----
    Of equally cheap priors the first is chosen, and of ground truths for which a prior is equally cheap the
    first has it. An overlap that is negative or NaN counts as 0.
    """
    scene, backend, xp, n_priors = costs.scene, costs.scene.backend, costs.scene.xp, costs.scene.shape[1]
    wanted = dynamic_count(costs.largest_qualities(k))
    found = _cheapest(costs, k, wanted)
    cheapest = found.priors
    count, device = int(cheapest.index.shape[-1]), backend.device_of(scene.priors)
    rank = xp.arange(count, dtype=wanted.dtype, device=device)
    chosen = cheapest.found & (rank < wanted[..., None])
    if is_recording():
        index, first = cheapest.index, rank < wanted[..., None]
        condition("able to compete", xp.broadcast_to(costs.eligible, scene.shape[:2])[:, None, :])
        condition("among the k cheapest", cheapest.found, index=index, value=cheapest.value)
        first = first & scene.gt_valid[..., None]
        named = "among the dynamic k cheapest"
        condition(named, first, index=index, value=rank + 1, limit=wanted[..., None])
        every = TilePairs(TileView(backend, Tile(0, 1, 0, n_priors), scene.gt_bboxes))
        contest("the largest negated cost among all", by=-costs.costs(every), among_all=True)
    gt_inds = settle_contested(scene, cheapest.index, chosen, found.cheapest_for)
    prior, gt, taken = entries_of(scene, cheapest.index, chosen, gt_inds)
    overlaps = costs.qualities(pairs_of(scene, gt, prior))[..., 0]
    overlaps = xp.where(taken, xp.where(overlaps > 0, overlaps, 0.0), nothing)
    overlaps = backend.scatter_max(prior, overlaps, n_priors, fill=nothing)

    def cheapest_left(k: int) -> Candidates:
        left = costs if reserve is None else reserve
        return replace(left, eligible=free_priors(left.eligible, gt_inds)).k_cheapest(k).priors

    added = add_positives(
        backend, gt_inds, scene.gt_valid, min_positives, cheapest_left, what="the least cost"
    )
    if added is None:
        return gt_inds, overlaps
    pairs = ListedPairs(backend, scene.shape, all_rows(backend, scene.gt_bboxes), added.index)
    own = costs.qualities(pairs)
    return added.overwrite(gt_inds), added.write(xp.where(own > 0, own, 0.0), overlaps)


def dynamic_count(largest: Array) -> Array:
    """Add the largest overlaps (..., K) up, and truncate: the dynamic k, 1 at least, (...)."""
    return at_least(get_backend(largest).xp.floor(running_sum(largest)), 1.0)


WORTHWHILE = 2**14
"""Numbers to compute from which it pays to look which priors can be left out; only speed depends on it."""

WORTHWHILE_SHARE = 0.75
"""Share of the priors up to which it pays to leave the others out; only speed depends on it."""


def _cheapest(costs: PairCosts, k: int, wanted: Array) -> Cheapest:
    """Find as many of the cheapest priors of each ground truth as are wanted (B, G), at least.

    Where the host can tell, it looks at the preferred priors alone, and in images where they are too few or
    too expensive at all that are eligible.
    """
    scene, preferred = costs.scene, costs.preferred
    images, n_priors, _ = scene.shape
    if not scene.backend.reads_host(wanted) or images * n_priors * costs.width < WORTHWHILE:
        return costs.k_cheapest(k)
    eligible = scene.xp.broadcast_to(costs.eligible, (images, n_priors))
    if preferred is None:
        return _cheapest_among(costs, k, eligible)
    those = preferred.find()
    found = _cheapest_among(costs, k, eligible & those)
    served = _serves(scene, found.priors, wanted, preferred.floor)
    if served.all():
        return found
    others = scene.backend.from_numpy(~served[:, None], scene.backend.device_of(eligible))
    return _cheapest_among(costs, k, eligible & (those | others))


def _serves(scene: Scene, found: Candidates, wanted: Array, floor: float) -> np.ndarray[Any, Any]:
    """Tell in which images each ground truth finds as many priors as it wants below the floor, (B,)."""
    cost, valid = scene.backend.to_numpy(found.value), scene.backend.to_numpy(scene.gt_valid)
    below = np.count_nonzero(cost < floor, axis=-1)
    served: np.ndarray[Any, Any] = np.all((below >= scene.backend.to_numpy(wanted)) | ~valid, axis=-1)
    return served


def _cheapest_among(costs: PairCosts, k: int, eligible: Array) -> Cheapest:
    """Find the `k` cheapest of the eligible priors (B, N), on the host, which leaves the others out."""
    scene, backend, xp = costs.scene, costs.scene.backend, costs.scene.xp
    host = backend.to_numpy(eligible)
    if np.count_nonzero(host) > WORTHWHILE_SHARE * host.size:
        return replace(costs, eligible=eligible).k_cheapest(k)
    # Filled up, but not below k, as many as there always are.
    index, is_place = places_of(backend, eligible, least=min(k, scene.shape[1]))
    found = costs.at(index, is_place).k_cheapest(k)
    candidates = found.priors
    flat = xp.reshape(candidates.index, (candidates.index.shape[0], -1))
    places = xp.reshape(xp.take_along_axis(index, flat, axis=-1), candidates.index.shape)
    return Cheapest(Candidates(places, candidates.value), found.cheapest_for)


def overlap_cost(calculator: Any, overlaps: Array, eps: float, weight: float) -> Array:
    """Return the weighted negative logarithm of overlaps, of which one below 0 counts as 0."""
    if not zero_when_disjoint(calculator):
        overlaps = at_least(overlaps, 0.0)
    return weighted(log(overlaps + eps), -weight)


def weighted(cost: Array, weight: float) -> Array:
    """Return a cost times its weight, rounded before anything is added."""
    return cost if weight == 1 else rounded_product(cost, float(weight))

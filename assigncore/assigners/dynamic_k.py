"""Matching by dynamic k: each ground truth takes as many of its cheapest priors as its overlaps add up to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from assigncore.assigners.counted_rows import RowView, counted_rows, row_tiles
from assigncore.backend import Array, ArrayBackend, get_backend
from assigncore.coordinates import at_least, rounded_product
from assigncore.elementary import running_sum
from assigncore.overlaps import zero_when_disjoint
from assigncore.scene import Scene
from assigncore.tiles import Tile, TileView, by_images, cut_tiles, per_prior

__all__ = ["Price", "any_pair", "match_dynamic_k", "overlap_cost", "weighted"]

Price = Callable[[TileView], tuple[Array, Array]]
"""Maps the view of a tile to overlaps and costs (b, g, n); a cost that is not finite forbids the pair."""

_COMPARED = ("priors", "gt_bboxes", "gt_valid", "prior_whole")
"""Arrays of a scene that decide by position alone which priors count."""

FORBIDDEN = float("inf")


def overlap_cost(calculator: Any, overlaps: Array, eps: float, weight: float) -> Array:
    """Return the weighted negative logarithm of overlaps, of which one below 0 counts as 0."""
    if not zero_when_disjoint(calculator):
        overlaps = at_least(overlaps, 0.0)
    return weighted(get_backend(overlaps).xp.log(overlaps + eps), -weight)


def weighted(cost: Array, weight: float) -> Array:
    """Return a cost times its weight, rounded before anything is added."""
    return cost if weight == 1 else rounded_product(cost, float(weight))


def dynamic_count(largest: Array) -> Array:
    """Add the negated largest overlaps (..., K) up, and truncate: the dynamic k, 1 at least, (...)."""
    return at_least(get_backend(largest).xp.floor(-running_sum(largest)), 1.0)


def any_pair(scene: Scene, holds: Callable[[Scene, TileView], Array]) -> Array:
    """Tell which priors hold with any valid ground truth, (B, N).

    Parameters
    ----------
    scene : Scene
        Neither without priors nor without ground truths.
    holds : callable
        Maps the scene, in whatever library, and the view of a tile to booleans (b, g, n).

    Returns
    -------
    array (B, N) of bool
        False also where a prior takes no part or is broken.
    """
    backend = scene.backend
    twin = backend.host_twin(scene.priors)
    if twin is not None:
        # What is all comparisons is quicker there, and its answer is read on the host anyway.
        compared = {name: backend.to_numpy(getattr(scene, name)) for name in _COMPARED}
        host = replace(scene, backend=twin, **cast("dict[str, Any]", compared))
        return backend.from_numpy(any_pair(host, holds), backend.device_of(scene.priors))

    def reduce(view: TileView) -> Array:
        valid = view.of_gts(scene.gt_valid)[..., None]
        return scene.xp.any(holds(scene, view) & valid, axis=1)

    tiles = cut_tiles(backend, (scene.priors, scene.gt_bboxes), *scene.shape)
    return per_prior(backend, tiles, scene.gt_bboxes, reduce) & scene.prior_whole


def match_dynamic_k(
    scene: Scene, counted: Array, k: int, price: Price, *, entries: int, nothing: float
) -> tuple[Array, Array]:
    """Match each ground truth with its dynamic k cheapest priors, and each prior with one ground truth.

    The dynamic k of a ground truth is the sum of its `k` largest overlaps, truncated, and at least 1. A prior
    that several ground truths choose goes to the one it is cheapest for among all ground truths, also where
    that one did not choose it; so a ground truth may end with none.

    Parameters
    ----------
    scene : Scene
        Neither without priors nor without ground truths.
    counted : array (B, N) of bool
        False where a prior cannot be chosen and its overlaps do not count.
    k : int
        How many overlaps are added up, and the most priors a ground truth can choose.
    price : callable
        Gives overlaps and costs of the pairs of a tile.
    entries : int
        Numbers per prior that pricing keeps at once: ground truths, or classes where they are more.
    nothing : float
        The overlap of a prior that nobody has; less than any other.

    Returns
    -------
    gt_inds : array (B, N) of integers
        Index + 1 of the ground truth, 0 where nobody has the prior.
    overlaps : array (B, N)
        Overlap with the ground truth.

    Notes
    -----
    Of equally cheap priors the first is chosen, and of ground truths for which a prior is equally cheap the
    first has it. An overlap that is negative or NaN counts as 0.
    """
    backend, n_priors = scene.backend, scene.shape[1]
    rows, inside = counted_rows(backend, counted)
    n_rows = int(inside.shape[1])
    if n_rows == 0:
        return scene.full(0, integers=True), scene.full(nothing)
    k = min(k, n_rows)
    tiles = row_tiles(scene, rows, inside, entries, k)
    parts = [_offer(scene, RowView(backend, tile, scene.gt_bboxes, rows), inside, k, price) for tile in tiles]
    offer = _joined(backend, tiles, parts, k, n_rows)
    gt_inds, overlaps = _settle(scene, offer, n_rows, nothing)
    if rows is None:
        return gt_inds, overlaps
    return (
        backend.scatter_max(rows, gt_inds, n_priors),
        backend.scatter_max(rows, overlaps, n_priors, fill=nothing),
    )


@dataclass(frozen=True, eq=False)
class Offer:
    """What the choice of the ground truths needs to know of all pairs.

    Attributes
    ----------
    largest : array (B, G, K)
        The largest overlaps of each ground truth, negated.
    index, cost, overlap : arrays (B, G, K)
        The cheapest priors of each ground truth, cheapest first.
    cheapest, overlap_there : arrays (B, N)
        The ground truth, from 0, that each prior is cheapest for, and the overlap with it.
    """

    largest: Array
    index: Array
    cost: Array
    overlap: Array
    cheapest: Array
    overlap_there: Array


def _offer(scene: Scene, view: RowView, inside: Array, k: int, price: Price) -> Offer:
    """Reduce the pairs of a tile to what the choice needs."""
    backend, xp = scene.backend, scene.xp
    overlaps, cost = price(view)
    cut = inside[view.tile.images, view.tile.priors]
    pairs = cut[:, None, :] & view.of_gts(scene.gt_valid)[..., None] & (cost < FORBIDDEN)
    cost = xp.where(pairs, cost, FORBIDDEN)
    overlaps = xp.where(pairs & (overlaps > 0), overlaps, 0.0)
    k = min(k, view.tile.num_priors)
    largest, _ = backend.k_smallest(-overlaps, k)
    value, index = backend.k_smallest(cost, k)
    _, cheapest = backend.max_and_argmax(-cost, axis=1)
    return Offer(
        largest=largest,
        index=index + view.tile.priors.start,
        cost=value,
        overlap=xp.take_along_axis(overlaps, index, axis=-1),
        cheapest=cheapest,
        overlap_there=xp.take_along_axis(overlaps, cheapest[:, None, :], axis=1)[:, 0, :],
    )


def _joined(backend: ArrayBackend, tiles: list[Tile], parts: list[Offer], k: int, n_rows: int) -> Offer:
    """Join the offers of all tiles, over `n_rows` rows, of which those of an image may lack the last."""
    if len(parts) == 1:
        return parts[0]
    xp = backend.xp
    largest: list[Array] = []
    index: list[Array] = []
    cost: list[Array] = []
    overlap: list[Array] = []
    for row in by_images(tiles, parts):
        most, _ = backend.k_smallest(xp.concat([part.largest for part in row], axis=-1), k)
        value, order = backend.k_smallest(xp.concat([part.cost for part in row], axis=-1), k)
        largest.append(most)
        cost.append(value)
        for joined, name in ((index, "index"), (overlap, "overlap")):
            whole = xp.concat([getattr(part, name) for part in row], axis=-1)
            joined.append(xp.take_along_axis(whole, order, axis=-1))
    return Offer(
        largest=xp.concat(largest, axis=0),
        index=xp.concat(index, axis=0),
        cost=xp.concat(cost, axis=0),
        overlap=xp.concat(overlap, axis=0),
        cheapest=_over_rows(xp, by_images(tiles, [part.cheapest for part in parts]), n_rows),
        overlap_there=_over_rows(xp, by_images(tiles, [part.overlap_there for part in parts]), n_rows),
    )


def _over_rows(xp: Any, images: list[list[Array]], n_rows: int) -> Array:
    """Join what tiles say of rows, each (b, n), into (B, n_rows); 0 where none does."""
    joined = []
    for parts in images:
        short = n_rows - sum(int(part.shape[1]) for part in parts)
        filler = xp.broadcast_to(xp.zeros_like(parts[0][:, :1]), (parts[0].shape[0], short))
        joined.append(xp.concat([*parts, filler], axis=-1))
    return xp.concat(joined, axis=0)


def _settle(scene: Scene, offer: Offer, n_rows: int, nothing: float) -> tuple[Array, Array]:
    """Let each ground truth choose, then give each prior to one."""
    backend, xp = scene.backend, scene.xp
    images, n_gts, k = (int(n) for n in offer.index.shape)
    device = backend.device_of(scene.priors)
    dynamic_k = dynamic_count(offer.largest)
    rank = xp.arange(k, dtype=dynamic_k.dtype, device=device)
    chosen = (rank < dynamic_k[..., None]) & (offer.cost < FORBIDDEN)
    place = xp.arange(1, n_gts + 1, dtype=offer.index.dtype, device=device)[None, :, None]
    flat = (images, n_gts * k)
    index = xp.reshape(offer.index, flat)
    chooser = backend.scatter_max(index, xp.reshape(xp.where(chosen, place, 0), flat), n_rows)
    overlap = xp.reshape(xp.where(chosen, offer.overlap, nothing), flat)
    overlap = backend.scatter_max(index, overlap, n_rows, fill=nothing)
    several = backend.count(xp.where(xp.reshape(chosen, flat), index, -1), n_rows) > 1
    cheapest = xp.astype(offer.cheapest, chooser.dtype) + 1
    return xp.where(several, cheapest, chooser), xp.where(several, offer.overlap_there, overlap)

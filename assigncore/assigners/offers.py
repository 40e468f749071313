"""What dynamic k needs to know of all pairs: how many priors ground truths want, and which cost least."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from assigncore.assigners.counted_rows import Rows, RowView
from assigncore.backend import Array, ArrayBackend, get_backend
from assigncore.coordinates import at_least
from assigncore.elementary import running_sum
from assigncore.scene import Scene
from assigncore.selection import Candidates, best_of_tiles
from assigncore.tiles import Tile, TileView, by_images

__all__ = [
    "FORBIDDEN",
    "Offer",
    "Pricing",
    "dynamic_count",
    "largest_overlaps",
    "offer_rows",
    "offer_with_demand",
]

FORBIDDEN = float("inf")
"""What a pair costs that cannot be."""


@dataclass(frozen=True, eq=False)
class Pricing:
    """What the pairs (b, g, n) of a tile are chosen by.

    Attributes
    ----------
    overlaps : callable
        Maps the view of a tile to overlaps.
    costs : callable
        Maps the view and the overlaps to costs; one that is not finite forbids the pair.
    entries : int
        Numbers per prior that the costs take at once: ground truths, or classes where they are more.
    """

    overlaps: Callable[[TileView], Array]
    costs: Callable[[TileView, Array], Array]
    entries: int


@dataclass(frozen=True, eq=False)
class Offer:
    """What the choice of the ground truths needs to know of the pairs with some rows.

    Attributes
    ----------
    index, cost, overlap : arrays (B, G, K)
        The cheapest rows of each ground truth, cheapest first.
    cheapest, overlap_there : arrays (B, V)
        The ground truth, from 0, that each row is cheapest for, and the overlap with it.
    """

    index: Array
    cost: Array
    overlap: Array
    cheapest: Array
    overlap_there: Array


def offer_with_demand(scene: Scene, rows: Rows, k: int, pricing: Pricing) -> tuple[Offer, Array]:
    """Offer all rows; tell how many each ground truth wants, by its overlaps where a cost is finite."""
    offers, largest = [], []
    views = rows.views(scene, pricing.entries, k)
    for view in views:
        overlaps, cost = _priced(scene, view, rows, pricing)
        largest.append(_largest_of_tile(scene, view, overlaps, k))
        offers.append(_offer_of_tile(scene, view, overlaps, cost, k))
    tiles = [view.tile for view in views]
    most = best_of_tiles(scene.backend, tiles, largest, k)
    return _joined(scene.backend, tiles, offers, k, rows.count), dynamic_count(most.value)


def largest_overlaps(scene: Scene, rows: Rows, k: int, pricing: Pricing) -> Candidates:
    """Find the `k` largest overlaps of each ground truth with any rows, negated."""
    views = rows.views(scene, scene.shape[2], k)
    parts = []
    for view in views:
        overlaps = scene.backend.keep(_pairs(scene, view, rows), pricing.overlaps(view), 0.0)
        parts.append(_largest_of_tile(scene, view, overlaps, k))
    return best_of_tiles(scene.backend, [view.tile for view in views], parts, k)


def _largest_of_tile(scene: Scene, view: RowView, overlaps: Array, k: int) -> Candidates:
    value, index = scene.backend.k_smallest(-overlaps, min(k, view.tile.num_priors))
    return Candidates(index + view.tile.first_prior, value)


def offer_rows(scene: Scene, rows: Rows, k: int, pricing: Pricing) -> Offer:
    """Reduce the pairs with rows to what the choice needs."""
    views = rows.views(scene, pricing.entries, k)
    offers = [_offer_of_tile(scene, view, *_priced(scene, view, rows, pricing), k) for view in views]
    return _joined(scene.backend, [view.tile for view in views], offers, k, rows.count)


def _pairs(scene: Scene, view: RowView, rows: Rows) -> Array:
    """Tell which pairs of a tile are of a valid ground truth and a row that counts, (b, g, n)."""
    inside = rows.inside[view.tile.images, view.tile.priors]
    return inside[:, None, :] & view.of_gts(scene.gt_valid)[..., None]


def _priced(scene: Scene, view: RowView, rows: Rows, pricing: Pricing) -> tuple[Array, Array]:
    """Return overlaps and costs of a tile, 0 and infinite where a pair cannot be."""
    overlaps = pricing.overlaps(view)
    cost = pricing.costs(view, overlaps)
    pairs = _pairs(scene, view, rows) & (cost < FORBIDDEN)
    xp = scene.xp
    return xp.where(pairs & (overlaps > 0), overlaps, 0.0), xp.where(pairs, cost, FORBIDDEN)


def _offer_of_tile(scene: Scene, view: RowView, overlaps: Array, cost: Array, k: int) -> Offer:
    backend, xp = scene.backend, scene.xp
    value, index = backend.k_smallest(cost, min(k, view.tile.num_priors))
    _, cheapest = backend.max_and_argmax(-cost, axis=1)
    return Offer(
        index=index + view.tile.first_prior,
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
    index: list[Array] = []
    cost: list[Array] = []
    overlap: list[Array] = []
    for row in by_images(tiles, parts):
        value, order = backend.k_smallest(xp.concat([part.cost for part in row], axis=-1), k)
        cost.append(value)
        for joined, name in ((index, "index"), (overlap, "overlap")):
            whole = xp.concat([getattr(part, name) for part in row], axis=-1)
            joined.append(xp.take_along_axis(whole, order, axis=-1))
    return Offer(
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


def dynamic_count(largest: Array) -> Array:
    """Add the negated largest overlaps (..., K) up, and truncate: the dynamic k, 1 at least, (...)."""
    return at_least(get_backend(largest).xp.floor(-running_sum(largest)), 1.0)

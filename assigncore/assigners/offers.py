"""What dynamic k needs to know of all pairs: how many priors ground truths want, and which cost least."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from assigncore.assigners.counted_rows import Rows, RowView
from assigncore.backend import Array, get_backend
from assigncore.coordinates import at_least
from assigncore.elementary import running_sum
from assigncore.scene import Scene
from assigncore.selection import Candidates, Smallest
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
    offers, largest = _Offers(scene, rows, k), Smallest(scene.backend, k)
    for view in rows.views(scene, pricing.entries, k):
        overlaps, cost = _priced(scene, view, rows, pricing)
        _add_largest(largest, view, overlaps)
        offers.add(view, overlaps, cost)
    return offers.joined(), dynamic_count(largest.found()[0])


def largest_overlaps(scene: Scene, rows: Rows, k: int, pricing: Pricing) -> Candidates:
    """Find the `k` largest overlaps of each ground truth with any rows, negated."""
    largest = Smallest(scene.backend, k)
    for view in rows.views(scene, scene.shape[2], k):
        overlaps = scene.backend.keep(_pairs(scene, view, rows), pricing.overlaps(view), 0.0)
        _add_largest(largest, view, overlaps)
    value, index = largest.found()
    return Candidates(index, value)


def _add_largest(largest: Smallest, view: RowView, overlaps: Array) -> None:
    value, index = largest.backend.k_smallest(-overlaps, min(largest.k, view.tile.num_priors))
    largest.add(view.tile, value, index + view.tile.first_prior)


def offer_rows(scene: Scene, rows: Rows, k: int, pricing: Pricing) -> Offer:
    """Reduce the pairs with rows to what the choice needs."""
    offers = _Offers(scene, rows, k)
    for view in rows.views(scene, pricing.entries, k):
        offers.add(view, *_priced(scene, view, rows, pricing))
    return offers.joined()


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


class _Offers:
    """The offers of tiles as they come, joined over all rows."""

    def __init__(self, scene: Scene, rows: Rows, k: int) -> None:
        self.scene, self.n_rows = scene, rows.count
        self._smallest = Smallest(scene.backend, k)
        self._tiles: list[Tile] = []
        self._cheapest: list[Array] = []
        self._overlap_there: list[Array] = []

    def add(self, view: RowView, overlaps: Array, cost: Array) -> None:
        """Add a tile of overlaps and costs, (b, g, n)."""
        backend, xp = self.scene.backend, self.scene.xp
        value, index = backend.k_smallest(cost, min(self._smallest.k, view.tile.num_priors))
        overlap = xp.take_along_axis(overlaps, index, axis=-1)
        self._smallest.add(view.tile, value, index + view.tile.first_prior, overlap)
        _, cheapest = backend.max_and_argmax(-cost, axis=1)
        self._tiles.append(view.tile)
        self._cheapest.append(cheapest)
        self._overlap_there.append(xp.take_along_axis(overlaps, cheapest[:, None, :], axis=1)[:, 0, :])

    def joined(self) -> Offer:
        """Return the offer of all tiles; those of an image may lack the last rows."""
        cost, index, overlap = self._smallest.found()
        if len(self._tiles) == 1:
            return Offer(index, cost, overlap, self._cheapest[0], self._overlap_there[0])
        of_rows = (by_images(self._tiles, parts) for parts in (self._cheapest, self._overlap_there))
        return Offer(
            index, cost, overlap, *(_over_rows(self.scene.xp, each, self.n_rows) for each in of_rows)
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

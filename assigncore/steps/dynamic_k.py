"""Matching by dynamic k: each ground truth takes as many of its cheapest priors as its overlaps add up to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from assigncore.backend import Array, ArrayBackend, get_backend
from assigncore.boxes.calculators import zero_when_disjoint
from assigncore.inputs import Scene
from assigncore.numerics import at_least, rounded_product, running_sum
from assigncore.pairs.tiles import Tile, TileView, by_images, cut_tiles, join_tiles
from assigncore.steps.candidates import Candidates, Smallest

__all__ = [
    "FORBIDDEN",
    "WORTHWHILE",
    "Offer",
    "Pricing",
    "RowView",
    "Rows",
    "Shortlist",
    "any_pair",
    "counted_rows",
    "dynamic_count",
    "largest_overlaps",
    "match_dynamic_k",
    "num_counted",
    "offer_rows",
    "offer_with_demand",
    "overlap_cost",
    "weighted",
]


@dataclass(frozen=True, eq=False)
class Shortlist:
    """Priors that are most likely enough for all ground truths to choose from.

    Attributes
    ----------
    listed : array (B, N) of bool
        Which they are.
    floor : float
        What any other prior that counts costs any ground truth at least.
    predictions : array (B or 1, N, C)
        All that can make a cost infinite, or NaN.
    limit : float
        The largest size of predictions that surely makes none so.
    """

    listed: Array
    floor: float
    predictions: Array
    limit: float


def overlap_cost(calculator: Any, overlaps: Array, eps: float, weight: float) -> Array:
    """Return the weighted negative logarithm of overlaps, of which one below 0 counts as 0."""
    if not zero_when_disjoint(calculator):
        overlaps = at_least(overlaps, 0.0)
    return weighted(get_backend(overlaps).xp.log(overlaps + eps), -weight)


def weighted(cost: Array, weight: float) -> Array:
    """Return a cost times its weight, rounded before anything is added."""
    return cost if weight == 1 else rounded_product(cost, float(weight))


def match_dynamic_k(
    scene: Scene,
    counted: Array,
    k: int,
    pricing: Pricing,
    *,
    nothing: float,
    shortlist: Shortlist | None = None,
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
    pricing : Pricing
        Gives overlaps and costs.
    nothing : float
        The overlap of a prior that nobody has; less than any other.
    shortlist : Shortlist, optional
        Spares costs; it changes nothing, since all priors are priced where it turns out too short. The host
        must be able to read the arrays.

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
    rows = counted_rows(backend, counted)
    if rows.count == 0:
        return scene.full(0, integers=True), scene.full(nothing)
    k = min(k, rows.count)
    found = None if shortlist is None else _shortlisted(scene, rows, counted, k, pricing, shortlist)
    if found is None:
        found = rows, *offer_with_demand(scene, rows, k, pricing)
    rows, offer, wanted = found
    gt_inds, overlaps = _settle(scene, offer, wanted, rows.count, nothing)
    if rows.index is None:
        return gt_inds, overlaps
    return (
        backend.scatter_max(rows.index, gt_inds, n_priors),
        backend.scatter_max(rows.index, overlaps, n_priors, fill=nothing),
    )


def _shortlisted(
    scene: Scene, rows: Rows, counted: Array, k: int, pricing: Pricing, shortlist: Shortlist
) -> tuple[Rows, Offer, Array] | None:
    """Offer the listed rows, and all to images with a ground truth for which they are too few or too dear.

    Returns
    -------
    tuple of Rows, Offer, array (B, G), or None
        The rows, their offer, and how many each ground truth wants; None where that depends on the costs of
        others, or no image is served by the list.
    """
    backend = scene.backend
    listed = counted_rows(backend, counted & shortlist.listed)
    if not 0 < num_counted(backend, listed) <= WORTHWHILE * num_counted(backend, rows):
        return None
    most = largest_overlaps(scene, rows, k, pricing)
    if not _are_moderate(scene, rows, most.index, shortlist):
        return None
    wanted = dynamic_count(most.value)
    offer = offer_rows(scene, listed, min(k, listed.count), pricing)
    served = _serves(scene, offer, wanted, shortlist.floor)
    if served.all():
        return listed, offer, wanted
    if not served.any():
        return None
    kept = backend.from_numpy(served[:, None], backend.device_of(counted))
    listed = counted_rows(backend, counted & (shortlist.listed | ~kept))
    return listed, offer_rows(scene, listed, min(k, listed.count), pricing), wanted


def _are_moderate(scene: Scene, rows: Rows, index: Array, shortlist: Shortlist) -> bool:
    """Tell whether no cost of some rows (B, G, K) can be infinite, so that all their overlaps count."""
    backend = scene.backend
    predictions = backend.to_numpy(shortlist.predictions)
    for image, of_image in enumerate(backend.to_numpy(index)):
        prior = np.unique(of_image)
        if rows.index is not None:
            prior = backend.to_numpy(rows.index)[image][prior]
        asked = predictions[image if len(predictions) > 1 else 0][prior]
        if not (asked.max() <= shortlist.limit and asked.min() >= -shortlist.limit):
            return False
    return True


def _serves(scene: Scene, offer: Offer, wanted: Array, floor: float) -> np.ndarray[Any, Any]:
    """Tell in which images each ground truth finds as many rows as it wants below the floor, (B,)."""
    cost, valid = scene.backend.to_numpy(offer.cost), scene.backend.to_numpy(scene.gt_valid)
    last = scene.backend.to_numpy(wanted).astype(np.int64)[..., None] - 1
    reaches = last < cost.shape[-1]
    dearest = np.take_along_axis(cost, np.where(reaches, last, 0), axis=-1)
    served: np.ndarray[Any, Any] = np.all((reaches & (dearest < floor))[..., 0] | ~valid, axis=-1)
    return served


def _settle(scene: Scene, offer: Offer, wanted: Array, n_rows: int, nothing: float) -> tuple[Array, Array]:
    """Let each ground truth choose as many rows as it wanted, then give each row to one."""
    backend, xp = scene.backend, scene.xp
    images, n_gts, k = (int(n) for n in offer.index.shape)
    device = backend.device_of(scene.priors)
    rank = xp.arange(k, dtype=wanted.dtype, device=device)
    chosen = (rank < wanted[..., None]) & (offer.cost < FORBIDDEN)
    place = xp.arange(1, n_gts + 1, dtype=offer.index.dtype, device=device)[None, :, None]
    flat = (images, n_gts * k)
    index = xp.reshape(offer.index, flat)
    chooser = backend.scatter_max(index, xp.reshape(xp.where(chosen, place, 0), flat), n_rows)
    overlap = xp.reshape(xp.where(chosen, offer.overlap, nothing), flat)
    overlap = backend.scatter_max(index, overlap, n_rows, fill=nothing)
    several = backend.count(xp.where(xp.reshape(chosen, flat), index, -1), n_rows) > 1
    cheapest = xp.astype(offer.cheapest, chooser.dtype) + 1
    return xp.where(several, cheapest, chooser), xp.where(several, offer.overlap_there, overlap)


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


WORTHWHILE = 0.75
"""Share of the priors up to which it pays to leave the others out; only speed depends on it."""

BLOCK = 2**18
"""Entries of a tile that runs on the host's own memory, where that is within the budget."""


@dataclass(frozen=True)
class RowView(TileView):
    """A view whose tile cuts chosen rows of the priors, (B, V) of integers, in place of all priors."""

    rows: Array | None

    def of_priors(self, x: Array, axis: int = 1) -> Array:
        """Pick what belongs to the rows of the tile: (b or 1, n, ...) of `x` (B or 1, N, ...)."""
        if self.rows is None or axis != 1:
            return super().of_priors(x, axis)
        xp, rows = self.backend.xp, self.rows[self.tile.images, self.tile.priors]
        own = x if x.shape[0] == 1 else x[(self.tile.images, ...)]
        if rows.shape[0] == 1:
            if x.ndim != 3 or x.shape[-1] > 4:
                return xp.take(own[0, ...], rows[0, :], axis=0)[None, ...]
            # Boxes and points are kept as columns, see `collapse`, and stay so.
            picked = xp.take(xp.matrix_transpose(own[0, ...]), rows[0, :], axis=1)
            return xp.matrix_transpose(picked)[None, ...]
        n_priors = int(x.shape[1])
        if own.shape[0] > 1:
            first = np.arange(int(own.shape[0])) * n_priors
            rows = rows + self.backend.host_indices(first, rows)[:, None]
        flat = xp.reshape(own, (int(own.shape[0]) * n_priors, *x.shape[2:]))
        return xp.reshape(xp.take(flat, xp.reshape(rows, (-1,)), axis=0), (*rows.shape, *x.shape[2:]))


@dataclass(frozen=True, eq=False)
class Rows:
    """Some priors of each image.

    Attributes
    ----------
    index : array (B, V) of integers, or None
        The priors, ascending; an image with fewer than V is filled up. None stands for all priors.
    inside : array (B, V) of bool
        False where a row does not count.
    """

    index: Array | None
    inside: Array

    @property
    def count(self) -> int:
        """Rows of an image: V."""
        return int(self.inside.shape[1])

    def views(self, scene: Scene, entries: int, fewest: int) -> list[RowView]:
        """Cut the pairs of ground truths and rows, image by image where no tile could hold two.

        Parameters
        ----------
        scene : Scene
            The inputs.
        entries : int
            Numbers per row that are kept at once.
        fewest : int
            Rows an image has in its tiles at least; it has no more than count, where it has tiles of its own.
        """
        backend, arrays = scene.backend, (scene.priors, scene.gt_bboxes)
        block = BLOCK if backend.reads_host(scene.priors) else 0
        tiles = cut_tiles(backend, arrays, int(self.inside.shape[0]), self.count, entries, fewest=block)
        if self.index is not None and tiles[0].images == slice(0, 1):
            counts = [max(int(n), fewest) for n in backend.to_numpy(self.inside).sum(axis=-1)]
            tiles = [
                Tile(image, image + 1, tile.first_prior, tile.last_prior)
                for image, count in enumerate(counts)
                for tile in cut_tiles(backend, arrays, 1, count, entries, fewest=block)
            ]
        return [RowView(backend, tile, scene.gt_bboxes, self.index) for tile in tiles]


def counted_rows(backend: ArrayBackend, counted: Array) -> Rows:
    """List the priors that count, (B, N) of bool, where the host can tell and it spares work; else all."""
    if not backend.reads_host(counted):
        return Rows(None, counted)
    host = backend.to_numpy(counted)
    counts = host.sum(axis=-1)
    if counts.sum() > WORTHWHILE * host.size:
        return Rows(None, counted)
    longest = int(counts.max(initial=0))
    inside = np.arange(longest) < counts[:, None]
    rows = np.zeros(inside.shape, dtype=np.int64)
    rows[inside] = np.nonzero(host)[1]
    return Rows(backend.host_indices(rows, counted), backend.from_numpy(inside, backend.device_of(counted)))


def num_counted(backend: ArrayBackend, rows: Rows) -> int:
    """Count the rows that count in all images, on the host."""
    return int(np.count_nonzero(backend.to_numpy(rows.inside)))


def any_pair(scene: Scene, holds: Callable[..., tuple[Array, ...]], *of_gts: Array) -> tuple[Array, ...]:
    """Tell for which priors each of some relations holds with any valid ground truth, each (B, N).

    Parameters
    ----------
    scene : Scene
        Neither without priors nor without ground truths.
    holds : callable
        Maps the scene, the view of a tile, and `of_gts` to booleans (b, g, n), one for each relation.
    *of_gts : arrays (B, G, ...)
        What else belongs to the ground truths.

    Returns
    -------
    tuple of arrays (B, N) of bool
        False also where a prior takes no part or is broken.
    """
    backend, xp = scene.backend, scene.xp
    tiles = cut_tiles(backend, (scene.priors, scene.gt_bboxes), *scene.shape)
    parts = []
    for tile in tiles:
        view = TileView(backend, tile, scene.gt_bboxes)
        masks = holds(scene, view, *of_gts)
        if not backend.surely_all(scene.gt_valid):
            valid = view.of_gts(scene.gt_valid)[..., None]
            masks = tuple(mask & valid for mask in masks)
        parts.append([xp.any(mask, axis=1) for mask in masks])
    return tuple(
        join_tiles(xp, tiles, list(of_tiles)) & scene.prior_whole for of_tiles in zip(*parts, strict=True)
    )

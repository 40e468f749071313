"""Candidates: the priors nearest to each ground truth, and what belongs to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Any

from assigncore.backend import Array, ArrayBackend
from assigncore.coordinates import columns, divided, rounded_product
from assigncore.near_points import near_points
from assigncore.tiles import Tile, TileView, dense_tiles

__all__ = ["Candidates", "Smallest", "gather_priors", "k_nearest", "k_smallest_per_gt"]

Pick = Callable[[Array], Array]

FAR = float("inf")

MOST_PARTS = 32
"""Tiles whose candidates are kept before they are merged: more than compiled functions have."""

LAST_RESORT = 1e16
"""A squared distance, of 1e8 pixels, beyond those that occur."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """For each ground truth, the priors that compete for it.

    Attributes
    ----------
    index : array (B, G, K) of integers
        The priors, from 0.
    value : array (B, G, K)
        What they were chosen by; infinite where there is no candidate.
    """

    index: Array
    value: Array

    @property
    def found(self) -> Array:
        """True where there is a candidate, (B, G, K)."""
        return self.value < FAR


def k_nearest(
    backend: ArrayBackend,
    points: Array,
    centers: Array,
    k: int,
    *,
    counted: Array,
    last_resort: Array | None = None,
    scale: Array | None = None,
    groups: tuple[Array, Array] | None = None,
) -> Candidates:
    """Find the `k` points nearest to each centre; of equally near ones, the first.

    Parameters
    ----------
    backend : ArrayBackend
        The library of the arrays.
    points : array (B or 1, N, 2)
        x, y in pixels.
    centers : array (B, G, 2)
        x, y in pixels.
    k : int
        How many; fewer are found where there are fewer.
    counted : array (B or 1, N) of bool
        False where a point is no candidate.
    last_resort : array (B or 1, N) of bool, optional
        True where a point is a candidate only for want of others, the first of them first.
    scale : array (B, G, 2), optional
        Width and height in pixels of the unit in which each ground truth measures distances. Not given: 1.
    groups : pair of arrays (B or 1, N) and (B, G) of integers, optional
        Groups of the points and of the ground truths; a ground truth finds points of its own group alone.

    Returns
    -------
    Candidates
        Nearest first, with squared distances; K is the least of `k` and N.

    Notes
    -----
    Distances are compared squared: a root would only add rounding, and ties with it.
    """
    twin = backend.host_twin(points)
    if twin is not None:
        # Adding, multiplying and dividing rounds the same there, and small steps cost less.
        inputs = {"counted": counted, "last_resort": last_resort, "scale": scale}
        of_host = {name: None if x is None else backend.to_numpy(x) for name, x in inputs.items()}
        pair = None if groups is None else (backend.to_numpy(groups[0]), backend.to_numpy(groups[1]))
        found = k_nearest(
            twin, backend.to_numpy(points), backend.to_numpy(centers), k, groups=pair, **of_host
        )
        device = backend.device_of(points)
        return Candidates(backend.from_numpy(found.index, device), backend.from_numpy(found.value, device))
    xp = backend.xp
    k = min(k, int(points.shape[1]))

    def squared_distance(of_points: Pick, of_gts: Pick) -> Array:
        offset = of_points(points) - of_gts(centers)
        if scale is not None:
            offset = divided(offset, of_gts(scale))
        dx, dy = columns(offset)
        distance = rounded_product(dx, dx) + rounded_product(dy, dy)
        if last_resort is not None:
            distance = xp.where(of_points(last_resort), LAST_RESORT, distance)
        pairs = of_points(counted)
        if groups is not None:
            pairs = pairs & (of_points(groups[0]) == of_gts(groups[1]))
        return xp.where(pairs, distance, FAR)

    whole = [Tile(0, int(centers.shape[0]), 0, int(points.shape[1]))]
    n_pairs = prod(centers.shape[:2]) * int(points.shape[1])
    if backend.is_traced(points) or backend.is_traced(centers) or n_pairs <= backend.pairs_per_tile(points):
        return k_smallest_per_gt(backend, whole, centers, k, _in_tile(squared_distance))
    if not backend.reads_host(points):
        n_gts, limit = int(centers.shape[1]), backend.pairs_per_tile(points)
        tiles = dense_tiles(int(centers.shape[0]), int(points.shape[1]), n_gts, limit)
        return k_smallest_per_gt(backend, tiles, centers, k, _in_tile(squared_distance))
    preferred = counted if last_resort is None else counted & ~last_resort
    parts = []
    for near in near_points(backend, points, centers, preferred, k, scale=scale, groups=groups):
        distance = xp.where(near.inside, squared_distance(near.of_points, near.of_gts), FAR)
        value, place = backend.k_smallest(distance, k)
        index = xp.take_along_axis(near.index, place, axis=-1)
        parts.append((near.images.start, Candidates(index, value)))
    return _joined(xp, parts)


def _in_tile(measure: Callable[[Pick, Pick], Array]) -> Callable[[TileView], Array]:
    """Return the function of a tile's view that `measure` is of pairs (b, g, n)."""
    return lambda view: measure(
        lambda x: view.of_priors(x)[:, None, ...], lambda x: view.of_gts(x)[:, :, None, ...]
    )


def _joined(xp: Any, parts: list[tuple[int, Candidates]]) -> Candidates:
    """Join candidates (b, g, K), each with the first of its images, into (B, G, K)."""
    images = [[part for _, part in row] for _, row in groupby(parts, key=lambda part: part[0])]
    index = [xp.concat([part.index for part in row], axis=1) for row in images]
    value = [xp.concat([part.value for part in row], axis=1) for row in images]
    return Candidates(xp.concat(index, axis=0), xp.concat(value, axis=0))


def k_smallest_per_gt(
    backend: ArrayBackend,
    tiles: list[Tile],
    like: Array,
    k: int,
    measure: Callable[[TileView], Array],
) -> Candidates:
    """Find the priors of the `k` smallest values for each ground truth, a tile at a time.

    Parameters
    ----------
    backend : ArrayBackend
        The library of the arrays.
    tiles : list of Tile
        Of every pair that may matter.
    like : array (B, G, ...)
        Any array over the ground truths.
    k : int
        How many.
    measure : callable
        Maps the view of a tile to values (b, g, n), infinite where a pair is no candidate.

    Returns
    -------
    Candidates
        The smallest first; of equal ones, the first. K is the least of `k` and the number of priors.
    """
    smallest = Smallest(backend, min(k, max(tile.last_prior for tile in tiles)))
    for tile in tiles:
        value, index = backend.k_smallest(measure(TileView(backend, tile, like)), min(k, tile.num_priors))
        smallest.add(tile, value, index + tile.first_prior)
    value, index = smallest.found()
    return Candidates(index, value)


class Smallest:
    """The `k` smallest values of each ground truth, and what belongs to them, out of tiles as they come.

    Now and then what has been added is reduced to the `k` smallest of it: the candidates of all tiles of many
    priors would outgrow the tiles.

    Parameters
    ----------
    backend : ArrayBackend
        The library of the arrays.
    k : int
        How many, at most the number of priors.
    """

    def __init__(self, backend: ArrayBackend, k: int) -> None:
        self.backend, self.k = backend, k
        self._images: dict[int, list[tuple[Array, ...]]] = {}

    def add(self, tile: Tile, value: Array, *beside: Array) -> None:
        """Add values (b, G, ...) of a tile, the smallest first, and what belongs to them.

        They are its `k` smallest, or all it has; tiles come in order.
        """
        parts = self._images.setdefault(tile.first_image, [])
        parts.append((value, *beside))
        if len(parts) == MOST_PARTS:
            parts[:] = [self._merged(parts)]

    def found(self) -> tuple[Array, ...]:
        """Return the smallest values and what belongs to them, each (B, G, k); of equal ones, the first."""
        xp = self.backend.xp
        rows = [parts[0] if len(parts) == 1 else self._merged(parts) for parts in self._images.values()]
        return rows[0] if len(rows) == 1 else tuple(xp.concat(row, axis=0) for row in zip(*rows, strict=True))

    def _merged(self, parts: list[tuple[Array, ...]]) -> tuple[Array, ...]:
        xp = self.backend.xp
        value, *beside = (xp.concat(columns, axis=-1) for columns in zip(*parts, strict=True))
        smallest, order = self.backend.k_smallest(value, min(self.k, int(value.shape[-1])))
        return smallest, *(xp.take_along_axis(x, order, axis=-1) for x in beside)


def gather_priors(backend: ArrayBackend, x: Array, index: Array) -> Array:
    """Pick what belongs to candidates from what belongs to priors.

    Parameters
    ----------
    backend : ArrayBackend
        The library of the arrays.
    x : array (B or 1, N, D)
        Values of the priors.
    index : array (B, ...) of integers
        Priors, from 0.

    Returns
    -------
    array (B, ..., D)
        Values of the candidates.
    """
    xp = backend.xp
    images, width = int(index.shape[0]), int(x.shape[-1])
    flat = xp.reshape(index, (images, prod(index.shape[1:]), 1))
    flat = xp.broadcast_to(flat, (*flat.shape[:2], width))
    x = xp.broadcast_to(x, (images, *x.shape[1:]))
    return xp.reshape(xp.take_along_axis(x, flat, axis=1), (*index.shape, width))

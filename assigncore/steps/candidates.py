"""Candidates: the priors nearest to each ground truth, on each level, and what belongs to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from assigncore.backend import Array, ArrayBackend, get_backend
from assigncore.boxes.formulas import box_centers, columns, pairwise_l1
from assigncore.inputs import Scene
from assigncore.numerics import divided, rounded_product
from assigncore.pairs.listed import Pairs, TilePairs
from assigncore.pairs.relations import Relation
from assigncore.pairs.tiles import Tile, TileView, cut_tiles

__all__ = [
    "FAR",
    "LAST_RESORT",
    "UNFIT",
    "Candidates",
    "Distances",
    "PointDistances",
    "ShapeDistances",
    "Smallest",
    "gather_priors",
    "k_best",
    "k_nearest",
    "k_nearest_in_tiles",
    "k_smallest_per_gt",
    "nearest_per_level",
    "places_of",
    "truncated_log",
]

FAR = float("inf")

UNFIT = float(np.finfo(np.float32).max)
"""The value of what is no candidate, beyond those of candidates. Finite, as searches like it."""

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


@dataclass(frozen=True, eq=False)
class PointDistances:
    """The squared distances (B, G, N) of points from centres, to be computed a tile at a time.

    They are compared squared: a root would only add rounding, and ties with it.

    Attributes
    ----------
    backend : ArrayBackend
        The library of the arrays.
    points : array (B or 1, N, 2)
        x, y in pixels.
    centers : array (B, G, 2)
        x, y in pixels.
    eligible : array (B or 1, N) of bool
        False where a point is no candidate.
    last_resort : array (B or 1, N) of bool, optional
        True where a point is a candidate only for want of others, the first of them first.
    scale : array (B, G, 2), optional
        Width and height in pixels of the unit in which each ground truth measures distances. Not given: 1.
    groups : pair of arrays (B or 1, N) and (B, G) of integers, optional
        Groups of the points and of the ground truths; a ground truth finds points of its own group alone.
    """

    backend: ArrayBackend
    points: Array
    centers: Array
    eligible: Array
    last_resort: Array | None = None
    scale: Array | None = None
    groups: tuple[Array, Array] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of images, ground truths and points: B, G, N."""
        return int(self.centers.shape[0]), int(self.centers.shape[1]), int(self.points.shape[1])

    def of(self, view: TileView) -> Array:
        """Return the distances (b, g, n) of a tile, infinite where a point is no candidate."""
        xp = self.backend.xp
        offset = view.of_priors(self.points)[:, None, ...] - view.of_gts(self.centers)[:, :, None, ...]
        if self.scale is not None:
            offset = divided(offset, view.of_gts(self.scale)[:, :, None, ...])
        dx, dy = columns(offset)
        distance = rounded_product(dx, dx) + rounded_product(dy, dy)
        if self.last_resort is not None:
            distance = xp.where(view.of_priors(self.last_resort)[:, None, :], LAST_RESORT, distance)
        pairs = view.of_priors(self.eligible)[:, None, :]
        if self.groups is not None:
            of_points, of_gts = self.groups
            pairs = pairs & (view.of_priors(of_points)[:, None, :] == view.of_gts(of_gts)[:, :, None])
        return xp.where(pairs, distance, FAR)


@dataclass(frozen=True, eq=False)
class ShapeDistances:
    """The L1 distances (B, G, N) of shapes from those of ground truths, to be computed a tile at a time.

    Attributes
    ----------
    backend : ArrayBackend
        The library of the arrays.
    shapes : array (B or 1, N, 4)
        Centre and size in pixels; infinite where one is no candidate.
    targets : array (B, G, 4)
        Centre and size in pixels.
    """

    backend: ArrayBackend
    shapes: Array
    targets: Array

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of images, ground truths and shapes: B, G, N."""
        return int(self.targets.shape[0]), int(self.targets.shape[1]), int(self.shapes.shape[1])

    def of(self, view: TileView) -> Array:
        """Return the distances (b, g, n) of a tile."""
        return pairwise_l1(view.of_gts(self.targets), view.of_priors(self.shapes))


Distances = PointDistances | ShapeDistances


def k_best(relation: Relation, values: Callable[[Pairs], Array], k: int) -> Candidates:
    """Find the `k` best priors of each ground truth, among those that have to do with it.

    Parameters
    ----------
    relation : Relation
        What a candidate fulfils; there must be a pair.
    values : callable
        Maps pairs to what they are compared by, the least first, (b, g, n); `UNFIT` where one is no
        candidate.
    k : int
        How many, or all where there are fewer.

    Returns
    -------
    Candidates
        The best first; of equally good ones, the first.
    """
    backend, xp, (images, n_priors, n_gts) = relation.backend, relation.backend.xp, relation.shape
    k = min(k, n_priors)
    listed = backend.listed(relation)
    if listed is None:

        def in_tile(view: TileView) -> Array:
            pairs = TilePairs(view)
            return xp.where(relation.of(pairs), values(pairs), UNFIT)

        tiles = cut_tiles(backend, list(relation.arrays.values()), *relation.shape)
        best = k_smallest_per_gt(backend, tiles, relation.gt_valid, k, in_tile)
        return Candidates(best.index, xp.where(best.value < UNFIT, best.value, FAR))
    value, place = backend.k_smallest_of_lists(xp.reshape(values(listed), (-1,)), listed.counts, k)
    if listed.row.shape[1]:
        place = xp.take(xp.reshape(listed.index, (-1,)), xp.reshape(place, (-1,)), axis=0)
    index, value = (xp.reshape(x, (images, n_gts, k)) for x in (place, value))
    return Candidates(index, xp.where(value < UNFIT, value, FAR))


def k_nearest(distances: Distances, k: int, levels: Sequence[slice] | None = None) -> Candidates:
    """Find the `k` priors nearest to each ground truth; of equally near ones, the first.

    Parameters
    ----------
    distances : PointDistances or ShapeDistances
        What is compared.
    k : int
        How many on each level, or all of a level that has fewer.
    levels : sequence of slice, optional
        Consecutive slices of the priors. Not given: one of all.

    Returns
    -------
    Candidates
        Level by level, nearest first. There must be a prior and a ground truth.
    """
    num_priors = distances.shape[2]
    own = (
        [slice(0, num_priors)] if levels is None else [level for level in levels if level.stop > level.start]
    )
    return distances.backend.k_nearest(distances, k, own)


def k_nearest_in_tiles(distances: Distances, k: int, levels: Sequence[slice]) -> Candidates:
    """Find the nearest a tile after the other: the portable answer, and what every other one must equal."""
    backend = distances.backend
    images, n_gts, _ = distances.shape
    arrays = (
        (distances.points, distances.centers)
        if isinstance(distances, PointDistances)
        else (distances.shapes, distances.targets)
    )
    parts = []
    for level in levels:
        size = level.stop - level.start
        tiles = [
            tile._replace(
                first_prior=tile.first_prior + level.start, last_prior=tile.last_prior + level.start
            )
            for tile in cut_tiles(backend, arrays, images, size, n_gts)
        ]
        parts.append(k_smallest_per_gt(backend, tiles, arrays[1], min(k, size), distances.of))
    if len(parts) == 1:
        return parts[0]
    return Candidates(
        backend.xp.concat([part.index for part in parts], axis=-1),
        backend.xp.concat([part.value for part in parts], axis=-1),
    )


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
    return backend.gather_rows(x, index)


def places_of(backend: ArrayBackend, mask: Array, least: int = 0) -> tuple[Array, Array]:
    """List where a mask is true, on the host that can read it.

    Parameters
    ----------
    backend : ArrayBackend
        The library of the arrays.
    mask : array (B, N) of bool
        What is looked for.
    least : int, default 0
        How long the lists are at least.

    Returns
    -------
    index : array (B, E) of integers
        Where it is true, ascending; 0 where an image has fewer than the longest list.
    is_place : array (B, E) of bool
        False there.
    """
    host = backend.to_numpy(mask)
    counts = np.count_nonzero(host, axis=-1)
    is_place = np.arange(max(int(counts.max()), least)) < counts[:, None]
    index = np.zeros(is_place.shape, dtype=np.int64)
    index[is_place] = np.nonzero(host)[1]
    return backend.host_indices(index, mask), backend.from_numpy(is_place, backend.device_of(mask))


HIGHEST_POWER = 16


def nearest_per_level(scene: Scene, levels: Sequence[slice], k: int, *, last_resort: Array) -> Candidates:
    """Find, on each level, the `k` priors whose centres are nearest to each ground truth's centre.

    Parameters
    ----------
    scene : Scene
        The inputs; `priors` are boxes.
    levels : sequence of slice
        The priors of each level.
    k : int
        How many on each level; all of a level that has fewer.
    last_resort : array (B or 1, N) of bool
        True where a prior is a candidate only for want of others.

    Returns
    -------
    Candidates
        Level by level, nearest first.
    """
    distances = PointDistances(
        backend=scene.backend,
        points=box_centers(scene.priors),
        centers=box_centers(scene.gt_bboxes),
        eligible=scene.prior_eligible,
        last_resort=last_resort,
    )
    return k_nearest(distances, k, levels)


def truncated_log(x: Array, base: int) -> Array:
    """Return the logarithm of positive numbers, cut off at the point, as integers.

    By comparison with the powers of the base, which are exact, since the logarithms of libraries differ in
    their last bits. Bounded by 16 powers either way.

    Parameters
    ----------
    x : array (...)
        Positive numbers.
    base : int
        2 or 4.

    Returns
    -------
    array (...) of integers
        In the default integer dtype.
    """
    backend = get_backend(x)
    xp, device = backend.xp, backend.device_of(x)
    # Made on the device: copying a table to it would wait for it.
    factors = xp.full((2 * HIGHEST_POWER + 1,), float(base), dtype=x.dtype, device=device)
    first = xp.arange(2 * HIGHEST_POWER + 1, device=device) == 0
    powers = xp.cumulative_prod(xp.where(first, float(base) ** -HIGHEST_POWER, factors))
    flat = xp.reshape(x, (-1,))
    floor = xp.searchsorted(powers, flat, side="right") - 1
    # Below 1 what is cut off leads up, to the next power unless it is one.
    is_power = xp.take(powers, xp.where(floor > 0, floor, 0), axis=0) == flat
    power = xp.where((flat >= 1.0) | is_power, floor, floor + 1) - HIGHEST_POWER
    power = xp.where(power > HIGHEST_POWER, HIGHEST_POWER, power)
    return xp.reshape(xp.astype(power, backend.integer_dtype(x)), x.shape)

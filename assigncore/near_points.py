"""Narrowing a search of nearest points on the host, so that far blocks of points are never looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from assigncore.backend import Array, ArrayBackend
from assigncore.blocks import block_bounds

__all__ = ["NearPoints", "near_points"]

BLOCK = 32
"""Points a block has, or twice as many as are sought; only speed depends on it."""

SLACK = 1e-4
"""Relative margin of the bounds, far above the rounding of the distances they bound."""

MOST_GATHERED = 2**20
"""Points gathered at once while distances are bounded."""

Host = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class NearPoints:
    """The points among which the nearest of some centres are found.

    Attributes
    ----------
    backend : ArrayBackend
        The library of the arrays.
    images : slice
        Of the batch.
    gts : slice
        Of the centres.
    index : array (b, g, m) of integers
        Points that may be near each centre, ascending.
    inside : array (b, g, m) of bool
        False where `index` only fills a row up.
    """

    backend: ArrayBackend
    images: slice
    gts: slice
    index: Array
    inside: Array

    def of_points(self, x: Array) -> Array:
        """Pick from `x` (B or 1, N, ...) what belongs to the points: (b, g, m, ...)."""
        xp = self.backend.xp
        own = x if x.shape[0] == 1 else x[self.images, ...]
        length = int(own.shape[1])
        rows = self.index
        if own.shape[0] > 1:
            device = self.backend.device_of(rows)
            first = xp.arange(int(own.shape[0]), dtype=rows.dtype, device=device) * length
            rows = rows + first[:, None, None]
        flat = xp.reshape(own, (int(own.shape[0]) * length, *own.shape[2:]))
        picked = xp.take(flat, xp.reshape(rows, (-1,)), axis=0)
        return xp.reshape(picked, (*rows.shape, *own.shape[2:]))

    def of_gts(self, x: Array) -> Array:
        """Cut from `x` (B, G, ...) what belongs to the centres: (b, g, 1, ...)."""
        return x[self.images, self.gts, ...][:, :, None, ...]


def near_points(
    backend: ArrayBackend,
    points: Array,
    centers: Array,
    counted: Array,
    k: int,
    *,
    scale: Array | None,
    groups: tuple[Array, Array] | None,
) -> Iterator[NearPoints]:
    """Find points that are enough to find the `k` nearest of each centre among them.

    Parameters
    ----------
    backend : ArrayBackend
        Of arrays that the host can read.
    points : array (B or 1, N, 2)
        x, y in pixels.
    centers : array (B, G, 2)
        x, y in pixels.
    counted : array (B or 1, N) of bool
        False where a point is not to be found, unless too few others are.
    k : int
        How many are sought, at most N.
    scale : array (B, G, 2) or None
        The unit in which each centre measures distances; None stands for 1 pixel.
    groups : pair of arrays (B or 1, N) and (B, G) of integers, or None
        Groups of the points and the centres; None where all are of one.

    Returns
    -------
    iterator of NearPoints
        Some images after others, each from the first centre to the last. Every centre has `k` places or
        more; among them are its `k` nearest points, equally near ones included, and where fewer than `k`
        points count, all points of its group.

    Notes
    -----
    The k-th distance within any block that has `k` points bounds the k-th distance of all. Blocks whose
    bounding box is farther away cannot matter.
    """
    images, n_gts, n_points = int(centers.shape[0]), int(centers.shape[1]), int(points.shape[1])
    most = backend.most_pairs(points)
    block = min(max(BLOCK, 2 * k), max(1, most // n_gts))
    if scale is None:
        scale = backend.xp.ones_like(centers)
    if groups is None:
        groups = backend.xp.zeros_like(counted), backend.xp.zeros_like(centers[..., 0])
    of_points = [backend.to_numpy(x) for x in (points, counted, groups[0])]
    of_gts = [backend.to_numpy(x) for x in (centers, scale, groups[1])]
    per_gt = max(block, -(-n_points // block))
    for own in _slices(images, MOST_GATHERED // (n_gts * per_gt)):
        xy, counts, group = (x if x.shape[0] == 1 else x[own] for x in of_points)
        center, unit, own_group = (x[own] for x in of_gts)
        points_of_images = _Points(xy, counts, group, block)
        for some in _slices(n_gts, MOST_GATHERED // (center.shape[0] * per_gt)):
            near = points_of_images.near_blocks(center[:, some], unit[:, some], own_group[:, some], k)
            for gts in _gts_at_a_time(near, block):
                index = _rows_of_points(near[:, gts], block, n_points, k)
                inside = index < n_points
                arrays = (backend.host_indices(x, points) for x in (np.where(inside, index, 0), inside))
                of_all = slice(some.start + gts.start, some.start + gts.stop)
                yield NearPoints(backend, own, of_all, *arrays)


def _slices(length: int, step: int) -> list[slice]:
    """Cut a length into parts of `step`, or of 1 where that is less."""
    step = max(1, step)
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


def _gts_at_a_time(near: Host, block: int) -> list[slice]:
    """Cut the centres so that the points near those of one cut, rows filled up, are few enough."""
    longest = max(1, int(near.sum(axis=-1).max(initial=0)) * block)
    return _slices(near.shape[1], MOST_GATHERED // (near.shape[0] * longest))


def _rows_of_points(near: Host, block: int, n_points: int, k: int) -> Host:
    """List the points of each centre's blocks (b, g, blocks), ascending; `n_points` fills a row up."""
    n_blocks = near.shape[-1]
    longest = int(near.sum(axis=-1).max(initial=0))
    order = np.sort(np.where(near, np.arange(n_blocks), n_blocks), axis=-1)[..., :longest]
    rows: Host = (order[..., None] * block + np.arange(block)).reshape(*near.shape[:2], longest * block)
    rows = np.minimum(rows, n_points)
    short = k - rows.shape[-1]
    return rows if short <= 0 else np.pad(rows, ((0, 0), (0, 0), (0, short)), constant_values=n_points)


@dataclass(frozen=True, eq=False)
class _Points:
    """Points x, y (b or 1, N, 2), which of them count, their groups, and the length of a block."""

    xy: Host
    counted: Host
    group: Host
    block: int

    @property
    def starts(self) -> Host:
        return np.arange(0, self.xy.shape[1], self.block)

    @cached_property
    def sides(self) -> tuple[Host, ...]:
        """The sides of the box around each block's points, each (b or 1, 1, blocks)."""
        sides = block_bounds(self.xy[..., [0, 1, 0, 1]], self.counted, self.starts)
        return tuple(np.swapaxes(side, -1, -2) for side in sides)

    @cached_property
    def groups(self) -> tuple[Host, Host]:
        """The lowest and the highest group in each block, each (b or 1, 1, blocks)."""
        lowest = np.minimum.reduceat(self.group, self.starts, axis=-1)[:, None, :]
        return lowest, np.maximum.reduceat(self.group, self.starts, axis=-1)[:, None, :]

    @cached_property
    def counts(self) -> Host:
        """How many points of each block count, (b or 1, 1, blocks)."""
        counts: Host = np.add.reduceat(self.counted, self.starts, axis=-1, dtype=np.int64)[:, None, :]
        return counts

    def near_blocks(self, centers: Host, unit: Host, group: Host, k: int) -> Host:
        """Tell which blocks may hold one of the `k` nearest points of which centre, (b, G, blocks)."""
        x1, y1, x2, y2 = self.sides
        (x, y), (w, h) = (np.moveaxis(a, -1, 0)[..., None] for a in (centers, unit))
        at_least = _squared(np.maximum(x1 - x, x - x2), w) + _squared(np.maximum(y1 - y, y - y2), h)
        at_most = _squared(np.maximum(x2 - x, x - x1), w) + _squared(np.maximum(y2 - y, y - y1), h)
        lowest, highest = self.groups
        enough = self.counts >= k
        group = group[..., None]
        to_full = np.where(enough & (lowest == group) & (highest == group), at_most, np.inf)
        reach = self._kth_distance(centers, unit, to_full, k)
        near: Host = (lowest <= group) & (group <= highest)
        return near & (at_least <= reach[..., None] * (1 + SLACK))

    def _kth_distance(self, centers: Host, unit: Host, to_full: Host, k: int) -> Host:
        """Return the squared distance of the k-th point in one block that has `k`, (b, G).

        The block is the one whose farthest corner, by `to_full` (b, G, blocks), is nearest. One that runs
        from the end of a row of points to the start of the next is wide: it may seem near, and its points
        are not.
        """
        index = np.argmin(to_full, axis=-1)[..., None] * self.block + np.arange(self.block)
        inside = index < self.xy.shape[1]
        index = np.where(inside, index, 0)
        image = np.arange(index.shape[0])[:, None, None]
        xy, counted = (x[0][index] if x.shape[0] == 1 else x[image, index] for x in (self.xy, self.counted))
        squared = np.square((xy - centers[..., None, :]) / unit[..., None, :]).sum(axis=-1)
        squared = np.where(inside & counted, squared, np.inf)
        kth = np.partition(squared, min(k, self.block) - 1, axis=-1)[..., min(k, self.block) - 1]
        return np.where(np.isfinite(to_full.min(axis=-1)), kth, np.inf)


def _squared(outside: Host, unit: Host) -> Host:
    """Return the square of how far outside something is along an axis, in units."""
    squared: Host = np.square(np.maximum(outside, 0) / unit)
    return squared

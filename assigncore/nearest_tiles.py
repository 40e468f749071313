"""Cutting the pairs for a search of nearest points, so that far blocks of points are never looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from assigncore.backend import Array, ArrayBackend
from assigncore.tiles import Tile, block_bounds, dense_tiles

__all__ = ["plan_nearest_tiles"]

BLOCK = 512
"""Points in a block; only speed depends on it."""

SLACK = 1e-4
"""Relative margin of the bounds, far above the rounding of the distances they bound."""

MOST_GATHERED = 2**20
"""Points gathered at once while distances are bounded."""

Host = np.ndarray[Any, Any]


def plan_nearest_tiles(
    backend: ArrayBackend,
    points: Array,
    centers: Array,
    counted: Array,
    k: int,
    *,
    scale: Array | None,
    groups: tuple[Array, Array] | None,
) -> list[Tile]:
    """Cut the pairs of points and centres into tiles that hold the `k` nearest points of each centre.

    Parameters
    ----------
    backend : ArrayBackend
        Says how large a tile may be, and whether the host may look at the points.
    points : array (B or 1, N, 2)
        x, y in pixels.
    centers : array (B, G, 2)
        x, y in pixels.
    counted : array (B or 1, N) of bool
        False where a point is not to be found, unless too few others are.
    k : int
        How many are sought.
    scale : array (B, G, 2) or None
        The unit in which each centre measures distances; None stands for 1 pixel.
    groups : pair of arrays (B or 1, N) and (B, G) of integers, or None
        Groups of the points and the centres; None where all are of one.

    Returns
    -------
    list of Tile
        A centre is named in each tile that may hold one of its `k` nearest points, equally near ones
        included; in every tile with points of its group where there are fewer than `k` that count.

    Notes
    -----
    The k-th distance within the nearest block that has `k` points bounds the k-th distance of all. Blocks
    whose bounding box is farther away cannot matter.
    """
    images, n_gts, n_points = int(centers.shape[0]), int(centers.shape[1]), int(points.shape[1])
    if backend.is_traced(points) or backend.is_traced(centers):
        return [Tile(slice(0, images), slice(0, n_points))]
    limit = backend.pairs_per_tile(points)
    if images * n_gts * n_points <= limit:
        return [Tile(slice(0, images), slice(0, n_points))]
    if not backend.reads_host(points):
        return dense_tiles(images, n_points, n_gts, limit)
    block = min(BLOCK, max(1, backend.most_pairs(points) // n_gts))
    if scale is None:
        scale = backend.xp.ones_like(centers)
    if groups is None:
        groups = backend.xp.zeros_like(counted), backend.xp.zeros_like(centers[..., 0])
    host_points = [backend.to_numpy(x) for x in (points, counted, groups[0])]
    host_gts = [backend.to_numpy(x) for x in (centers, scale, groups[1])]
    tiles = []
    for image in range(images):
        own = _Points(*(x[0 if x.shape[0] == 1 else image] for x in host_points), block)
        near = own.near_blocks(*(x[image] for x in host_gts), k)
        tiles += [
            Tile(slice(image, image + 1), slice(start, min(start + block, n_points)), np.flatnonzero(row))
            for start, row in zip(own.starts.tolist(), near, strict=True)
        ]
    return tiles


@dataclass(frozen=True, eq=False)
class _Points:
    """One image's points x, y (N, 2), which of them count, their groups, and the length of a block."""

    xy: Host
    counted: Host
    group: Host
    block: int

    @property
    def starts(self) -> Host:
        return np.arange(0, self.xy.shape[0], self.block)

    def near_blocks(self, centers: Host, unit: Host, group: Host, k: int) -> Host:
        """Tell which blocks may hold one of the `k` nearest points of which centre, (blocks, G)."""
        corners = self.xy[None][..., [0, 1, 0, 1]]
        x1, y1, x2, y2 = block_bounds(corners, self.counted[None], self.starts)
        low, high = np.stack([x1, y1], axis=-1)[0], np.stack([x2, y2], axis=-1)[0]
        outside = np.maximum(np.maximum(low - centers, centers - high), 0) / unit
        at_least = np.square(outside).sum(axis=-1)
        lowest = np.minimum.reduceat(self.group, self.starts)[:, None]
        highest = np.maximum.reduceat(self.group, self.starts)[:, None]
        enough = np.add.reduceat(self.counted, self.starts, dtype=np.int64)[:, None] >= k
        to_full = np.where(enough & (lowest == group) & (highest == group), at_least, np.inf)
        step = max(1, MOST_GATHERED // self.block)
        chunks = [slice(a, a + step) for a in range(0, centers.shape[0], step)]
        reach = [self._kth_distance(centers[c], unit[c], to_full[:, c], k) for c in chunks]
        own_group: Host = (lowest <= group) & (group <= highest)
        return own_group & (at_least <= np.concatenate(reach) * (1 + SLACK))

    def _kth_distance(self, centers: Host, unit: Host, to_full: Host, k: int) -> Host:
        """Return the squared distance of the k-th point in the nearest block that has `k`, (G,)."""
        index = np.argmin(to_full, axis=0)[:, None] * self.block + np.arange(self.block)
        inside = index < self.xy.shape[0]
        index = np.where(inside, index, 0)
        squared = np.square((self.xy[index] - centers[:, None, :]) / unit[:, None, :]).sum(axis=-1)
        squared = np.where(inside & self.counted[index], squared, np.inf)
        kth = np.partition(squared, min(k, self.block) - 1, axis=-1)[:, min(k, self.block) - 1]
        return np.where(np.isfinite(to_full.min(axis=0)), kth, np.inf)

"""Cutting the pairs for a search of nearest points, so that far blocks of points are never looked at."""

from __future__ import annotations

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
    backend: ArrayBackend, points: Array, centers: Array, counted: Array, k: int, scale: Array | None
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
        The unit in which each centre measures distances.

    Returns
    -------
    list of Tile
        A centre is named in each tile that may hold one of its `k` nearest points, equally near ones
        included; in every tile where there are fewer than `k` points that count.

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
    x, counts, center = (backend.to_numpy(a) for a in (points, counted, centers))
    unit = np.ones_like(center) if scale is None else backend.to_numpy(scale)
    tiles = []
    for image in range(images):
        own_x, own_counts = (a[0 if a.shape[0] == 1 else image] for a in (x, counts))
        near = _near_blocks(own_x, own_counts, center[image], unit[image], k, block)
        tiles += [
            Tile(slice(image, image + 1), slice(start, min(start + block, n_points)), np.flatnonzero(row))
            for start, row in zip(range(0, n_points, block), near, strict=True)
        ]
    return tiles


def _near_blocks(points: Host, counted: Host, centers: Host, unit: Host, k: int, block: int) -> Host:
    """Tell which blocks may hold one of the `k` nearest points of which centre, (blocks, G)."""
    starts = np.arange(0, points.shape[0], block)
    x1, y1, x2, y2 = block_bounds(points[None][..., [0, 1, 0, 1]], counted[None], starts)
    low, high = np.stack([x1, y1], axis=-1)[0], np.stack([x2, y2], axis=-1)[0]
    outside = np.maximum(np.maximum(low - centers, centers - high), 0) / unit
    at_least = np.square(outside).sum(axis=-1)
    enough = np.add.reduceat(counted, starts, dtype=np.int64) >= k
    full = np.where(enough[:, None], at_least, np.inf)
    chunk = max(1, MOST_GATHERED // block)
    reach = [
        _kth_distance(
            points, counted, centers[a : a + chunk], unit[a : a + chunk], full[:, a : a + chunk], k, block
        )
        for a in range(0, centers.shape[0], chunk)
    ]
    return at_least <= np.concatenate(reach) * (1 + SLACK)


def _kth_distance(
    points: Host, counted: Host, centers: Host, unit: Host, to_block: Host, k: int, block: int
) -> Host:
    """Return the squared distance of the k-th nearest point in the nearest block that has `k`, (G,)."""
    start = np.argmin(to_block, axis=0) * block
    index = start[:, None] + np.arange(block)
    inside = index < points.shape[0]
    index = np.where(inside, index, 0)
    squared = np.square((points[index] - centers[:, None, :]) / unit[:, None, :]).sum(axis=-1)
    squared = np.where(inside & counted[index], squared, np.inf)
    if k > block:
        return np.full(centers.shape[0], np.inf)
    kth = np.partition(squared, k - 1, axis=-1)[:, k - 1]
    return np.where(np.isfinite(to_block.min(axis=0)), kth, np.inf)

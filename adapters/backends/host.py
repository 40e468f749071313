"""What the backends that compute on the host's own cores have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["cached_pairs_per_tile", "k_smallest", "moved_axes"]

AnyArray = np.ndarray[Any, Any]

CACHED_PAIRS = 2**17
"""Pairs whose temporaries stay in a core's second-level cache, or near it: the fastest of those tried.

It is also enough for PyTorch to share an operation among threads.
"""

FEW = 16
"""Up to so many smallest values are found one by one: a vectorised search is quicker than a partition."""


def moved_axes(ndim: int, source: int, destination: int) -> list[int]:
    """Return the order of the axes once one of them is moved."""
    order = [axis for axis in range(ndim) if axis != source % ndim]
    order.insert(destination % ndim, source % ndim)
    return order


def cached_pairs_per_tile(within_budget: int) -> int:
    """Return the pairs of a tile that fits both the memory budget and the cache."""
    return min(within_budget, CACHED_PAIRS)


def k_smallest(x: AnyArray, k: int) -> tuple[AnyArray, AnyArray]:
    """Select as ``ArrayBackend.k_smallest`` says.

    A few are found one by one; else the k-th by partition, then what is below it and the first of its equals.
    """
    if k >= x.shape[-1] or k == 0:
        return _sorted(x, k)
    if k <= FEW:
        return _few_smallest(x, k)
    bound = np.partition(x, k - 1, axis=-1)[..., k - 1 : k]
    below = x < bound
    at_bound = x == bound
    room = k - np.count_nonzero(below, axis=-1)[..., None]
    if np.array_equal(np.count_nonzero(at_bound, axis=-1)[..., None], room):
        taken = below | at_bound
    else:
        taken = below | (at_bound & (np.cumsum(at_bound, axis=-1) <= room))
    if np.count_nonzero(taken) != k * (x.size // x.shape[-1]):  # NaN is neither below nor at the bound
        return _sorted(x, k)
    index = np.nonzero(taken)[-1].reshape(*x.shape[:-1], k)
    values, order = _sorted(np.take_along_axis(x, index, axis=-1), k)
    return values, np.take_along_axis(index, order, axis=-1)


def _sorted(x: AnyArray, k: int) -> tuple[AnyArray, AnyArray]:
    order = np.argsort(x, axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(x, order, axis=-1), order


def _few_smallest(x: AnyArray, k: int) -> tuple[AnyArray, AnyArray]:
    """Find the smallest, the first of several, `k` times; sort rows that run out of finite values."""
    rows = x.reshape(-1, x.shape[-1])
    rest, each = rows.copy(), np.arange(rows.shape[0])
    index = np.empty((rows.shape[0], k), dtype=np.int64)
    values = np.empty((rows.shape[0], k), dtype=rows.dtype)
    for rank in range(k):
        index[:, rank] = rest.argmin(axis=-1)
        # Not of `rows`: where only infinities are left, this may be a place that was taken before.
        values[:, rank] = rest[each, index[:, rank]]
        rest[each, index[:, rank]] = np.inf
    odd = ~np.isfinite(values).all(axis=-1)
    if odd.any():
        values[odd], index[odd] = _sorted(rows[odd], k)
    shape = (*x.shape[:-1], k)
    return values.reshape(shape), index.reshape(shape)

"""NumPy: everything lives on the host, so tiles are small enough to stay in a core's cache."""

from __future__ import annotations

from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from assigncore.adapters.host import cached_pairs_per_tile
from assigncore.backend import Array, ArrayBackend

__all__ = ["NumpyBackend"]

FEW = 16
"""Up to so many smallest values are found one by one: a vectorised search is quicker than a partition."""


class NumpyBackend(ArrayBackend):
    """Primitives of NumPy."""

    name = "numpy"
    array_types = (np.ndarray,)

    def __init__(self) -> None:
        super().__init__(xp)

    def reads_host(self, x: Array) -> bool:
        """Return true: NumPy's memory is the host's."""
        return True

    def device_of(self, x: Array) -> Any:
        """Return NumPy's one device."""
        return "cpu"

    def pairs_per_tile(self, x: Array) -> int:
        """Return a tile that fits the cache."""
        return cached_pairs_per_tile(self.most_pairs(x))

    def is_dtype(self, dtype: Any, kind: str) -> bool:
        """Take ``bfloat16`` and its kin, which the ``ml_dtypes`` package adds to NumPy, for real floating."""
        if dtype.kind == "V":
            return kind == "real floating" and dtype.name in {"bfloat16"}
        return super().is_dtype(dtype, kind)

    def max_and_argmax(self, x: Array, axis: int) -> tuple[Array, Array]:
        """Find the index by comparison: NumPy's arg-max along an outer axis does not vectorise."""
        best = np.max(x, axis=axis)
        if axis % x.ndim == x.ndim - 1 or np.isnan(best).any():
            return best, np.argmax(x, axis=axis)
        shape = [1] * x.ndim
        shape[axis] = x.shape[axis]
        places = np.arange(x.shape[axis], dtype=np.int32).reshape(shape)
        return best, _first_held(x == np.expand_dims(best, axis), places, axis)

    def first_largest(self, x: Array, numbers: Array) -> tuple[Array, Array]:
        """Find the number as `max_and_argmax` finds the index."""
        best = np.max(x, axis=-2)
        if np.isnan(best).any():
            return super().first_largest(x, numbers)
        return best, _first_held(x == best[..., None, :], numbers.astype(np.int32), -2)

    def k_smallest(self, x: Array, k: int) -> tuple[Array, Array]:
        """Find a few one by one; else the k-th by partition, then what is below it and the first equal."""
        if k >= x.shape[-1] or k == 0:
            return super().k_smallest(x, k)
        if k <= FEW:
            return self._few_smallest(x, k)
        bound = np.partition(x, k - 1, axis=-1)[..., k - 1 : k]
        below = x < bound
        at_bound = x == bound
        room = k - np.count_nonzero(below, axis=-1)[..., None]
        if np.array_equal(np.count_nonzero(at_bound, axis=-1)[..., None], room):
            taken = below | at_bound
        else:
            taken = below | (at_bound & (np.cumsum(at_bound, axis=-1) <= room))
        if np.count_nonzero(taken) != k * (x.size // x.shape[-1]):  # NaN is neither below nor at the bound
            return super().k_smallest(x, k)
        index = np.nonzero(taken)[-1].reshape(*x.shape[:-1], k)
        values, order = super().k_smallest(np.take_along_axis(x, index, axis=-1), k)
        return values, np.take_along_axis(index, order, axis=-1)

    def _few_smallest(self, x: Array, k: int) -> tuple[Array, Array]:
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
            values[odd], index[odd] = super().k_smallest(rows[odd], k)
        shape = (*x.shape[:-1], k)
        return values.reshape(shape), index.reshape(shape)

    def scatter_max(self, index: Array, values: Array, size: int, *, fill: float = 0) -> Array:
        """Scatter in place of comparing every place with every entry."""
        out = np.full((index.shape[0], size), fill, dtype=values.dtype)
        np.maximum.at(out, (np.arange(index.shape[0])[:, None], index), values)
        return out

    def count(self, index: Array, size: int) -> Array:
        """Count all rows in one pass, each in a range of its own."""
        rows = index.shape[0]
        inside = (index >= 0) & (index < size)
        flat = np.where(inside, index + size * np.arange(rows)[:, None], rows * size)
        counts = np.bincount(flat.reshape(-1), minlength=rows * size + 1)
        return counts[:-1].reshape(rows, size).astype(index.dtype)

    def from_numpy(self, x: np.ndarray[Any, Any], device: Any = None) -> Array:
        """Return `x` itself."""
        return x

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        """Return `x` itself."""
        return np.asarray(x)


def _first_held(holds: Array, numbers: Array, axis: int) -> Array:
    """Return the least of the `numbers` along `axis` where it holds, as it does somewhere."""
    nowhere = np.iinfo(np.int32).max
    return np.min(np.where(holds, numbers, nowhere), axis=axis).astype(np.int64)

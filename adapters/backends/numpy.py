"""NumPy: everything lives on the host, so tiles are small enough to stay in a core's cache."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from types import ModuleType
from typing import Any

import array_api_compat.numpy as compat
import numpy as np

from assigncore.adapters.kernels import compiled
from assigncore.backend import Array, ArrayBackend
from assigncore.backend.memory import CACHED_PAIRS
from assigncore.boxes.formulas import BoxOverlap, Mode
from assigncore.boxes.oriented import PairFormula
from assigncore.pairs.listed import ListedPairs, TilePairs
from assigncore.pairs.relations import Relation
from assigncore.pairs.tiles import TileView, cut_tiles
from assigncore.steps.candidates import Candidates, Distances
from assigncore.steps.overlaps import BestOverlaps, PairwiseOverlaps

__all__ = ["NumpyBackend", "moved_axes"]

AnyArray = np.ndarray[Any, Any]

KINDS = {"bool": "b", "integral": "iu", "real floating": "f"}
"""Letters by which NumPy's dtypes say of what kind they are."""

FEW = 16
"""Up to so many smallest values are found one by one: a vectorised search is quicker than a partition."""

FEW_VALUES = 2**14
"""Up to so many values NumPy's own arg-max is the quickest along any axis."""

LISTED = 4
"""Times as much memory as a pair of a tile that a listed pair takes, with what is computed of it."""


def moved_axes(ndim: int, source: int, destination: int) -> list[int]:
    """Return the order of the axes once one of them is moved."""
    order = [axis for axis in range(ndim) if axis != source % ndim]
    order.insert(destination % ndim, source % ndim)
    return order


def _broadcast_to(x: AnyArray, shape: tuple[int, ...], /) -> AnyArray:
    return x if x.shape == tuple(shape) else np.broadcast_to(x, shape)


def _moveaxis(x: AnyArray, source: int, destination: int, /) -> AnyArray:
    return x.transpose(moved_axes(x.ndim, source, destination))


def _reshape(x: AnyArray, /, shape: tuple[int, ...]) -> AnyArray:
    return x.reshape(shape)


def _take(x: AnyArray, indices: AnyArray, /, *, axis: int) -> AnyArray:
    return x.take(indices, axis)


def _take_along_axis(x: AnyArray, indices: AnyArray, /, *, axis: int = -1) -> AnyArray:
    of_one_row = x.size == x.shape[-1] and indices.size == indices.shape[-1] and axis in (-1, x.ndim - 1)
    return x.reshape(-1).take(indices) if of_one_row else np.take_along_axis(x, indices, axis=axis)


def _stack(arrays: Sequence[AnyArray], /, *, axis: int = 0) -> AnyArray:
    return np.array(arrays) if axis == 0 else np.stack(arrays, axis=axis)


def _reduction(function: np.ufunc) -> Callable[..., Any]:
    def reduce(x: AnyArray, /, *, axis: int | tuple[int, ...] | None = None, **named: Any) -> Any:
        return function.reduce(x, axis=axis, **named)

    return reduce


def _namespace() -> ModuleType:
    """Return array-api-compat's namespace, with NumPy's own functions where they do the same in less time.

    A small scene costs what it takes to call functions, and nothing else.
    """
    own = ModuleType(compat.__name__, compat.__doc__)
    same = ("arange", "full", "full_like", "ones", "ones_like", "zeros", "zeros_like")
    ours = {
        "broadcast_to": _broadcast_to,
        "finfo": cache(np.finfo),
        "moveaxis": _moveaxis,
        "reshape": _reshape,
        "stack": _stack,
        "take": _take,
        "take_along_axis": _take_along_axis,
    }
    reductions = {
        "all": np.logical_and,
        "any": np.logical_or,
        "max": np.maximum,
        "min": np.minimum,
        "sum": np.add,
    }
    ours |= {name: _reduction(function) for name, function in reductions.items()}
    vars(own).update({**vars(compat), **{name: getattr(np, name) for name in same}, **ours})
    return own


class NumpyBackend(ArrayBackend):
    """Primitives of NumPy."""

    name = "numpy"
    array_types = (np.ndarray,)

    def __init__(self) -> None:
        super().__init__(_namespace())

    def unfit(self, x: Array) -> str:
        """Name masked arrays, whose masks every function here would pass over."""
        if type(x) is not np.ndarray and isinstance(x, np.ma.MaskedArray):
            return "a masked array: give its data, and say by gt_valid or prior_valid which rows count"
        return ""

    def reads_host(self, x: Array) -> bool:
        """Return true: NumPy's memory is the host's."""
        return True

    def on_numpy(self, *arrays: Array) -> list[AnyArray]:
        """Return them."""
        return list(arrays)

    def host_threads(self) -> int:
        """Follow PyTorch's setting too, where it has been imported."""
        own, of_torch = super().host_threads(), getattr(sys.modules.get("torch"), "get_num_threads", None)
        return own if of_torch is None else min(own, of_torch())

    def device_of(self, x: Array) -> Any:
        """Return NumPy's one device."""
        return "cpu"

    def pairs_per_tile(self, x: Array) -> int:
        """Return a tile that fits the cache."""
        return min(self.most_pairs(x), CACHED_PAIRS)

    def numbers(self, values: Sequence[float], like: Array, counts: Sequence[int] | None = None) -> Array:
        """Repeat them."""
        each = np.asarray(values, like.dtype)
        return each if counts is None else each.repeat(counts)

    def running_sum(self, x: Array) -> Array:
        """Take the last of the partial sums, which NumPy adds up in this order."""
        return np.add.accumulate(x, axis=-1)[..., -1]

    def integer_dtype(self, x: Array) -> Any:
        """Return what NumPy counts by."""
        return np.dtype(np.int_)

    def is_dtype(self, dtype: Any, kind: str) -> bool:
        """Take ``bfloat16``, which the ``ml_dtypes`` package adds to NumPy, for real floating."""
        if dtype.kind == "V":
            return kind == "real floating" and dtype.name == "bfloat16"
        return dtype.kind in KINDS[kind]

    def surely_all(self, mask: Array) -> bool:
        """Look."""
        return bool(mask.all())

    def keep(self, mask: Array, x: Array, fill: float) -> Array:
        """Copy in runs, where a selection goes number by number."""
        if mask.all():
            return x
        kept = np.full(np.broadcast(mask, x).shape, fill, x.dtype)
        np.copyto(kept, x, where=mask)
        return kept

    def overwrite(self, x: Array, mask: Array, values: Array) -> Array:
        """Write in place: what is allocated costs as much as what is written."""
        np.copyto(x, values, where=mask)
        return x

    def gather_rows(self, x: Array, index: Array) -> Array:
        """Take whole rows, image by image."""
        if x.shape[0] == 1:
            return x[0].take(index, 0)
        found = np.empty((*index.shape, x.shape[-1]), x.dtype)
        for own, places, out in zip(x, index, found, strict=True):
            own.take(places, 0, out, "clip")
        return found

    def look_up(self, table: Array, index: Array) -> Array:
        """Let negative numbers be clipped."""
        found = np.empty(index.shape, table.dtype)
        for own, places, out in zip(table, index, found, strict=True):
            own.take(places, None, out, "clip")
        return found

    def at_least(self, x: Array, bound: float, *, own: bool = False) -> Array:
        """Take a scalar for what it is."""
        out = x if own and isinstance(x, np.ndarray) else None
        return np.maximum(x, x.dtype.type(bound), out=out)

    def unwarned(self) -> AbstractContextManager[Any]:
        """Set what NumPy does at such a place."""
        return np.errstate(invalid="ignore", over="ignore")

    def rounds_from_double(self, x: Array) -> bool:
        """Return true: NumPy's memory is the host's."""
        return True

    def elementary(self, name: str, x: Array) -> Array:
        """Let NumPy convert what stays in the cache, so that no array of float64 exists."""
        function = getattr(self.xp, name)
        # The root is rounded to the nearest anyway.
        if x.dtype != np.float32 or name == "sqrt":
            return function(x)
        return function(x, out=np.empty_like(x), dtype=np.float64, casting="unsafe")

    def l1_distance(self, a: Array, b: Array) -> Array:
        """Add up in place, where no compiled loop answers."""
        found = compiled.l1_distance(a, b)
        if found is not None:
            return found
        total = np.abs(a[..., :, None, 0] - b[..., None, :, 0])
        term = np.empty_like(total)
        for i in range(1, a.shape[-1]):
            np.subtract(a[..., :, None, i], b[..., None, :, i], out=term)
            np.abs(term, out=term)
            total += term
        return total

    def max_and_argmax(self, x: Array, axis: int) -> tuple[Array, Array]:
        """Find the index by comparison: NumPy's arg-max along an outer axis does not vectorise."""
        best = x.max(axis)
        if x.size < FEW_VALUES or axis % x.ndim == x.ndim - 1 or np.isnan(best).any():
            return best, x.argmax(axis)
        shape = [1] * x.ndim
        shape[axis] = x.shape[axis]
        places = np.arange(x.shape[axis]).reshape(shape)
        return best, _first_held(x == np.expand_dims(best, axis), places, axis)

    def first_largest(self, x: Array, numbers: Array) -> tuple[Array, Array]:
        """Find the number as `max_and_argmax` finds the index."""
        best = np.max(x, axis=-2)
        if np.isnan(best).any():
            return super().first_largest(x, numbers)
        return best, _first_held(x == best[..., None, :], numbers, -2)

    def bounded_rows(self, x: Array, limit: float) -> tuple[Array, Array]:
        """Look for the extremes first, where no compiled loop looks at each row."""
        found = compiled.bounded_rows(x, limit)
        if found is not None:
            return found
        if x.size == 0 or not (x.max() <= limit and x.min() >= -limit):
            return super().bounded_rows(x, limit)
        planes = np.ascontiguousarray(np.moveaxis(x, -1, 0))
        return np.moveaxis(planes, 0, -1), np.ones(x.shape[:-1], np.bool_)

    def overlaps_of_boxes(self, b1: Array, b2: Array, mode: Mode) -> Array:
        """Let a compiled loop answer where there is one."""
        found = compiled.overlaps_of_boxes(b1, b2, BoxOverlap(mode), self.host_threads)
        return super().overlaps_of_boxes(b1, b2, mode) if found is None else found

    def pairwise(self, gt_bboxes: Array, priors: Array, measure: PairFormula) -> Array:
        """Let a compiled loop answer where there is one."""
        found = compiled.overlaps_of_boxes(gt_bboxes, priors, measure, self.host_threads)
        return super().pairwise(gt_bboxes, priors, measure) if found is None else found

    def best_overlaps(self, pairs: PairwiseOverlaps) -> BestOverlaps:
        """Let a compiled loop answer where there is one."""
        found = compiled.best_overlaps(pairs, self.host_threads)
        return super().best_overlaps(pairs) if found is None else found

    def best_of_priors(self, pairs: PairwiseOverlaps) -> Array:
        """Let a compiled loop answer where there is one."""
        found = compiled.best_of_priors(pairs, self.host_threads)
        return super().best_of_priors(pairs) if found is None else found

    def k_most_overlapping(self, pairs: PairwiseOverlaps, k: int) -> Candidates:
        """Let a compiled loop answer where there is one."""
        found = compiled.k_most_overlapping(pairs, k, self.host_threads)
        return super().k_most_overlapping(pairs, k) if found is None else found

    def k_nearest(self, distances: Distances, k: int, levels: Sequence[slice]) -> Candidates:
        """Let a compiled loop answer where there is one."""
        found = compiled.k_nearest(distances, k, levels, self.host_threads)
        return super().k_nearest(distances, k, levels) if found is None else found

    def listed(self, relation: Relation) -> ListedPairs | None:
        """List them by a compiled loop, or by looking where a mask of all pairs is true."""
        if type(relation) is Relation:
            return None
        most = self.most_pairs(relation.like) // LISTED
        found = compiled.list_pairs(relation, most)
        rows, places = _list_pairs(relation, most) if found is None else found
        if rows.size > most:
            return None
        return ListedPairs(self, relation.shape, rows[None, :], places[None, :, None])

    def k_smallest(self, x: Array, k: int) -> tuple[Array, Array]:
        """Select, where the portable version sorts."""
        found = compiled.k_smallest(x, k)
        return k_smallest(x, k) if found is None else found

    def k_smallest_of_lists(self, values: Array, counts: Array, k: int) -> tuple[Array, Array]:
        """Let a compiled loop answer where there is one."""
        found = compiled.k_smallest_of_lists(values, counts, k)
        return super().k_smallest_of_lists(values, counts, k) if found is None else found

    def scatter_max(self, index: Array, values: Array, size: int, *, fill: float = 0) -> Array:
        """Scatter along one axis, which is much quicker in NumPy than along two."""
        rows = index.shape[0]
        out = np.full(rows * size, fill, values.dtype) if fill else np.zeros(rows * size, values.dtype)
        place = index if rows == 1 else index + size * np.arange(rows)[:, None]
        np.maximum.at(out, place.reshape(-1), values.reshape(-1))
        return out.reshape(rows, size)

    def count(self, index: Array, size: int) -> Array:
        """Count all rows in one pass, each in a range of its own."""
        rows = index.shape[0]
        place = index if rows == 1 else index + size * np.arange(rows)[:, None]
        counts = np.bincount(place[(index >= 0) & (index < size)], minlength=rows * size)
        return counts.reshape(rows, size).astype(index.dtype, copy=False)

    def from_numpy(self, x: AnyArray, device: Any = None) -> Array:
        """Return `x` itself."""
        return x

    def to_numpy(self, x: Array) -> AnyArray:
        """Return `x` itself."""
        return np.asarray(x)


def _list_pairs(relation: Relation, most: int) -> tuple[Array, Array]:
    """Return ground truths and priors of the pairs that fulfil a relation; some, where too many do."""
    _, _, n_gts = relation.shape
    tiles = cut_tiles(relation.backend, list(relation.arrays.values()), *relation.shape)
    rows, places, count = [], [], 0
    for tile in tiles:
        view = TileView(relation.backend, tile, relation.gt_valid)
        image, gt, prior = np.nonzero(relation.of(TilePairs(view)))
        rows.append((image + tile.first_image) * n_gts + gt)
        places.append(prior + tile.first_prior)
        count += prior.size
        if count > most:
            break
    row, place = np.concatenate(rows), np.concatenate(places)
    # Tiles come by their priors first, lists by their ground truths.
    order = np.argsort(row, kind="stable") if len(tiles) > 1 else slice(None)
    return row[order], place[order]


def _first_held(holds: Array, numbers: Array, axis: int) -> Array:
    """Return the least of the `numbers` along `axis`, from 0 up, where it holds, as it does somewhere.

    Counted down they are products, which unlike a selection are quick however often it holds, and quicker
    the shorter the integers are.
    """
    beyond = int(numbers.max()) + 1
    short = np.int16 if beyond <= np.iinfo(np.int16).max else np.int32
    down = (beyond - numbers).astype(short)
    return np.subtract(beyond, np.max(holds * down, axis=axis), dtype=np.int64)


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

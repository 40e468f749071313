"""The few things an array library does in its own way: the primitives of an array backend.

Everything else in the core is written once, in the functions of the array API standard. What the standard
lacks, or what a library does much faster in its own way, is a primitive here: :class:`ArrayBackend` holds
the portable version, which is also its specification, and an adapter overrides what it can do better. An
adapter's version agrees with the portable one bit for bit.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

import array_api_compat
import numpy as np

from assigncore.backend.memory import current_memory_budget

if TYPE_CHECKING:
    from assigncore.boxes.formulas import Mode
    from assigncore.boxes.oriented import PairFormula
    from assigncore.pairs.listed import ListedPairs
    from assigncore.pairs.relations import Relation
    from assigncore.steps.candidates import Candidates, Distances
    from assigncore.steps.overlaps import BestOverlaps, PairwiseOverlaps

__all__ = ["Array", "ArrayBackend", "Function"]

Array = Any
"""An array of any library that follows the array API standard."""

Function = TypeVar("Function", bound=Callable[..., Any])

LOG_10 = math.log(10)
"""What an exponent of 10 is multiplied by to be one of e."""

LIVE_TEMPORARIES = 10
"""Pairwise arrays that live at once while an overlap is computed, with a margin."""


class ArrayBackend:
    """The portable primitives, in pure standard code; an adapter subclasses it for one library.

    Parameters
    ----------
    xp : module
        The library's array API namespace.

    Attributes
    ----------
    name : str
        Name of the library, as its entry point is called.
    array_types : tuple of type
        Types whose arrays always belong to this library. Listing them spares a search of the namespace at
        each call and keeps that search out of compiled code.
    """

    name = "portable"
    array_types: tuple[type, ...] = ()

    def __init__(self, xp: Any) -> None:
        self.xp = xp

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.xp.__name__})"

    def __reduce__(self) -> Any:
        """Let another process find the library's backend: a namespace is a module, which cannot travel."""
        lookup = importlib.import_module("assigncore.backend.lookup")
        return lookup.load_backend, (self.xp.__name__,)

    def unfit(self, x: Array) -> str:
        """Say what an array is whose values the primitives cannot take as they are; empty where they can."""
        return ""

    def is_traced(self, x: Array) -> bool:
        """Whether a compiler is recording what happens to `x`, so that its values do not exist yet."""
        return False

    def reads_host(self, x: Array) -> bool:
        """Whether the host can read the values of `x` at no cost: no device to wait for, no compiler."""
        return False

    def surely_all(self, mask: Array) -> bool:
        """Whether the host can tell, at no cost, that `mask` is true everywhere."""
        return self.reads_host(mask) and bool(self.xp.all(mask))

    def keep(self, mask: Array, x: Array, fill: float) -> Array:
        """Return `x` where `mask` is true, else `fill`; `x` itself where that is known to be everywhere."""
        return x if self.surely_all(mask) else self.xp.where(mask, x, fill)

    def overwrite(self, x: Array, mask: Array, values: Array) -> Array:
        """Return `x` with `values` where `mask` is true; `x`, nobody else's, may be overwritten.

        `mask` and `values` broadcast to the shape of `x`.
        """
        return self.xp.where(mask, values, x)

    def gather_rows(self, x: Array, index: Array) -> Array:
        """Return the rows of `x` (B or 1, N, D) at `index` (B, ...): (B, ..., D)."""
        xp = self.xp
        images, width = int(index.shape[0]), int(x.shape[-1])
        flat = xp.reshape(index, (images, prod(index.shape[1:]), 1))
        flat = xp.broadcast_to(flat, (*flat.shape[:2], width))
        x = xp.broadcast_to(x, (images, *x.shape[1:]))
        return xp.reshape(xp.take_along_axis(x, flat, axis=1), (*index.shape, width))

    def look_up(self, table: Array, index: Array) -> Array:
        """Return the entry of each `table` (B, M) at `index` (B, N), the first where that is negative."""
        xp = self.xp
        place = xp.where(index > 0, index, 0)
        images, width = (int(n) for n in table.shape)
        if images > 1:
            first = xp.arange(images, dtype=place.dtype, device=self.device_of(place)) * width
            place = place + first[:, None]
        return xp.reshape(xp.take(xp.reshape(table, (-1,)), xp.reshape(place, (-1,)), axis=0), index.shape)

    def at_least(self, x: Array, bound: float, *, own: bool = False) -> Array:
        """Return the larger of each value of `x` and `bound`; NaN stays. `x` may be overwritten if `own`."""
        return self.xp.maximum(x, self.xp.full((), bound, dtype=x.dtype, device=self.device_of(x)))

    def quotient(self, x: Array, y: Array, *, own: bool = False) -> Array:
        """Return `x` divided by `y`, rounded to the nearest; `x` may be overwritten if `own`."""
        if own:
            x /= y
            return x
        return x / y

    def matrix_product(self, x: Array, y: Array) -> Array:
        """Return the product of matrices in their dtype, whatever the library would make of it elsewhere."""
        return x @ y

    def unwarned(self) -> AbstractContextManager[Any]:
        """Return a context without warnings of what infinities and NaN, of padding say, are computed to."""
        return nullcontext()

    def rounds_from_double(self, x: Array) -> bool:
        """Whether elementary functions of float32 numbers that live where `x` does are rounded from float64.

        So it is on the host, where libraries otherwise differ in the last bit. The portable version takes any
        library for one of the host whose default device has float64.
        """
        of_device = self.xp.__array_namespace_info__().dtypes(device=self.device_of(x), kind="real floating")
        return "float64" in of_device

    def elementary(self, name: str, x: Array) -> Array:
        """Return an elementary function of the standard, such as ``"exp"``, of each value of `x`."""
        function = getattr(self.xp, name)
        return self._rounded_from_double(function, x)

    def power(self, x: Array, exponent: float) -> Array:
        """Raise each value to a power."""
        return self._rounded_from_double(lambda base: base ** float(exponent), x)

    def power_of_ten(self, x: Array) -> Array:
        """Return 10 to the power of each value."""
        if x.dtype == self.xp.float32 and self.rounds_from_double(x):
            return self._rounded_from_double(lambda exponent: self.xp.exp(exponent * LOG_10), x)
        return 10.0**x

    def _rounded_from_double(self, function: Callable[[Array], Array], x: Array) -> Array:
        xp = self.xp
        if x.dtype != xp.float32 or not self.rounds_from_double(x):
            return function(x)
        return xp.astype(function(xp.astype(x, xp.float64)), xp.float32)

    def l1_distance(self, a: Array, b: Array) -> Array:
        """Sum absolute differences of columns, (..., M, D) and (..., N, D) to (..., M, N), left to right."""
        total = self.xp.abs(a[..., :, None, 0] - b[..., None, :, 0])
        for i in range(1, int(a.shape[-1])):
            total = total + self.xp.abs(a[..., :, None, i] - b[..., None, :, i])
        return total

    def on_numpy(self, *arrays: Array) -> list[np.ndarray[Any, Any]] | None:
        """Return the arrays as NumPy's, of the same memory; None unless it sees the true values of all."""
        return None

    def host_threads(self) -> int:
        """Return how many of the host's threads the library's user wants to be used."""
        from assigncore.backend.threads import allowed_threads

        return allowed_threads()

    def device_of(self, x: Array) -> Any:
        """Return the device `x` lives on."""
        return array_api_compat.device(x)

    def pairs_per_tile(self, x: Array) -> int:
        """Return how many pairs of boxes are best handled at once, for arrays that live where `x` does."""
        return self.most_pairs(x)

    def most_pairs(self, x: Array) -> int:
        """Return how many pairs of boxes in the dtype of `x` the memory budget allows at once."""
        bits = int(self.xp.finfo(x.dtype).bits) if self.is_dtype(x.dtype, "real floating") else 64
        return max(1, 8 * current_memory_budget() // (LIVE_TEMPORARIES * bits))

    def host_indices(self, indices: np.ndarray[Any, Any], like: Array) -> Array:
        """Return indices the host has worked out as an array on the device of `like`."""
        return self.from_numpy(indices, self.device_of(like))

    def numbers(self, values: Sequence[float], like: Array, counts: Sequence[int] | None = None) -> Array:
        """Return each value as often as its count says, or once, (sum of counts,), in the dtype of `like`.

        They are made on the device of `like`: copying them there would wait for it.
        """
        made = {"dtype": like.dtype, "device": self.device_of(like)}
        each = zip(values, [1] * len(values) if counts is None else counts, strict=True)
        return self.xp.concat([self.xp.full((count,), value, **made) for value, count in each], axis=0)

    def running_sum(self, x: Array) -> Array:
        """Sum over the last axis, which is not empty, from the first to the last: (..., K) to (...)."""
        total = x[..., 0]
        for i in range(1, int(x.shape[-1])):
            total = total + x[..., i]
        return total

    def integer_dtype(self, x: Array) -> Any:
        """Return the default integer dtype of the library, on the device of `x`."""
        return self.xp.arange(0, device=self.device_of(x)).dtype

    def is_dtype(self, dtype: Any, kind: str) -> bool:
        """Whether `dtype` is of a kind the standard's ``isdtype`` knows, such as ``"real floating"``."""
        return bool(self.xp.isdtype(dtype, kind))

    def stop_gradient(self, x: Array) -> Array:
        """Return `x` cut off from automatic differentiation."""
        return x

    def max_and_argmax(self, x: Array, axis: int) -> tuple[Array, Array]:
        """Return the largest value along `axis`, and the lowest index that holds it."""
        return self.xp.max(x, axis=axis), self.xp.argmax(x, axis=axis)

    def first_largest(self, x: Array, numbers: Array) -> tuple[Array, Array]:
        """Return the largest along the last axis but one, and the number of the first row that holds it.

        Parameters
        ----------
        x : array (..., g, n)
            Values.
        numbers : array (..., g, 1) of integers
            Numbers of the rows, ascending, of which (..., n) are returned.
        """
        xp = self.xp
        best, place = self.max_and_argmax(x, axis=-2)
        lead = xp.broadcast_to(numbers[..., 0], (*x.shape[:-2], int(x.shape[-2])))
        return best, xp.take_along_axis(lead, place, axis=-1)

    def k_smallest(self, x: Array, k: int) -> tuple[Array, Array]:
        """Return the `k` smallest values along the last axis, ascending, and where they are.

        Equal values come by ascending index, and those of the lowest index are taken.
        """
        order = self.xp.argsort(x, axis=-1, stable=True)[..., :k]
        return self.xp.take_along_axis(x, order, axis=-1), order

    def best_overlaps(self, pairs: PairwiseOverlaps) -> BestOverlaps:
        """Find which ground truth each prior overlaps most, and which prior each ground truth does."""
        from assigncore.steps.overlaps import best_in_tiles

        return best_in_tiles(pairs)

    def best_of_priors(self, pairs: PairwiseOverlaps) -> Array:
        """Find the best overlap of each prior alone."""
        from assigncore.steps.overlaps import best_of_priors_in_tiles

        return best_of_priors_in_tiles(pairs)

    def k_most_overlapping(self, pairs: PairwiseOverlaps, k: int) -> Candidates:
        """Find the `k` priors that each ground truth overlaps most, of at least as many."""
        from assigncore.steps.overlaps import k_most_overlapping_in_tiles

        return k_most_overlapping_in_tiles(pairs, k)

    def overlaps_of_boxes(self, b1: Array, b2: Array, mode: Mode) -> Array:
        """Return the overlaps (..., M, N) of each of boxes (..., M, 4) with each of (..., N, 4)."""
        from assigncore.boxes.formulas import overlaps_of_checked

        return overlaps_of_checked(b1, b2, mode)

    def pairwise(self, gt_bboxes: Array, priors: Array, measure: PairFormula) -> Array:
        """Return a measure (..., G, N) of each of boxes (..., G, D) with each of (..., N, D)."""
        return measure.of_all_pairs(gt_bboxes, priors)

    def k_nearest(self, distances: Distances, k: int, levels: Sequence[slice]) -> Candidates:
        """Find the `k` priors nearest to each ground truth on each level, none of which is empty."""
        from assigncore.steps.candidates import k_nearest_in_tiles

        return k_nearest_in_tiles(distances, k, levels)

    def listed(self, relation: Relation) -> ListedPairs | None:
        """List the pairs that fulfil a relation, ground truth by ground truth, the priors of each ascending.

        None where no list can be had, as under a compiler or on a device that would have to be waited for, or
        where it would outgrow the memory budget: what is asked of all pairs then, a tile at a time, has the
        same answer.
        """
        return None

    def k_smallest_of_lists(self, values: Array, counts: Array, k: int) -> tuple[Array, Array]:
        """Return the `k` smallest values of each list, ascending, and where they are; the first of equals.

        Parameters
        ----------
        values : array (P,)
            The lists, one after the other; no value is NaN.
        counts : array (R,) of integers
            Lengths of the lists, which sum to P.
        k : int
            How many.

        Returns
        -------
        values : array (R, k)
            Infinite where a list has fewer.
        places : array (R, k) of integers
            Among all P; 0 where a list has fewer.
        """
        xp, device = self.xp, self.device_of(values)
        ends = xp.cumulative_sum(counts)
        rank = xp.arange(k, dtype=counts.dtype, device=device)[None, :]
        found = rank < counts[:, None]
        if int(values.shape[0]) == 0:
            return xp.full(found.shape, float("inf"), dtype=values.dtype, device=device), xp.where(
                found, 1, 0
            )
        by_value = xp.argsort(values, stable=True)
        of_list = xp.searchsorted(ends, xp.arange(int(values.shape[0]), device=device), side="right")
        order = xp.take(by_value, xp.argsort(xp.take(of_list, by_value, axis=0), stable=True), axis=0)
        at = xp.where(found, (ends - counts)[:, None] + rank, 0)
        places = xp.where(found, xp.reshape(xp.take(order, xp.reshape(at, (-1,)), axis=0), found.shape), 0)
        smallest = xp.reshape(xp.take(values, xp.reshape(places, (-1,)), axis=0), found.shape)
        return xp.where(found, smallest, float("inf")), places

    def bounded_rows(self, x: Array, limit: float) -> tuple[Array, Array]:
        """Return `x` (..., N, D) with zeros in rows that have NaN or a number beyond `limit`, and the others.

        Returns
        -------
        rows : array (..., N, D)
            `x` itself where nothing is changed and that suits the library.
        finite : array (..., N) of bool
            True where a row is what it was.
        """
        xp = self.xp
        planes = xp.stack([x[..., i] for i in range(x.shape[-1])], axis=0)
        within = xp.abs(planes) <= limit
        finite = within[0, ...]
        for i in range(1, int(within.shape[0])):
            finite = finite & within[i, ...]
        return xp.moveaxis(self.keep(finite, planes, 0.0), 0, -1), finite

    def scatter_max(self, index: Array, values: Array, size: int, *, fill: float = 0) -> Array:
        """Write `values` to the places `index`; where several meet, the largest stays.

        Parameters
        ----------
        index : array (B, K) of integers
            Places from 0 to ``size - 1``.
        values : array (B, K)
            What to write.
        size : int
            Number of places.
        fill : float, default 0
            What is everywhere before; it stays where nothing larger is written.

        Returns
        -------
        array (B, size)
            In the dtype of `values`.
        """
        xp = self.xp

        def largest(hits: Array) -> Array:
            # Where every entry is written to one place, what was there before is none of those compared.
            return self.at_least(xp.max(xp.where(hits, values[..., None], fill), axis=-2), fill)

        if 0 in (*values.shape, size):
            return xp.full((values.shape[0], size), fill, dtype=values.dtype, device=self.device_of(values))
        return self._scatter(index, size, largest)

    def count(self, index: Array, size: int) -> Array:
        """Count how often each of ``0 .. size - 1`` stands in a row of `index`; other values are passed over.

        Parameters
        ----------
        index : array (B, K) of integers
            What to count.
        size : int
            Number of places.

        Returns
        -------
        array (B, size) of integers
            The counts.
        """
        xp = self.xp
        return self._scatter(index, size, lambda hits: xp.sum(xp.astype(hits, index.dtype), axis=-2))

    def _scatter(self, index: Array, size: int, reduce: Callable[[Array], Array]) -> Array:
        """Reduce the comparison of `index` with every place, a block of places at a time."""
        xp = self.xp
        rows, entries = index.shape
        if entries == 0 or size == 0:
            return xp.zeros((rows, size), dtype=index.dtype, device=self.device_of(index))
        step = size
        if not self.is_traced(index):
            step = max(1, self.pairs_per_tile(index) // max(1, rows * entries))
        places = xp.arange(size, dtype=index.dtype, device=self.device_of(index))
        parts = [
            reduce(index[..., None] == places[start : min(start + step, size)])
            for start in range(0, size, step)
        ]
        return parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1)

    def linear_sum_assignment(self, cost: Array) -> Array:
        """Match rows with columns of each problem: as many pairs as there can be, at the least total cost.

        Parameters
        ----------
        cost : array (B, R, C)
            Costs. A pair that costs infinity is never matched.

        Returns
        -------
        array (B, R) of integers
            The column of each row, -1 where it has none.

        Raises
        ------
        ValueError
            If a cost is NaN or negative infinity; where a compiler traces the call, when it runs.

        Notes
        -----
        Solved on the host by SciPy: one transfer there for the whole batch, and one back.
        """
        from assigncore.backend.solver import solve_batch

        columns = self.from_numpy(solve_batch(self.to_numpy(cost)), self.device_of(cost))
        return self.xp.astype(columns, self.integer_dtype(cost))

    def iterate(
        self,
        step: Callable[..., tuple[Array, ...]],
        state: tuple[Array, ...],
        most: int,
        *,
        done: Callable[[tuple[Array, ...]], Array],
    ) -> tuple[Array, ...]:
        """Apply `step` to `state` up to `most` times.

        Parameters
        ----------
        step : callable
            Maps the arrays of a state to those of the next, of the same shapes and dtypes. It must leave
            alone what is done.
        state : tuple of arrays
            The first state.
        most : int
            How often at most.
        done : callable
            Maps a state to booleans. Where all are true, the rest may be spared: it is where
            the host can tell at no cost, and where a compiler has a loop that ends on the device.

        Returns
        -------
        tuple of arrays
            The last state.
        """
        for _ in range(most):
            if self.surely_all(done(state)):
                break
            state = step(*state)
        return state

    def compile(self, function: Function) -> Function:
        """Return `function` compiled by the library's own compiler.

        Raises
        ------
        NotImplementedError
            If the library has no compiler.
        """
        raise NotImplementedError(f"{self.xp.__name__} has no compiler")

    def from_numpy(self, x: np.ndarray[Any, Any], device: Any = None) -> Array:
        """Return an array of this library with the values and the dtype of `x`."""
        return self.xp.asarray(x, device=device)

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        """Return the values of `x` in a NumPy array, which may share its memory."""
        host = self.xp.__array_namespace_info__().default_device()
        here = array_api_compat.to_device(x, host)
        try:
            return np.from_dlpack(here)
        except BufferError:
            # A library on NumPy 2.0 exports no read-only array.
            return np.from_dlpack(self.xp.asarray(here, copy=True))

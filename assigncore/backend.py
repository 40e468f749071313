"""The few things an array library does in its own way, and the finding of the library an array belongs to.

Everything else in the core is written once, in the functions of the array API standard. What the standard
lacks, or what a library does much faster in its own way, is a primitive here: :class:`ArrayBackend` holds
the portable version, which is also its specification, and an adapter overrides what it can do better. An
adapter's version agrees with the portable one bit for bit.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points, metadata
from typing import Any, TypeVar

import array_api_compat
import numpy as np

from assigncore.memory import current_memory_budget

__all__ = ["ArrayBackend", "get_backend", "load_backend", "preload_backends"]

Array = Any
"""An array of any library that follows the array API standard."""

Function = TypeVar("Function", bound=Callable[..., Any])

ENTRY_POINT_GROUP = "assigncore.backends"

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

    def is_traced(self, x: Array) -> bool:
        """Whether a compiler is recording what happens to `x`, so that its values do not exist yet."""
        return False

    def reads_host(self, x: Array) -> bool:
        """Whether the host can read the values of `x` at no cost: no device to wait for, no compiler."""
        return False

    def surely_all(self, mask: Array) -> bool:
        """Whether the host can tell, at no cost, that `mask` is true everywhere."""
        return self.reads_host(mask) and bool(self.xp.all(mask))

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

    def k_smallest(self, x: Array, k: int) -> tuple[Array, Array]:
        """Return the `k` smallest values along the last axis, ascending, and where they are.

        Equal values come by ascending index, and those of the lowest index are taken.
        """
        order = self.xp.argsort(x, axis=-1, stable=True)[..., :k]
        return self.xp.take_along_axis(x, order, axis=-1), order

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
            return xp.max(xp.where(hits, values[..., None], fill), axis=-2)

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
        return np.from_dlpack(array_api_compat.to_device(x, host))


_by_namespace: dict[str, ArrayBackend] = {}
_by_type: dict[type, ArrayBackend] = {}
_entry_points: dict[str, EntryPoint] = {}


def get_backend(x: Array, name: str = "x") -> ArrayBackend:
    """Find the backend of an array, importing the library's adapter the first time.

    Parameters
    ----------
    x : array
        An array of any library that follows the array API standard.
    name : str, default "x"
        What to call the array in an error.

    Returns
    -------
    ArrayBackend
        The adapter registered for the library in the entry-point group ``assigncore.backends``, or the
        portable primitives over the array's own namespace.

    Raises
    ------
    TypeError
        If `x` is not an array.

    Examples
    --------
    >>> import numpy as np
    >>> get_backend(np.zeros(3)).name
    'numpy'
    """
    backend = _by_type.get(type(x))
    if backend is not None:
        return backend
    if not array_api_compat.is_array_api_obj(x):
        raise TypeError(f"{name}: expected an array of an array API library, got {type(x).__name__}")
    return _backend_of_namespace(array_api_compat.array_namespace(x))


def load_backend(name: str) -> ArrayBackend:
    """Find a backend by the name of its library, importing the library.

    Parameters
    ----------
    name : str
        Such as ``"numpy"``, ``"torch"``, ``"jax"``, ``"cupy"``, the name of any registered adapter, or the
        importable name of a namespace that follows the standard, such as ``"array_api_strict"``.

    Raises
    ------
    ModuleNotFoundError
        If the library is not installed; the message says what to install.

    Examples
    --------
    >>> load_backend("numpy")
    NumpyBackend(array_api_compat.numpy)
    """
    backend = _by_namespace.get(name)
    if backend is not None:
        return backend
    try:
        if name in _registered():
            return _load_adapter(name)
        return _backend_of_namespace(importlib.import_module(name))
    except ModuleNotFoundError as error:
        extras = metadata("assigncore").get_all("Provides-Extra") or []
        fitting = [f'pip install "assigncore[{extra}]"' for extra in extras if extra.startswith(name)]
        hint = " or ".join(fitting) or f"known are {', '.join(sorted(_registered()))}"
        raise ModuleNotFoundError(f"backend {name!r}: no module named {error.name!r} ({hint})") from error


def preload_backends() -> None:
    """Load the adapters of the libraries the program has imported already.

    Assigners call this when they are built, since a compiler cannot follow an import: an assigner whose very
    first call is compiled finds its adapter in place.
    """
    for name in _registered():
        if name in sys.modules and name not in _by_namespace:
            _load_adapter(name)


def _registered() -> dict[str, EntryPoint]:
    if not _entry_points:
        _entry_points.update({point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)})
    return _entry_points


def _backend_of_namespace(xp: Any) -> ArrayBackend:
    name = xp.__name__.removeprefix("array_api_compat.").partition(".")[0]
    backend = _by_namespace.get(name)
    if backend is None and name in _registered():
        backend = _load_adapter(name)
    if backend is None:
        backend = _by_namespace[name] = ArrayBackend(xp)
    return backend


def _load_adapter(name: str) -> ArrayBackend:
    backend: ArrayBackend = _registered()[name].load()()
    _by_namespace[name] = backend
    _by_type.update(dict.fromkeys(backend.array_types, backend))
    return backend

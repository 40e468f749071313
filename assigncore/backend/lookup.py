"""The finding of the library an array belongs to: its backend, whose primitives an adapter may override."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import EntryPoint, entry_points, metadata
from typing import Any

import array_api_compat

from assigncore.backend.portable import Array, ArrayBackend, Function

__all__ = ["Array", "ArrayBackend", "Function", "get_backend", "load_backend", "preload_backends"]

ENTRY_POINT_GROUP = "assigncore.backends"

_by_namespace: dict[str, ArrayBackend] = {}
_by_type: dict[type, ArrayBackend] = {}
_entry_points: dict[str, EntryPoint] = {}

# Of libraries without an adapter. A table of its own: PyTorch's compiler compiles anew when `_by_type` grows.
_portable_by_type: dict[type, ArrayBackend] = {}


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
    backend = _by_type.get(type(x)) or _portable_by_type.get(type(x))
    if backend is not None:
        return backend
    if not array_api_compat.is_array_api_obj(x):
        raise TypeError(f"{name}: expected an array of an array API library, got {type(x).__name__}")
    backend = _backend_of_namespace(array_api_compat.array_namespace(x))
    if type(backend) is ArrayBackend:
        _portable_by_type[type(x)] = backend
    return backend


def load_backend(name: str) -> ArrayBackend:
    """Find a backend by the name of its library, importing the library.

    Parameters
    ----------
    name : str
        Such as ``"numpy"``, ``"torch"``, ``"jax"``, ``"cupy"``, the name of any registered adapter, or the
        importable name of a namespace that follows the standard, such as ``"array_api_strict"``.

    Raises
    ------
    TypeError
        If `name` is no text.
    ModuleNotFoundError
        If the library is not installed; the message says what to install.

    Examples
    --------
    >>> load_backend("numpy")
    NumpyBackend(array_api_compat.numpy)
    """
    if not isinstance(name, str):
        raise TypeError(f"name: expected the name of a library, got {name!r}")
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

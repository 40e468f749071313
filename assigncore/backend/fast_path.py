"""The entry of ``assign``: NumPy computes what lies in the host's memory, a batch on several cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from functools import partial, wraps
from inspect import signature
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, TypeVar, cast

from assigncore.backend.base import ArrayBackend
from assigncore.backend.lookup import get_backend
from assigncore.backend.threads import over_images
from assigncore.result import AssignResult

__all__ = ["numpy_fast_path", "numpy_is_wanted", "without_numpy_fast_path"]

Assign = TypeVar("Assign", bound=Callable[..., AssignResult])

_wanted = ContextVar("whether NumPy may compute for other libraries", default=True)


@contextmanager
def without_numpy_fast_path() -> Iterator[None]:
    """Let every library compute every scene itself, until the context ends."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)


def numpy_is_wanted() -> bool:
    """Tell whether NumPy may compute for other libraries."""
    return _wanted.get()


def numpy_fast_path(assign: Assign) -> Assign:
    """Let `assign` compute with NumPy, if the library's arrays lie where NumPy can read them.

    It is the same code on the same numbers, so that only the time it takes depends on it; so do the threads
    among which the images of a batch are shared. Where an argument does not belong with the others, `assign`
    is called with all as they are, and says so.
    """
    parameters = signature(assign).parameters.values()
    names = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD][1:]

    @wraps(assign)
    def assign_by_numpy(self: Any, *arguments: Any, **named: Any) -> AssignResult:
        given = {**dict(zip(names, arguments, strict=False)), **named}
        backend = _library_on_host(given) if len(given) == len(arguments) + len(named) else None
        if backend is None or not _is_portable(self):
            return assign(self, *arguments, **named)
        if backend.name == "numpy":
            return over_images(partial(assign, self), given, backend)
        of_host = {name: backend.to_numpy(x) if _is_array(x) else x for name, x in given.items()}
        arrays, static = over_images(partial(assign, self), of_host, backend).tree_flatten()
        return AssignResult.tree_unflatten(
            static, [None if x is None else backend.from_numpy(x) for x in arrays]
        )

    return cast("Assign", assign_by_numpy)


def _is_array(x: Any) -> bool:
    # Of numbers, which may be lengths that a compiler does not know, nothing is asked; the shape of some
    # tensors, such as nested ones, cannot be read.
    return not isinstance(x, (int, float)) and hasattr(type(x), "shape") and hasattr(x, "dtype")


def _library_on_host(given: Mapping[str, Any]) -> ArrayBackend | None:
    """Return the one library of all arrays, if NumPy can work on their memory."""
    arrays = [x for x in given.values() if _is_array(x)]
    if not arrays:
        return None
    try:
        backend = get_backend(arrays[0])
    except TypeError:
        # What is no array after all is refused by the assigner, which knows its name.
        return None
    ours = all(isinstance(x, backend.array_types) and backend.on_numpy(x) is not None for x in arrays)
    return backend if ours and numpy_is_wanted() else None


def _is_portable(assigner: Any) -> bool:
    """Tell whether all that computes is of this package: others may count on the library they were given."""
    values = [getattr(assigner, knob.name) for knob in fields(assigner)]
    parts = [part for value in values for part in (value if isinstance(value, tuple | list) else (value,))]
    return all(_is_ours(part) for part in (assigner, *parts))


def _is_ours(part: Any) -> bool:
    """Tell whether a knob is a value of Python's, or something that this package defines."""
    if isinstance(part, FunctionType | BuiltinFunctionType | MethodType | partial):
        return False
    return type(part).__module__.partition(".")[0] in ("builtins", "assigncore")

"""The entry of ``assign``: NumPy computes what lies in the host's memory, a batch on several cores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial, wraps
from inspect import signature
from itertools import chain
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, TypeVar, cast

from assigncore.backend.lookup import get_backend
from assigncore.backend.portable import ArrayBackend
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
        arrays = {name: x for name, x in given.items() if _is_array(x)}
        backend = _common_library(arrays.values()) if len(given) == len(arguments) + len(named) else None
        views = None if backend is None else backend.on_numpy(*arrays.values())
        # What stands behind it a compiler cannot trace, and need not.
        if backend is None or views is None or not numpy_is_wanted() or not _is_portable(self):
            return assign(self, *arguments, **named)
        of_host = {**given, **dict(zip(arrays, views, strict=True))}
        result = over_images(partial(assign, self), of_host, backend)
        if backend.name == "numpy":
            return result
        outputs, static = result.tree_flatten()
        return AssignResult.tree_unflatten(
            static, [None if x is None else backend.from_numpy(x) for x in outputs]
        )

    return cast("Assign", assign_by_numpy)


def _is_array(x: Any) -> bool:
    # Of numbers, which may be lengths that a compiler does not know, nothing is asked; the shape of some
    # tensors, such as nested ones, cannot be read.
    return not isinstance(x, (int, float)) and hasattr(type(x), "shape") and hasattr(x, "dtype")


def _common_library(arrays: Iterable[Any]) -> ArrayBackend | None:
    """Return the library that all arrays are of, None where there is none."""
    backend = None
    for x in arrays:
        if backend is None:
            try:
                backend = get_backend(x)
            except TypeError:
                # What is no array after all is refused by the assigner, which knows its name.
                return None
        if not isinstance(x, backend.array_types):
            return None
    return backend


def _is_portable(assigner: Any) -> bool:
    """Tell whether all that computes is of this package: others may count on the library they were given."""
    knobs = vars(assigner).values()
    lists = (knob for knob in knobs if isinstance(knob, tuple | list))
    return all(map(_is_ours, map(type, chain((assigner,), knobs, *lists))))


@cache
def _is_ours(kind: type) -> bool:
    """Tell whether a type is that of a value of Python's, or one that this package defines."""
    if issubclass(kind, FunctionType | BuiltinFunctionType | MethodType | partial):
        return False
    return kind.__module__.partition(".")[0] in ("builtins", "assigncore")

"""Small scenes in the host's memory, computed by NumPy where its calls cost less than the library's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from functools import partial, wraps
from inspect import signature
from math import prod
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, TypeVar, cast

from assigncore.backend import Array, ArrayBackend, get_backend
from assigncore.result import AssignResult

__all__ = ["on_host_twin", "without_host_twin"]

Assign = TypeVar("Assign", bound=Callable[..., AssignResult])

SMALL = 2**22
"""Pairs up to which a scene is small: beyond, an array library's threads outweigh what its calls cost."""

FEW = 2**20
"""Numbers that a small scene's arrays have at most: predictions of many classes or pixels are work too."""

_limit = ContextVar("pairs up to which a scene is small", default=SMALL)

_PRIORS = {"priors": 2, "pred_logits": 2, "pred_bboxes": 2, "pred_masks": 3}
_GTS = {"gt_bboxes": 2, "gt_labels": 1, "gt_masks": 3}
"""Arguments that tell how many there are, and how many dimensions one image has."""


@contextmanager
def without_host_twin() -> Iterator[None]:
    """Let every library compute every scene itself, until the context ends."""
    token = _limit.set(-1)
    try:
        yield
    finally:
        _limit.reset(token)


def on_host_twin(assign: Assign) -> Assign:
    """Let `assign` compute a small scene with NumPy, if the library's arrays lie where NumPy can read them.

    It is the same code on the same numbers, so that only the time it takes depends on it. Where an argument
    does not belong with the others, `assign` is called with all as they are, and says so.
    """
    parameters = signature(assign).parameters.values()
    names = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD][1:]

    @wraps(assign)
    def assign_on_twin(self: Any, *arguments: Any, **named: Any) -> AssignResult:
        given = {**dict(zip(names, arguments, strict=False)), **named}
        is_sound = len(given) == len(arguments) + len(named)
        backend = _library_with_twin(given) if is_sound else None
        if backend is None or _num_pairs(given) > _limit.get() or not _is_portable(self):
            return assign(self, *arguments, **named)
        of_host = {name: backend.to_numpy(x) if _is_array(x) else x for name, x in given.items()}
        arrays, static = assign(self, **of_host).tree_flatten()
        return AssignResult.tree_unflatten(
            static, [None if x is None else backend.from_numpy(x) for x in arrays]
        )

    return cast("Assign", assign_on_twin)


def _is_array(x: Any) -> bool:
    # Of numbers, which may be lengths that a compiler does not know, nothing is asked; the shape of some
    # tensors, such as nested ones, cannot be read.
    return not isinstance(x, (int, float)) and hasattr(type(x), "shape") and hasattr(x, "dtype")


def _library_with_twin(given: Mapping[str, Any]) -> ArrayBackend | None:
    """Return the one library of all arrays, if they are few numbers in memory that NumPy can work on."""
    arrays = [x for x in given.values() if _is_array(x)]
    if not arrays:
        return None
    try:
        backend = get_backend(arrays[0])
    except TypeError:
        # What is no array after all is refused by the assigner, which knows its name.
        return None
    ours = all(isinstance(x, backend.array_types) and backend.host_twin(x) is not None for x in arrays)
    return backend if ours and sum(prod(x.shape) for x in arrays) <= FEW else None


def _num_pairs(given: Mapping[str, Any]) -> float:
    """Return how many pairs of priors and ground truths there are; infinite where shapes do not tell."""
    counts: list[int] = []
    images = 1
    for kind in (_PRIORS, _GTS):
        for name, own in kind.items():
            x: Array = given.get(name)
            if _is_array(x) and x.ndim >= own:
                images = max(images, prod(x.shape[: x.ndim - own]))
                counts.append(int(x.shape[x.ndim - own]))
                break
    return images * counts[0] * counts[1] if len(counts) == 2 else float("inf")


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

"""Backends of other people: named by ``module:factory``, or installed with an entry point."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from assigncore.backend import ArrayBackend
from assigncore.backend.lookup import ENTRY_POINT_GROUP
from assigncore.conformance.targets.target import Target

__all__ = ["describe_point", "foreign_points", "target_of_factory", "target_of_namespace", "target_of_points"]

_OWN = "assigncore"
"""The distribution whose entry points are the adapters of the suite's own backends."""


def foreign_points() -> dict[str, tuple[EntryPoint, ...]]:
    """Find the installed entry points of other distributions, by name.

    Returns
    -------
    dict of str to tuple of EntryPoint
        Those of group ``assigncore.backends``. A name has several where distributions clash.
    """
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.dist is None or point.dist.name != _OWN:
            found[point.name] = (*found.get(point.name, ()), point)
    return found


def describe_point(point: EntryPoint) -> str:
    """Say what an entry point names and who installed it."""
    source = "" if point.dist is None else f" of {point.dist.name} {point.dist.version}"
    return f"entry point {point.value}{source}"


def target_of_points(name: str, points: Sequence[EntryPoint]) -> Target:
    """Make the target that an installed entry point stands for.

    Parameters
    ----------
    name : str
        The name by which it was asked for.
    points : sequence of EntryPoint
        All entry points of that name.

    Returns
    -------
    Target
        What the entry point's factory returns. Where it is an adapter, a subclass of `ArrayBackend` called as
        its library, the plain target of that library.

    Raises
    ------
    ValueError
        If there are several, the entry point is broken, or what it returns is no target.
    """
    if len(points) > 1:
        raise ValueError(f"backend {name!r} is both {' and '.join(map(describe_point, points))}")
    (point,) = points
    what = f"backend {name!r} ({describe_point(point)})"
    made = _call(_load(point, what), what)
    if isinstance(made, ArrayBackend):
        return Target(name, name)
    target = _checked(made, what)
    if name == target.library.partition(".")[0]:
        # The core loads what has its library's name as soon as it meets an array, and calls it an adapter.
        raise ValueError(
            f"{what}: it has the name of its library, under which assigncore looks for an adapter; "
            f"expected another, such as '{name}-target'"
        )
    return target


def target_of_namespace(name: str) -> Target | None:
    """Make the plain target of a namespace of the array API standard: the portable primitives compute there.

    Parameters
    ----------
    name : str
        What it is imported by.

    Returns
    -------
    Target or None
        None where there is no such module, or it has no ``__array_namespace_info__``.

    Examples
    --------
    >>> target_of_namespace("array_api_strict").library
    'array_api_strict'
    """
    try:
        module = importlib.import_module(name)
    except (ImportError, ValueError):
        return None
    return Target(name, name) if hasattr(module, "__array_namespace_info__") else None


def target_of_factory(name: str) -> Target:
    """Make the target of a factory.

    Parameters
    ----------
    name : str
        ``"module:factory"``.

    Returns
    -------
    Target

    Raises
    ------
    ValueError
        If there is no such module or factory, it fails, or what it returns is no target.
    """
    point = EntryPoint(name, name, ENTRY_POINT_GROUP)
    what = f"backend {name!r}"
    if point.pattern.match(name) is None or not point.attr:
        raise ValueError(f"{what}: expected MODULE:FACTORY")
    return _checked(_call(_load(point, what), what), what)


def _load(point: EntryPoint, what: str) -> Callable[[], Any]:
    try:
        loaded = point.load()
    except AttributeError as error:
        raise ValueError(f"{what}: {error}") from error
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
        raise ValueError(f"{what}: module {point.module!r} cannot be imported: {fault}") from error
    if not callable(loaded):
        raise ValueError(f"{what}: expected a factory that returns a Target, got {type(loaded).__name__}")
    return loaded  # type: ignore[no-any-return]


def _call(factory: Callable[[], Any], what: str) -> Any:
    try:
        return factory()
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
        raise ValueError(f"{what}: the factory, called without arguments, raises {fault}") from error


def _checked(made: Any, what: str) -> Target:
    if not isinstance(made, Target):
        raise ValueError(f"{what}: expected a Target of the factory, got {type(made).__name__}")
    return made

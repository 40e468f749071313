"""Building assigners, match costs and overlap calculators from config dicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, TypeVar

__all__ = [
    "ASSIGNERS",
    "COSTS",
    "OVERLAP_CALCULATORS",
    "Registry",
    "build_assigner",
    "build_cost",
    "build_overlap_calculator",
]

T = TypeVar("T")


class Registry:
    """Classes by the name a config's ``type`` calls them.

    Parameters
    ----------
    kind : str
        What the classes are, for error messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._classes: dict[str, type[Any]] = {}

    def register(self, cls: type[T]) -> type[T]:
        """Add a dataclass under its own name; usable as a decorator.

        Raises
        ------
        ValueError
            If another class has the name.
        """
        if self._classes.get(cls.__name__, cls) is not cls:
            raise ValueError(f"{self.kind} {cls.__name__!r} is registered already")
        self._classes[cls.__name__] = cls
        return cls

    def names(self) -> tuple[str, ...]:
        """Return the registered names, sorted."""
        return tuple(sorted(self._classes))

    def get(self, name: str) -> type[Any]:
        """Return the class called `name`.

        Raises
        ------
        ValueError
            If there is none; the message lists the nearest names.
        """
        if name not in self._classes:
            raise ValueError(f"unknown {self.kind} {name!r}; {_suggestion(name, self.names())}")
        return self._classes[name]

    def build(self, config: Mapping[str, Any]) -> Any:
        """Build from a mapping whose ``type`` names the class and whose other items are its knobs.

        Raises
        ------
        TypeError
            If `config` is no mapping, has no ``type``, has a knob the class does not know, or lacks one.
        ValueError
            If no class has the name, or a knob's value is out of range.
        """
        if not isinstance(config, Mapping):
            raise TypeError(f"expected a config mapping for the {self.kind}, got {type(config).__name__}")
        if "type" not in config:
            raise TypeError(
                f"the config of the {self.kind} has no 'type'; known are {', '.join(self.names())}"
            )
        name = config["type"]
        if not isinstance(name, str):
            raise TypeError(f"'type' of the {self.kind}: expected a name, got {type(name).__name__}")
        cls = self.get(name)
        knobs = {key: value for key, value in config.items() if key != "type"}
        known = [field.name for field in fields(cls) if field.init]
        for knob in knobs:
            if knob not in known:
                raise TypeError(f"{name} has no knob {knob!r}; {_suggestion(knob, known)}")
        return cls(**knobs)


def _suggestion(name: str, known: list[str] | tuple[str, ...]) -> str:
    near = get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"


ASSIGNERS = Registry("assigner")
COSTS = Registry("match cost")
OVERLAP_CALCULATORS = Registry("overlap calculator")


def build_assigner(config: Mapping[str, Any]) -> Any:
    """Build an assigner from a config dict.

    Parameters
    ----------
    config : mapping
        ``type`` names the assigner, every other item is one of its knobs; a nested ``iou_calculator`` may be
        a config dict too.

    Returns
    -------
    object
        A frozen dataclass with a method ``assign``.

    Raises
    ------
    TypeError
        If `config` is no mapping, has no ``type``, or names a knob the assigner does not have.
    ValueError
        If the assigner is unknown, or a knob's value is out of range.

    Examples
    --------
    >>> build_assigner({"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4}).min_pos_iou
    0.0
    """
    return ASSIGNERS.build(config)


def build_overlap_calculator(config: Mapping[str, Any] | Callable[..., Any]) -> Any:
    """Build an overlap calculator from a config dict; a calculator that is built already passes through.

    Parameters
    ----------
    config : mapping or callable
        ``type`` names the calculator, every other item is one of its knobs. A callable is returned as it is.

    Returns
    -------
    callable
        As :class:`assigncore.overlaps.OverlapCalculator` says.

    Raises
    ------
    TypeError
        If `config` is neither a config mapping nor callable.
    ValueError
        If the calculator is unknown.
    """
    if callable(config) and not isinstance(config, Mapping):
        return config
    return OVERLAP_CALCULATORS.build(config)


def build_cost(config: Mapping[str, Any] | Callable[..., Any]) -> Any:
    """Build a match cost from a config dict; a cost that is built already passes through.

    Parameters
    ----------
    config : mapping or callable
        ``type`` names the cost, every other item is one of its knobs. A callable is returned as it is.

    Returns
    -------
    object
        A frozen dataclass that maps arrays to the costs (..., N, G): see
        :class:`assigncore.costs.MatchCost`.

    Raises
    ------
    TypeError
        If `config` is neither a config mapping nor callable.
    ValueError
        If the cost is unknown.

    Examples
    --------
    >>> import assigncore.costs
    >>> build_cost({"type": "BBoxL1Cost", "weight": 5.0})
    BBoxL1Cost(box_format='xyxy', weight=5.0)
    """
    if callable(config) and not isinstance(config, Mapping):
        return config
    return COSTS.build(config)

"""Building assigners, match costs and overlap calculators from config dicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from difflib import get_close_matches
from math import isinf
from typing import Any, ClassVar, TypeVar

from assigncore.backend import preload_backends
from assigncore.checks import check_knob, check_switches, plain_knobs

__all__ = [
    "ASSIGNERS",
    "COSTS",
    "OVERLAP_CALCULATORS",
    "Configured",
    "Registry",
    "build_assigner",
    "build_cost",
    "build_overlap_calculator",
    "suggestion",
]

MAX_KNOWN = 40
"""Names that are listed where none is spelled alike."""

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

    def registered(self, name: str) -> type[Any] | None:
        """Return the class called `name`, None where there is none."""
        return self._classes.get(name)

    def get(self, name: str) -> type[Any]:
        """Return the class called `name`.

        Raises
        ------
        ValueError
            If there is none; the message lists the nearest names.
        """
        if name not in self._classes:
            raise ValueError(f"unknown {self.kind} {name!r}; {suggestion(name, self.names())}")
        return self._classes[name]

    def build(self, config: Mapping[str, Any], knob: str = "") -> Any:
        """Build from a mapping whose ``type`` names the class and whose other items are its knobs.

        Parameters
        ----------
        config : mapping
            The class's name and its knobs.
        knob : str, optional
            Of which knob of another object this is the value; errors begin with it.

        Raises
        ------
        TypeError
            If `config` is no mapping, has no ``type``, has a knob the class does not know, or lacks one.
        ValueError
            If no class has the name, or a knob's value is out of range.
        """
        try:
            cls, knobs = self._read(config)
        except (TypeError, ValueError) as error:
            if not knob:
                raise
            raise type(error)(f"{knob}: {error}") from None
        try:
            return cls(**knobs)
        except (TypeError, ValueError) as error:
            if not knob:
                raise
            raise type(error)(f"{knob}.{error}") from error

    def _read(self, config: Any) -> tuple[type[Any], dict[str, Any]]:
        """Return the class a config names, and its knobs."""
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
        known = {field.name: field for field in fields(cls) if field.init}
        for knob in knobs:
            if knob not in known:
                raise TypeError(f"{name} has no knob {knob!r}; {suggestion(str(knob), list(known))}")
        for knob, field in known.items():
            if knob not in knobs and field.default is MISSING and field.default_factory is MISSING:
                raise TypeError(f"{name} lacks its knob {knob!r}, which has no default")
        return cls, knobs


def suggestion(name: str, known: Sequence[str]) -> str:
    """Say which names are spelled nearly alike, whatever the case; where none is, which there are.

    Examples
    --------
    >>> suggestion("ATTS", ["rpn", "atss"]), suggestion("x", ["rpn", "atss"])
    ('did you mean atss?', 'known are rpn, atss')
    """
    by_case = {one.casefold(): one for one in reversed(known)}
    near = [by_case[one] for one in get_close_matches(name.casefold(), by_case, n=3)]
    if near:
        return f"did you mean {' or '.join(near)}?"
    more = "" if len(known) <= MAX_KNOWN else f" and {len(known) - MAX_KNOWN:,} more"
    return f"known are {', '.join(known[:MAX_KNOWN])}{more}"


ASSIGNERS = Registry("assigner")
"""The assigners by name, which :func:`build_assigner` builds from a config."""

COSTS = Registry("match cost")
"""The match costs by name."""

OVERLAP_CALCULATORS = Registry("overlap calculator")
"""What a knob ``iou_calculator`` may name."""


class Configured:
    """What frozen dataclasses of knobs have in common: their checks, and the way back to a config.

    A knob is kept as Python's own number, switch, text or tuple, whatever kind of it was given, so that equal
    knobs make equal objects; an ``iou_calculator`` is built from its config.

    Attributes
    ----------
    decides_by_classes : bool
        Whether ``gt_labels`` may decide anything; else they only name the class of what is assigned, and
        whoever does not read that may leave them out.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    decides_by_classes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        plain_knobs(self)
        if "iou_calculator" in self.__dataclass_fields__:
            calculator = build_overlap_calculator(vars(self)["iou_calculator"], "iou_calculator")
            object.__setattr__(self, "iou_calculator", calculator)
        check_switches(self)
        if "min_positives" in self.__dataclass_fields__:
            check_knob("min_positives", vars(self)["min_positives"], at_least=0, integer=True)
        self._check_knobs()
        preload_backends()

    def _check_knobs(self) -> None:
        """Raise where a knob has a wrong value; switches are checked by their defaults."""

    def to_config(self) -> dict[str, Any]:
        """Return the config that builds an equal object.

        Returns
        -------
        dict
            Of what JSON knows: ``type`` and every knob, with nested configs and lists; an infinite limit is
            None.

        Raises
        ------
        TypeError
            If the class is not the registered one of its name, or a knob is an object without a config of its
            own, as a function is.

        Examples
        --------
        >>> from assigncore import PointAssigner
        >>> PointAssigner(scale=4).to_config()
        {'type': 'PointAssigner', 'scale': 4, 'pos_num': 3, 'min_positives': 0}
        """
        name = type(self).__name__
        if not any(type(self) is known.registered(name) for known in (ASSIGNERS, COSTS, OVERLAP_CALCULATORS)):
            raise TypeError(f"{name} is not registered: no config can name it")
        knobs = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        return {"type": name, **{knob: _as_config(knob, value) for knob, value in knobs.items()}}


def _as_config(knob: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return None if isinf(value) else value
    if isinstance(value, tuple):
        return [_as_config(f"{knob}[{place}]", item) for place, item in enumerate(value)]
    if isinstance(value, Configured):
        return value.to_config()
    raise TypeError(f"{knob}: expected what a config can hold, got {value!r}")


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


def build_overlap_calculator(config: Mapping[str, Any] | Callable[..., Any], knob: str = "") -> Any:
    """Build an overlap calculator from a config dict; a calculator that is built already passes through.

    Parameters
    ----------
    config : mapping or callable
        ``type`` names the calculator, every other item is one of its knobs. A callable is returned as it is.
    knob : str, optional
        The knob of another object that it is for; errors begin with it.

    Returns
    -------
    callable
        As :class:`assigncore.boxes.calculators.OverlapCalculator` says.

    Raises
    ------
    TypeError
        If `config` is neither a config mapping nor callable.
    ValueError
        If the calculator is unknown.
    """
    if callable(config) and not isinstance(config, Mapping):
        return config
    return OVERLAP_CALCULATORS.build(config, knob)


def build_cost(config: Mapping[str, Any] | Callable[..., Any], knob: str = "") -> Any:
    """Build a match cost from a config dict; a cost that is built already passes through.

    Parameters
    ----------
    config : mapping or callable
        ``type`` names the cost, every other item is one of its knobs. A callable is returned as it is.
    knob : str, optional
        The knob of another object that it is for; errors begin with it.

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
    return COSTS.build(config, knob)

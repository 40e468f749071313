"""Putting drop-ins where a framework keeps its own, and saying where that was and where it could not be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Switched", "classes_of", "replace_attribute", "replace_name"]


@dataclass(frozen=True)
class Switched:
    """What of a framework was replaced.

    Parameters
    ----------
    replaced : tuple of str
        The places that have a drop-in now.
    left : mapping of str to str
        The places that keep what they had, each with the reason.
    """

    replaced: tuple[str, ...]
    left: Mapping[str, str] = field(default_factory=dict)
    _back: tuple[Callable[[], None], ...] = field(default=(), repr=False, compare=False)

    def undo(self) -> None:
        """Put back what was there."""
        for put_back in reversed(self._back):
            put_back()

    def __str__(self) -> str:
        """Give a line for each place."""
        lines = [f"replaced: {place}" for place in self.replaced]
        lines += [f"left: {place}: {why}" for place, why in self.left.items()]
        return "\n".join(lines) or "nothing replaced"


def replace_attribute(owner: Any, name: str, new: Any) -> Callable[[], None]:
    """Set an attribute, and return what sets it back."""
    old = getattr(owner, name)
    setattr(owner, name, new)
    return lambda: setattr(owner, name, old)


def classes_of(package: str, name: str) -> list[type]:
    """List the classes of a name that the imported modules of a package define."""
    found = []
    for title, module in list(sys.modules.items()):
        cls = vars(module).get(name) if title.startswith(f"{package}.") else None
        if isinstance(cls, type) and cls.__module__ == title:
            found.append(cls)
    return found


def replace_name(package: str, old: Any, new: Any) -> dict[str, Callable[[], None]]:
    """Let every module of a package that has a name for an object have it for another.

    A module that has imported a class by name keeps it whatever the module it comes from says later.

    Parameters
    ----------
    package : str
        The package; its modules are looked at as far as they are imported.
    old, new : object
        What is replaced, known by identity, and by what.

    Returns
    -------
    dict of str to callable
        The places, ``"module.name"``, each with what puts it back.
    """
    places = {}
    for title, module in list(sys.modules.items()):
        if title != package and not title.startswith(f"{package}."):
            continue
        # What a module makes when it is asked for is not asked for.
        for name in [name for name, value in vars(module).items() if value is old]:
            places[f"{title}.{name}"] = replace_attribute(module, name, new)
    return places

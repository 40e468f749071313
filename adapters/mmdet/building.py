"""Building from nested config mappings, and putting classes into a framework's registry."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["build_from", "register_classes"]

_registries: list[Any] = []
"""Where classes were put: what a config names that is not ours is built there."""


def build_from(classes: Mapping[str, type[Any]], config: Any, kind: str) -> Any:
    """Build an object from a config mapping; anything that is no mapping passes through.

    Parameters
    ----------
    classes : mapping of str to type
        What the config may name, with or without a scope: ``BboxOverlaps2D``, ``mmdet.BboxOverlaps2D``.
    config : mapping
        ``type`` is a name, or a class itself; the other items are its arguments.
    kind : str
        What is built, for the error.

    Raises
    ------
    TypeError
        If `config` has no ``type``, or an argument is unknown.
    KeyError
        If the name is unknown here and in every registry that :func:`register_classes` was given.
    """
    if not isinstance(config, Mapping):
        return config
    arguments = {key: config[key] for key in config}
    if "type" not in arguments:
        raise TypeError(f"{kind}: expected a config with 'type', got {dict(config)!r}")
    name = arguments.pop("type")
    if not isinstance(name, str):
        return classes.get(getattr(name, "__name__", ""), name)(**arguments)
    cls = classes.get(name.rpartition(".")[2])
    if cls is not None:
        return cls(**arguments)
    for registry in _registries:
        if registry.get(name) is not None:
            return registry.build(config)
    raise KeyError(f"{kind}: {name!r} is unknown; known are {', '.join(sorted(classes))}")


def register_classes(registry: Any, classes: Iterable[type[Any]], *, force: bool) -> None:
    """Put classes into a registry under their own names.

    Parameters
    ----------
    registry : object
        Has ``register_module(name=..., module=..., force=...)``, as registries of MMEngine and MMCV do.
    classes : iterable of type
        The classes.
    force : bool
        Whether to replace what has a name already; otherwise the registry raises its error.

    Notes
    -----
    An abstract class that is replaced takes its successor for a subclass, since some heads ask by
    ``isinstance`` which assigner they have.
    """
    for cls in classes:
        replaced = getattr(registry, "module_dict", {}).get(cls.__name__)
        registry.register_module(name=cls.__name__, module=cls, force=force)
        if isinstance(replaced, ABCMeta):
            replaced.register(cls)
    if not any(registry is known for known in _registries):
        _registries.append(registry)

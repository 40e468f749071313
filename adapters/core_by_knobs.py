"""Deciding by knobs as they are at each call: the frameworks' own classes read them then."""

from __future__ import annotations

from typing import Any

__all__ = ["CoreByKnobs"]


class CoreByKnobs:
    """A drop-in whose knobs can be changed after construction, as Dynamic R-CNN changes thresholds.

    The core's assigner is built once for the same knobs, which lets a compiler follow the calls.
    """

    _cores: dict[tuple[Any, ...], Any]

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        # Whether a module trains is no knob.
        if not name.startswith("_") and name != "training":
            super().__setattr__("_cores", {})

    def core(self, **options: Any) -> Any:
        """Return the core's assigner of these knobs, and of further `options`."""
        key = tuple(options.items())
        found = self._cores.get(key)
        if found is None:
            found = self._cores[key] = self.build(**options)
        return found

    def build(self, **options: Any) -> Any:
        """Build the core's assigner."""
        raise NotImplementedError(type(self).__name__)

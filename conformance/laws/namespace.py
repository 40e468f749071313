"""Law 7: results live where the inputs live; mixed libraries and devices are refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import array_api_compat
import numpy as np

from assigncore.conformance.laws.bench import Bench, demand
from assigncore.conformance.scenes.scene import Scene
from assigncore.conformance.targets.libraries import TARGETS

__all__ = ["namespace"]


def namespace(bench: Bench, scenes: Sequence[Scene]) -> None:
    """Leave results where the inputs live; refuse mixed libraries and devices by the arguments' names."""
    for scene in scenes:
        arrays, statics = bench.recipe.arrays(scene), bench.recipe.statics(scene)
        with bench.running():
            native = bench.native(arrays)
            _results_live_with(bench, native, statics)
            moved = {name: bench.target.elsewhere(x) for name, x in native.items()}
            there = all(x is not None for x in moved.values())
            # On a device without values the host can take no part; CuPy computes on the current device.
            able = bench.target.library != "torch" or not bench.recipe.capabilities.host
            if there and able and bench.thorough and not bench.target.on_cuda:
                _results_live_with(bench, moved, statics)
            other = TARGETS["array_api_strict" if bench.target.library == "numpy" else "numpy"]
            foreign = {} if other.unavailable() else {
                name: other.from_numpy(np.asarray(bench.target.to_numpy(x))) for name, x in native.items()
            }  # fmt: skip
            for strangers, error, what in (
                (foreign, TypeError, "of another library"),
                (moved if there else {}, ValueError, "on another device"),
            ):
                for name, x in strangers.items():
                    # The first argument decides for the others: where it is the stranger, they are named.
                    words = (name, bench.recipe.first) if name != bench.recipe.first else (name,)
                    bench.refused({**native, name: x}, statics, error, *words, what=f"{name} {what}")


def _results_live_with(bench: Bench, arrays: dict[str, Any], statics: dict[str, Any]) -> None:
    some = next(iter(arrays.values()))
    home = array_api_compat.device(some)
    for name, x in bench.function(statics)(**arrays).items():
        demand(type(x) is type(some), f"{name} is a {type(x).__name__}, expected {type(some).__name__}")
        demand(array_api_compat.device(x) == home, f"{name} is not on the device of the inputs")

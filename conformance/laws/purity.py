"""Law 8: inputs are never written to, results carry no gradient, and the same inputs give the same bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from assigncore.conformance.laws.bench import AnyArray, Bench, demand
from assigncore.conformance.scenes.scene import Scene, round_to

__all__ = ["purity"]

_LAYOUTS: Mapping[str, Callable[[AnyArray], AnyArray]] = MappingProxyType(
    {
        "column by column": np.asfortranarray,
        "with gaps": lambda x: np.repeat(x, 2, axis=0)[::2],
        "backwards": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    }
)
"""Ways in which the same numbers may lie in memory."""


def purity(bench: Bench, scenes: Sequence[Scene]) -> None:
    """Never write to inputs, give no gradient, and give the same bits for the same inputs."""
    for scene in scenes:
        statics = bench.recipe.statics(scene)
        arrays = {name: round_to(x, "float32") for name, x in bench.recipe.arrays(scene).items()}
        with bench.running():
            native = bench.native(arrays)
            before = {name: np.array(bench.target.to_numpy(x), copy=True) for name, x in native.items()}
        first = bench.call_native(native, statics)
        bench.identical(bench.call_native(native, statics), first, f"{scene.name} the second time")
        for name, x in before.items():
            now = bench.target.to_numpy(native[name])
            demand(np.array_equal(now, x, equal_nan=x.dtype.kind == "f"), f"{name} was written to")
        for how, laid in _LAYOUTS.items() if bench.target.library == "numpy" else ():
            other = {name: laid(x) for name, x in arrays.items()}
            for x in other.values():
                x.setflags(write=False)
            bench.same(bench.call_native(other, statics), first, f"{scene.name} with arrays that lie {how}")
    with bench.running():
        scene = scenes[0]
        native = bench.native(bench.recipe.arrays(scene))
        names = bench.target.gradients(bench.recipe.call(bench.recipe.statics(scene)), native)
        demand(not names, f"{', '.join(names)}: a gradient flows through the result")

"""Law 2: where equal values compete the lowest index wins; where none are equal, order decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.capabilities import Holds, Ties
from assigncore.conformance.laws.bench import Bench, demand, whole
from assigncore.conformance.scenes.padded import outputs_of_rows
from assigncore.conformance.scenes.scene import ROWS, Scene

__all__ = ["ties"]


def ties(bench: Bench, scenes: Sequence[Scene]) -> None:
    """Let the lowest index win wherever equal values compete, but where the method itself says otherwise.

    In scenes of the kind ``"apart"`` nothing ties, and the order of rows decides nothing.
    """
    for scene in scenes:
        bench.same(bench.run(scene), bench.refer(scene), f"{scene.name}, against the reference")
        if scene.kind == "apart":
            _order_decides_nothing(bench, scene)
        else:
            _first_of_equals(bench, whole(scene))


def _doubled(scene: Scene, kind: str) -> Scene:
    """Give every prior a copy next to it within its level, or the ground truths copies behind all of them."""
    if kind == "N":
        even = {
            name: np.repeat(x[::2], 2, axis=0) for name, x in scene.arrays.items() if ROWS.get(name) == "N"
        }
        return scene.with_arrays(**even)
    return scene.take("G", np.tile(np.arange(scene.n_gts), 2))


def _first_of_equals(bench: Bench, scene: Scene) -> None:
    capabilities = bench.recipe.capabilities
    if capabilities.ties is Ties.FIRST and not capabilities.repeats:
        copies = bench.run(_doubled(scene, "G"))["gt_inds"]
        demand(
            not np.any(copies > scene.n_gts),
            f"{scene.name}: of two equal ground truths the later one got a prior",
        )
    ranked = capabilities.ties in (Ties.FIRST, Ties.LATER)
    if ranked and not bench.recipe.by_map and "priors" in bench.recipe.parameters:
        positive = bench.run(_doubled(scene, "N"))["gt_inds"] > 0
        later = positive[..., 1::2] & ~positive[..., ::2]
        demand(not np.any(later), f"{scene.name}: of two equal priors the later one was taken")


def _order_decides_nothing(bench: Bench, scene: Scene) -> None:
    recipe, rng = bench.recipe, np.random.default_rng(scene.n_priors)
    straight = bench.run(scene)
    # Where ground truths take far priors too, those are another's: there the order of writing decides.
    kinds = {
        "N": recipe.by_row,
        "G": recipe.capabilities.ties is not Ties.IN_TURN,
        "I": recipe.takes_regions,
    }
    for kind, name in (("N", "priors"), ("G", "ground truths"), ("I", "ignore regions")):
        if not kinds[kind]:
            continue
        places = {each: np.arange(scene.count(each)) for each in "NGI"}
        order = _permuted_levels(scene, rng) if kind == "N" else rng.permutation(scene.count(kind))
        permuted = bench.run(scene.take(kind, order))
        places[kind] = np.argsort(order)
        got = outputs_of_rows(recipe, permuted, places, scene.n_gts)
        expected = {key: x for key, x in straight.items() if key in got}
        for key in _indices(bench) & got.keys():
            # What belongs to no ground truth may name the first of them all the same.
            owned = straight["gt_inds"] > 0
            got[key], expected[key] = (np.where(owned, x[key], 0) for x in (got, expected))
        bench.same(got, expected, f"{scene.name} with its {name} in another order")


def _indices(bench: Bench) -> set[str]:
    """Name the outputs that are indices of ground truths, or looked up by one."""
    return {
        name
        for name, holds in bench.recipe.capabilities.outputs.items()
        if holds in (Holds.INDICES, Holds.LOOKED_UP, Holds.BOXES)
    }


def _permuted_levels(scene: Scene, rng: np.random.Generator) -> NDArray[Any]:
    """Permute the priors of each level."""
    starts = np.cumsum([0, *(level.cells for level in scene.levels)])
    return np.concatenate(
        [start + rng.permutation(level.cells) for start, level in zip(starts[:-1], scene.levels, strict=True)]
    )

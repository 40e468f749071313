"""Law 13: results do not depend on the memory budget. The peak itself is measured elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from assigncore.backend.memory import memory_budget
from assigncore.conformance.laws.bench import Bench, stacked
from assigncore.conformance.scenes.scene import Scene

__all__ = ["memory"]

BUDGETS = (2**14, 1)
"""Bytes: blocks of a few pairs, and of one."""


def memory(bench: Bench, scenes: Sequence[Scene]) -> None:
    """Give the same under any memory budget, alone and in batches.

    Blocks of one pair, which are as many steps as there are pairs, are tried on the first scene.
    """
    for number, scene in enumerate(scenes):
        expected = bench.run(scene)
        for budget in BUDGETS if bench.thorough and number == 0 else BUDGETS[:1]:
            with memory_budget(budget):
                bench.same(bench.run(scene), expected, f"{scene.name} under a budget of {budget} bytes")
    if not (bench.takes_batches and bench.thorough) or len(scenes) < 2:
        return
    statics, images = bench.recipe.statics(scenes[0]), [bench.recipe.arrays(scene) for scene in scenes[:2]]
    batch, first = stacked(images, (2,)), bench.recipe.first
    shared = {first: images[0][first]}
    for arrays, alone in ((batch, images), ({**batch, **shared}, [{**image, **shared} for image in images])):
        with memory_budget(BUDGETS[0]):
            outputs = bench.call(arrays, statics)
        for number, image in enumerate(alone):
            own = {name: x[number] for name, x in outputs.items()}
            bench.same(
                own, bench.call(image, statics), f"{scenes[number].name} in a batch that is cut into tiles"
            )

"""Law 11: a method that defines ignore regions takes and heeds them; any other refuses the argument."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import numpy as np

from assigncore.conformance.laws.bench import Bench, demand, whole
from assigncore.conformance.scenes.scene import Scene

__all__ = ["ignore"]


def ignore(bench: Bench, scenes: Sequence[Scene]) -> None:
    """Take ignore regions where the method has them, and refuse them where it has none."""
    known = "ignore_bboxes" in inspect.signature(bench.recipe.assigner.assign).parameters
    demand(
        known == bench.recipe.capabilities.ignores,
        f"ignore regions are {'taken' if known else 'refused'}, which is not what is declared",
    )
    if not known:
        scene = scenes[0]
        with bench.running():
            given = bench.native(bench.recipe.arrays(scene))
            for name in ("ignore_bboxes", "ignore_valid"):
                [region] = bench.native({name: scene.arrays[name]}).values()
                statics = bench.recipe.statics(scene)
                bench.refused(
                    {**given, name: region}, statics, TypeError, name, what=f"{name}, which it has not,"
                )
        return
    changed = False
    for scene in map(whole, scenes):
        boxes = scene.arrays["gt_bboxes"]
        low, high = boxes[:, :2].min(axis=0) - 1, boxes[:, 2:].max(axis=0) + 1
        around = np.concatenate([low, low + (high - low) * 0.75])
        heeded = scene.with_arrays(ignore_bboxes=np.stack([boxes[0] + 2, around]))
        none = heeded.with_arrays(ignore_valid=np.zeros_like(scene.arrays["ignore_valid"]))
        without = bench.run(heeded, without=("ignore_bboxes", "ignore_valid"))["gt_inds"]
        demand(np.array_equal(bench.run(none)["gt_inds"], without), "ignore regions that are padding count")
        changed |= not np.array_equal(bench.run(heeded)["gt_inds"], without)
    demand(changed, "ignore regions change nothing")

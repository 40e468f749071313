"""Law 1: -1 is ignored, 0 background, i + 1 ground truth i, in the default integer dtype; labels follow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assigncore.conformance.capabilities import Holds
from assigncore.conformance.laws.bench import Bench, demand
from assigncore.conformance.scenes.scene import Scene

__all__ = ["codes"]


def codes(bench: Bench, scenes: Sequence[Scene]) -> None:
    """Give -1 for ignored, 0 for background, i + 1 for ground truth i, and the labels that belong to them."""
    for scene in scenes:
        _codes_and_labels(bench, scene)
    if bench.thorough:
        _labels_of_any_integer_dtype(bench, scenes[0])
        _no_labels(bench, scenes[0])


def _codes_and_labels(bench: Bench, scene: Scene) -> None:
    capabilities = bench.recipe.capabilities
    arrays, statics = bench.recipe.arrays(scene), bench.recipe.statics(scene)
    with bench.running():
        native = bench.function(statics)(**bench.native(arrays))
        due = bench.target.backend.integer_dtype(native["gt_inds"])
        for name in {"gt_inds", "labels"} & native.keys():
            dtype = native[name].dtype
            demand(dtype == due, f"{name} has dtype {dtype}, expected the library's default integer {due}")
        outputs = {name: bench.target.to_numpy(x) for name, x in native.items()}
        if not bench.target.compiles_operations:
            count = bench.recipe.assigner.assign(**bench.native(arrays), **statics).num_gts
            competing = Holds.BOXES in capabilities.outputs.values()
            most = scene.n_gts + (scene.count("I") if competing else 0)
            demand(count == most, f"{scene.name}: num_gts is {count}, expected {most}")
    found = outputs["gt_inds"]
    demand(
        bool(np.all((found >= -1) & (found <= scene.n_gts))),
        f"{scene.name}: codes beyond -1 to {scene.n_gts}",
    )
    if "labels" in outputs:
        positive, labels = found > 0, outputs["labels"]
        own = scene.arrays["gt_labels"][found[positive] - 1]
        demand(np.array_equal(labels[positive], own), f"{scene.name}: wrong labels")
        elsewhere = np.isin(labels[~positive], (-1, capabilities.no_label))
        demand(bool(np.all(elsewhere)), f"{scene.name}: a prior that is not positive has a label")


def _labels_of_any_integer_dtype(bench: Bench, scene: Scene) -> None:
    expected = bench.run(scene)
    for dtype in ("int8", "uint8", "int32", "int64"):
        labels = scene.arrays["gt_labels"].astype(dtype)
        got = bench.run(scene.with_arrays(gt_labels=labels))
        for name in {"labels"} & expected.keys():
            alike = got[name].dtype == expected[name].dtype and np.array_equal(got[name], expected[name])
            demand(alike, f"{scene.name}: labels differ where gt_labels are {dtype}")


def _no_labels(bench: Bench, scene: Scene) -> None:
    if "gt_labels" in bench.recipe.needed:
        return
    got = bench.run(scene, without=("gt_labels",))
    told = [name for name in got if "label" in name]
    demand(not told, f"{scene.name} without gt_labels: got {', '.join(told)}")
    same = np.array_equal(got["gt_inds"], bench.run(scene)["gt_inds"])
    demand(same or bench.recipe.capabilities.by_label, f"{scene.name}: gt_inds differ without gt_labels")

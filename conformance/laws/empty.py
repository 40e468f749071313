"""Law 4: no prior, no ground truth, none that is valid, no image: each has its answer, and nothing raises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.laws.bench import Bench, demand, stacked, whole
from assigncore.conformance.scenes.scene import ROWS, SCORES, Scene

__all__ = ["empty"]


def empty(bench: Bench, scenes: Sequence[Scene]) -> None:
    """Answer where there is no prior, no ground truth, none that is valid, or fewer than are to be chosen."""
    scene = scenes[0]
    for what, nothing in _without_objects(bench, scene):
        _background(bench, nothing, what)
    for what, nothing in _without_priors(bench, scene):
        got = bench.run(nothing)["gt_inds"]
        demand(bool(np.all(got <= 0)), f"{what}: a prior is positive")
        out = got[..., ~nothing.arrays["prior_valid"]]
        demand(bool(np.all(out == -1)), f"{what}: a prior that takes no part is not -1")
    for what, few in _few(bench, scene):
        shape = bench.run(few)["gt_inds"].shape
        demand(shape[-1] == few.n_priors, f"{what}: got shape {shape}, expected {few.n_priors} rows")
        if not few.n_gts:
            _background(bench, few, what)
        if bench.thorough:
            bench.same(bench.run(few), bench.refer(few), f"{what}, against the reference")
    if bench.takes_batches:
        _among_others(bench, scenes)


def _invalid(scene: Scene, mask: str) -> Scene:
    return scene.with_arrays(**{mask: np.zeros_like(scene.arrays[mask])})


def _filled(scene: Scene, names: Sequence[str], value: float | Sequence[float]) -> Scene:
    return scene.with_arrays(**{name: np.full_like(scene.arrays[name], value) for name in names})


def _without_objects(bench: Bench, scene: Scene) -> list[tuple[str, Scene]]:
    found = [("only padding for ground truths", _invalid(scene, "gt_valid"))]
    if "gt_bboxes" in bench.recipe.parameters:
        found.append(("only non-finite ground truths", _filled(scene, ["gt_bboxes"], np.nan)))
    return found


def _without_priors(bench: Bench, scene: Scene) -> list[tuple[str, Scene]]:
    broken = [name for name in ("priors", "pred_bboxes", *SCORES) if name in bench.recipe.parameters]
    return [
        ("no prior takes part", _invalid(scene, "prior_valid")),
        ("only non-finite priors", _filled(scene, broken, np.nan)),
    ]


def _few(bench: Bench, scene: Scene) -> list[tuple[str, Scene]]:
    """Give scenes of few rows or none."""
    nothing = np.zeros(0, dtype=int)
    found = [("no ground truth", scene.take("G", nothing))]
    if not bench.recipe.by_map:
        found += [
            ("no prior", scene.take("N", nothing)),
            ("one prior", whole(scene.take("N", np.zeros(1, dtype=int)))),
        ]
        if bench.thorough:
            found.append(("no prior and no ground truth", scene.take("N", nothing).take("G", nothing)))
    else:
        starts = np.cumsum([0, *(level.cells for level in scene.levels)])[:-1]
        found.append(("one prior a level", whole(scene.take("N", starts))))
    if bench.recipe.takes_regions and bench.thorough:
        found.append(("no ignore region", scene.take("I", nothing)))
    return found


def _background(bench: Bench, scene: Scene, what: str) -> None:
    """Demand background, as is due without ground truths, but for what regions ignore by themselves."""
    outputs = bench.run(scene)
    got, valid = outputs["gt_inds"], scene.arrays["prior_valid"]
    demand(bool(np.all(got[..., ~valid] == -1)), f"{what}: a prior that takes no part is not -1")
    allowed = (-1, 0) if bench.recipe.capabilities.ignores_alone else (0,)
    demand(bool(np.all(np.isin(got[..., valid], allowed))), f"{what}: not background")
    if "labels" in outputs:
        demand(bool(np.all(outputs["labels"] == -1)), f"{what}: a prior has a label")


def _among_others(bench: Bench, scenes: Sequence[Scene]) -> None:
    """Demand that empty images leave their neighbours in a batch alone, and that there may be no image."""
    scene = scenes[0]
    some = [scene, _invalid(scene, "gt_valid"), scene, scene, _invalid(scene, "prior_valid"), scene]
    statics = bench.recipe.statics(scene)
    images = [bench.recipe.arrays(image) for image in some]
    outputs = bench.call(stacked(images, (6,)), statics)
    for number, image in enumerate(some):
        own = {name: x[number] for name, x in outputs.items()}
        bench.same(own, bench.run(image), f"{scene.name} in a batch with empty images, image {number}")
    alone = bench.run(scene)
    for lead in ((0,), (2, 0)) if bench.thorough else ((0,),):
        none: dict[str, NDArray[Any]] = {
            name: np.zeros((*lead, *x.shape[1:]), dtype=x.dtype) if name in ROWS else x
            for name, x in stacked(images, (6,)).items()
        }
        for name, x in bench.call(none, statics).items():
            due = (*lead, *alone[name].shape)
            demand(x.shape == due, f"no image: {name} has shape {x.shape}, expected {due}")

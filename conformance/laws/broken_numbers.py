"""Law 10: a box with a NaN or infinite coordinate matches nothing; costs that are not finite are named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.capabilities import Holds
from assigncore.conformance.laws.bench import Bench, demand, refused, whole
from assigncore.conformance.scenes.scene import BOXES, MASKS, ROWS, SCORES, Scene

__all__ = ["broken_numbers"]

AnyArray = NDArray[Any]

LARGEST = 1e15
"""Coordinates beyond it are not finite, since areas overflow float32."""


def broken_numbers(bench: Bench, scenes: Sequence[Scene]) -> None:
    """Let a box with a NaN or infinite coordinate match nothing, and name what costs are not finite."""
    for scene in scenes:
        broken = _whole_rows_of_scores(scene)
        if "G" not in bench.recipe.capabilities.counts_broken:
            like_padding = _as_padding(bench, _as_padding(bench, broken, "G"), "I")
            told = f"{scene.name}: broken ground truths and ignore regions, against padding"
            bench.same(bench.run(broken), bench.run(like_padding), told)
        _broken_priors(bench, broken)
    if "nonfinite" in {knob.name for knob in fields(bench.recipe.assigner)}:
        _named(bench, whole(scenes[0]))


def _whole_rows_of_scores(scene: Scene) -> Scene:
    """Break whole rows: an infinite logit means something, and a NaN matters to its class alone."""
    arrays = {}
    for name in SCORES:
        x = scene.arrays[name]
        rows = ~np.isfinite(x.reshape(len(x), int(np.prod(x.shape[1:])))).all(axis=1)
        arrays[name] = np.where(rows.reshape(-1, *[1] * (x.ndim - 1)), np.nan, x)
    return scene.with_arrays(**arrays)


def _numbers(bench: Bench, kind: str) -> list[str]:
    """Name the arguments with numbers that a row of a kind needs."""
    needed = (*BOXES, *SCORES)
    return [
        name
        for name in needed
        if name in bench.recipe.parameters and ROWS[name] == kind and name != "approxs"
    ]


def _broken(x: AnyArray) -> AnyArray:
    """Tell which rows hold a number that is no coordinate."""
    with np.errstate(invalid="ignore"):
        sound = np.abs(x) < LARGEST
    return np.asarray(~sound.all(axis=tuple(range(1, x.ndim))))


def _as_padding(bench: Bench, scene: Scene, kind: str) -> Scene:
    """Mark the non-finite rows of one kind as padding, and mend their numbers."""
    mended, valid = {}, scene.arrays[MASKS[kind]]
    for name in _numbers(bench, kind):
        x = scene.arrays[name]
        broken = _broken(x)
        mended[name] = np.where(broken.reshape(-1, *[1] * (x.ndim - 1)), 1.0, x)
        valid = valid & ~broken
    return scene.with_arrays(**mended, **{MASKS[kind]: valid})


def _broken_priors(bench: Bench, scene: Scene) -> None:
    capabilities, names = bench.recipe.capabilities, _numbers(bench, "N")
    broken = np.any([_broken(scene.arrays[name]) for name in names], axis=0)
    if capabilities.by_prior_too:
        throughout = {name: scene.arrays[name].copy() for name in names}
        for x in throughout.values():
            x[broken] = np.nan
        scene = scene.with_arrays(**throughout)
    got = bench.run(scene)
    demand(not np.any(got["gt_inds"][..., broken] > 0), f"{scene.name}: a non-finite prior is positive")
    overlaps = got.get("max_overlaps", np.zeros(1))
    demand(bool(np.all(np.isfinite(overlaps))), f"{scene.name}: max_overlaps are not finite")
    if "N" in capabilities.counts_broken:
        return
    # A number that is no coordinate may stand for 0, with which others are compared.
    scene = scene.with_arrays(**{name: np.nan_to_num(scene.arrays[name]) for name in names if name in SCORES})
    got, without = bench.run(scene), bench.run(_as_padding(bench, scene, "N"))
    for outputs in (got, without):
        for name, x in outputs.items():
            if capabilities.holds(name) is Holds.PAIRS:
                outputs[name] = x[..., ~broken, :]
            elif capabilities.has_row_per_prior(name):
                outputs[name] = x[..., ~broken]
    declared = {name: x for name, x in without.items() if capabilities.holds(name)}
    bench.same(got, declared, f"{scene.name}: non-finite priors, against padding")


def _named(bench: Bench, scene: Scene) -> None:
    strict = replace(bench.recipe, assigner=replace(bench.recipe.assigner, nonfinite="raise"))
    key = next(name for name in SCORES if name in strict.parameters)
    sound = {
        name: np.where(np.abs(scene.arrays[name]) < LARGEST, scene.arrays[name], 0.0)
        for name in (*BOXES, *SCORES)
    }
    sound[key][7] = np.nan
    broken = scene.with_arrays(**sound)
    with bench.running():
        arrays = bench.native(strict.arrays(broken))
        call = partial(strict.call(strict.statics(broken)), **arrays)
        refused(call, ValueError, "Cost", "7", what="a cost that is not finite")

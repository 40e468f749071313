"""Law 9: nothing waits for a device, and no shape depends on values."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assigncore.conformance.laws.bench import AnyArray, Bench, Broken, NotApplicable, demand
from assigncore.conformance.scenes.padded import pad_scenes
from assigncore.conformance.scenes.recipes import Recipe
from assigncore.conformance.scenes.scene import MASKS, Scene, round_to
from assigncore.conformance.targets.libraries import Mode

__all__ = ["static"]


def static(bench: Bench, scenes: Sequence[Scene]) -> None:
    """Never wait for a device, and have no shape that depends on values.

    Takes two scenes of one shape at least. Without values, each way of calling is tried; a compiler shows
    that one graph serves all scenes.
    """
    host, target = bench.recipe.capabilities.host, bench.target
    if host and not target.has_values:
        raise NotApplicable("its costs are brought to the host, which matches there")
    if host:
        _few_transfers(bench, scenes[0])
    with bench.running():
        native = bench.native(bench.recipe.arrays(scenes[0]))
        readable = any(target.without_values(x) is None for x in native.values())
        if not readable and not host:
            for what, arrays, statics in _callings(bench.recipe, scenes[:2]):
                _needs_no_values(bench, what, arrays, statics)
    compiles = Mode.JIT in target.modes and Mode.JIT in bench.recipe.capabilities.modes
    if compiles:
        _one_graph(bench, scenes)
    elif target.library == "array_api_strict":
        bench.run(scenes[0])
    elif readable and not host:
        raise NotApplicable(f"{target.name} has values at hand and no compiler")


def _needs_no_values(
    bench: Bench, what: str, arrays: Mapping[str, AnyArray], statics: Mapping[str, Any]
) -> None:
    assign = bench.recipe.call(statics)
    given = bench.native(arrays)
    unreadable = {name: bench.target.without_values(x) for name, x in given.items()}
    rounded = {name: round_to(x, "float32") for name, x in arrays.items()}
    try:
        expected = assign(**(given if bench.target.has_values else rounded))
    except (TypeError, ValueError):
        # What the signature does not ask for, a cost may.
        if "without" in what:
            return
        raise
    try:
        outputs = assign(**unreadable)
    except Exception as error:
        told = f"{what}: reads values on the host{_place(bench, error)}: {type(error).__name__}: {error}"
        raise Broken(told[:400]) from error
    demand(outputs.keys() == expected.keys(), f"{what}: which outputs there are depends on values")
    for name, x in outputs.items():
        for what_of_it, got, due in (
            ("shape", tuple(x.shape), tuple(expected[name].shape)),
            ("dtype", *(str(y.dtype).rpartition(".")[-1] for y in (x, expected[name]))),
        ):
            told = f"{what}: the {what_of_it} of {name} is {got}, and {due} where values can be read"
            demand(got == due, told)


def _callings(
    recipe: Recipe, scenes: Sequence[Scene]
) -> Iterator[tuple[str, dict[str, AnyArray], Mapping[str, Any]]]:
    """Call it for one image and for a padded batch, with all that is optional and without."""
    batch = pad_scenes(recipe, scenes, like=scenes)
    signature = inspect.signature(recipe.assigner.assign).parameters
    for what, arrays, statics in (
        ("one image", recipe.arrays(scenes[0]), recipe.statics(scenes[0])),
        ("a batch", batch.arrays, batch.statics),
    ):
        yield what, dict(arrays), statics
        for without, names in (
            ("labels", ("gt_labels",)),
            ("ignore regions", ("ignore_bboxes", "ignore_valid", "ignore_labels")),
            ("masks", tuple(MASKS.values())),
        ):
            optional = {name for name in names if name in arrays and signature[name].default is None}
            if optional:
                left = {name: x for name, x in arrays.items() if name not in optional}
                yield f"{what} without {without}", left, statics


def _place(bench: Bench, error: Exception) -> str:
    """Tell the last line that ran outside the array library."""
    library = str(Path(bench.target.module.__file__ or "").parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(library) and "array_api_compat" not in frame.filename
    ]
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}, `{frames[-1].line}`" if frames else ""


def _few_transfers(bench: Bench, scene: Scene) -> None:
    batch = {name: np.stack([x, x]) for name, x in bench.recipe.arrays(scene).items()}
    with bench.running():
        arrays = bench.native(batch)
        count = bench.transfers(bench.recipe.call(bench.recipe.statics(scene)), arrays)
    demand(count <= 1, f"{count} transfers to the host for a batch, expected one")


def _one_graph(bench: Bench, scenes: Sequence[Scene]) -> None:
    """Record the call once, and demand that the graph serves all scenes, with nothing read on the host."""
    statics, target = bench.recipe.statics(scenes[0]), bench.target
    with bench.running():
        natives = [bench.native(bench.recipe.arrays(scene)) for scene in scenes]
        try:
            if target.compiles_operations:
                captured = bench.function(statics)
            else:
                captured = target.capture(bench.recipe.call(statics))
            outputs = [captured(**natives[0])]
            known = len(bench.traces)
            for native in natives[1:]:
                with target.undisturbed():
                    outputs.append(captured(**native))
        except Exception as error:
            raise Broken(f"one graph cannot serve all: {type(error).__name__}: {error}"[:400]) from error
        demand(
            len(bench.traces) == known, "another graph for a scene of the same shape, expected one for all"
        )
        for scene, found in zip(scenes, outputs, strict=True):
            got = bench.recipe.promised({name: bench.target.to_numpy(x) for name, x in found.items()})
            bench.same(got, bench.run(scene), f"{scene.name} by one graph")

"""The laws about conduct: namespaces, purity, static code, ignore regions, wrong calls, memory."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from assigncore.backend.memory import memory_budget
from assigncore.conformance.laws.bench import Bench, Broken, NotApplicable, demand, whole
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.padded import pad_scenes
from assigncore.conformance.scenes.recipes import Recipe
from assigncore.conformance.scenes.scene import MASKS, Scene, round_to
from assigncore.conformance.targets.libraries import TARGETS, Mode

__all__ = ["ignore", "memory", "namespace", "purity", "static", "wrong_calls"]

AnyArray = NDArray[Any]

FEWEST_BYTES = 2**14
"""A memory budget that makes blocks of a few pairs."""


def _native(bench: Bench, scene: Scene) -> tuple[dict[str, Any], Callable[..., dict[str, Any]]]:
    recipe = bench.recipe
    return bench.native(recipe.arrays(scene)), recipe.call(recipe.statics(scene))


def namespace(bench: Bench) -> None:
    """Leave results where the inputs live; refuse mixed libraries and devices by the arguments' names."""
    with bench.target.running(x64=False), np.errstate(all="ignore"):
        arrays, assign = _native(bench, draw_scene("fpn-4-0"))
        some = next(iter(arrays.values()))
        home = array_api_compat.device(some)
        for name, x in assign(**arrays).items():
            demand(type(x) is type(some), f"{name} is a {type(x).__name__}, expected {type(some).__name__}")
            demand(array_api_compat.device(x) == home, f"{name} is not on the device of the inputs")
        other = TARGETS["array_api_strict" if bench.target.library == "numpy" else "numpy"]
        for name in bench.image_axes():
            if not other.unavailable():
                foreign = other.from_numpy(np.asarray(bench.target.to_numpy(arrays[name])))
                _refused(assign, {**arrays, name: foreign}, TypeError, name, "of another library")
            moved = bench.target.elsewhere(arrays[name])
            if moved is not None:
                _refused(assign, {**arrays, name: moved}, ValueError, name, "on another device")


def _refused(
    assign: Callable[..., Any], arrays: dict[str, Any], kind: type[Exception], name: str, what: str
) -> None:
    try:
        assign(**arrays)
    except kind as error:
        # The first argument decides for the others: where it is the stranger, they are named.
        named = name in str(error) or name == next(iter(arrays))
        demand(named, f"{name} {what}: the message does not name it: {error}")
    except Exception as error:
        raise Broken(f"{name} {what}: {type(error).__name__}: {error}; expected {kind.__name__}") from error
    else:
        raise Broken(f"{name} {what} is not refused")


def purity(bench: Bench) -> None:
    """Never write to inputs, give no gradient, and give the same bits for the same inputs."""
    with bench.target.running(x64=False), np.errstate(all="ignore"):
        for scene in (draw_scene("fpn-5-0"), draw_scene("non_finite-5-1")):
            arrays, assign = _native(bench, scene)
            before = {name: np.array(bench.target.to_numpy(x), copy=True) for name, x in arrays.items()}
            first, second = assign(**arrays), assign(**arrays)
            for name, x in before.items():
                now = bench.target.to_numpy(arrays[name])
                demand(np.array_equal(now, x, equal_nan=x.dtype.kind == "f"), f"{name} was written to")
            for name, x in first.items():
                one, two = (bench.target.to_numpy(y) for y in (x, second[name]))
                demand(
                    np.array_equal(one, two, equal_nan=one.dtype.kind == "f"),
                    f"{name} differs the second time",
                )
        if hasattr(some := next(iter(arrays.values())), "requires_grad_"):
            for x in arrays.values():
                if x.dtype.is_floating_point:
                    x.requires_grad_()
            for name, x in assign(**arrays).items():
                demand(not x.requires_grad, f"{name} carries a gradient")
        del some


def static(bench: Bench) -> None:
    """Never wait for a device, and have no shape that depends on values."""
    if bench.recipe.capabilities.host:
        if not bench.target.has_values:
            raise NotApplicable("its costs are brought to the host, which matches there")
        _few_transfers(bench, draw_scene("fpn-6-0"))
        return
    with bench.target.running(x64=False), np.errstate(all="ignore"):
        for what, arrays, statics in _callings(bench.recipe):
            assign = bench.recipe.call(statics)
            given = bench.native(arrays)
            unreadable = {name: bench.target.without_values(x) for name, x in given.items()}
            if any(x is None for x in unreadable.values()):
                _compiles(bench, given, assign)
                return
            try:
                expected = assign(**(given if bench.target.has_values else _rounded(arrays)))
            except (TypeError, ValueError):
                # What the signature does not ask for, a cost may.
                if "without" in what:
                    continue
                raise
            try:
                outputs = assign(**unreadable)
            except Exception as error:
                told = (
                    f"{what}: reads values on the host{_place(bench, error)}: {type(error).__name__}: {error}"
                )
                raise Broken(told[:400]) from error
            demand(outputs.keys() == expected.keys(), f"{what}: which outputs there are depends on values")
            for name, x in outputs.items():
                for what_of_it, got, due in (
                    ("shape", tuple(x.shape), tuple(expected[name].shape)),
                    ("dtype", *(str(y.dtype).rpartition(".")[-1] for y in (x, expected[name]))),
                ):
                    told = f"{what}: the {what_of_it} of {name} is {got}, and {due} where values can be read"
                    demand(got == due, told)


def _rounded(arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    return {name: round_to(x, "float32") for name, x in arrays.items()}


def _callings(recipe: Recipe) -> Iterator[tuple[str, dict[str, AnyArray], Mapping[str, Any]]]:
    """Call it for one image and for a padded batch, with all that is optional and without."""
    scenes = [draw_scene(f"fpn-6-{number}") for number in range(2)]
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
    with bench.target.running(x64=False), np.errstate(all="ignore"):
        arrays = bench.native(batch)
        assign = bench.recipe.call(bench.recipe.statics(scene))
        count = bench.transfers(assign, arrays)
    demand(count <= 1, f"{count} transfers to the host for a batch, expected one")


def _compiles(bench: Bench, arrays: dict[str, Any], assign: Callable[..., Any]) -> None:
    if Mode.JIT not in bench.target.modes:
        strict = bench.target.library == "array_api_strict"
        if not strict:
            raise NotApplicable(f"{bench.target.name} has values at hand and no compiler")
        assign(**arrays)
        return
    try:
        bench.target.compile(assign)(**arrays)
    except Exception as error:
        raise Broken(f"cannot be compiled: {type(error).__name__}: {error}"[:400]) from error


def ignore(bench: Bench) -> None:
    """Take ignore regions where the method has them, and refuse them where it has none."""
    known = "ignore_bboxes" in inspect.signature(bench.recipe.assigner.assign).parameters
    demand(
        known == bench.recipe.capabilities.ignores,
        f"ignore regions are {'taken' if known else 'refused'}, which is not what is declared",
    )
    with bench.target.running(x64=False), np.errstate(all="ignore"):
        if not known:
            arrays, assign = _native(bench, draw_scene("fpn-7-0"))
            regions = bench.target.from_numpy(np.zeros((1, 4), dtype=np.float32))
            try:
                assign(**arrays, ignore_bboxes=regions)
            except TypeError as error:
                demand("ignore_bboxes" in str(error), f"the message does not name ignore_bboxes: {error}")
            else:
                raise Broken("ignore_bboxes is accepted and dropped")
            return
    changed = False
    for number in range(4):
        scene = whole(draw_scene(f"crowd-7-{number}"))
        boxes = np.concatenate(
            [scene.arrays["gt_bboxes"][:1] + 2, scene.arrays["gt_bboxes"][:1] * 0 + [0, 0, 48, 48]]
        )
        scene = scene.with_arrays(ignore_bboxes=boxes)
        without = bench.run(scene, without=("ignore_bboxes", "ignore_valid"))["gt_inds"]
        changed |= not np.array_equal(bench.run(scene)["gt_inds"], without)
    demand(changed, "ignore regions change nothing")


def wrong_calls(bench: Bench) -> None:
    """Refuse wrong shapes, dtypes and missing inputs by the argument's name."""
    scene = draw_scene("fpn-8-0")
    arrays = bench.recipe.arrays(scene)
    statics = bench.recipe.statics(scene)
    wrong: list[tuple[str, Any, type[Exception]]] = []
    for name, x in arrays.items():
        if name.endswith("_bboxes"):
            wrong += [(name, x[:, :3], ValueError), (name, x.astype(np.int64), TypeError)]
        elif name.endswith("_valid"):
            wrong += [(name, x[:-1], ValueError), (name, x.astype(np.int64), TypeError)]
        elif name.endswith("_labels"):
            wrong += [(name, x[:-1], ValueError), (name, x.astype(float), TypeError)]
        elif name.startswith("pred_"):
            wrong += [(name, x[:-1], ValueError)]
    with np.errstate(all="ignore"):
        for name, x, kind in wrong:
            try:
                bench.call({**arrays, name: x}, statics, eagerly=True)
            except (ValueError, TypeError) as error:
                demand(
                    isinstance(error, kind),
                    f"a wrong {name}: {type(error).__name__}, expected {kind.__name__}",
                )
                # Of two lengths that do not agree, either is the wrong one.
                demand(_names(str(error), arrays), f"a wrong {name}: the message names no argument: {error}")
            except Exception as error:
                raise Broken(f"a wrong {name}: {type(error).__name__}: {error}") from error
            else:
                raise Broken(f"a wrong {name} of shape {x.shape} and dtype {x.dtype} is accepted")


def _names(message: str, arrays: dict[str, Any]) -> bool:
    return any(name in message for name in arrays)


def memory(bench: Bench) -> None:
    """Give the same under any memory budget."""
    for scene in (draw_scene("fpn-9-0"), draw_scene("ties-9-1"), draw_scene("crowd-9-2")):
        expected = bench.run(scene)
        with memory_budget(FEWEST_BYTES):
            outputs = bench.run(scene)
        bench.same(outputs, expected, f"{scene.name} under a budget of {FEWEST_BYTES} bytes")

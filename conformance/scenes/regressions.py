"""The regression scenes: each named after a failure seen in the wild that it guards against.

They lie in the folder ``regression_scenes``, a JSON file each: what it guards against, the levels of the
pyramid, the arrays that matter (all others are drawn from a fixed seed, all masks are true), and for some
assigners the codes that some priors must get, or the words of the refusal that is due. Every assigner meets
every scene besides, held against NumPy's answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import numpy as np

from assigncore.conformance.goldens.calls import Refusal
from assigncore.conformance.report.results import Agreement, CaseResult, Cell, Part
from assigncore.conformance.scenes.recipes import recipe_of
from assigncore.conformance.scenes.scene import MASKS, Level, Scene, native_arrays, scene_of
from assigncore.conformance.targets.deadline import Hang, within
from assigncore.conformance.targets.libraries import Mode, Target
from assigncore.registry import build_assigner

__all__ = ["Regression", "load_regressions", "run_regressions"]


@dataclass(frozen=True, eq=False)
class Regression:
    """One scene of the folder.

    Parameters
    ----------
    scene : Scene
        The scene, called as its file.
    guards : str
        The failure.
    dues : mapping of str to mapping
        For an assigner: ``knobs``; ``gt_inds``, codes by prior; ``at_most``, how many priors may be positive;
        ``elsewhere``, an argument that is put on another device, with ``mentions``, words of the refusal.
    """

    scene: Scene
    guards: str
    dues: Mapping[str, Mapping[str, Any]]


@cache
def load_regressions() -> tuple[Regression, ...]:
    """Load all scenes of the folder, by name.

    Examples
    --------
    >>> [regression.scene.name for regression in load_regressions()][0]
    'biased_standard_deviation'
    """
    folder = files("assigncore.conformance.scenes") / "regression_scenes"
    paths = sorted(
        (path for path in folder.iterdir() if path.name.endswith(".json")), key=lambda path: path.name
    )
    return tuple(
        _parse(path.name.removesuffix(".json"), json.loads(path.read_text(encoding="utf-8")))
        for path in paths
    )


def _parse(name: str, data: Mapping[str, Any]) -> Regression:
    given = {key: np.array(value) for key, value in data["arrays"].items()}
    boxes = given["gt_bboxes"].astype(float).reshape(-1, 4)
    levels = tuple(Level(*level) for level in data["levels"])
    scene = scene_of(name, "regression", boxes, np.random.default_rng(0), levels=levels)
    masks = {mask: np.ones_like(scene.arrays[mask]) for mask in MASKS.values()}
    given = {key: x.astype(scene.arrays[key].dtype) for key, x in given.items()}
    scene = scene.with_arrays(**{**masks, **given, "gt_bboxes": boxes})
    if "pred_scores" in given:
        with np.errstate(divide="ignore"):
            logits = np.log(given["pred_scores"] / (1 - given["pred_scores"]))
        scene = scene.with_arrays(pred_logits=logits)
    return Regression(scene, data["guards"], MappingProxyType(data.get("dues", {})))


def run_regressions(
    name: str,
    target: Target,
    dtype: str = "float32",
    *,
    limit: float = 60.0,
    after_case: Callable[[], object] | None = None,
) -> Cell:
    """Hold an assigner against the answers that the regression scenes state for it.

    Parameters
    ----------
    name : str
        A registered assigner.
    target : Target
        Where to run it.
    dtype : str, default "float32"
        The dtype of the inputs.
    limit : float, default 60
        Seconds a case may take.
    after_case : callable, optional
        Called when a case is done.
    """
    reason = target.incomparable() or ("" if dtype in target.dtypes else f"{target.name} has no {dtype}")
    results = []
    for regression in () if reason else load_regressions():
        if name in regression.dues:
            results.append(_run_due(regression, name, target, dtype, limit))
            if after_case is not None:
                after_case()
    return Cell(name, target.name, Mode.EAGER, tuple(results), reason, Part.GENERATED, f"{dtype} as stated")


def _run_due(regression: Regression, name: str, target: Target, dtype: str, limit: float) -> CaseResult:
    due = regression.dues[name]
    own = recipe_of(name)
    knobs = {**own.capabilities.knobs, **due.get("knobs", {})}
    recipe = recipe_of(build_assigner({"type": name, **knobs}), own.capabilities)
    scene = regression.scene

    def run() -> tuple[Agreement, str]:
        with target.running(x64=dtype == "float64"):
            native = native_arrays(target, recipe.arrays(scene), dtype)
            function = recipe.call(recipe.statics(scene))
            if "elsewhere" in due:
                return _refused(function, native, target, due)
            with np.errstate(all="ignore"):
                return _fault(target.to_numpy(function(**native)["gt_inds"]), due)

    try:
        agreement, message = within(limit, run)
    except Hang as error:
        agreement, message = Agreement.HANG, str(error)
    except Exception as error:
        agreement, message = Agreement.ERROR, f"{type(error).__name__}: {error}"
    return CaseResult(scene.name, agreement, message)


def _fault(gt_inds: Any, due: Mapping[str, Any]) -> tuple[Agreement, str]:
    for prior, code in due.get("gt_inds", {}).items():
        if gt_inds[int(prior)] != code:
            message = f"prior {prior} got {gt_inds[int(prior)]}, expected {code}"
            return Agreement.DIFFERENT, message
    positives = int(np.sum(gt_inds > 0))
    if positives > due.get("at_most", positives):
        return Agreement.DIFFERENT, f"{positives} priors are positive, expected at most {due['at_most']}"
    return Agreement.IDENTICAL, ""


def _refused(
    function: Any, native: dict[str, Any], target: Target, due: Mapping[str, Any]
) -> tuple[Agreement, str]:
    moved = target.elsewhere(native[due["elsewhere"]])
    if moved is None:
        return Agreement.NOT_RUN, f"{target.name} has one device here"
    error: Exception | None = None
    try:
        function(**{**native, due["elsewhere"]: moved})
    except Exception as raised:
        error = raised
    fault = Refusal(tuple(due["mentions"])).fault(error)
    return (Agreement.DIFFERENT if fault else Agreement.IDENTICAL), fault

"""Generated cases on backends, devices, modes and dtypes, each held against NumPy run eagerly."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.capabilities import Ties
from assigncore.conformance.report.results import Agreement, CaseResult, Cell, Part
from assigncore.conformance.scenes.padded import pad_scenes
from assigncore.conformance.scenes.recipes import Recipe
from assigncore.conformance.scenes.scene import Level, Scene, native_arrays, round_to
from assigncore.conformance.scenes.verdict import judge
from assigncore.conformance.targets.deadline import LIMIT, Hang, within
from assigncore.conformance.targets.libraries import Mode, Target

__all__ = ["Matrix", "why_not"]

AnyArray = NDArray[Any]
Arrays = Mapping[str, AnyArray]
Under = Callable[[Callable[..., Any]], Callable[..., Any]]

IMAGES = 8
"""Scenes of a batch."""


def why_not(recipe: Recipe, target: Target, mode: Mode, dtype: str) -> str:
    """Say why a cell is not run; nothing where it is.

    Examples
    --------
    >>> from assigncore.conformance.targets.libraries import get_target
    >>> from assigncore.conformance.scenes.recipes import recipe_of
    >>> why_not(recipe_of("PointAssigner"), get_target("numpy"), Mode.JIT, "float32")
    'numpy has no compiler'
    """
    reason = target.incomparable()
    if reason:
        return reason
    if mode not in target.modes:
        return f"{target.name} has no compiler" if mode is Mode.JIT else f"{target.name} has no mode {mode}"
    if mode not in recipe.capabilities.modes:
        return f"{recipe.name} does not promise mode {mode}"
    if dtype not in target.dtypes:
        return f"{target.name} has no {dtype}"
    if dtype not in recipe.capabilities.dtypes:
        return f"{recipe.name} does not take {dtype}"
    return ""


class Matrix:
    """Runs one assigner's scenes, and remembers the reference's answers.

    Parameters
    ----------
    recipe : Recipe
        The assigner under test.
    reference : Recipe, optional
        What it is held against; itself by default.
    limit : float, default 300
        Seconds a case may take.
    """

    def __init__(self, recipe: Recipe, reference: Recipe | None = None, *, limit: float = LIMIT) -> None:
        self.recipe = recipe
        self.reference = reference or recipe
        self.limit = limit
        self._due: dict[tuple[str, str], dict[str, AnyArray]] = {}

    def inputs(self, scene: Scene, dtype: str) -> dict[str, AnyArray]:
        """Give a scene's arrays as rounding to a dtype leaves them, in the dtype of the computation."""
        return {name: round_to(x, dtype) for name, x in self.recipe.arrays(scene).items()}

    def refer(self, scene: Scene) -> Callable[[Arrays], dict[str, AnyArray]]:
        """Give the reference's answer as a function of the arrays."""
        function = self.reference.call(self.reference.statics(scene))

        def answer(arrays: Arrays) -> dict[str, AnyArray]:
            with np.errstate(all="ignore"):
                return self.recipe.promised(function(**arrays))

        return answer

    def due(self, scene: Scene, dtype: str) -> dict[str, AnyArray]:
        """Give the reference's answer for a scene."""
        key = scene.name, "float64" if dtype == "float64" else dtype
        if key not in self._due:
            self._due[key] = self.refer(scene)(self.inputs(scene, dtype))
        return self._due[key]

    def run_cell(
        self,
        target: Target,
        mode: Mode,
        dtype: str,
        scenes: Sequence[Scene],
        *,
        after_case: Callable[[], object] | None = None,
        under: Under = lambda function: function,
    ) -> Cell:
        """Run all scenes in one cell of the matrix.

        Parameters
        ----------
        target : Target
            Where.
        mode : Mode
            How: one by one, as padded batches, or such batches compiled.
        dtype : str
            The dtype of the real inputs.
        scenes : sequence of Scene
            The cases.
        after_case : callable, optional
            Called when a case is done.
        under : callable, optional
            Gives the function that is to be called in place of the assigner's.

        Returns
        -------
        Cell
            After a hang the cell ends, since what hangs cannot be ended.
        """
        reason = why_not(self.recipe, target, mode, dtype)
        results: list[CaseResult] = []
        if not reason:
            produce = self._one_by_one if mode is Mode.EAGER else self._in_batches
            skips = {scene.name: self._skip(scene, target, dtype) for scene in scenes}
            results += [CaseResult(name, Agreement.NOT_RUN, skip) for name, skip in skips.items() if skip]
            scenes = [scene for scene in scenes if not skips[scene.name]]
            for result in produce(target, mode, dtype, scenes, under):
                results.append(result)
                if after_case is not None:
                    after_case()
                if result.agreement is Agreement.HANG:
                    break
        return Cell(self.recipe.name, target.name, mode, tuple(results), reason, Part.GENERATED, dtype)

    def _skip(self, scene: Scene, target: Target, dtype: str) -> str:
        """Say why a scene is not run; nothing where it is."""
        if scene.kind == "subnormal" and not target.subnormals and dtype != "float64":
            return f"{target.name} takes subnormal numbers for 0"
        if self.recipe.by_map and not all(level.cells for level in scene.levels):
            return f"{self.recipe.name} needs cells on every level"
        return ""

    def _one_by_one(
        self, target: Target, _mode: Mode, dtype: str, scenes: Sequence[Scene], under: Under
    ) -> Iterator[CaseResult]:
        for scene in scenes:
            function = under(self.recipe.call(self.recipe.statics(scene)))
            yield self._judged(
                scene, dtype, self._attempt(target, function, self.recipe.arrays(scene), dtype), every=True
            )

    def _in_batches(
        self, target: Target, mode: Mode, dtype: str, scenes: Sequence[Scene], under: Under
    ) -> Iterator[CaseResult]:
        groups: dict[tuple[Level, ...], list[Scene]] = {}
        for scene in scenes:
            groups.setdefault(scene.levels, []).append(scene)
        for group in groups.values():
            compiled: Callable[..., Any] | None = None
            for start in range(0, len(group), IMAGES):
                some = group[start : start + IMAGES]
                # Compiled code is for one shape: the last batch is filled up.
                filled = (some * IMAGES)[:IMAGES] if mode is Mode.JIT else some
                batch = pad_scenes(self.recipe, filled, like=group)
                function = under(self.recipe.call(batch.statics))
                if mode is Mode.JIT:
                    compiled = compiled or target.compile(function)
                    function = compiled
                got = self._attempt(target, function, batch.arrays, dtype)
                for image, scene in enumerate(some):
                    own = got if isinstance(got, Exception) else batch.outputs_of(got, image)
                    yield self._judged(scene, dtype, own, every=False)

    def _attempt(
        self, target: Target, function: Callable[..., Any], arrays: Arrays, dtype: str
    ) -> dict[str, AnyArray] | Exception:
        """Run a call on a target; what it raises is a result too."""

        def run() -> dict[str, AnyArray]:
            with target.running(x64=dtype == "float64"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                native = native_arrays(target, arrays, dtype)
                with np.errstate(all="ignore"):
                    outputs = function(**native)
                return self.recipe.promised({name: target.to_numpy(x) for name, x in outputs.items()})

        try:
            return within(self.limit, run)
        except Exception as error:
            return error

    def _judged(
        self, scene: Scene, dtype: str, got: dict[str, AnyArray] | Exception, *, every: bool
    ) -> CaseResult:
        try:
            due = self.due(scene, dtype)
        except Exception as error:
            return CaseResult(
                scene.name, Agreement.ERROR, f"the reference raises {type(error).__name__}: {error}"
            )
        if isinstance(got, Hang):
            return CaseResult(scene.name, Agreement.HANG, str(got))
        if isinstance(got, Exception):
            return CaseResult(scene.name, Agreement.ERROR, f"{type(got).__name__}: {got}"[:500])
        expected = due if every else {name: due[name] for name in got if name in due}
        if "gt_inds" not in got:
            return CaseResult(scene.name, Agreement.DIFFERENT, "no output gt_inds of a value for each prior")
        verdict = judge(
            got, expected, self.refer(scene), self.inputs(scene, dtype),
            equal_cost=lambda: self._equal_cost(scene, dtype, got["gt_inds"], due["gt_inds"]),
        )  # fmt: skip
        return CaseResult(scene.name, verdict.agreement, verdict.message, verdict.margin)

    def _equal_cost(self, scene: Scene, dtype: str, got: AnyArray, due: AnyArray) -> bool:
        """Tell whether both are matchings of as many pairs at the same total cost."""
        terms = getattr(self.reference.assigner, "cost_terms", None)
        if terms is None or self.recipe.capabilities.ties is not Ties.COST:
            return False
        inputs = {
            name: x
            for name, x in self.inputs(scene, dtype).items()
            if name not in ("gt_valid", "prior_valid")
        }
        statics = self.reference.statics(scene)
        with np.errstate(all="ignore"):
            cost = sum(np.asarray(term) for term in terms(**inputs, **statics).values())
        totals = []
        for gt_inds in (got, due):
            rows = np.flatnonzero(gt_inds > 0)
            columns = gt_inds[rows] - 1
            if len(set(columns.tolist())) != len(columns):
                return False
            totals.append((len(rows), float(np.sum(np.asarray(cost)[rows, columns], dtype=np.float64))))
        return totals[0][0] == totals[1][0] and bool(np.isclose(totals[0][1], totals[1][1], rtol=1e-6))

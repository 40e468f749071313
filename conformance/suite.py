"""The whole suite: which cells there are, and how each is run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

from assigncore.conformance.backends import Mode, Target, get_target
from assigncore.conformance.capabilities import Capabilities
from assigncore.conformance.deadline import LIMIT
from assigncore.conformance.goldens import GoldenCase
from assigncore.conformance.guarantees import GUARANTEE_CASES, run_guarantees
from assigncore.conformance.laws import LAWS, run_laws
from assigncore.conformance.matrix import Matrix
from assigncore.conformance.promises import PROMISES, run_backend_promises, run_promises
from assigncore.conformance.recipes import Recipe, recipe_of
from assigncore.conformance.regressions import load_regressions, run_regressions
from assigncore.conformance.replay import REPLAYS
from assigncore.conformance.report import Report, describe_target
from assigncore.conformance.runner import Cell, Part, run_cell
from assigncore.conformance.scene_kinds import draw_scenes
from assigncore.conformance.scenes import Scene
from assigncore.conformance.sharing import Job, OnCell, run_shared
from assigncore.registry import ASSIGNERS

__all__ = ["Plan", "check", "run_plan"]


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Parameters
    ----------
    targets : tuple of Target
        The backends.
    goldens : mapping of str to tuple of GoldenCase
        Golden cases by variant.
    assigners : tuple of str
        Registered assigners for everything else.
    parts : tuple of Part
        Parts of the suite.
    modes : tuple of Mode
        Modes of golden and generated cases.
    dtypes : tuple of str
        Dtypes of generated cases.
    laws : tuple of str
        The laws.
    cases : int, default 120
        Number of generated scenes; the regression scenes come on top.
    seed : int, default 0
        Their seed.
    limit : float
        Seconds a case may take.
    """

    targets: tuple[Target, ...]
    goldens: Mapping[str, tuple[GoldenCase, ...]] = field(default_factory=dict)
    assigners: tuple[str, ...] = tuple(ASSIGNERS.names())
    parts: tuple[Part, ...] = tuple(Part)
    modes: tuple[Mode, ...] = tuple(Mode)
    dtypes: tuple[str, ...] = ("float32", "float64", "float16", "bfloat16")
    laws: tuple[str, ...] = tuple(LAWS)
    cases: int = 120
    seed: int = 0
    limit: float = LIMIT

    def scenes(self) -> tuple[Scene, ...]:
        """Give the scenes of the generated cases."""
        drawn = tuple(draw_scenes(self.cases, self.seed))
        return drawn + tuple(regression.scene for regression in load_regressions())

    def jobs(self) -> Iterator[Job]:
        """List what there is to do."""
        if Part.GOLDENS in self.parts:
            yield from self._golden_jobs()
        if Part.PROMISES in self.parts:
            for target in self.targets:
                job = partial(run_backend_promises, target, limit=self.limit)
                yield Job("backends", f"{target.name} promises", job, 3)
        if any(part is not Part.GOLDENS for part in self.parts):
            yield from self._assigner_jobs()

    def _golden_jobs(self) -> Iterator[Job]:
        for target, mode in product(self.targets, self.modes):
            for variant, group in self.goldens.items():
                replay = REPLAYS.get(variant)
                count = len(group) if replay and not (mode is Mode.BATCHED and replay.batches) else 0
                job = partial(run_cell, variant, group, target, mode, limit=self.limit)
                yield Job(f"goldens {variant}", f"{target.name} {mode.value} {variant}", job, count)

    def _assigner_jobs(self) -> Iterator[Job]:
        scenes = self.scenes() if Part.GENERATED in self.parts else ()
        for name in self.assigners:
            recipe = recipe_of(name)
            matrix = Matrix(recipe, limit=self.limit)
            stated = sum(name in regression.dues for regression in load_regressions())
            for target in self.targets:
                where = f"{target.name} {name}"
                if Part.PROMISES in self.parts:
                    job = partial(run_promises, recipe, target, limit=self.limit)
                    yield Job(name, f"{where} promises", job, len(PROMISES))
                if Part.LAWS in self.parts:
                    job = partial(run_laws, recipe, target, laws=self.laws, limit=self.limit)
                    yield Job(name, f"{where} laws", job, len(self.laws))
                if Part.GUARANTEES in self.parts and target.on_cuda:
                    job = partial(run_guarantees, matrix, target)
                    yield Job(name, f"{where} guarantees", job, GUARANTEE_CASES)
                if Part.GENERATED not in self.parts:
                    continue
                for mode, dtype in product(self.modes, self.dtypes):
                    job = partial(matrix.run_cell, target, mode, dtype, scenes)
                    yield Job(name, f"{where} {mode.value} {dtype}", job, len(scenes))
                for dtype in self.dtypes if Mode.EAGER in self.modes else ():
                    job = partial(run_regressions, name, target, dtype, limit=self.limit)
                    yield Job(name, f"{where} regressions {dtype}", job, stated)


def run_plan(plan: Plan, *, on_cell: OnCell | None = None, processes: int = 1) -> Report:
    """Run a plan.

    Parameters
    ----------
    plan : Plan
        What is to be run.
    on_cell : callable, optional
        Called with the description and number of cases of each cell before it is run; returns what is to be
        called after each case.
    processes : int, default 1
        Processes that share the assigners. With several, `on_cell` is called when a cell is done.

    Returns
    -------
    Report
        Of the cells that are done where a KeyboardInterrupt stops the run.

    Raises
    ------
    SharingError
        Several processes cannot share the plan, or one was killed; a `RuntimeError`.
    """
    start = time.perf_counter()
    cells, stopped = _run_here(plan, on_cell) if processes == 1 else run_shared(plan, processes, on_cell)
    able = [target for target in plan.targets if not target.unavailable()]
    versions = {target.library: target.version for target in able}
    backends = {target.name: describe_target(target) for target in able}
    return Report(tuple(cells), versions, backends, plan.seed, time.perf_counter() - start, stopped)


def _run_here(plan: Plan, on_cell: OnCell | None) -> tuple[list[Cell], bool]:
    """Run the jobs in turn; tell whether they were interrupted, when the cells are those that are done."""
    cells: list[Cell] = []
    try:
        for job in plan.jobs():
            after_case = None if on_cell is None else on_cell(job.description, job.cases)
            cells.append(job.run(after_case=after_case))
    except KeyboardInterrupt:
        return cells, True
    return cells, False


def check(
    assigner: Any,
    backend: str | Target = "numpy",
    *,
    capabilities: Capabilities | None = None,
    reference: Any = None,
    cases: int = 36,
    seed: int = 0,
    dtypes: Sequence[str] = ("float32", "float64"),
    modes: Sequence[Mode] = (Mode.EAGER, Mode.BATCHED),
    limit: float = 60.0,
) -> Report:
    """Check one assigner, of this package or of one's own, on one backend, by all that needs no goldens.

    Parameters
    ----------
    assigner : object or str
        An assigner, or the name of a registered one.
    backend : str or Target, default "numpy"
        Where it runs: a name that the command line takes, or a target.
    capabilities : Capabilities, optional
        What it promises. By default what is declared for its class, or its attribute `capabilities`.
    reference : object, optional
        An assigner it is held against, on NumPy. By default itself.
    cases : int, default 36
        Number of generated scenes; the regression scenes come on top.
    seed : int, default 0
        Their seed.
    dtypes, modes : sequence
        Dtypes and modes of the generated cases.
    limit : float, default 60
        Seconds a case may take.

    Returns
    -------
    Report

    Examples
    --------
    >>> report = check("PointAssigner", "numpy", cases=12)
    >>> report.agrees
    True
    """
    target = get_target(backend) if isinstance(backend, str) else backend
    recipe = recipe_of(assigner, capabilities)
    against = recipe if reference is None else Recipe(recipe.name, reference, recipe.capabilities)
    start = time.perf_counter()
    scenes = (*draw_scenes(cases, seed), *(regression.scene for regression in load_regressions()))
    matrix = Matrix(recipe, against, limit=limit)
    cells = [matrix.run_cell(target, mode, dtype, scenes) for mode, dtype in product(modes, dtypes)]
    if recipe.is_registered:
        cells += [run_regressions(recipe.name, target, dtype, limit=limit) for dtype in dtypes]
    cells.append(run_laws(recipe, target, reference=against, limit=limit))
    cells.append(run_promises(recipe, target, limit=limit))
    if target.on_cuda:
        cells.append(run_guarantees(matrix, target))
    able = {} if target.unavailable() else {target.name: describe_target(target)}
    versions = {described["library"]: described["version"] for described in able.values()}
    return Report(tuple(cells), versions, able, seed, time.perf_counter() - start)

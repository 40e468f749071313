"""The whole suite: which cells there are, how each is run, and how processes share them."""

from __future__ import annotations

import os
import pickle
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from multiprocessing import get_context
from typing import Any, Protocol

from assigncore.conformance.capabilities import Capabilities
from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.goldens.replay import REPLAYS
from assigncore.conformance.goldens.runner import run_cell
from assigncore.conformance.laws import LAWS, run_laws
from assigncore.conformance.laws.cuda_guarantees import GUARANTEE_CASES, run_guarantees
from assigncore.conformance.laws.promises import PROMISES, run_backend_promises, run_promises
from assigncore.conformance.report.report import Report, describe_target
from assigncore.conformance.report.results import Cell, Part
from assigncore.conformance.scenes.kinds import draw_scenes
from assigncore.conformance.scenes.matrix import Matrix
from assigncore.conformance.scenes.recipes import Recipe, recipe_of
from assigncore.conformance.scenes.regressions import load_regressions, run_regressions
from assigncore.conformance.scenes.scene import PYRAMID, Scene
from assigncore.conformance.targets.deadline import LIMIT
from assigncore.conformance.targets.libraries import Mode, Target, get_target
from assigncore.interrupts import POLL, held_interrupts
from assigncore.registry import ASSIGNERS

__all__ = ["Job", "OnCell", "Plan", "Plans", "SharingError", "check", "run_plan", "run_shared"]


OnCell = Callable[[str, int], Callable[[], object]]
"""Takes the description and the number of cases of a cell; gives what is called after each case."""


START = 6.0
"""Seconds until a process has imported all libraries."""

PER_CASE = {"torch": 0.003, "jax": 0.005}
"""Seconds of a case of a shape that the library has met; elsewhere `PER_CASE_ELSEWHERE`."""

PER_CASE_ELSEWHERE = 0.004

PER_SHAPE = {
    ("jax", Mode.EAGER): 2.0,
    ("jax", Mode.BATCHED): 4.0,
    ("jax", Mode.JIT): 1.0,
    ("torch", Mode.JIT): 4.0,
}
"""Seconds that a compiler takes for a shape it meets anew."""

LAW_SHAPES = 4
"""Shapes that the laws have between them, in eager calls of each operation's price."""

LAW_GRAPHS = {"torch": 2.0}
"""Seconds that the laws take for the graphs they compile of an assigner, beside what their calls take."""


def _left_out(
    variant: str,
    target: Target,
    mode: Mode,
    part: Part,
    after_case: Callable[[], object] | None = None,  # noqa: ARG001
) -> Cell:
    """Give the cell of cases that a plan with few compiled ones leaves out."""
    reason = target.incomparable() or "a compiler would take long; all cases are compiled with --full"
    return Cell(variant, target.name, mode, not_run=reason, part=part)


def _seconds(target: Target, mode: Mode, cases: int, *, shapes: int) -> float:
    """Estimate how long cases take; nothing where they are not run."""
    if target.incomparable() or mode not in target.modes:
        return 0.0
    per_case = PER_CASE.get(target.library, PER_CASE_ELSEWHERE)
    return cases * per_case + min(cases, shapes) * PER_SHAPE.get((target.library, mode), 0.0)


@dataclass(frozen=True)
class Job:
    """What makes one cell.

    Parameters
    ----------
    share : str
        Jobs of one share run in one process, in turn.
    description : str
        What progress is told by.
    run : callable
        Takes `after_case`, and gives the cell.
    cases : int
        How many it has.
    seconds : float
        About how long they take.
    """

    share: str
    description: str
    run: Callable[..., Cell]
    cases: int = 0
    seconds: float = 0.0


class SharingError(RuntimeError):
    """The work cannot be shared, or a process has ended before its share was done."""


class Plans(Protocol):
    """What lists jobs, the same ones in every process; it can be pickled."""

    def jobs(self) -> Iterator[Job]:
        """List what there is to do."""


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
    compiled : int, optional
        How many golden cases of a variant are compiled, by JAX alone, with the generated scenes of one
        pyramid in one dtype, so that one graph serves all of these. Not given: everything is compiled.
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
    compiled: int | None = None

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

    def seconds(self, processes: int = 1) -> float:
        """Estimate how long the plan takes, from what its cases took on two cores of a server."""
        shares: dict[str, float] = {}
        for job in self.jobs():
            shares[job.share] = shares.get(job.share, START if processes > 1 else 0.0) + job.seconds
        return max(sum(shares.values()) / processes, max(shares.values(), default=0.0))

    def _few(self, target: Target, mode: Mode) -> bool:
        """Tell whether a compiler serves the cases, and is to serve few."""
        spared = self.compiled is not None and mode in target.modes
        return spared and (mode is Mode.JIT or target.compiles_operations)

    def _golden_jobs(self) -> Iterator[Job]:
        for target, mode in product(self.targets, self.modes):
            for number, (variant, every) in enumerate(self.goldens.items()):
                share = f"goldens {variant if self.compiled is None else number % 2}"
                if self._few(target, mode) and not (target.compiles_operations and mode is Mode.JIT):
                    left = partial(_left_out, variant, target, mode, Part.GOLDENS)
                    yield Job(share, f"{target.name} {mode.value} {variant}", left)
                    continue
                group = every[: self.compiled] if self._few(target, mode) else every
                replay = REPLAYS.get(variant)
                count = len(group) if replay and not (mode is Mode.BATCHED and replay.batches) else 0
                job = partial(run_cell, variant, group, target, mode, limit=self.limit)
                took = _seconds(target, mode, count, shapes=count)
                yield Job(share, f"{target.name} {mode.value} {variant}", job, count, took)

    def _modes(self, target: Target) -> tuple[Mode, ...]:
        """Give the modes of generated cases; where few are to be compiled, compiled batches stand for all."""
        if self.compiled is None or not target.compiles_operations:
            return self.modes
        return tuple(mode for mode in self.modes if mode is Mode.JIT)

    def _dtypes(self, target: Target, mode: Mode) -> tuple[str, ...]:
        return self.dtypes[:1] if self._few(target, mode) else self.dtypes

    def _assigner_jobs(self) -> Iterator[Job]:
        scenes = self.scenes() if Part.GENERATED in self.parts else ()
        for name in self.assigners:
            recipe = recipe_of(name)
            matrix = Matrix(recipe, limit=self.limit)
            stated = sum(name in regression.dues for regression in load_regressions())
            for target in self.targets:
                where = f"{target.name} {name}"
                if Part.PROMISES in self.parts:
                    job, count = partial(run_promises, recipe, target, limit=self.limit), len(PROMISES)
                    if self._few(target, Mode.EAGER):
                        job, count = partial(_left_out, name, target, Mode.EAGER, Part.PROMISES), 0
                    took = _seconds(target, Mode.EAGER, count, shapes=1 + len(target.dtypes))
                    yield Job(name, f"{where} promises", job, count, took)
                if Part.LAWS in self.parts:
                    thorough = True if self.compiled is None else None
                    job = partial(
                        run_laws, recipe, target, laws=self.laws, thorough=thorough, limit=self.limit
                    )
                    took = _seconds(target, Mode.EAGER, 5 * len(self.laws), shapes=LAW_SHAPES)
                    took += LAW_GRAPHS.get(target.library, 0.0) if "static" in self.laws else 0.0
                    yield Job(name, f"{where} laws", job, len(self.laws), took)
                if Part.GUARANTEES in self.parts and target.on_cuda:
                    job = partial(run_guarantees, matrix, target)
                    yield Job(name, f"{where} guarantees", job, GUARANTEE_CASES)
                if Part.GENERATED not in self.parts:
                    continue
                for mode in (mode for mode in self.modes if mode not in self._modes(target)):
                    left = partial(_left_out, name, target, mode, Part.GENERATED)
                    yield Job(name, f"{where} {mode.value}", left)
                for mode, dtype in (
                    (m, d) for m in self.modes for d in self._dtypes(target, m) if m in self._modes(target)
                ):
                    some = [s for s in scenes if s.levels == PYRAMID] if self._few(target, mode) else scenes
                    job = partial(matrix.run_cell, target, mode, dtype, some)
                    shapes = len({scene.levels for scene in some})
                    able = dtype in target.dtypes
                    took = _seconds(target, mode, len(some), shapes=shapes) if able else 0.0
                    yield Job(name, f"{where} {mode.value} {dtype}", job, len(some) if took else 0, took)
                for dtype in self._dtypes(target, Mode.EAGER) if Mode.EAGER in self._modes(target) else ():
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


def run_shared(plan: Plans, processes: int, on_cell: OnCell | None = None) -> tuple[list[Cell], bool]:
    """Run the jobs of a plan in several processes, each of which ends with its share.

    What a library has compiled for an assigner is thus forgotten with it.

    Parameters
    ----------
    plan : Plans
        Lists the jobs.
    processes : int
        How many run at once.
    on_cell : callable, optional
        As for :func:`assigncore.conformance.run_plan`, but called when a cell is done.

    Returns
    -------
    cells : list of Cell
        In the order of the jobs, whoever ran them; those of whole shares where the run was interrupted.
    stopped : bool
        Whether it was.

    Raises
    ------
    SharingError
        The plan cannot be sent to a process, or one was killed, most often for want of memory.
    """
    try:
        sent = pickle.dumps(plan)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise SharingError(f"no process can be sent this plan ({error}); expected --jobs 1") from error
    shares = dict.fromkeys(job.share for job in plan.jobs())
    threads = max(1, (os.cpu_count() or 1) // processes)
    context = get_context("spawn")
    with held_interrupts() as check_interrupts, context.Manager() as manager:
        told = manager.Queue()
        with ProcessPoolExecutor(processes, context, _start, (threads,), max_tasks_per_child=1) as pool:
            futures = [pool.submit(_run_share, sent, share, told) for share in shares]
            stopped = False
            try:
                _watch(futures, told, on_cell, check_interrupts)
            except KeyboardInterrupt:
                stopped = True
                for future in futures:
                    future.cancel()
                for process in list(pool._processes.values()):
                    process.terminate()
            except BrokenProcessPool as error:
                raise SharingError(
                    "a process of the suite was killed, most often for want of memory; expected fewer --jobs"
                ) from error
            except BaseException:
                for future in futures:
                    future.cancel()
                raise
            done = [future for future in futures if future.done() and not future.cancelled()]
            numbered = [pair for future in done if not future.exception() for pair in future.result()]
    return [cell for _, cell in sorted(numbered, key=lambda pair: pair[0])], stopped


def _start(threads: int) -> None:
    """Leave each process its part of the cores; libraries read this when they are imported."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))


def _run_share(sent: bytes, share: str, told: Any) -> list[tuple[int, Cell]]:
    """Run one share of a pickled plan, and tell of each cell; the cells come with their place among all."""
    plan: Plans = pickle.loads(sent)
    numbered = []
    for number, job in enumerate(plan.jobs()):
        if job.share == share:
            numbered.append((number, job.run()))
            told.put((job.description, job.cases))
    return numbered


def _watch(
    futures: list[Future[Any]], told: Any, on_cell: OnCell | None, check_interrupts: Callable[[], None]
) -> None:
    """Pass on what is told until all is done, something fails, or an interrupt has come."""
    pending = set(futures)
    while pending:
        check_interrupts()
        done, pending = wait(pending, POLL, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
        while True:
            try:
                description, cases = told.get_nowait()
            except queue.Empty:
                break
            if on_cell is not None:
                after_case = on_cell(description, cases)
                for _ in range(cases):
                    after_case()


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

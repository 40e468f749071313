"""What is declared, against what is shown: neither more nor less."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from assigncore.conformance.capabilities import DTYPES, undeclared
from assigncore.conformance.laws.bench import Bench, NotApplicable, demand, run_checks
from assigncore.conformance.report.results import Cell, Part
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.matrix import Matrix
from assigncore.conformance.scenes.recipes import Recipe
from assigncore.conformance.targets.deadline import LIMIT
from assigncore.conformance.targets.libraries import Mode, Target
from assigncore.inspect.explain import UnnamedStepsError, explain

__all__ = ["PROMISES", "run_backend_promises", "run_promises"]

BACKEND = "(backend)"
"""What stands for the assigner in the cell of a backend's own promises."""


def _declared(bench: Bench) -> None:
    """Be declared, if registered."""
    name = bench.recipe.name
    demand(
        not (bench.recipe.is_registered and name in undeclared()),
        f"{name} is registered and declares nothing",
    )


def _shown(bench: Bench, mode: Mode, dtype: str) -> bool:
    """Tell whether the assigner gives the reference's answers in a mode and dtype, declared or not."""
    able = replace(bench.recipe.capabilities, modes=tuple(Mode), dtypes=DTYPES)
    recipe = Recipe(bench.recipe.name, bench.recipe.assigner, able)
    cell = Matrix(recipe).run_cell(bench.target, mode, dtype, [draw_scene("fpn-0-0"), draw_scene("ties-0-1")])
    return bool(cell.results) and not cell.failures


def _modes(bench: Bench) -> None:
    """Run in the modes declared and in no other."""
    capabilities = bench.recipe.capabilities
    for mode in bench.target.modes:
        if mode not in capabilities.modes:
            demand(not _shown(bench, mode, "float32"), f"mode {mode} works and is not declared")
        elif mode is not Mode.JIT:
            # That it compiles is shown by the cells of that mode, which take long.
            demand(_shown(bench, mode, "float32"), f"mode {mode} is declared and not shown")


def _dtypes(bench: Bench) -> None:
    """Take the dtypes declared and no other."""
    for dtype in bench.target.dtypes:
        declared = dtype in bench.recipe.capabilities.dtypes
        # Eagerly a library that compiles each operation would take several times as long.
        mode = Mode.JIT if bench.target.compiles_operations else Mode.EAGER
        shown = _shown(bench, mode, dtype)
        demand(shown or not declared, f"{dtype} is declared and not shown")
        demand(declared or not shown, f"{dtype} works and is not declared")


def _host(bench: Bench) -> None:
    """Let the host take part where that is declared, and nowhere else."""
    if bench.target.library != "torch" or bench.target.device != "cpu":
        raise NotApplicable("shown on torch:cpu, whose transfers can be told from other work")
    scene = draw_scene("fpn-0-0")
    arrays = bench.native(bench.recipe.arrays(scene))
    used = bench.transfers(bench.recipe.call(bench.recipe.statics(scene)), arrays) > 0
    demand(used or not bench.recipe.capabilities.host, "the host is declared to take part and does not")
    demand(bench.recipe.capabilities.host or not used, "the host takes part, which is not declared")


EXPLAINED = ("fpn-0-0", "ties-0-1", "crowd-0-2", "degenerate-0-3", "real-0-4")
"""Scenes that are explained."""


def _explained(bench: Bench) -> None:
    """Say why, in words that imply the result. An assigner that is not registered need not."""
    for name in EXPLAINED:
        scene = draw_scene(name)
        with bench.target.running(x64=False):
            arrays = bench.native(bench.recipe.arrays(scene))
            try:
                explain(bench.recipe.assigner, **arrays, **bench.recipe.statics(scene))
            except UnnamedStepsError as error:
                demand(not bench.recipe.is_registered, f"{name}: {error}")
                raise NotApplicable("it does not name its steps, or not all") from error


PROMISES: Mapping[str, Callable[[Bench], None]] = MappingProxyType(
    {"declared": _declared, "modes": _modes, "dtypes": _dtypes, "host": _host, "explained": _explained}
)
"""What is held against each assigner's declaration. Its tie promise and ignore regions are laws."""


def run_promises(
    recipe: Recipe, target: Target, *, limit: float = LIMIT, after_case: Callable[[], object] | None = None
) -> Cell:
    """Hold an assigner against its declaration on a target.

    Parameters
    ----------
    recipe : Recipe
        The assigner.
    target : Target
        Where it runs.
    limit : float, default 300
        Seconds a promise may take.
    after_case : callable, optional
        Called when a promise is done.
    """
    reason = target.incomparable()
    bench = Bench(recipe, recipe, target)
    checks = {name: partial(check, bench) for name, check in PROMISES.items()}
    results = () if reason else run_checks(checks, limit, after_case)
    return Cell(recipe.name, target.name, Mode.EAGER, results, reason, Part.PROMISES)


def run_backend_promises(
    target: Target, *, limit: float = LIMIT, after_case: Callable[[], object] | None = None
) -> Cell:
    """Hold a backend against its declaration: its dtypes, its compiler, subnormal numbers."""
    reason = target.incomparable()
    checks: dict[str, Callable[[], None]] = {
        "dtypes": lambda: _backend_dtypes(target),
        "compiler": lambda: _backend_compiler(target),
        "subnormals": lambda: _backend_subnormals(target),
    }
    results = () if reason else run_checks(checks, limit, after_case)
    return Cell(BACKEND, target.name, Mode.EAGER, results, reason, Part.PROMISES)


def _backend_dtypes(target: Target) -> None:
    for dtype in DTYPES:
        with target.running(x64=dtype == "float64"):
            shown = _has_dtype(target, dtype)
        declared = dtype in target.dtypes
        demand(shown or not declared, f"{dtype} is declared and not there")
        demand(declared or not shown, f"{dtype} is there and not declared")


def _has_dtype(target: Target, dtype: str) -> bool:
    try:
        array = target.in_dtype(np.ones(2, dtype=np.float32), dtype)
    except Exception:
        return False
    return dtype in str(array.dtype) and bool(target.backend.is_dtype(array.dtype, "real floating"))


def _backend_compiler(target: Target) -> None:
    def double(x: Any) -> Any:
        return x + x

    try:
        with target.running(x64=False):
            answer = target.to_numpy(
                target.compile(double)(x=target.from_numpy(np.ones(2, dtype=np.float32)))
            )
        shown = bool(np.all(answer == 2))
    except NotImplementedError:
        shown = False
    declared = Mode.JIT in target.modes
    demand(shown == declared, f"a compiler is {'there' if shown else 'not there'}, against what is declared")


def _backend_subnormals(target: Target) -> None:
    with target.running(x64=False):
        least = target.from_numpy(np.full(2, np.finfo(np.float32).tiny, dtype=np.float32))
        kept = bool(np.all(target.to_numpy(least * 0.5) > 0))
    demand(
        kept == target.subnormals,
        f"subnormal numbers are {'kept' if kept else 'taken for 0'}, against what is declared",
    )

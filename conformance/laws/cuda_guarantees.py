"""What static assigners guarantee on a CUDA device: no wait of the host, a CUDA graph, one compiled graph.

The laws show the same without a device, by tensors that have no values; here it is shown on one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, cast

from assigncore.conformance.report.results import CaseResult, Cell, Part
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.matrix import Matrix, why_not
from assigncore.conformance.scenes.recipes import Recipe
from assigncore.conformance.targets.cuda import (
    NotCaptured,
    Synchronised,
    forbidden_synchronisation,
    record_graph,
    wait,
)
from assigncore.conformance.targets.libraries import Mode, Target

__all__ = ["GUARANTEES", "GUARANTEE_CASES", "NotCaptured", "Synchronised", "run_guarantees"]

Function = Callable[..., Any]

_DTYPE = "float32"

_SCENES = (
    "fpn-10-0", "ties-10-1", "crowd-10-2", "degenerate-10-3", "empty-10-4", "all_padded-10-5", "huge-10-6",
    "non_finite-10-7",
)  # fmt: skip
"""One batch: that nothing is read does not depend on how many there are."""


def _no_synchronisation(torch: Any, function: Function) -> Function:
    """Run a function a second time with every wait of the host forbidden."""

    def call(**arrays: Any) -> Any:
        function(**arrays)
        wait(torch)
        with forbidden_synchronisation(torch):
            return function(**arrays)

    return call


def _cuda_graph(torch: Any, function: Function) -> Function:
    """Capture a function with nothing but zeros, and replay it with the numbers.

    What a call that ran on the host has looked up or decided would thus be that of the zeros.
    """

    def call(**arrays: Any) -> Any:
        static = {name: torch.zeros_like(x) for name, x in arrays.items()}
        graph, outputs = record_graph(torch, function, static)
        for name, x in arrays.items():
            static[name].copy_(x)
        graph.replay()
        wait(torch)
        # The graph owns the memory of its outputs, and ends here.
        return {name: x.clone() for name, x in outputs.items()}

    return call


def _compiled(torch: Any, function: Function) -> Function:
    """Compile a function as a whole, from an empty cache."""
    torch.compiler.reset()
    return cast("Function", torch.compile(function, fullgraph=True))


GUARANTEES: Mapping[str, Callable[[Any, Function], Function]] = MappingProxyType(
    {"no_synchronisation": _no_synchronisation, "cuda_graph": _cuda_graph, "compiled": _compiled}
)
"""How each guarantee is shown: the function that is to be called in place of an assigner's."""

GUARANTEE_CASES = len(GUARANTEES) * len(_SCENES)
"""Number of cases of a cell."""


def run_guarantees(matrix: Matrix, target: Target, *, after_case: Callable[[], object] | None = None) -> Cell:
    """Run an assigner with waits forbidden, in a CUDA graph and compiled; hold the answers against NumPy's.

    Parameters
    ----------
    matrix : Matrix
        The assigner, and what it is held against.
    target : Target
        Where it runs.
    after_case : callable, optional
        Called when a case is done.

    Returns
    -------
    Cell
        A case is called as its guarantee and its scene. Not run, with the reason, where there is no CUDA
        device, or nothing is guaranteed.

    Examples
    --------
    >>> from assigncore.conformance.targets.libraries import get_target
    >>> from assigncore.conformance.scenes.recipes import recipe_of
    >>> run_guarantees(Matrix(recipe_of("HungarianAssigner")), get_target("numpy")).not_run
    'HungarianAssigner lets the host take part, as declared'
    """
    recipe = matrix.recipe
    reason = _why_not(recipe, target)
    results: list[CaseResult] = []
    scenes = [draw_scene(name) for name in _SCENES]
    for name, shown in () if reason else GUARANTEES.items():
        under = partial(shown, target.module)
        cell = matrix.run_cell(target, Mode.BATCHED, _DTYPE, scenes, after_case=after_case, under=under)
        results += [replace(result, case=f"{name} {result.case}") for result in cell.results]
    return Cell(recipe.name, target.name, Mode.BATCHED, tuple(results), reason, Part.GUARANTEES, _DTYPE)


def _why_not(recipe: Recipe, target: Target) -> str:
    reason = why_not(recipe, target, Mode.BATCHED, _DTYPE)
    if not reason and recipe.capabilities.host:
        return f"{recipe.name} lets the host take part, as declared"
    if not reason and not (target.on_cuda and target.library == "torch"):
        return f"{target.name} has no mode that forbids the host to wait"
    return reason

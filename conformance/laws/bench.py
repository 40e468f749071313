"""What the laws share: an assigner on a target, and how to call it there."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from assigncore.backend.memory import current_memory_budget
from assigncore.conformance.report.results import Agreement, CaseResult
from assigncore.conformance.scenes.recipes import Recipe
from assigncore.conformance.scenes.scene import MASKS, ROWS, Scene, native_arrays, round_to
from assigncore.conformance.scenes.verdict import compare_outputs
from assigncore.conformance.targets.deadline import Hang, within
from assigncore.conformance.targets.libraries import Target

__all__ = ["Bench", "Broken", "NotApplicable", "demand", "run_checks", "whole"]

AnyArray = NDArray[Any]
Arrays = Mapping[str, AnyArray]


class Broken(AssertionError):  # noqa: N818
    """A law is broken; the message says how."""


class NotApplicable(Exception):  # noqa: N818
    """A law says nothing about this assigner or cannot be shown on this target; the message says why."""


def demand(condition: bool, message: str) -> None:
    """Raise `Broken` with the message where the condition is false."""
    if not condition:
        raise Broken(message)


def run_checks(
    checks: Mapping[str, Callable[[], None]], limit: float, after_case: Callable[[], object] | None
) -> tuple[CaseResult, ...]:
    """Run checks, each within `limit` seconds, to a case each; `after_case` is called when one is done."""
    results = []
    for name, check in checks.items():
        results.append(_outcome(name, check, limit))
        if after_case is not None:
            after_case()
    return tuple(results)


def _outcome(name: str, check: Callable[[], None], limit: float) -> CaseResult:
    try:
        within(limit, check)
    except NotApplicable as error:
        return CaseResult(name, Agreement.NOT_RUN, str(error))
    except Broken as error:
        return CaseResult(name, Agreement.DIFFERENT, str(error))
    except Hang as error:
        return CaseResult(name, Agreement.HANG, str(error))
    except Exception as error:
        return CaseResult(name, Agreement.ERROR, f"{type(error).__name__}: {error}"[:500])
    return CaseResult(name, Agreement.IDENTICAL)


def whole(scene: Scene) -> Scene:
    """Give a scene in which nothing is padding."""
    return scene.with_arrays(**{mask: np.ones_like(scene.arrays[mask]) for mask in MASKS.values()})


@dataclass(frozen=True, eq=False)
class Bench:
    """An assigner on a target, with what it is held against.

    Parameters
    ----------
    recipe : Recipe
        The assigner under test.
    reference : Recipe
        What it is held against, on NumPy.
    target : Target
        Where it runs.
    """

    recipe: Recipe
    reference: Recipe
    target: Target
    _graphs: dict[str, Callable[..., dict[str, Any]]] = field(default_factory=dict)

    def native(self, arrays: Arrays, dtype: str = "float32") -> dict[str, Any]:
        """Bring arrays to the target, real numbers in a dtype."""
        return native_arrays(self.target, arrays, dtype)

    def call(
        self,
        arrays: Arrays,
        statics: Mapping[str, Any],
        dtype: str = "float32",
        *,
        recipe: Recipe | None = None,
        eagerly: bool = False,
    ) -> dict[str, AnyArray]:
        """Call the assigner on the target, and bring the outputs back.

        Where a library compiles each operation for each shape, the call is compiled as a whole, which takes
        half as long, unless it is to run `eagerly`.
        """
        with (
            self.target.running(x64=dtype == "float64"),
            np.errstate(all="ignore"),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            whole = self.target.compiles_operations and recipe is None and not eagerly
            function = self._compiled(statics) if whole else (recipe or self.recipe).call(statics)
            outputs = function(**self.native(arrays, dtype))
            return {name: self.target.to_numpy(x) for name, x in outputs.items()}

    def _compiled(self, statics: Mapping[str, Any]) -> Callable[..., dict[str, Any]]:
        """Compile the assigner's call, once for its arguments that are no arrays and the memory budget."""
        key = repr((sorted(statics.items()), current_memory_budget()))
        if key not in self._graphs:
            self._graphs[key] = self.target.compile(self.recipe.call(statics))
        return self._graphs[key]

    def run(
        self, scene: Scene, dtype: str = "float32", *, without: tuple[str, ...] = ()
    ) -> dict[str, AnyArray]:
        """Assign a scene on the target, perhaps without some optional arguments."""
        arrays = {name: x for name, x in self.recipe.arrays(scene).items() if name not in without}
        return self.call(arrays, self.recipe.statics(scene), dtype)

    def refer(self, scene: Scene, dtype: str = "float32") -> dict[str, AnyArray]:
        """Assign a scene on NumPy with the reference."""
        arrays = {name: round_to(x, dtype) for name, x in self.reference.arrays(scene).items()}
        with np.errstate(all="ignore"):
            outputs = self.reference.call(self.reference.statics(scene))(**arrays)
        return {name: np.asarray(x) for name, x in outputs.items()}

    def same(self, got: Arrays, expected: Arrays, what: str) -> None:
        """Demand equal integers and close real numbers."""
        verdict = compare_outputs(got, {name: x for name, x in expected.items() if name in got})
        demand(verdict.agreement.agrees and "gt_inds" in got, f"{what}: {verdict.message}")

    def transfers(self, assign: Callable[..., Any], arrays: Mapping[str, Any]) -> int:
        """Count how often a call brings values to the host, as it would on a device of its own memory."""
        backend = self.target.backend
        patch = mock.patch.object
        with (
            patch(backend, "reads_host", return_value=False),
            patch(backend, "on_numpy", return_value=None),
            patch(backend, "to_numpy", wraps=backend.to_numpy) as transfer,
            np.errstate(all="ignore"),
        ):
            assign(**arrays)
        return transfer.call_count

    def image_axes(self) -> tuple[str, ...]:
        """Give the array arguments that belong to one image each."""
        return tuple(name for name in self.recipe.parameters if name in ROWS)

"""What the laws share: an assigner on a target, and how to call it there."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from assigncore.backend.memory import current_memory_budget
from assigncore.conformance.capabilities import Rounding
from assigncore.conformance.report.results import Agreement, CaseResult
from assigncore.conformance.scenes.recipes import Recipe
from assigncore.conformance.scenes.scene import MASKS, ROWS, Scene, native_arrays, round_to
from assigncore.conformance.scenes.verdict import compare_outputs
from assigncore.conformance.targets.deadline import Hang, within
from assigncore.conformance.targets.libraries import Mode, Target

__all__ = ["Bench", "Broken", "NotApplicable", "demand", "refused", "run_checks", "stacked", "whole"]

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
        What it is held against, on NumPy, where it has no reference implementation.
    target : Target
        Where it runs.
    thorough : bool, default True
        Whether to check, too, what is common to all assigners and takes a shape, dtype or set of arguments of
        its own. Not where a library compiles for seconds for each.
    traces : list of mapping
        The shapes for which the call has been compiled; it grows.
    """

    recipe: Recipe
    reference: Recipe
    target: Target
    thorough: bool = True
    _graphs: dict[str, Callable[..., dict[str, Any]]] = field(default_factory=dict)
    traces: list[Mapping[str, Any]] = field(default_factory=list)

    def native(self, arrays: Arrays, dtype: str = "float32") -> dict[str, Any]:
        """Bring arrays to the target, real numbers in a dtype."""
        return native_arrays(self.target, arrays, dtype)

    @contextmanager
    def running(self, dtype: str = "float32") -> Iterator[None]:
        """Hold the settings under which the target is called, without warnings."""
        with (
            self.target.running(x64=dtype == "float64"),
            np.errstate(all="ignore"),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield

    def function(self, statics: Mapping[str, Any], *, eagerly: bool = False) -> Callable[..., dict[str, Any]]:
        """Give the assigner's call as a function of arrays alone that returns the outputs by name.

        Where a library compiles each operation for each shape, it is compiled as a whole, which takes half as
        long, unless it is to run `eagerly`: once for its arguments that are no arrays and the memory budget.
        """
        if eagerly or not self.target.compiles_operations:
            return self.recipe.call(statics)
        key = repr((sorted(statics.items()), current_memory_budget()))
        if key not in self._graphs:
            assign = self.recipe.call(statics)

            def traced(**arrays: Any) -> dict[str, Any]:
                self.traces.append({name: x.shape for name, x in arrays.items()})
                return assign(**arrays)

            self._graphs[key] = self.target.compile(traced)
        return self._graphs[key]

    def call_native(
        self, native: Mapping[str, Any], statics: Mapping[str, Any], dtype: str = "float32"
    ) -> dict[str, AnyArray]:
        """Call the assigner with arrays of the target, and bring the outputs back."""
        with self.running(dtype):
            outputs = self.function(statics)(**native)
            return self.recipe.promised({name: self.target.to_numpy(x) for name, x in outputs.items()})

    def call(self, arrays: Arrays, statics: Mapping[str, Any], dtype: str = "float32") -> dict[str, AnyArray]:
        """Call the assigner on the target, and bring the outputs back."""
        with self.running(dtype):
            native = self.native(arrays, dtype)
        return self.call_native(native, statics, dtype)

    def run(
        self, scene: Scene, dtype: str = "float32", *, without: tuple[str, ...] = ()
    ) -> dict[str, AnyArray]:
        """Assign a scene on the target, perhaps without some optional arguments."""
        arrays = {name: x for name, x in self.recipe.arrays(scene).items() if name not in without}
        return self.call(arrays, self.recipe.statics(scene), dtype)

    def refer(self, scene: Scene, dtype: str = "float32") -> dict[str, AnyArray]:
        """Assign a scene by the rule that is declared, or where there is none by the reference on NumPy."""
        arrays = {name: round_to(x, dtype) for name, x in self.recipe.arrays(scene).items()}
        with np.errstate(all="ignore"):
            read = self.recipe.read(scene, arrays) if self.reference is self.recipe else None
            outputs = self.reference.call(self.reference.statics(scene))(**arrays) if read is None else read
        return self.recipe.promised(outputs)

    def same(self, got: Arrays, expected: Arrays, what: str) -> None:
        """Demand that outputs are equal, but for what rounding may change where numbers lie elsewhere.

        Outputs that are not declared may be missing.
        """
        capabilities = self.recipe.capabilities
        due = {name: x for name, x in expected.items() if name in got or capabilities.holds(name)}
        verdict = compare_outputs(got, due)
        exact = capabilities.rounding is Rounding.NOTHING and self.target.rounds_alike
        least = Agreement.IDENTICAL if exact else Agreement.CLOSE
        demand(verdict.agreement <= least and "gt_inds" in got, f"{what}: {verdict.message}")

    def identical(self, got: Arrays, expected: Arrays, what: str) -> None:
        """Demand that outputs are there on both sides, and equal to the bit."""
        demand(got.keys() == expected.keys(), f"{what}: got {', '.join(got)}, expected {', '.join(expected)}")
        verdict = compare_outputs(got, expected)
        demand(verdict.agreement is Agreement.IDENTICAL, f"{what}: {verdict.message}")

    def refused(
        self,
        arrays: Mapping[str, Any],
        statics: Mapping[str, Any],
        error: type[Exception],
        *words: str,
        what: str,
    ) -> None:
        """Demand that a call with arrays of the target is refused by an error with some words."""
        refused(partial(self.recipe.call(statics), **arrays), error, *words, what=what)

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

    @property
    def takes_batches(self) -> bool:
        """Whether it is declared to take batches."""
        return Mode.BATCHED in self.recipe.capabilities.modes


def refused(
    call: Callable[[], object], errors: type[Exception] | tuple[type[Exception], ...], *words: str, what: str
) -> None:
    """Demand that a call raises one of some errors, whose message has some words."""
    kinds = errors if isinstance(errors, tuple) else (errors,)
    expected = " or ".join(kind.__name__ for kind in kinds)
    try:
        call()
    except kinds as error:
        missing = [word for word in words if word not in str(error)]
        demand(not missing, f"{what}: the message does not name {', '.join(missing)}: {error}")
    except Exception as error:
        raise Broken(f"{what}: {type(error).__name__}: {error}; expected {expected}") from error
    else:
        raise Broken(f"{what} is accepted, expected {expected}")


def stacked(images: Sequence[Arrays], lead: tuple[int, ...]) -> dict[str, AnyArray]:
    """Join the rows of several images, whose leading dimensions become `lead`; what has no rows is shared."""
    return {
        name: np.stack([image[name] for image in images]).reshape(*lead, *x.shape) if name in ROWS else x
        for name, x in images[0].items()
    }

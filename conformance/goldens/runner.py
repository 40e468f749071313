"""Running golden cases on targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from assigncore.conformance.goldens.batching import twins
from assigncore.conformance.goldens.calls import Outputs
from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.goldens.compare import Comparison, compare_case
from assigncore.conformance.goldens.replay import REPLAYS, Call, Refusal, Replay
from assigncore.conformance.report.results import Agreement, CaseResult, Cell
from assigncore.conformance.targets.deadline import LIMIT, Hang, within
from assigncore.conformance.targets.libraries import Mode, Target

__all__ = ["NOT_COVERED", "replay_case", "run_call", "run_cell"]

NOT_COVERED = "not covered yet"
"""Why a variant is not run that has goldens but no replay."""


def run_call(call: Call, target: Target, mode: Mode) -> dict[str, np.ndarray[Any, Any] | None]:
    """Run a call on a target.

    Parameters
    ----------
    call : Call
        Function and NumPy arrays.
    target : Target
        Where to run it.
    mode : Mode
        How to run it.

    Returns
    -------
    dict of str to numpy.ndarray or None
        The outputs, in NumPy again.
    """
    with target.running(x64=any(array.dtype == np.float64 for array in call.arrays.values())):
        function = target.compile(call.function) if mode is Mode.JIT else call.function
        outputs = function(**{name: target.from_numpy(array) for name, array in call.arrays.items()})
        return {name: None if array is None else target.to_numpy(array) for name, array in outputs.items()}


def replay_case(
    replay: Replay, case: GoldenCase, target: Target, mode: Mode = Mode.EAGER, *, limit: float = LIMIT
) -> CaseResult:
    """Replay one golden case and hold the result against what is due.

    Parameters
    ----------
    replay : Replay
        The translation of the case's variant.
    case : GoldenCase
        The case.
    target : Target
        Where to run it.
    mode : Mode, default Mode.EAGER
        How to run it; batched, it is one of two images that are alike.
    limit : float, default 300
        Seconds it may take.

    Returns
    -------
    CaseResult
        Whatever the core raises is part of the result, never raised again.
    """
    try:
        due = replay.expect(case)
    except NotImplementedError as error:
        return CaseResult(case.name, Agreement.ERROR, str(error))
    outcome, batched = Comparison(Agreement.IDENTICAL), mode is Mode.BATCHED

    def outputs_of_case() -> Outputs:
        call = replay.prepare(case)
        return run_call(twins(call) if batched else call, target, mode)

    try:
        outputs = within(limit, outputs_of_case)
    except Hang as error:
        outcome = Comparison(Agreement.HANG, str(error))
    except Exception as error:
        if isinstance(due, Refusal):
            message = due.fault(error, compiled=mode is Mode.JIT)
            outcome = Comparison(Agreement.ERROR, message) if message else outcome
        else:
            outcome = Comparison(Agreement.ERROR, f"{type(error).__name__}: {error}")
    else:
        if isinstance(due, Refusal):
            message = due.fault(None)
            outcome = Comparison(Agreement.DIFFERENT, message) if message else outcome
        else:
            images = _images(outputs) if batched else [outputs]
            outcome = max((compare_case(due, image) for image in images), key=lambda found: found.agreement)
    return CaseResult(case.name, outcome.agreement, outcome.message)


def _images(outputs: Outputs) -> list[Outputs]:
    """Part the outputs of two images."""
    return [{name: None if x is None else x[image] for name, x in outputs.items()} for image in range(2)]


def run_cell(
    variant: str,
    cases: Iterable[GoldenCase],
    target: Target,
    mode: Mode = Mode.EAGER,
    *,
    limit: float = LIMIT,
    after_case: Callable[[], object] | None = None,
) -> Cell:
    """Replay the cases of a variant on a target.

    Parameters
    ----------
    variant : str
        The assigner.
    cases : iterable of GoldenCase
        Its cases.
    target : Target
        Where to run them.
    mode : Mode, default Mode.EAGER
        How to run them.
    limit : float, default 300
        Seconds a case may take.
    after_case : callable, optional
        Called when a case is done, to show progress.

    Returns
    -------
    Cell
        Not run, with the reason, where the variant is not covered yet or the target or mode cannot be had.
        After a hang the cell ends, since what hangs cannot be ended.

    Examples
    --------
    >>> from assigncore.conformance.targets.libraries import get_target
    >>> run_cell("MaxIoUAssigner", [], get_target("numpy"), Mode.JIT).not_run
    'numpy has no compiler'
    """
    if variant not in REPLAYS:
        reason = NOT_COVERED
    elif mode is Mode.BATCHED and REPLAYS[variant].batches:
        reason = "its cases are batches already"
    elif not (reason := target.incomparable()) and mode not in target.modes:
        reason = f"{target.name} has no compiler"
    if reason:
        return Cell(variant, target.name, mode, not_run=reason)
    results = []
    for case in cases:
        results.append(replay_case(REPLAYS[variant], case, target, mode, limit=limit))
        if after_case is not None:
            after_case()
        if results[-1].agreement is Agreement.HANG:
            break
    return Cell(variant, target.name, mode, tuple(results))

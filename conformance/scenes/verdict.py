"""How a result is held against NumPy's for the same inputs, and when rounding may decide.

A difference is called a near tie where the reference itself gives the other answer when its inputs are moved
by a few units in the last place. How many it takes is the *margin*, which is searched for in powers of two,
reported with each case, and may not exceed `BOUND`. No tolerance is put on integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.goldens.compare import compare_output
from assigncore.conformance.report.results import Agreement

__all__ = ["BOUND", "Verdict", "compare_outputs", "judge", "nudged"]

AnyArray = NDArray[Any]
Arrays = Mapping[str, AnyArray]
Reference = Callable[[Arrays], Arrays]

BOUND = 64
"""Largest margin of a near tie, in units in the last place of the inputs' computing dtype."""

TRIES = 12
"""How often the reference is asked again for each margin."""


@dataclass(frozen=True)
class Verdict:
    """What a comparison found.

    Parameters
    ----------
    agreement : Agreement
        The level reached.
    message : str
        What differs; empty when identical.
    margin : float or None
        Of a near tie, the units in the last place that turn the reference's answer.
    """

    agreement: Agreement
    message: str = ""
    margin: float | None = None


def compare_outputs(got: Arrays, expected: Arrays) -> Verdict:
    """Compare outputs by name; the worst decides.

    Examples
    --------
    >>> one, other = {"gt_inds": np.array([1, 0])}, {"gt_inds": np.array([1, 1])}
    >>> compare_outputs(one, other).agreement.name
    'DIFFERENT'
    """
    missing = sorted(set(expected) - set(got))
    if missing:
        return Verdict(Agreement.DIFFERENT, f"no output {', '.join(missing)}")
    compared = [compare_output(name, got[name], array) for name, array in expected.items()]
    worst = max((outcome.agreement for outcome in compared), default=Agreement.IDENTICAL)
    return Verdict(worst, "; ".join(outcome.message for outcome in compared if outcome.message))


def nudged(arrays: Arrays, units: float, rng: np.random.Generator) -> dict[str, AnyArray]:
    """Move every real number by up to so many units in the last place of its row's largest.

    Examples
    --------
    >>> moved = nudged({"x": np.ones(3, dtype=np.float32)}, 1, np.random.default_rng(0))["x"]
    >>> bool(np.all(np.abs(moved - 1) <= np.finfo(np.float32).eps))
    True
    """
    moved = {}
    for name, x in arrays.items():
        if x.dtype.kind != "f":
            moved[name] = x
            continue
        with np.errstate(all="ignore"):
            size = np.abs(x)
            if x.ndim and x.shape[-1] == 4 and x.size:
                size = np.max(size, axis=-1, keepdims=True)
            step = size * np.finfo(x.dtype).eps * units * rng.uniform(-1, 1, x.shape)
            moved[name] = np.where(np.isfinite(x), x + step, x).astype(x.dtype)
    return moved


def _answers(reference: Reference, arrays: Arrays, units: float) -> Iterator[Arrays]:
    rng = np.random.default_rng(0)
    for _ in range(TRIES):
        yield reference(nudged(arrays, units, rng))


def _covered(got: AnyArray, answers: list[AnyArray]) -> AnyArray:
    """Tell where one of the answers is what was got; floats may lie anywhere between two."""
    if got.dtype.kind != "f":
        return np.asarray(np.any([got == answer for answer in answers], axis=0))
    low, high = np.fmin.reduce(answers), np.fmax.reduce(answers)
    near = np.isclose(got, low, rtol=1e-4, atol=1e-5, equal_nan=True)
    near |= np.isclose(got, high, rtol=1e-4, atol=1e-5, equal_nan=True)
    return np.asarray(near | ((got >= low) & (got <= high)))


def judge(
    got: Arrays, expected: Arrays, reference: Reference, arrays: Arrays, *, equal_cost: Callable[[], bool]
) -> Verdict:
    """Compare a result with the reference's, and where they differ, say whether rounding or a tie decides.

    Parameters
    ----------
    got, expected : mapping of str to numpy.ndarray
        The outputs.
    reference : callable
        Gives the reference's outputs for other inputs.
    arrays : mapping of str to numpy.ndarray
        The inputs, in the computing dtype.
    equal_cost : callable
        Tells whether the result is another matching of the same total cost.

    Returns
    -------
    Verdict
    """
    plain = compare_outputs(got, expected)
    if plain.agreement.agrees or any(
        name not in got or got[name].shape != x.shape or got[name].dtype.kind != x.dtype.kind
        for name, x in expected.items()
    ):
        return plain
    if equal_cost():
        return Verdict(Agreement.EQUIVALENT, f"{plain.message} (the same total cost)")
    seen: dict[str, list[AnyArray]] = {name: [x] for name, x in expected.items()}
    units = 1.0
    while units <= BOUND:
        for answer in _answers(reference, arrays, units):
            for name in seen:
                seen[name].append(answer[name])
        if all(np.all(_covered(got[name], answers)) for name, answers in seen.items()):
            note = f"{plain.message} (the reference turns at {units:g} units in the last place)"
            return Verdict(Agreement.NEAR_TIE, note, units)
        units *= 2
    return plain

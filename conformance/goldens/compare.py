"""How a result is held against a golden answer.

Integer outputs must be equal, float outputs close, shapes and kinds of dtype the same. Two exceptions are
stated by the case itself, never guessed: entries that rounding decides (``f64_diff``), and another matching
of the same total cost (``opt_cost``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.report.results import Agreement

__all__ = ["Comparison", "compare_case", "compare_output", "matching_cost"]

RTOL = 1e-4
"""Relative tolerance of float outputs."""

ATOL = 1e-5
"""Absolute tolerance of float outputs."""

COST_RTOL = 1e-6
"""Relative tolerance of a matching's total cost."""

AnyArray = NDArray[Any]


@dataclass(frozen=True)
class Comparison:
    """The outcome of a comparison.

    Parameters
    ----------
    agreement : Agreement
        The level reached; of a whole case, the worst of its outputs.
    message : str
        What differs: output, number of entries, first place, what was got and expected. Empty when identical.
    entries : int
        Number of entries that differ, beyond the tolerance for floats. 0 where shapes or dtypes differ.
    """

    agreement: Agreement
    message: str = ""
    entries: int = 0


_SAME = Comparison(Agreement.IDENTICAL)


def _dtype_fault(got: AnyArray, expected: AnyArray) -> str:
    """Say what is wrong with a dtype, or nothing.

    Integers may have any width, because the default integer is the library's own; floats may not, because the
    computing dtype is promised.
    """
    if expected.dtype.kind == "f":
        return "" if got.dtype == expected.dtype else f"dtype {got.dtype}, expected {expected.dtype}"
    if expected.dtype.kind == "b":
        return "" if got.dtype.kind == "b" else f"dtype {got.dtype}, expected bool"
    return "" if got.dtype.kind in "iu" else f"dtype {got.dtype}, expected an integer dtype"


def compare_output(name: str, got: AnyArray, expected: AnyArray, *, near_ties: int = 0) -> Comparison:
    """Compare one output array with the expected one.

    Parameters
    ----------
    name : str
        The output's name, for the message.
    got, expected : numpy.ndarray
        The arrays, of any shape.
    near_ties : int, default 0
        Entries that may differ because rounding decides them.

    Returns
    -------
    Comparison

    Notes
    -----
    Integers are compared exactly and floats with `RTOL` and `ATOL`; NaN agrees with NaN and infinity with the
    same infinity. Empty arrays agree when their shapes do.

    Examples
    --------
    >>> import numpy as np
    >>> compare_output("gt_inds", np.array([0, 2, 1]), np.array([0, 0, 1])).message
    'gt_inds: 1 of 3 entries differ, first at [1]: got 2, expected 0'
    """
    if got.shape != expected.shape:
        return Comparison(Agreement.DIFFERENT, f"{name}: shape {got.shape}, expected {expected.shape}")
    fault = _dtype_fault(got, expected)
    if fault:
        return Comparison(Agreement.DIFFERENT, f"{name}: {fault}")
    floats = expected.dtype.kind == "f"
    if np.array_equal(got, expected, equal_nan=floats):
        return _SAME
    wrong = ~np.isclose(got, expected, rtol=RTOL, atol=ATOL, equal_nan=True) if floats else got != expected
    count = int(np.count_nonzero(wrong))
    if count == 0:
        with np.errstate(invalid="ignore"):
            largest = float(np.nanmax(np.abs(got - expected)))
        return Comparison(Agreement.CLOSE, f"{name}: within tolerance, largest difference {largest:.3g}")
    first = tuple(int(index) for index in np.argwhere(wrong)[0])
    place = ", ".join(map(str, first))
    beyond = f" by more than rtol {RTOL:g} and atol {ATOL:g}" if floats else ""
    message = (
        f"{name}: {count} of {expected.size} entries differ{beyond}, "
        f"first at [{place}]: got {got[first]}, expected {expected[first]}"
    )
    if count <= near_ties:
        return Comparison(Agreement.NEAR_TIE, f"{message} (rounding decides up to {near_ties})", count)
    return Comparison(Agreement.DIFFERENT, message, count)


def matching_cost(gt_inds: AnyArray, cost: AnyArray) -> float:
    """Total cost of a one-to-one matching.

    Parameters
    ----------
    gt_inds : numpy.ndarray
        Shape ``(N,)``: i + 1 where a prior is matched to ground truth i, else 0.
    cost : numpy.ndarray
        Shape ``(N, G)``.

    Returns
    -------
    float
        NaN when it is not a matching of as many pairs as there can be, each ground truth used once at most.

    Examples
    --------
    >>> import numpy as np
    >>> matching_cost(np.array([2, 0, 1]), np.array([[5.0, 1.0], [3.0, 3.0], [2.0, 9.0]]))
    3.0
    """
    if gt_inds.shape != cost.shape[:1]:
        return math.nan
    rows = np.flatnonzero(gt_inds)
    columns = gt_inds[rows] - 1
    full = rows.size == min(cost.shape) and np.unique(columns).size == columns.size
    if not full or (rows.size and (columns.min() < 0 or columns.max() >= cost.shape[1])):
        return math.nan
    return float(np.sum(cost[rows, columns], dtype=np.float64))


def _matchings(gt_inds: AnyArray, rows: int) -> AnyArray:
    """Return the codes of each matching, in the order of the files: layer, group of `rows`, image."""
    if gt_inds.ndim == 1:
        return gt_inds[None]
    layers, images, queries = gt_inds.shape
    grouped = gt_inds.reshape(layers, images, queries // rows, rows)
    return grouped.transpose(0, 2, 1, 3).reshape(-1, rows)


def _equal_cost(case: GoldenCase, got: Mapping[str, AnyArray | None]) -> bool:
    """Tell whether the result is another matching of the optimal cost, with the labels that belong to it."""
    gt_inds, labels = got.get("gt_inds"), got.get("labels")
    if case.opt_cost is None or case.cost is None or gt_inds is None:
        return False
    costs = case.cost if isinstance(case.cost, tuple) else (case.cost,)
    optima = case.opt_cost if isinstance(case.opt_cost, tuple) else (case.opt_cost,)
    matchings = _matchings(gt_inds, len(costs[0]))
    if len(matchings) != len(costs) or not all(
        math.isclose(matching_cost(codes, cost), optimum, rel_tol=COST_RTOL)
        for codes, cost, optimum in zip(matchings, costs, optima, strict=True)
    ):
        return False
    if labels is None:
        return "labels" in case.none_outputs
    own_labels = np.append(case.inputs["gt_labels"], -1)[gt_inds - 1]
    return bool(np.array_equal(labels, own_labels))


def compare_case(case: GoldenCase, got: Mapping[str, AnyArray | None]) -> Comparison:
    """Compare all outputs of a call with the answer of a golden case.

    Parameters
    ----------
    case : GoldenCase
        The case; its `expected` and `none_outputs` name the outputs that are compared.
    got : mapping of str to numpy.ndarray or None
        The result. Outputs of other names are not looked at.

    Returns
    -------
    Comparison
        The worst of the outputs' levels, and the messages of all that are not identical.

    Notes
    -----
    The rule for equal cost replaces the comparison of ``gt_inds`` and ``labels``, and only theirs.

    Examples
    --------
    >>> from assigncore.conformance.goldens.cases import load_packed
    >>> case = load_packed("MaxIoUAssigner")[0]
    >>> compare_case(case, case.expected).agreement.name
    'IDENTICAL'
    """
    outcomes: dict[str, Comparison] = {}
    for name, expected in case.expected.items():
        array = got.get(name)
        if array is None:
            outcomes[name] = Comparison(Agreement.DIFFERENT, f"{name}: got None, expected an array")
        else:
            outcomes[name] = compare_output(name, array, expected, near_ties=case.f64_diff)
    for name in case.none_outputs:
        array = got.get(name)
        if array is not None:
            message = f"{name}: got an array of shape {array.shape}, expected None"
            outcomes[name] = Comparison(Agreement.DIFFERENT, message)
    matching = [name for name in ("gt_inds", "labels") if not outcomes.get(name, _SAME).agreement.agrees]
    if matching and _equal_cost(case, got):
        for name in matching:
            note = f"{outcomes[name].message} (the same total cost)"
            outcomes[name] = replace(outcomes[name], agreement=Agreement.EQUIVALENT, message=note)
    messages = "; ".join(outcome.message for outcome in outcomes.values() if outcome.message)
    worst = max((outcome.agreement for outcome in outcomes.values()), default=Agreement.IDENTICAL)
    return Comparison(worst, messages, sum(outcome.entries for outcome in outcomes.values()))

"""Linear sum assignment on the host: SciPy's solver over a batch of problems."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from assigncore.backend.threads import num_cores

__all__ = ["non_finite_cost", "solve_batch"]

AnyArray = np.ndarray[Any, Any]

WORTH_THREADS = 2**20
"""Pairs from which on threads save more than they cost: measured, 1.1 million took 5 ms on one."""


def solve_batch(cost: AnyArray) -> AnyArray:
    """Match rows with columns of each problem: as many pairs as there can be, at the least total cost.

    Parameters
    ----------
    cost : numpy.ndarray (..., R, C)
        Costs. A pair that costs infinity is never matched.

    Returns
    -------
    numpy.ndarray (..., R) of int64
        The column of each row, -1 where it has none.

    Raises
    ------
    ValueError
        If a cost is NaN or negative infinity.

    Notes
    -----
    Rows and columns without any pair are left out of a problem before it is solved, so they change nothing,
    ties included. Problems are independent, so threads change nothing either.

    Examples
    --------
    >>> solve_batch(np.array([[1.0, 2.0], [0.0, np.inf], [np.inf, np.inf]])).tolist()
    [1, 0, -1]
    """
    problems = cost.reshape(-1, *cost.shape[-2:])
    matched = np.full(problems.shape[:2], -1, dtype=np.int64)
    if problems.size == 0:
        return matched.reshape(cost.shape[:-1])
    allowed = np.isfinite(problems)
    everything = bool(allowed.all())
    if not everything and not (allowed | (problems == np.inf)).all():
        raise non_finite_cost(cost)

    def solve(first: int, step: int) -> None:
        for i in range(first, len(problems), step):
            # SciPy solves in float64, and refuses what holds more.
            problem = problems[i].astype(np.float64, copy=False)
            rows, columns = linear_sum_assignment(problem) if everything else _solve(problem, allowed[i])
            matched[i, rows] = columns

    threads = min(len(problems), num_cores()) if problems.size >= WORTH_THREADS else 1
    if threads == 1:
        solve(0, 1)
    else:
        with ThreadPoolExecutor(threads) as pool:
            # Reading the results raises what a thread raised.
            list(pool.map(solve, range(threads), [threads] * threads))
    return matched.reshape(cost.shape[:-1])


def _solve(cost: AnyArray, allowed: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Solve one problem with forbidden pairs."""
    rows, columns = np.flatnonzero(allowed.any(axis=1)), np.flatnonzero(allowed.any(axis=0))
    real = np.ix_(rows, columns)
    cost, allowed = cost[real], allowed[real]
    if cost.size == 0:
        return rows[:0], columns[:0]
    if allowed.all():
        row, column = linear_sum_assignment(cost)
        return rows[row], columns[column]
    most = np.count_nonzero(maximum_bipartite_matching(csr_array(allowed), perm_type="column") >= 0)
    row, column = linear_sum_assignment(_with_spares(cost, int(most)))
    taken = (row < rows.size) & (column < columns.size)
    return rows[row[taken]], columns[column[taken]]


def _with_spares(cost: AnyArray, most: int) -> AnyArray:
    """Add free spare rows and columns, so that all but `most` rows and columns are matched with those.

    A penalty for forbidden pairs would do, but swamps the differences between costs.
    """
    n_rows, n_columns = cost.shape
    if most == min(n_rows, n_columns):
        return cost
    size = n_rows + n_columns - most
    padded = np.zeros((size, size))
    padded[:n_rows, :n_columns] = cost
    padded[n_rows:, n_columns:] = np.inf
    return padded


def non_finite_cost(cost: AnyArray) -> ValueError:
    """Return the error that names the first pair whose cost is NaN or negative infinity."""
    *lead, row, column = np.argwhere(np.isnan(cost) | (cost == -np.inf))[0].tolist()
    problem = f"problem {lead[0] if len(lead) == 1 else tuple(lead)}, " if lead else ""
    return ValueError(
        f"cost of {problem}row {row} and column {column}: expected a finite number, "
        f"got {cost[(*lead, row, column)]}"
    )

"""Matching each column several times, or rows group by group, by any matching that is one to one."""

from __future__ import annotations

from collections.abc import Callable

from assigncore.backend import Array, ArrayBackend
from assigncore.checks import check_knob

__all__ = ["Solver", "check_copies", "check_groups", "in_groups", "repeated"]

Solver = Callable[[Array], Array]
"""Maps costs (B, N, G), infinite where a pair may not be matched, to the column of each row (B, N) or -1."""


def repeated(solver: Solver, backend: ArrayBackend, times: int, at_most: Array | None = None) -> Solver:
    """Return a solver that matches each column up to `times` times, as if there were so many of it.

    Parameters
    ----------
    solver : callable
        Matches each column once at most.
    backend : ArrayBackend
        The library of the costs.
    times : int
        How often; at least 1.
    at_most : array (B,) of integers, optional
        A lower limit for each problem.

    References
    ----------
    Jia et al., "DETRs with Hybrid Matching", 2023.
    """
    if times == 1 and at_most is None:
        return solver
    xp = backend.xp

    def solve(cost: Array) -> Array:
        images, n_rows, n_columns = cost.shape
        copies = xp.broadcast_to(cost[..., None], (*cost.shape, times))
        if at_most is not None:
            number = xp.arange(times, dtype=at_most.dtype, device=backend.device_of(at_most))
            copies = xp.where(number < at_most[:, None, None, None], copies, float("inf"))
        matched = solver(xp.reshape(copies, (images, n_rows, n_columns * times)))
        return xp.where(matched >= 0, matched // times, -1)

    return solve


def in_groups(solver: Solver, backend: ArrayBackend, groups: int) -> Solver:
    """Return a solver that matches each of several equal groups of rows on its own.

    Parameters
    ----------
    solver : callable
        Matches one group.
    backend : ArrayBackend
        The library of the costs.
    groups : int
        How many there are, one after the other.

    Raises
    ------
    ValueError
        When it is called, if the rows are not that many equal groups.

    References
    ----------
    Chen et al., "Group DETR", 2023.
    """
    if groups == 1:
        return solver
    xp = backend.xp

    def solve(cost: Array) -> Array:
        images, n_rows, n_columns = cost.shape
        check_groups(n_rows, groups)
        matched = solver(xp.reshape(cost, (images * groups, n_rows // groups, n_columns)))
        return xp.reshape(matched, (images, n_rows))

    return solve


def check_groups(n_rows: int, groups: int) -> None:
    """Check that the predictions are `groups` equal groups."""
    if n_rows % groups:
        raise ValueError(f"groups: expected {groups} equal groups of predictions, got {n_rows} predictions")


def check_copies(repeat: int, groups: int) -> None:
    """Check the knobs of that name."""
    check_knob("repeat", repeat, at_least=1, integer=True)
    check_knob("groups", groups, at_least=1, integer=True)

"""The matching of a batch: optimal against SciPy and against every matching there is, whatever the problem."""

import numpy as np
import pytest
import torch
from hypothesis import given
from scipy.optimize import linear_sum_assignment as scipy_solver

from assigncore.adapters.backends.torch_matching import match_on_device
from assigncore.matching import linear_sum_assignment

from .problems import check_optimal, masked, problems, value


@given(problem=problems())
def test_it_is_optimal_among_all_matchings(problem):
    for matched, cost in zip(linear_sum_assignment(**problem), masked(problem), strict=True):
        check_optimal(matched, cost)


@given(problem=problems(most=40, forbid=False))
def test_it_is_scipys_matching(problem):
    for matched, cost in zip(linear_sum_assignment(problem["cost"]), problem["cost"], strict=True):
        rows, columns = scipy_solver(cost)
        np.testing.assert_array_equal(np.flatnonzero(matched >= 0), rows)
        np.testing.assert_array_equal(matched[rows], columns)


@given(problem=problems(most=30))
def test_forbidden_pairs_leave_what_scipy_leaves_at_a_penalty(problem):
    """With few and small costs, a penalty in double precision tells what may be matched from what may not."""
    for matched, cost in zip(linear_sum_assignment(**problem), masked(problem), strict=True):
        rows, columns = scipy_solver(np.where(np.isfinite(cost), cost, 1e6))
        allowed = np.isfinite(cost[rows, columns])
        pairs, total = value(cost, matched)
        assert pairs == allowed.sum()
        assert total == pytest.approx(cost[rows, columns][allowed].sum(), abs=1e-5)


@given(problem=problems())
def test_padding_changes_nothing_whatever_it_holds(problem):
    expected = linear_sum_assignment(**problem)
    rng = np.random.default_rng(0)
    batch, n, g = problem["cost"].shape
    cost = rng.choice([np.nan, np.inf, -np.inf, -1e30], (batch, n + 2, g + 3)).astype(np.float32)
    rows = np.sort(rng.permutation(n + 2)[:n])
    columns = np.sort(rng.permutation(g + 3)[:g])
    cost[:, rows[:, None], columns] = problem["cost"]
    row_valid, column_valid = np.zeros((batch, n + 2), dtype=bool), np.zeros((batch, g + 3), dtype=bool)
    allowed = np.ones(cost.shape, dtype=bool)
    row_valid[:, rows], column_valid[:, columns] = problem["row_valid"], problem["column_valid"]
    allowed[:, rows[:, None], columns] = problem["allowed"]
    got = linear_sum_assignment(cost, row_valid=row_valid, column_valid=column_valid, allowed=allowed)
    assert (np.delete(got, rows, axis=1) == -1).all()
    got = got[:, rows]
    # The column each stands for.
    np.testing.assert_array_equal(np.where(got >= 0, np.searchsorted(columns, got), -1), expected)


@given(problem=problems())
def test_transposed_it_costs_the_same(problem):
    for cost in masked(problem):
        direct = value(cost, linear_sum_assignment(cost, allowed=np.isfinite(cost)))
        turned = value(cost.T, linear_sum_assignment(cost.T, allowed=np.isfinite(cost.T)))
        assert direct == (turned[0], pytest.approx(turned[1], abs=1e-6))


@given(problem=problems())
def test_a_batch_is_its_problems(problem):
    together = linear_sum_assignment(**problem)
    for i, matched in enumerate(together):
        np.testing.assert_array_equal(
            linear_sum_assignment(**{name: x[i] for name, x in problem.items()}), matched
        )


@given(problem=problems())
def test_on_a_device_forbidden_pairs_are_outweighed(problem):
    """What runs on CUDA, with a solver that knows no forbidden pairs, as the one there."""

    def solver(cost):
        out = torch.full(cost.shape[:2], -1)
        for i, each in enumerate(cost.numpy()):
            rows, columns = scipy_solver(each)
            out[i, rows] = torch.tensor(columns)
        return out

    costs = masked(problem)
    for matched, cost in zip(match_on_device(torch.tensor(costs), solver), costs, strict=True):
        check_optimal(matched, cost)


def test_on_a_device_a_cost_that_is_not_finite_is_named():
    cost = torch.zeros(2, 3, 4)
    cost[1, 2, 0] = float("nan")
    with pytest.raises(ValueError, match="problem 1, row 2 and column 0: expected a finite number, got nan"):
        match_on_device(cost, lambda cost: cost)


def test_infeasible_problems_end_with_as_many_pairs_as_there_can_be():
    cost = np.random.default_rng(0).normal(size=(2, 300, 300))
    allowed = np.zeros((300, 300), dtype=bool)
    allowed[:, :100] = True
    allowed[:50] = False
    got = linear_sum_assignment(cost, allowed=allowed)
    assert ((got >= 0).sum(axis=-1) == 100).all()
    for matched, each in zip(got, cost, strict=True):
        rows, columns = scipy_solver(each[50:, :100])
        assert value(each, matched)[1] == pytest.approx(each[50:, :100][rows, columns].sum())
    assert (linear_sum_assignment(cost, allowed=np.zeros((300, 300), dtype=bool)) == -1).all()


def test_a_pair_that_blocks_two_others_is_left_unmatched():
    cost = np.array([[-100.0, 5.0], [5.0, 0.0]])
    assert linear_sum_assignment(cost, allowed=np.array([[True, True], [True, False]])).tolist() == [1, 0]


def test_costs_of_very_different_sizes_are_not_mixed_up():
    cost = np.array([[1e30, 1.0, 2.0], [1e30, 2.0, 1.0], [0.0, 0.0, 0.0]])
    allowed = np.array([[True, True, True], [True, True, True], [False, False, False]])
    assert linear_sum_assignment(cost, allowed=allowed).tolist() == [1, 2, -1]

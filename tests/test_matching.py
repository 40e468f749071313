"""The matching of a batch: optimal against SciPy and against every matching there is, whatever the problem."""

from itertools import permutations

import jax
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment as scipy_solver

from assigncore import host_assignment
from assigncore.adapters.torch_matching import match_on_device
from assigncore.backend import get_backend
from assigncore.conformance import get_target
from assigncore.matching import in_groups, linear_sum_assignment, repeated


@st.composite
def problems(draw, most=6, forbid=True):
    """A batch of costs with padding and forbidden pairs; small integers make many ties."""
    batch, n, g = draw(st.integers(1, 3)), draw(st.integers(1, most)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    tied = draw(st.booleans())
    cost = rng.integers(-2, 3, (batch, n, g)) if tied else rng.normal(size=(batch, n, g))
    share = draw(st.sampled_from([0.0, 0.2, 0.8, 1.0])) if forbid else 0.0
    return {
        "cost": cost.astype(np.float32),
        "row_valid": rng.random((batch, n)) >= share / 3,
        "column_valid": rng.random((batch, g)) >= share / 3,
        "allowed": rng.random((batch, n, g)) >= share,
    }


def masked(problem):
    """The costs of each problem, infinite where a pair may not be matched."""
    counts = problem["allowed"] & problem["row_valid"][..., None] & problem["column_valid"][..., None, :]
    return np.where(counts, problem["cost"].astype(np.float64), np.inf)


def value(cost, matched):
    """How many pairs there are and what they cost; checks that each column is matched once at most."""
    rows = np.flatnonzero(matched >= 0)
    columns = matched[rows]
    assert len(set(columns.tolist())) == len(columns)
    assert matched.min(initial=-1) >= -1
    return len(rows), cost[rows, columns].sum()


def best(cost):
    """The same of the best of all matchings, by trying each."""
    if cost.shape[0] > cost.shape[1]:
        cost = cost.T
    found = []
    for columns in permutations(range(cost.shape[1]), cost.shape[0]):
        each = cost[range(cost.shape[0]), list(columns)]
        each = each[np.isfinite(each)]
        found.append((len(each), each.sum()))
    return min(found, key=lambda one: (-one[0], one[1]))


def check_optimal(matched, cost):
    got, expected = value(cost, np.asarray(matched)), best(cost)
    assert got[0] == expected[0]
    assert got[1] == pytest.approx(expected[1], abs=1e-5)


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


def test_in_every_library(target):
    rng = np.random.default_rng(0)
    problem = {
        "cost": rng.normal(size=(2, 3, 20, 6)).astype(np.float32),
        "row_valid": rng.random((3, 20)) > 0.2,
        "column_valid": rng.random((2, 1, 6)) > 0.3,
        "allowed": rng.random((20, 6)) > 0.3,
    }
    expected = linear_sum_assignment(**problem)
    with target.running(x64=False):
        got = linear_sum_assignment(**{name: target.from_numpy(x) for name, x in problem.items()})
        assert got.dtype == get_backend(got).integer_dtype(got)
        np.testing.assert_array_equal(target.to_numpy(got), expected)


def test_one_transfer_there_and_one_back(monkeypatch):
    target = get_target("array_api_strict")
    backend, calls = target.backend, []
    for name in ("to_numpy", "from_numpy"):
        real = getattr(backend, name)
        monkeypatch.setattr(
            backend, name, lambda *args, real=real, name=name: (calls.append(name), real(*args))[1]
        )
    cost = target.module.ones((8, 30, 5))
    linear_sum_assignment(cost, row_valid=target.module.ones((8, 30), dtype=target.module.bool))
    assert calls == ["to_numpy", "from_numpy"]


def test_threads_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    cost = rng.integers(0, 5, (37, 12, 9)).astype(np.float32)
    cost[rng.random(cost.shape) > 0.7] = np.inf
    alone = host_assignment.solve_batch(cost)
    monkeypatch.setattr(host_assignment, "WORTH_THREADS", 1)
    monkeypatch.setattr(host_assignment, "_cores", lambda: 3)
    np.testing.assert_array_equal(host_assignment.solve_batch(cost), alone)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0), (0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_empty_problems(shape, target):
    with target.running(x64=False):
        got = target.to_numpy(linear_sum_assignment(target.from_numpy(np.zeros(shape, dtype=np.float32))))
    np.testing.assert_array_equal(got, np.full(shape[:-1], -1))


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


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_cost_that_is_not_finite(broken):
    cost = np.array([[[1.0, 2.0], [3.0, broken]], [[1.0, 2.0], [2.0, 1.0]]])
    with pytest.raises(ValueError, match="cost of problem 0, row 1 and column 1: expected a finite number"):
        linear_sum_assignment(cost)
    assert linear_sum_assignment(cost, nonfinite="forbid").tolist() == [[1, 0], [0, 1]]
    assert linear_sum_assignment(cost, allowed=np.isfinite(cost)).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_raised(dtype):
    cost = torch.tensor([[1.0, 2.0], [1.0, 1.0]], dtype=getattr(torch, dtype), requires_grad=True)
    assert linear_sum_assignment(cost).tolist() == [0, 1]


def test_inputs_are_not_written():
    cost = np.array([[1.0, np.nan]])
    linear_sum_assignment(cost, allowed=np.array([[True, False]]))
    np.testing.assert_array_equal(cost, [[1.0, np.nan]])


@pytest.mark.parametrize("compiler", ["torch", "jax", "jax.vmap"])
def test_compiled(compiler):
    rng = np.random.default_rng(0)
    cost = rng.normal(size=(4, 20, 6)).astype(np.float32)
    valid = rng.random((4, 6)) > 0.3

    def match(cost, column_valid):
        return linear_sum_assignment(cost, column_valid=column_valid)

    expected = match(cost, valid)
    if compiler == "torch":
        got = torch.compile(match, fullgraph=True)(torch.tensor(cost), torch.tensor(valid))
    else:
        got = jax.jit(jax.vmap(match) if compiler == "jax.vmap" else match)(cost, valid)
    np.testing.assert_array_equal(np.asarray(got), expected)


def test_a_large_batch_under_jit_ends():
    cost = np.random.default_rng(0).normal(size=(64, 300, 60)).astype(np.float32)
    np.testing.assert_array_equal(jax.jit(linear_sum_assignment)(cost), linear_sum_assignment(cost))


@pytest.mark.parametrize(("n", "g", "times"), [(20, 4, 3), (7, 4, 3), (2, 5, 2)])
def test_repeated_columns_are_matched_as_their_copies_are(n, g, times):
    cost = np.random.default_rng(n).normal(size=(2, n, g))
    backend = get_backend(cost)
    got = repeated(backend.linear_sum_assignment, backend, times)(cost)
    copies = linear_sum_assignment(np.repeat(cost, times, axis=-1))
    np.testing.assert_array_equal(got, np.where(copies >= 0, copies // times, -1))
    assert (np.stack([(got == i).sum(axis=-1) for i in range(g)]) <= times).all()


def test_fewer_repeats_for_some_problems():
    cost = np.random.default_rng(0).normal(size=(3, 20, 4))
    backend = get_backend(cost)
    got = repeated(backend.linear_sum_assignment, backend, 3, np.array([0, 2, 9]))(cost)
    assert [(each >= 0).sum() for each in got] == [0, 8, 12]
    np.testing.assert_array_equal(got[1], repeated(backend.linear_sum_assignment, backend, 2)(cost)[1])


def test_groups_are_matched_alone():
    cost = np.random.default_rng(0).normal(size=(2, 12, 3))
    backend = get_backend(cost)
    got = in_groups(backend.linear_sum_assignment, backend, 4)(cost)
    for image in range(2):
        for group in range(4):
            rows = slice(3 * group, 3 * group + 3)
            np.testing.assert_array_equal(got[image, rows], linear_sum_assignment(cost[image, rows]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cost": np.zeros(3)}, r"cost: expected shape \(..., N, G\), got \(3,\)"),
        ({"cost": np.zeros((2, 3), dtype=int)}, "cost: expected real floating numbers"),
        ({"row_valid": np.ones(3, dtype=bool)}, r"row_valid: expected shape \(..., 2\), got \(3,\)"),
        ({"column_valid": np.ones(3)}, "column_valid: expected booleans"),
        ({"allowed": np.ones((3, 2), dtype=bool)}, r"allowed: expected shape \(..., 2, 3\), got \(3, 2\)"),
        ({"nonfinite": "ignore"}, "nonfinite: expected one of raise, forbid, got 'ignore'"),
        ({"row_valid": torch.ones(2, dtype=torch.bool)}, "expected arrays of one library"),
    ],
)
def test_wrong_calls(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        linear_sum_assignment(**{"cost": np.zeros((2, 3)), **arguments})

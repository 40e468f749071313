"""The matching in every library, compiled and on threads; empty and broken problems; calls it refuses."""

from functools import partial

import jax
import numpy as np
import pytest
import torch

from assigncore.backend import get_backend
from assigncore.backend import solver as host_assignment
from assigncore.conformance import get_target
from assigncore.matching import linear_sum_assignment


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
    monkeypatch.setattr(host_assignment, "num_cores", lambda: 3)
    np.testing.assert_array_equal(host_assignment.solve_batch(cost), alone)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0), (0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_empty_problems(shape, target):
    with target.running(x64=False):
        got = target.to_numpy(linear_sum_assignment(target.from_numpy(np.zeros(shape, dtype=np.float32))))
    np.testing.assert_array_equal(got, np.full(shape[:-1], -1))


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


def test_jax_solves_in_float64_from_whatever_thread_it_calls_back():
    # The other diagonal is the cheapest by less than float32 tells apart, in which all pairs would tie.
    cost = np.tile(1.0 - 1e-12 * np.eye(30)[:, ::-1], (40, 1, 1))

    def match(x):
        # Work enough for JAX not to do it in the thread of the caller.
        return linear_sum_assignment(x + 0.0 * (x @ x) @ x)

    with jax.enable_x64(True):
        x = jax.numpy.asarray(cost)
        # Which thread it is differs from call to call, most of all of those that compile.
        found = [np.asarray(jax.jit(partial(match))(x)) for _ in range(10)]
    assert {columns.dtype for columns in found} == {np.dtype(np.int64)}
    assert all((columns == np.arange(30)[::-1]).all() for columns in found)

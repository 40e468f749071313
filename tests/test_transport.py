"""Entropic transport: its marginals, its optimality, and its limit, the exact linear program."""

import numpy as np
import pytest
from scipy.optimize import linprog

from assigncore.backend import get_backend
from assigncore.matching.sinkhorn import transport


def problem(seed, sources=3, sinks=8, images=2):
    rng = np.random.default_rng(seed)
    cost = rng.uniform(0, 4, (images, sources, sinks))
    supply = rng.integers(1, 3, (images, sources)).astype(np.float64)
    supply[:, -1] = sinks - supply[:, :-1].sum(axis=-1)
    return cost, supply, np.ones((images, sinks))


def solve(cost, supply, demand, **knobs):
    plan = transport(get_backend(cost), cost, supply, demand, **{"eps": 0.1, "num_iters": 50, **knobs})
    return np.exp(plan.log_mass), plan


def cheapest(cost, supply, demand):
    """Return the exact optimum of one problem by linear programming."""
    sources, sinks = cost.shape
    leaves = np.kron(np.eye(sources), np.ones(sinks))
    arrives = np.kron(np.ones(sources), np.eye(sinks))
    found = linprog(cost.ravel(), A_eq=np.vstack([leaves, arrives]), b_eq=np.concatenate([supply, demand]))
    return found.fun, found.x.reshape(cost.shape)


@pytest.mark.parametrize("seed", range(4))
def test_marginals_are_supply_and_demand(seed):
    cost, supply, demand = problem(seed)
    mass, plan = solve(cost, supply, demand, eps=0.5, num_iters=2000, tol=1e-10)
    np.testing.assert_allclose(mass.sum(axis=2), supply, rtol=1e-12)
    np.testing.assert_allclose(mass.sum(axis=1), demand, atol=2e-10)
    np.testing.assert_allclose(
        plan.marginal_error, np.abs(mass.sum(axis=1) - demand).max(axis=-1), atol=1e-14
    )
    assert (plan.marginal_error <= 1e-10).all()
    assert (plan.iterations < 2000).all()


def test_the_error_reported_is_the_error_there_is():
    cost, supply, demand = problem(4)
    mass, plan = solve(cost, supply, demand, num_iters=3)
    np.testing.assert_allclose(plan.marginal_error, np.abs(mass.sum(axis=1) - demand).max(axis=-1))
    assert (plan.marginal_error > 1e-4).all()
    np.testing.assert_array_equal(plan.iterations, [3, 3])


def test_the_plan_tends_to_the_cheapest_one():
    for seed in range(4):
        cost, supply, demand = problem(seed, images=1)
        best, exact = cheapest(cost[0], supply[0], demand[0])
        gaps = []
        for eps in (1.0, 0.3, 0.1, 0.03):
            mass, plan = solve(cost, supply, demand, eps=eps, num_iters=5000, tol=1e-6)
            assert plan.marginal_error[0] < 1e-3
            gaps.append(float((mass * cost).sum() - best))
            # The entropies of two plans of 8 units from 3 sources differ by 8 log 3 at most.
            assert -1e-3 < gaps[-1] < eps * 8 * np.log(3)
        assert gaps == sorted(gaps, reverse=True)
        np.testing.assert_allclose(mass[0], exact, atol=0.2)


def test_the_plan_is_the_regularised_optimum():
    cost, supply, demand = problem(5, images=1)
    mass, _ = solve(cost, supply, demand, eps=0.5, num_iters=2000)
    # At the optimum, cost + eps log(mass) is a sum of one number a source and one a sink.
    duals = cost[0] + 0.5 * np.log(mass[0])
    centred = duals - duals.mean(axis=0) - duals.mean(axis=1)[:, None] + duals.mean()
    np.testing.assert_allclose(centred, 0, atol=1e-9)


def test_what_is_forbidden_empty_or_out_of_reach_ships_nothing():
    cost, supply, demand = problem(6)
    cost[0, 0, :4] = np.inf
    cost[1, 1, :] = np.inf
    demand[:, 7] = 0
    supply[:, 2] -= 1
    mass, plan = solve(cost, supply, demand, eps=0.5, num_iters=500)
    assert np.isfinite(mass).all()
    assert (mass[0, 0, :4] == 0).all()
    assert (mass[1, 1] == 0).all()
    assert (mass[:, :, 7] == 0).all()
    assert plan.marginal_error[0] < 1e-6
    assert plan.marginal_error[1] > 0.1


def test_a_problem_is_solved_as_if_alone():
    cost, supply, demand = problem(7, images=3)
    mass, plan = solve(cost, supply, demand, tol=1e-3, num_iters=500)
    assert len(set(plan.iterations.tolist())) > 1
    for i in range(3):
        alone, own = solve(cost[i : i + 1], supply[i : i + 1], demand[i : i + 1], tol=1e-3, num_iters=500)
        np.testing.assert_array_equal(mass[i], alone[0])
        assert plan.iterations[i] == own.iterations[0]


def test_large_costs_and_small_entropies_do_not_overflow():
    cost, supply, demand = problem(8)
    cost[:, 0, 3:] += 1e6
    mass, plan = solve(
        cost.astype(np.float32), supply.astype(np.float32), demand.astype(np.float32), eps=0.01
    )
    assert np.isfinite(mass).all()
    np.testing.assert_allclose(mass.sum(axis=2), supply, rtol=1e-4)
    assert (mass[:, 0, 3:] == 0).all()
    assert np.isfinite(plan.marginal_error).all()

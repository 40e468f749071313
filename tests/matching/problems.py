"""Matching problems, and what the best of all matchings of one is."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import strategies as st


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

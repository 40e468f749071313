"""Several predictions a ground truth: repeated columns, and groups of rows."""

import numpy as np
import pytest

from assigncore.backend import get_backend
from assigncore.matching import in_groups, linear_sum_assignment, repeated


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

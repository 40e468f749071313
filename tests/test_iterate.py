"""The loop of a backend: up to so many steps, or until all is done."""

import numpy as np
import pytest


def doubled(target, most, *, compiled=False):
    """Double numbers until they are above 20; return them and the steps each took."""
    backend = target.backend

    def step(x, steps):
        below = x <= 20
        return backend.xp.where(below, x * 2, x), steps + backend.xp.astype(below, steps.dtype)

    def run(x, steps):
        return backend.iterate(step, (x, steps), most, done=lambda state: state[0] > 20)

    with target.running(x64=False):
        start = target.from_numpy(np.array([1.0, 7.0, 30.0], dtype=np.float32))
        count = target.from_numpy(np.array([0, 0, 0], dtype=np.int32))
        run = backend.compile(run) if compiled else run
        return [target.to_numpy(x).tolist() for x in run(start, count)]


@pytest.mark.parametrize("most", [0, 1, 2, 99])
def test_it_ends_when_all_is_done_or_after_the_most(most, target):
    values, steps = doubled(target, most)
    assert steps == [min(most, 5), min(most, 2), 0]
    assert values == [2.0 ** min(most, 5), 7.0 * 2 ** min(most, 2), 30.0]


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize("most", [3, 99])
def test_it_compiles(library, most):
    from assigncore.conformance import get_target

    pytest.importorskip(library)
    target = get_target(library)
    assert doubled(target, most, compiled=True) == doubled(target, most)


def test_a_host_that_can_tell_spares_the_rest():
    from assigncore.backend import load_backend

    calls = []

    def step(x):
        calls.append(1)
        return (x + 1,)

    (last,) = load_backend("numpy").iterate(step, (np.zeros(2),), 50, done=lambda state: state[0] >= 3)
    np.testing.assert_array_equal(last, [3, 3])
    assert len(calls) == 3

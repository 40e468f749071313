"""The memory budget: a setting that bounds memory and changes nothing else."""

import threading
import tracemalloc

import numpy as np
import pytest

import assigncore
from assigncore.backend.memory import DEFAULT_MEMORY_BUDGET, current_memory_budget


def test_a_budget_holds_within_its_block():
    assert current_memory_budget() == DEFAULT_MEMORY_BUDGET
    with assigncore.memory_budget(2**20):
        assert current_memory_budget() == 2**20
    assert current_memory_budget() == DEFAULT_MEMORY_BUDGET


def test_a_budget_is_set_for_one_thread():
    seen = []

    def work():
        assigncore.set_memory_budget(12345)
        seen.append(current_memory_budget())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [12345]
    assert current_memory_budget() == DEFAULT_MEMORY_BUDGET


@pytest.mark.parametrize("n_bytes", [0, -1, 1.5, "1", True, None])
def test_a_budget_is_a_positive_integer(n_bytes):
    with pytest.raises(ValueError, match="n_bytes"):
        assigncore.set_memory_budget(n_bytes)


@pytest.mark.parametrize("crowded", [False, True])
def test_two_hundred_thousand_by_two_thousand_stays_under_the_budget(crowded):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 60 if crowded else 1300, (200_000, 2))
    priors = np.concatenate([corners, corners + rng.uniform(8, 64, corners.shape)], axis=-1).astype(
        np.float32
    )
    gts = priors[::100] + np.float32(1)
    assigner = assigncore.MaxIoUAssigner(0.7, 0.3, 0.3)
    assigner.assign(priors[:10], gts[:2])
    # The tile loop alone takes seconds where everything overlaps everything: fewer priors will do there.
    priors = priors[:20_000] if crowded else priors
    tracemalloc.start()
    assigner.assign(priors, gts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < DEFAULT_MEMORY_BUDGET


class Promising:
    """The default overlaps, with the promise that lets pairs be skipped."""

    zero_when_disjoint = True

    def __call__(self, b1, b2, mode="iou"):
        return assigncore.BboxOverlaps2D()(b1, b2, mode)


class Unpromising(Promising):
    """The same without the promise: every pair is computed."""

    zero_when_disjoint = False


@pytest.mark.parametrize(("calculator", "megabytes"), [(Promising(), 16), (Unpromising(), 64)])
def test_a_smaller_budget_is_kept_too(calculator, megabytes):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 1300, (20_000, 2))
    corners = corners[np.argsort(corners[:, 1])]
    sizes = rng.uniform(8, 64, corners.shape)
    priors = np.concatenate([corners, corners + sizes], axis=-1).astype(np.float32)
    assigner = assigncore.MaxIoUAssigner(0.7, 0.3, 0.3, iou_calculator=calculator)
    assigner.assign(priors[:10], priors[:2])
    with assigncore.memory_budget(megabytes * 2**20):
        tracemalloc.start()
        assigner.assign(priors, priors[::10])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < megabytes * 2**20

"""Images shared among threads: the same answers, on any number of them, and the same errors."""

import multiprocessing
import os
import threading
from contextvars import ContextVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import assigncore as ac
from assigncore.backend import load_backend, threads
from assigncore.backend.memory import current_memory_budget, memory_budget
from assigncore.conformance import get_target
from assigncore.conformance.laws.bench import stacked
from assigncore.result import AssignResult

from .scenes import any_scenes
from .subjects import SUBJECTS, bench_of


@pytest.fixture
def three_threads(monkeypatch):
    monkeypatch.setattr(threads, "WORTHWHILE", 0)
    monkeypatch.setattr(type(load_backend("numpy")), "host_threads", lambda _: 3)
    monkeypatch.setattr(type(load_backend("torch")), "host_threads", lambda _: 3)


def call(images=6, seen=None):
    """Share what tells the first number of each image's priors, and which thread saw it."""
    priors = np.arange(images * 8, dtype=np.float32).reshape(images, 2, 4)

    def assign(priors, gt_bboxes):
        if seen is not None:
            seen.append((threading.current_thread().name, len(priors), current_memory_budget()))
        number = priors[:, :, 0].astype(np.int64)
        return AssignResult(number, priors[:, :, 0], None, 1, {"twice": number * 2})

    given = {"priors": priors, "gt_bboxes": np.zeros((1, 4), np.float32)}
    return threads.over_images(assign, given, load_backend("numpy")), priors


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_the_answers_are_the_same(subject, three_threads, monkeypatch):
    bench = bench_of(subject, get_target("numpy:kernels"))

    @settings(max_examples=4)
    @given(st.lists(any_scenes(subject), min_size=5, max_size=5))
    def check(scenes):
        batch = stacked([subject.recipe.arrays(scene) for scene in scenes], (5,))
        statics = subject.recipe.statics(scenes[0])
        got = bench.call(batch, statics)
        with monkeypatch.context() as alone:
            alone.setattr(threads, "WORTHWHILE", float("inf"))
            bench.same(got, bench.call(batch, statics), "shared among threads")

    check()


def test_images_are_shared_in_their_order_and_the_budget_is_divided(three_threads):
    seen = []
    with memory_budget(3000):
        result, priors = call(seen=seen)
    assert sorted(count for _, count, _ in seen) == [2, 2, 2]
    assert len({name for name, _, _ in seen}) > 1
    assert {budget for _, _, budget in seen} == {1000}
    np.testing.assert_array_equal(result.max_overlaps, priors[:, :, 0])
    np.testing.assert_array_equal(result.extras["twice"], priors[:, :, 0] * 2)


def test_one_image_or_little_work_is_not_shared(monkeypatch):
    monkeypatch.setattr(type(load_backend("numpy")), "host_threads", lambda _: 3)
    seen = []
    call(seen=seen)
    assert [count for _, count, _ in seen] == [6]
    monkeypatch.setattr(threads, "WORTHWHILE", 0)
    call(images=1, seen=seen)
    assert [count for _, count, _ in seen] == [6, 1]


def test_threads_are_not_shared_out_twice(three_threads):
    inner = []

    def assign(priors, gt_bboxes):
        call(seen=inner)
        return AssignResult(priors[:, :, 0].astype(np.int64), None, None, 1)

    arrays = {"priors": np.zeros((3, 2, 4), np.float32), "gt_bboxes": np.zeros((1, 4), np.float32)}
    threads.over_images(assign, arrays, load_backend("numpy"))
    assert [count for _, count, _ in inner] == [6, 6, 6]


def test_context_variables_are_seen_and_left_alone(three_threads):
    variable = ContextVar("of the test", default="unset")
    found = []

    def assign(priors, gt_bboxes):
        found.append(variable.get())
        variable.set("changed")
        return AssignResult(priors[:, :, 0].astype(np.int64), None, None, 1)

    variable.set("set")
    arrays = {"priors": np.zeros((3, 2, 4), np.float32), "gt_bboxes": np.zeros((1, 4), np.float32)}
    threads.over_images(assign, arrays, load_backend("numpy"))
    assert found == ["set"] * 3
    assert variable.get() == "set"


def test_an_error_names_the_image_of_the_batch(three_threads):
    priors, scores = np.ones((5, 4), np.float32), np.zeros((6, 5, 2), np.float32)
    boxes = np.zeros((6, 5, 4), np.float32)
    labels = np.zeros((6, 1), np.int64)
    labels[4] = 7
    for convert in (np.asarray, torch.as_tensor):
        arrays = {"pred_bboxes": boxes, "pred_scores": scores, "gt_labels": labels}
        with pytest.raises(ValueError, match="got 7 for image 4, ground truth 0"):
            ac.SimOTAAssigner().assign(
                convert(priors),
                convert(np.ones((6, 1, 4), np.float32)),
                **{name: convert(x) for name, x in arrays.items()},
            )


def test_numbers_of_threads(monkeypatch):
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for wanted, expected in (("1", 1), ("1,2", 1), ("", cores), ("many", cores), ("9999", cores), ("0", 1)):
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
        assert threads.allowed_threads() == expected
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert {load_backend(name).host_threads() for name in ("numpy", "torch")} == {1}
    finally:
        torch.set_num_threads(before)


def _in_worker(_):
    result, priors = call()
    return threads.allowed_threads(), result.max_overlaps.tolist() == priors[:, :, 0].tolist()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore:.*fork.*:RuntimeWarning")
def test_a_forked_worker_has_threads_of_its_own(three_threads):
    call()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map_async(_in_worker, range(2)).get(timeout=60) == [(1, True)] * 2


def test_a_data_loader_answers(three_threads):
    call()
    loader = torch.utils.data.DataLoader([0, 1], num_workers=1, collate_fn=_in_worker, timeout=60)
    assert list(loader) == [(1, True)] * 2

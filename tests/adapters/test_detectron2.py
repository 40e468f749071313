"""The matcher by detectron2's arguments, against a plain reading of its rule."""

import copy
import pickle

import pytest
import torch

from assigncore.adapters.detectron2 import Matcher

from .qualities import EMPTY, intervals, matrices

KNOBS = {
    "retinanet": ([0.375, 0.5], [0, -1, 1], True),
    "rpn": ([0.25, 0.75], [0, -1, 1], True),
    "roi_heads": ([0.5], [0, 1], False),
    "four_intervals": ([0.125, 0.25, 0.5], [-1, 0, -1, 1], False),
}


@pytest.mark.parametrize("knobs", KNOBS.values(), ids=KNOBS)
def test_matches_and_labels_by_the_published_rule(knobs):
    matcher = Matcher(*knobs)
    for table in matrices(seed=3):
        matches, labels = matcher(table)
        assert (matches.dtype, labels.dtype) == (torch.int64, torch.int8)
        assert (matches.tolist(), labels.tolist()) == intervals(table, *knobs)


@pytest.mark.parametrize("shape", EMPTY.values(), ids=EMPTY)
def test_empty_is_background(shape):
    matches, labels = Matcher([0.4, 0.5], [0, -1, 1], True)(torch.zeros(shape))
    assert matches.tolist() == labels.tolist() == [0] * shape[1]


def test_a_batch_is_its_images():
    matcher = Matcher([0.4, 0.5], [0, -1, 1], True)
    tables = torch.rand(4, 3, 7, generator=torch.Generator().manual_seed(0))
    for name, one in zip(("matches", "labels"), zip(*map(matcher, tables), strict=True), strict=True):
        assert torch.equal(matcher(tables)[name == "labels"], torch.stack(list(one)))


def test_copies_and_pickles_do_the_same():
    matcher = Matcher([0.4, 0.5], [0, -1, 1], True)
    table = torch.rand(3, 9, generator=torch.Generator().manual_seed(0))
    for same in (copy.deepcopy(matcher), pickle.loads(pickle.dumps(matcher))):
        for one, other in zip(same(table), matcher(table), strict=True):
            assert torch.equal(one, other)


def test_attributes_are_the_published_ones():
    matcher = Matcher([0.4, 0.5], [0, -1, 1])
    assert matcher.thresholds == [-float("inf"), 0.4, 0.5, float("inf")]
    assert matcher.labels == [0, -1, 1]
    assert matcher.allow_low_quality_matches is False


@pytest.mark.parametrize(
    ("thresholds", "labels", "message"),
    [([0.5, 0.4], [0, -1, 1], "ascending"), ([0.5], [0, -1, 1], "labels"), ([0.5], [0, 2], "labels")],
)
def test_wrong_knobs_are_named(thresholds, labels, message):
    with pytest.raises(ValueError, match=message):
        Matcher(thresholds, labels)

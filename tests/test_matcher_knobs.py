"""The matchers' knobs: from configs, by the names torchvision gives them, and wrong ones."""

import pickle

import numpy as np
import pytest

from assigncore import build_assigner
from assigncore.assigners import Matcher, SSDMatcher


def test_knobs_from_a_config_are_plain_and_hashable():
    config = {"type": "Matcher", "thresholds": [0.3, np.float64(0.7)], "labels": [0, -1, 1]}
    matcher = build_assigner(config)
    assert matcher == Matcher.from_torchvision(0.7, 0.3) == pickle.loads(pickle.dumps(matcher))
    assert {hash(matcher)} == {hash(Matcher((0.3, 0.7), (0, -1, 1)))}
    assert [type(thr) for thr in matcher.thresholds] == [float, float]
    assert build_assigner({"type": "SSDMatcher"}).threshold == 0.5


@pytest.mark.parametrize(
    ("thresholds", "labels", "message"),
    [
        (0.5, (0, 1), "thresholds: expected a tuple or a list, got 0.5"),
        ((0.5,), "01", "labels: expected a tuple or a list, got '01'"),
        ((), (0,), "thresholds: expected at least one"),
        (("0.5",), (0, 1), "thresholds: expected a number, got '0.5'"),
        ((np.inf,), (0, 1), "thresholds: expected a finite number"),
        ((0.7, 0.3), (0, -1, 1), "thresholds: expected ascending numbers"),
        ((0.5,), (0, -1, 1), "labels: expected 2, one more than"),
        ((0.5,), (0, 2), "labels: expected each of -1, 0 and 1, got 2"),
        ((0.5,), (0, True), "labels: expected an integer, got True"),
    ],
)
def test_wrong_intervals(thresholds, labels, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Matcher(thresholds, labels)


def test_wrong_thresholds_by_the_names_they_were_given_under():
    with pytest.raises(ValueError, match=r"low_threshold: expected at most high_threshold, 0.3, got 0.7"):
        Matcher.from_torchvision(0.3, 0.7)
    with pytest.raises(TypeError, match=r"high_threshold: expected a number, got None"):
        Matcher.from_torchvision(None, 0.7)
    with pytest.raises(TypeError, match=r"^threshold: expected a number, got 'high'"):
        SSDMatcher("high")
    with pytest.raises(ValueError, match=r"^threshold: expected a finite number, got nan"):
        SSDMatcher(float("nan"))


@pytest.mark.parametrize("matcher", [Matcher((0.5,), (0, 1)), SSDMatcher()], ids=["intervals", "ssd"])
def test_ignore_regions_are_refused(matcher):
    with pytest.raises(TypeError, match="ignore_bboxes"):
        matcher.assign(np.ones((2, 4)), np.ones((1, 4)), ignore_bboxes=np.ones((1, 4)))

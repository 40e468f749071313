"""Summaries: plain numbers that agree with the arrays, with padding left out where it is known."""

import dataclasses
import json

import numpy as np
import pytest

from assigncore import AssignResult


@pytest.fixture
def batch(target):
    codes = np.array([[1, 1, 2, 0, -1], [0, 0, 3, 0, 0]])
    labels = np.array([[5, 5, 6, -1, -1], [-1, -1, 5, -1, -1]])
    return AssignResult(target.from_numpy(codes), None, target.from_numpy(labels), 3)


def test_the_numbers_are_those_of_the_arrays(batch, target):
    valid = target.from_numpy(np.array([[True, True, False], [False, True, True]]))
    found = batch.summary(gt_valid=valid)
    assert (found.num_images, found.num_priors, found.num_gts) == (2, 10, 4)
    assert (found.positives, found.background, found.ignored) == (4, 5, 1)
    assert found.without_positives == 1
    spread = (found.min_positives, found.median_positives, found.mean_positives, found.max_positives)
    assert spread == (0, 1.0, 1.0, 2)
    assert found.levels is None


def test_padding_counts_as_without_positives_where_it_is_not_told(batch):
    assert batch.summary().without_positives == 3


def test_levels_share_the_priors(batch):
    first, second = batch.summary(num_level_priors=(2, 3)).levels
    assert dataclasses.astuple(first) == (0, 4, 2, 2, 0, 1)
    assert dataclasses.astuple(second) == (1, 6, 2, 3, 1, 2)


def test_classes_are_known_from_the_positives_or_from_the_labels(batch, target):
    assert [(c.label, c.positives, c.matched_gts, c.num_gts) for c in batch.summary().classes] == [
        (5, 3, 2, None),
        (6, 1, 1, None),
    ]
    labels = target.from_numpy(np.array([[5, 6, 0], [0, 7, 5]]))
    valid = target.from_numpy(np.array([[True, True, False], [False, True, True]]))
    found = batch.summary(gt_labels=labels, gt_valid=valid, class_names=["x"] * 6)
    assert [(c.label, c.name, c.positives, c.matched_gts, c.num_gts) for c in found.classes] == [
        (5, "x", 3, 2, 2),
        (6, None, 1, 1, 1),
        (7, None, 0, 0, 1),
    ]


def test_everything_is_plain(batch):
    assert json.loads(json.dumps(dataclasses.asdict(batch.summary(num_level_priors=(2, 3)))))


def test_it_prints_and_shows_every_part(batch):
    found = batch.summary(num_level_priors=(2, 3), class_names=["<b>"] * 7)
    for shown in (str(found), found._repr_html_()):
        for word in ("2 images, 10 priors, 6 ground truths", "background", "median", "level", "class"):
            assert word in shown
    assert "<b>" not in found._repr_html_()


@pytest.mark.parametrize("lead", [(), (2,), (0,)])
def test_nothing_has_no_spread(lead):
    found = AssignResult(np.zeros((*lead, 0), dtype=np.int64), None, None, 0).summary(num_level_priors=(0,))
    assert (found.positives, found.num_gts, found.min_positives, found.mean_positives) == (0, 0, None, None)
    assert "0 priors" in str(found)


def test_what_does_not_fit_is_named(batch):
    with pytest.raises(ValueError, match=r"num_level_priors: .* sum to the 5 priors, got \(2, 2\)"):
        batch.summary(num_level_priors=(2, 2))
    with pytest.raises(ValueError, match=r"gt_valid: expected shape \(2, 3\)"):
        batch.summary(gt_valid=batch.gt_inds > 0)

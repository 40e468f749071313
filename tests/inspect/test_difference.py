"""Differences between results: every change once, of one kind, and what it means for the objects."""

import numpy as np
import pytest

from assigncore import AssignResult

BEFORE = [[0, 2, -1, 2, 1, 0], [0, 0, 0, 0, 1, 1]]
AFTER = [[1, 2, 0, 1, 0, -1], [0, 0, 0, 0, 1, 1]]


def result(codes, num_gts=2):
    return AssignResult(np.asarray(codes), None, None, num_gts)


def test_every_change_is_of_one_kind():
    diff = result(BEFORE).diff(result(AFTER))
    assert [(c.index, c.before, c.after, c.kind) for c in diff] == [
        ((0, 0), 0, 1, "gained"),
        ((0, 2), -1, 0, "no_longer_ignored"),
        ((0, 3), 2, 1, "moved"),
        ((0, 4), 1, 0, "lost"),
        ((0, 5), 0, -1, "newly_ignored"),
    ]
    assert set(diff.counts.values()) == {1}
    assert diff


def test_objects_that_win_or_lose_everything_are_told():
    diff = result([0, 2, 2]).diff(result([1, 0, 0]))
    assert diff.gts_left_without == ((1,),)
    assert diff.gts_newly_matched == ((0,),)


def test_nothing_changed_is_falsy():
    diff = result(BEFORE).diff(result(BEFORE))
    assert not diff
    assert str(diff) == "no difference over 12 priors"
    assert "no difference" in diff._repr_html_()


def test_libraries_are_compared_with_each_other(target):
    other = AssignResult(target.from_numpy(np.asarray(AFTER)), None, None, 2)
    assert len(result(BEFORE).diff(other)) == 5


def test_many_changes_are_counted_and_a_few_shown():
    diff = result(np.zeros(1000, dtype=np.int64)).diff(result(np.ones(1000, dtype=np.int64)))
    assert "and 990 more" in str(diff)
    assert "and 990 more" in diff._repr_html_()
    assert diff.counts["gained"] == len(diff) == 1000
    assert len(str(diff).splitlines()) < 20


def test_what_does_not_fit_is_named():
    with pytest.raises(TypeError, match="other: expected an AssignResult, got list"):
        result(BEFORE).diff(BEFORE)
    with pytest.raises(ValueError, match=r"gt_inds of shape \(2, 6\).*got \(6,\)"):
        result(BEFORE).diff(result(BEFORE[0]))
    with pytest.raises(ValueError, match=r"num_gts of 2.*got 3"):
        result(BEFORE).diff(result(BEFORE, 3))

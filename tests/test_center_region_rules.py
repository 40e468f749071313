"""CenterRegionAssigner, one rule at a time by hand, and what it refuses."""

import numpy as np
import pytest

from assigncore import CenterRegionAssigner, memory_budget, shadowed_labels

FSAF = {"pos_scale": 0.2, "neg_scale": 0.2}
SHADOWS = {"pos_scale": 0.5, "neg_scale": 1.0, "min_pos_iof": 0.25}


def _assign(priors, gts, *, knobs=SHADOWS, **further):
    priors, gts = (np.asarray(x, dtype=np.float32).reshape(-1, 4) for x in (priors, gts))
    return CenterRegionAssigner(**knobs).assign(priors, gts, **further)


def test_the_smaller_takes_the_prior_and_of_equals_the_last():
    large, small, equal = [0, 0, 16, 16], [4, 4, 12, 12], [2, 6, 18, 10]
    prior = [7, 7, 9, 9]
    result = _assign([prior], [large, small, equal])
    assert result.gt_inds.tolist() == [3]
    assert result.extras["outranked"].tolist() == [[True, True, False]]
    assert _assign([prior], [equal, large, small]).gt_inds.tolist() == [3]


def test_a_center_on_the_side_is_not_in_the_core():
    knobs = {"pos_scale": 1.0, "neg_scale": 1.0, "min_pos_iof": 0.25}
    result = _assign([[4, 0, 12, 8], [3, 0, 11, 8]], [[0, 0, 8, 8]], knobs=knobs)
    assert result.gt_inds.tolist() == [0, 1]
    assert result.extras["shadow"].tolist() == [[True], [False]]


def test_a_fraction_at_the_threshold_does_not_touch():
    knobs = {"pos_scale": 1.0, "neg_scale": 1.0, "min_pos_iof": 0.5}
    result = _assign([[4, 0, 12, 8]], [[0, 0, 8, 8]], knobs=knobs)
    assert not result.extras["shadow"].any()


def test_who_yields_where_two_of_one_class_share_a_core():
    boxes, prior = [[0, 0, 16, 16], [0, 0, 12, 12]], [[6, 6, 8, 8]]
    for labels, dominate, code, listed in (
        ([5, 5], False, 0, [[0, 5]]),
        ([5, 5], True, 2, []),
        ([4, 5], False, 2, [[0, 4]]),
    ):
        labels = np.array(labels)
        knobs = {**SHADOWS, "foreground_dominate": dominate}
        result = _assign(prior, boxes, knobs=knobs, gt_labels=labels)
        assert result.gt_inds.tolist() == [code]
        assert shadowed_labels(result, labels).tolist() == listed


def test_without_labels_nobody_clashes():
    result = _assign([[6, 6, 8, 8]], [[0, 0, 16, 16], [0, 0, 12, 12]])
    assert result.gt_inds.tolist() == [2]
    assert result.labels is None
    assert result.extras["shadow"].tolist() == [[True, False]]


def test_ignore_regions_count_without_ground_truths_too():
    priors, region = [[0, 0, 8, 8], [20, 20, 28, 28]], np.array([[0, 0, 16, 16]], dtype=np.float32)
    wide = {**SHADOWS, "ignore_gt_scale": 1.0}
    for gts, further in (([], {}), ([[0, 0, 8, 8]], {"gt_valid": np.array([False])})):
        result = _assign(priors, gts, knobs=wide, ignore_bboxes=region, **further)
        assert result.gt_inds.tolist() == [-1, 0]
    halved = _assign(priors, [], ignore_bboxes=region)
    assert halved.gt_inds.tolist() == [0, 0]
    assert _assign(priors, [], knobs=wide, ignore_bboxes=region[:0]).gt_inds.tolist() == [0, 0]


def test_broken_boxes_match_nothing():
    nan, inf = np.nan, np.inf
    result = _assign(
        [[0, 0, nan, 8], [0, 0, 8, 8]], [[0, 0, 8, 8], [0, 0, inf, 8]], knobs={**FSAF, "min_pos_iof": -1}
    )
    assert result.gt_inds.tolist() == [0, 1]
    assert not result.extras["shadow"].any()


class Nearness:
    """A calculator that makes no promise: boxes that do not touch have something in common."""

    def __call__(self, b1, b2, mode="iou"):
        """Compute (..., M, N) from (..., M, 4) and (..., N, 4)."""
        assert mode == "iof"
        return 1 / (1 + abs(b1[..., :, None, 0] - b2[..., None, :, 0])) + 0 * b1[..., :, None, 2]


def test_a_calculator_that_promises_nothing_sees_every_pair():
    priors = np.array([[x, 0, x + 2, 2] for x in range(0, 400, 2)], dtype=np.float32)
    knobs = {"pos_scale": 1.0, "neg_scale": 1.0, "min_pos_iof": 0.1, "iou_calculator": Nearness()}
    for n_bytes in (2000, 2**20):
        with memory_budget(n_bytes):
            result = _assign(priors, [[200, 50, 220, 60]], knobs=knobs)
        near = np.flatnonzero(abs(priors[:, 0] - 200) < 9)
        np.testing.assert_array_equal(np.flatnonzero(result.extras["shadow"][:, 0]), near)


def test_a_list_of_shadows_needs_the_result_of_one_image():
    labels = np.zeros(1, dtype=np.int64)
    boxes = np.array([[0, 0, 8, 8]], dtype=np.float32)
    result = CenterRegionAssigner(**FSAF).assign(boxes, boxes)
    with pytest.raises(ValueError, match="gt_labels"):
        shadowed_labels(result, labels[:0])
    with pytest.raises(ValueError, match="result"):
        shadowed_labels(CenterRegionAssigner(**FSAF).assign(boxes[None], boxes), labels)


@pytest.mark.parametrize(
    ("knobs", "error"),
    [
        ({"pos_scale": -0.1}, ValueError),
        ({"neg_scale": None}, TypeError),
        ({"min_pos_iof": float("inf")}, ValueError),
        ({"ignore_gt_scale": -1}, ValueError),
    ],
)
def test_knobs_out_of_range_are_refused(knobs, error):
    with pytest.raises(error, match=next(iter(knobs))):
        CenterRegionAssigner(**{**FSAF, **knobs})

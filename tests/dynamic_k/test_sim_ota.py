"""SimOTA's own knobs and regions."""

import numpy as np
import pytest

from assigncore import SimOTAAssigner, build_assigner

from .scenes import SIM_OTA, outputs, same


@pytest.mark.parametrize(
    "knobs",
    [
        {"center_radius": 1.0},
        {"candidate_topk": 3},
        {"iou_weight": 1.0, "cls_weight": 4.0},
        {"sqrt_scores": True},
        {"eps": 0.01},
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(4))
def test_knobs_mean_what_the_reading_says(seed, knobs):
    inputs = SIM_OTA.draw(seed, n_classes=7)
    same(outputs(SimOTAAssigner(**knobs).assign(**inputs)), SIM_OTA.reading(inputs, knobs))


@pytest.mark.parametrize("seed", range(4))
def test_ties_of_a_grid(seed):
    inputs = SIM_OTA.draw(seed, tied=True)
    same(outputs(SimOTAAssigner().assign(**inputs)), SIM_OTA.reading(inputs, {}))


def test_borders_are_outside():
    inputs = SIM_OTA.draw(0, n_gts=1)
    inputs["gt_bboxes"] = np.array([[4, 4, 12, 12]], dtype=np.float32)
    got = SimOTAAssigner(center_radius=0.25).assign(**inputs)
    # The point (8, 8) of the coarse level alone is inside; those at 4 and 12 lie on the border.
    assert np.flatnonzero(got.gt_inds).tolist() == [36]


def test_scores_at_the_ends_and_beyond_are_clamped_without_a_warning():
    inputs = SIM_OTA.draw(1)
    inputs["pred_scores"][:10] = 0
    inputs["pred_scores"][10:20] = 1
    with np.errstate(all="raise", under="ignore"):
        at_ends = SimOTAAssigner().assign(**inputs)
        inputs["pred_scores"][10:20] = 7
        beyond = SimOTAAssigner().assign(**inputs)
    np.testing.assert_array_equal(beyond.gt_inds, at_ends.gt_inds)


def test_a_prediction_with_broken_scores_is_not_taken_but_its_overlap_counts():
    inputs = SIM_OTA.draw(0, n_gts=1)
    inputs["gt_bboxes"] = np.array([[0, 0, 48, 48]], dtype=np.float32)
    exact = [14, 15, 20]
    inputs["pred_bboxes"][:] = 100, 100, 101, 101
    inputs["pred_bboxes"][exact] = inputs["gt_bboxes"]
    assert np.flatnonzero(SimOTAAssigner().assign(**inputs).gt_inds).tolist() == exact
    inputs["pred_scores"][15] = np.nan
    taken = np.flatnonzero(SimOTAAssigner().assign(**inputs).gt_inds).tolist()
    assert len(taken) == 3
    assert set(taken) >= {14, 20}
    assert 15 not in taken


def test_a_pair_away_from_the_centre_is_never_cheaper_whatever_its_scores():
    inputs = SIM_OTA.draw(0, n_gts=1, n_classes=2)
    inputs["gt_bboxes"] = np.array([[0, 0, 48, 48]], dtype=np.float32)
    inputs["pred_scores"][0] = -1e38
    got = SimOTAAssigner(center_radius=0.6, cls_weight=5000.0).assign(**inputs)
    assert got.gt_inds[0] == 0
    assert got.gt_inds.max() == 1


@pytest.mark.parametrize(
    ("knobs", "error"),
    [
        ({"candidate_topk": 0}, ValueError),
        ({"candidate_topk": 2.5}, TypeError),
        ({"center_radius": -1}, ValueError),
        ({"sqrt_scores": "no"}, TypeError),
        ({"eps": 0}, ValueError),
    ],
)
def test_wrong_knobs_are_refused(knobs, error):
    with pytest.raises(error, match=next(iter(knobs))):
        build_assigner({"type": "SimOTAAssigner", **knobs})

"""What presets that read predictions make of real results, what they say of it, and what can be overridden."""

import dataclasses

import numpy as np
import pytest

from assigncore.audit.assigning import assign_images
from assigncore.audit.config import make_plans
from assigncore.audit.notes import collect_notes
from assigncore.audit.yolo_anchors import YOLOAnchorGenerator

DENSE = ("ddod", "tood", "yolox", "rtmdet", "yolov7", "yolov8")
MATCHED = ("detr", "deformable-detr", "dino", "mask2former")
NAMES = (*DENSE, *MATCHED)


def by_image(stream):
    return {one.frame.image.id: one for one in stream}


@pytest.mark.parametrize("name", [*NAMES, "yolof"])
def test_real_results_with_flat_boxes_and_duplicates_are_assigned(
    name, rivals, frames_of, plan, settings, results
):
    preset = plan(name)
    given = dataclasses.replace(settings, predictions=results)
    for one in assign_images(preset, rivals, frames_of(preset), given):
        if name == "yolof" or not len(one.objects):
            continue
        assert one.best_overlaps.min() > 0.6
        # A smaller object may have no prior's centre inside.
        sides = np.asarray([min(x2 - x1, y2 - y1) for x1, y1, x2, y2 in (a.bbox for a in one.objects)])
        served = np.bincount(one.gt_inds[one.gt_inds > 0], minlength=len(sides) + 1)[1:] > 0
        assert served[sides >= (8 if name in DENSE else 0)].all()
        np.testing.assert_array_equal(np.isnan(one.matched_overlaps), ~served)
        assert np.nanmin(one.matched_overlaps) > 0.4


SHAPES = (((1, 2), (3, 4)),) * 3
WRONG_SHAPES = {
    "none": ((), ValueError),
    "a level too few": (SHAPES[:2], ValueError),
    "levels that differ": ((*SHAPES[:2], SHAPES[2][:1]), ValueError),
    "three sides": ((((1, 2, 3),),) * 3, ValueError),
    "no pairs": (((1, 2),) * 3, TypeError),
    "a side of 0": ((((0, 2),),) * 3, ValueError),
}


@pytest.mark.parametrize("case", WRONG_SHAPES)
def test_anchors_that_describe_no_grid_are_refused(case):
    shapes, error = WRONG_SHAPES[case]
    with pytest.raises(error, match="base_sizes: expected"):
        YOLOAnchorGenerator((8, 16, 32), base_sizes=shapes)


def notes_of(preset, rivals, settings):
    return " ".join(collect_notes(preset, rivals, settings))


@pytest.mark.parametrize("name", NAMES)
def test_what_was_made_of_predictions_is_said(name, rivals, plan, settings, results):
    simulated = notes_of(plan(name), rivals, dataclasses.replace(settings, seed=3))
    given = notes_of(plan(name), rivals, dataclasses.replace(settings, predictions=results))
    assert "predictions: SIMULATED from the ground truth (no --predictions), seed 3" in simulated
    assert "SIMULATED" not in given
    assert f"the {results.num_used} detections of {results.path}" in given
    for notes in (simulated, given):
        assert ("every prior's prediction is made of these boxes" in notes) == (name in DENSE)
        assert ("each query predicts one of these boxes" in notes) == (name in MATCHED)
        assert ("masks are missing" in notes) == (name == "mask2former")
        assert "best IoU is that of an object with any predicted box" in notes


def test_yolof_reads_the_boxes_of_given_predictions_alone(rivals, plan, settings, results):
    assert "SIMULATED" not in notes_of(plan("yolof"), rivals, settings)
    given = notes_of(plan("yolof"), rivals, dataclasses.replace(settings, predictions=results))
    assert "every prior is taken for its own" not in given
    assert "every prior's prediction is made of these boxes" in given


def test_what_reads_no_predictions_says_nothing_of_them(rivals, plan, settings, results):
    given = dataclasses.replace(settings, predictions=results)
    for name in ("atss", "rpn", "fcos"):
        assert "predictions:" not in notes_of(plan(name), rivals, given)


def test_another_seed_simulates_other_predictions(rivals, frames_of, plan, settings):
    preset = plan("detr")
    first, second = (
        by_image(assign_images(preset, rivals, frames_of(preset), dataclasses.replace(settings, seed=seed)))
        for seed in (0, 1)
    )
    assert any((first[i].priors != second[i].priors).any() for i in first)


def test_knobs_and_queries_can_be_overridden(rivals, frames_of, plan, settings):
    few = plan("detr", "priors.num_queries=2", "nonfinite=forbid")
    assert few.assigner.nonfinite == "forbid"
    for one in assign_images(few, rivals, frames_of(few), settings):
        assert np.sum(one.gt_inds > 0) == min(2, len(one.objects))
    wide, narrow = (
        sum(np.sum(one.gt_inds > 0) for one in assign_images(p, rivals, frames_of(p), settings))
        for p in (plan("tood"), plan("tood", "topk=2"))
    )
    assert 0 < narrow < wide


def test_atss_with_alpha_of_an_own_config_reads_predictions_too(rivals, frames_of, settings, write):
    config = {"base": "atss", "assigner": {"type": "ATSSAssigner", "topk": 9, "alpha": 0.8}}
    own, ddod = make_plans(["ddod"], [write(config, "own.json")], [])[::-1]
    expected = by_image(assign_images(ddod, rivals, frames_of(ddod), settings))
    for image_id, one in by_image(assign_images(own, rivals, frames_of(own), settings)).items():
        np.testing.assert_array_equal(one.gt_inds, expected[image_id].gt_inds)

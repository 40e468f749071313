"""Ignore regions where no paper has them: a prior or a prediction that lies in one is no negative."""

from dataclasses import replace

import numpy as np
import pytest

from assigncore import HungarianAssigner, MaskHungarianAssigner, build_assigner
from assigncore.assigners.yolov7 import anchors_of_grid, read_grid
from assigncore.backend.lookup import load_backend
from assigncore.conformance.capabilities import CAPABILITIES, Priors
from assigncore.conformance.reference.ignore import cell, spare_negatives
from assigncore.conformance.reference.image import Image
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.recipes import Recipe
from assigncore.conformance.scenes.scene import round_to

OURS = (
    "DynamicSoftLabelAssigner", "FCOSAssigner", "GreedyMatcher", "HungarianAssigner", "SimOTAAssigner",
    "TaskAlignedAssigner", "TopkHungarianAssigner", "YOLOv7Assigner",
)  # fmt: skip


def recipe(name, **knobs):
    return Recipe(
        name, build_assigner({"type": name, **CAPABILITIES[name].knobs, **knobs}), CAPABILITIES[name]
    )


def arguments(subject, scene):
    return {name: round_to(x, "float32") for name, x in subject.arrays(scene).items()}


def boxes_of(subject, given, statics):
    """Give what is compared with the regions: priors as boxes, or cells of points, or predictions."""
    if "base_sizes" in given:
        grid = read_grid(given["base_sizes"], statics["featmap_strides"], statics["featmap_sizes"])
        rows = anchors_of_grid(load_backend("numpy"), given["base_sizes"][None], grid, 4)[0]
    else:
        rows = given["priors" if "priors" in given else "pred_bboxes"]
    image = Image({"gt_bboxes": given["gt_bboxes"], "priors": rows})
    points = "priors" in given and subject.capabilities.priors is not Priors.BOXES
    return [box if box is None or not points else cell(box) for box in image.priors]


@pytest.mark.parametrize("name", OURS)
def test_what_is_background_and_lies_in_a_region_is_ignored_and_nothing_else(name):
    spared = 0
    for seed, kind in enumerate(("fpn", "ties", "crowd", "real", "all_padded")):
        scene = draw_scene(f"{kind}-{seed}-{seed}")
        subject = recipe(name, ignore_iof_thr=0.4)
        given, statics = arguments(subject, scene), subject.statics(scene)
        result = subject.assigner.assign(**given, **statics)
        before = replace(subject.assigner, ignore_iof_thr=-1).assign(**given, **statics)
        image = Image(
            {"priors": np.zeros((0, 4)), **{n: x for n, x in given.items() if "gt" in n or "ignore" in n}}
        )
        expected = spare_negatives(image, before.gt_inds.tolist(), boxes_of(subject, given, statics), 0.4)
        np.testing.assert_array_equal(result.gt_inds, expected, err_msg=kind)
        for output in ("max_overlaps", "labels"):
            np.testing.assert_array_equal(getattr(result, output), getattr(before, output))
        spared += (result.gt_inds != before.gt_inds).sum()
    assert spared > 0


@pytest.mark.parametrize("name", OURS)
def test_they_have_no_effect_unless_the_knob_says_so(name):
    subject = recipe(name, ignore_iof_thr=-1)
    scene = draw_scene("real-3-3")
    given, statics = arguments(subject, scene), subject.statics(scene)
    plain = {name: x for name, x in given.items() if not name.startswith("ignore_")}
    with_regions = subject.assigner.assign(**given, **statics).gt_inds
    np.testing.assert_array_equal(with_regions, subject.assigner.assign(**plain, **statics).gt_inds)


@pytest.mark.parametrize("name", OURS)
def test_a_region_alone_spares_priors_where_there_is_no_ground_truth(name):
    subject = recipe(name, ignore_iof_thr=0.5)
    scene = draw_scene("real-3-3").take("G", np.arange(0))
    given = arguments(subject, scene)
    everywhere = np.array([[-1e4, -1e4, 1e4, 1e4]], dtype=np.float32)
    given |= {"ignore_bboxes": everywhere, "ignore_valid": np.ones(1, dtype=bool)}
    result = subject.assigner.assign(**given, **subject.statics(scene))
    assert (result.gt_inds == -1).sum() > 0.9 * result.gt_inds.size


def test_a_matching_needs_boxes_to_compare_regions_with():
    matcher = HungarianAssigner([{"type": "FocalLossCost"}], ignore_iof_thr=0.5)
    given = {"gt_labels": np.array([0]), "pred_logits": np.zeros((3, 2), dtype=np.float32)}
    region = np.zeros((1, 4), dtype=np.float32)
    with pytest.raises(ValueError, match="pred_bboxes: expected an array, since ignore_bboxes are compared"):
        matcher.assign(**given, ignore_bboxes=region)
    with pytest.raises(ValueError, match="ignore_valid: expected ignore_bboxes with it"):
        matcher.assign(**given, ignore_valid=np.ones(1, dtype=bool))
    with pytest.raises(TypeError, match="ignore_bboxes"):
        MaskHungarianAssigner().assign(ignore_bboxes=region)


def test_oriented_regions_spare_what_they_cover():
    assigner = build_assigner(
        {
            "type": "TaskAlignedAssigner",
            "topk": 1,
            "iou_calculator": {"type": "ProbIoU"},
            "ignore_iof_thr": 0.9,
        }
    )
    points = np.array([[8, 8, 8], [24, 8, 8], [40, 40, 8]], dtype=np.float32)
    gt = np.array([[40, 40, 12, 12, 0.3]], dtype=np.float32)
    # A diamond around the second point covers its cell of 8 pixels whole, if it is wide enough.
    for side, code in ((12.0, -1), (8.0, 0)):
        result = assigner.assign(
            points,
            gt,
            pred_bboxes=np.concatenate([points, points[:, 2:], 0 * points[:, 2:]], axis=-1),
            pred_scores=np.full((3, 1), 0.5, dtype=np.float32),
            gt_labels=np.array([0]),
            ignore_bboxes=np.array([[24, 8, side, side, np.pi / 4]], dtype=np.float32),
        )
        assert result.gt_inds.tolist() == [0, code, 1]

"""What comes with a preset: the size of its images, approximations, notes; and settings that are wrong."""

import dataclasses

import numpy as np
import pytest

from assigncore.audit.assigning import assign_images
from assigncore.audit.config import make_plans
from assigncore.audit.errors import AuditError
from assigncore.audit.notes import collect_notes
from assigncore.audit.presets import PRESETS

WITHOUT_SHAPES = {"fsaf", "fcos", "reppoints", "guided-anchoring"}


def test_ssd_images_are_of_one_size_whatever_the_others_are(rivals, plan):
    scale = plan("ssd").scale
    assert {scale.frame(image).padded for image in rivals.images} == {(300, 300)}
    sizes = plan("ssd").priors.featmap_sizes((300, 300))
    assert sum(plan("ssd").priors.num_level_priors(sizes)) == 8732


def test_yolos_train_on_images_of_640_pixels(rivals, plan):
    of_own_size = {name for name in PRESETS if plan(name).scale is not None}
    with_transformers = {"rt-detr", "d-fine", "lw-detr"}
    of_640 = {"yolox", "rtmdet", "yolov7", "yolov8", "yolo26-pose"}
    oriented = {"rotated-rtmdet", "yolo11-obb"}
    assert of_own_size - with_transformers == {"ssd", *of_640, *oriented}
    for name in of_640:
        assert {plan(name).scale.frame(image).padded for image in rivals.images} == {(480, 640), (640, 480)}


def test_fcos_with_centre_sampling_is_one_knob(rivals, frames_of, plan, settings):
    def count(*overrides):
        preset = plan("fcos", *overrides)
        return sum(
            np.sum(one.gt_inds > 0) for one in assign_images(preset, rivals, frames_of(preset), settings)
        )

    assert 0 < count("center_sampling=true") < count()


SAID = {
    "yolof": "every prior is taken for its own",
    "fsaf": "positives are of all levels",
    "fcos": "there is no best IoU",
    "reppoints": "the first stage",
    "guided-anchoring": "there is no best IoU",
    "guided-anchoring-shape": "judged by the fixed anchors there",
    "ssd": "resized to exactly 300x300",
}


@pytest.mark.parametrize("name", PRESETS)
def test_what_a_reader_must_know_is_said(name, rivals, plan, settings):
    notes = " ".join(collect_notes(plan(name), rivals, settings))
    assert SAID.get(name, "") in notes
    assert ("there is no best IoU" in notes) == (name in WITHOUT_SHAPES)
    assert ("crowd region changes nothing" in notes) == (name != "fsaf")


WRONG = {
    "levels without a range": ("fcos", "priors.strides=[8, 16]", ": num_level_priors: expected 5 levels"),
    "uneven strides": ("guided-anchoring", "priors.strides=[[8, 4]]", "needs 'anchor_strides'"),
    "a scale of images": ("ssd", "image_scale=big", "ssd: image_scale: expected two edges like 1333x800"),
    "a scale that is no text": ("rpn", "image_scale=300", "rpn: image_scale: expected two edges"),
    "approximations for nobody": (
        "rpn",
        "approxs.type=AnchorGenerator",
        "approxs: MaxIoUAssigner takes none",
    ),
    "approximations on other levels": (
        "guided-anchoring-shape",
        "approxs.strides=[8, 16]",
        "approxs: expected the strides of the priors",
    ),
    "several priors in a cell": (
        "guided-anchoring-shape",
        "priors.ratios=[1, 2]",
        "of which there is one in a cell",
    ),
    "an unknown knob of approximations": (
        "guided-anchoring-shape",
        "approxs.ratio=[1]",
        "approxs: unknown knob of AnchorGenerator 'ratio'; did you mean ratios",
    ),
    "approximations of another kind": (
        "guided-anchoring-shape",
        "approxs.type=Proposals",
        "approxs: unknown knob of Proposals",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_named(case, rivals, frames_of, settings):
    name, override, reason = WRONG[case]

    def audit():
        preset = make_plans([name], [], [override])[0]
        return list(assign_images(preset, rivals, frames_of(preset), settings))

    with pytest.raises(AuditError, match=reason) as caught:
        audit()
    assert str(caught.value).startswith(name)


def test_approximations_must_be_anchors_and_alike_on_all_levels(write):
    one = {"type": "AnchorGenerator", "strides": [8, 16], "ratios": [1.0], "scales": [4.0]}
    config = {"base": "guided-anchoring-shape", "priors": one}
    uneven = {
        "type": "SSDAnchorGenerator",
        "strides": [8, 16],
        "min_sizes": [8, 16],
        "max_sizes": [16, 32],
        "ratios": [[], [2]],
    }
    for approxs, reason in (
        ({"type": "PointGenerator", "strides": [8, 16]}, "expected anchors that stand for anchors"),
        (uneven, r"expected equally many in a cell of every level, got \(2, 4\)"),
    ):
        with pytest.raises(AuditError, match=reason):
            make_plans([], [write({**config, "approxs": approxs}, "own.json")], [])


def test_an_assigner_without_its_approximations_is_refused(rivals, frames_of, settings, write):
    own = {"assigner": dict(PRESETS["guided-anchoring-shape"].assigner), "base": "guided-anchoring-shape"}
    alone = make_plans([], [write(own, "own.json")], [])[0]
    assert alone.approxs is None
    with pytest.raises(AuditError, match="own: ApproxMaxIoUAssigner needs 'approxs'"):
        list(assign_images(alone, rivals, frames_of(alone), settings))


def test_a_config_can_bring_approximations_and_a_size_of_images(rivals, frames_of, settings, write):
    base = PRESETS["guided-anchoring-shape"]
    own = {
        "assigner": dict(base.assigner),
        "priors": dict(base.priors),
        "approxs": dict(base.approxs),
        "image_scale": "320x256!",
    }
    made = make_plans([], [write(own, "own.json")], [])[0]
    published = dataclasses.replace(make_plans([base.name], [], [])[0], scale=made.scale)
    expected = assign_images(published, rivals, frames_of(published), settings)
    found = assign_images(made, rivals, frames_of(made), settings)
    for one, other in zip(expected, found, strict=True):
        assert one.frame == other.frame
        assert one.frame.shape == (256, 320)
        np.testing.assert_array_equal(one.gt_inds, other.gt_inds)

"""The knobs of dynamic soft labels, masks, and far points."""

import numpy as np
import pytest

from assigncore import DynamicSoftLabelAssigner, build_assigner
from assigncore.backend.memory import memory_budget

from .scenes import SOFT_LABEL, outputs, same


@pytest.mark.parametrize(
    "knobs",
    [
        {"soft_center_radius": 1.0},
        {"topk": 3},
        {"iou_weight": 0.5},
        {"own_class_only": True},
        {"select_outside": True},
        {"own_class_only": True, "select_outside": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(4))
def test_knobs_mean_what_the_reading_says(seed, knobs):
    inputs = SOFT_LABEL.draw(seed, n_classes=7)
    same(outputs(DynamicSoftLabelAssigner(**knobs).assign(**inputs)), SOFT_LABEL.reading(inputs, knobs))


def masks_of(boxes, size=48):
    """Draw triangles within boxes; the last mask is empty."""
    y, x = np.mgrid[:size, :size]
    x1, y1, x2, y2 = (boxes[:, i, None, None] for i in range(4))
    masks = (x > x1) & (x < x2) & (y > y1) & (y < y2) & (x - x1 < y - y1)
    masks[-1] = False
    return masks


@pytest.mark.parametrize("seed", range(6))
def test_a_centre_of_mass_takes_the_place_of_the_centre(seed):
    inputs = SOFT_LABEL.draw(seed)
    inputs["gt_masks"] = masks_of(inputs["gt_bboxes"])
    expected = SOFT_LABEL.reading(inputs, {})
    same(outputs(DynamicSoftLabelAssigner().assign(**inputs)), expected)
    with memory_budget(10_000):
        same(outputs(DynamicSoftLabelAssigner().assign(**inputs)), expected)


def test_masks_of_a_batch_are_those_of_its_images():
    images = [SOFT_LABEL.draw(seed) for seed in range(3)]
    for image in images:
        image["gt_masks"] = masks_of(image["gt_bboxes"])
    batch = {name: np.stack([image[name] for image in images]) for name in images[0]}
    got = DynamicSoftLabelAssigner().assign(**batch)
    for i, image in enumerate(images):
        np.testing.assert_array_equal(got.gt_inds[i], DynamicSoftLabelAssigner().assign(**image).gt_inds)


def test_masks_must_be_booleans():
    inputs = SOFT_LABEL.draw(0)
    with pytest.raises(TypeError, match="gt_masks: expected booleans"):
        DynamicSoftLabelAssigner().assign(**inputs, gt_masks=np.zeros((5, 8, 8)))


def test_far_points_of_huge_boxes_cost_no_nan():
    inputs = SOFT_LABEL.draw(1, n_gts=1)
    inputs["gt_bboxes"] = np.array([[-1e5, -1e5, 2e5, 2e5]], dtype=np.float32)
    inputs["pred_bboxes"][:] = inputs["gt_bboxes"]
    with np.errstate(all="raise", under="ignore"):
        got = DynamicSoftLabelAssigner().assign(**inputs)
    assert np.flatnonzero(got.gt_inds).tolist() == list(range(13))


def test_saturated_logits_raise_no_warning():
    inputs = SOFT_LABEL.draw(2)
    inputs["pred_logits"] *= 1e4
    with np.errstate(all="raise", under="ignore"):
        assert (DynamicSoftLabelAssigner().assign(**inputs).gt_inds > 0).any()


@pytest.mark.parametrize("stride", [0.0, -8.0])
def test_a_stride_that_is_none_breaks_nothing(stride):
    inputs = SOFT_LABEL.draw(3)
    inputs["priors"][:, 2:] = stride
    with np.errstate(all="raise", under="ignore"):
        assert (DynamicSoftLabelAssigner().assign(**inputs).gt_inds > 0).any()


@pytest.mark.parametrize(
    ("knobs", "error"),
    [
        ({"topk": 0}, ValueError),
        ({"soft_center_radius": "3"}, TypeError),
        ({"own_class_only": 1}, TypeError),
        ({"select_outside": "yes"}, TypeError),
    ],
)
def test_wrong_knobs_are_refused(knobs, error):
    with pytest.raises(error, match=next(iter(knobs))):
        build_assigner({"type": "DynamicSoftLabelAssigner", **knobs})

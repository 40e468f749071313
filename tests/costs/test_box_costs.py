"""Match costs of boxes: kinds of overlap, sizes of images, broken boxes."""

import numpy as np
import pytest

from assigncore import build_cost
from assigncore.boxes import pairwise_ciou, pairwise_diou, pairwise_giou, pairwise_iof, pairwise_iou
from assigncore.costs import IoUCost

from .scenes import SIZE, compute, draw


@pytest.mark.parametrize(
    ("mode", "pairwise"),
    [
        ("iou", pairwise_iou),
        ("iof", pairwise_iof),
        ("giou", pairwise_giou),
        ("diou", pairwise_diou),
        ("ciou", pairwise_ciou),
    ],
)
def test_every_mode_of_overlap(mode, pairwise):
    arrays = draw()
    pred, gt = arrays["pred_bboxes"], arrays["gt_bboxes"]
    np.testing.assert_array_equal(IoUCost(mode)(pred_bboxes=pred, gt_bboxes=gt), -pairwise(pred, gt))


@pytest.mark.parametrize("lead", [(), (2,)])
def test_the_image_shape_as_an_array(lead):
    arrays = draw(lead=lead)
    cost = build_cost({"type": "BBoxL1Cost"})
    sides = np.broadcast_to(np.array(SIZE), (*lead, 2))
    expected = cost(**arrays, image_shape=SIZE)
    np.testing.assert_array_equal(cost(**arrays, image_shape=sides), expected)
    np.testing.assert_array_equal(cost(**arrays, image_shape=sides.astype(np.float32)), expected)


def test_each_image_has_its_own_shape():
    arrays = draw(lead=(2,))
    got = build_cost({"type": "BBoxL1Cost"})(**arrays, image_shape=np.array([SIZE, (40, 60)]))
    small = {name: x[1] for name, x in arrays.items()}
    np.testing.assert_allclose(got[1], 2 * compute({"type": "BBoxL1Cost"}, small), rtol=1e-5)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf, 1e30])
def test_a_pair_with_a_broken_box_costs_nan(broken):
    arrays = draw()
    arrays["pred_bboxes"][2, 1] = broken
    arrays["gt_bboxes"][1, 3] = broken
    expected = np.zeros((7, 3), dtype=bool)
    expected[2], expected[:, 1] = True, True
    np.testing.assert_array_equal(np.isnan(compute({"type": "IoUCost"}, arrays)), expected)

"""Match costs of boxes: kinds of overlap, sizes of images, broken boxes."""

import numpy as np
import pytest

from assigncore import GWD, KLD, HungarianAssigner, ProbIoU, RotatedIoU, build_cost
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


def oriented(rng, n):
    return rng.uniform([0, 0, 2, 2, -4], [60, 60, 40, 40, 4], (n, 5))


@pytest.mark.parametrize("calculator", [RotatedIoU(), ProbIoU(), GWD(), KLD()], ids=repr)
def test_any_calculator_is_a_cost(calculator):
    rng = np.random.default_rng(0)
    pred, gt = oriented(rng, 7), oriented(rng, 3)
    pred[2, 4], gt[1, 0] = np.nan, np.inf
    cost = build_cost({"type": "OverlapCost", "iou_calculator": calculator.to_config(), "weight": 2.0})
    got, expected = cost(pred_bboxes=pred, gt_bboxes=gt), -2 * calculator(gt, pred).T
    broken = np.zeros((7, 3), dtype=bool)
    broken[2], broken[:, 1] = True, True
    np.testing.assert_array_equal(np.isnan(got), broken)
    np.testing.assert_allclose(got[~broken], expected[~broken], rtol=1e-12)
    with pytest.raises(ValueError, match=r"pred_bboxes: expected shape \(..., N, 5\)"):
        cost(pred_bboxes=pred[:, :4], gt_bboxes=gt)


def test_angles_count_in_half_turns():
    pred, gt = np.array([[10.0, 20, 30, 40, 1.0]]), np.array([[70.0, 60, 30, 80, 1.0 - np.pi / 2]])
    cost = build_cost({"type": "BBoxL1Cost", "box_format": "xywhr"})
    got = cost(pred_bboxes=pred, gt_bboxes=gt, image_shape=(80, 120))
    assert got == pytest.approx(60 / 120 + 40 / 80 + 0 + 40 / 80 + 0.5)


def test_costs_of_an_assigner_agree_in_the_form_of_boxes():
    rotated = {"type": "OverlapCost", "iou_calculator": {"type": "RotatedIoU"}}
    with pytest.raises(
        ValueError, match=r"match_costs: expected costs of boxes of equally many columns, got 4"
    ):
        HungarianAssigner([rotated, {"type": "IoUCost"}])
    assigner = HungarianAssigner(
        [rotated, {"type": "BBoxL1Cost", "box_format": "xywhr"}, {"type": "FocalLossCost"}]
    )
    boxes = oriented(np.random.default_rng(0), 6)
    given = {
        "pred_bboxes": boxes[[3, 0, 5, 1]] + 0.1,
        "pred_logits": np.zeros((4, 2)),
        "image_shape": (80, 120),
    }
    result = assigner.assign(boxes[:2], gt_labels=np.array([0, 1]), **given)
    assert result.gt_inds.tolist() == [0, 1, 0, 2]
    assert set(assigner.cost_terms(boxes[:2], gt_labels=np.array([0, 1]), **given)) == {
        "OverlapCost", "BBoxL1Cost", "FocalLossCost"
    }  # fmt: skip

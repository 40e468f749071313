"""MMRotate's settings: its names of calculators and assigners, in its containers of oriented boxes."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import assigncore
from assigncore.adapters.mmdet import build_assigner, build_iou_calculator
from assigncore.boxes import normalize_angles, pairwise_iou, xywhr_to_xyxy

ROTATED = {"type": "mmrotate.RBboxOverlaps2D"}
MAX_IOU = {"type": "mmdet.MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4, "min_pos_iou": 0.1}


class RotatedBoxes(SimpleNamespace):
    """Boxes as MMRotate has them: an object that holds a tensor."""


def some(n, seed):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.uniform([0, 0, 4, 4, -4], [60, 60, 30, 30, 4], (n, 5)), dtype=torch.float32)


def near(boxes, seed):
    return boxes + torch.tensor(np.random.default_rng(seed).normal(0, 0.3, boxes.shape), dtype=torch.float32)


@pytest.fixture
def scene():
    gts = some(5, 0)
    priors = torch.cat([near(gts, 1), near(gts, 2), some(30, 3)])
    return priors, gts, torch.arange(5) % 3


@pytest.mark.parametrize("wrapped", [False, True])
def test_max_iou_takes_oriented_boxes(scene, wrapped):
    priors, gts, labels = scene
    wrap = (lambda x: RotatedBoxes(tensor=x)) if wrapped else lambda x: x
    assigner = build_assigner({**MAX_IOU, "iou_calculator": ROTATED, "ignore_iof_thr": 0.5})
    instances = SimpleNamespace(bboxes=wrap(gts), labels=labels)
    ignored = SimpleNamespace(bboxes=wrap(some(2, 9)))
    got = assigner.assign(SimpleNamespace(priors=wrap(priors)), instances, ignored)
    expected = assigncore.MaxIoUAssigner(
        0.5, 0.4, 0.1, ignore_iof_thr=0.5, iou_calculator=assigncore.RotatedIoU(min_side=1e-3)
    ).assign(priors, gts, gt_labels=labels, ignore_bboxes=some(2, 9))
    assert (got.gt_inds > 0).sum() >= 5
    assert got.gt_inds.equal(expected.gt_inds)
    assert got.max_overlaps.equal(expected.max_overlaps)
    assert got.labels.equal(expected.labels)


def test_anchors_are_compared_with_the_boxes_around_oriented_ones(scene):
    priors, gts, labels = scene
    anchors, around = xywhr_to_xyxy(priors), xywhr_to_xyxy(gts)
    calculator = build_iou_calculator({"type": "RBbox2HBboxOverlaps2D"})
    torch.testing.assert_close(calculator(gts, anchors), pairwise_iou(around, anchors))
    fake = build_iou_calculator({"type": "FakeRBboxOverlaps2D"})
    torch.testing.assert_close(fake(gts, priors), pairwise_iou(around, anchors))
    assigner = build_assigner({**MAX_IOU, "iou_calculator": {"type": "mmrotate.RBbox2HBboxOverlaps2D"}})
    got = assigner.assign(SimpleNamespace(priors=anchors), SimpleNamespace(bboxes=gts, labels=labels))
    expected = assigncore.MaxIoUAssigner(0.5, 0.4, 0.1).assign(anchors, around, gt_labels=labels)
    assert got.gt_inds.equal(expected.gt_inds)
    torch.testing.assert_close(got.max_overlaps, expected.max_overlaps)


def test_atss_has_a_name_of_its_own(scene):
    priors, gts, labels = scene
    assigner = build_assigner({"type": "RotatedATSSAssigner", "topk": 9, "iou_calculator": ROTATED})
    levels, instances = [30, 10], SimpleNamespace(bboxes=gts, labels=labels)
    got = assigner.assign(SimpleNamespace(priors=priors), levels, instances)
    expected = assigncore.ATSSAssigner(9, iou_calculator=assigncore.RotatedIoU(min_side=1e-3)).assign(
        priors, gts, gt_labels=labels, num_level_priors=levels
    )
    assert (got.gt_inds > 0).any()
    assert got.gt_inds.equal(expected.gt_inds)


@pytest.mark.parametrize("kind", ["SimOTAAssigner", "DynamicSoftLabelAssigner", "TaskAlignedAssigner"])
@pytest.mark.parametrize("n_gts", [0, 5])
def test_predictions_may_be_oriented(scene, kind, n_gts):
    predicted, gts, labels = scene
    gts, labels = gts[:n_gts], labels[:n_gts]
    points = torch.cat([predicted[:, :2].round(), torch.full((len(predicted), 2), 8.0)], dim=-1)
    priors = torch.cat([points[:, :2] - 4, points[:, :2] + 4], dim=-1) if kind.startswith("Task") else points
    scores = torch.rand((len(predicted), 3), generator=torch.Generator().manual_seed(0))
    knobs = {"topk": 5} if kind.startswith("Task") else {}
    assigner = build_assigner({"type": kind, "iou_calculator": ROTATED, **knobs})
    instances = SimpleNamespace(priors=priors, bboxes=predicted, scores=scores)
    if n_gts == 0:
        gts = torch.zeros(0, 5)
    got = assigner.assign(instances, SimpleNamespace(bboxes=gts, labels=labels))
    assert len(got.gt_inds) == len(predicted)
    assert (got.gt_inds > 0).any() == (n_gts > 0)


def test_small_sides_count_as_published():
    flat = torch.tensor([[5.0, 5.0, 0.0, 8.0, 0.2, 0.9]])
    calculator = build_iou_calculator(ROTATED)
    assert calculator(flat, flat).item() == pytest.approx(1, abs=1e-3)
    assert assigncore.RotatedIoU()(flat[:, :5], flat[:, :5]).item() == 0
    with pytest.raises(ValueError, match="mode"):
        calculator(flat, flat, mode="giou")


DEGREES = [
    # cx, cy, w, h, degrees, and what MMRotate's RotatedBoxes.regularize_boxes documents for the three patterns.
    ((4, 5, 30), {"le90": (5, 4, -60), "le135": (5, 4, 120), "oc": (5, 4, -60)}),
    ((5, 4, 120), {"le90": (5, 4, -60), "le135": (5, 4, 120), "oc": (5, 4, -60)}),
    ((5, 4, 100), {"le90": (5, 4, -80), "le135": (5, 4, 100), "oc": (5, 4, -80)}),
    ((5, 4, -30), {"le90": (5, 4, -30), "le135": (5, 4, -30), "oc": (5, 4, -30)}),
    ((5, 4, 30), {"le90": (5, 4, 30), "le135": (5, 4, 30), "oc": (4, 5, -60)}),
    ((5, 4, 90), {"le90": (5, 4, -90), "le135": (5, 4, 90), "oc": (5, 4, -90)}),
]


@pytest.mark.parametrize(("given", "expected"), DEGREES)
@pytest.mark.parametrize("convention", ["le90", "le135", "oc"])
def test_conventions_are_those_of_mmrotate(given, expected, convention):
    w, h, degrees = given
    box = torch.tensor([1.0, 2.0, w, h, math.radians(degrees)], dtype=torch.float64)
    found = normalize_angles(box, convention)
    w, h, degrees = expected[convention]
    wanted = torch.tensor([1.0, 2.0, w, h, math.radians(degrees)], dtype=torch.float64)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)

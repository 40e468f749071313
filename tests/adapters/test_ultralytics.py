"""The adapter of the YOLOv8 family's assigner against the published answers, in the published containers."""

import pytest
import torch

from assigncore.adapters.ultralytics import (
    PoseTaskAlignedAssigner,
    RotatedTaskAlignedAssigner,
    SegTaskAlignedAssigner,
    TaskAlignedAssigner,
)

from .golden import cases, check, tensors
from .modules import check_module

CASES = cases("UltraTaskAlignedAssigner")
ROTATED = cases("UltraRotatedTaskAlignedAssigner")
NAMES = ("target_labels", "target_bboxes", "target_scores", "fg_mask", "target_gt_idx")


def arguments(case):
    x = tensors(case)
    points = x["priors"][:, :2]
    return x["pred_scores"], x["pred_bboxes"], points, x["gt_labels"], x["gt_bboxes"], x["pad_bbox_flag"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_targets_are_the_published_ones(case):
    if case.name.startswith("big_label"):
        with pytest.raises(ValueError, match="gt_labels: expected 0 to 4, since there are 5 classes, got 7"):
            TaskAlignedAssigner(**case.init).forward(*arguments(case))
        return
    got = TaskAlignedAssigner(**case.init).forward(*arguments(case))
    check(case, dict(zip(NAMES, got, strict=True)))


@pytest.mark.parametrize("case", ROTATED, ids=str)
def test_targets_of_oriented_boxes_are_the_published_ones(case):
    got = RotatedTaskAlignedAssigner(**case.init).forward(*arguments(case))
    check(case, dict(zip(NAMES, got, strict=True)))


@pytest.mark.parametrize("case", cases("UltraPoseTaskAlignedAssigner"), ids=str)
def test_targets_of_poses_are_the_published_ones(case):
    x, assigner = tensors(case), PoseTaskAlignedAssigner(**case.init)
    keypoints = {"pd_kpts": x["pred_kpts"], "gt_kpts": x["gt_kpts"]}
    got = assigner.forward(*arguments(case), x["priors"][:, 2], **keypoints)
    check(case, dict(zip(NAMES, got, strict=True)))


@pytest.mark.parametrize("case", cases("UltraSegTaskAlignedAssigner"), ids=str)
def test_targets_of_masks_are_the_published_ones(case):
    x = tensors(case)
    masks = {"pd_coef": x["pred_coef"], **{name: x[name] for name in ("mask_scale", "proto", "gt_masks")}}
    got = SegTaskAlignedAssigner(**case.init).forward(*arguments(case), **masks)
    check(case, dict(zip(NAMES, got, strict=True)))


def test_the_module_has_no_state():
    check_module(TaskAlignedAssigner(**CASES[0].init), lambda module: module(*arguments(CASES[0])))


def test_knobs_are_attributes():
    assigner = TaskAlignedAssigner(topk=10, num_classes=3, alpha=0.5)
    assert (assigner.topk, assigner.topk2, assigner.num_classes) == (10, 10, 3)
    assert (assigner.alpha, assigner.beta, assigner.eps) == (0.5, 6.0, 1e-9)


class DetectionLoss(torch.nn.Module):
    """What a YOLOv8-style loss does with its assigner."""

    def __init__(self, assigner):
        super().__init__()
        self.assigner = assigner

    def forward(self, logits, bboxes, points, strides, gt_labels, gt_bboxes, mask_gt):
        _, target_bboxes, target_scores, fg_mask, _ = self.assigner(
            logits.detach().sigmoid(),
            (bboxes.detach() * strides).type(gt_bboxes.dtype),
            points * strides,
            gt_labels,
            gt_bboxes,
            mask_gt,
        )
        total = max(target_scores.sum(), 1)
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, target_scores.to(logits.dtype), reduction="sum"
        )
        apart = (bboxes * strides - target_bboxes)[fg_mask].abs().sum()
        return (entropy + apart) / total


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_loss_trains_with_it(dtype):
    torch.manual_seed(0)
    x, y = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="xy")
    points, strides = torch.stack([x, y], dim=-1).reshape(-1, 2) + 0.5, torch.full((16, 1), 8.0)
    logits = torch.randn(1, 16, 3, dtype=dtype, requires_grad=True)
    bboxes = torch.cat([points - 1, points + 1], dim=-1)[None].to(dtype).requires_grad_()
    gts = (torch.tensor([[[2.0]]]), torch.tensor([[[4.0, 4, 24, 24]]]), torch.ones(1, 1, 1, dtype=torch.bool))
    loss = DetectionLoss(None)
    loss.assigner = TaskAlignedAssigner(topk=4, num_classes=3, alpha=0.5)
    loss(logits, bboxes, points, strides, *gts).backward()
    assert logits.grad.abs().sum() > 0
    assert 0 < (bboxes.grad.abs().sum(dim=-1) > 0).sum() <= 4
    assert loss.state_dict() == {}

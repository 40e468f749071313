"""Adapters whose results have static shapes are one graph: nothing in them waits for a value."""

import pytest
import torch

from assigncore.adapters import detectron2, mmyolo, torchvision, ultralytics
from assigncore.backend.fast_path import without_numpy_fast_path

from .modules import assert_same

POINTS = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0)).flip(-1) * 8 + 4
PRIORS = torch.cat([POINTS, torch.full_like(POINTS, 8.0)], dim=-1)


def predictions():
    generator = torch.Generator().manual_seed(0)
    half = torch.rand((2, 16, 2), generator=generator) * 12 + 2
    return torch.cat([POINTS - half, POINTS + half], dim=-1), torch.rand((2, 16, 3), generator=generator)


def ground_truths():
    labels = torch.tensor([[[1], [2]], [[0], [0]]])
    boxes = torch.tensor([[[2.0, 2, 14, 20], [10, 8, 30, 28]], [[4, 4, 20, 24], [0, 0, 0, 0]]])
    return labels, boxes, torch.tensor([[[1.0], [1]], [[1], [0]]])


def quality():
    return torch.rand((2, 3, 30), generator=torch.Generator().manual_seed(0))


def oriented(boxes):
    """Turn boxes by an angle of their own."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low, boxes[..., :1] / 10], dim=-1)


BOXES, SCORES = predictions()
LABELS, OBJECTS, VALID = ground_truths()
CALLS = {
    "mmyolo_task_aligned": (
        mmyolo.BatchTaskAlignedAssigner(3, topk=5),
        (BOXES, SCORES, PRIORS, *ground_truths()),
    ),
    "mmyolo_atss": (mmyolo.BatchATSSAssigner(3, topk=4), (BOXES, PRIORS, [16], *ground_truths())),
    "mmyolo_soft_label": (
        mmyolo.BatchDynamicSoftLabelAssigner(3, topk=5),
        (BOXES, SCORES, PRIORS, *ground_truths()),
    ),
    "ultralytics": (
        ultralytics.TaskAlignedAssigner(topk=5, num_classes=3),
        (SCORES, BOXES, POINTS, *ground_truths()),
    ),
    "ultralytics_oriented": (
        ultralytics.RotatedTaskAlignedAssigner(topk=5, num_classes=3),
        (SCORES, oriented(BOXES), POINTS, LABELS, oriented(OBJECTS), VALID),
    ),
    "torchvision": (torchvision.Matcher(0.7, 0.4, True), (quality(),)),
    "torchvision_ssd": (torchvision.SSDMatcher(0.5), (quality(),)),
    "detectron2": (detectron2.Matcher([0.4, 0.7], [0, -1, 1], True), (quality(),)),
}

CALLS_BY_NAME = {
    "ultralytics_pose": (
        ultralytics.PoseTaskAlignedAssigner([0.1, 0.2], topk=5, num_classes=3),
        (SCORES, BOXES, POINTS, LABELS, OBJECTS, VALID, torch.full((16,), 8.0)),
        {
            "pd_kpts": BOXES.reshape(2, 16, 2, 2),
            "gt_kpts": torch.cat([OBJECTS.reshape(2, 2, 2, 2), torch.ones(2, 2, 2, 1)], dim=-1),
        },
    ),
    "ultralytics_segmentation": (
        ultralytics.SegTaskAlignedAssigner(topk=5, num_classes=3),
        (SCORES, BOXES, POINTS, LABELS, OBJECTS, VALID),
        {
            "pd_coef": BOXES - 10,
            "mask_scale": torch.full((2, 1), 0.25),
            "proto": torch.rand((2, 4, 8, 8), generator=torch.Generator().manual_seed(1)),
            "gt_masks": torch.ones(2, 2, 8, 8),
        },
    ),
}


@pytest.mark.parametrize(
    ("function", "arguments", "named"),
    [*((*call, {}) for call in CALLS.values()), *CALLS_BY_NAME.values()],
    ids=[*CALLS, *CALLS_BY_NAME],
)
def test_a_compiler_sees_one_graph(function, arguments, named):
    torch.compiler.reset()
    compiled = torch.compile(lambda *args, **named: function(*args, **named), fullgraph=True, backend="eager")
    # NumPy's arc tangent, of CIoU, rounds otherwise.
    with without_numpy_fast_path():
        assert_same(compiled(*arguments, **named), function(*arguments, **named))

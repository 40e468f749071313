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


BOXES, SCORES = predictions()
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
    "torchvision": (torchvision.Matcher(0.7, 0.4, True), (quality(),)),
    "torchvision_ssd": (torchvision.SSDMatcher(0.5), (quality(),)),
    "detectron2": (detectron2.Matcher([0.4, 0.7], [0, -1, 1], True), (quality(),)),
}


@pytest.mark.parametrize(("function", "arguments"), CALLS.values(), ids=CALLS)
def test_a_compiler_sees_one_graph(function, arguments):
    torch.compiler.reset()
    compiled = torch.compile(lambda *args: function(*args), fullgraph=True, backend="eager")
    # NumPy's arc tangent, of CIoU, rounds otherwise.
    with without_numpy_fast_path():
        assert_same(compiled(*arguments), function(*arguments))

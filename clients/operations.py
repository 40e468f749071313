"""MMCV without its compiled operations: torchvision's stand in for those that training on a CPU needs.

Both sides of a comparison get the same. What no operation stands in for fails when it is called.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import torch
import torchvision
from torch import Tensor
from torch.nn import functional

from assigncore.adapters.switching import replace_name


def nms(bboxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Suppress boxes that overlap a better one; with an offset the last pixel belongs to a box."""
    last = bboxes.new_tensor([0.0, 0.0, offset, offset])
    return torchvision.ops.nms(bboxes + last, scores, iou_threshold)


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Group boxes with scores: each that is kept, and those it suppresses."""
    overlaps = torchvision.ops.box_iou(dets[:, :4], dets[:, :4])
    left = torch.argsort(dets[:, 4], descending=True, stable=True)
    groups = []
    while len(left):
        near = overlaps[left[0], left] >= iou_threshold
        near[0] = True
        groups.append(left[near].tolist())
        left = left[~near]
    return groups


def roi_align(
    x: Tensor, rois: Tensor, size: Any, scale: float, sampling_ratio: int, mode: str, aligned: bool
) -> Tensor:
    """Sample regions; the mean alone stands in."""
    if mode != "avg":
        raise RuntimeError(f"roi_align: {mode} has no stand-in")
    return torchvision.ops.roi_align(x, rois, size, scale, sampling_ratio, aligned)


def roi_pool(x: Tensor, rois: Tensor, size: Any, scale: float) -> Tensor:
    """Take the largest of each part of a region."""
    return torchvision.ops.roi_pool(x, rois, size, scale)


def deform_conv2d(
    x: Tensor, offset: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any, *_: Any
) -> Tensor:
    """Convolve at places that were learned; the numbers of groups show in the shapes."""
    return torchvision.ops.deform_conv2d(x, offset, weight, None, stride, padding, dilation)


def modulated_deform_conv2d(
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    *_: Any,
) -> Tensor:
    """Convolve at places that were learned, with weights of their own.

    DyHead hands over the places of a larger map, which the compiled operation does not notice.
    """
    height, width = (-(-size // stride[0]) for size in x.shape[-2:])
    offset, mask = offset[..., :height, :width], mask[..., :height, :width]
    return torchvision.ops.deform_conv2d(x, offset, weight, bias, stride, padding, dilation, mask)


def carafe(features: Tensor, masks: Tensor, kernel_size: int, groups: int, scale: int) -> Tensor:
    """Add up the neighbourhood of each cell, with weights for each cell of the larger map."""
    n, c, h, w = features.shape
    around = functional.unfold(features, kernel_size, padding=kernel_size // 2).reshape(n, -1, h, w)
    around = functional.interpolate(around, scale_factor=scale, mode="nearest")
    around = around.reshape(n, groups, c // groups, kernel_size**2, h * scale, w * scale)
    weights = masks.reshape(n, groups, 1, kernel_size**2, h * scale, w * scale)
    return (around * weights).sum(dim=3).reshape(n, c, h * scale, w * scale)


class Compiled(ModuleType):
    """The module of compiled operations, in which every name is one."""

    nms = staticmethod(nms)
    nms_match = staticmethod(nms_match)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: Any, **__: Any) -> Any:
            raise RuntimeError(f"{name}: a compiled operation, which has no stand-in")

        return missing


def stand_in() -> None:
    """Let MMCV be imported, and put the stand-ins where its modules have the operations."""
    import mmcv

    if mmcv.__version__.startswith("2."):
        # MMYOLO 0.6 refuses versions of MMCV that it works with.
        mmcv.__version__ = "2.0.1"
    sys.modules["mmcv._ext"] = Compiled("mmcv._ext")
    import mmcv.ops as published

    for new in (roi_align, roi_pool, deform_conv2d, modulated_deform_conv2d, carafe):
        replace_name("mmcv", getattr(published, new.__name__), new)

"""The assigners of MMDetection 2 by the matching of least total cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import assigncore
from assigncore.adapters.containers import as_integers, boxes_of, flat_masks
from assigncore.adapters.errors import also_assertion
from assigncore.adapters.mmdet.matching_assigners import hungarian_of, unmatched
from assigncore.adapters.mmdet.result import AssignResult
from assigncore.adapters.mmdet2.costs import (
    BBoxL1Cost,
    ClassificationCost,
    DiceCost,
    FocalLossCost,
    IoUCost,
    build_match_cost,
)
from assigncore.backend import Array, get_backend
from assigncore.checks import check_shape, raise_precision

__all__ = ["HungarianAssigner", "MaskHungarianAssigner"]

mask_hungarian_of = lru_cache(maxsize=64)(assigncore.MaskHungarianAssigner)
"""The core's assigner of the same costs, built once."""


def _refuse_ignore_regions(gt_bboxes_ignore: Any) -> None:
    """Fail as upstream asserts."""
    if gt_bboxes_ignore is not None:
        raise AssertionError("gt_bboxes_ignore: expected None, since the method has no ignore regions")


@dataclass(eq=False)
class HungarianAssigner:
    """Match predictions with ground truths one to one: see :class:`assigncore.HungarianAssigner`.

    Parameters
    ----------
    cls_cost, reg_cost, iou_cost : config mapping or match cost, optional
        The terms of the cost, added up in this order.
    """

    cls_cost: Any = field(default_factory=ClassificationCost)
    reg_cost: Any = field(default_factory=BBoxL1Cost)
    iou_cost: Any = field(default_factory=IoUCost)

    @also_assertion
    def __post_init__(self) -> None:
        for name in ("cls_cost", "reg_cost", "iou_cost"):
            setattr(self, name, build_match_cost(getattr(self, name)))

    def assign(
        self,
        bbox_pred: Array,
        cls_pred: Array,
        gt_bboxes: Any,
        gt_labels: Array,
        img_meta: Any,
        gt_bboxes_ignore: Any = None,
        eps: float = 1e-7,
    ) -> AssignResult:
        """Match predictions with ground truths.

        Parameters
        ----------
        bbox_pred : tensor (N, 4)
            Centres and sizes of the predictions, from 0 to 1.
        cls_pred : tensor (N, C)
            Class logits.
        gt_bboxes : tensor (G, 4)
            Corners of the ground truths in pixels.
        gt_labels : tensor (G,)
            Classes.
        img_meta : mapping
            Its ``img_shape`` begins with height and width.
        gt_bboxes_ignore : None
            The method has no ignore regions.
        eps : float
            Without effect, as published.

        Returns
        -------
        AssignResult
            Without ``max_overlaps``.

        Raises
        ------
        AssertionError
            If there are ignore regions.
        ValueError
            If a cost is not finite: it says which, and of which pair.
        """
        _refuse_ignore_regions(gt_bboxes_ignore)
        boxes, labels = boxes_of(gt_bboxes), as_integers(gt_labels)
        n_priors, n_gts = len(bbox_pred), len(boxes)
        if n_priors == 0 or n_gts == 0:
            return unmatched(labels, n_priors, n_gts)
        height, width = img_meta["img_shape"][:2]
        scaled = _corners_in_pixels(bbox_pred, float(height), float(width))
        costs = tuple(cost.core() for cost in (self.cls_cost, self.reg_cost, self.iou_cost))
        result = hungarian_of(costs).assign(
            boxes, gt_labels=labels, pred_bboxes=scaled, pred_logits=cls_pred, image_shape=(height, width)
        )
        return AssignResult.of(result)


def _corners_in_pixels(boxes: Array, height: float, width: float) -> Array:
    """Turn centres and sizes (N, 4), relative to the image, into corners in pixels."""
    backend = get_backend(boxes, "bbox_pred")
    xp, device = backend.xp, backend.device_of(boxes)
    check_shape("bbox_pred", boxes, "(N, 4)", None, 4)
    (boxes,) = raise_precision(backend, boxes)
    # A corner at a time: small scenes cost what it takes to call functions.
    center, half = boxes[:, :2], boxes[:, 2:] * 0.5
    size = xp.stack([xp.full((), side, dtype=boxes.dtype, device=device) for side in (width, height)])
    return xp.concat([(center - half) * size, (center + half) * size], axis=-1)


@dataclass(eq=False)
class MaskHungarianAssigner:
    """Match predicted masks with those of ground truths: see :class:`assigncore.MaskHungarianAssigner`.

    Parameters
    ----------
    cls_cost, mask_cost, dice_cost : config mapping or match cost, optional
        The terms of the cost, added up in this order; one of weight 0 is not computed.
    """

    cls_cost: Any = field(default_factory=ClassificationCost)
    mask_cost: Any = field(default_factory=lambda: FocalLossCost(binary_input=True))
    dice_cost: Any = field(default_factory=DiceCost)

    @also_assertion
    def __post_init__(self) -> None:
        for name in ("cls_cost", "mask_cost", "dice_cost"):
            setattr(self, name, build_match_cost(getattr(self, name)))

    def assign(
        self,
        cls_pred: Array | None,
        mask_pred: Array,
        gt_labels: Array,
        gt_mask: Array,
        img_meta: Any,
        gt_bboxes_ignore: Any = None,
        eps: float = 1e-7,
    ) -> AssignResult:
        """Match predictions with ground truths.

        Parameters
        ----------
        cls_pred : tensor (N, C) or None
            Class logits; None: classes cost nothing.
        mask_pred : tensor (N, H, W) or (N, P)
            Mask logits.
        gt_labels : tensor (G,)
            Classes.
        gt_mask : tensor (G, H, W) or (G, P)
            Masks.
        img_meta : mapping
            Without effect.
        gt_bboxes_ignore : None
            The method has no ignore regions.
        eps : float
            Without effect, as published.

        Returns
        -------
        AssignResult
            Without ``max_overlaps``.

        Raises
        ------
        AssertionError
            If there are ignore regions.
        ValueError
            If a cost is not finite: it says which, and of which pair.
        """
        _refuse_ignore_regions(gt_bboxes_ignore)
        labels = as_integers(gt_labels)
        n_priors, n_gts = len(mask_pred), len(labels)  # type: ignore[arg-type]
        if n_priors == 0 or n_gts == 0:
            return unmatched(labels, n_priors, n_gts)
        costs = [cost.core() for cost in (self.cls_cost, self.mask_cost, self.dice_cost)]
        result = mask_hungarian_of(*costs).assign(
            flat_masks(gt_mask), pred_masks=flat_masks(mask_pred), gt_labels=labels, pred_logits=cls_pred
        )
        return AssignResult.of(result)

"""The match costs of MMDetection 2, called with tensors; `weight` comes first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from assigncore import costs as core
from assigncore.adapters.containers import as_integers, boxes_of, flat_masks
from assigncore.adapters.errors import also_assertion
from assigncore.adapters.mmdet.building import build_from
from assigncore.adapters.mmdet.costs import CostKnobs, check_box_format
from assigncore.backend import Array
from assigncore.boxes import cxcywh_to_xyxy

__all__ = [
    "COSTS",
    "BBoxL1Cost",
    "ClassificationCost",
    "CrossEntropyLossCost",
    "DiceCost",
    "FocalLossCost",
    "IoUCost",
    "build_match_cost",
]


@dataclass(eq=False)
class ClassificationCost(CostKnobs):
    """The negative probability of the ground truth's class: :class:`assigncore.costs.ClassificationCost`."""

    weight: float = core.ClassificationCost.weight
    core_class = core.ClassificationCost

    def __call__(self, cls_pred: Array, gt_labels: Array) -> Array:
        """Compute the cost (N, G) of logits (N, C) with labels (G,)."""
        return self.core()(pred_logits=cls_pred, gt_labels=as_integers(gt_labels))


@dataclass(eq=False)
class FocalLossCost(CostKnobs):
    """The focal loss of classes or of masks: :class:`assigncore.costs.FocalLossCost`."""

    weight: float = core.FocalLossCost.weight
    alpha: float = core.FocalLossCost.alpha
    gamma: float = core.FocalLossCost.gamma
    eps: float = core.FocalLossCost.eps
    binary_input: bool = core.FocalLossCost.binary_input
    core_class = core.FocalLossCost

    def __call__(self, cls_pred: Array, gt_labels: Array) -> Array:
        """Compute the cost (N, G) of logits (N, C) with labels (G,), or of masks (N, ...) with (G, ...)."""
        if self.binary_input:
            return self.core()(pred_masks=flat_masks(cls_pred), gt_masks=flat_masks(gt_labels))
        return self.core()(pred_logits=cls_pred, gt_labels=as_integers(gt_labels))


@dataclass(eq=False)
class BBoxL1Cost(CostKnobs):
    """The distance of boxes relative to the image: :class:`assigncore.costs.BBoxL1Cost`."""

    weight: float = core.BBoxL1Cost.weight
    box_format: str = core.BBoxL1Cost.box_format
    core_class = core.BBoxL1Cost

    @also_assertion
    def __post_init__(self) -> None:
        check_box_format(self.box_format)

    def __call__(self, bbox_pred: Array, gt_bboxes: Array) -> Array:
        """Compute the cost (N, G) of centres and sizes (N, 4) with corners (G, 4), all from 0 to 1."""
        pred = cxcywh_to_xyxy(bbox_pred)
        return self.core()(pred_bboxes=pred, gt_bboxes=gt_bboxes, image_shape=(1, 1))


@dataclass(eq=False)
class IoUCost(CostKnobs):
    """The negative overlap: :class:`assigncore.costs.IoUCost`."""

    iou_mode: str = core.IoUCost.iou_mode
    weight: float = core.IoUCost.weight
    core_class = core.IoUCost

    def __call__(self, bboxes: Any, gt_bboxes: Any) -> Array:
        """Compute the cost (N, G) of boxes (N, 4) with boxes (G, 4), all in pixels."""
        return self.core()(pred_bboxes=boxes_of(bboxes), gt_bboxes=boxes_of(gt_bboxes))


@dataclass(eq=False)
class DiceCost(CostKnobs):
    """How little masks have in common: :class:`assigncore.costs.DiceCost`."""

    weight: float = core.DiceCost.weight
    pred_act: bool = core.DiceCost.pred_act
    eps: float = core.DiceCost.eps
    naive_dice: bool = core.DiceCost.naive_dice
    core_class = core.DiceCost

    def __call__(self, mask_preds: Array, gt_masks: Array) -> Array:
        """Compute the cost (N, G) of masks (N, ...) with masks (G, ...)."""
        return self.core()(pred_masks=flat_masks(mask_preds), gt_masks=flat_masks(gt_masks))


@dataclass(eq=False)
class CrossEntropyLossCost(CostKnobs):
    """The cross entropy of masks: :class:`assigncore.costs.CrossEntropyLossCost`."""

    weight: float = core.CrossEntropyLossCost.weight
    use_sigmoid: bool = core.CrossEntropyLossCost.use_sigmoid
    core_class = core.CrossEntropyLossCost

    @also_assertion
    def __post_init__(self) -> None:
        if not self.use_sigmoid:
            raise ValueError("use_sigmoid: the form without is not implemented")

    def __call__(self, cls_pred: Array, gt_labels: Array) -> Array:
        """Compute the cost (N, G) of masks (N, ...), logits, with masks (G, ...)."""
        return self.core()(pred_masks=flat_masks(cls_pred), gt_masks=flat_masks(gt_labels))


COSTS: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (BBoxL1Cost, ClassificationCost, CrossEntropyLossCost, DiceCost, FocalLossCost, IoUCost)
}
"""By the names of configs."""


def build_match_cost(config: Any) -> Any:
    """Build a match cost from a config mapping; one that is built already passes through."""
    return build_from(COSTS, config, "match cost")

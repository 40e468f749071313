"""The matchers of DETR and its successors: outputs and lists of targets in, index pairs out.

``criterion.matcher = HungarianMatcher(...)`` puts one into a criterion. Beyond what is published each has an
argument, `nonfinite`, and a method, `match_layers`, for all decoder layers in one solve.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from assigncore.adapters.errors import also_assertion
from assigncore.adapters.index_pairs import Pairs, SetMatcher, check_weights
from assigncore.result import AssignResult

__all__ = [
    "FocalHungarianMatcher",
    "HungarianMatcher",
    "Mask2FormerMatcher",
    "RTDETRMatcher",
    "RTDETRv2Matcher",
]

FOCAL_EPS = 1e-8
"""Added to a probability before its logarithm, as published."""


def _box_costs(
    cost_class: float, cost_bbox: float, cost_giou: float, focal: Mapping[str, float] | None
) -> list[dict[str, Any]]:
    """Return the terms of DETR's cost; with the knobs of a focal loss, Deformable DETR's."""
    of_class: dict[str, Any] = {"type": "ClassificationCost"}
    if focal is not None:
        of_class = {"type": "FocalLossCost", "eps": FOCAL_EPS, **focal}
    return [
        {"type": "BBoxL1Cost", "box_format": "xywh", "weight": cost_bbox},
        {**of_class, "weight": cost_class},
        {"type": "IoUCost", "iou_mode": "giou", "weight": cost_giou},
    ]


class HungarianMatcher(SetMatcher):
    """DETR's matcher: class probability by softmax, box distance, and GIoU.

    `outputs` has ``pred_logits`` (B, N, C) and ``pred_boxes`` (B, N, 4), centre and size relative to the
    image; each target has ``labels`` (G,) and ``boxes`` (G, 4).

    Parameters
    ----------
    cost_class, cost_bbox, cost_giou : float, default 1
        Weights of the terms; one of 0 is not computed.
    nonfinite : {"raise", "forbid"}, default "raise"
        What happens to a pair whose cost is NaN or infinite: an error that names it, or it is never matched.

    References
    ----------
    Carion et al., "End-to-End Object Detection with Transformers", 2020.

    Examples
    --------
    >>> outputs = {
    ...     "pred_logits": torch.zeros(1, 3, 2),
    ...     "pred_boxes": torch.tensor([[[0.2, 0.2, 0.1, 0.1], [0.7, 0.7, 0.2, 0.2], [0.5, 0.5, 0.1, 0.1]]]),
    ... }
    >>> target = {"labels": torch.tensor([0]), "boxes": torch.tensor([[0.7, 0.6, 0.2, 0.2]])}
    >>> HungarianMatcher(cost_class=1, cost_bbox=5, cost_giou=2)(outputs, [target])
    [(tensor([1]), tensor([0]))]
    """

    predictions: Mapping[str, str] = {"pred_logits": "pred_logits", "pred_bboxes": "pred_boxes"}
    ground_truths: Mapping[str, str] = {"gt_labels": "labels", "gt_bboxes": "boxes"}
    focal: Mapping[str, float] | None = None

    @also_assertion
    def __init__(
        self,
        cost_class: float = 1,
        cost_bbox: float = 1,
        cost_giou: float = 1,
        *,
        nonfinite: str = "raise",
    ) -> None:
        check_weights(cost_class=cost_class, cost_bbox=cost_bbox, cost_giou=cost_giou)
        super().__init__(_box_costs(cost_class, cost_bbox, cost_giou, self.focal), nonfinite)
        self.cost_class, self.cost_bbox, self.cost_giou = cost_class, cost_bbox, cost_giou


class FocalHungarianMatcher(HungarianMatcher):
    """Deformable DETR's matcher: as :class:`HungarianMatcher`, with a focal cost of classes by sigmoid.

    References
    ----------
    Zhu et al., "Deformable DETR: Deformable Transformers for End-to-End Object Detection", 2021.
    """

    focal: Mapping[str, float] | None = {"alpha": 0.25, "gamma": 2.0}


class RTDETRMatcher(SetMatcher):
    """RT-DETR's matcher: weights in a dict, and either cost of classes.

    Parameters
    ----------
    weight_dict : mapping of str to float
        ``cost_class``, ``cost_bbox`` and ``cost_giou``.
    use_focal_loss : bool, default False
        Whether classes cost as in Deformable DETR, else as in DETR.
    alpha, gamma : float, default 0.25 and 2.0
        Knobs of the focal cost.
    nonfinite : {"raise", "forbid"}, default "raise"
        As in :class:`HungarianMatcher`.

    References
    ----------
    Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection", 2024.
    """

    predictions: Mapping[str, str] = HungarianMatcher.predictions
    ground_truths: Mapping[str, str] = HungarianMatcher.ground_truths

    @also_assertion
    def __init__(
        self,
        weight_dict: Mapping[str, float],
        use_focal_loss: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        *,
        nonfinite: str = "raise",
    ) -> None:
        weights = {name: weight_dict[name] for name in ("cost_class", "cost_bbox", "cost_giou")}
        check_weights(**weights)
        focal = {"alpha": alpha, "gamma": gamma} if use_focal_loss else None
        super().__init__(_box_costs(**weights, focal=focal), nonfinite)
        self.cost_class, self.cost_bbox, self.cost_giou = weights.values()
        self.use_focal_loss, self.alpha, self.gamma = use_focal_loss, alpha, gamma


class RTDETRv2Matcher(RTDETRMatcher):
    """RT-DETRv2's matcher of boxes: as :class:`RTDETRMatcher`, the pairs in a dict under ``indices``."""

    def _match(self, *arguments: Any) -> list[dict[str, Pairs]]:
        return [{"indices": pairs} for pairs in super()._match(*arguments)]


class Mask2FormerMatcher(SetMatcher):
    """Mask2Former's matcher: class probability by softmax, and masks compared at random points.

    `outputs` has ``pred_logits`` (B, N, C) and ``pred_masks`` (B, N, H, W), logits; each target has
    ``labels`` (G,) and ``masks`` (G, height, width), of one size for all images.

    Parameters
    ----------
    cost_class, cost_mask, cost_dice : float, default 1
        Weights of class, cross entropy and Dice coefficient; one of 0 is not computed.
    num_points : int, default 0
        Points at which the masks of an image are compared, drawn anew for each image and layer from PyTorch's
        generator. With 0 all pixels are, and predictions have the size of the targets.
    nonfinite : {"raise", "forbid"}, default "raise"
        As in :class:`HungarianMatcher`.

    References
    ----------
    Cheng et al., "Masked-attention Mask Transformer for Universal Image Segmentation", 2022.
    """

    predictions: Mapping[str, str] = {"pred_logits": "pred_logits", "pred_masks": "pred_masks"}
    ground_truths: Mapping[str, str] = {"gt_labels": "labels", "gt_masks": "masks"}

    @also_assertion
    def __init__(
        self,
        cost_class: float = 1,
        cost_mask: float = 1,
        cost_dice: float = 1,
        num_points: int = 0,
        *,
        nonfinite: str = "raise",
    ) -> None:
        check_weights(cost_class=cost_class, cost_mask=cost_mask, cost_dice=cost_dice)
        costs: list[dict[str, Any]] = [
            {"type": "CrossEntropyLossCost", "weight": cost_mask},
            {"type": "ClassificationCost", "weight": cost_class},
            {"type": "DiceCost", "pred_act": True, "eps": 1.0, "weight": cost_dice},
        ]
        super().__init__(costs, nonfinite)
        self.cost_class, self.cost_mask, self.cost_dice = cost_class, cost_mask, cost_dice
        self.num_points = num_points

    def _assign(self, inputs: Mapping[str, Tensor], gt_valid: Tensor) -> AssignResult:
        points = None
        if self.num_points > 0:
            masks = inputs["pred_masks"]
            points = torch.rand(*masks.shape[:-3], self.num_points, 2, device=masks.device)
        return self.assigner.assign(**inputs, gt_valid=gt_valid, mask_points=points)

    def __repr__(self) -> str:
        """Name the weights, as published."""
        weights = ("cost_class", "cost_mask", "cost_dice")
        lines = [f"    {name}: {getattr(self, name)}" for name in weights]
        return "\n".join([f"Matcher {type(self).__name__}", *lines])

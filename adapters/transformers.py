"""The matchers of Hugging Face's transformers, by its class names, arguments and entries.

Its losses look their matcher up by name, so that an assignment to that name switches it, such as
``transformers.loss.loss_for_object_detection.HungarianMatcher``. That package is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from assigncore.adapters import detr
from assigncore.adapters.index_pairs import Pairs

__all__ = [
    "DeformableDetrHungarianMatcher",
    "HungarianMatcher",
    "Mask2FormerHungarianMatcher",
    "RTDetrHungarianMatcher",
]

PREDICTIONS: Mapping[str, str] = {"pred_logits": "logits", "pred_bboxes": "pred_boxes"}
GROUND_TRUTHS: Mapping[str, str] = {"gt_labels": "class_labels", "gt_bboxes": "boxes"}
AUXILIARY = "auxiliary_outputs"


class HungarianMatcher(detr.HungarianMatcher):
    """The matcher of DETR: class probability by softmax, box distance, and GIoU.

    `outputs` has ``logits`` (B, N, C) and ``pred_boxes`` (B, N, 4), and ``auxiliary_outputs`` for
    `match_layers`; each target has ``class_labels`` (G,) and ``boxes`` (G, 4).

    Parameters
    ----------
    class_cost, bbox_cost, giou_cost : float, default 1
        Weights of the terms; one of 0 is not computed.
    nonfinite : {"raise", "forbid"}, default "raise"
        Whether a pair whose cost is NaN or infinite is an error, or never matched.

    Examples
    --------
    >>> boxes = torch.tensor([[0.2, 0.2, 0.1, 0.1], [0.7, 0.7, 0.2, 0.2]])
    >>> outputs = {"logits": torch.zeros(1, 2, 3), "pred_boxes": boxes[None]}
    >>> HungarianMatcher(bbox_cost=5)(outputs, [{"class_labels": torch.tensor([1]), "boxes": boxes[1:]}])
    [(tensor([1]), tensor([0]))]
    """

    predictions = PREDICTIONS
    ground_truths = GROUND_TRUTHS
    auxiliary = AUXILIARY

    def __init__(
        self,
        class_cost: float = 1,
        bbox_cost: float = 1,
        giou_cost: float = 1,
        *,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(class_cost, bbox_cost, giou_cost, nonfinite=nonfinite)
        self.class_cost, self.bbox_cost, self.giou_cost = class_cost, bbox_cost, giou_cost


class DeformableDetrHungarianMatcher(HungarianMatcher):
    """The matcher of Deformable DETR: a focal cost of classes by sigmoid."""

    focal: Mapping[str, float] | None = detr.FocalHungarianMatcher.focal


class RTDetrHungarianMatcher(detr.RTDETRMatcher):
    """The matcher of RT-DETR, built from the model's config.

    Parameters
    ----------
    config : object
        Has ``matcher_class_cost``, ``matcher_bbox_cost``, ``matcher_giou_cost``, ``use_focal_loss``,
        ``matcher_alpha`` and ``matcher_gamma``.
    nonfinite : {"raise", "forbid"}, default "forbid"
        Whether a pair whose cost is NaN or infinite is an error, or never matched. The published matcher does
        not raise, but may match it.
    """

    predictions = PREDICTIONS
    ground_truths = GROUND_TRUTHS
    auxiliary = AUXILIARY

    def __init__(self, config: Any, *, nonfinite: str = "forbid") -> None:
        weights = {
            f"cost_{term}": getattr(config, f"matcher_{term}_cost") for term in ("class", "bbox", "giou")
        }
        super().__init__(
            weights,
            config.use_focal_loss,
            config.matcher_alpha,
            config.matcher_gamma,
            nonfinite=nonfinite,
        )
        self.class_cost, self.bbox_cost, self.giou_cost = weights.values()


class Mask2FormerHungarianMatcher(detr.Mask2FormerMatcher):
    """The matcher of Mask2Former, called with four arguments.

    Parameters
    ----------
    cost_class, cost_mask, cost_dice : float, default 1.0
        Weights of class, cross entropy and Dice coefficient; one of 0 is not computed.
    num_points : int, default 12544
        As in :class:`assigncore.adapters.detr.Mask2FormerMatcher`.
    nonfinite : {"raise", "forbid"}, default "forbid"
        Whether a pair whose cost is NaN or infinite is an error, or never matched. The published matcher does
        not raise, but may match it.
    """

    __repr__ = torch.nn.Module.__repr__

    def __init__(
        self,
        cost_class: float = 1.0,
        cost_mask: float = 1.0,
        cost_dice: float = 1.0,
        num_points: int = 12544,
        *,
        nonfinite: str = "forbid",
    ) -> None:
        super().__init__(cost_class, cost_mask, cost_dice, num_points, nonfinite=nonfinite)

    def forward(  # type: ignore[override]
        self,
        masks_queries_logits: Tensor,
        class_queries_logits: Tensor,
        mask_labels: Sequence[Tensor],
        class_labels: Sequence[Tensor],
    ) -> Pairs:
        """Match one decoder layer: masks (B, N, H, W), classes (B, N, C), and both of the targets."""
        outputs = {"pred_logits": class_queries_logits, "pred_masks": masks_queries_logits}
        targets = [
            {"labels": labels, "masks": masks}
            for labels, masks in zip(class_labels, mask_labels, strict=True)
        ]
        pairs: Pairs = super().forward(outputs, targets)
        return pairs

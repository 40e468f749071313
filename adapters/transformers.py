"""The matchers of Hugging Face's transformers, by its class names, arguments and entries.

Its losses look their matcher up by name, some in a module of their own: `use_in_transformers` switches every
name. Nothing of that package is imported before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from assigncore.adapters import detr
from assigncore.adapters.errors import also_assertion
from assigncore.adapters.index_pairs import Pairs
from assigncore.adapters.switching import Switched, replace_name

__all__ = [
    "DeformableDetrHungarianMatcher",
    "HungarianMatcher",
    "LwDetrHungarianMatcher",
    "Mask2FormerHungarianMatcher",
    "RTDetrHungarianMatcher",
    "use_in_transformers",
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
    nonfinite : {"raise", "forbid"}, default "forbid"
        Whether a pair whose cost is NaN or infinite is an error, or never matched. The published matcher does
        not raise, but may match it.

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

    @also_assertion
    def __init__(
        self,
        class_cost: float = 1,
        bbox_cost: float = 1,
        giou_cost: float = 1,
        *,
        nonfinite: str = "forbid",
    ) -> None:
        super().__init__(class_cost, bbox_cost, giou_cost, nonfinite=nonfinite)
        self.class_cost, self.bbox_cost, self.giou_cost = class_cost, bbox_cost, giou_cost


class DeformableDetrHungarianMatcher(HungarianMatcher):
    """The matcher of Deformable DETR: a focal cost of classes by sigmoid."""

    focal: Mapping[str, float] | None = detr.FocalHungarianMatcher.focal


class LwDetrHungarianMatcher(DeformableDetrHungarianMatcher):
    """The matcher of LW-DETR: that of Deformable DETR, for each group of queries on its own.

    While it trains, the queries are several groups, each of which finds all targets.
    """

    def forward(
        self, outputs: Mapping[str, Any], targets: Sequence[Mapping[str, Tensor]], group_detr: int = 1
    ) -> Pairs:
        """Match one decoder layer, whose N predictions are `group_detr` groups one after another.

        Parameters
        ----------
        outputs : mapping of str to Tensor
            ``logits`` (B, N, C) and ``pred_boxes`` (B, N, 4).
        targets : sequence of mapping of str to Tensor
            ``class_labels`` (G,) and ``boxes`` (G, 4) of each image.
        group_detr : int, default 1
            Number of groups; N is a multiple of it.

        Returns
        -------
        list of tuple of Tensor
            For each image the matched predictions, ascending in each group, group after group, and the target
            of each; int64 on the CPU.

        Raises
        ------
        ValueError
            If the predictions are no whole number of groups.
        """
        queries = int(outputs["logits"].shape[1])
        if group_detr < 1 or queries % group_detr:
            raise ValueError(f"group_detr: expected a divisor of the {queries} predictions, got {group_detr}")
        size = queries // group_detr
        layers = [
            {entry: outputs[entry][:, group * size : (group + 1) * size] for entry in PREDICTIONS.values()}
            for group in range(group_detr)
        ]
        groups = self._match(layers, targets)
        return [
            (
                torch.cat([pairs[image][0] + size * group for group, pairs in enumerate(groups)]),
                torch.cat([pairs[image][1] for pairs in groups]),
            )
            for image in range(len(targets))
        ]


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

    @also_assertion
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

    @also_assertion
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


MATCHERS: Mapping[str, type[torch.nn.Module]] = {
    "loss.loss_for_object_detection.HungarianMatcher": HungarianMatcher,
    "loss.loss_deformable_detr.DeformableDetrHungarianMatcher": DeformableDetrHungarianMatcher,
    "loss.loss_lw_detr.LwDetrHungarianMatcher": LwDetrHungarianMatcher,
    "loss.loss_rt_detr.RTDetrHungarianMatcher": RTDetrHungarianMatcher,
    "models.mask2former.modeling_mask2former.Mask2FormerHungarianMatcher": Mask2FormerHungarianMatcher,
    "models.eomt.modeling_eomt.EomtHungarianMatcher": Mask2FormerHungarianMatcher,
    "models.eomt_dinov3.modeling_eomt_dinov3.EomtDinov3HungarianMatcher": Mask2FormerHungarianMatcher,
    "models.videomt.modeling_videomt.VideomtHungarianMatcher": Mask2FormerHungarianMatcher,
    "models.oneformer.modeling_oneformer.OneFormerHungarianMatcher": Mask2FormerHungarianMatcher,
}
"""The published matchers that there is a drop-in for, by module and name."""

OTHERS: Mapping[str, str] = {
    "loss.loss_grounding_dino.GroundingDinoHungarianMatcher": "its cost of classes is one of tokens",
    "loss.loss_rf_detr.RfDetrHungarianMatcher": "it adds costs of masks to those of boxes",
    "models.maskformer.modeling_maskformer.MaskFormerHungarianMatcher": "its cost of masks is a focal loss",
}
"""Those there is none for, each with the reason."""


def use_in_transformers() -> Switched:
    """Let the losses of transformers match by these matchers, wherever they have them from.

    What was imported by name, as D-FINE's loss imports RT-DETR's matcher, is switched too. A criterion
    that is built already keeps its matcher: call this before, or once at the start.

    Returns
    -------
    Switched
        The names that were replaced, and those that were not, with the reason. `Switched.undo` puts them
        back.

    Raises
    ------
    ModuleNotFoundError
        If transformers is not installed.
    """
    import_module("transformers")
    # All losses first: one that is imported later would derive from what is replaced.
    for place in (*MATCHERS, *OTHERS):
        _find(place)
    replaced, left = {}, {}
    for place, ours in MATCHERS.items():
        published = _find(place)
        if published is ours:
            left[f"transformers.{place}"] = "is one of assigncore already"
        elif published is not None:
            replaced.update(replace_name("transformers", published, ours))
    for place, why in OTHERS.items():
        if _find(place) is not None:
            left[f"transformers.{place}"] = why
    return Switched(tuple(replaced), left, tuple(replaced.values()))


def _find(place: str) -> Any:
    """Find a published matcher; None in a version that has it not, or cannot import its model."""
    module, _, name = f"transformers.{place}".rpartition(".")
    try:
        return getattr(import_module(module), name, None)
    except ImportError:
        return None

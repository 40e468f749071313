"""The matchers of DETR and its successors: outputs and lists of targets in, index pairs out.

``criterion.matcher = HungarianMatcher(...)`` puts one into a criterion. Beyond what is published each has an
argument, `nonfinite`, and a method, `match_layers`, for all decoder layers in one solve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from assigncore.adapters.errors import also_assertion
from assigncore.adapters.index_pairs import UNIT, Pairs, SetMatcher, Target, checked_weights
from assigncore.assigners import HungarianAssigner
from assigncore.backend import get_backend
from assigncore.costs import point_sample
from assigncore.result import AssignResult

__all__ = [
    "BoxAndMaskMatcher",
    "DFINEMatcher",
    "FocalHungarianMatcher",
    "GroupMatcher",
    "HungarianMatcher",
    "Mask2FormerMatcher",
    "RFDETRMatcher",
    "RTDETRMatcher",
    "RTDETRv2Matcher",
    "box_costs",
    "keypoint_costs",
    "mask_costs",
]

BOX_WEIGHTS = ("cost_class", "cost_bbox", "cost_giou")
MASK_WEIGHTS = ("cost_class", "cost_mask", "cost_dice")

FOCAL_EPS = 1e-8
"""Added to a probability before its logarithm, as published."""


def box_costs(weights: Sequence[float], focal: Mapping[str, float] | None) -> list[dict[str, Any]]:
    """Return the terms of DETR's cost; with the knobs of a focal loss, Deformable DETR's.

    The weights are those of class, distance and GIoU.
    """
    cost_class, cost_bbox, cost_giou = weights
    of_class: dict[str, Any] = {"type": "ClassificationCost"}
    if focal is not None:
        of_class = {"type": "FocalLossCost", "eps": FOCAL_EPS, **focal}
    return [
        {"type": "BBoxL1Cost", "box_format": "xywh", "weight": cost_bbox},
        {**of_class, "weight": cost_class},
        {"type": "IoUCost", "iou_mode": "giou", "weight": cost_giou},
    ]


def keypoint_costs(l1: float, findable: float, visible: float, nll: float) -> list[dict[str, Any]]:
    """Return the terms of RF-DETR's cost that compare keypoints."""
    return [
        {"type": "KeypointL1Cost", "relative_to": "object", "weight": l1},
        {"type": "KeypointVisibilityCost", "weight": findable},
        {"type": "KeypointVisibilityCost", "visible": True, "weight": visible},
        {"type": "KeypointNLLCost", "weight": nll},
    ]


def mask_costs(cost_mask: float, cost_dice: float) -> list[dict[str, Any]]:
    """Return the terms of Mask2Former's cost that compare masks."""
    return [
        {"type": "CrossEntropyLossCost", "weight": cost_mask},
        {"type": "DiceCost", "pred_act": True, "eps": 1.0, "weight": cost_dice},
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
    weights: tuple[str, ...] = BOX_WEIGHTS
    """The attributes that have the weights of class, distance and GIoU."""
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
        super().__init__(nonfinite)
        for name, weight in zip(self.weights, (cost_class, cost_bbox, cost_giou), strict=True):
            setattr(self, name, weight)
        self.core()

    def costs(self, **options: Any) -> Sequence[Mapping[str, Any]]:
        """Return the terms of the cost as configs."""
        return box_costs(checked_weights(self, *self.weights), self.focal)


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
    weights: tuple[str, ...] = BOX_WEIGHTS

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
        super().__init__(nonfinite)
        for name, entry in zip(self.weights, BOX_WEIGHTS, strict=True):
            setattr(self, name, weight_dict[entry])
        self.use_focal_loss, self.alpha, self.gamma = use_focal_loss, alpha, gamma
        self.core()

    def costs(self, **options: Any) -> Sequence[Mapping[str, Any]]:
        """Return the terms of the cost as configs."""
        focal = {"alpha": self.alpha, "gamma": self.gamma} if self.use_focal_loss else None
        return box_costs(checked_weights(self, *self.weights), focal)


class RTDETRv2Matcher(RTDETRMatcher):
    """RT-DETRv2's matcher of boxes: as :class:`RTDETRMatcher`, the pairs in a dict under ``indices``."""

    def _match(self, *arguments: Any) -> list[dict[str, Pairs]]:
        return [{"indices": pairs} for pairs in super()._match(*arguments)]


class DFINEMatcher(RTDETRv2Matcher):
    """The matcher of D-FINE, DEIM and their forks: that of RT-DETRv2, also for several rounds.

    Parameters
    ----------
    weight_dict : mapping of str to float
        ``cost_class``, ``cost_bbox`` and ``cost_giou``.
    use_focal_loss : bool, default False
        Whether classes cost as in Deformable DETR, else as in DETR.
    alpha, gamma : float, default 0.25 and 2.0
        Knobs of the focal cost.
    change_matcher : bool, default False
        Whether, from `matcher_change_epoch` on, a pair costs its negative score times a power of its IoU.
    iou_order_alpha : float, default 1.0
        That power.
    matcher_change_epoch : int, default 10000
        The first epoch with the other cost.
    nonfinite : {"raise", "forbid"}, default "raise"
        As in :class:`HungarianMatcher`.

    References
    ----------
    Peng et al., "D-FINE: Redefine Regression Task in DETRs as Fine-grained Distribution Refinement", 2024.
    Huang et al., "DEIM: DETR with Improved Matching for Fast Convergence", 2025.
    """

    _late = False

    @also_assertion
    def __init__(
        self,
        weight_dict: Mapping[str, float],
        use_focal_loss: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        change_matcher: bool = False,
        iou_order_alpha: float = 1.0,
        matcher_change_epoch: int = 10000,
        *,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(weight_dict, use_focal_loss, alpha, gamma, nonfinite=nonfinite)
        self.change_matcher, self.iou_order_alpha = change_matcher, iou_order_alpha
        self.matcher_change_epoch = matcher_change_epoch
        self.core(late=True)

    def costs(self, late: bool = False, **options: Any) -> Sequence[Mapping[str, Any]]:
        """Return the terms of the cost as configs, also those of later epochs."""
        if not late:
            return super().costs()
        return [{"type": "AlignmentCost", "beta": self.iou_order_alpha, "use_sigmoid": self.use_focal_loss}]

    def forward(
        self,
        outputs: Mapping[str, Any],
        targets: Sequence[Target],
        return_topk: int = 0,
        epoch: int = 0,
    ) -> dict[str, Pairs]:
        """Match one decoder layer.

        Parameters
        ----------
        outputs : mapping of str to Tensor
            The predictions of B images.
        targets : sequence of mapping of str to Tensor
            The targets of each image.
        return_topk : int, default 0
            In how many rounds each target finds one of the predictions that are left; 0 for one to one.
        epoch : int, default 0
            Of the training.

        Returns
        -------
        dict of str to list of tuple of Tensor
            Under ``indices`` the pairs of each image, with `return_topk` under ``indices_o2m``, round after
            round.

        Notes
        -----
        A round bars what an earlier one matched. The published matcher does it in all images as soon as one
        matched it, and bars the predictions with the numbers of the matched targets too.
        """
        late = bool(self.change_matcher and epoch >= self.matcher_change_epoch)
        if not (return_topk or late):
            return cast("dict[str, Pairs]", self._match_one(outputs, targets))
        # A copy, since a module may be called from threads.
        matcher = copy(self)
        matcher._late = late
        if not return_topk:
            return matcher._match([outputs], targets)[0]
        left = torch.ones(outputs["pred_logits"].shape[:2], dtype=torch.bool)
        rounds: list[Pairs] = []
        for _ in range(return_topk):
            (found,) = matcher._match([outputs], targets, 1, left.to(outputs["pred_logits"].device))
            rounds.append(found["indices"])
            for image, (matched, _) in enumerate(rounds[-1]):
                left[image, matched] = False
        return {"indices_o2m": [_joined(of_image) for of_image in zip(*rounds, strict=True)]}

    def _assign(self, inputs: Mapping[str, Tensor], gt_valid: Tensor, groups: int) -> AssignResult:
        return self._solve(self.core(late=True) if self._late else self.core(), inputs, gt_valid, groups)


def _joined(rounds: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    predictions, targets = zip(*rounds, strict=True)
    return torch.cat(predictions), torch.cat(targets)


class GroupMatcher(SetMatcher):
    """Match each of several equal groups of predictions on its own, as LW-DETR and RF-DETR train."""

    def forward(
        self, outputs: Mapping[str, Any], targets: Sequence[Target], group_detr: int = 1, *_: Any
    ) -> Pairs:
        """Match one decoder layer, whose N predictions are `group_detr` groups one after another.

        Parameters
        ----------
        outputs : mapping of str to Tensor
            The predictions of B images.
        targets : sequence of mapping of str to Tensor
            The targets of each image.
        group_detr : int, default 1
            Number of groups. What is left of N after the last whole group is not matched.
        *_ : object
            What a criterion hands over beyond these, and is not read.

        Returns
        -------
        list of tuple of Tensor
            For each image the matched predictions, ascending, and the target of each; int64 on the CPU.

        Raises
        ------
        ValueError
            If there are more groups than predictions.
        """
        return cast("Pairs", self._match_one(outputs, targets, group_detr))


class BoxAndMaskMatcher(GroupMatcher):
    """Match boxes and masks at random points, in groups.

    The base of RF-DETR's matchers. Masks of predictions are read linearly between pixels, those of targets at
    the nearest pixel; `padding` says what is read between the outermost pixels' centres and the edge.

    A subclass gives the costs, of boxes alone and of masks too.

    Parameters
    ----------
    mask_point_sample_ratio : int
        Masks are compared at one point for so many pixels, drawn anew for each layer.
    nonfinite : {"raise", "forbid"}
        What happens to a pair whose cost is NaN or infinite.
    """

    predictions: Mapping[str, str] = {**HungarianMatcher.predictions, "pred_masks": "pred_masks"}
    ground_truths: Mapping[str, str] = {**HungarianMatcher.ground_truths, "gt_masks": "masks"}
    draws_points = True
    padding: ClassVar[str] = "zeros"

    def __init__(self, mask_point_sample_ratio: int, nonfinite: str) -> None:
        super().__init__(nonfinite)
        self.mask_point_sample_ratio = mask_point_sample_ratio

    def _num_points(self, inputs: Mapping[str, Tensor]) -> int:
        height, width = self._maps(inputs).shape[-2:]
        return height * width // self.mask_point_sample_ratio

    def _core_of(self, inputs: Mapping[str, Tensor]) -> HungarianAssigner:
        """Return the core's assigner with the costs of what there is."""
        there = {part: True for part in ("masks", "keypoints") if f"gt_{part}" in inputs}
        return cast("HungarianAssigner", self.core(**there))

    def _maps(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return what is read at points, (..., H, W)."""
        return inputs["pred_masks"]

    def _mask_logits(self, inputs: Mapping[str, Tensor], read: Tensor) -> Tensor:
        """Return the logits of the predictions' masks, (..., N, P), of what was read."""
        return read

    def _assign(self, inputs: Mapping[str, Tensor], gt_valid: Tensor, groups: int) -> AssignResult:
        points = self._num_points(inputs) if "gt_masks" in inputs else 0
        if points == 0:
            inputs = {name: x for name, x in inputs.items() if "masks" not in name}
            return self._solve(self._core_of(inputs), inputs, gt_valid, groups)
        maps = self._maps(inputs)
        at = torch.rand(*maps.shape[:-4], 1, points, 2, device=maps.device)
        logits = self._mask_logits(inputs, point_sample(maps, at, padding=self.padding))
        sampled = {
            "pred_masks": logits[..., None, :],
            "gt_masks": point_sample(inputs["gt_masks"], at, mode="nearest", padding=self.padding)[
                ..., None, :
            ],
        }
        inputs = {**inputs, **sampled}
        return self._solve(self._core_of(inputs), inputs, gt_valid, groups)


class RFDETRMatcher(BoxAndMaskMatcher):
    """The matcher of the package ``rfdetr``: boxes, masks and keypoints where there are some, in groups.

    `outputs` has ``pred_logits`` (B, N, C), ``pred_boxes`` (B, N, 4), and perhaps ``pred_masks`` and
    ``pred_keypoints`` (B, N, classes x K, 7 or more): x and y relative to the image, logits that a keypoint
    is labelled and that it is visible, and three numbers of its precision. Masks are (B, N, H, W), or as the
    segmentation head gives them in training, products yet to be made: a mapping of ``spatial_features``
    (B, D, H, W), ``query_features`` (B, N, D) and ``bias``, a number. Each target has ``labels`` (G,),
    ``boxes`` (G, 4), and perhaps ``masks`` (G, height, width), of one size for all images, and ``keypoints``
    (G, K, 3), x, y and COCO's visibility.

    Parameters
    ----------
    cost_class, cost_bbox, cost_giou : float, default 1
        Weights of the terms; one of 0 is not computed.
    focal_alpha : float, default 0.25
        Weight of what is true in the cost of classes.
    use_pos_only, use_position_modulated_cost : bool, default False
        Reserved upstream, and without effect.
    mask_point_sample_ratio : int, default 16
        Masks are compared at one point for so many pixels, drawn anew for each layer.
    cost_mask_ce, cost_mask_dice : float, default 1
        Weights of the cross entropy and the Dice coefficient of masks.
    num_keypoints_per_class : sequence of int, optional
        How many of the K keypoints each class has. An object of a class beyond these has none.
    keypoint_l1_loss_coef, keypoint_nll_loss_coef : float, default 0.0
        Weights of the distances and of the negative log-likelihood of keypoints; see
        :class:`assigncore.costs.KeypointL1Cost` and :class:`assigncore.costs.KeypointNLLCost`.
    keypoint_findable_loss_coef, keypoint_visible_loss_coef : float, default 0.0
        Weights of whether keypoints are labelled, and visible; see
        :class:`assigncore.costs.KeypointVisibilityCost`.
    nonfinite : {"raise", "forbid"}, default "forbid"
        Whether a pair whose cost is NaN or infinite is an error, or never matched. The published matcher does
        not raise, but may match it.

    Raises
    ------
    ValueError
        If all weights of boxes and classes are 0. On a call with keypoints, if their numbers do not fit.

    References
    ----------
    Robinson et al., "RF-DETR: Neural Architecture Search for Real-Time Detection Transformers", 2025.
    """

    padding = "border"

    @also_assertion
    def __init__(
        self,
        cost_class: float = 1,
        cost_bbox: float = 1,
        cost_giou: float = 1,
        focal_alpha: float = 0.25,
        use_pos_only: bool = False,
        use_position_modulated_cost: bool = False,
        mask_point_sample_ratio: int = 16,
        cost_mask_ce: float = 1,
        cost_mask_dice: float = 1,
        num_keypoints_per_class: Sequence[int] | None = None,
        keypoint_l1_loss_coef: float = 0.0,
        keypoint_findable_loss_coef: float = 0.0,
        keypoint_visible_loss_coef: float = 0.0,
        keypoint_nll_loss_coef: float = 0.0,
        *,
        nonfinite: str = "forbid",
    ) -> None:
        super().__init__(mask_point_sample_ratio, nonfinite)
        self.cost_class, self.cost_bbox, self.cost_giou = cost_class, cost_bbox, cost_giou
        self.cost_mask_ce, self.cost_mask_dice = cost_mask_ce, cost_mask_dice
        self.focal_alpha = focal_alpha
        self.num_keypoints_per_class = tuple(num_keypoints_per_class or ())
        self.keypoint_l1_loss_coef = keypoint_l1_loss_coef
        self.keypoint_nll_loss_coef = keypoint_nll_loss_coef
        self.keypoint_findable_loss_coef = keypoint_findable_loss_coef
        self.keypoint_visible_loss_coef = keypoint_visible_loss_coef
        self.core(masks=True, keypoints=True)

    def costs(
        self, masks: bool = False, keypoints: bool = False, **options: Any
    ) -> Sequence[Mapping[str, Any]]:
        """Return the terms of the cost as configs: those of boxes, and of what else there is."""
        # With eps 0 the logarithm is computed of the logit, as published.
        focal = {"alpha": self.focal_alpha, "gamma": 2.0, "eps": 0.0}
        terms = box_costs(checked_weights(self, *BOX_WEIGHTS), focal)
        if masks:
            terms += mask_costs(self.cost_mask_ce, self.cost_mask_dice)
        if keypoints:
            terms += self._keypoint_costs()
        return terms

    def _keypoint_costs(self) -> list[dict[str, Any]]:
        return keypoint_costs(
            self.keypoint_l1_loss_coef,
            self.keypoint_findable_loss_coef,
            self.keypoint_visible_loss_coef,
            self.keypoint_nll_loss_coef,
        )

    def _match(
        self, layers: Sequence[Mapping[str, Any]], targets: Sequence[Target], *further: Any
    ) -> list[Any]:
        masks = any("masks" in target for target in targets)
        keypoints = (
            any(term["weight"] for term in self._keypoint_costs())
            and all("pred_keypoints" in layer for layer in layers)
            and any("keypoints" in target for target in targets)
        )
        if keypoints:
            self._check_keypoints(layers, targets)
        # What is there decides which entries are read; a copy, since a module may be called from threads.
        own = copy(self)
        predictions, ground_truths = dict(HungarianMatcher.predictions), dict(HungarianMatcher.ground_truths)
        if masks:
            predictions["pred_masks"], ground_truths["gt_masks"] = "pred_masks", "masks"
            if all(isinstance(layer.get("pred_masks"), Mapping) for layer in layers):
                predictions |= dict.fromkeys(_PROJECTED_MASKS, "pred_masks")
        if keypoints:
            predictions |= dict.fromkeys(_KEYPOINT_CHANNELS, "pred_keypoints")
            ground_truths["gt_keypoints"] = "keypoints"
        # No knobs: the core's assigners stay.
        vars(own).update(predictions=predictions, ground_truths=ground_truths)
        return super(RFDETRMatcher, own)._match(layers, targets, *further)

    def _check_keypoints(self, layers: Sequence[Mapping[str, Any]], targets: Sequence[Target]) -> None:
        """Check that there is room for the keypoints of every class."""
        numbers = self.num_keypoints_per_class
        if not numbers:
            raise ValueError("num_keypoints_per_class: expected a number for each class, got none")
        most = max(numbers)
        for layer in layers:
            *lead, room, channels = layer["pred_keypoints"].shape
            if len(lead) != 2 or channels < 7 or room % len(numbers) or room < len(numbers) * most:
                raise ValueError(
                    f"pred_keypoints: expected (B, N, {len(numbers)} K, at least 7), K at least {most},"
                    f" got {tuple(layer['pred_keypoints'].shape)}"
                )
        for place, target in enumerate(targets):
            shape = tuple(target["keypoints"].shape) if "keypoints" in target else (0,)
            if 0 not in shape and (len(shape) != 3 or shape[1] < most or shape[2] != 3):
                raise ValueError(
                    f"targets[{place}]: expected keypoints (G, K, 3), K at least {most}, got {shape}"
                )

    def _prepared(self, name: str, x: Tensor | Mapping[str, Tensor]) -> Tensor:
        if isinstance(x, Mapping):
            x = x[_PROJECTED_MASKS[name]]
        elif "keypoint" not in name:
            return super()._prepared(name, x)
        x = x.detach()
        x = x if x.dtype == torch.float64 else x.float()
        if name in _PROJECTED_MASKS:
            return x
        if name == "gt_keypoints":
            most = max(self.num_keypoints_per_class)
            x = x[:, :most] if x.numel() else x.new_zeros(len(x), most, 3)
            return torch.cat([x[..., :2] * UNIT, x[..., 2:]], dim=-1)
        x = x[..., _KEYPOINT_CHANNELS[name]]
        return x * UNIT if name == "pred_keypoints" else x

    def _assign(self, inputs: Mapping[str, Tensor], gt_valid: Tensor, groups: int) -> AssignResult:
        if "gt_keypoints" in inputs:
            gt, predicted = inputs["gt_keypoints"], inputs["pred_keypoints"]
            inputs = {**inputs, "gt_keypoints": self._of_classes(gt, inputs["gt_labels"], predicted)}
        return super()._assign(inputs, gt_valid, groups)

    def _maps(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return inputs.get("mask_features", inputs["pred_masks"])

    def _mask_logits(self, inputs: Mapping[str, Tensor], read: Tensor) -> Tensor:
        if "mask_features" not in inputs:
            return read
        logits = get_backend(read).matrix_product(inputs["pred_masks"], read)
        return cast("Tensor", logits + inputs["mask_bias"].reshape(*logits.shape[:-3], 1, 1, 1))

    def _solve(
        self, assigner: HungarianAssigner, inputs: Mapping[str, Tensor], gt_valid: Tensor, groups: int
    ) -> AssignResult:
        inputs = {name: x for name, x in inputs.items() if name not in ("mask_features", "mask_bias")}
        return super()._solve(assigner, inputs, gt_valid, groups)

    def _of_classes(self, keypoints: Tensor, labels: Tensor, predicted: Tensor) -> Tensor:
        """Lay keypoints (B, G, K, 3) out as the predicted ones are: those of each class in turn."""
        numbers = self.num_keypoints_per_class
        room = predicted.shape[-2] // len(numbers)
        laid = keypoints.new_full((*labels.shape, len(numbers), room, 3), -1.0)
        for label, number in enumerate(numbers):
            own = (labels == label)[..., None, None]
            laid[:, :, label, :number] = torch.where(own, keypoints[:, :, :number], -1.0)
        return laid.flatten(2, 3)


_PROJECTED_MASKS: Mapping[str, str] = {
    "pred_masks": "query_features",
    "mask_features": "spatial_features",
    "mask_bias": "bias",
}
"""Where RF-DETR's segmentation head has, in training, what masks are products of."""

_KEYPOINT_CHANNELS: Mapping[str, slice] = {
    "pred_keypoints": slice(0, 2),
    "pred_keypoint_logits": slice(2, 4),
    "pred_keypoint_precision": slice(4, 7),
}
"""Where a predicted keypoint of RF-DETR has what the core reads."""


def _at_points(masks: Tensor, points: Tensor) -> Tensor:
    """Return what masks (G, height, width) are at points (P, 2): (G, 1, P)."""
    if len(masks) == 0:
        return points.new_zeros(0, 1, len(points))
    return cast("Tensor", point_sample(masks, points)[:, None, :])


class Mask2FormerMatcher(SetMatcher):
    """Mask2Former's matcher: class probability by softmax, and masks compared at random points.

    `outputs` has ``pred_logits`` (B, N, C) and ``pred_masks`` (B, N, H, W), logits; each target has
    ``labels`` (G,) and ``masks`` (G, height, width), of one size an image; without points, for all images.

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
    draws_points = True

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
        super().__init__(nonfinite)
        self.cost_class, self.cost_mask, self.cost_dice = cost_class, cost_mask, cost_dice
        self.num_points = num_points
        self.core()

    def costs(self, **options: Any) -> Sequence[Mapping[str, Any]]:
        """Return the terms of the cost as configs."""
        cost_class, cost_mask, cost_dice = checked_weights(self, *MASK_WEIGHTS)
        of_pixels, of_dice = mask_costs(cost_mask, cost_dice)
        return [of_pixels, {"type": "ClassificationCost", "weight": cost_class}, of_dice]

    def _match(
        self, layers: Sequence[Mapping[str, Any]], targets: Sequence[Target], *further: Any
    ) -> list[Any]:
        entry = self.ground_truths["gt_masks"]
        sizes = {tuple(target[entry].shape[1:]) for target in targets if entry in target}
        if self.num_points == 0 or len(sizes) < 2:
            return super()._match(layers, targets, *further)
        return [self._match_sizes(layer, targets, *further) for layer in layers]

    def _match_sizes(self, layer: Mapping[str, Any], targets: Sequence[Target], *further: Any) -> Any:
        """Match a layer with masks of several sizes: what they are at the points is an image of one row."""
        self._check_entries([layer], targets)
        predicted, of_targets = self.predictions["pred_masks"], self.ground_truths["gt_masks"]
        masks = layer[predicted].detach()
        points = torch.rand(len(masks), self.num_points, 2, device=masks.device)
        sampled = {**layer, predicted: point_sample(masks, points)[..., None, :]}
        rows = [
            {**target, of_targets: _at_points(target[of_targets], own)}
            for target, own in zip(targets, points, strict=True)
        ]
        of_rows = copy(self)
        # The core's assigner stays: it does not know how many points there are.
        vars(of_rows)["num_points"] = 0
        return Mask2FormerMatcher._match(of_rows, [sampled], rows, *further)[0]

    def _assign(self, inputs: Mapping[str, Tensor], gt_valid: Tensor, groups: int) -> AssignResult:
        if self.num_points > 0:
            masks = inputs["pred_masks"]
            points = torch.rand(*masks.shape[:-3], self.num_points, 2, device=masks.device)
            inputs = {**inputs, "mask_points": points}
        return super()._assign(inputs, gt_valid, groups)

    def __repr__(self) -> str:
        """Name the weights, as published."""
        lines = [f"    {name}: {getattr(self, name)}" for name in MASK_WEIGHTS]
        return "\n".join([f"Matcher {type(self).__name__}", *lines])

"""The matchers of Hugging Face's transformers, by its class names, arguments and entries.

Its losses look their matcher up by name, some in a module of their own: `use_in` switches a model, and
`use_in_transformers` every name. Nothing of that package is imported before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from inspect import signature
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor

from assigncore.adapters import detr
from assigncore.adapters.errors import also_assertion
from assigncore.adapters.index_pairs import Pairs, SetMatcher, Target, checked_weights, pairs_of
from assigncore.adapters.switching import Switched, replace_attribute, replace_name
from assigncore.costs import resize_masks
from assigncore.matching import union_of_matchings
from assigncore.result import AssignResult

__all__ = [
    "DeformableDetrHungarianMatcher",
    "EomtDinov3HungarianMatcher",
    "EomtHungarianMatcher",
    "GroundingDinoHungarianMatcher",
    "HungarianMatcher",
    "LwDetrHungarianMatcher",
    "Mask2FormerHungarianMatcher",
    "MaskFormerHungarianMatcher",
    "OneFormerHungarianMatcher",
    "RTDetrHungarianMatcher",
    "RfDetrHungarianMatcher",
    "VideomtHungarianMatcher",
    "union_of_layers",
    "use_in",
    "use_in_transformers",
]

PREDICTIONS: Mapping[str, str] = {"pred_logits": "logits", "pred_bboxes": "pred_boxes"}
WEIGHTS = ("class_cost", "bbox_cost", "giou_cost")
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
    weights = WEIGHTS

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

    @classmethod
    def like(cls, published: Any) -> HungarianMatcher:
        """Build one with the weights of a published matcher."""
        return cls(published.class_cost, published.bbox_cost, published.giou_cost)


class DeformableDetrHungarianMatcher(HungarianMatcher):
    """The matcher of Deformable DETR: a focal cost of classes by sigmoid."""

    focal: Mapping[str, float] | None = detr.FocalHungarianMatcher.focal


def _check_as_many(name: str, given: Sequence[Any], of: str, others: Sequence[Any]) -> None:
    """Check that there is one of each for every image."""
    if len(given) != len(others):
        raise ValueError(f"{name}: expected {len(others)}, as many as {of}, got {len(given)}")


class GroundingDinoHungarianMatcher(HungarianMatcher):
    """The matcher of Grounding DINO and MM Grounding DINO: a focal cost of the tokens that name a class.

    `outputs` has ``label_maps`` too, for each image (classes, tokens), which tokens name each of its classes.
    """

    ground_truths: Mapping[str, str] = {"positive_maps": "positive_maps", "gt_bboxes": "boxes"}

    def costs(self, **options: Any) -> Sequence[Mapping[str, Any]]:
        """Return the terms of the cost as configs."""
        of_boxes, of_classes, of_overlap = super().costs()
        of_tokens = {"type": "TokenFocalLossCost", "weight": of_classes["weight"]}
        return [of_boxes, of_tokens, of_overlap]

    def _match(
        self, layers: Sequence[Mapping[str, Any]], targets: Sequence[Target], *further: Any
    ) -> list[Any]:
        maps = layers[0]["label_maps"]
        _check_as_many("label_maps", maps, "targets", targets)
        named = [
            {**target, "positive_maps": of_image[target["class_labels"]]}
            for target, of_image in zip(targets, maps, strict=True)
        ]
        return super()._match(layers, named, *further)


class LwDetrHungarianMatcher(detr.GroupMatcher, DeformableDetrHungarianMatcher):
    """The matcher of LW-DETR and RF-DETR: that of Deformable DETR, for each group of queries on its own.

    While it trains, the queries are several groups, each of which finds all targets.
    """


class RfDetrHungarianMatcher(detr.BoxAndMaskMatcher):
    """The matcher of RF-DETR's segmentation: that of LW-DETR, with masks compared at random points.

    `outputs` has ``pred_masks`` (B, N, H, W) too, and each target ``masks`` (G, height, width), of one size
    for all images.

    Parameters
    ----------
    class_cost, bbox_cost, giou_cost : float, default 1
        Weights of the terms for boxes; one of 0 is not computed.
    mask_point_sample_ratio : int, default 16
        Masks are compared at ``4 * B * N // mask_point_sample_ratio`` points, drawn anew for each layer: the
        published matcher takes the size of the predicted boxes for that of the masks. Without a point masks
        cost nothing.
    cost_mask_class_cost, cost_mask_dice_cost : float, default 1
        Weights of the cross entropy and the Dice coefficient of masks.
    nonfinite : {"raise", "forbid"}, default "forbid"
        Whether a pair whose cost is NaN or infinite is an error, or never matched. The published matcher does
        not raise, but may match it.
    """

    predictions: Mapping[str, str] = {**PREDICTIONS, "pred_masks": "pred_masks"}
    ground_truths: Mapping[str, str] = {**GROUND_TRUTHS, "gt_masks": "masks"}
    auxiliary = AUXILIARY

    @also_assertion
    def __init__(
        self,
        class_cost: float = 1,
        bbox_cost: float = 1,
        giou_cost: float = 1,
        mask_point_sample_ratio: int = 16,
        cost_mask_class_cost: float = 1,
        cost_mask_dice_cost: float = 1,
        *,
        nonfinite: str = "forbid",
    ) -> None:
        super().__init__(mask_point_sample_ratio, nonfinite)
        self.class_cost, self.bbox_cost, self.giou_cost = class_cost, bbox_cost, giou_cost
        self.cost_mask_class, self.cost_mask_dice = cost_mask_class_cost, cost_mask_dice_cost
        self.core(masks=True)

    def costs(self, masks: bool = False, **options: Any) -> Sequence[Mapping[str, Any]]:
        """Return the terms of the cost as configs: those of boxes, and of masks where there are some."""
        terms = detr.box_costs(checked_weights(self, *WEIGHTS), detr.FocalHungarianMatcher.focal)
        return terms + detr.mask_costs(self.cost_mask_class, self.cost_mask_dice) if masks else terms

    @classmethod
    def like(cls, published: Any) -> RfDetrHungarianMatcher:
        """Build one with the knobs of a published matcher."""
        boxes = (published.class_cost, published.bbox_cost, published.giou_cost)
        masks = (published.mask_point_sample_ratio, published.cost_mask_class, published.cost_mask_dice)
        return cls(*boxes, *masks)

    def _num_points(self, inputs: Mapping[str, Tensor]) -> int:
        images, queries, sides = inputs["pred_bboxes"].shape[-3:]
        return images * queries * sides // self.mask_point_sample_ratio


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
    weights = WEIGHTS

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

    @classmethod
    def like(cls, published: Any) -> RTDetrHungarianMatcher:
        """Build one with the knobs of a published matcher."""
        config = SimpleNamespace(
            matcher_class_cost=published.class_cost,
            matcher_bbox_cost=published.bbox_cost,
            matcher_giou_cost=published.giou_cost,
            use_focal_loss=published.use_focal_loss,
            matcher_alpha=published.alpha,
            matcher_gamma=published.gamma,
        )
        return cls(config)


class MaskMatcher(SetMatcher):
    """What the matchers of masks have in common: they are called with four arguments."""

    predictions: Mapping[str, str] = {
        "pred_logits": "class_queries_logits",
        "pred_masks": "masks_queries_logits",
    }
    ground_truths: Mapping[str, str] = {"gt_labels": "class_labels", "gt_masks": "mask_labels"}
    auxiliary = "auxiliary_predictions"

    def forward(  # type: ignore[override]
        self,
        masks_queries_logits: Tensor,
        class_queries_logits: Tensor,
        mask_labels: Sequence[Tensor],
        class_labels: Sequence[Tensor],
    ) -> Pairs:
        """Match one decoder layer.

        Parameters
        ----------
        masks_queries_logits : Tensor (B, N, h, w)
            Mask logits of the predictions.
        class_queries_logits : Tensor (B, N, C)
            Class logits of the predictions.
        mask_labels : sequence of Tensor (G, H, W)
            The masks of each image's targets.
        class_labels : sequence of Tensor (G,)
            Their classes.

        Returns
        -------
        list of tuple of Tensor
            For each image the matched predictions, ascending, and the target of each; int64 on the CPU.
        """
        outputs = {"masks_queries_logits": masks_queries_logits, "class_queries_logits": class_queries_logits}
        return cast("Pairs", self._match_one(outputs, (mask_labels, class_labels)))

    def _identity(self, layer: Mapping[str, Any], targets: Any) -> tuple[Any, ...]:
        return (*super()._identity(layer, ()), *targets)

    def _match(self, layers: Sequence[Mapping[str, Any]], targets: Any, *further: Any) -> list[Any]:
        predicted = layers[0]["masks_queries_logits"]
        _check_as_many("mask_labels", targets[0], "class_labels", targets[1])
        named = [
            {
                "class_labels": labels.to(predicted.device),
                "mask_labels": self._brought(masks.to(predicted.device), predicted),
            }
            for masks, labels in zip(*targets, strict=True)
        ]
        return super()._match(layers, named, *further)

    def _brought(self, masks: Tensor, _predicted: Tensor) -> Tensor:
        """Bring the masks of an image's targets to the form in which they are compared."""
        return masks


class MaskFormerHungarianMatcher(MaskMatcher):
    """The matcher of MaskFormer: class probability by softmax, and masks by a focal loss and by Dice.

    Masks are compared at all pixels of the predictions, to whose size those of the targets are brought.

    Parameters
    ----------
    cost_class, cost_mask, cost_dice : float, default 1.0
        Weights of class, focal loss and Dice coefficient; one of 0 is not computed.
    nonfinite : {"raise", "forbid"}, default "forbid"
        Whether a pair whose cost is NaN or infinite is an error, or never matched. The published matcher does
        not raise, but may match it.
    """

    @also_assertion
    def __init__(
        self,
        cost_class: float = 1.0,
        cost_mask: float = 1.0,
        cost_dice: float = 1.0,
        *,
        nonfinite: str = "forbid",
    ) -> None:
        super().__init__(nonfinite)
        self.cost_class, self.cost_mask, self.cost_dice = cost_class, cost_mask, cost_dice
        self.core()

    def costs(self, **options: Any) -> Sequence[Mapping[str, Any]]:
        """Return the terms of the cost as configs."""
        cost_class, cost_mask, cost_dice = checked_weights(self, *detr.MASK_WEIGHTS)
        return [
            {"type": "FocalLossCost", "binary_input": True, "eps": 0.0, "weight": cost_mask},
            {"type": "ClassificationCost", "weight": cost_class},
            {"type": "DiceCost", "pred_act": True, "eps": 1.0, "weight": cost_dice},
        ]

    @classmethod
    def like(cls, published: Any) -> MaskFormerHungarianMatcher:
        """Build one with the weights of a published matcher."""
        return cls(published.cost_class, published.cost_mask, published.cost_dice)

    def _brought(self, masks: Tensor, predicted: Tensor) -> Tensor:
        height, width = predicted.shape[-2:]
        return cast("Tensor", resize_masks(masks, (height, width)))

    __repr__ = detr.Mask2FormerMatcher.__repr__


class Mask2FormerHungarianMatcher(MaskMatcher, detr.Mask2FormerMatcher):
    """The matcher of Mask2Former: class probability by softmax, and masks compared at random points.

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

    @classmethod
    def like(cls, published: Any) -> Mask2FormerHungarianMatcher:
        """Build one with the knobs of a published matcher."""
        return cls(published.cost_class, published.cost_mask, published.cost_dice, published.num_points)

    __repr__ = torch.nn.Module.__repr__


class OneFormerHungarianMatcher(Mask2FormerHungarianMatcher):
    """The matcher of OneFormer, which is that of Mask2Former."""


class EomtHungarianMatcher(Mask2FormerHungarianMatcher):
    """The matcher of EoMT, which is that of Mask2Former."""


class EomtDinov3HungarianMatcher(Mask2FormerHungarianMatcher):
    """The matcher of EoMT on DINOv3, which is that of Mask2Former."""


class VideomtHungarianMatcher(Mask2FormerHungarianMatcher):
    """The matcher of VidEoMT, which is that of Mask2Former."""


def union_of_layers(
    _criterion: Any, indices: Sequence[tuple[Tensor, Tensor]], indices_aux_list: Sequence[Any]
) -> Pairs:
    """Unite the pairs of all layers of an image: each prediction keeps the target that most layers give it.

    It stands in for DEIMv2's ``Deimv2Loss._get_dense_o2o_indices``, whose sort is unstable.

    Parameters
    ----------
    indices : sequence of tuple of Tensor
        The pairs of the last layer, for each image.
    indices_aux_list : sequence of such sequences
        Those of the others.

    Returns
    -------
    list of tuple of Tensor
        For each image predictions and targets: first those that most layers agree on, of equally many the
        lower prediction. Where a prediction's targets have equally many layers, it keeps the lower one.
    """
    layers, device = [indices, *indices_aux_list], indices[0][0].device
    highest = [int(row.max()) for layer in layers for image in layer for row in image if len(row)]
    length = max(highest, default=0) + 1
    gt_inds = torch.zeros(len(layers), len(indices), length, dtype=torch.int64)
    for number, layer in enumerate(layers):
        for image, (predictions, targets) in enumerate(layer):
            gt_inds[number, image, predictions.cpu()] = targets.cpu() + 1
    united = union_of_matchings(AssignResult(gt_inds, None, None, length))
    pairs = []
    for image, (matched, _) in enumerate(pairs_of(united.gt_inds)):
        order = torch.argsort(united.extras["votes"][image][matched], descending=True, stable=True)
        own = matched[order]
        pairs.append((own.to(device), (united.gt_inds[image][own] - 1).to(device)))
    return pairs


MATCHERS: Mapping[str, Any] = {
    "loss.loss_for_object_detection.HungarianMatcher": HungarianMatcher,
    "loss.loss_deformable_detr.DeformableDetrHungarianMatcher": DeformableDetrHungarianMatcher,
    "loss.loss_grounding_dino.GroundingDinoHungarianMatcher": GroundingDinoHungarianMatcher,
    "loss.loss_lw_detr.LwDetrHungarianMatcher": LwDetrHungarianMatcher,
    "loss.loss_rf_detr.RfDetrHungarianMatcher": RfDetrHungarianMatcher,
    "loss.loss_rt_detr.RTDetrHungarianMatcher": RTDetrHungarianMatcher,
    "models.maskformer.modeling_maskformer.MaskFormerHungarianMatcher": MaskFormerHungarianMatcher,
    "models.mask2former.modeling_mask2former.Mask2FormerHungarianMatcher": Mask2FormerHungarianMatcher,
    "models.oneformer.modeling_oneformer.OneFormerHungarianMatcher": OneFormerHungarianMatcher,
    "models.eomt.modeling_eomt.EomtHungarianMatcher": EomtHungarianMatcher,
    "models.eomt_dinov3.modeling_eomt_dinov3.EomtDinov3HungarianMatcher": EomtDinov3HungarianMatcher,
    "models.videomt.modeling_videomt.VideomtHungarianMatcher": VideomtHungarianMatcher,
}
"""The drop-ins by the module and name of what they stand in for."""

CRITERIA = (
    "loss.loss_for_object_detection.ImageLoss",
    "loss.loss_rt_detr.RTDetrLoss",
    "loss.loss_deimv2.Deimv2Loss",
    "loss.loss_lw_detr.LwDetrImageLoss",
    "models.maskformer.modeling_maskformer.MaskFormerLoss",
)
"""The losses that match layer by layer what may as well be matched at once."""


def use_in_transformers() -> Switched:
    """Let the losses of transformers match by these matchers, wherever they have them from.

    What was imported by name, as D-FINE's loss imports RT-DETR's matcher, is switched too. A loss matches all
    its layers in one solve, but for those that draw random points from one layer to the next. A criterion
    that is built already keeps its matcher: call this before, or `use_in` with the model.

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
    for place in (*MATCHERS, *CRITERIA):
        _find(place)
    replaced, left = {}, {}
    for place, ours in MATCHERS.items():
        published = _find(place)
        if published is ours:
            left[f"transformers.{place}"] = "is one of assigncore already"
        elif published is not None:
            replaced.update(replace_name("transformers", published, ours))
    for place in CRITERIA:
        criterion = _find(place)
        if criterion is not None and not hasattr(criterion.forward, "layer_by_layer"):
            at_once = replace_attribute(criterion, "forward", in_one_solve(criterion.forward))
            replaced[f"transformers.{place}.forward"] = at_once
    union = "_get_dense_o2o_indices"
    dense = _find("loss.loss_deimv2.Deimv2Loss")
    if dense is not None and getattr(dense, union) is not union_of_layers:
        place = f"transformers.loss.loss_deimv2.Deimv2Loss.{union}"
        replaced[place] = replace_attribute(dense, union, union_of_layers)
    return Switched(tuple(replaced), left, tuple(replaced.values()))


def use_in(model: torch.nn.Module) -> Switched:
    """Let a model of transformers match by these matchers, whatever its module calls them.

    Parameters
    ----------
    model : torch.nn.Module
        A model, or a criterion. The matchers in it are replaced by ours with the same weights. A loss that
        builds its matcher anew at each call looks it up in a module that models share, so that other models
        with this loss are switched as well: see `use_in_transformers`, which is called.

    Returns
    -------
    Switched
        What was replaced, in the model and in transformers, and what was not. `Switched.undo` puts it back.

    Raises
    ------
    ModuleNotFoundError
        If transformers is not installed.
    ValueError
        If the model has neither a matcher nor a loss with one.

    Examples
    --------
    >>> use_in(torch.nn.Linear(1, 1))  # doctest: +SKIP
    Traceback (most recent call last):
    ValueError: model: expected one that matches queries, got a Linear
    """
    names = use_in_transformers()
    replaced, left = {}, {}
    for place, module in model.named_modules():
        old = getattr(module, "matcher", None)
        where = f"{place}.matcher".lstrip(".")
        if isinstance(old, SetMatcher):
            left[where] = "is one of assigncore already"
        elif type(old).__name__ in OURS:
            replaced[where] = replace_attribute(module, "matcher", OURS[type(old).__name__].like(old))
        elif old is not None:
            left[where] = f"there is none for a {type(old).__name__}"
    if not (replaced or left or _loss_matches(model)):
        names.undo()
        raise ValueError(f"model: expected one that matches queries, got a {type(model).__name__}")
    return Switched((*replaced, *names.replaced), {**left, **names.left}, (names.undo, *replaced.values()))


OURS = {place.rpartition(".")[2]: ours for place, ours in MATCHERS.items()}
"""The drop-ins by name."""


def _loss_matches(model: Any) -> bool:
    """Tell whether the module of a model's loss knows a loss that matches."""
    module = sys.modules.get(getattr(getattr(model, "loss_function", None), "__module__", ""))
    known = tuple(filter(None, map(_find, CRITERIA)))
    return (
        any(isinstance(x, type) and issubclass(x, known) for x in vars(module).values()) if module else False
    )


def in_one_solve(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Let the `forward` of a criterion match all its layers before it computes their losses.

    Where its matcher is none of ours, or draws points, it goes on layer by layer.
    """

    @wraps(forward)
    def compute(criterion: Any, *arguments: Any, **named: Any) -> Any:
        matcher = criterion.matcher
        if not isinstance(matcher, SetMatcher) or matcher.draws_points:
            return forward(criterion, *arguments, **named)
        given = signature(forward).bind(criterion, *arguments, **named).arguments
        with matcher.ahead(*_layers_of(criterion, given)):
            return forward(criterion, *arguments, **named)

    compute.layer_by_layer = forward  # type: ignore[attr-defined]
    return compute


def _layers_of(criterion: Any, given: Mapping[str, Any]) -> tuple[list[Any], Any, int]:
    """Tell the layers that a criterion is given, the targets, and the number of groups."""
    if "outputs" not in given:
        layers = [given, *(given.get("auxiliary_predictions") or ())]
        return layers, (given["mask_labels"], given["class_labels"]), 1
    outputs = given["outputs"]
    layers = [outputs, *outputs.get(AUXILIARY, ())]
    layers += [outputs["enc_outputs"]] if "enc_outputs" in outputs else []
    groups = getattr(criterion, "group_detr", 1) if criterion.training else 1
    return layers, given["targets"], groups


def _find(place: str) -> Any:
    """Find what is published at a place; None in a version that has it not, or cannot import its model."""
    module, _, name = f"transformers.{place}".rpartition(".")
    try:
        return getattr(import_module(module), name, None)
    except ImportError:
        return None

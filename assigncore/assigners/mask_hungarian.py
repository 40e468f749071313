"""Assignment by the matching of masks of least total cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from assigncore.backend import Array
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.costs import (
    ClassificationCost,
    DiceCost,
    FocalLossCost,
    MatchCost,
    build_match_cost,
    needed_inputs,
)
from assigncore.inputs import read_match_scene
from assigncore.matching import check_copies, check_nonfinite, one_to_one
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult

__all__ = ["MaskHungarianAssigner"]


@ASSIGNERS.register
@dataclass(frozen=True)
class MaskHungarianAssigner(Configured):
    """Match predicted masks with ground-truth masks one to one, at the least total cost.

    The cost is that of the class, plus that of the pixels, plus that of the Dice coefficient. Every other
    prediction is background. :class:`assigncore.HungarianAssigner` with mask costs does the same.

    Parameters
    ----------
    cls_cost : match cost or config mapping, optional
        Default :class:`assigncore.costs.ClassificationCost`.
    mask_cost : match cost or config mapping, optional
        Default :class:`assigncore.costs.FocalLossCost` with ``binary_input``.
    dice_cost : match cost or config mapping, optional
        Default :class:`assigncore.costs.DiceCost`.
    nonfinite : {"raise", "forbid"}, default "raise"
        What happens to a pair whose cost is NaN or infinite: an error, or it is never matched.
    repeat, groups : int, default 1
        As of :class:`assigncore.HungarianAssigner`.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    Notes
    -----
    A cost of weight 0 is not computed, and what only it reads need not be given.

    References
    ----------
    Cheng et al., "Per-Pixel Classification is Not All You Need for Semantic Segmentation", 2021. Zhang et
    al., "K-Net: Towards Unified Image Segmentation", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> masks = np.array([[[9.0, -9.0], [9.0, -9.0]], [[-9.0, 9.0], [-9.0, -9.0]]])
    >>> gt_masks = np.array([[[False, True], [False, False]]])
    >>> MaskHungarianAssigner().assign(gt_masks, pred_masks=masks).gt_inds
    array([0, 1])
    """

    cls_cost: MatchCost | Mapping[str, Any] = field(default_factory=ClassificationCost)
    mask_cost: MatchCost | Mapping[str, Any] = field(default_factory=lambda: FocalLossCost(binary_input=True))
    dice_cost: MatchCost | Mapping[str, Any] = field(default_factory=DiceCost)
    nonfinite: str = "raise"
    repeat: int = 1
    groups: int = 1

    def _check_knobs(self) -> None:
        for name in ("cls_cost", "mask_cost", "dice_cost"):
            object.__setattr__(self, name, build_match_cost(getattr(self, name), name))
        check_nonfinite(self.nonfinite)
        check_copies(self.repeat, self.groups)

    @numpy_fast_path
    def assign(
        self,
        gt_masks: Array,
        *,
        pred_masks: Array,
        gt_labels: Array | None = None,
        pred_logits: Array | None = None,
        mask_points: Array | None = None,
        gt_valid: Array | None = None,
        prior_valid: Array | None = None,
    ) -> AssignResult:
        """Assign predictions to ground truths; leading dimensions are a batch and broadcast.

        Parameters
        ----------
        gt_masks : array (..., G, H, W)
            Masks, booleans or numbers from 0 to 1. With `mask_points`, of any height and width.
        pred_masks : array (..., N, H, W)
            Mask logits of the predictions. Masks that are lists of P points have H = 1 and W = P.
        gt_labels : array (..., G) of integers, optional
            Classes; without them the result has no labels. Required with `pred_logits`.
        pred_logits : array (..., N, C), optional
            Class logits of the predictions. Not given: classes cost nothing.
        mask_points : array (..., P, 2), optional
            With them masks are compared at these points only, x and y from 0 to 1: see
            :func:`assigncore.costs.point_sample`.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        prior_valid : array (..., N) of bool, optional
            False where a prediction takes no part: it is ignored. Not given: all true.

        Returns
        -------
        AssignResult
            Without `max_overlaps`, since no overlap decides.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than the others.
        ValueError
            If shapes do not fit, inputs are on different devices, the labels are missing, the predictions
            are not equal groups, or a cost is not finite: see :meth:`assigncore.HungarianAssigner.assign`.

        Notes
        -----
        :func:`assigncore.matching.linear_sum_assignment` says what is promised of ties, and where it runs.
        """
        several = cast("tuple[MatchCost, ...]", (self.cls_cost, self.mask_cost, self.dice_cost))
        costs = several if pred_logits is not None else several[1:]
        scene = read_match_scene(
            {
                "gt_masks": gt_masks,
                "pred_masks": pred_masks,
                "gt_labels": gt_labels,
                "pred_logits": pred_logits,
                "mask_points": mask_points,
                "gt_valid": gt_valid,
                "prior_valid": prior_valid,
            },
            {"gt_masks": "the assigner", "pred_masks": "the assigner", **needed_inputs(costs)},
        )
        matched = one_to_one(scene, costs, nonfinite=self.nonfinite, repeat=self.repeat, groups=self.groups)
        return scene.result(matched)

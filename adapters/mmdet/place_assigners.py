"""The assigners of MMDetection 3 that decide by where priors lie."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import assigncore
from assigncore.adapters.containers import (
    POINT_COLUMNS,
    array_of,
    as_many_as_predictions,
    boxes_of,
    optional,
    points_of,
    required,
)
from assigncore.adapters.mmdet.inputs import PRED, ground_truth, ignore_regions
from assigncore.adapters.mmdet.knobs import (
    ATSSKnobs,
    CenterRegionKnobs,
    PointKnobs,
    RegionKnobs,
    UniformKnobs,
)
from assigncore.adapters.mmdet.result import AssignResult
from assigncore.backend import Array, get_backend

__all__ = ["ATSSAssigner", "CenterRegionAssigner", "PointAssigner", "RegionAssigner", "UniformAssigner"]


@dataclass(eq=False)
class ATSSAssigner(ATSSKnobs):
    """Decide by an adaptive threshold among the nearest priors: see :class:`assigncore.ATSSAssigner`."""

    def assign(
        self,
        pred_instances: Any,
        num_level_priors: Sequence[int],
        gt_instances: Any,
        gt_instances_ignore: Any = None,
    ) -> AssignResult:
        """Assign ``priors`` (N, 4 or more) of levels to ground truths.

        Parameters
        ----------
        pred_instances : object with ``priors``, and with `alpha` ``scores`` (N, C), logits, and ``bboxes``
            Priors, and predictions.
        num_level_priors : sequence of int
            Priors of each level.
        gt_instances : object with ``bboxes`` and ``labels``
            Ground truths.
        gt_instances_ignore : object with ``bboxes``, optional
            Ignore regions.

        Returns
        -------
        AssignResult

        Raises
        ------
        AssertionError
            If `alpha` is set and predictions are missing.
        """
        predictions: dict[str, Any] = {}
        logits, bboxes = optional(pred_instances, "scores"), optional(pred_instances, "bboxes")
        self.check_predictions(logits, bboxes)
        if self.alpha is not None:
            predictions = {"pred_logits": logits, "pred_bboxes": boxes_of(bboxes)}
        elif logits is not None or bboxes is not None:
            warnings.warn("predictions are given to ATSSAssigner, and not used without alpha", stacklevel=2)
        result = self.core().assign(
            boxes_of(required(pred_instances, "priors", PRED)),
            num_level_priors=tuple(num_level_priors),
            **ground_truth(gt_instances),
            ignore_bboxes=ignore_regions(gt_instances_ignore),
            **predictions,
        )
        return AssignResult.of(result)


@dataclass(eq=False)
class UniformAssigner(UniformKnobs):
    """Decide by distance, equally many for each ground truth: see :class:`assigncore.UniformAssigner`."""

    def assign(self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None) -> AssignResult:
        """Assign ``priors`` (N, 4) with their ``decoder_priors`` (N, 4), the boxes predicted from them.

        Returns
        -------
        AssignResult
            With the extra properties ``pos_idx``, ``pos_predicted_boxes`` and ``target_boxes``.
        """
        gt = ground_truth(gt_instances)
        priors, predictions = as_many_as_predictions(
            boxes_of(required(pred_instances, "priors", PRED)),
            gt["gt_bboxes"],
            pred_bboxes=boxes_of(required(pred_instances, "decoder_priors", PRED)),
        )
        return uniform_result(self.core().assign(priors, **gt, **predictions), predictions["pred_bboxes"])


def uniform_result(result: assigncore.AssignResult, predictions: Array) -> AssignResult:
    """Return a result with its extras as extra properties, the caller's own predictions among them.

    YOLOF's loss of boxes is computed from these: they stay attached to what they were computed from.
    """
    published = AssignResult.of(result)
    extras = dict(result.extras)
    extras["pos_predicted_boxes"] = get_backend(predictions).xp.take(
        predictions, extras.pop("pos_prior"), axis=0
    )
    for name, x in extras.items():
        published.set_extra_property(name, x)
    return published


@dataclass(eq=False)
class PointAssigner(PointKnobs):
    """Decide by the nearest points of a level: see :class:`assigncore.PointAssigner`."""

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Assign ``priors`` (N, 3 or more), points x, y and stride. Ignore regions are without effect.

        A second stride, as RepPoints' head hands over, is not read, as published.
        """
        gt = ground_truth(gt_instances)
        points = points_of(required(pred_instances, "priors", PRED), gt["gt_bboxes"], POINT_COLUMNS)
        return AssignResult.of(self.core().assign(points[..., :POINT_COLUMNS], **gt))


@dataclass(eq=False)
class RegionAssigner(RegionKnobs):
    """Decide by regions about ground truths: see :class:`assigncore.RegionAssigner`."""

    def assign(
        self,
        pred_instances: Any,
        gt_instances: Any,
        img_meta: Any,
        featmap_sizes: Sequence[Sequence[int]],
        num_level_anchors: Sequence[int],
        anchor_scale: float,
        anchor_strides: Sequence[float],
        gt_instances_ignore: Any = None,
        allowed_border: float = 0,
    ) -> AssignResult:
        """Assign ``priors`` (N, 4), anchors of levels, where their ``valid_flags`` (N,) are true.

        Parameters
        ----------
        pred_instances : object with ``priors`` and ``valid_flags``
            Anchors.
        gt_instances : object with ``bboxes`` and ``labels``
            Ground truths.
        img_meta : mapping
            Its ``img_shape`` begins with height and width.
        featmap_sizes, num_level_anchors, anchor_scale, anchor_strides, allowed_border
            As of :meth:`assigncore.RegionAssigner.assign`.
        gt_instances_ignore : None
            The method has no ignore regions.

        Returns
        -------
        AssignResult
            ``labels`` are 0, not -1, where an anchor is not positive.

        Raises
        ------
        NotImplementedError
            If there are ignore regions.
        """
        if gt_instances_ignore is not None:
            raise NotImplementedError("gt_instances_ignore: the method has no ignore regions")
        gt = ground_truth(gt_instances)
        result = self.core().assign(
            boxes_of(required(pred_instances, "priors", PRED)),
            **gt,
            prior_valid=valid_anchors(required(pred_instances, "valid_flags", PRED), gt["gt_bboxes"]),
            num_level_priors=tuple(num_level_anchors),
            featmap_sizes=[tuple(size) for size in featmap_sizes],
            anchor_scale=anchor_scale,
            anchor_strides=tuple(anchor_strides),
            image_shape=tuple(img_meta["img_shape"][:2]),
            allowed_border=allowed_border,
        )
        return AssignResult.of(result)


def valid_anchors(flags: Any, gt_bboxes: Any) -> Any:
    """Return flags as booleans; None without ground truths: all anchors are background then, as published."""
    return array_of(flags) != 0 if len(gt_bboxes) else None


@dataclass(eq=False)
class CenterRegionAssigner(CenterRegionKnobs):
    """Decide by the cores of ground truths: see :class:`assigncore.CenterRegionAssigner`."""

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Assign ``priors`` (N, 4).

        Returns
        -------
        AssignResult
            With the extra property ``shadowed_labels`` (S, 2): see :func:`assigncore.shadowed_labels`.
        """
        gt = ground_truth(gt_instances)
        result = self.core().assign(
            boxes_of(required(pred_instances, "priors", PRED)),
            **gt,
            ignore_bboxes=ignore_regions(gt_instances_ignore),
        )
        return center_region_result(result, gt["gt_labels"])


def center_region_result(result: assigncore.AssignResult, gt_labels: Any) -> AssignResult:
    """Return a result with its list of shadows, which is None without labels."""
    published = AssignResult.of(result)
    shadowed = None if gt_labels is None else assigncore.shadowed_labels(result, gt_labels)
    published.set_extra_property("shadowed_labels", shadowed)
    return published

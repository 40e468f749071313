"""The assigners of MMDetection 2 that decide by where priors lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assigncore.adapters.containers import (
    POINT_COLUMNS,
    as_many_as_predictions,
    boxes_of,
    labels_of,
    points_of,
)
from assigncore.adapters.mmdet.knobs import (
    ATSSKnobs,
    CenterRegionKnobs,
    PointKnobs,
    RegionKnobs,
    UniformKnobs,
)
from assigncore.adapters.mmdet.place_assigners import center_region_result, uniform_result, valid_anchors
from assigncore.adapters.mmdet.result import AssignResult
from assigncore.adapters.mmdet2.overlap_assigners import boxes_or_none
from assigncore.backend import Array, get_backend

__all__ = ["ATSSAssigner", "CenterRegionAssigner", "PointAssigner", "RegionAssigner", "UniformAssigner"]


@dataclass(eq=False)
class ATSSAssigner(ATSSKnobs):
    """Decide by an adaptive threshold among the nearest priors: see :class:`assigncore.ATSSAssigner`."""

    def assign(
        self,
        bboxes: Any,
        num_level_bboxes: Sequence[int],
        gt_bboxes: Any,
        gt_bboxes_ignore: Any = None,
        gt_labels: Array | None = None,
        cls_scores: Array | None = None,
        bbox_preds: Any = None,
    ) -> AssignResult:
        """Assign priors of levels to ground truths.

        Parameters
        ----------
        bboxes : tensor (N, 4 or more)
            Priors in pixels.
        num_level_bboxes : sequence of int
            Priors of each level.
        gt_bboxes, gt_bboxes_ignore, gt_labels
            As of :meth:`assigncore.adapters.mmdet2.MaxIoUAssigner.assign`. Labels are needed with `alpha`.
        cls_scores, bbox_preds : tensor (N, C) and (N, 4), optional
            Logits and boxes of the predictions, needed with `alpha`.

        Raises
        ------
        AssertionError
            If `alpha` is set and predictions are missing.
        """
        self.check_predictions(cls_scores, bbox_preds)
        predictions = {}
        if self.alpha is not None:
            predictions = {"pred_logits": cls_scores, "pred_bboxes": boxes_of(bbox_preds)}
        result = self.core().assign(
            boxes_of(bboxes),
            boxes_of(gt_bboxes),
            num_level_priors=tuple(num_level_bboxes),
            gt_labels=labels_of(gt_labels, boxes_of(gt_bboxes)),
            ignore_bboxes=boxes_or_none(gt_bboxes_ignore),
            **predictions,
        )
        return AssignResult.of(result)


@dataclass(eq=False)
class UniformAssigner(UniformKnobs):
    """Decide by distance, equally many for each ground truth: see :class:`assigncore.UniformAssigner`."""

    def assign(
        self,
        bbox_pred: Any,
        anchor: Any,
        gt_bboxes: Any,
        gt_bboxes_ignore: Any = None,
        gt_labels: Array | None = None,
    ) -> AssignResult:
        """Assign anchors (N, 4) with the boxes predicted from them (N, 4).

        Returns
        -------
        AssignResult
            With the extra properties ``pos_idx``, ``pos_predicted_boxes`` and ``target_boxes``.
        """
        boxes = boxes_of(gt_bboxes)
        priors, predictions = as_many_as_predictions(boxes_of(anchor), boxes, pred_bboxes=boxes_of(bbox_pred))
        result = self.core().assign(priors, boxes, gt_labels=labels_of(gt_labels, boxes), **predictions)
        return uniform_result(result, predictions["pred_bboxes"])


@dataclass(eq=False)
class PointAssigner(PointKnobs):
    """Decide by the nearest points of a level: see :class:`assigncore.PointAssigner`."""

    def assign(
        self, points: Array, gt_bboxes: Any, gt_bboxes_ignore: Any = None, gt_labels: Array | None = None
    ) -> AssignResult:
        """Assign points (N, 3 or more), x, y and stride. Ignore regions are without effect, as published.

        A second stride, as RepPoints' head hands over, is not read, as published.
        """
        boxes = boxes_of(gt_bboxes)
        points = points_of(points, boxes, POINT_COLUMNS)[..., :POINT_COLUMNS]
        return AssignResult.of(self.core().assign(points, boxes, gt_labels=labels_of(gt_labels, boxes)))


@dataclass(eq=False)
class CenterRegionAssigner(CenterRegionKnobs):
    """Decide by the cores of ground truths: see :class:`assigncore.CenterRegionAssigner`."""

    def assign(
        self, bboxes: Any, gt_bboxes: Any, gt_bboxes_ignore: Any = None, gt_labels: Array | None = None
    ) -> AssignResult:
        """Assign priors (N, 4).

        Returns
        -------
        AssignResult
            With the extra property ``shadowed_labels`` (S, 2), which is None without labels.
        """
        labels = labels_of(gt_labels, boxes_of(gt_bboxes))
        result = self.core().assign(
            boxes_of(bboxes),
            boxes_of(gt_bboxes),
            gt_labels=labels,
            ignore_bboxes=boxes_or_none(gt_bboxes_ignore),
        )
        return center_region_result(result, labels)


@dataclass(eq=False)
class RegionAssigner(RegionKnobs):
    """Decide by regions about ground truths: see :class:`assigncore.RegionAssigner`."""

    def assign(
        self,
        mlvl_anchors: Sequence[Any],
        mlvl_valid_flags: Sequence[Array],
        gt_bboxes: Any,
        img_meta: Any,
        featmap_sizes: Sequence[Sequence[int]],
        anchor_scale: float,
        anchor_strides: Sequence[float],
        gt_bboxes_ignore: Any = None,
        gt_labels: Array | None = None,
        allowed_border: float = 0,
    ) -> AssignResult:
        """Assign the anchors (N_l, 4) of levels, where their flags (N_l,) are true.

        Parameters
        ----------
        mlvl_anchors, mlvl_valid_flags : sequence of tensor
            A tensor a level.
        gt_bboxes, gt_labels
            As of :meth:`assigncore.adapters.mmdet2.MaxIoUAssigner.assign`.
        img_meta : mapping
            Its ``img_shape`` begins with height and width.
        featmap_sizes, anchor_scale, anchor_strides, allowed_border
            As of :meth:`assigncore.RegionAssigner.assign`.
        gt_bboxes_ignore : None
            The method has no ignore regions.

        Raises
        ------
        NotImplementedError
            If there are ignore regions.

        Notes
        -----
        Anchors next to a ground truth of another level are ignored, as the method has it; labels are given
        on several levels. MMDetection 2 fails at both.
        """
        if gt_bboxes_ignore is not None:
            raise NotImplementedError("gt_bboxes_ignore: the method has no ignore regions")
        boxes = boxes_of(gt_bboxes)
        levels = [boxes_of(anchors) for anchors in mlvl_anchors]
        concat = get_backend(boxes, "gt_bboxes").xp.concat
        result = self.core().assign(
            concat(levels),
            boxes,
            gt_labels=labels_of(gt_labels, boxes),
            prior_valid=valid_anchors(concat(list(mlvl_valid_flags)), boxes),
            num_level_priors=tuple(len(anchors) for anchors in levels),
            featmap_sizes=[tuple(size) for size in featmap_sizes],
            anchor_scale=anchor_scale,
            anchor_strides=tuple(anchor_strides),
            image_shape=tuple(img_meta["img_shape"][:2]),
            allowed_border=allowed_border,
        )
        return AssignResult.of(result)

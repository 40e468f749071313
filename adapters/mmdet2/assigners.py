"""The assigners of MMDetection 2: its flat signatures over the shared entries."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import assigncore
from assigncore.adapters.containers import array_of, boxes_of
from assigncore.adapters.mmdet.knobs import (
    ATSS,
    ApproxMaxIoU,
    CenterRegion,
    Grid,
    GroundTruths,
    MaxIoU,
    Point,
    Region,
    SimOTA,
    TaskAligned,
    Uniform,
)
from assigncore.adapters.mmdet.result import AssignResult
from assigncore.backend import Array, get_backend

__all__ = [
    "ATSSAssigner",
    "ApproxMaxIoUAssigner",
    "CenterRegionAssigner",
    "GridAssigner",
    "MaxIoUAssigner",
    "PointAssigner",
    "RegionAssigner",
    "SimOTAAssigner",
    "TaskAlignedAssigner",
    "UniformAssigner",
]


class MaxIoUAssigner(MaxIoU):
    """Decide by each prior's best overlap: see :class:`assigncore.MaxIoUAssigner` for rule and knobs."""

    def assign(
        self, bboxes: Any, gt_bboxes: Any, gt_bboxes_ignore: Any = None, gt_labels: Array | None = None
    ) -> AssignResult:
        """Assign priors to ground truths.

        Parameters
        ----------
        bboxes : tensor (N, 4)
            Priors in pixels; further columns are passed over.
        gt_bboxes : tensor (G, 4)
            Ground truths.
        gt_bboxes_ignore : tensor (I, 4), optional
            Ignore regions.
        gt_labels : tensor (G,), optional
            Classes; without them the result's labels are None.

        Returns
        -------
        AssignResult
        """
        return self.of_boxes(bboxes, GroundTruths(gt_bboxes, gt_labels, gt_bboxes_ignore))


class ApproxMaxIoUAssigner(ApproxMaxIoU):
    """Decide by the best of several approximations: see :class:`assigncore.ApproxMaxIoUAssigner`."""

    def assign(
        self,
        approxs: Any,
        squares: Any,
        approxs_per_octave: int,
        gt_bboxes: Any,
        gt_bboxes_ignore: Any = None,
        gt_labels: Array | None = None,
    ) -> AssignResult:
        """Assign squares (N, 4) by their approximations.

        Parameters
        ----------
        approxs : tensor (N, 4 A) or (N A, 4)
            Those of the first square, then those of the next.
        squares : tensor (N, 4)
            Squares.
        approxs_per_octave : int
            A.
        gt_bboxes, gt_bboxes_ignore, gt_labels
            As of :meth:`MaxIoUAssigner.assign`.
        """
        squares = boxes_of(squares)
        approxs = array_of(approxs).reshape(len(squares), approxs_per_octave, 4)
        gt = GroundTruths(gt_bboxes, gt_labels, gt_bboxes_ignore)
        return self.of_approximations(squares, approxs, gt)


class GridAssigner(Grid):
    """Decide by overlaps of the priors of responsible cells: see :class:`assigncore.GridAssigner`."""

    def assign(
        self, bboxes: Any, box_responsible_flags: Array, gt_bboxes: Any, gt_labels: Array | None = None
    ) -> AssignResult:
        """Assign priors (N, 4) with their flags (N,), which are true where not 0."""
        return self.of_cells(bboxes, box_responsible_flags, GroundTruths(gt_bboxes, gt_labels))


class ATSSAssigner(ATSS):
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
            As of :meth:`MaxIoUAssigner.assign`. Labels are needed with `alpha`.
        cls_scores, bbox_preds : tensor (N, C) and (N, 4), optional
            Logits and boxes of the predictions, needed with `alpha`.

        Raises
        ------
        AssertionError
            If `alpha` is set and predictions are missing.
        """
        gt = GroundTruths(gt_bboxes, gt_labels, gt_bboxes_ignore)
        return self.of_levels(bboxes, num_level_bboxes, gt, cls_scores, bbox_preds)


class UniformAssigner(Uniform):
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
            With the extra properties ``pos_idx``, ``pos_predicted_boxes`` and ``target_boxes``. Where
            there is nothing to assign there are ``labels``, -1, also without `gt_labels`, as published.
        """
        result = self.of_predictions(anchor, bbox_pred, GroundTruths(gt_bboxes, gt_labels))
        if result.max_overlaps is None and result.labels is None:
            result.labels = get_backend(result.gt_inds).xp.full_like(result.gt_inds, -1)
        return result


class PointAssigner(Point):
    """Decide by the nearest points of a level: see :class:`assigncore.PointAssigner`."""

    def assign(
        self, points: Array, gt_bboxes: Any, gt_bboxes_ignore: Any = None, gt_labels: Array | None = None
    ) -> AssignResult:
        """Assign points (N, 3 or more), x, y and stride. Ignore regions are without effect, as published.

        A second stride, as RepPoints' head hands over, is not read, as published.
        """
        return self.of_points(points, GroundTruths(gt_bboxes, gt_labels))


class CenterRegionAssigner(CenterRegion):
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
        return self.of_boxes(bboxes, GroundTruths(gt_bboxes, gt_labels, gt_bboxes_ignore))


class RegionAssigner(Region):
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
            As of :meth:`MaxIoUAssigner.assign`.
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
        levels = [boxes_of(anchors) for anchors in mlvl_anchors]
        concat = get_backend(levels[0], "mlvl_anchors").xp.concat
        return self.of_levels(
            concat(levels),
            concat(list(mlvl_valid_flags)),
            GroundTruths(gt_bboxes, gt_labels, gt_bboxes_ignore),
            img_meta=img_meta,
            featmap_sizes=featmap_sizes,
            num_level_priors=tuple(len(anchors) for anchors in levels),
            anchor_scale=anchor_scale,
            anchor_strides=anchor_strides,
            allowed_border=allowed_border,
        )


class SimOTAAssigner(SimOTA):
    """Decide by a simplified optimal transport: see :class:`assigncore.SimOTAAssigner`."""

    usual_options = MappingProxyType({"sqrt_scores": True, "eps": assigncore.SimOTAAssigner.eps})

    def assign(
        self,
        pred_scores: Array,
        priors: Any,
        decoded_bboxes: Any,
        gt_bboxes: Any,
        gt_labels: Array,
        gt_bboxes_ignore: Any = None,
        eps: float = assigncore.SimOTAAssigner.eps,
    ) -> AssignResult:
        """Assign points with strides (N, 4) by boxes (N, 4) and scores (N, C).

        Scores are products of class and objectness, whose square roots are compared. `eps` is added to
        overlaps before their logarithm. Ignore regions are without effect, as published.
        """
        gt = GroundTruths(gt_bboxes, gt_labels)
        return self.of_predictions(priors, decoded_bboxes, pred_scores, gt, sqrt_scores=True, eps=eps)


class TaskAlignedAssigner(TaskAligned):
    """Decide by score and overlap at once: see :class:`assigncore.TaskAlignedAssigner`."""

    def assign(
        self,
        pred_scores: Array,
        decode_bboxes: Any,
        anchors: Any,
        gt_bboxes: Any,
        gt_bboxes_ignore: Any = None,
        gt_labels: Array | None = None,
        alpha: float = assigncore.TaskAlignedAssigner.alpha,
        beta: float = assigncore.TaskAlignedAssigner.beta,
    ) -> AssignResult:
        """Assign anchors (N, 4) by predicted boxes (N, 4) and scores (N, C), which are probabilities.

        Ignore regions are without effect, as published.

        Returns
        -------
        AssignResult
            With the attribute ``assign_metrics`` (N,).
        """
        gt = GroundTruths(gt_bboxes, gt_labels)
        return self.of_predictions(anchors, decode_bboxes, pred_scores, gt, alpha=alpha, beta=beta)

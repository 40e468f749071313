"""The assigners of MMDetection 3: its signatures over the shared entries, read out of instances."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import assigncore
from assigncore.adapters.containers import (
    array_of,
    as_integers,
    as_many_as_predictions,
    boxes_of,
    optional,
    points_of,
    required,
)
from assigncore.adapters.errors import also_assertion
from assigncore.adapters.mmdet.inputs import PRED, ground_truths
from assigncore.adapters.mmdet.jitter import RepeatJitter
from assigncore.adapters.mmdet.knobs import (
    ATSS,
    ApproxMaxIoU,
    CenterRegion,
    Entry,
    Grid,
    MaxIoU,
    Point,
    Region,
    SimOTA,
    TaskAligned,
    Uniform,
)
from assigncore.adapters.mmdet.overlaps import BboxOverlaps2D
from assigncore.adapters.mmdet.result import AssignResult
from assigncore.backend import Array, get_backend

__all__ = [
    "ATSSAssigner",
    "ApproxMaxIoUAssigner",
    "CenterRegionAssigner",
    "DynamicSoftLabelAssigner",
    "GridAssigner",
    "MaxIoUAssigner",
    "MultiInstanceAssigner",
    "PointAssigner",
    "RegionAssigner",
    "RotatedATSSAssigner",
    "SimOTAAssigner",
    "TaskAlignedAssigner",
    "UniformAssigner",
]


@dataclass(eq=False)
class MaxIoUAssigner(MaxIoU):
    """Decide by each prior's best overlap: see :class:`assigncore.MaxIoUAssigner` for rule and knobs.

    Parameters
    ----------
    perm_repeat_gt_cfg : mapping, optional
        Set ground truths with equal boxes apart: the arguments of
        :class:`assigncore.adapters.mmdet.jitter.RepeatJitter`, among which ``seed`` makes it repeatable.
    """

    perm_repeat_gt_cfg: Any = None

    @also_assertion
    def __post_init__(self) -> None:
        super().__post_init__()
        self._jitter = RepeatJitter.of(self.perm_repeat_gt_cfg)

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Assign ``priors`` (N, 4) to the ``bboxes`` (G, 4) and ``labels`` (G,) of ground truths.

        Parameters
        ----------
        pred_instances : object with ``priors``
            Priors, boxes in pixels.
        gt_instances : object with ``bboxes`` and ``labels``
            Ground truths.
        gt_instances_ignore : object with ``bboxes``, optional
            Ignore regions.
        **kwargs
            Without effect.

        Returns
        -------
        AssignResult
        """
        priors, gt = (
            required(pred_instances, "priors", PRED),
            ground_truths(gt_instances, gt_instances_ignore),
        )
        if self._jitter is not None and len(self.boxes_of(priors)):
            gt = gt._replace(bboxes=self._jitter(self.boxes_of(gt.bboxes), self.iou_calculator))
        return self.of_boxes(priors, gt)


class ApproxMaxIoUAssigner(ApproxMaxIoU):
    """Decide by the best of several approximations: see :class:`assigncore.ApproxMaxIoUAssigner`."""

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Assign ``priors`` (N, 4), squares, by their ``approxs`` (N, A, 4).

        The other arguments and the result are those of :meth:`MaxIoUAssigner.assign`.
        """
        squares = boxes_of(required(pred_instances, "priors", PRED))
        approxs = array_of(required(pred_instances, "approxs", PRED))
        return self.of_approximations(squares, approxs, ground_truths(gt_instances, gt_instances_ignore))


class GridAssigner(Grid):
    """Decide by overlaps of the priors of responsible cells: see :class:`assigncore.GridAssigner`."""

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Assign ``priors`` (N, 4) with their ``responsible_flags`` (N,), which are true where not 0.

        Ignore regions are without effect, as published. The other arguments and the result are those of
        :meth:`MaxIoUAssigner.assign`.
        """
        priors = required(pred_instances, "priors", PRED)
        flags = required(pred_instances, "responsible_flags", PRED)
        return self.of_cells(priors, flags, ground_truths(gt_instances))


@dataclass(eq=False, init=False)
class MultiInstanceAssigner(MaxIoUAssigner):
    """Decide by the best few overlaps of each prior: see :class:`assigncore.MultiInstanceAssigner`.

    Parameters
    ----------
    num_instance : int, default 2
        Predictions of each prior.
    **kwargs
        The knobs of :class:`MaxIoUAssigner`, of which the two thresholds decide.
    """

    num_instance: int = 2
    core_class = assigncore.MultiInstanceAssigner

    @also_assertion
    def __init__(self, num_instance: int = 2, **kwargs: Any) -> None:
        self.num_instance = num_instance
        MaxIoUAssigner.__init__(self, **kwargs)

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Assign ``priors`` (N, 4), and behind them the G ground truths and I ignore regions themselves.

        The arguments are those of :meth:`MaxIoUAssigner.assign`; ignore regions may have ``labels``.

        Returns
        -------
        AssignResult
            As published: arrays are (N + G + I, `num_instance`), ``gt_inds`` counts boxes from 0, whatever
            was decided, and ``labels`` tell what was: 1 positive, 0 background, between the thresholds
            the class + 1 of the box, or -1. Without any box there are no rows.
        """
        truths = ground_truths(gt_instances, gt_instances_ignore)
        gt, ignored = truths.named(), truths.ignore_regions()
        labels = None if ignored is None else as_integers(optional(gt_instances_ignore, "labels"))
        result = self.core().assign(
            boxes_of(required(pred_instances, "priors", PRED)),
            **gt,
            ignore_bboxes=ignored,
            ignore_labels=labels,
        )
        xp = get_backend(result.gt_inds).xp
        box, label = result.extras["box_inds"], result.extras["box_labels"]
        between = xp.where(box < len(gt["gt_labels"]), label + 1, label)
        decided = xp.where(result.gt_inds > 0, 1, xp.where(result.gt_inds == 0, 0, between))
        stop = None if result.num_gts else 0
        arrays = (xp.matrix_transpose(x)[:stop, :] for x in (box, result.max_overlaps, decided))
        return AssignResult(result.num_gts, *arrays)


class ATSSAssigner(ATSS):
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
        logits, bboxes = optional(pred_instances, "scores"), optional(pred_instances, "bboxes")
        if self.alpha is None and not (logits is None and bboxes is None):
            warnings.warn("predictions are given to ATSSAssigner, and not used without alpha", stacklevel=2)
        priors, gt = (
            required(pred_instances, "priors", PRED),
            ground_truths(gt_instances, gt_instances_ignore),
        )
        return self.of_levels(priors, num_level_priors, gt, logits, bboxes)


class RotatedATSSAssigner(ATSSAssigner):
    """The same by its name in MMRotate, whose configs give it a calculator of oriented boxes."""


class UniformAssigner(Uniform):
    """Decide by distance, equally many for each ground truth: see :class:`assigncore.UniformAssigner`."""

    def assign(self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None) -> AssignResult:
        """Assign ``priors`` (N, 4) with their ``decoder_priors`` (N, 4), the boxes predicted from them.

        Returns
        -------
        AssignResult
            With the extra properties ``pos_idx``, ``pos_predicted_boxes`` and ``target_boxes``.
        """
        priors = required(pred_instances, "priors", PRED)
        bboxes = required(pred_instances, "decoder_priors", PRED)
        return self.of_predictions(priors, bboxes, ground_truths(gt_instances))


class PointAssigner(Point):
    """Decide by the nearest points of a level: see :class:`assigncore.PointAssigner`."""

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Assign ``priors`` (N, 3 or more), points x, y and stride. Ignore regions are without effect.

        A second stride, as RepPoints' head hands over, is not read, as published.
        """
        return self.of_points(required(pred_instances, "priors", PRED), ground_truths(gt_instances))


class RegionAssigner(Region):
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
        return self.of_levels(
            required(pred_instances, "priors", PRED),
            required(pred_instances, "valid_flags", PRED),
            ground_truths(gt_instances)._replace(ignored=gt_instances_ignore),
            img_meta=img_meta,
            featmap_sizes=featmap_sizes,
            num_level_priors=tuple(num_level_anchors),
            anchor_scale=anchor_scale,
            anchor_strides=anchor_strides,
            allowed_border=allowed_border,
        )


class CenterRegionAssigner(CenterRegion):
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
        priors = required(pred_instances, "priors", PRED)
        return self.of_boxes(priors, ground_truths(gt_instances, gt_instances_ignore))


class TaskAlignedAssigner(TaskAligned):
    """Decide by score and overlap at once: see :class:`assigncore.TaskAlignedAssigner`."""

    def assign(
        self,
        pred_instances: Any,
        gt_instances: Any,
        gt_instances_ignore: Any = None,
        alpha: float = assigncore.TaskAlignedAssigner.alpha,
        beta: float = assigncore.TaskAlignedAssigner.beta,
    ) -> AssignResult:
        """Assign ``priors`` (N, 4 or more) by the predictions ``bboxes`` (N, 4) and ``scores`` (N, C).

        Parameters
        ----------
        pred_instances : object with ``priors``, ``bboxes`` and ``scores``, which are probabilities
            Priors and predictions.
        gt_instances : object with ``bboxes`` and ``labels``
            Ground truths.
        gt_instances_ignore : object, optional
            Without effect, as published.
        alpha, beta : float, default 1 and 6
            Exponents of score and overlap.

        Returns
        -------
        AssignResult
            With the attribute ``assign_metrics`` (N,).
        """
        return self.of_predictions(
            required(pred_instances, "priors", PRED),
            required(pred_instances, "bboxes", PRED),
            required(pred_instances, "scores", PRED),
            ground_truths(gt_instances),
            alpha=alpha,
            beta=beta,
        )


@dataclass(eq=False)
class SimOTAAssigner(SimOTA):
    """Decide by a simplified optimal transport: see :class:`assigncore.SimOTAAssigner`."""

    iou_calculator: Any = field(default_factory=BboxOverlaps2D)

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Assign ``priors`` (N, 4), points with strides, by ``bboxes`` (N, 4) and ``scores`` (N, C).

        Scores are probabilities. Ignore regions are without effect, as published.
        """
        return self.of_predictions(
            required(pred_instances, "priors", PRED),
            required(pred_instances, "bboxes", PRED),
            required(pred_instances, "scores", PRED),
            ground_truths(gt_instances),
        )


@dataclass(eq=False)
class DynamicSoftLabelAssigner(Entry):
    """Decide by the cheapest predictions: see :class:`assigncore.DynamicSoftLabelAssigner`."""

    soft_center_radius: float = assigncore.DynamicSoftLabelAssigner.soft_center_radius
    topk: int = assigncore.DynamicSoftLabelAssigner.topk
    iou_weight: float = assigncore.DynamicSoftLabelAssigner.iou_weight
    iou_calculator: Any = field(default_factory=BboxOverlaps2D)
    core_class = assigncore.DynamicSoftLabelAssigner

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Assign ``priors`` (N, 4), points with strides, by ``bboxes`` (N, 4) and ``scores`` (N, C).

        Scores are logits. Where the ground truths have ``masks``, tensors (G, H, W) or mask objects with
        ``to_tensor``, their centres are those of the masks. As published, a point on a side of a ground truth
        is inside where boxes are an object such as ``HorizontalBoxes``, and outside where they are a tensor;
        ignore regions are without effect.
        """
        bboxes = self.boxes_of(required(pred_instances, "bboxes", PRED))
        gt = ground_truths(gt_instances).named(self.boxes_of)
        points, predictions = as_many_as_predictions(
            points_of(required(pred_instances, "priors", PRED), bboxes),
            gt["gt_bboxes"],
            pred_bboxes=bboxes,
            pred_logits=required(pred_instances, "scores", PRED),
        )
        masks = None if 0 in gt["gt_bboxes"].shape else _masks(optional(gt_instances, "masks"), bboxes)
        # Boxes that are more than a tensor tell which points are inside: those on a side too.
        given = gt_instances.bboxes
        options = {} if array_of(given) is given else {"closed_boxes": True}
        return AssignResult.of(self.core(**options).assign(points, **gt, **predictions, gt_masks=masks))


def _masks(masks: Any, like: Array) -> Any:
    """Return masks as booleans."""
    if masks is None:
        return None
    if hasattr(masks, "to_tensor"):
        masks = masks.to_tensor(dtype=like.dtype, device=like.device)
    return array_of(masks) > 0

"""Assignment by the matching of least total cost, several predictions a ground truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from assigncore.backend import Array
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.calculators import BboxOverlaps2D, measure_of
from assigncore.boxes.formulas import drop_nonfinite
from assigncore.checks import check_knob
from assigncore.costs import (
    BBoxL1Cost,
    FocalLossCost,
    IoUCost,
    MatchCost,
    box_columns_of,
    build_match_cost,
    needed_inputs,
)
from assigncore.inputs import MatchScene, read_match_scene
from assigncore.matching import Solver, check_nonfinite, match_scene, repeated
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.alignment import aligned
from assigncore.steps.ignore import spared_predictions

__all__ = ["TopkHungarianAssigner"]


@ASSIGNERS.register
@dataclass(frozen=True)
class TopkHungarianAssigner(Configured):
    """Match each ground truth with the same number of predictions, at the least total cost.

    The number is `topk`, or less where there are fewer predictions for each ground truth. Every other
    prediction is background. This trains the dense, auxiliary branch of DDQ.

    Parameters
    ----------
    topk : int
        Predictions each ground truth is matched with, at least 1.
    iou_calculator : callable or config mapping, optional
        Computes `max_overlaps`; default :class:`assigncore.BboxOverlaps2D`. Of oriented boxes, as `reg_cost`
        and `iou_cost` then must be too.
    cls_cost : match cost or config mapping, optional
        Default :class:`assigncore.costs.FocalLossCost` of weight 2.
    reg_cost : match cost or config mapping, optional
        Default :class:`assigncore.costs.BBoxL1Cost` of weight 5.
    iou_cost : match cost or config mapping, optional
        Default :class:`assigncore.costs.IoUCost`, GIoU, of weight 2.
    alpha, beta : float, default 1 and 6
        Exponents of score and overlap in the metric ``score**alpha * overlap**beta`` of a matched pair.
    nonfinite : {"raise", "forbid"}, default "raise"
        What happens to a pair whose cost is NaN or infinite: an error, or it is never matched.
    ignore_iof_thr : float, default -1
        A prediction without a match is ignored where an ignore region covers more than this fraction of its
        box. Not positive: ignore regions have no effect. Ours, in no paper.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    Notes
    -----
    The class cost takes the scores for logits, as published: the default applies a sigmoid to values that
    are probabilities already. It favours high scores all the same.

    References
    ----------
    Zhang et al., "Dense Distinct Query for End-to-End Object Detection", 2023.

    Examples
    --------
    >>> import numpy as np
    >>> pred_bboxes = np.array([[0.0, 0, 9, 9], [0, 0, 10, 9], [30, 30, 40, 40], [5, 0, 15, 10]])
    >>> result = TopkHungarianAssigner(topk=2).assign(
    ...     np.array([[0.0, 0, 10, 10]]),
    ...     gt_labels=np.array([0]),
    ...     pred_bboxes=pred_bboxes,
    ...     pred_scores=np.array([[0.5], [0.5], [0.9], [0.1]]),
    ...     image_shape=(40, 40),
    ... )
    >>> result.gt_inds
    array([1, 1, 0, 0])
    >>> result.max_overlaps
    array([0.81, 0.9 , 0.  , 0.  ])
    """

    topk: int
    iou_calculator: Callable[..., Any] | Mapping[str, Any] = field(default_factory=BboxOverlaps2D)
    cls_cost: MatchCost | Mapping[str, Any] = field(default_factory=lambda: FocalLossCost(weight=2.0))
    reg_cost: MatchCost | Mapping[str, Any] = field(default_factory=lambda: BBoxL1Cost(weight=5.0))
    iou_cost: MatchCost | Mapping[str, Any] = field(default_factory=lambda: IoUCost(weight=2.0))
    alpha: float = 1
    beta: float = 6
    nonfinite: str = "raise"
    ignore_iof_thr: float = -1

    def _check_knobs(self) -> None:
        check_knob("topk", self.topk, at_least=1, integer=True)
        check_knob("alpha", self.alpha, at_least=0)
        check_knob("beta", self.beta, at_least=0)
        check_nonfinite(self.nonfinite)
        check_knob("ignore_iof_thr", self.ignore_iof_thr)
        for name in ("cls_cost", "reg_cost", "iou_cost"):
            object.__setattr__(self, name, build_match_cost(getattr(self, name), name))
        columns = box_columns_of(self._costs, "reg_cost, iou_cost")
        given = getattr(self.iou_calculator, "columns", columns)
        if given != columns:
            kind = type(self.iou_calculator).__name__
            raise ValueError(
                f"iou_calculator: expected one of boxes of {columns} columns, as reg_cost and iou_cost read, "
                f"got {kind} of boxes of {given}"
            )

    @property
    def _costs(self) -> tuple[MatchCost, ...]:
        """The match costs, built."""
        return cast("tuple[MatchCost, ...]", (self.cls_cost, self.reg_cost, self.iou_cost))

    @numpy_fast_path
    def assign(
        self,
        gt_bboxes: Array,
        *,
        gt_labels: Array,
        pred_bboxes: Array,
        pred_scores: Array,
        image_shape: tuple[float, float] | Array,
        gt_valid: Array | None = None,
        prior_valid: Array | None = None,
        ignore_bboxes: Array | None = None,
        ignore_valid: Array | None = None,
    ) -> AssignResult:
        """Assign predictions to ground truths; leading dimensions are a batch and broadcast.

        Parameters
        ----------
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels; of costs of oriented boxes, as predictions then are too, (..., G,
            5).
        gt_labels : array (..., G) of integers
            Classes.
        pred_bboxes : array (..., N, 4)
            Boxes of the predictions, x1, y1, x2, y2 in pixels.
        pred_scores : array (..., N, C)
            Class probabilities of the predictions.
        image_shape : tuple (height, width) or array (..., 2)
            In pixels, what box distances are relative to.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        prior_valid : array (..., N) of bool, optional
            False where a prediction takes no part: it is ignored. Not given: all true.
        ignore_bboxes : array (..., I, 4), optional
            Ignore regions. Without effect unless `ignore_iof_thr` is positive.
        ignore_valid : array (..., I) of bool, optional
            False where a row is padding. Not given: all true.

        Returns
        -------
        AssignResult
            `max_overlaps` is the overlap of a prediction with its ground truth, 0 where it has none, and so
            is the extra `assign_metrics` of their metric.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than the others.
        ValueError
            If shapes do not fit, inputs are on different devices, or a cost is not finite: see
            :meth:`assigncore.HungarianAssigner.assign`.

        Notes
        -----
        An image with fewer predictions than ground truths has no matches at all, as published.
        :func:`assigncore.matching.linear_sum_assignment` says what is promised of ties, and where it runs.
        """
        costs = self._costs
        needed = dict.fromkeys(("gt_bboxes", "gt_labels", "pred_bboxes", "pred_scores"), "the assigner")
        needed.update({name: by for name, by in needed_inputs(costs).items() if name != "pred_logits"})
        scene = read_match_scene(
            {
                "gt_bboxes": gt_bboxes,
                "gt_labels": gt_labels,
                "pred_bboxes": pred_bboxes,
                "pred_scores": pred_scores,
                "image_shape": image_shape,
                "gt_valid": gt_valid,
                "prior_valid": prior_valid,
                "ignore_bboxes": ignore_bboxes,
                "ignore_valid": ignore_valid,
            },
            needed,
            columns=box_columns_of(costs),
        )
        scene = replace(scene, arrays={**scene.arrays, "pred_logits": scene.arrays["pred_scores"]})
        at_most = scene.xp.minimum(*self._shares(scene))

        def wrap(solver: Solver) -> Solver:
            times = max(1, min(self.topk, scene.shape[1]))
            return repeated(solver, scene.backend, times, at_most)

        matched = match_scene(scene, costs, nonfinite=self.nonfinite, wrap=wrap)
        overlaps, metrics = self._of_matched(scene, matched)
        spared = spared_predictions(scene, matched, self.ignore_iof_thr)
        return scene.result(matched, overlaps, {"assign_metrics": metrics}, ignored=spared)

    def _shares(self, scene: MatchScene) -> tuple[Array, Array]:
        """Return `topk`, and how many predictions there are for each ground truth of an image, (B,)."""
        xp = scene.xp
        integers = scene.backend.integer_dtype(scene.gt_valid)
        n_priors = xp.sum(xp.astype(scene.prior_valid, integers), axis=-1)
        n_gts = xp.sum(xp.astype(scene.gt_valid, integers), axis=-1)
        share = n_priors // xp.where(n_gts > 0, n_gts, 1)
        return xp.full_like(share, self.topk), share

    def _of_matched(self, scene: MatchScene, matched: Array) -> tuple[Array, Array]:
        """Return the overlap and the metric of each prediction with its ground truth, (B, N) each."""
        xp, (images, n_priors, n_gts) = scene.xp, scene.shape
        none = scene.full((images, n_priors), 0.0)
        if scene.is_empty:
            return none, none
        place = xp.where(matched >= 0, matched, 0)
        gt_bboxes = scene.arrays["gt_bboxes"]
        gt = scene.backend.gather_rows(xp.broadcast_to(gt_bboxes, (images, *gt_bboxes.shape[1:])), place)
        measure = measure_of(self.iou_calculator, "iou")
        pred = xp.broadcast_to(scene.arrays["pred_bboxes"], gt.shape)
        (pred, _), (gt, _) = drop_nonfinite(pred), drop_nonfinite(gt)
        overlaps = measure(pred[..., None, :], gt[..., None, :])[..., 0, 0]
        labels = xp.broadcast_to(scene.arrays["gt_labels"], (images, n_gts))
        label = xp.take_along_axis(xp.astype(labels, place.dtype), place, axis=-1)
        scores = scene.arrays["pred_scores"]
        label = xp.where((label >= 0) & (label < int(scores.shape[-1])), label, 0)
        scores = xp.broadcast_to(scores, (images, *scores.shape[1:]))
        score = xp.take_along_axis(scores, label[..., None], axis=-1)[..., 0]
        metrics = aligned(score, overlaps, self.alpha, self.beta)
        return xp.where(matched >= 0, overlaps, none), xp.where(matched >= 0, metrics, none)

"""The assigners of MMDetection 3 by the matching of least total cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import assigncore
from assigncore.adapters.containers import array_of, as_integers, boxes_of, required
from assigncore.adapters.errors import also_assertion
from assigncore.adapters.mmdet.costs import CostKnobs, build_match_cost
from assigncore.adapters.mmdet.inputs import GT, cost_inputs, image_shape
from assigncore.adapters.mmdet.knobs import TaskAlignedKnobs, with_metrics
from assigncore.adapters.mmdet.result import AssignResult
from assigncore.backend import Array, get_backend
from assigncore.matching import linear_sum_assignment

__all__ = ["HungarianAssigner", "TopkHungarianAssigner"]

hungarian_of = lru_cache(maxsize=64)(assigncore.HungarianAssigner)
"""Makes the core's assigner of costs once: their knobs may be changed, but seldom are."""


@dataclass(eq=False)
class HungarianAssigner:
    """Match predictions with ground truths one to one: see :class:`assigncore.HungarianAssigner`.

    Parameters
    ----------
    match_costs : config mapping, or list of them
        The terms of the cost. One that is not from here is called with the instances, as published.

    Raises
    ------
    AssertionError
        If there is none.
    """

    match_costs: Any

    @also_assertion
    def __post_init__(self) -> None:
        several = self.match_costs
        if isinstance(several, Mapping) or not isinstance(several, (list, tuple)):
            several = [several]
        if not several:
            raise ValueError("match_costs: expected at least one cost, got none")
        self.match_costs = [build_match_cost(config) for config in several]

    def assign(
        self, pred_instances: Any, gt_instances: Any, img_meta: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Match predictions with ground truths.

        Parameters
        ----------
        pred_instances : object with ``bboxes``, ``scores`` (logits) or ``masks``, as the costs read
            Predictions; ``len`` of it is their number.
        gt_instances : object with ``labels``, and ``bboxes`` or ``masks`` as the costs read
            Ground truths.
        img_meta : mapping, optional
            Its ``img_shape`` is height and width, where a cost reads it.
        **kwargs
            Without effect.

        Returns
        -------
        AssignResult
            Without ``max_overlaps``.

        Raises
        ------
        AssertionError
            If the labels are no array, or `img_meta` is needed and missing.
        ValueError
            If a cost is not finite: it says which, and of which pair.
        """
        labels = required(gt_instances, "labels", GT)
        if not hasattr(labels, "shape"):
            raise AssertionError(f"{GT}.labels: expected a tensor, got {type(labels).__name__}")
        n_priors, n_gts = len(pred_instances), len(gt_instances)
        labels = as_integers(labels)
        if n_priors == 0 or n_gts == 0:
            return unmatched(labels, n_priors, n_gts)
        if all(isinstance(cost, CostKnobs) for cost in self.match_costs):
            costs = tuple(cost.core() for cost in self.match_costs)
            names = {name for cost in costs for name in cost.needs} - {"gt_labels"}
            inputs = cost_inputs(names, pred_instances, gt_instances, img_meta)
            return AssignResult.of(hungarian_of(costs).assign(gt_labels=labels, **inputs))
        terms = [cost(pred_instances, gt_instances, img_meta) for cost in self.match_costs]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        matched = linear_sum_assignment(total) + 1
        return AssignResult(n_gts, matched, None, labels_of(labels, matched))


def unmatched(labels: Array, n_priors: int, n_gts: int) -> AssignResult:
    """Return the result where there are no predictions or no ground truths."""
    backend = get_backend(labels, "gt_labels")
    dtype, device = backend.integer_dtype(labels), backend.device_of(labels)
    codes = backend.xp.full((n_priors,), -1 if n_gts else 0, dtype=dtype, device=device)
    return AssignResult(n_gts, codes, None, backend.xp.full_like(codes, -1))


def labels_of(labels: Array, gt_inds: Array) -> Array:
    """Return the class of each assigned prediction, -1 elsewhere."""
    backend = get_backend(labels, "gt_labels")
    xp = backend.xp
    place = xp.where(gt_inds > 0, gt_inds - 1, 0)
    classes = xp.take(xp.astype(labels, gt_inds.dtype), place, axis=0)
    return xp.where(gt_inds > 0, classes, -1)


@dataclass(eq=False)
class TopkHungarianAssigner(TaskAlignedKnobs):
    """Match each ground truth with several predictions: see :class:`assigncore.TopkHungarianAssigner`."""

    cls_cost: Any = field(default_factory=lambda: {"type": "FocalLossCost", "weight": 2.0}, kw_only=True)
    reg_cost: Any = field(default_factory=lambda: {"type": "BBoxL1Cost", "weight": 5.0}, kw_only=True)
    iou_cost: Any = field(
        default_factory=lambda: {"type": "IoUCost", "iou_mode": "giou", "weight": 2.0}, kw_only=True
    )
    core_class = assigncore.TopkHungarianAssigner

    @also_assertion
    def __post_init__(self) -> None:
        for name in ("cls_cost", "reg_cost", "iou_cost"):
            setattr(self, name, build_match_cost(getattr(self, name)))
        super().__post_init__()

    def build(self, **options: Any) -> Any:
        """Build the core's assigner."""
        return self.core_class(
            self.topk,
            iou_calculator=self.iou_calculator,
            cls_cost=self.cls_cost.core(),
            reg_cost=self.reg_cost.core(),
            iou_cost=self.iou_cost.core(),
            **options,
        )

    def assign(
        self,
        pred_scores: Array,
        decode_bboxes: Any,
        gt_bboxes: Any,
        gt_labels: Array,
        img_meta: Any,
        alpha: float = assigncore.TopkHungarianAssigner.alpha,
        beta: float = assigncore.TopkHungarianAssigner.beta,
        **kwargs: Any,
    ) -> AssignResult:
        """Match predictions with ground truths.

        Parameters
        ----------
        pred_scores : tensor (N, C)
            Class probabilities.
        decode_bboxes : tensor (N, 4), or boxes with ``tensor``
            Predicted boxes in pixels.
        gt_bboxes, gt_labels : tensor (G, 4) and (G,)
            Ground truths.
        img_meta : mapping
            Its ``img_shape`` is height and width.
        alpha, beta : float, default 1 and 6
            Exponents of score and overlap in the metrics.
        **kwargs
            Without effect.

        Returns
        -------
        AssignResult
            As published: ``max_overlaps`` and the attribute ``assign_metrics`` have a value for each
            matched prediction, in their order, not for every one. Without ground truths ``max_overlaps``
            is None; with more of them than predictions nothing is matched and ``labels`` is None.
        """
        labels = as_integers(gt_labels)
        scores = array_of(pred_scores)
        n_priors, n_gts = len(scores), len(labels)  # type: ignore[arg-type]
        if n_gts == 0:
            return unmatched(labels, n_priors, n_gts)
        result = self.core(alpha=alpha, beta=beta).assign(
            boxes_of(gt_bboxes),
            gt_labels=labels,
            pred_bboxes=boxes_of(decode_bboxes),
            pred_scores=scores,
            image_shape=image_shape(img_meta),
        )
        positive = result.pos_mask
        overlaps, metrics = result.max_overlaps[positive], result.extras["assign_metrics"][positive]
        classes = None if n_priors < n_gts else result.labels
        return with_metrics(AssignResult(n_gts, result.gt_inds, overlaps, classes), metrics)

"""Assignment by a classification cost against soft labels, with dynamic k."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from assigncore.backend import Array, get_backend
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.calculators import BboxOverlaps2D, columns_in_plane
from assigncore.boxes.formulas import ORIENTED, box_centers, columns, drop_nonfinite
from assigncore.checks import check_knob
from assigncore.inputs import InputSpec, Scene, read_scene
from assigncore.numerics import at_least, divided, exp, log1p, quotient, rounded_product, sigmoid, sqrt
from assigncore.pairs.listed import TilePairs
from assigncore.pairs.relations import Inside, Near, holds_for_any
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.dynamic_k import PairCosts, Preferred, match_dynamic_k, overlap_cost
from assigncore.steps.ignore import spared_negatives
from assigncore.steps.scores import (
    check_classes,
    class_columns,
    known_labels,
    label_rows,
    pairwise_sum,
)

__all__ = ["DynamicSoftLabelAssigner"]

UNASSIGNED = -1e8
"""The overlap of a prior that no ground truth takes, as published."""

OUTSIDE = 1e8
"""What a prior outside all ground truths costs, where it may be taken at all, as published."""

INSIDE_ORIENTED = 0.01
"""By more than so many pixels a prior is inside an oriented box, as published; of upright ones by any."""

EPS = 1e-7
"""Added to an overlap before its logarithm, and the least mass of a mask."""

FAR = 2.0
"""Strides beyond the soft radius from which on a pair is expensive: the power of ten is 100 there."""

FAR_COST = 99.0
"""What such a pair costs at least, whatever its logits say; two boxes without overlap cost 48."""

LARGEST_EXPONENT = 38.0
"""Largest power of ten that float32 holds."""


@ASSIGNERS.register
@dataclass(frozen=True)
class DynamicSoftLabelAssigner(Configured):
    """Give each ground truth its cheapest predictions, as many as their overlaps with it add up to.

    A prior counts where its point lies in any ground truth. A pair costs the difference of the predicted
    scores from a soft label, which is the predicted box's overlap for the ground truth's class and 0 for
    every other, plus a logarithm of the overlap, plus a power of ten that grows with the distance from the
    ground truth's centre.

    Parameters
    ----------
    soft_center_radius : float, default 3.0
        Distance from a centre, in strides, at which the power of ten is 1.
    topk : int, default 13
        Overlaps that are added up to the number of priors a ground truth takes, and the most it takes.
    iou_weight : float, default 3.0
        Weight of the overlap's cost.
    iou_calculator : callable or config mapping, optional
        Computes the overlaps; default :class:`assigncore.BboxOverlaps2D`.
    own_class_only : bool, default False
        Compare the score of the ground truth's own class alone, as MMYOLO does.
    select_outside : bool, default False
        Let a prior outside all ground truths count at a cost of 1e8, as MMYOLO does: each ground truth then
        chooses at least one prior, though it may lose it to another.
    closed_boxes : bool, default False
        Whether a point on a side of an upright box lies in it, as MMDetection has it of boxes that are an
        object such as ``HorizontalBoxes``.
    ignore_iof_thr : float, default -1
        A prior without ground truth is ignored where an ignore region covers more than this fraction of its
        cell. Not positive: ignore regions have no effect.
    min_positives : int, default 0
        Positives that each ground truth has at least, where it can: one that has fewer by the method gets the
        free priors that cost it least, in boxes or not. Ours, in no paper: see
        :func:`assigncore.steps.min_positives.add_positives`.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    References
    ----------
    Lyu et al., "RTMDet: An Empirical Study of Designing Real-Time Object Detectors", 2022.

    Examples
    --------
    >>> import numpy as np
    >>> points = np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1).reshape(-1, 2) * 8 + 4
    >>> priors = np.concatenate([points, np.full((16, 2), 8)], axis=-1).astype(np.float32)
    >>> gt_bboxes = np.array([[0, 0, 17, 17]], dtype=np.float32)
    >>> pred_bboxes = np.concatenate([points - 8, points + 8], axis=-1).astype(np.float32)
    >>> logits = np.zeros((16, 2), dtype=np.float32)
    >>> DynamicSoftLabelAssigner().assign(
    ...     priors, gt_bboxes, pred_bboxes=pred_bboxes, pred_logits=logits, gt_labels=np.array([1])
    ... ).gt_inds.reshape(4, 4)
    array([[0, 0, 0, 0],
           [0, 1, 0, 0],
           [0, 0, 0, 0],
           [0, 0, 0, 0]])
    """

    soft_center_radius: float = 3.0
    topk: int = 13
    iou_weight: float = 3.0
    iou_calculator: Callable[..., Any] | Mapping[str, Any] = field(default_factory=BboxOverlaps2D)
    own_class_only: bool = False
    select_outside: bool = False
    closed_boxes: bool = False
    ignore_iof_thr: float = -1
    min_positives: int = 0

    def _check_knobs(self) -> None:
        check_knob("soft_center_radius", self.soft_center_radius)
        check_knob("topk", self.topk, at_least=1, integer=True)
        check_knob("ignore_iof_thr", self.ignore_iof_thr)
        check_knob("iou_weight", self.iou_weight)

    @numpy_fast_path
    def assign(
        self,
        priors: Array,
        gt_bboxes: Array,
        *,
        pred_bboxes: Array,
        pred_logits: Array,
        gt_labels: Array,
        gt_masks: Array | None = None,
        gt_valid: Array | None = None,
        prior_valid: Array | None = None,
        ignore_bboxes: Array | None = None,
        ignore_valid: Array | None = None,
    ) -> AssignResult:
        """Assign priors to ground truths; leading dimensions are a batch and broadcast.

        Parameters
        ----------
        priors : array (..., N, 4)
            Points with their strides: x, y, stride_x, stride_y in pixels. Distances are in units of stride_x.
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels; oriented boxes, as predictions then are too, (..., G, 5).
        pred_bboxes : array (..., N, 4)
            Boxes of the predictions in pixels.
        pred_logits : array (..., N, C)
            Class logits of the predictions.
        gt_labels : array (..., G) of integers
            Classes, from 0.
        gt_masks : array (..., G, H, W) of bool, optional
            Masks of the ground truths at the image's resolution; a centre is then a mask's centre of mass,
            not its box's.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        prior_valid : array (..., N) of bool, optional
            False where a prior takes no part: it is ignored. Not given: all true.
        ignore_bboxes : array (..., I, 4), optional
            Ignore regions. Without effect unless `ignore_iof_thr` is positive.
        ignore_valid : array (..., I) of bool, optional
            False where a row is padding. Not given: all true.

        Returns
        -------
        AssignResult
            `max_overlaps` is the overlap of a positive prior's prediction with its ground truth, and -1e8
            for every other prior; 0 for all where no prior counts.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than `priors`.
        ValueError
            If shapes do not fit, or inputs are on different devices.

        Notes
        -----
        Of equally cheap priors the first is taken. A prior that several ground truths choose goes to the one
        it is cheapest for among all, the first on ties, even if that one did not choose it; so a ground
        truth may end with none, as published. A prediction with a NaN or infinite number matches nothing;
        if its box is finite, its overlaps count towards how many priors a ground truth takes, as published. A
        valid label that is no class is an error where the host can see it; elsewhere its ground truth takes
        no part. The power of ten stays below infinity: the farthest pairs are equally expensive. A pair whose
        power of ten is 99 or more costs at least 99, whatever its logits say. A prior is in an oriented box
        from 0.01 pixels on, as published for these. The method has no ignore regions; `ignore_iof_thr` is
        ours, and counts in images without ground truths too.
        """
        form = columns_in_plane(self.iou_calculator)
        scene = read_scene(
            priors,
            gt_bboxes,
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            ignore_bboxes=ignore_bboxes,
            ignore_valid=ignore_valid,
            columns=(4, form),
            further={
                "gt_labels": InputSpec(gt_labels, ("G",), "integral", required=True),
                "pred_bboxes": InputSpec(pred_bboxes, ("N", form), required=True),
                "pred_logits": InputSpec(pred_logits, ("N", "C"), required=True),
                "gt_masks": InputSpec(gt_masks, ("G", "H", "W"), "bool"),
            },
        )
        check_classes("pred_logits", pred_logits)
        if scene.is_empty:
            spared = self._spared(scene, scene.full(0, integers=True))
            return scene.empty_result(excluded_overlap=UNASSIGNED, ignored=spared)
        boxes, finite = drop_nonfinite(scene.further["pred_bboxes"])
        finite = finite & scene.prior_eligible
        points = scene.priors[..., :2]
        is_oriented = int(scene.gt_bboxes.shape[-1]) == ORIENTED
        margin = INSIDE_ORIENTED if is_oriented else None
        inside = Inside(
            scene.backend, scene.gt_valid, finite, points, scene.gt_bboxes, margin, self.closed_boxes
        )
        in_any = holds_for_any(inside)
        competing = finite if self.select_outside else in_any
        centers = box_centers(scene.gt_bboxes) if gt_masks is None else centers_of_mass(scene)
        costs = PairCosts(
            scene=scene,
            eligible=competing,
            pred_bboxes=boxes,
            calculator=self.iou_calculator,
            classes=scene.further["pred_logits"],
            cost=partial(self._cost, known_labels(scene), centers),
            of_priors={"priors": scene.priors, "in_any": in_any},
            preferred=Preferred(partial(self._is_near, scene, centers), FAR_COST),
        )
        of_priors = {**costs.of_priors, "in_any": scene.xp.ones_like(in_any)}
        anywhere = replace(costs, eligible=finite, of_priors=of_priors)
        gt_inds, max_overlaps = match_dynamic_k(
            costs, self.topk, nothing=UNASSIGNED, min_positives=self.min_positives, reserve=anywhere
        )
        decided = scene.xp.any(competing | (gt_inds > 0), axis=-1)[:, None] | ~scene.prior_valid
        max_overlaps = scene.xp.where(decided, max_overlaps, 0.0)
        return scene.result(gt_inds, max_overlaps, ignored=self._spared(scene, gt_inds))

    def _spared(self, scene: Scene, gt_inds: Array) -> Array | None:
        return spared_negatives(scene, gt_inds, self.ignore_iof_thr, of_cells=True)

    def _cost(
        self, labels: Array, centers: Array, costs: PairCosts, pairs: TilePairs, overlaps: Array
    ) -> Array:
        """Return what pairs cost, (b, g, n): for their class, their overlap, and their place."""
        xp, view = costs.scene.xp, pairs.view
        logits = view.of_priors(costs.classes)
        cost = self._class_cost(logits, view.of_gts(labels), overlaps)
        cost = cost + overlap_cost(self.iou_calculator, overlaps, EPS, self.iou_weight)
        place = self._soft_prior(pairs.of_priors(costs.of_priors["priors"]), pairs.of_gts(centers))
        cost = cost + place
        cost = xp.where(place >= FAR_COST, at_least(cost, FAR_COST), cost)
        if not self.select_outside:
            return cost
        expensive = xp.where(xp.isfinite(cost), xp.full_like(cost, OUTSIDE), cost)
        return xp.where(pairs.of_priors(costs.of_priors["in_any"]), cost, expensive)

    def _class_cost(self, logits: Array, labels: Array, overlaps: Array) -> Array:
        """Sum the cross-entropies with soft labels, weighed by the square of the error, (b, g, n).

        The sum for soft labels of 0 is common to all ground truths; each changes one term of it.
        """
        x, finite = class_columns(logits)
        xp = get_backend(x).xp
        if self.own_class_only:
            own_logits = label_rows(x, labels)
            own = _soft_entropy(own_logits, *_entropy(own_logits), overlaps=overlaps)
            return own + xp.where(finite, xp.zeros_like(overlaps[:, 0, :]), float("inf"))[:, None, :]
        entropy, probability = _entropy(x)
        of_labels = (label_rows(each, labels) for each in (x, entropy, probability))
        own = _soft_entropy(*of_labels, overlaps=overlaps)
        hard = rounded_product(entropy, probability * probability)
        common = xp.where(finite, pairwise_sum(hard), float("inf"))
        return (own - label_rows(hard, labels)) + common[:, None, :]

    def _is_near(self, scene: Scene, centers: Array) -> Array:
        """Tell which points may be less than `FAR` strides beyond the soft radius of any centre, (B, N)."""
        points, stride = scene.priors[..., :2], _stride(scene.priors)
        reach = stride * (float(self.soft_center_radius) + FAR)
        reach = scene.xp.stack([reach, reach], axis=-1)
        return holds_for_any(
            Near(scene.backend, scene.gt_valid, scene.prior_eligible, points, reach, centers)
        )

    def _soft_prior(self, priors: Array, centers: Array) -> Array:
        """Return ten to the power of the distance in strides beyond the soft radius, (...)."""
        backend = get_backend(priors)
        x, y = columns(priors)[:2]
        center_x, center_y = columns(centers)
        dx, dy = x - center_x, y - center_y
        apart = sqrt(rounded_product(dx, dx) + rounded_product(dy, dy))
        exponent = divided(apart, _stride(priors)) - float(self.soft_center_radius)
        return backend.power_of_ten(-at_least(-exponent, -LARGEST_EXPONENT))


def _entropy(logits: Array) -> tuple[Array, Array]:
    """Return the cross-entropy of logits with the label 0, and their probability, (...) each."""
    small = exp(-get_backend(logits).xp.abs(logits))
    return at_least(logits, 0.0) + log1p(small), sigmoid(logits, small)


def _soft_entropy(logits: Array, entropy: Array, probability: Array, *, overlaps: Array) -> Array:
    """Return the cross-entropy with overlaps as labels, weighed by the square of the error, (...)."""
    error = overlaps - probability
    return rounded_product(entropy - rounded_product(logits, overlaps), error * error)


def _stride(priors: Array) -> Array:
    """Return what is a stride for priors (..., 4), (...)."""
    return get_backend(priors).xp.where(priors[..., 2] > 0, priors[..., 2], 1.0)


def centers_of_mass(scene: Scene) -> Array:
    """Return the centres of mass of the masks in pixels, (B, G, 2); 0 where a mask is empty."""
    backend, xp = scene.backend, scene.xp
    masks, dtype = scene.further["gt_masks"], scene.gt_bboxes.dtype
    images, n_gts, height, width = (int(n) for n in masks.shape)
    rows = xp.reshape(masks, (images * n_gts, height, width))
    step = images * n_gts
    if not backend.is_traced(rows):
        step = max(1, min(step, backend.most_pairs(scene.gt_bboxes) // max(1, height * width)))
    device = backend.device_of(scene.gt_bboxes)
    along = [xp.arange(n, dtype=dtype, device=device) for n in (width, height)]
    parts = []
    for start in range(0, images * n_gts, step):
        mass = xp.astype(rows[start : min(start + step, images * n_gts), :, :], dtype)
        moments = [xp.sum(xp.sum(mass, axis=1 + i) * along[i], axis=-1) for i in range(2)]
        total = at_least(xp.sum(xp.sum(mass, axis=-1), axis=-1), EPS)
        parts.append(xp.stack([quotient(moment, total) for moment in moments], axis=-1))
    centers = xp.reshape(xp.concat(parts, axis=0), (images, n_gts, 2))
    return xp.broadcast_to(centers, (scene.shape[0], n_gts, 2))

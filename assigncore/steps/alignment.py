"""How well predictions are aligned with ground truths in class and place, and the best of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from assigncore.backend import Array, get_backend
from assigncore.boxes.calculators import measure_of, zero_when_disjoint
from assigncore.boxes.formulas import enclosing_boxes, inside
from assigncore.inputs import Scene
from assigncore.numerics import power, quotient
from assigncore.pairs.listed import Pairs
from assigncore.pairs.relations import Inside, Relation, Touching
from assigncore.steps.candidates import UNFIT, Candidates, gather_priors, k_best
from assigncore.steps.scores import sum_of_classes

__all__ = ["Alignment", "aligned", "best_aligned"]


@dataclass(frozen=True, eq=False)
class Alignment:
    """What the metric ``score**alpha * overlap**beta`` of a pair is computed from.

    Attributes
    ----------
    scene : Scene
        The inputs.
    eligible : array (B or 1, N) of bool
        Priors that may match.
    centers : array (B or 1, N, 2)
        Centres of the priors, x, y in pixels.
    pred_bboxes : array (B or 1, N, 4 or 5)
        Predictions in pixels.
    pred_scores : array (B or 1, N, C)
        Probabilities.
    regions : array (B, G, 4 or 5)
        Where the centres of a ground truth's priors must lie.
    margin : float, optional
        How far inside, in pixels. Not given: sides belong to a region.
    label : array (B, G) of integers, or (B, G, C) of bool
        Classes of the ground truths, each a column of the scores; or masks of their classes.
    calculator : OverlapCalculator
        Computes the overlaps.
    alpha, beta : float
        Exponents.
    """

    scene: Scene
    eligible: Array
    centers: Array
    pred_bboxes: Array
    pred_scores: Array
    regions: Array
    margin: float | None
    label: Array
    calculator: Callable[..., Any]
    alpha: float
    beta: float

    @property
    def zero_when_disjoint(self) -> bool:
        """Whether the overlap of boxes that share no area is surely 0."""
        return zero_when_disjoint(self.calculator)

    def candidates(self, only_inside: bool) -> Relation:
        """Return what candidates fulfil: their centre is inside, or their prediction may overlap."""
        scene = self.scene
        of_scene = (scene.backend, scene.gt_valid, self.eligible)
        if only_inside:
            return Inside(*of_scene, self.centers, self.regions, margin=self.margin, closed=True)
        if self.zero_when_disjoint and self.beta > 0:
            return Touching(*of_scene, enclosing_boxes(self.pred_bboxes), enclosing_boxes(scene.gt_bboxes))
        return Relation(*of_scene)

    def of_entries(self, prior: Array) -> Alignment:
        """Return the places, without the scores, of some priors (B, E) in place of all."""
        backend = self.scene.backend
        centers, pred_bboxes = (gather_priors(backend, x, prior) for x in (self.centers, self.pred_bboxes))
        return replace(self, centers=centers, pred_bboxes=pred_bboxes)

    def inside(self, pairs: Pairs) -> Array:
        """Tell of which pairs the prior's centre lies inside the ground truth, (b, g, n)."""
        centers, regions = pairs.of_priors(self.centers), pairs.of_gts(self.regions)
        return inside(centers, regions, margin=self.margin, closed=True)

    def overlaps(self, pairs: Pairs) -> Array:
        """Return the overlaps of the predictions with the ground truths, (b, g, n); 0 in place of NaN."""
        measure = measure_of(self.calculator, "iou")
        gt_bboxes, boxes = pairs.of_gts(self.scene.gt_bboxes), pairs.of_priors(self.pred_bboxes)
        overlaps = measure(gt_bboxes, boxes)[..., 0, :]
        if self.zero_when_disjoint:
            return overlaps
        return self.scene.xp.where(overlaps == overlaps, overlaps, 0.0)

    def scores(self, pairs: Pairs) -> Array:
        """Return what predictions say of the ground truths' classes, (b, g, n): of several, the mean."""
        if self.label.ndim == 2:
            return pairs.of_classes(self.pred_scores, self.label)
        total = sum_of_classes(
            lambda each: pairs.of_priors(self.pred_scores[..., each]),
            lambda each: pairs.of_gts(self.label[..., each]),
            int(self.label.shape[-1]),
        )
        xp = self.scene.xp
        count = xp.sum(xp.astype(pairs.of_gts(self.label), total.dtype), axis=-1)
        return quotient(total, xp.where(count > 0, count, 1.0))

    def metrics(self, pairs: Pairs, overlaps: Array) -> Array:
        """Return the metrics of pairs with these overlaps, (b, g, n)."""
        scores = self.scores(pairs)
        return aligned(scores, overlaps, self.alpha, self.beta)


def aligned(scores: Array, overlaps: Array, alpha: float, beta: float) -> Array:
    """Return the metrics ``scores**alpha * overlaps**beta``; NaN for an infinite score and no overlap."""
    with get_backend(scores).unwarned():
        return power(scores, alpha) * power(overlaps, beta)


def best_aligned(alignment: Alignment, k: int, *, only_inside: bool) -> Candidates:
    """Find the priors of the `k` largest metrics for each ground truth; of equal ones, the first.

    Parameters
    ----------
    alignment : Alignment
        The metric.
    k : int
        How many; fewer are found where there are fewer.
    only_inside : bool
        Whether candidates are the priors inside the ground truth, of whatever metric; else all of a positive
        metric.

    Returns
    -------
    Candidates
        The best first, valued by the negated metric.
    """
    xp = alignment.scene.xp

    def values(pairs: Pairs) -> Array:
        metrics = alignment.metrics(pairs, alignment.overlaps(pairs))
        return xp.where(metrics >= 0 if only_inside else metrics > 0, -metrics, UNFIT)

    return k_best(alignment.candidates(only_inside), values, k)

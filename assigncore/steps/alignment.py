"""How well predictions are aligned with ground truths in class and place, and the best of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from assigncore.backend import Array, get_backend
from assigncore.boxes.calculators import measure_of, zero_when_disjoint
from assigncore.boxes.formulas import columns, inside
from assigncore.inputs import Scene
from assigncore.numerics import power
from assigncore.pairs.listed import Pairs, TilePairs
from assigncore.pairs.tiles import TileView, cut_tiles
from assigncore.pairs.touching import touching_pairs
from assigncore.steps.candidates import FAR, Candidates, gather_priors, k_smallest_per_gt

__all__ = ["Alignment", "aligned", "best_aligned"]

NONE = 1.0
"""Stands for no candidate among the negated metrics, which are not positive. Finite, as searches like it."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """What the metric ``score**alpha * overlap**beta`` of a pair is computed from.

    Attributes
    ----------
    scene : Scene
        The inputs.
    counted : array (B or 1, N) of bool
        Priors that may match.
    centers : array (B or 1, N, 2)
        Centres of the priors, x, y in pixels.
    pred_bboxes : array (B or 1, N, 4)
        Predictions in pixels.
    pred_scores : array (B or 1, N, C)
        Probabilities.
    regions : array (B, G, 4)
        Where the centres of a ground truth's priors must lie.
    margin : float
        How far inside, in pixels.
    label : array (B, G) of integers
        Classes of the ground truths, each a column of the scores.
    calculator : OverlapCalculator
        Computes the overlaps.
    alpha, beta : float
        Exponents.
    """

    scene: Scene
    counted: Array
    centers: Array
    pred_bboxes: Array
    pred_scores: Array
    regions: Array
    margin: float
    label: Array
    calculator: Callable[..., Any]
    alpha: float
    beta: float

    @property
    def zero_when_disjoint(self) -> bool:
        """Whether the overlap of boxes that share no area is surely 0."""
        return zero_when_disjoint(self.calculator)

    def of_entries(self, prior: Array) -> Alignment:
        """Return the places, without the scores, of some priors (B, E) in place of all."""
        backend = self.scene.backend
        centers, pred_bboxes = (gather_priors(backend, x, prior) for x in (self.centers, self.pred_bboxes))
        return replace(self, centers=centers, pred_bboxes=pred_bboxes)

    def inside(self, pairs: Pairs) -> Array:
        """Tell of which pairs the prior's centre lies inside the ground truth, (b, g, n)."""
        return inside(pairs.of_priors(self.centers), pairs.of_gts(self.regions), margin=float(self.margin))

    def overlaps(self, pairs: Pairs) -> Array:
        """Return the overlaps of the predictions with the ground truths, (b, g, n); 0 in place of NaN."""
        measure = measure_of(self.calculator, "iou")
        gt_bboxes, boxes = pairs.of_gts(self.scene.gt_bboxes), pairs.of_priors(self.pred_bboxes)
        overlaps = measure(gt_bboxes, boxes)[..., 0, :]
        if self.zero_when_disjoint:
            return overlaps
        return self.scene.xp.where(overlaps == overlaps, overlaps, 0.0)

    def metrics(self, pairs: Pairs, overlaps: Array) -> Array:
        """Return the metrics of pairs with these overlaps, (b, g, n)."""
        scores = pairs.of_classes(self.pred_scores, self.label)
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
    scene, xp = alignment.scene, alignment.scene.xp
    boxes = _as_boxes(xp, alignment.centers) if only_inside else alignment.pred_bboxes
    sparse = only_inside or (alignment.zero_when_disjoint and alignment.beta > 0)
    arrays = (scene.gt_bboxes, boxes, alignment.pred_scores)
    k = min(k, scene.shape[1])

    def values(pairs: Pairs, possible: Array) -> Array:
        metrics = alignment.metrics(pairs, alignment.overlaps(pairs))
        chosen = alignment.inside(pairs) & (metrics >= 0) if only_inside else metrics > 0
        return xp.where(chosen & possible, -metrics, NONE)

    def in_tile(view: TileView) -> Array:
        possible = view.of_priors(alignment.counted)[:, None, :] & view.of_gts(scene.gt_valid)[:, :, None]
        return values(TilePairs(view), possible)

    if sparse and all(map(scene.backend.reads_host, arrays)):
        regions = alignment.regions if only_inside else scene.gt_bboxes
        best = _best_listed(alignment, boxes, regions, k, values)
    else:
        tiles = cut_tiles(scene.backend, arrays, *scene.shape)
        best = k_smallest_per_gt(scene.backend, tiles, scene.gt_bboxes, k, in_tile)
    return Candidates(best.index, xp.where(best.value > 0, FAR, best.value))


def _as_boxes(xp: Any, points: Array) -> Array:
    x, y = columns(points)
    return xp.moveaxis(xp.stack([x, y, x, y], axis=0), 0, -1)


def _best_listed(
    alignment: Alignment,
    boxes: Array,
    regions: Array,
    k: int,
    values: Callable[[Pairs, Array], Array],
) -> Candidates:
    """Find the best among the priors whose `boxes` touch the `regions` (B, G, 4) of the ground truths."""
    scene = alignment.scene
    backend, xp, (images, _, n_gts) = scene.backend, scene.xp, scene.shape
    groups, order = touching_pairs(backend, boxes, alignment.counted, regions, scene.gt_valid)
    indices, best = [], []
    for pairs, listed in groups:
        value, place = backend.k_smallest(values(pairs, listed), min(k, int(listed.shape[-1])))
        index = xp.take_along_axis(pairs.index, place, axis=-1)
        short = k - int(value.shape[-1])
        if short:
            filler = xp.zeros((*value.shape[:-1], short), dtype=index.dtype, device=backend.device_of(index))
            index = xp.concat([index, filler], axis=-1)
            value = xp.concat([value, xp.full_like(filler, NONE, dtype=value.dtype)], axis=-1)
        indices.append(index[0, ...])
        best.append(value[0, ...])
    joined = (xp.take(xp.concat(x, axis=0), order, axis=0) for x in (indices, best))
    index, value = (xp.reshape(x, (images, n_gts, k)) for x in joined)
    return Candidates(index, value)

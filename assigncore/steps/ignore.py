"""Ignore regions: crowds and other places where an unmatched prior is no evidence of background."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from assigncore.backend import Array, get_backend
from assigncore.boxes.calculators import measure_of, zero_when_disjoint
from assigncore.boxes.formulas import ORIENTED, BoxOverlap, drop_nonfinite
from assigncore.boxes.oriented import RotatedOverlap
from assigncore.inputs import MatchScene, Scene
from assigncore.steps.overlaps import PairwiseOverlaps, best_of_priors

__all__ = ["in_ignore_region", "spared_negatives", "spared_predictions"]


def in_ignore_region(scene: Scene, calculator: Any, iof_thr: float, *, wrt_candidates: bool = True) -> Array:
    """Tell which priors lie in an ignore region.

    Parameters
    ----------
    scene : Scene
        The inputs.
    calculator : OverlapCalculator
        Computes the intersection over foreground.
    iof_thr : float
        A prior is inside where the greatest intersection over foreground exceeds this. Not positive: none is.
    wrt_candidates : bool, default True
        Whether the foreground is the prior, else the ignore region.

    Returns
    -------
    array (B or 1, N) of bool
        Only priors that take part and are finite.
    """
    if iof_thr <= 0 or scene.is_empty:
        return scene.xp.zeros_like(scene.prior_eligible)
    measure = measure_of(calculator, "iof", of_prior=wrt_candidates)
    disjoint = zero_when_disjoint(calculator)
    return _covered(scene, scene.priors, scene.prior_eligible, measure, iof_thr, zero_when_disjoint=disjoint)


def spared_negatives(scene: Scene, gt_inds: Array, iof_thr: float, *, of_cells: bool = False) -> Array | None:
    """Tell which priors are ignored in place of being background, since they lie in an ignore region.

    Positive priors stay what they are. Unlike with :class:`assigncore.MaxIoUAssigner` they may lie there, and
    an image without ground truths has its ignored priors too.

    Parameters
    ----------
    scene : Scene
        The inputs.
    gt_inds : array (B, N) of integers
        What is decided of the priors.
    iof_thr : float
        A prior is inside where a region covers more than this fraction of it. Not positive: none is.
    of_cells : bool, default False
        Whether priors are points with strides, of which the cells count, else boxes.

    Returns
    -------
    array (B, N) of bool or None
        None where nothing is ignored: there are no regions, or they have no effect.
    """
    if iof_thr <= 0 or scene.ignore_bboxes is None:
        return None
    form = int(scene.ignore_bboxes.shape[-1])
    boxes = _cells(scene.priors, form) if of_cells else scene.priors
    covered = _covered(scene, boxes, scene.prior_eligible, _cover(scene.ignore_bboxes), iof_thr)
    return covered & (gt_inds <= 0)


def spared_predictions(scene: MatchScene, matched: Array, iof_thr: float) -> Array | None:
    """Tell which predictions without a match are ignored, since their boxes lie in an ignore region.

    Parameters
    ----------
    scene : MatchScene
        The inputs.
    matched : array (B, N) of integers
        Ground truth of each prediction from 0, -1 where it has none.
    iof_thr : float
        A prediction is inside where a region covers more than this fraction of it. Not positive: none is.

    Returns
    -------
    array (B, N) of bool or None
        None where nothing is ignored.
    """
    if iof_thr <= 0 or scene.ignore_bboxes is None:
        return None
    boxes, finite = drop_nonfinite(scene.arrays["pred_bboxes"])
    finite = finite & scene.prior_valid
    return _covered(scene, boxes, finite, _cover(scene.ignore_bboxes), iof_thr) & (matched < 0)


def _cover(regions: Array) -> BoxOverlap | RotatedOverlap:
    """Return the formula of how much of each box regions of their form cover."""
    oriented = int(regions.shape[-1]) == ORIENTED
    return RotatedOverlap("iof", of_prior=True) if oriented else BoxOverlap("iof", of_prior=True)


def _cells(points: Array, columns: int) -> Array:
    """Return the cells of points x, y and their strides, (..., N, 3) or (..., N, 4), as boxes of a form."""
    xp = get_backend(points, "priors").xp
    centers, strides = points[..., :2], points[..., 2:]
    strides = xp.concat([strides, strides], axis=-1) if int(strides.shape[-1]) == 1 else strides
    if columns == ORIENTED:
        return xp.concat([centers, strides, xp.zeros_like(strides[..., :1])], axis=-1)
    half = strides * 0.5
    return xp.concat([centers - half, centers + half], axis=-1)


def _covered(
    scene: Scene | MatchScene,
    boxes: Array,
    eligible: Array,
    measure: Callable[[Array, Array], Array],
    iof_thr: float,
    *,
    zero_when_disjoint: bool = True,
) -> Array:
    """Tell which boxes (B or 1, N, D) that count lie in a region, (B or 1, N)."""
    regions, n_boxes = scene.ignore_bboxes, int(boxes.shape[-2])
    if regions is None or scene.ignore_valid is None or 0 in (*regions.shape[:2], n_boxes):
        return scene.xp.zeros_like(eligible)
    best = best_of_priors(
        PairwiseOverlaps(
            backend=scene.backend,
            measure=measure,
            zero_when_disjoint=zero_when_disjoint,
            priors=boxes,
            gt_bboxes=regions,
            eligible=eligible,
            gt_valid=scene.ignore_valid,
        )
    )
    return eligible & (best > float(iof_thr))

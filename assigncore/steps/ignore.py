"""Ignore regions: crowds and other places where an unmatched prior is no evidence of background."""

from __future__ import annotations

from typing import Any

from assigncore.backend import Array
from assigncore.boxes.calculators import measure_of, zero_when_disjoint
from assigncore.inputs import Scene
from assigncore.steps.overlaps import PairwiseOverlaps, best_of_priors

__all__ = ["in_ignore_region"]


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
        Only priors that take part and are not broken.
    """
    xp = scene.xp
    regions = scene.ignore_bboxes
    if regions is None or regions.shape[-2] == 0 or iof_thr <= 0 or scene.is_empty:
        return xp.zeros_like(scene.prior_whole)
    best = best_of_priors(
        PairwiseOverlaps(
            backend=scene.backend,
            measure=measure_of(calculator, "iof", of_prior=wrt_candidates),
            zero_when_disjoint=zero_when_disjoint(calculator),
            priors=scene.priors,
            gt_bboxes=regions,
            counted=scene.prior_whole,
            gt_valid=scene.ignore_valid,
        )
    )
    return scene.prior_whole & (best > float(iof_thr))

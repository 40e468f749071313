"""The steps that assigners by overlap thresholds share."""

from __future__ import annotations

from typing import Any

from assigncore.backend import Array
from assigncore.best_overlaps import BestOverlaps, PairwiseOverlaps
from assigncore.checks import check_knob
from assigncore.overlaps import measure_of, zero_when_disjoint
from assigncore.scene import Scene

__all__ = ["check_thresholds", "low_quality_gt", "overlaps_with_gts"]


def check_thresholds(pos_iou_thr: Any, neg_iou_thr: Any, min_pos_iou: Any) -> None:
    """Check the thresholds of an assigner.

    Raises
    ------
    TypeError
        If one is no number, or `neg_iou_thr` is neither a number nor a pair of numbers.
    ValueError
        If one is not finite, or the pair is not in ascending order.
    """
    check_knob("pos_iou_thr", pos_iou_thr)
    check_knob("min_pos_iou", min_pos_iou)
    if not isinstance(neg_iou_thr, tuple):
        check_knob("neg_iou_thr", neg_iou_thr)
        return
    if len(neg_iou_thr) != 2:
        raise ValueError(f"neg_iou_thr: expected a number or a pair of numbers, got {neg_iou_thr!r}")
    for bound in neg_iou_thr:
        check_knob("neg_iou_thr", bound)
    if neg_iou_thr[0] > neg_iou_thr[1]:
        raise ValueError(f"neg_iou_thr: expected the lower bound first, got {neg_iou_thr!r}")


def overlaps_with_gts(
    scene: Scene, calculator: Any, boxes: Array, counted: Array, alternatives: Array | None = None
) -> PairwiseOverlaps:
    """Pair the valid ground truths of a scene with `boxes` of its priors, where they count."""
    return PairwiseOverlaps(
        backend=scene.backend,
        measure=measure_of(calculator, "iou"),
        zero_when_disjoint=zero_when_disjoint(calculator),
        priors=boxes,
        gt_bboxes=scene.gt_bboxes,
        counted=counted,
        gt_valid=scene.gt_valid,
        alternatives=alternatives,
    )


def low_quality_gt(scene: Scene, best: BestOverlaps, eligible: Array, *, assign_all: bool) -> Array:
    """Let each eligible ground truth take the prior it overlaps most; the later ground truth wins a prior.

    Parameters
    ----------
    scene : Scene
        The inputs.
    best : BestOverlaps
        The extremes of the overlaps.
    eligible : array (B, G) of bool
        Ground truths whose best overlap is good enough.
    assign_all : bool
        Whether a ground truth takes every prior that attains its best overlap, else the first of them.

    Returns
    -------
    array (B, N) of integers
        Index + 1 of the ground truth that takes the prior, 0 where none does.
    """
    if assign_all:
        return best.last_gt_at_its_best(eligible)
    xp, backend = scene.xp, scene.backend
    n_gts = eligible.shape[-1]
    places = xp.arange(1, n_gts + 1, dtype=best.prior_of_gt.dtype, device=backend.device_of(eligible))
    return backend.scatter_max(best.prior_of_gt, xp.where(eligible, places, 0), scene.shape[1])

"""Assignment by the best overlap and two thresholds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from assigncore.backend import Array
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.calculators import BboxOverlaps2D, box_columns
from assigncore.checks import check_knob
from assigncore.inputs import Scene, read_scene
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.ignore import in_ignore_region
from assigncore.steps.min_positives import add_by_overlap, with_added
from assigncore.steps.overlaps import (
    BestOverlaps,
    best_overlaps,
    check_thresholds,
    low_quality_gt,
    name_best,
    name_codes,
    name_low_quality,
    overlaps_with_gts,
)

__all__ = ["MaxIoUAssigner"]


@ASSIGNERS.register
@dataclass(frozen=True)
class MaxIoUAssigner(Configured):
    """Decide by each prior's best overlap: positive above one threshold, background below another.

    The rule of Faster R-CNN, RetinaNet, SSD-like and most other detectors with anchors.

    Parameters
    ----------
    pos_iou_thr : float
        A prior whose best overlap is at least this is assigned to the ground truth that has it. As published
        any number will do: above 1 none is, and at 0 or below all are.
    neg_iou_thr : float or pair of floats
        A prior whose best overlap is from 0 to below this is background; below 0, none is. For a pair: from
        its first to below its second value.
    min_pos_iou : float, default 0.0
        Least overlap by which a ground truth may take its best prior (see `match_low_quality`). With 0, a
        ground truth that overlaps nothing takes every prior that does not overlap it, as published.
    gt_max_assign_all : bool, default True
        Whether a ground truth takes every prior that attains its best overlap, else the first of them.
    ignore_iof_thr : float, default -1
        A prior is ignored where an ignore region covers more than this fraction of it. Not positive: ignore
        regions have no effect.
    ignore_wrt_candidates : bool, default True
        Whether the fraction is of the prior, else of the ignore region.
    match_low_quality : bool, default True
        Whether each ground truth takes the priors of its best overlap, even below `pos_iou_thr`.
    iou_calculator : callable or config mapping, optional
        Computes the overlaps; default :class:`assigncore.BboxOverlaps2D`. See
        :class:`assigncore.boxes.calculators.OverlapCalculator`; one of your own may take boxes of any form.
    min_positives : int, default 0
        Positives that each ground truth has at least, where it can: one that has fewer by the method gets the
        free priors that it overlaps most. Ours, in no paper: see
        :func:`assigncore.steps.min_positives.add_positives`.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    References
    ----------
    Ren et al., "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks", 2015.
    Lin et al., "Focal Loss for Dense Object Detection", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> assigner = MaxIoUAssigner(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3)
    >>> priors = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 60, 60]], dtype=np.float32)
    >>> result = assigner.assign(priors, np.array([[0, 0, 10, 9]], dtype=np.float32))
    >>> result.gt_inds
    array([ 1, -1,  0])
    """

    decides_by_classes = False

    pos_iou_thr: float
    neg_iou_thr: float | tuple[float, float]
    min_pos_iou: float = 0.0
    gt_max_assign_all: bool = True
    ignore_iof_thr: float = -1
    ignore_wrt_candidates: bool = True
    match_low_quality: bool = True
    iou_calculator: Callable[..., Any] | Mapping[str, Any] = field(default_factory=BboxOverlaps2D)
    min_positives: int = 0

    def _check_knobs(self) -> None:
        check_thresholds(self.pos_iou_thr, self.neg_iou_thr, self.min_pos_iou)
        check_knob("ignore_iof_thr", self.ignore_iof_thr)

    @numpy_fast_path
    def assign(
        self,
        priors: Array,
        gt_bboxes: Array,
        *,
        gt_labels: Array | None = None,
        gt_valid: Array | None = None,
        prior_valid: Array | None = None,
        ignore_bboxes: Array | None = None,
        ignore_valid: Array | None = None,
    ) -> AssignResult:
        """Assign priors to ground truths; leading dimensions are a batch and broadcast.

        Parameters
        ----------
        priors : array (..., N, 4)
            Boxes x1, y1, x2, y2 in pixels, of a real floating dtype.
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels.
        gt_labels : array (..., G) of integers, optional
            Classes; without them the result has no labels.
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
            `max_overlaps` is each prior's best overlap with any ground truth, -1 where it is ignored for a
            region or takes no part. A prior taken for low quality keeps its best overlap, which may be with
            another ground truth.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than `priors`.
        ValueError
            If shapes do not fit or inputs are on different devices.

        Notes
        -----
        A prior that overlaps several ground truths equally goes to the first; a prior that several ground
        truths take for low quality goes to the last. An image without ground truths is all background, even
        in ignore regions.
        """
        scene = read_scene(
            priors,
            gt_bboxes,
            gt_labels=gt_labels,
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            ignore_bboxes=ignore_bboxes,
            ignore_valid=ignore_valid,
            columns=box_columns(self.iou_calculator),
        )
        return self._assign(scene, scene.priors, scene.prior_eligible)

    def _assign(
        self, scene: Scene, boxes: Array, eligible: Array, alternatives: Array | None = None
    ) -> AssignResult:
        """Assign by the overlaps of `boxes` (B or 1, N, 4) where priors are `eligible` (B or 1, N).

        Or by those of `boxes` (B or 1, A, N, 4), where `alternatives` (B or 1, A, N) are eligible.
        """
        if scene.is_empty:
            return scene.empty_result(excluded_overlap=-1.0)
        overwrite = scene.backend.overwrite
        ignored = self._ignored(scene)
        eligible = eligible & ~ignored
        overlaps = overlaps_with_gts(scene, self.iou_calculator, boxes, eligible, alternatives)
        best = best_overlaps(overlaps)
        max_overlaps = scene.backend.keep(eligible, best.of_prior, 0.0)
        max_overlaps = scene.backend.keep(scene.prior_valid & ~ignored, max_overlaps, -1.0)
        gt_inds = scene.codes(self._is_background(max_overlaps))
        positive = eligible & (max_overlaps >= float(self.pos_iou_thr))
        name_codes(gt_inds, ignored, max_overlaps)
        name_best(best, "overlap at least pos_iou_thr", positive, float(self.pos_iou_thr))
        gt_inds = overwrite(gt_inds, positive, best.gt_inds)
        if self.match_low_quality:
            taken = self._low_quality(scene, best)
            gt_inds = overwrite(gt_inds, taken > 0, taken)
        added = add_by_overlap(overlaps, gt_inds, self.min_positives)
        gt_inds = with_added(gt_inds, added)
        return scene.result(gt_inds, max_overlaps)

    def _ignored(self, scene: Scene) -> Array:
        return in_ignore_region(
            scene, self.iou_calculator, self.ignore_iof_thr, wrt_candidates=self.ignore_wrt_candidates
        )

    def _is_background(self, max_overlaps: Array) -> Array:
        if isinstance(self.neg_iou_thr, tuple):
            low, high = map(float, self.neg_iou_thr)
            return (max_overlaps >= low) & (max_overlaps < high)
        return (max_overlaps >= 0) & (max_overlaps < float(self.neg_iou_thr))

    def _low_quality(self, scene: Scene, best: BestOverlaps) -> Array:
        """Return index + 1 of the ground truth that takes each prior for its best overlap, else 0."""
        gt_eligible = scene.gt_valid & (best.of_gt >= float(self.min_pos_iou))
        limit, assign_all = float(self.min_pos_iou), self.gt_max_assign_all
        name_low_quality(scene, best, "at least min_pos_iou", gt_eligible, limit, assign_all=assign_all)
        return low_quality_gt(scene, best, gt_eligible, assign_all=assign_all)

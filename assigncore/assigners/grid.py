"""Assignment of the priors in the grid cells that hold the objects' centres."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from assigncore.backend import Array
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.calculators import BboxOverlaps2D, box_columns
from assigncore.inputs import InputSpec, read_scene
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.min_positives import add_by_overlap, with_added
from assigncore.steps.overlaps import (
    best_of_priors,
    best_overlaps,
    check_thresholds,
    low_quality_gt,
    name_best,
    name_codes,
    name_low_quality,
    overlaps_with_gts,
)

__all__ = ["GridAssigner"]


@ASSIGNERS.register
@dataclass(frozen=True)
class GridAssigner(Configured):
    """Decide by overlap thresholds, but let only the priors of responsible grid cells be positive.

    The rule of YOLOv3: a cell of the feature map is responsible for the objects whose centres lie in it.

    Parameters
    ----------
    pos_iou_thr : float
        A responsible prior whose best overlap is greater than this is assigned to the ground truth that has
        it.
    neg_iou_thr : float or pair of floats
        A prior whose best overlap is from 0 to this, inclusive, is background; below 0, none is. For a pair:
        above its first value, up to its second.
    min_pos_iou : float, default 0.0
        A ground truth takes its best responsible prior where their overlap is greater than this.
    gt_max_assign_all : bool, default True
        Whether a ground truth takes every responsible prior that attains its best overlap, else the first.
    iou_calculator : callable or config mapping, optional
        Computes the overlaps; default :class:`assigncore.BboxOverlaps2D`.
    min_positives : int, default 0
        Positives that each ground truth has at least, where it can: one that has fewer by the method gets the
        free priors of responsible cells that it overlaps most. Ours, in no paper: see
        :func:`assigncore.steps.min_positives.add_positives`.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    References
    ----------
    Redmon and Farhadi, "YOLOv3: An Incremental Improvement", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> priors = np.array([[0, 0, 8, 8], [0, 0, 6, 6], [8, 0, 16, 8]], dtype=np.float32)
    >>> flags = np.array([True, True, False])
    >>> assigner = GridAssigner(pos_iou_thr=0.5, neg_iou_thr=0.5)
    >>> assigner.assign(priors, np.array([[0, 0, 7, 7]], dtype=np.float32), responsible_flags=flags).gt_inds
    array([1, 1, 0])
    """

    decides_by_classes = False

    pos_iou_thr: float
    neg_iou_thr: float | tuple[float, float]
    min_pos_iou: float = 0.0
    gt_max_assign_all: bool = True
    iou_calculator: Callable[..., Any] | Mapping[str, Any] = field(default_factory=BboxOverlaps2D)
    min_positives: int = 0

    def _check_knobs(self) -> None:
        check_thresholds(self.pos_iou_thr, self.neg_iou_thr, self.min_pos_iou)

    @numpy_fast_path
    def assign(
        self,
        priors: Array,
        gt_bboxes: Array,
        *,
        responsible_flags: Array,
        gt_labels: Array | None = None,
        gt_valid: Array | None = None,
        prior_valid: Array | None = None,
    ) -> AssignResult:
        """Assign priors to ground truths; leading dimensions are a batch and broadcast.

        Parameters
        ----------
        priors : array (..., N, 4)
            Boxes x1, y1, x2, y2 in pixels, of a real floating dtype.
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels.
        responsible_flags : array (..., N) of bool
            True where a prior belongs to a cell that holds a ground truth's centre.
        gt_labels : array (..., G) of integers, optional
            Classes; without them the result has no labels.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        prior_valid : array (..., N) of bool, optional
            False where a prior takes no part: it is ignored. Not given: all true.

        Returns
        -------
        AssignResult
            `max_overlaps` is the best overlap of a responsible prior with any ground truth, -1 for every
            other prior, background ones too.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than `priors`.
        ValueError
            If shapes do not fit or inputs are on different devices.

        Notes
        -----
        A prior that overlaps several ground truths equally goes to the first; a prior that is the best of
        several ground truths goes to the last. The method has no ignore regions.
        """
        scene = read_scene(
            priors,
            gt_bboxes,
            gt_labels=gt_labels,
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            further={"responsible_flags": InputSpec(responsible_flags, ("N",), "bool", required=True)},
            columns=box_columns(self.iou_calculator),
        )
        if scene.is_empty:
            return scene.empty_result(excluded_overlap=-1.0)
        keep, eligible = scene.backend.keep, scene.prior_eligible
        of_any = best_of_priors(overlaps_with_gts(scene, self.iou_calculator, scene.priors, eligible))
        background = scene.prior_valid & self._is_background(keep(eligible, of_any, 0.0))
        responsible = eligible & scene.further["responsible_flags"]
        overlaps = overlaps_with_gts(scene, self.iou_calculator, scene.priors, responsible)
        best = best_overlaps(overlaps)
        max_overlaps = keep(responsible, best.of_prior, -1.0)
        positive = responsible & (max_overlaps > float(self.pos_iou_thr))
        gt_inds = scene.codes(background)
        name_codes(gt_inds, None, of_any)
        name_best(best, "overlap above pos_iou_thr", positive, float(self.pos_iou_thr))
        gt_inds = scene.backend.overwrite(gt_inds, positive, best.gt_inds)
        gt_eligible = scene.gt_valid & (best.of_gt > float(self.min_pos_iou))
        limit, assign_all = float(self.min_pos_iou), self.gt_max_assign_all
        name_low_quality(scene, best, "above min_pos_iou", gt_eligible, limit, assign_all=assign_all)
        taken = low_quality_gt(scene, best, gt_eligible, assign_all=assign_all)
        gt_inds = scene.backend.overwrite(gt_inds, taken > 0, taken)
        added = add_by_overlap(overlaps, gt_inds, self.min_positives)
        return scene.result(with_added(gt_inds, added), max_overlaps)

    def _is_background(self, max_overlaps: Array) -> Array:
        if isinstance(self.neg_iou_thr, tuple):
            low, high = map(float, self.neg_iou_thr)
            return (max_overlaps > low) & (max_overlaps <= high)
        return (max_overlaps >= 0) & (max_overlaps <= float(self.neg_iou_thr))

"""Assignment of each ground truth's best prior, and then of every prior above one threshold."""

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
from assigncore.steps.min_positives import add_by_overlap, with_added
from assigncore.steps.overlaps import (
    PairwiseOverlaps,
    best_overlaps,
    low_quality_gt,
    name_best,
    name_low_quality,
    overlaps_with_gts,
    read_overlaps,
)

__all__ = ["SSDMatcher"]


@ASSIGNERS.register
@dataclass(frozen=True)
class SSDMatcher(Configured):
    """Let each ground truth take its best prior, then assign all other priors by one threshold.

    The rule of SSD. No prior is ignored: what neither step assigns is background.

    Parameters
    ----------
    threshold : float, default 0.5
        A prior that no ground truth takes is assigned to the one it overlaps most, where that overlap is at
        least this.
    iou_calculator : callable or config mapping, optional
        Computes the overlaps; default :class:`assigncore.BboxOverlaps2D`.
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
    Liu et al., "SSD: Single Shot MultiBox Detector", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> priors = np.array([[0, 0, 10, 9], [0, 0, 10, 5], [20, 0, 30, 10]], dtype=np.float32)
    >>> gt_bboxes = np.array([[0, 0, 10, 10], [28, 8, 38, 18]], dtype=np.float32)
    >>> SSDMatcher(threshold=0.6).assign(priors, gt_bboxes).gt_inds
    array([1, 0, 2])
    """

    decides_by_classes = False

    threshold: float = 0.5
    iou_calculator: Callable[..., Any] | Mapping[str, Any] = field(default_factory=BboxOverlaps2D)
    min_positives: int = 0

    def _check_knobs(self) -> None:
        check_knob("threshold", self.threshold)
        object.__setattr__(self, "threshold", float(self.threshold))

    @numpy_fast_path
    def assign(
        self,
        priors: Array,
        gt_bboxes: Array,
        *,
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
        gt_labels : array (..., G) of integers, optional
            Classes; without them the result has no labels.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        prior_valid : array (..., N) of bool, optional
            False where a prior takes no part: it is ignored. Not given: all true.

        Returns
        -------
        AssignResult
            `max_overlaps` is each prior's best overlap with any ground truth, -1 where it takes no part. A
            prior that a ground truth takes keeps its best overlap, which may be with another one.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than `priors`.
        ValueError
            If shapes do not fit or inputs are on different devices.

        Notes
        -----
        A ground truth takes a single prior, the first of those it overlaps equally; one that overlaps
        nothing takes the first prior there is, as torchvision publishes the rule. A prior that several
        ground truths take goes to the last of them, and the others may end without a prior; torchvision
        leaves open which one wins. A prior that overlaps several ground truths equally goes to the first.
        An image without ground truths is all background. The method has no ignore regions.
        """
        scene = read_scene(
            priors,
            gt_bboxes,
            gt_labels=gt_labels,
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            columns=box_columns(self.iou_calculator),
        )
        pairs = overlaps_with_gts(scene, self.iou_calculator, scene.priors, scene.prior_eligible)
        return self._decide(scene, pairs)

    def match(
        self,
        overlaps: Array,
        *,
        gt_labels: Array | None = None,
        gt_valid: Array | None = None,
        prior_valid: Array | None = None,
    ) -> AssignResult:
        """Assign by overlaps that are given; otherwise as :meth:`assign`, and `iou_calculator` is not used.

        Parameters
        ----------
        overlaps : array (..., G, N)
            Of ground truths with priors. What is not finite counts as 0.
        gt_labels, gt_valid, prior_valid : array (..., G), (..., G) and (..., N), optional
            As of :meth:`assign`.

        Examples
        --------
        >>> import numpy as np
        >>> SSDMatcher(threshold=0.6).match(np.array([[0.9, 0.5, 0.0], [0.0, 0.0, 0.1]])).gt_inds
        array([1, 0, 2])
        """
        return self._decide(
            *read_overlaps(overlaps, gt_labels=gt_labels, gt_valid=gt_valid, prior_valid=prior_valid)
        )

    def _decide(self, scene: Scene, pairs: PairwiseOverlaps) -> AssignResult:
        if scene.is_empty:
            return scene.empty_result(excluded_overlap=-1.0)
        xp, eligible = scene.xp, scene.prior_eligible
        best = best_overlaps(pairs)
        above = eligible & (best.of_prior >= self.threshold)
        name_best(best, "overlap at least threshold", above, float(self.threshold))
        gt_eligible = scene.gt_valid & xp.any(eligible, axis=-1)[:, None]
        name_low_quality(scene, best, "any", gt_eligible, float("nan"), assign_all=False)
        taken = low_quality_gt(scene, best, gt_eligible, assign_all=False)
        gt_inds = xp.where(above, best.gt_of_prior + 1, scene.full(0, integers=True))
        gt_inds = xp.where(taken > 0, taken, gt_inds)
        added = add_by_overlap(pairs, gt_inds, self.min_positives)
        gt_inds = with_added(gt_inds, added)
        max_overlaps = xp.where(eligible, best.of_prior, 0.0)
        return scene.result(gt_inds, xp.where(scene.prior_valid, max_overlaps, -1.0))

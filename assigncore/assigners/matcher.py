"""Assignment by the intervals that each prior's best overlap may fall into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from assigncore.backend import Array, get_backend
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.calculators import BboxOverlaps2D, box_columns
from assigncore.checks import check_knob
from assigncore.inputs import Scene, read_scene
from assigncore.inspect.trace import is_recording, mark
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult, check_result
from assigncore.steps.min_positives import add_by_overlap, with_added
from assigncore.steps.overlaps import (
    PairwiseOverlaps,
    best_overlaps,
    low_quality_gt,
    name_best,
    overlaps_with_gts,
    read_overlaps,
)

__all__ = ["Matcher", "to_detectron2", "to_torchvision"]


@ASSIGNERS.register
@dataclass(frozen=True)
class Matcher(Configured):
    """Decide by the interval each prior's best overlap falls into: ignored, background or positive.

    The rule of the matchers of torchvision and detectron2. It differs from :class:`MaxIoUAssigner` where
    `allow_low_quality_matches` is set: a prior is then positive for being the best of some ground truth, but
    learns from the one it overlaps most itself.

    Parameters
    ----------
    thresholds : sequence of float
        Ends of the intervals, ascending. A prior whose best overlap is exactly a threshold is in the upper
        interval.
    labels : sequence of int
        What a prior in each interval is, one more than there are thresholds: -1 ignored, 0 background, 1
        positive, that is assigned to the ground truth it overlaps most.
    allow_low_quality_matches : bool, default False
        Whether every prior that attains the best overlap of a ground truth is positive, however small that
        overlap. A ground truth that overlaps nothing thereby makes every prior positive, as published.
    iou_calculator : callable or config mapping, optional
        Computes the overlaps; default :class:`assigncore.BboxOverlaps2D`.
    min_positives : int, default 0
        Positives that each ground truth has at least, where it can: one that has fewer by the method gets the
        free priors that it overlaps most. Ours, in no paper: see
        :func:`assigncore.steps.min_positives.add_positives`.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range, or the numbers of thresholds and labels do not fit.

    See Also
    --------
    Matcher.from_torchvision : Build from the two thresholds of torchvision's matcher.
    to_torchvision, to_detectron2 : Convert a result to what these libraries' matchers return.

    References
    ----------
    Ren et al., "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks", 2015.
    Lin et al., "Focal Loss for Dense Object Detection", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> matcher = Matcher(thresholds=(0.3, 0.7), labels=(0, -1, 1))
    >>> priors = np.array([[0, 0, 10, 9], [0, 0, 10, 5], [0, 0, 10, 1]], dtype=np.float32)
    >>> matcher.assign(priors, np.array([[0, 0, 10, 10]], dtype=np.float32)).gt_inds
    array([ 1, -1,  0])
    """

    decides_by_classes = False

    thresholds: tuple[float, ...]
    labels: tuple[int, ...]
    allow_low_quality_matches: bool = False
    iou_calculator: Callable[..., Any] | Mapping[str, Any] = field(default_factory=BboxOverlaps2D)
    min_positives: int = 0

    def _check_knobs(self) -> None:
        _check_intervals(self.thresholds, self.labels)
        object.__setattr__(self, "thresholds", tuple(float(threshold) for threshold in self.thresholds))

    @classmethod
    def from_torchvision(
        cls, high_threshold: float, low_threshold: float, allow_low_quality_matches: bool = False
    ) -> Matcher:
        """Build from the arguments of torchvision's matcher, in their order.

        Parameters
        ----------
        high_threshold : float
            A prior whose best overlap is at least this is positive.
        low_threshold : float
            A prior whose best overlap is below this is background; between the two it is ignored.
        allow_low_quality_matches : bool, default False
            As in :class:`Matcher`.

        Raises
        ------
        TypeError, ValueError
            If a threshold is no finite number, or the low one is above the high one.

        Examples
        --------
        >>> Matcher.from_torchvision(0.7, 0.3) == Matcher((0.3, 0.7), (0, -1, 1))
        True
        """
        check_knob("high_threshold", high_threshold)
        check_knob("low_threshold", low_threshold)
        if low_threshold > high_threshold:
            raise ValueError(
                f"low_threshold: expected at most high_threshold, {high_threshold!r}, got {low_threshold!r}"
            )
        return cls((low_threshold, high_threshold), (0, -1, 1), allow_low_quality_matches)

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
            `max_overlaps` is each prior's best overlap with any ground truth, -1 where it takes no part. The
            extra ``best_gt`` (..., N) is the ground truth from 0 that each prior overlaps most, whatever the
            prior's code; where it overlaps none, the first valid one, or 0.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than `priors`.
        ValueError
            If shapes do not fit or inputs are on different devices.

        Notes
        -----
        A prior that overlaps several ground truths equally goes to the first. With low-quality matches a
        ground truth may still end without a prior: all that attain its best overlap may overlap another
        one more, and go there. An image without ground truths is all background, whatever `labels`;
        torchvision raises there, and detectron2 gives every prior the first of `labels`. A non-finite prior
        overlaps nothing and is never positive: it is ignored where `labels` make an overlap of 0 positive.
        The method has no ignore regions.
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
        >>> overlaps = np.array([[0.9, 0.5, 0.1], [0.0, 0.6, 0.2]])
        >>> Matcher(thresholds=(0.3, 0.55), labels=(0, -1, 1)).match(overlaps).gt_inds
        array([1, 2, 0])
        """
        return self._decide(
            *read_overlaps(overlaps, gt_labels=gt_labels, gt_valid=gt_valid, prior_valid=prior_valid)
        )

    def _decide(self, scene: Scene, pairs: PairwiseOverlaps) -> AssignResult:
        if scene.is_empty:
            plain = scene.empty_result(excluded_overlap=-1.0)
            return replace(plain, extras={"best_gt": scene.restore(scene.full(0, integers=True))})
        xp, eligible = scene.xp, scene.prior_eligible
        best = best_overlaps(pairs)
        max_overlaps = xp.where(eligible, best.of_prior, 0.0)
        label = self._label_of(scene, max_overlaps)
        if is_recording():
            name_best(best, "overlap of an interval with label 1", label == 1, float("nan"))
            unclear = (label < 0) | (~eligible & (label == 1))
            mark("overlap of an interval with label -1, or a non-finite box", unclear, -1)
        if self.allow_low_quality_matches:
            at_best = low_quality_gt(scene, best, scene.gt_valid, assign_all=True) > 0
            label = xp.where(at_best, 1, label)
            name_best(best, "the best overlap of any ground truth", at_best, float("nan"))
        gt_inds = xp.where(label == 1, xp.where(eligible, best.gt_of_prior + 1, -1), label)
        added = add_by_overlap(pairs, gt_inds, self.min_positives)
        gt_inds = with_added(gt_inds, added)
        max_overlaps = xp.where(scene.prior_valid, max_overlaps, -1.0)
        first_gt = xp.argmax(xp.astype(scene.gt_valid, gt_inds.dtype), axis=-1)[:, None]
        best_gt = xp.where(eligible, best.gt_of_prior, first_gt)
        return scene.result(gt_inds, max_overlaps, {"best_gt": best_gt})

    def _label_of(self, scene: Scene, max_overlaps: Array) -> Array:
        """Return the label of the interval that each of `max_overlaps` (B, N) falls into."""
        label = scene.full(self.labels[0], integers=True)
        for threshold, label_above in zip(self.thresholds, self.labels[1:], strict=True):
            label = scene.xp.where(max_overlaps >= threshold, label_above, label)
        return label


def to_torchvision(result: AssignResult) -> Array:
    """Convert a result to what torchvision's matchers return.

    Parameters
    ----------
    result : AssignResult
        Of any assigner.

    Returns
    -------
    array (..., N) of integers
        Index of the assigned ground truth from 0; -1 for background, "below the low threshold" there; -2 for
        ignored, "between the thresholds" there.

    Raises
    ------
    TypeError
        If `result` is no result.

    Examples
    --------
    >>> import numpy as np
    >>> to_torchvision(AssignResult(np.array([2, 0, -1]), None, None, num_gts=2))
    array([ 1, -1, -2])
    """
    check_result("result", result)
    return result.gt_inds - 1


def to_detectron2(result: AssignResult) -> tuple[Array, Array]:
    """Convert a result to what detectron2's matcher returns.

    Parameters
    ----------
    result : AssignResult
        Of any assigner; only one of :class:`Matcher` knows a ground truth of priors that are not positive.

    Returns
    -------
    matches : array (..., N) of integers
        Index from 0 of the ground truth that a positive prior is assigned to and any other overlaps most; 0
        where the result does not know it, or there is no ground truth.
    match_labels : array (..., N) of int8
        1 positive, 0 background, -1 ignored.

    Raises
    ------
    TypeError
        If `result` is no result.

    Examples
    --------
    >>> import numpy as np
    >>> matches, match_labels = to_detectron2(AssignResult(np.array([2, 0, -1]), None, None, num_gts=2))
    >>> matches, match_labels
    (array([1, 0, 0]), array([ 1,  0, -1], dtype=int8))
    """
    check_result("result", result)
    gt_inds = result.gt_inds
    xp = get_backend(gt_inds, "gt_inds").xp
    otherwise = result.extras.get("best_gt", 0)
    matches = xp.where(gt_inds > 0, gt_inds - 1, otherwise)
    return matches, xp.astype(xp.sign(gt_inds), xp.int8)


def _check_intervals(thresholds: Any, labels: Any) -> None:
    for name, values in (("thresholds", thresholds), ("labels", labels)):
        if not isinstance(values, tuple):
            raise TypeError(f"{name}: expected a tuple or a list, got {values!r}")
    if not thresholds:
        raise ValueError("thresholds: expected at least one, got none")
    for threshold in thresholds:
        check_knob("thresholds", threshold)
    if list(thresholds) != sorted(thresholds):
        raise ValueError(f"thresholds: expected ascending numbers, got {thresholds!r}")
    for label in labels:
        check_knob("labels", label, integer=True)
        if label not in (-1, 0, 1):
            raise ValueError(f"labels: expected each of -1, 0 and 1, got {label!r}")
    if len(labels) != len(thresholds) + 1:
        raise ValueError(
            f"labels: expected {len(thresholds) + 1}, one more than there are thresholds, got {labels!r}"
        )

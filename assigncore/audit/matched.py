"""How good the predictions are that learn from the objects: their overlap with what they are assigned to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from assigncore.boxes import aligned_iou
from assigncore.boxes.calculators import RotatedIoU

POOR = 0.5
"""COCO counts a prediction of less overlap as a miss, even leniently."""


@dataclass(frozen=True)
class MatchedOverlaps:
    """Objects' mean overlaps with the predictions of their positives.

    Attributes
    ----------
    objects : int
        Objects that have positives.
    mean, median : float or None
        Over these objects; None without any.
    poor : int
        How many of them are below ``POOR``.
    """

    objects: int
    mean: float | None
    median: float | None
    poor: int

    @property
    def share_poor(self) -> float | None:
        """Share of those objects that are below ``POOR``."""
        return self.poor / self.objects if self.objects else None


def matched_overlaps(gt_inds: Any, pred_bboxes: Any, gt_bboxes: Any) -> Any:
    """Find each ground truth's mean IoU with the predictions assigned to it.

    Parameters
    ----------
    gt_inds : NumPy array of int, shape (N,)
    pred_bboxes : NumPy array, shape (N, 4) or (N, 5)
    gt_bboxes : NumPy array, shape (G, 4) or (G, 5)

    Returns
    -------
    NumPy array, shape (G,)
        NaN where there are none.

    Examples
    --------
    >>> boxes = np.asarray([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0], [5.0, 5.0, 6.0, 6.0]])
    >>> matched_overlaps(np.asarray([1, 1, 0]), boxes, boxes[:2]).tolist()
    [0.75, nan]
    """
    positive = gt_inds > 0
    index = gt_inds[positive] - 1
    overlap = aligned_iou if gt_bboxes.shape[-1] == 4 else partial(RotatedIoU(), is_aligned=True)
    overlaps = overlap(pred_bboxes[positive], gt_bboxes[index])
    counts = np.bincount(index, minlength=len(gt_bboxes))
    sums = np.bincount(index, weights=overlaps, minlength=len(gt_bboxes))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def summarize_matched(overlaps: Any) -> MatchedOverlaps:
    """Summarize the mean overlaps of objects, NaN for those without positives."""
    found = overlaps[~np.isnan(overlaps)]
    if not len(found):
        return MatchedOverlaps(0, None, None, 0)
    return MatchedOverlaps(
        len(found), float(np.mean(found)), float(np.median(found)), int(np.sum(found < POOR))
    )

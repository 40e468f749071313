"""A second opinion on overlap thresholds, for the calls that the published packages cannot answer.

`AscendMaxIoUAssigner` of mmdet 2.28.2 fails on every call with ignore regions and on every empty input, so
there is no published answer. This is the method's own definition, dense, in plain NumPy, with nothing of the
core in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ascend_max_iou", "dense_overlaps"]

AnyArray = NDArray[Any]


def dense_overlaps(boxes1: AnyArray, boxes2: AnyArray, *, foreground: bool = False) -> AnyArray:
    """Compute all pairwise overlaps of two sets of boxes.

    Parameters
    ----------
    boxes1, boxes2 : numpy.ndarray
        Shapes ``(M, 4)`` and ``(N, 4)``, x1 y1 x2 y2.
    foreground : bool, default False
        Divide by the area of `boxes1` (IoF) rather than by the union (IoU).

    Returns
    -------
    numpy.ndarray
        Shape ``(M, N)``.

    Examples
    --------
    >>> import numpy as np
    >>> dense_overlaps(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2]])).round(3).tolist()
    [[0.333]]
    """
    first, second = boxes1[:, None], boxes2[None, :]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    intersection = np.prod(np.maximum(sides, 0), axis=-1)
    area1 = np.prod(first[..., 2:] - first[..., :2], axis=-1)
    area2 = np.prod(second[..., 2:] - second[..., :2], axis=-1)
    whole = np.broadcast_to(area1, intersection.shape) if foreground else area1 + area2 - intersection
    return np.asarray(intersection / np.maximum(whole, boxes1.dtype.type(1e-6)))


def ascend_max_iou(inputs: Mapping[str, AnyArray], init: Mapping[str, Any]) -> dict[str, AnyArray]:
    """Answer a call of ``AscendMaxIoUAssigner`` as its definition says.

    Parameters
    ----------
    inputs : mapping of str to numpy.ndarray
        ``batch_bboxes`` (B, N, 4), ``batch_gt_bboxes`` (B, G, 4), ``batch_bboxes_ignore_mask`` (B, N), true
        where a prior takes part, ``batch_gt_labels`` (B, G), and possibly ``batch_gt_bboxes_ignore`` (B, I,
        4).
    init : mapping
        Constructor arguments; ``neg_iou_thr`` a float.

    Returns
    -------
    dict of str to numpy.ndarray
        The outputs by the package's names, each (B, N).

    Notes
    -----
    A prior that lies in an ignore region by more than ``ignore_iof_thr`` is treated as one that takes no
    part. With no ground truth every prior that takes part is background, its overlap 0, its index and its
    label 0, as upstream's are in an image whose ground truths are all padding.
    """
    rows = [_ascend_image(inputs, init, image) for image in range(inputs["batch_bboxes"].shape[0])]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _ascend_image(inputs: Mapping[str, AnyArray], init: Mapping[str, Any], image: int) -> dict[str, AnyArray]:
    priors, gts = inputs["batch_bboxes"][image], inputs["batch_gt_bboxes"][image]
    taking_part = inputs["batch_bboxes_ignore_mask"][image].astype(bool)
    if "batch_gt_bboxes_ignore" in inputs and init.get("ignore_iof_thr", -1) > 0:
        regions = inputs["batch_gt_bboxes_ignore"][image]
        if init.get("ignore_wrt_candidates", True):
            covered = dense_overlaps(priors, regions, foreground=True).max(axis=1)
        else:
            covered = dense_overlaps(regions, priors, foreground=True).max(axis=0)
        taking_part = taking_part & ~(covered > init["ignore_iof_thr"])
    overlaps = np.where(taking_part, dense_overlaps(gts, priors), priors.dtype.type(-1))
    if len(gts) == 0:
        best = np.where(taking_part, 0, -1).astype(priors.dtype)
        index = np.zeros(len(priors), dtype=np.int64)
        labels = np.zeros(len(priors), dtype=np.int64)
        positive = np.zeros(len(priors), dtype=bool)
    else:
        best, index = overlaps.max(axis=0), overlaps.argmax(axis=0)
        positive = best >= init["pos_iou_thr"]
        for gt, row in enumerate(overlaps):
            peak = row.max(initial=-1)
            if init.get("match_low_quality", True) and peak > 0 and peak >= init.get("min_pos_iou", 0.0):
                equal = row == peak
                taken = equal if init.get("gt_max_assign_all", True) else np.arange(len(row)) == row.argmax()
                positive, index = positive | taken, np.where(taken, gt, index)
        labels = inputs["batch_gt_labels"][image][index]
    negative = (best >= 0) & (best < init["neg_iou_thr"]) & ~positive
    return {
        "batch_pos_mask": positive,
        "batch_neg_mask": negative,
        "batch_max_overlaps": best,
        "batch_anchor_gt_indes": index,
        "batch_anchor_gt_labels": labels,
    }

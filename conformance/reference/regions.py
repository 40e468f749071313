"""A second opinion on the regions of Guided Anchoring, for the calls that mmdet 2.28.2 answers wrongly.

The method's own definition, one ground truth after the other, in plain NumPy, with nothing of the core in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["region"]

AnyArray = NDArray[Any]


def region(
    inputs: Mapping[str, AnyArray], init: Mapping[str, Any], call: Mapping[str, Any]
) -> tuple[AnyArray, AnyArray | None]:
    """Answer a call of ``RegionAssigner`` as its definition says.

    Parameters
    ----------
    inputs : mapping of str to numpy.ndarray
        ``priors`` (N, 4), ``valid_flags`` (N,), ``gt_bboxes`` (G, 4), at least one, and possibly
        ``gt_labels`` (G,).
    init : mapping
        Constructor arguments.
    call : mapping
        Further arguments of the call, by the package's names.

    Returns
    -------
    gt_inds : numpy.ndarray
        Shape ``(N,)``.
    labels : numpy.ndarray or None
        Shape ``(N,)``, 0 where an anchor is not positive; None without ``gt_labels``.
    """
    priors, gts = inputs["priors"], inputs["gt_bboxes"]
    strides, sizes, counts = call["anchor_strides"], call["featmap_sizes"], call["num_level_anchors"]
    starts = np.cumsum([0, *counts])
    gt_inds = np.zeros(len(priors), dtype=np.int64)
    overruled = np.zeros(len(priors), dtype=bool)
    for index, gt in enumerate(gts):
        own = _level_of(gt, call["anchor_scale"] * strides[0], len(counts))
        for level in (own - 1, own, own + 1):
            if not 0 <= level < len(counts):
                continue
            rows = np.arange(starts[level], starts[level + 1])
            cells = priors[rows] / strides[level]
            around = _within(cells, gt / strides[level], init.get("ignore_ratio", 0.5), sizes[level])
            if level != own:
                overruled[rows[around]] = True
                continue
            central = _within(cells, gt / strides[level], init.get("center_ratio", 0.2), sizes[level])
            gt_inds[rows[around]] = -1
            gt_inds[rows[central]] = index + 1
    gt_inds[overruled] = -1
    height, width = call["img_shape"][:2]
    border = call.get("allowed_border", 0)
    takes_part = inputs["valid_flags"].copy()
    if border >= 0:
        low, high = priors[:, :2], priors[:, 2:]
        takes_part &= (low >= -border).all(axis=1) & (high < np.array([width, height]) + border).all(axis=1)
    gt_inds[~takes_part] = -1
    if "gt_labels" not in inputs:
        return gt_inds, None
    return gt_inds, np.where(gt_inds > 0, inputs["gt_labels"][gt_inds - 1], 0)


def _level_of(gt: AnyArray, side: float, count: int) -> int:
    area = (gt[2] - gt[0]) * (gt[3] - gt[1])
    if not area > 0:
        return 0
    level = np.floor(np.log2(np.sqrt(area)) - np.log2(gt.dtype.type(side)) + gt.dtype.type(0.5))
    return int(np.clip(level, 0, count - 1))


def _within(cells: AnyArray, gt: AnyArray, ratio: float, size: Sequence[int]) -> AnyArray:
    """Tell which boxes' centres are in the central part of another, all in cells."""
    edge = (1 - ratio) / 2
    low = np.round((1 - edge) * gt[:2] + edge * gt[2:])
    high = np.round(edge * gt[:2] + (1 - edge) * gt[2:])
    limit = (size[1], size[0])
    centers = (cells[:, :2] + cells[:, 2:]) * 0.5
    inside = (centers >= np.clip(low, 0, limit)) & (centers <= np.clip(high, 0, limit))
    return np.asarray(inside.all(axis=1))

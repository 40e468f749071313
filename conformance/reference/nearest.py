"""Plain readings of two assigners by distance, for the cases on which the published packages fail."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["point", "uniform"]

AnyArray = NDArray[Any]


def uniform(inputs: Mapping[str, AnyArray], knobs: Mapping[str, Any]) -> dict[str, AnyArray]:
    """Assign by uniform matching, one write after the other, with what boxes there are.

    Parameters
    ----------
    inputs : mapping
        ``priors`` and ``decoder_priors`` (N, 4), ``gt_bboxes`` (G, 4), ``gt_labels`` (G,).
    knobs : mapping
        ``pos_ignore_thr``, ``neg_ignore_thr`` and optionally ``match_times``.

    Returns
    -------
    dict of str to numpy.ndarray
        The outputs by the goldens' names.
    """
    priors, predictions, gts = inputs["priors"], inputs["decoder_priors"], inputs["gt_bboxes"]
    times = min(int(knobs.get("match_times", 4)), len(priors))
    ranks = [
        [np.argsort(_l1(boxes, gt), kind="stable")[:times] for gt in gts] for boxes in (predictions, priors)
    ]
    writes = [(kind[gt][rank], gt) for rank in range(times) for kind in ranks for gt in range(len(gts))]
    gt_inds = np.zeros(len(priors), dtype=np.int64)
    for gt in gts:
        gt_inds[_iou(predictions, gt) > predictions.dtype.type(knobs["neg_ignore_thr"])] = -1
    positive = []
    for prior, gt in writes:
        overlap = _iou(priors[prior : prior + 1], gts[gt])[0]
        positive.append(not overlap < priors.dtype.type(knobs["pos_ignore_thr"]))
        gt_inds[prior] = gt + 1 if positive[-1] else -1
    index = np.asarray([prior for prior, _ in writes])
    return {
        "gt_inds": gt_inds,
        "labels": np.where(gt_inds > 0, inputs["gt_labels"][gt_inds - 1], -1),
        "max_overlaps": np.asarray([_iou(priors, gt).max() for gt in gts], dtype=priors.dtype),
        "pos_idx": np.asarray(positive),
        "pos_predicted_boxes": predictions[index],
        "target_boxes": gts[[gt for _, gt in writes]],
    }


def point(inputs: Mapping[str, AnyArray], knobs: Mapping[str, Any]) -> dict[str, AnyArray]:
    """Assign points to ground truths one by one, with what points a level has.

    Parameters
    ----------
    inputs : mapping
        ``priors`` (N, 3), ``gt_bboxes`` (G, 4), ``gt_labels`` (G,).
    knobs : mapping
        Optionally ``scale`` and ``pos_num``.

    Returns
    -------
    dict of str to numpy.ndarray
        The outputs by the goldens' names.
    """
    points, scale = inputs["priors"], float(knobs.get("scale", 4))
    levels = np.asarray([int(math.log2(stride)) for stride in points[:, 2]])
    gt_inds = np.zeros(len(points), dtype=np.int64)
    recorded = np.full(len(points), np.inf)
    for place, (x1, y1, x2, y2) in enumerate(inputs["gt_bboxes"], start=1):
        sides = np.maximum([x2 - x1, y2 - y1], 1e-6)
        level = int((math.log2(sides[0] / scale) + math.log2(sides[1] / scale)) / 2)
        level = min(max(level, levels.min()), levels.max())
        own = np.flatnonzero(levels == level)
        offset = (points[own, :2] - np.asarray([(x1 + x2) / 2, (y1 + y2) / 2])) / sides
        distance = np.sqrt((offset**2).sum(axis=-1))
        for nearest in np.argsort(distance, kind="stable")[: int(knobs.get("pos_num", 3))]:
            if distance[nearest] < recorded[own[nearest]]:
                recorded[own[nearest]] = distance[nearest]
                gt_inds[own[nearest]] = place
    labels = np.where(gt_inds > 0, inputs["gt_labels"][gt_inds - 1], -1)
    return {"gt_inds": gt_inds, "labels": labels}


def _l1(boxes: AnyArray, gt: AnyArray) -> AnyArray:
    """Return the L1 distance of centres and sizes, summed left to right."""
    differences = np.abs(_centre_and_size(boxes) - _centre_and_size(gt[None]))
    total: AnyArray = ((differences[:, 0] + differences[:, 1]) + differences[:, 2]) + differences[:, 3]
    return total


def _centre_and_size(boxes: AnyArray) -> AnyArray:
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=-1)


def _iou(boxes: AnyArray, gt: AnyArray) -> AnyArray:
    sides = np.minimum(boxes[:, 2:], gt[2:]) - np.maximum(boxes[:, :2], gt[:2])
    overlap = np.maximum(sides, 0).prod(axis=-1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) + (gt[2:] - gt[:2]).prod() - overlap
    iou: AnyArray = overlap / np.maximum(union, boxes.dtype.type(1e-6))
    return iou

"""A plain reading of multi-instance assignment, for the case on which the published package fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["multi_instance"]

AnyArray = NDArray[Any]


def multi_instance(inputs: Mapping[str, AnyArray], knobs: Mapping[str, Any]) -> dict[str, AnyArray]:
    """Assign rows to boxes one by one; an instance for which there is no box is background.

    Parameters
    ----------
    inputs : mapping
        ``priors`` (N, 4), ``gt_bboxes`` (G, 4), ``gt_labels`` (G,), optionally ``gt_bboxes_ignore`` (I, 4).
    knobs : mapping
        ``pos_iou_thr``, ``neg_iou_thr`` and optionally ``num_instance``.

    Returns
    -------
    dict of str to numpy.ndarray
        The outputs by the goldens' names: rows first, boxes counted from 0 and -1 where there is none.
    """
    gts, priors = inputs["gt_bboxes"], inputs["priors"]
    regions = inputs.get("gt_bboxes_ignore", gts[:0])
    classes = [int(label) + 1 for label in inputs["gt_labels"]] + [-1] * len(regions)
    boxes = np.concatenate([gts, regions])
    instances = int(knobs.get("num_instance", 2))
    low, high = (priors.dtype.type(knobs[name]) for name in ("neg_iou_thr", "pos_iou_thr"))
    rows = []
    for row in np.concatenate([priors, boxes]):
        of_gts = [
            _overlap(row, box, "iou") * (label != -1) for box, label in zip(boxes, classes, strict=True)
        ]
        of_regions = [
            _overlap(row, box, "iof") * (label == -1) for box, label in zip(boxes, classes, strict=True)
        ]
        ranked = [np.argsort(-np.asarray(values), kind="stable") for values in (of_gts, of_regions)]
        decided: list[tuple[int, float, int]] = []
        for rank in range(instances):
            if rank >= len(boxes):
                decided.append((-1, 0.0, 0))
                continue
            at, overlap = int(ranked[0][rank]), of_gts[ranked[0][rank]]
            if overlap < high and of_regions[ranked[1][rank]] > overlap:
                at, overlap = int(ranked[1][rank]), of_regions[ranked[1][rank]]
            label = classes[at]
            if overlap >= high and label != -1:
                label = 1
            decided.append((at, overlap, 0 if overlap < low else label))
        rows.append(decided)
    table = np.asarray(rows, dtype=np.float64).reshape(-1, instances, 3)
    return {
        "gt_inds": table[..., 0].astype(np.int64),
        "max_overlaps": table[..., 1].astype(priors.dtype),
        "labels": table[..., 2].astype(np.int64),
    }


def _overlap(row: AnyArray, box: AnyArray, mode: str) -> Any:
    sides = np.maximum(np.minimum(row[2:], box[2:]) - np.maximum(row[:2], box[:2]), 0)
    common = sides[0] * sides[1]
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (row, box)]
    whole = areas[0] + areas[1] - common if mode == "iou" else areas[0]
    return common / np.maximum(whole, row.dtype.type(1e-6))

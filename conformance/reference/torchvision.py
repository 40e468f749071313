"""The rules of torchvision's matchers, image by image and prediction by prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.goldens.cases import GoldenCase

__all__ = ["torchvision_matches"]

AnyArray = NDArray[Any]


def torchvision_matches(case: GoldenCase) -> dict[str, AnyArray]:
    """Answer a case of a matcher, or of a step by one; a quality that is not finite counts as 0."""
    x = case.inputs
    if "quality" in x:
        return {"matches": _matches(case, np.nan_to_num(x["quality"], nan=0.0, posinf=0.0, neginf=0.0))}
    name = "proposals" if "proposals" in x else "anchors"
    ends = np.cumsum(x["gt_sizes"])[:-1]
    boxes, labels = np.split(x["gt_bboxes"], ends), np.split(x["gt_labels"], ends)
    found = [_matches(case, _overlaps(own, priors)) for own, priors in zip(boxes, x[name], strict=True)]
    if case.variant == "TVRetinaNet":
        return {"matched_idxs": np.stack(found)}
    first = [np.maximum(matches, 0) for matches in found]
    if case.variant == "TVRPN":
        codes = np.stack([np.where(matches >= 0, 1, matches + 1) for matches in found])
        return {
            "labels": codes.astype(np.float32),
            "matched_gt_boxes": np.stack([own[rows] for own, rows in zip(boxes, first, strict=True)]),
        }
    classes = [
        np.where(matches >= 0, own[rows], matches + 1)
        for own, rows, matches in zip(labels, first, found, strict=True)
    ]
    return {"matched_idxs": np.stack(first), "labels": np.stack(classes)}


def _overlaps(gts: AnyArray, priors: AnyArray) -> AnyArray:
    found = np.zeros((len(gts), len(priors)), dtype=gts.dtype)
    for (row, a), (column, b) in ((g, n) for g in enumerate(gts) for n in enumerate(priors)):
        shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
        union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared
        found[row, column] = shared / union if union > 0 else 0.0
    return found


def _knobs(case: GoldenCase) -> tuple[float, float, bool]:
    usual: Mapping[str, tuple[float, float, bool]] = {
        "TVRPN": (0.7, 0.3, True),
        "TVRetinaNet": (0.5, 0.4, True),
        "TVRoIHeads": (0.5, 0.5, False),
    }
    init = case.init
    if "threshold" in init:
        return init["threshold"], init["threshold"], False
    high, low, low_quality = usual.get(case.variant, (0.0, 0.0, False))
    high = init.get("high_threshold", init.get("fg_iou_thresh", high))
    low = init.get("low_threshold", init.get("bg_iou_thresh", low))
    return high, low, init.get("allow_low_quality_matches", low_quality)


def _matches(case: GoldenCase, quality: AnyArray) -> AnyArray:
    high, low, low_quality = _knobs(case)
    found = np.full(quality.shape[1], -1)
    if 0 in quality.shape:
        return found
    dtype = quality.dtype.type
    for n, column in enumerate(quality.T):
        best = int(column.argmax())
        if column[best] >= dtype(low):
            found[n] = -2
        if column[best] >= dtype(high):
            found[n] = best
        if low_quality and any(column[g] == quality[g].max() for g in range(len(quality))):
            found[n] = best
    if "threshold" in case.init:
        for g, row in enumerate(quality):
            found[int(row.argmax())] = g
    return found

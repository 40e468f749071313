"""The assigner by rank of receptive fields."""

from __future__ import annotations

from typing import Any

import numpy as np

from assigncore.conformance.reference.ignore import spare_negatives
from assigncore.conformance.reference.image import Box, Image, Measure, Outputs, scaled
from assigncore.conformance.reference.min_positives import add_positives

__all__ = ["receptive_field_similarity", "rfla"]


def receptive_field_similarity(gt: Box, field: Box) -> Any:
    """Give 1 / (1 + D), D the divergence of a field's normal distribution from a ground truth's."""
    number = type(gt[0])
    one, least = number(1), number(1e-6)

    def along(low: int, high: int) -> Any:
        own, other = max(gt[high] - gt[low], least), max(field[high] - field[low], least)
        ratio = other / own
        shift = ((gt[low] + gt[high]) - (field[low] + field[high])) / own
        return (ratio * ratio + shift * shift) - number(np.log(np.float64(ratio))) * number(2)

    divergence = max((along(0, 2) + along(1, 3)) * number(0.5) - one, number(0))
    return one / (divergence + one)


def rfla(
    image: Image,
    topk: tuple[int, int] = (3, 1),
    decay: Any = 0.9,
    neg_iou_thr: Any = 0.8,
    ignore_iof_thr: Any = -1,
    min_positives: int = 0,
    measure: Measure = receptive_field_similarity,
) -> Outputs:
    """Assign the most similar fields to each ground truth, first as they are and then shrunk."""
    number, fields = image.dtype, image.eligible()
    shrunk = {n: scaled(box, decay) for n, box in fields.items()}
    overlaps = [number(0 if valid else -1) for valid in image.valid]
    codes = [0] * len(overlaps)
    for n, box in shrunk.items() if image.gts else ():
        overlaps[n] = max(measure(gt, box) for gt in image.gts.values())
        codes[n] = 0 if overlaps[n] < number(neg_iou_thr) else -1
    similar = {g: {n: measure(gt, box) for n, box in fields.items()} for g, gt in image.gts.items()}
    for boxes, k in ((shrunk, topk[1]), (fields, topk[0])):
        for g, gt in image.gts.items():
            ranked = sorted((-measure(gt, box), n) for n, box in boxes.items())
            for _, n in ranked[:k]:
                codes[n] = g + 1
    add_positives(codes, similar, min_positives, lambda g, n: -similar[g][n], eligible=fields)
    found = image.outputs(codes, overlaps)
    spared = spare_negatives(image, found["gt_inds"].tolist(), image.priors, ignore_iof_thr)
    return {**found, "gt_inds": np.array(spared, dtype=np.int64)}

"""Multi-instance assignment: the best few overlaps of each prior."""

from __future__ import annotations

from typing import Any

import numpy as np

from assigncore.conformance.reference.image import Box, Image, Measure, Outputs, iof, iou

__all__ = ["multi_instance"]


def multi_instance(
    image: Image,
    num_instance: int = 2,
    pos_iou_thr: Any = 0.5,
    neg_iou_thr: Any = 0.5,
    append_boxes: bool = True,
    measure: Measure = iou,
    fraction: Measure = iof,
    **_others: Any,
) -> Outputs:
    """Let the best few overlaps of each prior decide, and with `append_boxes` of each box: (M, R) outputs."""
    number, n_gts = image.dtype, len(image.arguments["gt_bboxes"])
    given = image.boxes("ignore_bboxes") if "ignore_bboxes" in image.arguments else []
    valid = image.mask("ignore_valid", len(given))
    regions = {n_gts + r: box for r, box in enumerate(given) if valid[r] and box is not None}
    boxes = [*image.gts.values(), *regions.values()] if append_boxes else []
    valid = image.valid + [True] * len(boxes)
    rows = [
        _decided(prior, image.gts, regions, num_instance, number(pos_iou_thr), (measure, fraction))
        for prior in [*image.priors, *boxes]
    ]
    labels = [image.label(g) for g in range(n_gts)] if "gt_labels" in image.arguments else None
    decided = []
    for n, row in enumerate(rows):
        for box, overlap in row:
            code = -1 if box in regions else box + 1
            if box in image.gts and overlap < number(pos_iou_thr):
                code = -1
            if box < 0 or 0 <= overlap < number(neg_iou_thr):
                code = 0
            decided.append((code, box, overlap) if valid[n] else (-1, -1, number(0)))
    shape = (len(rows), num_instance)
    found = {
        "gt_inds": np.array([code for code, _, _ in decided], dtype=np.int64),
        "max_overlaps": np.array([overlap for _, _, overlap in decided], dtype=number),
        "box_inds": np.array([box for _, box, _ in decided], dtype=np.int64),
    }
    if labels is not None:
        of_box = [labels[box] if 0 <= box < n_gts else -1 for box in found["box_inds"]]
        found["box_labels"] = np.array(of_box, dtype=np.int64)
        found["labels"] = np.where(found["gt_inds"] > 0, found["box_labels"], -1)
    return {name: x.reshape(shape).T for name, x in found.items()}


def _decided(
    prior: Box | None,
    gts: dict[int, Box],
    regions: dict[int, Box],
    num_instance: int,
    high: Any,
    measures: tuple[Measure, Measure],
) -> list[tuple[int, Any]]:
    """Give the boxes that decide about a prior's instances, and its overlaps with them."""
    zero, (measure, fraction) = type(high)(0), measures
    nothing = dict.fromkeys([*gts, *regions], zero)
    of_gts, of_regions = nothing, nothing
    if prior is not None:
        of_gts = nothing | {i: measure(prior, box) for i, box in gts.items()}
        of_regions = nothing | {i: fraction(prior, box) for i, box in regions.items()}
    ranked = [sorted(values, key=lambda i: (-values[i], i)) for values in (of_gts, of_regions)]
    decided = [(-1, zero)] * num_instance
    for rank, (gt, region) in enumerate(zip(*ranked, strict=True)):
        if rank < num_instance:
            covered = of_gts[gt] < high and of_regions[region] > of_gts[gt]
            decided[rank] = (region, of_regions[region]) if covered else (gt, of_gts[gt])
    return decided

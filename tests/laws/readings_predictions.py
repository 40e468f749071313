"""The rules of the assigners that read predictions.

One is read like those in `readings`. The others have exponentials and logarithms in them, which no two
libraries round alike: their readings, in double precision, tell what is decided by less than rounding.
"""

import zlib
from functools import partial

import numpy as np

from assigncore.conformance.reference import task_aligned as reference_batched

from .readings import Image, iof, iou

NUDGE = 1e-9
"""How far numbers are moved to see whether a decision hangs on rounding, which in double precision is 1e-14."""

NUDGES = 5
"""How often. A decision that hangs on rounding falls the same way each time by a chance of 1 in 32."""


def multi_instance(image, num_instance=2, pos_iou_thr=0.5, neg_iou_thr=0.5, append_boxes=True):
    """Read the rule of the best few overlaps, for the priors alone."""
    number, n_gts = image.dtype, len(image.arguments["gt_bboxes"])
    regions = [image.whole_box(row) for row in image.arguments["ignore_bboxes"]]
    valid = image.mask("ignore_valid", len(regions))
    regions = {n_gts + r: box for r, box in enumerate(regions) if valid[r] and box is not None}
    rows = [_decided(prior, image.gts, regions, num_instance, number(pos_iou_thr)) for prior in image.priors]
    labels = [image.label(g) for g in range(n_gts)] if "gt_labels" in image.arguments else None
    decided = []
    for n, row in enumerate(rows):
        for box, overlap in row:
            code = -1 if box in regions else box + 1
            if box in image.gts and overlap < number(pos_iou_thr):
                code = -1
            if box < 0 or 0 <= overlap < number(neg_iou_thr):
                code = 0
            decided.append((code, box, overlap) if image.takes_part[n] else (-1, -1, number(0)))
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
    return {name: x.reshape(shape) for name, x in found.items()}


def _decided(prior, gts, regions, num_instance, high):
    """Give the boxes that decide about a prior's instances, and its overlaps with them."""
    prior = (type(high)(0),) * 4 if prior is None else prior
    zero = type(high)(0)
    of_gts = {i: iou(prior, box) for i, box in gts.items()} | dict.fromkeys(regions, zero)
    of_regions = dict.fromkeys(gts, zero) | {i: iof(prior, box) for i, box in regions.items()}
    ranked = [sorted(values, key=lambda i: (-values[i], i)) for values in (of_gts, of_regions)]
    decided = [(-1, zero)] * num_instance
    for rank, (gt, region) in enumerate(zip(*ranked, strict=True)):
        if rank < num_instance:
            covered = of_gts[gt] < high and of_regions[region] > of_gts[gt]
            decided[rank] = (region, of_regions[region]) if covered else (gt, of_gts[gt])
    return decided


def task_aligned(inputs, knobs, overlap_of=reference_batched.iou):
    """Read the rule of task-aligned assignment."""
    centers = (inputs["priors"][:, :2] + inputs["priors"][:, 2:]) / 2
    others = (inputs[name] for name in ("gt_bboxes", "pred_bboxes", "pred_scores", "gt_labels"))
    return reference_batched.task_aligned(centers, *others, knobs, overlap_of)


task_aligned_smoothed = partial(task_aligned, overlap_of=reference_batched.smoothed_iou)
task_aligned_ciou = partial(task_aligned, overlap_of=reference_batched.ciou)


def read_closely(rule, arguments, knobs):
    """Read an image without broken numbers, and tell for which priors the reading is the only one.

    Returns
    -------
    outputs : dict of str to numpy.ndarray
        ``gt_inds`` and what else there is a row of for each prior.
    clear : numpy.ndarray (N,) of bool
        False where the least change of the predictions decides otherwise: scores (or logits) that differ in
        value or class are nudged apart, while equal ones of a class stay equal.
    """
    image = Image(arguments)
    gts, part = list(image.gts), np.flatnonzero(image.takes_part)
    inputs = {name: x[part] for name, x in arguments.items() if name == "priors" or name.startswith("pred_")}
    inputs |= {
        name: x[gts] for name, x in arguments.items() if name in ("gt_bboxes", "gt_labels", "gt_masks")
    }
    straight = _spread(rule(inputs, knobs), part, gts, len(image.priors))
    clear = np.ones(len(image.priors), dtype=bool)
    for salt in range(NUDGES):
        nudged = _spread(rule(_nudged(inputs, salt), knobs), part, gts, len(image.priors))
        clear &= nudged["gt_inds"] == straight["gt_inds"]
    return straight, clear


def _spread(outputs, part, gts, n_priors):
    """Give outputs for the priors that take part their places among all."""
    index = np.concatenate([[0], np.asarray(gts, dtype=np.int64) + 1])
    spread = {"gt_inds": np.full(n_priors, -1, dtype=np.int64)}
    spread["gt_inds"][part] = index[outputs["gt_inds"]]
    for name in ("max_overlaps", "assign_metrics"):
        if name in outputs:
            spread[name] = np.full(n_priors, np.nan, dtype=outputs[name].dtype)
            spread[name][part] = outputs[name]
    return spread


def _nudged(inputs, salt):
    """Nudge scores within 0 and 1, or logits, by what their value and class say."""
    nudged = dict(inputs)
    for name in {"pred_scores", "pred_logits"} & set(inputs):
        values = inputs[name]
        steps = [[_hash(float(x), c, salt) for c, x in enumerate(row)] for row in values]
        room = values * (1 - values) if name == "pred_scores" else 1
        nudged[name] = values + NUDGE * room * np.reshape(steps, values.shape)
    return nudged


def _hash(*key):
    """Give a number from -1 to 1 that the key decides, in every process."""
    return zlib.crc32(repr(key).encode()) / 2**31 - 1

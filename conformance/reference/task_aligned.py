"""Task-aligned assignment and batched ATSS, image by image and box by box."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.reference.image import Image
from assigncore.conformance.reference.min_positives import add_positives
from assigncore.conformance.reference.nearest import atss

__all__ = ["batch_atss", "batch_task_aligned", "ciou", "iou", "smoothed_iou", "task_aligned"]

AnyArray = NDArray[Any]
Overlap = Callable[[AnyArray, AnyArray], AnyArray]


def iou(gt: AnyArray, boxes: AnyArray) -> AnyArray:
    """Return the IoU of one box with each, the union at least 1e-6."""
    overlap, union = _overlap_and_union(gt, boxes)
    value: AnyArray = overlap / np.maximum(union, boxes.dtype.type(1e-6))
    return value


def smoothed_iou(gt: AnyArray, boxes: AnyArray) -> AnyArray:
    """Return the IoU of one box with each, 1e-9 added to the union."""
    overlap, union = _overlap_and_union(gt, boxes)
    value: AnyArray = overlap / (union + boxes.dtype.type(1e-9))
    return value


def ciou(gt: AnyArray, boxes: AnyArray) -> AnyArray:
    """Return the complete IoU of one box with each, 0 where it is negative."""
    eps = 1e-7
    overlap, union = _overlap_and_union(gt, boxes)
    value = overlap / (union + eps)
    enclosing = np.maximum(boxes[:, 2:], gt[2:]) - np.minimum(boxes[:, :2], gt[:2])
    apart = ((boxes[:, :2] + boxes[:, 2:] - gt[:2] - gt[2:]) ** 2).sum(axis=-1) / 4
    size, own = boxes[:, 2:] - boxes[:, :2], gt[2:] - gt[:2]
    angle = np.arctan(size[:, 0] / (size[:, 1] + eps)) - np.arctan(own[0] / (own[1] + eps))
    aspect = 4 / math.pi**2 * angle**2
    weight = aspect / (aspect - value + (1 + eps))
    penalty = apart / ((enclosing**2).sum(axis=-1) + eps) + aspect * weight
    positive: AnyArray = np.maximum(value - penalty, 0)
    return positive


def _overlap_and_union(gt: AnyArray, boxes: AnyArray) -> tuple[AnyArray, AnyArray]:
    sides = np.minimum(boxes[:, 2:], gt[2:]) - np.maximum(boxes[:, :2], gt[:2])
    overlap = np.maximum(sides, 0).prod(axis=-1)
    union = (gt[2:] - gt[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) - overlap
    return overlap, union


def task_aligned(
    centers: AnyArray,
    gts: AnyArray,
    pred_bboxes: AnyArray,
    pred_scores: AnyArray,
    gt_labels: AnyArray,
    knobs: Mapping[str, Any],
    overlap_of: Overlap = iou,
) -> dict[str, AnyArray]:
    """Assign the best aligned priors of one image, by the knobs of the core's assigner.

    Parameters
    ----------
    centers : numpy.ndarray (N, 2)
        Centres of the priors.
    gts, gt_labels : numpy.ndarray (G, 4) and (G,)
        Ground truths.
    pred_bboxes, pred_scores : numpy.ndarray (N, 4) and (N, C)
        Predictions.
    knobs : mapping
        Of ``TaskAlignedAssigner``, without the overlap calculator.
    overlap_of : callable
        Gives the overlaps of one box with each.

    Returns
    -------
    dict of str to numpy.ndarray
        ``gt_inds``, ``max_overlaps`` and ``assign_metrics``, each (N,).
    """
    n_priors, n_gts, dtype = len(centers), len(gts), pred_bboxes.dtype
    gt_inds, max_overlaps = np.zeros(n_priors, dtype=np.int64), np.full(n_priors, -1e8, dtype=dtype)
    assigned = np.zeros(n_priors, dtype=dtype)
    if n_gts == 0:
        return {"gt_inds": gt_inds, "max_overlaps": max_overlaps * 0, "assign_metrics": assigned}
    topk_inside, conflicts = knobs.get("topk_inside", False), knobs.get("conflicts", "claimants")
    inside = np.stack([_inside(centers, gt, knobs) for gt in gts])
    overlaps = np.stack([overlap_of(gt, pred_bboxes) for gt in gts])
    compared = np.where(inside, overlaps, 0) if conflicts == "inside" else overlaps
    score = pred_scores[:, gt_labels].T
    alpha, beta = (dtype.type(knobs.get(name, default)) for name, default in (("alpha", 1), ("beta", 6)))
    metrics = score**alpha * compared**beta
    every = score**alpha * overlaps**beta
    claims = np.zeros((n_gts, n_priors), dtype=bool)
    for gt in range(n_gts):
        ranked = np.where(inside[gt], every[gt], 0) if topk_inside else every[gt]
        for prior in np.argsort(-ranked, kind="stable")[: knobs["topk"]]:
            claims[gt, prior] = inside[gt, prior] and (topk_inside or every[gt, prior] > 0)
    for prior in np.flatnonzero(claims.any(axis=0)):
        claimants = np.flatnonzero(claims[:, prior])
        if len(claimants) == 1:
            winner = claimants[0]
        elif conflicts == "claimants":
            winner = claimants[np.argmax(compared[claimants, prior])]
        else:
            winner = np.argmax(compared[:, prior])
        gt_inds[prior] = winner + 1
    _keep_best(gt_inds, metrics, knobs.get("topk2"))
    middles, codes = (gts[:, :2] + gts[:, 2:]) / 2, gt_inds.tolist()
    added = add_positives(
        codes,
        range(n_gts),
        knobs.get("min_positives", 0),
        lambda gt, prior: ((centers[prior] - middles[gt]) ** 2).sum(),
        lambda gt, prior: overlaps[gt, prior],
        eligible=range(n_priors),
    )
    gt_inds = np.array(codes)
    for prior, gt in added.items():
        compared[gt, prior], metrics[gt, prior] = overlaps[gt, prior], every[gt, prior]
    for prior in np.flatnonzero(gt_inds):
        max_overlaps[prior] = compared[gt_inds[prior] - 1, prior]
        assigned[prior] = metrics[gt_inds[prior] - 1, prior]
    if knobs.get("normalized", False):
        raw = assigned.copy()
        for prior in np.flatnonzero(gt_inds):
            own = gt_inds == gt_inds[prior]
            scale = raw[own].max() + dtype.type(knobs.get("eps", 1e-9))
            assigned[prior] = raw[prior] * max_overlaps[own].max() / scale if scale > 0 else 0
    return {"gt_inds": gt_inds, "max_overlaps": max_overlaps, "assign_metrics": assigned}


def _inside(centers: AnyArray, gt: AnyArray, knobs: Mapping[str, Any]) -> AnyArray:
    middle, half = (gt[:2] + gt[2:]) / 2, gt.dtype.type(knobs.get("smallest_side", 0) / 2)
    short = gt[2:] - gt[:2] < 2 * half
    low, high = np.where(short, middle - half, gt[:2]), np.where(short, middle + half, gt[2:])
    margin = gt.dtype.type(knobs.get("inside_margin", 0.01))
    inside: AnyArray = ((centers - low > margin) & (high - centers > margin)).all(axis=-1)
    return inside


def _keep_best(gt_inds: AnyArray, metrics: AnyArray, topk2: int | None) -> None:
    """Drop, in place, what is not among the best of all priors by the metric, 0 where not assigned."""
    if topk2 is None:
        return
    for gt in range(len(metrics)):
        own = gt_inds == gt + 1
        best = np.argsort(-np.where(own, metrics[gt], 0), kind="stable")[:topk2]
        dropped = own.copy()
        dropped[best] = False
        gt_inds[dropped] = 0


def batch_task_aligned(inputs: Mapping[str, AnyArray], knobs: Mapping[str, Any]) -> dict[str, AnyArray]:
    """Assign each image of a batch as YOLOv6 does, with what priors there are.

    Parameters
    ----------
    inputs : mapping
        By the goldens' names.
    knobs : mapping
        Of the published assigner.

    Returns
    -------
    dict of str to numpy.ndarray
        The outputs by the goldens' names.
    """
    rule = {
        "alpha": 1.0, "beta": 6.0, "eps": 1e-7, "topk": 13, **knobs, "topk_inside": True,
        "inside_margin": 1e-9, "conflicts": "all", "normalized": True,
    }  # fmt: skip
    overlap_of = ciou if knobs.get("use_ciou", False) else smoothed_iou
    images = []
    for image in range(len(inputs["gt_bboxes"])):
        real = inputs["pad_bbox_flag"][image, :, 0] > 0
        gts, labels = inputs["gt_bboxes"][image], inputs["gt_labels"][image, :, 0].astype(np.int64)
        found = task_aligned(
            inputs["priors"][:, :2],
            gts[real],
            inputs["pred_bboxes"][image],
            inputs["pred_scores"][image],
            labels[real],
            rule,
            overlap_of,
        )
        soft = found["assign_metrics"]
        images.append(
            _outputs(found["gt_inds"], np.flatnonzero(real), gts, labels, soft, knobs["num_classes"])
        )
    return {name: np.stack([image[name] for image in images]) for name in images[0]}


def _outputs(
    gt_inds: AnyArray, real: AnyArray, gts: AnyArray, labels: AnyArray, soft: AnyArray, n_classes: int
) -> dict[str, AnyArray]:
    """Return the fields of the batched packages; background has the first ground truth's."""
    index = np.concatenate([[0], real])[gt_inds]
    scores = np.zeros((len(gt_inds), n_classes), dtype=gts.dtype)
    for prior in np.flatnonzero(gt_inds):
        scores[prior, labels[index[prior]]] = soft[prior]
    return {
        "assigned_labels": labels[index],
        "assigned_bboxes": gts[index],
        "assigned_scores": scores,
        "fg_mask_pre_prior": gt_inds > 0,
    }


def batch_atss(
    inputs: Mapping[str, AnyArray], knobs: Mapping[str, Any], num_level_priors: list[int]
) -> dict[str, AnyArray]:
    """Assign each image of a batch by adaptive thresholds, with what priors a level has.

    Parameters
    ----------
    inputs : mapping
        By the goldens' names.
    knobs : mapping
        Of the published assigner.
    num_level_priors : list of int
        Priors of each level.

    Returns
    -------
    dict of str to numpy.ndarray
        The outputs by the goldens' names.
    """
    points = inputs["priors"]
    half = points[:, 2:] * points.dtype.type(2.5)
    anchors = np.concatenate([points[:, :2] - half, points[:, :2] + half], axis=-1)
    images = []
    for image, gts in enumerate(inputs["gt_bboxes"]):
        real = np.flatnonzero(inputs["pad_bbox_flag"][image, :, 0] > 0)
        labels = inputs["gt_labels"][image, :, 0].astype(np.int64)
        gt_inds = atss(
            Image({"priors": anchors, "gt_bboxes": gts[real]}),
            topk=knobs["topk"],
            strictly_above=True,
            inside_margin=1e-9,
            conflicts="all",
            num_level_priors=num_level_priors,
        )["gt_inds"]
        soft = np.zeros(len(points), dtype=points.dtype)
        for prior in np.flatnonzero(gt_inds):
            box = inputs["pred_bboxes"][image, prior : prior + 1]
            soft[prior] = smoothed_iou(gts[real[gt_inds[prior] - 1]], box)[0]
        found = _outputs(gt_inds, real, gts, labels, soft, knobs["num_classes"])
        found["assigned_labels"] = np.where(gt_inds > 0, found["assigned_labels"], knobs["num_classes"])
        images.append(found)
    return {name: np.stack([image[name] for image in images]) for name in images[0]}

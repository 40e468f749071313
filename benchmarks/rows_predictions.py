"""The rows of assigners that read predictions, and what is predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
from cases import Case, Inputs, Row
from scenes import NUM_CLASSES, draw_boxes, jitter, square_anchors

from assigncore.priors import PointGenerator

__all__ = ["PREDICTION_ROWS"]

Floats = np.ndarray[Any, np.dtype[np.float32]]

STRIDES = (8, 16, 32)
IMAGE = (640, 640)
"""Height and width of what a YOLO trains on: 8,400 cells on its three levels."""

MASK_SIDE = 112
"""A grid of 12,544 points, as many as those at which Mask2Former compares masks."""

LAYERS_TIMES_IMAGES = 6 * 16
"""The decoder layers of a DETR, each with the images of a batch, are matched at once."""


def anchors_with_scores(case: Case) -> Inputs:
    """Lay one square a cell, and predict a box and scores for each."""
    grid = square_anchors(case.image, strides=STRIDES, scale=4.0)
    return dense_predictions(case, grid.priors, grid.priors, logits=False)


def points_with_scores(case: Case) -> Inputs:
    """Lay YOLOX's points, and predict a box and scores for each."""
    return dense_predictions(case, *points(case, offset=0.5), logits=False)


def points_with_logits(case: Case) -> Inputs:
    """Lay RTMDet's points, and predict a box and logits for each."""
    return dense_predictions(case, *points(case, offset=0.0), logits=True)


def points(case: Case, *, offset: float) -> tuple[Floats, Floats]:
    """Lay one point a cell, x y stride stride, and a square about each."""
    generator = PointGenerator(STRIDES, offset=offset, stride_xy=True)
    laid = generator.grid(generator.featmap_sizes(case.image)).priors
    return laid, np.concatenate([laid[:, :2] - 2 * laid[:, 2:], laid[:, :2] + 2 * laid[:, 2:]], axis=-1)


def dense_predictions(case: Case, priors: Floats, own: Floats, *, logits: bool) -> Inputs:
    """Predict, at priors that lie in a ground truth, a box near it and a high score of its class.

    Elsewhere the prior's own box, moved a little. No two predictions are the same.
    """
    rng = case.rng()
    gt_bboxes, gt_labels = draw_boxes(rng, case.image, case.images, case.boxes)
    centers = (own[:, :2] + own[:, 2:]) / 2
    low, high = gt_bboxes[:, None, :, :2], gt_bboxes[:, None, :, 2:]
    inside = np.all((centers[:, None] > low) & (centers[:, None] < high), axis=-1)
    gt, somewhere = np.argmax(inside, axis=-1), np.any(inside, axis=-1)
    near = np.take_along_axis(gt_bboxes, gt[..., None], axis=1)
    boxes = jitter(rng, np.where(somewhere[..., None], near, own), 0.3)
    scores = rng.uniform(0.001, 0.1, (*somewhere.shape, NUM_CLASSES))
    label = np.take_along_axis(gt_labels, gt, axis=1)[..., None]
    high_scores = np.where(somewhere, rng.uniform(0.1, 0.9, somewhere.shape), 0.05)[..., None]
    np.put_along_axis(scores, label, high_scores, axis=-1)
    scores = scores.astype(np.float32)
    named = {"pred_logits": to_logits(scores)} if logits else {"pred_scores": scores}
    gts = {"gt_bboxes": gt_bboxes, "gt_labels": gt_labels}
    return Inputs({"priors": priors}, {**gts, "pred_bboxes": boxes, **named})


def boxes_of_queries(case: Case, queries: int) -> Inputs:
    """Predict a box and logits for each query: some near ground truths, most anywhere."""
    rng = case.rng()
    gt_bboxes, gt_labels = draw_boxes(rng, case.image, case.images, case.boxes)
    boxes, labels = draw_boxes(rng, case.image, case.images, queries)
    near = min(case.boxes, queries)
    boxes[:, :near] = gt_bboxes[:, :near]
    labels[:, :near] = gt_labels[:, :near]
    scores = rng.uniform(0.001, 0.1, (case.images, queries, NUM_CLASSES)).astype(np.float32)
    np.put_along_axis(scores, labels[..., None], rng.uniform(0.1, 0.9, labels.shape)[..., None], axis=-1)
    return Inputs(
        {},
        {
            "gt_bboxes": gt_bboxes,
            "gt_labels": gt_labels,
            "pred_bboxes": jitter(rng, boxes, 0.2),
            "pred_logits": to_logits(scores),
        },
        {"image_shape": case.image},
    )


def masks_of_queries(case: Case, queries: int) -> Inputs:
    """Predict a mask and logits, one of them for no object, for each query."""
    rng = case.rng()
    gt_bboxes, gt_labels = draw_boxes(rng, case.image, case.images, case.boxes)
    height, width = case.image
    y, x = ((np.arange(MASK_SIDE) + 0.5) * side / MASK_SIDE for side in (height, width))
    across = (x > gt_bboxes[..., 0, None]) & (x < gt_bboxes[..., 2, None])
    down = (y > gt_bboxes[..., 1, None]) & (y < gt_bboxes[..., 3, None])
    gt_masks = (down[..., :, None] & across[..., None, :]).astype(np.float32)
    shown = rng.integers(0, case.boxes, (case.images, queries))
    masks = 4 * np.take_along_axis(gt_masks, shown[..., None, None], axis=1) - 2
    masks = masks + rng.normal(0, 2, masks.shape)
    return Inputs(
        {},
        {
            "gt_labels": gt_labels,
            "gt_masks": gt_masks,
            "pred_logits": rng.normal(0, 2, (case.images, queries, NUM_CLASSES + 1)).astype(np.float32),
            "pred_masks": masks.astype(np.float32),
        },
    )


def to_logits(scores: Floats) -> Floats:
    """Give the logits whose sigmoid is `scores`."""
    return np.log(scores / (1 - scores)).astype(np.float32)


DETR_COSTS = (
    {"type": "FocalLossCost", "weight": 2.0},
    {"type": "BBoxL1Cost", "weight": 5.0, "box_format": "xywh"},
    {"type": "IoUCost", "iou_mode": "giou", "weight": 2.0},
)

PREDICTION_ROWS = (
    Row(
        name="task_aligned",
        title="TaskAlignedAssigner, TOOD's training settings on three levels",
        assigner={"type": "TaskAlignedAssigner", "topk": 13, "alpha": 1.0, "beta": 6.0},
        inputs=anchors_with_scores,
        dense="dense_torch_predictions.task_aligned",
        boxes=(20,),
        images=(1, 16),
        memory_boxes=500,
        image=IMAGE,
    ),
    Row(
        name="sim_ota",
        title="SimOTAAssigner, YOLOX's training settings",
        assigner={
            "type": "SimOTAAssigner",
            "center_radius": 2.5,
            "candidate_topk": 10,
            "iou_weight": 3.0,
            "cls_weight": 1.0,
        },
        inputs=points_with_scores,
        dense="dense_torch_predictions.sim_ota",
        boxes=(20,),
        images=(1, 16),
        memory_boxes=200,
        image=IMAGE,
    ),
    Row(
        name="dynamic_soft_label",
        title="DynamicSoftLabelAssigner, RTMDet's training settings",
        assigner={
            "type": "DynamicSoftLabelAssigner",
            "soft_center_radius": 3.0,
            "topk": 13,
            "iou_weight": 3.0,
        },
        inputs=points_with_logits,
        dense="dense_torch_predictions.dynamic_soft_label",
        boxes=(20,),
        images=(1, 16),
        memory_boxes=200,
        image=IMAGE,
    ),
    Row(
        name="hungarian_300",
        title="HungarianAssigner, 300 queries as Deformable DETR; 96 are 6 layers of 16 images",
        assigner={"type": "HungarianAssigner", "match_costs": DETR_COSTS},
        inputs=lambda case: boxes_of_queries(case, 300),
        dense="dense_torch_predictions.hungarian",
        boxes=(20,),
        images=(1, LAYERS_TIMES_IMAGES),
        memory_boxes=100,
    ),
    Row(
        name="hungarian_900",
        title="HungarianAssigner, 900 queries as DINO; 96 are 6 layers of 16 images",
        assigner={"type": "HungarianAssigner", "match_costs": DETR_COSTS},
        inputs=lambda case: boxes_of_queries(case, 900),
        dense="dense_torch_predictions.hungarian",
        boxes=(100,),
        images=(1, LAYERS_TIMES_IMAGES),
        memory_boxes=500,
    ),
    Row(
        name="mask_hungarian",
        title="HungarianAssigner, 100 masks at 12,544 points as Mask2Former",
        assigner={
            "type": "HungarianAssigner",
            "match_costs": (
                {"type": "ClassificationCost", "weight": 2.0},
                {"type": "CrossEntropyLossCost", "weight": 5.0, "use_sigmoid": True},
                {"type": "DiceCost", "weight": 5.0, "pred_act": True, "eps": 1.0},
            ),
        },
        inputs=lambda case: masks_of_queries(case, 100),
        dense="dense_torch_predictions.mask_hungarian",
        boxes=(20,),
        images=(1, 16),
        memory_boxes=100,
    ),
)

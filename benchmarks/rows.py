"""What is benchmarked: one entry an assigner and layout of priors.

A new assigner needs a dense version in one of ``dense_torch*.py``, a builder of its inputs, and an entry in
`ROWS`; those that read predictions stand in ``rows_predictions.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from cases import Case, Inputs, Row
from rows_predictions import PREDICTION_ROWS, Floats
from scenes import STRIDES, draw_boxes, jitter, retinanet_anchors, square_anchors

from assigncore.boxes import xyxy_to_xywhr
from assigncore.priors import PointGenerator, PriorGrid, rfla_fields

__all__ = ["ROWS"]

GRID_SCALE = 4.0
"""Side in strides of Guided Anchoring's square anchors."""


def with_boxes(case: Case, grid: PriorGrid) -> Inputs:
    """Share the priors of a grid among all images, and draw boxes with classes on each."""
    gt_bboxes, gt_labels = draw_boxes(case.rng(), case.image, case.images, case.boxes)
    return Inputs({"priors": grid.priors}, {"gt_bboxes": gt_bboxes, "gt_labels": gt_labels})


def turned_anchors(case: Case) -> Inputs:
    """Lay one anchor a cell, each and every box turned by an angle of its own."""
    grid, rng = square_anchors(case.image, scale=4.0), case.rng()
    inputs = with_boxes(case, grid)

    def turned(boxes: Floats) -> Floats:
        angle = rng.uniform(-np.pi / 2, np.pi / 2, (*boxes.shape[:-1], 1))
        return np.concatenate([xyxy_to_xywhr(boxes)[..., :4], angle], axis=-1).astype(boxes.dtype)

    gts = {**inputs.per_image, "gt_bboxes": turned(inputs.per_image["gt_bboxes"])}
    return Inputs({"priors": turned(inputs.shared["priors"])}, gts)


def by_level(lay: Callable[[tuple[int, int]], PriorGrid]) -> Callable[[Case], Inputs]:
    """Return the builder that hands over the numbers of priors of the levels, too."""

    def inputs(case: Case) -> Inputs:
        grid = lay(case.image)
        return replace(with_boxes(case, grid), static={"num_level_priors": grid.num_level_priors})

    return inputs


def points_and_boxes(case: Case) -> Inputs:
    """Lay one point a cell, as RepPoints does."""
    points = PointGenerator(STRIDES, offset=0.0)
    return with_boxes(case, points.grid(points.featmap_sizes(case.image)))


def anchors_on_feature_maps(case: Case) -> Inputs:
    """Lay Guided Anchoring's squares, and tell all about the feature maps that they stand on."""
    grid = square_anchors(case.image, scale=GRID_SCALE)
    height, width = case.image
    static = {
        "num_level_priors": grid.num_level_priors,
        "featmap_sizes": tuple((-(-height // stride), -(-width // stride)) for stride in STRIDES),
        "anchor_scale": GRID_SCALE,
        "anchor_strides": STRIDES,
        "image_shape": case.image,
        "allowed_border": -1,
    }
    return replace(with_boxes(case, grid), static=static)


def anchors_and_predictions(case: Case) -> Inputs:
    """Lay YOLOF's five squares a cell of one level, and predict a box near each.

    The anchors are moved a little, one by one: on a grid many are equally near by L1 distance, and it is up
    to the sorting of a library which of them it finds.
    """
    grid = square_anchors(case.image, strides=(32,), scales=(1.0, 2.0, 4.0, 8.0, 16.0))
    inputs, rng = with_boxes(case, grid), case.rng()
    priors = jitter(rng, grid.priors, 0.02)
    predictions = jitter(rng, np.broadcast_to(priors, (case.images, *priors.shape)), 0.1)
    return Inputs({"priors": priors}, {**inputs.per_image, "pred_bboxes": predictions})


ROWS = {
    row.name: row
    for row in (
        Row(
            name="max_iou",
            title="MaxIoUAssigner, RPN's training settings",
            assigner={
                "type": "MaxIoUAssigner",
                "pos_iou_thr": 0.7,
                "neg_iou_thr": 0.3,
                "min_pos_iou": 0.3,
            },
            inputs=lambda case: with_boxes(case, retinanet_anchors(case.image)),
            dense="dense_torch.max_iou",
            boxes=(5, 20, 100, 500),
            images=(1, 8),
            memory_boxes=2000,
        ),
        Row(
            name="max_iou_rotated",
            title="MaxIoUAssigner, oriented anchors and ground truths, by the exact rotated IoU",
            assigner={
                "type": "MaxIoUAssigner",
                "pos_iou_thr": 0.5,
                "neg_iou_thr": 0.4,
                "min_pos_iou": 0.1,
                "iou_calculator": {"type": "RotatedIoU"},
            },
            inputs=turned_anchors,
            dense="dense_torch_oriented.max_iou",
            boxes=(20,),
            images=(1,),
            memory_boxes=100,
        ),
        Row(
            name="max_nwd",
            title="MaxIoUAssigner, RPN's training settings by the normalized Wasserstein distance",
            assigner={
                "type": "MaxIoUAssigner",
                "pos_iou_thr": 0.7,
                "neg_iou_thr": 0.3,
                "min_pos_iou": 0.3,
                "iou_calculator": {"type": "NWD", "constant": 24.0},
            },
            inputs=lambda case: with_boxes(case, retinanet_anchors(case.image)),
            dense="dense_torch_gaussian.max_nwd",
            boxes=(5, 20),
            images=(1, 8),
            memory_boxes=500,
        ),
        Row(
            name="rfla",
            title="RFLAAssigner, the published receptive fields",
            assigner={"type": "RFLAAssigner", "topk": (3, 1), "decay": 0.9, "neg_iou_thr": 0.8},
            inputs=lambda case: with_boxes(case, rfla_fields(case.image)),
            dense="dense_torch_gaussian.rfla",
            boxes=(5, 20),
            images=(1, 8),
            memory_boxes=500,
        ),
        Row(
            name="atss",
            title="ATSSAssigner, one anchor a cell as published",
            assigner={"type": "ATSSAssigner", "topk": 9},
            inputs=by_level(lambda image: square_anchors(image, scale=8.0)),
            dense="dense_torch_geometric.atss",
            boxes=(20, 100),
            images=(1, 16),
            memory_boxes=500,
        ),
        Row(
            name="atss_nine_anchors",
            title="ATSSAssigner, nine anchors a cell as RetinaNet's",
            assigner={"type": "ATSSAssigner", "topk": 9},
            inputs=by_level(retinanet_anchors),
            dense="dense_torch_geometric.atss",
            boxes=(20,),
            images=(1, 16),
            memory_boxes=500,
        ),
        Row(
            name="point",
            title="PointAssigner, RepPoints' first stage",
            assigner={"type": "PointAssigner", "scale": 4, "pos_num": 1},
            inputs=points_and_boxes,
            dense="dense_torch_geometric.point",
            boxes=(20,),
            images=(1, 16),
            memory_boxes=500,
        ),
        Row(
            name="region",
            title="RegionAssigner, Guided Anchoring's places on RetinaNet's levels",
            assigner={"type": "RegionAssigner", "center_ratio": 0.2, "ignore_ratio": 0.5},
            inputs=anchors_on_feature_maps,
            dense="dense_torch_geometric.region",
            boxes=(20,),
            images=(1, 16),
            memory_boxes=500,
        ),
        Row(
            name="center_region",
            title="CenterRegionAssigner, FSAF with the shadow of its paper",
            assigner={
                "type": "CenterRegionAssigner",
                "pos_scale": 0.2,
                "neg_scale": 0.5,
                "min_pos_iof": 0.01,
            },
            inputs=lambda case: with_boxes(case, square_anchors(case.image, scale=1.0)),
            dense="dense_torch_geometric.center_region",
            boxes=(20,),
            images=(1, 16),
            memory_boxes=500,
        ),
        Row(
            name="uniform",
            title="UniformAssigner, YOLOF's training settings",
            assigner={
                "type": "UniformAssigner",
                "pos_ignore_thr": 0.15,
                "neg_ignore_thr": 0.7,
                "match_times": 4,
            },
            inputs=anchors_and_predictions,
            dense="dense_torch_geometric.uniform",
            boxes=(20,),
            images=(1, 16),
            memory_boxes=500,
        ),
        *PREDICTION_ROWS,
    )
}

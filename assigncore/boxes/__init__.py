"""Geometry of boxes, over any array library.

A box is ``x1, y1, x2, y2`` in pixels, with no extra pixel added to its sides, unless a function says
otherwise. An oriented box is ``cx, cy, w, h, angle``: centre and sides in pixels, and the angle in radians
from the x axis to its side w, positive towards the y axis, which is clockwise to the eye where y points down.
Overlaps of oriented boxes are calculators: :class:`~assigncore.boxes.calculators.RotatedIoU` and others.
Pairwise functions take ``(..., M, 4)`` and ``(..., N, 4)`` and return ``(..., M, N)``; aligned ones take two
arrays of one shape and return a value for each row. Leading dimensions broadcast.

Every function checks its arguments and raises half precision to float32 before it computes, conversions
included. Results are differentiable where the library differentiates.
"""

from assigncore.boxes.geometry import (
    aligned_ciou,
    aligned_diou,
    aligned_giou,
    aligned_iof,
    aligned_iou,
    box_area,
    box_centers,
    corners_to_xywhr,
    cxcywh_to_xyxy,
    normalize_angles,
    pairwise_ciou,
    pairwise_diou,
    pairwise_giou,
    pairwise_iof,
    pairwise_iou,
    pairwise_l1,
    points_in_boxes,
    xywh_to_xyxy,
    xywhr_to_corners,
    xywhr_to_xyxy,
    xyxy_to_cxcywh,
    xyxy_to_xywhr,
)

__all__ = [
    "aligned_ciou",
    "aligned_diou",
    "aligned_giou",
    "aligned_iof",
    "aligned_iou",
    "box_area",
    "box_centers",
    "corners_to_xywhr",
    "cxcywh_to_xyxy",
    "normalize_angles",
    "pairwise_ciou",
    "pairwise_diou",
    "pairwise_giou",
    "pairwise_iof",
    "pairwise_iou",
    "pairwise_l1",
    "points_in_boxes",
    "xywh_to_xyxy",
    "xywhr_to_corners",
    "xywhr_to_xyxy",
    "xyxy_to_cxcywh",
    "xyxy_to_xywhr",
]

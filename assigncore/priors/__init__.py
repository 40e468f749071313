"""Priors: grids of anchors and points over the levels of a feature pyramid.

A generator is a frozen set of knobs; what it lays out depends on the feature map sizes alone, so the shapes
are known before any array exists and the grids may be built inside a compiled function. The few irrational
numbers (square roots of ratios, fractional octaves) are computed once in double precision and rounded once,
so every array library gets the same bits. The priors of published detectors are a line:
``retinanet_anchors((800, 1333))``. `fit_anchors` fits anchors to the objects of a data set.
"""

from assigncore.priors.anchors import AnchorGenerator, BoxGenerator, SSDAnchorGenerator
from assigncore.priors.fitting import best_placed_overlaps, fit_anchors, fit_shapes
from assigncore.priors.grid import PriorGenerator, PriorGrid, level_index
from assigncore.priors.points import PointGenerator, inside_image
from assigncore.priors.published import (
    atss_anchors,
    fcos_points,
    retinanet_anchors,
    rfla_fields,
    rpn_anchors,
    yolo_points,
)

__all__ = [
    "AnchorGenerator",
    "BoxGenerator",
    "PointGenerator",
    "PriorGenerator",
    "PriorGrid",
    "SSDAnchorGenerator",
    "atss_anchors",
    "best_placed_overlaps",
    "fcos_points",
    "fit_anchors",
    "fit_shapes",
    "inside_image",
    "level_index",
    "retinanet_anchors",
    "rfla_fields",
    "rpn_anchors",
    "yolo_points",
]

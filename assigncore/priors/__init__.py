"""Priors: grids of anchors and points over the levels of a feature pyramid.

A generator is a frozen set of knobs; what it lays out depends on the feature map sizes alone, so the shapes
are known before any array exists and the grids may be built inside a compiled function. The few irrational
numbers (square roots of ratios, fractional octaves) are computed once in double precision and rounded once,
so every array library gets the same bits.
"""

from assigncore.priors.anchors import AnchorGenerator, BoxGenerator, SSDAnchorGenerator
from assigncore.priors.grid import PriorGenerator, PriorGrid, level_index
from assigncore.priors.points import PointGenerator, inside_image

__all__ = [
    "AnchorGenerator",
    "BoxGenerator",
    "PointGenerator",
    "PriorGenerator",
    "PriorGrid",
    "SSDAnchorGenerator",
    "inside_image",
    "level_index",
]

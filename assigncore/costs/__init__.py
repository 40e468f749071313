"""Match costs: what it costs to match a prediction with a ground truth, (..., N, G)."""

from assigncore.costs.alignment import AlignmentCost
from assigncore.costs.base import MatchCost
from assigncore.costs.boxes import BBoxL1Cost, IoUCost, OverlapCost
from assigncore.costs.classes import (
    BinaryFocalLossCost,
    ClassificationCost,
    FocalLossCost,
    TokenFocalLossCost,
)
from assigncore.costs.combine import (
    box_columns_of,
    build_costs,
    build_match_cost,
    cost_terms,
    needed_inputs,
    weighted_sum,
)
from assigncore.costs.keypoints import KeypointL1Cost, KeypointNLLCost, KeypointVisibilityCost, OKSCost
from assigncore.costs.masks import CrossEntropyLossCost, DiceCost
from assigncore.costs.points import point_sample, resize_masks
from assigncore.costs.position import PositionModulatedCost

__all__ = [
    "AlignmentCost",
    "BBoxL1Cost",
    "BinaryFocalLossCost",
    "ClassificationCost",
    "CrossEntropyLossCost",
    "DiceCost",
    "FocalLossCost",
    "IoUCost",
    "KeypointL1Cost",
    "KeypointNLLCost",
    "KeypointVisibilityCost",
    "MatchCost",
    "OKSCost",
    "OverlapCost",
    "PositionModulatedCost",
    "TokenFocalLossCost",
    "box_columns_of",
    "build_costs",
    "build_match_cost",
    "cost_terms",
    "needed_inputs",
    "point_sample",
    "resize_masks",
    "weighted_sum",
]

"""Label assignment for object detection, written once against the Python array API.

While a detector trains, an assigner decides which of its predictions learn from which ground-truth objects,
and which are background or ignored. Importing this package imports no array framework.
"""

from assigncore.assigners import (
    ApproxMaxIoUAssigner,
    AscendMaxIoUAssigner,
    ATSSAssigner,
    CenterRegionAssigner,
    DynamicSoftLabelAssigner,
    FCOSAssigner,
    GreedyMatcher,
    GridAssigner,
    HungarianAssigner,
    MaskHungarianAssigner,
    Matcher,
    MaxIoUAssigner,
    MultiInstanceAssigner,
    PointAssigner,
    RegionAssigner,
    SimOTAAssigner,
    SinkhornAssigner,
    SSDMatcher,
    TaskAlignedAssigner,
    TopkHungarianAssigner,
    UniformAssigner,
    YOLOv7Assigner,
    shadowed_labels,
    to_detectron2,
    to_torchvision,
)
from assigncore.backend import ArrayBackend, get_backend, load_backend
from assigncore.backend.memory import memory_budget, set_memory_budget
from assigncore.boxes.calculators import BboxOverlaps2D, PositiveCIoU, SmoothedIoU
from assigncore.inspect.explain import Explanation, explain
from assigncore.registry import ASSIGNERS, COSTS, OVERLAP_CALCULATORS, build_assigner, build_cost
from assigncore.result import AssignResult

__version__ = "0.1.0"

__all__ = [
    "ASSIGNERS",
    "COSTS",
    "OVERLAP_CALCULATORS",
    "ATSSAssigner",
    "ApproxMaxIoUAssigner",
    "ArrayBackend",
    "AscendMaxIoUAssigner",
    "AssignResult",
    "BboxOverlaps2D",
    "CenterRegionAssigner",
    "DynamicSoftLabelAssigner",
    "Explanation",
    "FCOSAssigner",
    "GreedyMatcher",
    "GridAssigner",
    "HungarianAssigner",
    "MaskHungarianAssigner",
    "Matcher",
    "MaxIoUAssigner",
    "MultiInstanceAssigner",
    "PointAssigner",
    "PositiveCIoU",
    "RegionAssigner",
    "SSDMatcher",
    "SimOTAAssigner",
    "SinkhornAssigner",
    "SmoothedIoU",
    "TaskAlignedAssigner",
    "TopkHungarianAssigner",
    "UniformAssigner",
    "YOLOv7Assigner",
    "build_assigner",
    "build_cost",
    "explain",
    "get_backend",
    "load_backend",
    "memory_budget",
    "set_memory_budget",
    "shadowed_labels",
    "to_detectron2",
    "to_torchvision",
]

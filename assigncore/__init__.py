"""Label assignment for object detection, written once against the Python array API.

While a detector trains, an assigner decides which of its predictions learn from which ground-truth objects,
and which are background or ignored. Importing this package imports no array framework.
"""

from assigncore.assigners import (
    ApproxMaxIoUAssigner,
    AscendMaxIoUAssigner,
    ATSSAssigner,
    CenterRegionAssigner,
    FCOSAssigner,
    GridAssigner,
    Matcher,
    MaxIoUAssigner,
    PointAssigner,
    RegionAssigner,
    SSDMatcher,
    UniformAssigner,
    shadowed_labels,
    to_detectron2,
    to_torchvision,
)
from assigncore.backend import ArrayBackend, get_backend, load_backend
from assigncore.memory import memory_budget, set_memory_budget
from assigncore.overlaps import BboxOverlaps2D
from assigncore.registry import ASSIGNERS, OVERLAP_CALCULATORS, build_assigner
from assigncore.result import AssignResult

__version__ = "0.1.0"

__all__ = [
    "ASSIGNERS",
    "OVERLAP_CALCULATORS",
    "ATSSAssigner",
    "ApproxMaxIoUAssigner",
    "ArrayBackend",
    "AscendMaxIoUAssigner",
    "AssignResult",
    "BboxOverlaps2D",
    "CenterRegionAssigner",
    "FCOSAssigner",
    "GridAssigner",
    "Matcher",
    "MaxIoUAssigner",
    "PointAssigner",
    "RegionAssigner",
    "SSDMatcher",
    "UniformAssigner",
    "build_assigner",
    "get_backend",
    "load_backend",
    "memory_budget",
    "set_memory_budget",
    "shadowed_labels",
    "to_detectron2",
    "to_torchvision",
]

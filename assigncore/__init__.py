"""Label assignment for object detection, written once against the Python array API.

While a detector trains, an assigner decides which of its predictions learn from which ground-truth objects,
and which are background or ignored. Importing this package imports no array framework.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    RFLAAssigner,
    SimOTAAssigner,
    SinkhornAssigner,
    SSDMatcher,
    TaskAlignedAssigner,
    TopkHungarianAssigner,
    UniformAssigner,
    YOLOv7Assigner,
    keep_best,
    reassign_by_losses,
    shadowed_labels,
    to_detectron2,
    to_torchvision,
)
from assigncore.backend import ArrayBackend, get_backend, load_backend
from assigncore.backend.memory import memory_budget, set_memory_budget
from assigncore.boxes.calculators import (
    GWD,
    KLD,
    NWD,
    RFD,
    BboxOverlaps2D,
    PositiveCIoU,
    ProbIoU,
    RotatedIoU,
    SmoothedIoU,
)
from assigncore.boxes.calculators_3d import AxisAlignedIoU3D, BEVIoU, NearestBEVIoU
from assigncore.datasets import read_coco, read_dataset, sample_dataset
from assigncore.inspect.explain import Explanation, explain
from assigncore.inspect.monitor import Monitor
from assigncore.registry import ASSIGNERS, COSTS, OVERLAP_CALCULATORS, build_assigner, build_cost
from assigncore.result import AssignResult

if TYPE_CHECKING:
    from assigncore import plot as plot

__version__ = "0.1.0"

__all__ = [
    "ASSIGNERS",
    "COSTS",
    "GWD",
    "KLD",
    "NWD",
    "OVERLAP_CALCULATORS",
    "RFD",
    "ATSSAssigner",
    "ApproxMaxIoUAssigner",
    "ArrayBackend",
    "AscendMaxIoUAssigner",
    "AssignResult",
    "AxisAlignedIoU3D",
    "BEVIoU",
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
    "Monitor",
    "MultiInstanceAssigner",
    "NearestBEVIoU",
    "PointAssigner",
    "PositiveCIoU",
    "ProbIoU",
    "RFLAAssigner",
    "RegionAssigner",
    "RotatedIoU",
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
    "keep_best",
    "load_backend",
    "memory_budget",
    "read_coco",
    "read_dataset",
    "reassign_by_losses",
    "sample_dataset",
    "set_memory_budget",
    "shadowed_labels",
    "to_detectron2",
    "to_torchvision",
]

_ROOMS = ("boxes", "costs", "datasets", "matching", "plot", "priors")
"""Modules that users import from, beside the names above."""


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS, "__version__"])


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # What draws needs matplotlib, which importing the package must not bring in.
        if name == "plot":
            return import_module("assigncore.plot")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

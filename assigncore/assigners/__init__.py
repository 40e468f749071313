"""The assigners, one module an algorithm."""

from assigncore.assigners.approx_max_iou import ApproxMaxIoUAssigner
from assigncore.assigners.ascend_max_iou import AscendMaxIoUAssigner
from assigncore.assigners.atss import ATSSAssigner
from assigncore.assigners.center_region import CenterRegionAssigner, shadowed_labels
from assigncore.assigners.fcos import FCOSAssigner
from assigncore.assigners.grid import GridAssigner
from assigncore.assigners.matcher import Matcher, to_detectron2, to_torchvision
from assigncore.assigners.max_iou import MaxIoUAssigner
from assigncore.assigners.point import PointAssigner
from assigncore.assigners.region import RegionAssigner
from assigncore.assigners.ssd_matcher import SSDMatcher
from assigncore.assigners.uniform import UniformAssigner

__all__ = [
    "ATSSAssigner",
    "ApproxMaxIoUAssigner",
    "AscendMaxIoUAssigner",
    "CenterRegionAssigner",
    "FCOSAssigner",
    "GridAssigner",
    "Matcher",
    "MaxIoUAssigner",
    "PointAssigner",
    "RegionAssigner",
    "SSDMatcher",
    "UniformAssigner",
    "shadowed_labels",
    "to_detectron2",
    "to_torchvision",
]

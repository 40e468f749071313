"""The assigners, one module an algorithm."""

from assigncore.assigners.approx_max_iou import ApproxMaxIoUAssigner
from assigncore.assigners.ascend_max_iou import AscendMaxIoUAssigner
from assigncore.assigners.atss import ATSSAssigner
from assigncore.assigners.center_region import CenterRegionAssigner, shadowed_labels
from assigncore.assigners.dynamic_soft_label import DynamicSoftLabelAssigner
from assigncore.assigners.fcos import FCOSAssigner
from assigncore.assigners.greedy import GreedyMatcher
from assigncore.assigners.grid import GridAssigner
from assigncore.assigners.hungarian import HungarianAssigner
from assigncore.assigners.keep_best import keep_best
from assigncore.assigners.mask_hungarian import MaskHungarianAssigner
from assigncore.assigners.matcher import Matcher, to_detectron2, to_torchvision
from assigncore.assigners.max_iou import MaxIoUAssigner
from assigncore.assigners.multi_instance import MultiInstanceAssigner
from assigncore.assigners.paa import reassign_by_losses
from assigncore.assigners.point import PointAssigner
from assigncore.assigners.region import RegionAssigner
from assigncore.assigners.sim_ota import SimOTAAssigner
from assigncore.assigners.sim_ota_presets import rtmo, yolox_pose
from assigncore.assigners.sinkhorn import SinkhornAssigner
from assigncore.assigners.ssd_matcher import SSDMatcher
from assigncore.assigners.task_aligned import TaskAlignedAssigner
from assigncore.assigners.task_aligned_presets import yolo26_pose, yolov6, yolov8, yolov8_obb, yolov10
from assigncore.assigners.topk_hungarian import TopkHungarianAssigner
from assigncore.assigners.uniform import UniformAssigner
from assigncore.assigners.yolov7 import YOLOv7Assigner

__all__ = [
    "ATSSAssigner",
    "ApproxMaxIoUAssigner",
    "AscendMaxIoUAssigner",
    "CenterRegionAssigner",
    "DynamicSoftLabelAssigner",
    "FCOSAssigner",
    "GreedyMatcher",
    "GridAssigner",
    "HungarianAssigner",
    "MaskHungarianAssigner",
    "Matcher",
    "MaxIoUAssigner",
    "MultiInstanceAssigner",
    "PointAssigner",
    "RegionAssigner",
    "SSDMatcher",
    "SimOTAAssigner",
    "SinkhornAssigner",
    "TaskAlignedAssigner",
    "TopkHungarianAssigner",
    "UniformAssigner",
    "YOLOv7Assigner",
    "keep_best",
    "reassign_by_losses",
    "rtmo",
    "shadowed_labels",
    "to_detectron2",
    "to_torchvision",
    "yolo26_pose",
    "yolov6",
    "yolov8",
    "yolov8_obb",
    "yolov10",
    "yolox_pose",
]

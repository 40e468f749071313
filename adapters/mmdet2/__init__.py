"""Drop-in assigners for MMDetection 2.28.

The classes have the names, constructor knobs, defaults and flat signatures of ``mmdet.core.bbox``; the work
is done by :mod:`assigncore`. Neither MMDetection nor MMCV is needed.
"""

from __future__ import annotations

from typing import Any

from assigncore.adapters.mmdet.building import build_from, register_classes
from assigncore.adapters.mmdet.knobs import build_iou_calculator
from assigncore.adapters.mmdet.overlaps import BboxOverlaps2D, bbox_overlaps
from assigncore.adapters.mmdet.result import AssignResult
from assigncore.adapters.mmdet2.ascend import AscendAssignResult, AscendMaxIoUAssigner
from assigncore.adapters.mmdet2.assigners import (
    ApproxMaxIoUAssigner,
    ATSSAssigner,
    CenterRegionAssigner,
    GridAssigner,
    MaxIoUAssigner,
    PointAssigner,
    RegionAssigner,
    SimOTAAssigner,
    TaskAlignedAssigner,
    UniformAssigner,
)
from assigncore.adapters.mmdet2.costs import (
    COSTS,
    BBoxL1Cost,
    ClassificationCost,
    CrossEntropyLossCost,
    DiceCost,
    FocalLossCost,
    IoUCost,
    build_match_cost,
)
from assigncore.adapters.mmdet2.matching_assigners import HungarianAssigner, MaskHungarianAssigner

__all__ = [
    "ASSIGNERS",
    "ATSSAssigner",
    "ApproxMaxIoUAssigner",
    "AscendAssignResult",
    "AscendMaxIoUAssigner",
    "AssignResult",
    "BBoxL1Cost",
    "BboxOverlaps2D",
    "CenterRegionAssigner",
    "ClassificationCost",
    "CrossEntropyLossCost",
    "DiceCost",
    "FocalLossCost",
    "GridAssigner",
    "HungarianAssigner",
    "IoUCost",
    "MaskHungarianAssigner",
    "MaxIoUAssigner",
    "PointAssigner",
    "RegionAssigner",
    "SimOTAAssigner",
    "TaskAlignedAssigner",
    "UniformAssigner",
    "bbox_overlaps",
    "build_assigner",
    "build_iou_calculator",
    "build_match_cost",
    "register",
]

ASSIGNERS: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        ATSSAssigner,
        ApproxMaxIoUAssigner,
        AscendMaxIoUAssigner,
        CenterRegionAssigner,
        GridAssigner,
        HungarianAssigner,
        MaskHungarianAssigner,
        MaxIoUAssigner,
        PointAssigner,
        RegionAssigner,
        SimOTAAssigner,
        TaskAlignedAssigner,
        UniformAssigner,
    )
}
"""By the names of configs."""


def build_assigner(config: Any) -> Any:
    """Build an assigner from a config mapping, without any registry.

    Examples
    --------
    >>> import torch
    >>> assigner = build_assigner({"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4})
    >>> boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0], [20.0, 20.0, 28.0, 28.0]])
    >>> result = assigner.assign(boxes, boxes[:1] + 1)
    >>> result.gt_inds, result.labels
    (tensor([1, 0]), None)
    """
    return build_from(ASSIGNERS, config, "assigner")


def register(
    assigners: Any, *, iou_calculators: Any = None, match_costs: Any = None, force: bool = False
) -> None:
    """Put the classes into MMDetection 2's registries.

    Parameters
    ----------
    assigners : object
        ``BBOX_ASSIGNERS``; has ``register_module(name=..., module=..., force=...)``.
    iou_calculators, match_costs : object, optional
        ``IOU_CALCULATORS`` and ``MATCH_COST``. The assigners build theirs without.
    force : bool, default False
        Replace what has these names, as is needed where MMDetection has registered its own.
    """
    register_classes(assigners, ASSIGNERS.values(), force=force)
    if iou_calculators is not None:
        register_classes(iou_calculators, [BboxOverlaps2D], force=force)
    if match_costs is not None:
        register_classes(match_costs, COSTS.values(), force=force)

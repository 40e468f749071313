"""Drop-in assigners for MMDetection 3, and for visdet, which has its protocol.

The classes have the names, constructor knobs, defaults and signatures of
``mmdet.models.task_modules.assigners``; the work is done by :mod:`assigncore`. Neither MMDetection
nor MMEngine is needed: instances are any objects with the attributes that are read.
"""

from __future__ import annotations

from typing import Any

from assigncore.adapters.mmdet.assigners import (
    ApproxMaxIoUAssigner,
    ATSSAssigner,
    CenterRegionAssigner,
    DynamicSoftLabelAssigner,
    GridAssigner,
    MaxIoUAssigner,
    MultiInstanceAssigner,
    PointAssigner,
    RegionAssigner,
    RotatedATSSAssigner,
    SimOTAAssigner,
    TaskAlignedAssigner,
    UniformAssigner,
)
from assigncore.adapters.mmdet.building import build_from, register_classes
from assigncore.adapters.mmdet.costs import (
    COSTS,
    BBoxL1Cost,
    BinaryFocalLossCost,
    ClassificationCost,
    CrossEntropyLossCost,
    DiceCost,
    FocalLossCost,
    IoUCost,
    build_match_cost,
)
from assigncore.adapters.mmdet.knobs import CALCULATORS, build_iou_calculator
from assigncore.adapters.mmdet.matching_assigners import HungarianAssigner, TopkHungarianAssigner
from assigncore.adapters.mmdet.overlaps import BboxOverlaps2D, BboxOverlaps2D_GLIP, bbox_overlaps
from assigncore.adapters.mmdet.result import AssignResult

__all__ = [
    "ASSIGNERS",
    "ATSSAssigner",
    "ApproxMaxIoUAssigner",
    "AssignResult",
    "BBoxL1Cost",
    "BboxOverlaps2D",
    "BboxOverlaps2D_GLIP",
    "BinaryFocalLossCost",
    "CenterRegionAssigner",
    "ClassificationCost",
    "CrossEntropyLossCost",
    "DiceCost",
    "DynamicSoftLabelAssigner",
    "FocalLossCost",
    "GridAssigner",
    "HungarianAssigner",
    "IoUCost",
    "MaxIoUAssigner",
    "MultiInstanceAssigner",
    "PointAssigner",
    "RegionAssigner",
    "RotatedATSSAssigner",
    "SimOTAAssigner",
    "TaskAlignedAssigner",
    "TopkHungarianAssigner",
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
        CenterRegionAssigner,
        DynamicSoftLabelAssigner,
        GridAssigner,
        HungarianAssigner,
        MaxIoUAssigner,
        MultiInstanceAssigner,
        PointAssigner,
        RegionAssigner,
        SimOTAAssigner,
        TaskAlignedAssigner,
        TopkHungarianAssigner,
        UniformAssigner,
    )
}
"""By the names of configs."""

NAMED = {**ASSIGNERS, RotatedATSSAssigner.__name__: RotatedATSSAssigner}
"""The same, and what MMRotate calls otherwise."""


def build_assigner(config: Any) -> Any:
    """Build an assigner from a config mapping, without any registry.

    Examples
    --------
    >>> import torch
    >>> from types import SimpleNamespace
    >>> assigner = build_assigner(
    ...     {
    ...         "type": "mmdet.MaxIoUAssigner",
    ...         "pos_iou_thr": 0.5,
    ...         "neg_iou_thr": 0.4,
    ...         "iou_calculator": {"type": "mmdet.BboxOverlaps2D"},
    ...     }
    ... )
    >>> boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0], [20.0, 20.0, 28.0, 28.0]])
    >>> ground_truth = SimpleNamespace(bboxes=boxes[:1] + 1, labels=torch.tensor([3]))
    >>> assigner.assign(SimpleNamespace(priors=boxes), ground_truth).gt_inds
    tensor([1, 0])
    """
    return build_from(NAMED, config, "assigner")


def register(registry: Any, *, force: bool = False) -> None:
    """Put assigners, overlap calculators and match costs into a registry such as ``TASK_UTILS``.

    Parameters
    ----------
    registry : object
        Has ``register_module(name=..., module=..., force=...)``.
    force : bool, default False
        Replace what has these names, as is needed where MMDetection has registered its own.
    """
    register_classes(registry, [*NAMED.values(), *CALCULATORS.values(), *COSTS.values()], force=force)

"""The settings by which published set predictors give ground truths several queries while they train."""

from __future__ import annotations

from typing import Any, NamedTuple

from assigncore.assigners.atss import ATSSAssigner
from assigncore.assigners.hungarian import HungarianAssigner
from assigncore.assigners.matcher import Matcher
from assigncore.assigners.max_iou import MaxIoUAssigner
from assigncore.assigners.task_aligned import TaskAlignedAssigner
from assigncore.costs import BBoxL1Cost, FocalLossCost, IoUCost, PositionModulatedCost

__all__ = [
    "CoDetrAssigners",
    "RTDetrV3Assigners",
    "co_detr",
    "deim",
    "deta",
    "h_detr",
    "ms_detr",
    "rt_detr_v3",
    "stable_dino",
]


class CoDetrAssigners(NamedTuple):
    """What the auxiliary heads of Co-DETR assign by.

    Attributes
    ----------
    rpn, rcnn : MaxIoUAssigner
        Of the two stages of its Faster R-CNN head.
    atss : ATSSAssigner
        Of its ATSS head.
    """

    rpn: MaxIoUAssigner
    rcnn: MaxIoUAssigner
    atss: ATSSAssigner


class RTDetrV3Assigners(NamedTuple):
    """What RT-DETRv3 assigns by beside its one-to-one matching.

    Attributes
    ----------
    dense : TaskAlignedAssigner
        Of its convolutional head.
    one_to_many : HungarianAssigner
        Of its decoder branch with several queries for each ground truth.
    """

    dense: TaskAlignedAssigner
    one_to_many: HungarianAssigner


def _focal_matching(**knobs: Any) -> HungarianAssigner:
    """Return the matching of DETRs with focal losses, by the class 2, the box 5 and its GIoU 2."""
    costs = (FocalLossCost(weight=2.0), BBoxL1Cost("xywh", weight=5.0), IoUCost(weight=2.0))
    return HungarianAssigner(**{"match_costs": costs, **knobs})


def h_detr(**knobs: Any) -> HungarianAssigner:
    """Return the assigner of H-DETR's one-to-many branch: each ground truth six times.

    Parameters
    ----------
    **knobs
        Knobs of :class:`HungarianAssigner` in place of the published ones.

    References
    ----------
    Jia et al., "DETRs with Hybrid Matching", 2023.

    Examples
    --------
    >>> h_detr().repeat
    6
    """
    return _focal_matching(**{"repeat": 6, **knobs})


def rt_detr_v3(**knobs: Any) -> RTDetrV3Assigners:
    """Return the assigners of RT-DETRv3's further branches: task-aligned, and each ground truth four times.

    Parameters
    ----------
    **knobs
        Knobs of the :class:`HungarianAssigner` in place of the published ones.

    References
    ----------
    Wang et al., "RT-DETRv3: Real-time End-to-End Object Detection with Hierarchical Dense Positive
    Supervision", 2025.

    Examples
    --------
    >>> rt_detr_v3().one_to_many.repeat, rt_detr_v3().dense.topk
    (4, 13)
    """
    return RTDetrV3Assigners(TaskAlignedAssigner(topk=13), _focal_matching(**{"repeat": 4, **knobs}))


def deim(**knobs: Any) -> HungarianAssigner:
    """Return the assigner of DEIM: one to one. Dense it is by images of more objects, joined of several.

    Parameters
    ----------
    **knobs
        Knobs of :class:`HungarianAssigner` in place of the published ones.

    References
    ----------
    Huang et al., "DEIM: DETR with Improved Matching for Fast Convergence", 2025.

    Examples
    --------
    >>> deim().repeat
    1
    """
    return _focal_matching(**knobs)


def stable_dino(**knobs: Any) -> HungarianAssigner:
    """Return the assigner of Stable-DINO: one to one, by a class cost that heeds the position.

    Parameters
    ----------
    **knobs
        Knobs of :class:`HungarianAssigner` in place of the published ones.

    References
    ----------
    Liu et al., "Detection Transformer with Stable Matching", 2023.

    Examples
    --------
    >>> stable_dino().match_costs[0]
    PositionModulatedCost(beta=0.5, alpha=0.25, gamma=2, weight=2.0)
    """
    costs = (PositionModulatedCost(weight=2.0), BBoxL1Cost("xywh", weight=5.0), IoUCost(weight=2.0))
    return HungarianAssigner(**{"match_costs": costs, **knobs})


def co_detr() -> CoDetrAssigners:
    """Return the assigners of Co-DETR's auxiliary heads, whose positives become queries.

    References
    ----------
    Zong et al., "DETRs with Collaborative Hybrid Assignments Training", 2023.

    Examples
    --------
    >>> co_detr().atss.topk
    9
    """
    return CoDetrAssigners(
        MaxIoUAssigner(0.7, 0.3, min_pos_iou=0.3),
        MaxIoUAssigner(0.5, 0.5, min_pos_iou=0.5, match_low_quality=False),
        ATSSAssigner(topk=9),
    )


def deta(**knobs: Any) -> Matcher:
    """Return the assigner of DETA's decoder, of which :func:`keep_best` then keeps four a ground truth.

    Parameters
    ----------
    **knobs
        Knobs of :class:`Matcher` in place of the published ones.

    References
    ----------
    Ouyang-Zhang et al., "NMS Strikes Back", 2022.

    Examples
    --------
    >>> deta().thresholds
    (0.6,)
    """
    published = {"thresholds": (0.6,), "labels": (0, 1), "allow_low_quality_matches": True}
    return Matcher(**{**published, **knobs})


def ms_detr(**knobs: Any) -> Matcher:
    """Return the assigner of MS-DETR's one-to-many branch, of which :func:`keep_best` then keeps six.

    It matches by given values: 0.7 times the IoU and 0.3 times the score of the class.

    Parameters
    ----------
    **knobs
        Knobs of :class:`Matcher` in place of the published ones.

    References
    ----------
    Zhao et al., "MS-DETR: Efficient DETR Training with Mixed Supervision", 2024.

    Examples
    --------
    >>> ms_detr().thresholds
    (0.4,)
    """
    published = {"thresholds": (0.4,), "labels": (0, 1), "allow_low_quality_matches": True}
    return Matcher(**{**published, **knobs})

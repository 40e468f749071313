"""The settings of the task-aligned assigner that published detectors train with."""

from __future__ import annotations

from typing import Any, NamedTuple

from assigncore.assigners.task_aligned import TaskAlignedAssigner
from assigncore.boxes.calculators import PositiveCIoU, ProbIoU, SmoothedIoU
from assigncore.steps.keypoints import COCO_SIGMAS

__all__ = ["DualAssigners", "yolo26_pose", "yolov6", "yolov8", "yolov8_obb", "yolov10"]


class DualAssigners(NamedTuple):
    """The assigners of a detector with two heads, of which only the second is used when it is deployed.

    Attributes
    ----------
    one_to_many : TaskAlignedAssigner
        Gives each ground truth several priors, for a rich supervision.
    one_to_one : TaskAlignedAssigner
        Gives each ground truth at most one, so that no duplicates need suppressing.
    """

    one_to_many: TaskAlignedAssigner
    one_to_one: TaskAlignedAssigner


def yolov6(**knobs: Any) -> TaskAlignedAssigner:
    """Return the assigner of YOLOv6: the best priors inside, by IoU, soft scores.

    Parameters
    ----------
    **knobs
        Knobs of :class:`TaskAlignedAssigner` in place of the published ones.

    References
    ----------
    Li et al., "YOLOv6: A Single-Stage Object Detection Framework for Industrial Applications", 2022.

    Examples
    --------
    >>> yolov6().topk, yolov6(topk=9).topk
    (13, 9)
    """
    published: dict[str, Any] = {
        "topk": 13,
        "alpha": 1.0,
        "beta": 6.0,
        "iou_calculator": SmoothedIoU(eps=1e-9),
        "topk_inside": True,
        "inside_margin": 1e-9,
        "conflicts": "all",
        "normalized": True,
        "eps": 1e-7,
    }
    return TaskAlignedAssigner(**{**published, **knobs})


def yolov8(**knobs: Any) -> TaskAlignedAssigner:
    """Return the assigner of YOLOv8: the best priors inside, by complete IoU; small objects count as larger.

    Parameters
    ----------
    **knobs
        Knobs of :class:`TaskAlignedAssigner` in place of the published ones. `smallest_side` is the second
        stride of the detector, here 16.

    Examples
    --------
    >>> yolov8().alpha
    0.5
    """
    published: dict[str, Any] = {
        "topk": 10,
        "alpha": 0.5,
        "beta": 6.0,
        "iou_calculator": PositiveCIoU(),
        "topk_inside": True,
        "inside_margin": 1e-9,
        "smallest_side": 16.0,
        "conflicts": "inside",
        "normalized": True,
        "eps": 1e-9,
    }
    return TaskAlignedAssigner(**{**published, **knobs})


def yolov8_obb(**knobs: Any) -> TaskAlignedAssigner:
    """Return the assigner of YOLOv8-OBB and YOLO11-OBB: the rule of YOLOv8 for oriented boxes, by ProbIoU.

    A point on a box's side is inside, and boxes are cx, cy, w, h and the angle in radians.

    Parameters
    ----------
    **knobs
        Knobs of :class:`TaskAlignedAssigner` in place of the published ones, which are those of `yolov8` but
        for the calculator and the margin.

    Examples
    --------
    >>> yolov8_obb().iou_calculator
    ProbIoU(eps=1e-07)
    """
    return yolov8(**{"iou_calculator": ProbIoU(), "inside_margin": None, **knobs})


def yolov10(**knobs: Any) -> DualAssigners:
    """Return the two assigners of YOLOv10, which agree in their metric and differ in how many they take.

    Parameters
    ----------
    **knobs
        Knobs of :class:`TaskAlignedAssigner` for both in place of the published ones.

    Notes
    -----
    The one-to-one head takes the single best prior of each ground truth, ``topk=1``. Later detectors choose
    a few and keep one after conflicts, which leaves fewer ground truths without a prior:
    ``yolov8(topk=7, topk2=1)``.

    References
    ----------
    Wang et al., "YOLOv10: Real-Time End-to-End Object Detection", 2024.

    Examples
    --------
    >>> one_to_many, one_to_one = yolov10()
    >>> one_to_many.topk, one_to_one.topk
    (10, 1)
    """
    return DualAssigners(yolov8(**{**knobs, "topk": 10}), yolov8(**{**knobs, "topk": 1}))


def yolo26_pose(**knobs: Any) -> TaskAlignedAssigner:
    """Return the assigner of ultralytics' newer pose detectors: YOLOv8's, by keypoints, on levels that fit.

    Parameters
    ----------
    **knobs
        Knobs of :class:`TaskAlignedAssigner` in place of the published ones, which are those of `yolov8` and
        the tolerances of COCO's keypoints.

    Examples
    --------
    >>> len(yolo26_pose().sigmas)
    17
    """
    return yolov8(**{"sigmas": COCO_SIGMAS, "level_sizes": (2.0, 12.0), **knobs})

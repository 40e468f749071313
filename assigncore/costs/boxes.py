"""Match costs of boxes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from assigncore.backend import Array
from assigncore.boxes.calculators import BboxOverlaps2D, columns_of_boxes, measure_of
from assigncore.boxes.formulas import Mode, drop_nonfinite, pairwise_l1, pairwise_overlaps, xyxy_to_cxcywh
from assigncore.checks import check_choice, check_knob
from assigncore.costs.base import MatchCost
from assigncore.inputs import MatchScene
from assigncore.numerics import divided
from assigncore.registry import COSTS

__all__ = ["BBoxL1Cost", "IoUCost", "OverlapCost"]


@COSTS.register
@dataclass(frozen=True)
class BBoxL1Cost(MatchCost):
    """The summed distance of a prediction's four box numbers from a ground truth's, by image size.

    Reads `pred_bboxes` (..., N, 4) and `gt_bboxes` (..., G, 4), x1, y1, x2, y2 in pixels, and `image_shape`.

    Parameters
    ----------
    box_format : {"xyxy", "xywh", "xywhr"}, default "xyxy"
        Compare corners, or centre and size. ``"xywhr"``: boxes are oriented, (..., N, 5) and (..., G, 5), and
        the angle counts in half turns.
    weight : float, default 1.0
        Factor of the cost.

    References
    ----------
    Carion et al., "End-to-End Object Detection with Transformers", 2020.

    Examples
    --------
    >>> import numpy as np
    >>> pred = np.array([[0.0, 0.0, 50.0, 20.0], [0.0, 0.0, 100.0, 100.0]])
    >>> BBoxL1Cost()(pred_bboxes=pred, gt_bboxes=pred[:1], image_shape=(100, 100))
    array([[0. ],
           [1.3]])
    """

    box_format: str = "xyxy"
    weight: float = 1.0

    def _check_knobs(self) -> None:
        check_choice("box_format", self.box_format, ("xyxy", "xywh", "xywhr"))
        check_knob("weight", self.weight)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""
        return ("pred_bboxes", "gt_bboxes", "image_shape")

    @property
    def columns(self) -> int:
        """The columns of the boxes it reads."""
        return 5 if self.box_format == "xywhr" else 4

    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the distances."""
        xp = scene.xp
        height, width = arrays["image_shape"][:, :1], arrays["image_shape"][:, 1:]
        turn = [xp.full_like(width, math.pi)] if self.box_format == "xywhr" else []
        size = xp.concat([width, height, width, height, *turn], axis=-1)[:, None, :]
        pred, gt = arrays["pred_bboxes"], arrays["gt_bboxes"]
        if self.box_format == "xywh":
            pred, gt = xyxy_to_cxcywh(pred), xyxy_to_cxcywh(gt)
        return pairwise_l1(divided(pred, size), divided(gt, size))


@COSTS.register
@dataclass(frozen=True)
class IoUCost(MatchCost):
    """The negative overlap of a prediction with a ground truth.

    Reads `pred_bboxes` (..., N, 4) and `gt_bboxes` (..., G, 4), x1, y1, x2, y2 in pixels.

    Parameters
    ----------
    iou_mode : {"giou", "iou", "iof", "diou", "ciou"}, default "giou"
        Which overlap; of ``"iof"`` the prediction is the foreground.
    weight : float, default 1.0
        Factor of the cost.

    Notes
    -----
    A pair with a box that has a NaN, infinite or overflowing coordinate costs NaN.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]])
    >>> IoUCost(iou_mode="iou")(pred_bboxes=boxes, gt_bboxes=boxes)
    array([[-1. , -0.5],
           [-0.5, -1. ]])
    """

    iou_mode: Mode = "giou"
    weight: float = 1.0

    def _check_knobs(self) -> None:
        check_choice("iou_mode", self.iou_mode, get_args(Mode))
        check_knob("weight", self.weight)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""
        return ("pred_bboxes", "gt_bboxes")

    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the overlaps."""
        pred, pred_finite = drop_nonfinite(arrays["pred_bboxes"])
        gt, gt_finite = drop_nonfinite(arrays["gt_bboxes"])
        finite = pred_finite[:, :, None] & gt_finite[:, None, :]
        return scene.backend.keep(finite, -pairwise_overlaps(pred, gt, self.iou_mode), float("nan"))


@COSTS.register
@dataclass(frozen=True)
class OverlapCost(MatchCost):
    """The negative overlap of a prediction with a ground truth, by any overlap calculator.

    Reads `pred_bboxes` (..., N, D) and `gt_bboxes` (..., G, D) in pixels, of as many columns D as the
    calculator takes: 5 for oriented boxes.

    Parameters
    ----------
    iou_calculator : callable or config mapping, optional
        Computes the overlaps; default :class:`assigncore.BboxOverlaps2D`.
    weight : float, default 1.0
        Factor of the cost.

    Notes
    -----
    A pair with a box that has a NaN, infinite or overflowing coordinate costs NaN.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[4.0, 4.0, 8.0, 2.0, 0.0], [4.0, 4.0, 8.0, 2.0, np.pi / 2]])
    >>> OverlapCost({"type": "RotatedIoU"}, weight=2.0)(pred_bboxes=boxes, gt_bboxes=boxes).round(4)
    array([[-2.    , -0.2857],
           [-0.2857, -2.    ]])
    """

    iou_calculator: Callable[..., Any] | Mapping[str, Any] = field(default_factory=BboxOverlaps2D)
    weight: float = 1.0

    def _check_knobs(self) -> None:
        check_knob("weight", self.weight)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""
        return ("pred_bboxes", "gt_bboxes")

    @property
    def columns(self) -> int:
        """The columns of the boxes it reads."""
        return columns_of_boxes(self.iou_calculator)

    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the overlaps."""
        pred, pred_finite = drop_nonfinite(arrays["pred_bboxes"])
        gt, gt_finite = drop_nonfinite(arrays["gt_bboxes"])
        overlaps = scene.xp.matrix_transpose(measure_of(self.iou_calculator, "iou")(gt, pred))
        finite = pred_finite[:, :, None] & gt_finite[:, None, :]
        return scene.backend.keep(finite, -overlaps, float("nan"))

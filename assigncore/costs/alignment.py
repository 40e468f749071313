"""The match cost of scores and overlaps at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assigncore.backend import Array
from assigncore.checks import check_knob
from assigncore.costs.base import MatchCost
from assigncore.costs.boxes import IoUCost
from assigncore.costs.classes import ClassificationCost, of_labels
from assigncore.inputs import MatchScene
from assigncore.numerics import at_least, power, sigmoid
from assigncore.registry import COSTS

__all__ = ["AlignmentCost"]


@COSTS.register
@dataclass(frozen=True)
class AlignmentCost(MatchCost):
    """The negative product of a power of the score for a ground truth's class and a power of the IoU.

    Reads `pred_logits` (..., N, C), `gt_labels` (..., G), and `pred_bboxes` (..., N, 4) and `gt_bboxes`
    (..., G, 4), x1, y1, x2, y2 in pixels.

    Parameters
    ----------
    alpha, beta : float, default 1.0
        Exponents of the score and of the IoU, at least 0.
    use_sigmoid : bool, default True
        Whether the score is the sigmoid of the logit; otherwise softmax makes it of all classes.
    weight : float, default 1.0
        Factor of the cost.

    Notes
    -----
    Pairs that do not overlap all cost 0, so that which of them are matched says nothing. A pair whose class
    or overlap cannot be told costs NaN.

    References
    ----------
    Feng et al., "TOOD: Task-aligned One-stage Object Detection", 2021. Huang et al., "DEIM: DETR with
    Improved Matching for Fast Convergence", 2025, for matching.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]])
    >>> AlignmentCost(beta=2.0)(
    ...     pred_logits=np.zeros((2, 1)), gt_labels=np.array([0]), pred_bboxes=boxes, gt_bboxes=boxes[:1]
    ... )
    array([[-0.5  ],
           [-0.125]])
    """

    alpha: float = 1.0
    beta: float = 1.0
    use_sigmoid: bool = True
    weight: float = 1.0

    def _check_knobs(self) -> None:
        check_knob("alpha", self.alpha, at_least=0)
        check_knob("beta", self.beta, at_least=0)
        check_knob("weight", self.weight)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""
        return ("pred_logits", "gt_labels", "pred_bboxes", "gt_bboxes")

    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the products."""
        if self.use_sigmoid:
            score = sigmoid(of_labels(scene, arrays["pred_logits"], arrays["gt_labels"]))
        else:
            score = -ClassificationCost().unweighted(scene, arrays)
        overlap = at_least(-IoUCost(iou_mode="iou").unweighted(scene, arrays), 0.0)
        return -(power(score, self.alpha) * power(overlap, self.beta))

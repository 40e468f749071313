"""The focal cost of a class whose score is modulated by where the prediction is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assigncore.backend import Array
from assigncore.boxes.calculators import BboxOverlaps2D, measure_of
from assigncore.boxes.formulas import drop_nonfinite
from assigncore.checks import check_knob
from assigncore.costs.base import MatchCost
from assigncore.costs.boxes import IoUCost
from assigncore.costs.classes import of_labels
from assigncore.inputs import MatchScene
from assigncore.numerics import at_least, log, power, quotient, rounded_product, sigmoid
from assigncore.registry import COSTS
from assigncore.steps.overlaps import PairwiseOverlaps, best_of_priors

__all__ = ["PositionModulatedCost"]

TINY = 1e-8
"""Added where is divided, and to a probability before its logarithm, as published."""


@COSTS.register
@dataclass(frozen=True)
class PositionModulatedCost(MatchCost):
    """The focal cost of a ground truth's class, its score scaled by how well the prediction's box fits.

    Reads `pred_logits` (..., N, C), `gt_labels` (..., G), and `pred_bboxes` (..., N, 4) and `gt_bboxes`
    (..., G, 4), x1, y1, x2, y2 in pixels.

    The score is multiplied by a power of the GIoU, shifted and scaled to 0 to 1. Where the best of an image
    is less than 1, all are scaled by as much as makes it 1.

    Parameters
    ----------
    beta : float, default 0.5
        Exponent of the scaled GIoU, at least 0; with 0 it is the focal cost of the score alone.
    alpha : float, default 0.25
        Weight of what is true against what is false, from 0 to 1.
    gamma : float, default 2
        Exponent that plays down what is predicted well, at least 0.
    weight : float, default 1.0
        Factor of the cost.

    Notes
    -----
    A pair whose class or overlap cannot be told costs NaN. The published code keeps overlaps by class, so
    that of several ground truths of one class the last one's count for all; here each pair has its own, as
    the paper writes it.

    References
    ----------
    Liu et al., "Detection Transformer with Stable Matching", 2023.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 4.0, 4.0], [4.0, 0.0, 8.0, 4.0]])
    >>> PositionModulatedCost()(
    ...     pred_logits=np.zeros((2, 1)), gt_labels=np.array([0]), pred_bboxes=boxes, gt_bboxes=boxes[:1]
    ... ).round(3)
    array([[-0.087],
           [ 0.068]])
    """

    beta: float = 0.5
    alpha: float = 0.25
    gamma: float = 2
    weight: float = 1.0

    def _check_knobs(self) -> None:
        check_knob("alpha", self.alpha, at_least=0, at_most=1)
        for name in ("beta", "gamma"):
            check_knob(name, getattr(self, name), at_least=0)
        check_knob("weight", self.weight)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""
        return ("pred_logits", "gt_labels", "pred_bboxes", "gt_bboxes")

    def of_images(self, scene: MatchScene) -> Mapping[str, Array]:
        """Find how well the best pair of each image fits, (B, 1, 1)."""
        xp, (images, _, n_gts) = scene.xp, scene.shape
        pred, pred_finite = drop_nonfinite(scene.arrays["pred_bboxes"])
        gt, gt_finite = drop_nonfinite(scene.arrays["gt_bboxes"])
        eligible = pred_finite & scene.prior_valid
        overlaps = PairwiseOverlaps(
            backend=scene.backend,
            measure=measure_of(BboxOverlaps2D(), "giou"),
            zero_when_disjoint=False,
            priors=pred,
            gt_bboxes=xp.broadcast_to(gt, (images, n_gts, 4)),
            eligible=eligible,
            gt_valid=gt_finite & scene.gt_valid,
        )
        best = xp.max(xp.where(eligible, best_of_priors(overlaps), -1.0), axis=-1)
        return {"best_fit": ((at_least(best, -1.0) + 1.0) * 0.5)[:, None, None]}

    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the costs."""
        xp, best = scene.xp, arrays["best_fit"]
        fit = (1.0 - IoUCost(iou_mode="giou").unweighted(scene, arrays)) * 0.5
        fit = rounded_product(fit, at_least(quotient(xp.ones_like(best), best + TINY), 1.0))
        score = sigmoid(of_labels(scene, arrays["pred_logits"], arrays["gt_labels"]))
        score = rounded_product(score, power(at_least(fit, 0.0), self.beta))
        # A score that was just scaled to the best of all may round to more than 1.
        rest = at_least(1.0 - score, 0.0)
        true = rounded_product(-log(score + TINY) * float(self.alpha), power(rest, self.gamma))
        false = rounded_product(-log(rest + TINY) * float(1 - self.alpha), power(score, self.gamma))
        return true - false

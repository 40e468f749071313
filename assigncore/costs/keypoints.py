"""Match costs of keypoints.

Where classes have keypoints of their own, the K keypoints are those of all classes, and one that the class of
a ground truth lacks has a negative visibility.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assigncore.backend import Array
from assigncore.boxes.formulas import box_area, drop_nonfinite
from assigncore.checks import check_choice, check_knob, check_numbers
from assigncore.costs.base import MatchCost
from assigncore.inputs import MatchScene
from assigncore.numerics import at_least, divided, exp, log, log1p, quotient, rounded_product, sqrt
from assigncore.registry import COSTS
from assigncore.steps.keypoints import flat_keypoints, keypoint_similarity

__all__ = ["KeypointL1Cost", "KeypointNLLCost", "KeypointVisibilityCost", "OKSCost"]


@COSTS.register
@dataclass(frozen=True)
class OKSCost(MatchCost):
    """The negative object keypoint similarity (OKS) of a predicted pose with a ground truth's.

    Reads `pred_keypoints` (..., N, K, 2), x, y in pixels, `gt_keypoints` (..., G, K, 3), x, y and visibility,
    0 where a keypoint does not count, and `gt_bboxes` (..., G, 4), whose areas say how large an object is.

    Parameters
    ----------
    sigmas : sequence of float
        Tolerances of the K keypoints, relative to an object's size.
    area_share : float, default 1.0
        Share of its box that an object is taken to cover.
    form : {"linear", "log"}, default "linear"
        The negative similarity, as PETR matches, or its negative logarithm, as YOLOX-Pose and RTMO do.
    eps : float, default 1e-7
        Added to the similarity before its logarithm.
    weight : float, default 1.0
        Factor of the cost.

    Notes
    -----
    A ground truth without a keypoint that counts has the similarity 0 with all. A pair with a keypoint that
    counts and is NaN or infinite costs NaN.

    References
    ----------
    Shi et al., "End-to-End Multi-Person Pose Estimation with Transformers", 2022 (PETR). Maji et al.,
    "YOLO-Pose: Enhancing YOLO for Multi Person Pose Estimation Using Object Keypoint Similarity Loss", 2022.
    Lu et al., "RTMO: Towards High-Performance One-Stage Real-Time Multi-Person Pose Estimation", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> cost = OKSCost(sigmas=(0.1,), weight=7.0)
    >>> cost(
    ...     pred_keypoints=np.array([[[5.0, 5.0]], [[5.0, 7.0]]]),
    ...     gt_keypoints=np.array([[[5.0, 5.0, 2.0]]]),
    ...     gt_bboxes=np.array([[0.0, 0.0, 10.0, 10.0]]),
    ... ).round(3)
    array([[-7.   ],
           [-4.246]])
    """

    sigmas: Sequence[float]
    area_share: float = 1.0
    form: str = "linear"
    eps: float = 1e-7
    weight: float = 1.0

    def _check_knobs(self) -> None:
        check_numbers("sigmas", self.sigmas, at_least=0)
        check_knob("area_share", self.area_share, at_least=0)
        check_choice("form", self.form, ("linear", "log"))
        check_knob("eps", self.eps, at_least=1e-30)
        check_knob("weight", self.weight)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""
        return ("pred_keypoints", "gt_keypoints", "gt_bboxes")

    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the similarities."""
        count = int(arrays["gt_keypoints"].shape[-2])
        if count != len(self.sigmas):
            raise ValueError(f"gt_keypoints: expected {len(self.sigmas)} keypoints, one a sigma, got {count}")
        gt, gt_finite, pred, finite = flat_keypoints(arrays["gt_keypoints"], arrays["pred_keypoints"])
        area, boxes_finite = _areas(arrays["gt_bboxes"])
        area = rounded_product(area, float(self.area_share))
        alike = keypoint_similarity(gt[:, None, ...], pred[:, :, None, :], area, self.sigmas)
        cost = -alike if self.form == "linear" else -log(alike + float(self.eps))
        pairs = finite[:, :, None] & gt_finite[:, None, :] & boxes_finite
        return scene.backend.keep(pairs, cost, float("nan"))


@COSTS.register
@dataclass(frozen=True)
class KeypointL1Cost(MatchCost):
    """The mean distance of a predicted pose's keypoints from a ground truth's, by image or object size.

    Reads `pred_keypoints` (..., N, K, 2), x, y in pixels, `gt_keypoints` (..., G, K, 3), x, y and visibility,
    0 where a keypoint does not count, and `image_shape`, or of an object `gt_bboxes` (..., G, 4).

    Parameters
    ----------
    relative_to : {"image", "object"}, default "image"
        What distances are divided by: the sides of the image, as in PETR, or the root of the area of the
        ground truth's box, as in RF-DETR.
    weight : float, default 1.0
        Factor of the cost; PETR's is 70.

    Notes
    -----
    The sum of both coordinates' absolute differences over the keypoints that count, by their number; 0 where
    none does, or the box has no area. A pair with a keypoint that counts and is NaN or infinite costs NaN.

    References
    ----------
    Shi et al., "End-to-End Multi-Person Pose Estimation with Transformers", 2022. Robinson et al., "RF-DETR:
    Neural Architecture Search for Real-Time Detection Transformers", 2025.

    Examples
    --------
    >>> import numpy as np
    >>> KeypointL1Cost()(
    ...     pred_keypoints=np.array([[[5.0, 5.0], [0.0, 0.0]]]),
    ...     gt_keypoints=np.array([[[5.0, 15.0, 1.0], [9.0, 9.0, 0.0]]]),
    ...     image_shape=(100, 200),
    ... )
    array([[0.1]])
    """

    relative_to: str = "image"
    weight: float = 1.0

    def _check_knobs(self) -> None:
        check_choice("relative_to", self.relative_to, ("image", "object"))
        check_knob("weight", self.weight)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""
        size = "image_shape" if self.relative_to == "image" else "gt_bboxes"
        return ("pred_keypoints", "gt_keypoints", size)

    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the distances."""
        xp = scene.xp
        gt, gt_finite, pred, finite = flat_keypoints(arrays["gt_keypoints"], arrays["pred_keypoints"])
        pairs = finite[:, :, None] & gt_finite[:, None, :]
        sides: tuple[Array, ...] = ()
        if self.relative_to == "image":
            sides = tuple(arrays["image_shape"][:, axis : axis + 1][:, None, :] for axis in (1, 0))
        total = scene.full((int(pred.shape[0]), int(pred.shape[1]), int(gt.shape[1])), 0.0)
        number = scene.full((1, 1, 1), 0.0)
        for k in range(int(gt.shape[-1]) // 3):
            counts = xp.astype(gt[..., 3 * k + 2] != 0, total.dtype)[:, None, :]
            number = number + counts
            for axis in (0, 1):
                of_pred, of_gt = pred[:, :, None, 2 * k + axis], gt[:, None, :, 3 * k + axis]
                if sides:
                    of_pred, of_gt = divided(of_pred, sides[axis]), divided(of_gt, sides[axis])
                total = total + rounded_product(xp.abs(of_pred - of_gt), counts)
        cost = _mean(xp, total, number)
        if not sides:
            area, boxes_finite = _areas(arrays["gt_bboxes"])
            pairs = pairs & boxes_finite
            cost = _by_area(xp, cost, area, sqrt(area))
        return scene.backend.keep(pairs, cost, float("nan"))


@COSTS.register
@dataclass(frozen=True)
class KeypointVisibilityCost(MatchCost):
    """The mean cross entropy of whether a ground truth's keypoints are labelled, or visible.

    Reads `pred_keypoint_logits` (..., N, K, 2), that a keypoint is labelled and that it is visible, and
    `gt_keypoints` (..., G, K, 3), of which only the visibility counts, as COCO numbers it: 1 where a keypoint
    is labelled, 2 where it is visible too, and negative where the class has no such keypoint.

    Parameters
    ----------
    visible : bool, default False
        Whether the second logit is compared, else the first.
    weight : float, default 1.0
        Factor of the cost.

    Notes
    -----
    The mean over the keypoints that the class has; 0 where it has none. A pair whose logits are NaN or
    infinite, or whose visibility is, costs NaN.

    References
    ----------
    Robinson et al., "RF-DETR: Neural Architecture Search for Real-Time Detection Transformers", 2025.

    Examples
    --------
    >>> import numpy as np
    >>> KeypointVisibilityCost()(
    ...     pred_keypoint_logits=np.array([[[2.0, 0.0]], [[-2.0, 0.0]]]),
    ...     gt_keypoints=np.array([[[5.0, 5.0, 1.0]]]),
    ... ).round(3)
    array([[0.127],
           [2.127]])
    """

    visible: bool = False
    weight: float = 1.0

    def _check_knobs(self) -> None:
        check_knob("weight", self.weight)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""
        return ("pred_keypoint_logits", "gt_keypoints")

    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the cross entropies."""
        xp = scene.xp
        logits, finite = drop_nonfinite(arrays["pred_keypoint_logits"][..., int(self.visible)])
        visibility, gt_finite = drop_nonfinite(arrays["gt_keypoints"][..., 2])
        of_false = at_least(logits, 0.0) + log1p(exp(-xp.abs(logits)))
        total = scene.full((int(logits.shape[0]), int(logits.shape[1]), int(visibility.shape[1])), 0.0)
        number = scene.full((1, 1, 1), 0.0)
        for k in range(int(visibility.shape[-1])):
            of_gt = visibility[:, None, :, k]
            there = xp.astype(of_gt >= 0, total.dtype)
            number = number + there
            true = of_gt > (1 if self.visible else 0)
            entropy = of_false[:, :, None, k] - xp.where(true, logits[:, :, None, k], 0.0)
            total = total + rounded_product(entropy, there)
        pairs = finite[:, :, None] & gt_finite[:, None, :]
        return scene.backend.keep(pairs, _mean(xp, total, number), float("nan"))


@COSTS.register
@dataclass(frozen=True)
class KeypointNLLCost(MatchCost):
    """The mean negative log-likelihood of a ground truth's keypoints under predicted normal distributions.

    Reads `pred_keypoints` (..., N, K, 2), x, y in pixels, `pred_keypoint_precision` (..., N, K, 3),
    `gt_keypoints` (..., G, K, 3), x, y and visibility, 0 where a keypoint does not count, and `gt_bboxes`
    (..., G, 4). Distances are relative to the root of the area of the ground truth's box.

    Parameters
    ----------
    weight : float, default 1.0
        Factor of the cost.

    Notes
    -----
    A precision a, b, c stands for the matrix ``L.T @ L`` of the inverse covariance, where L is
    ``[[exp(a), b], [0, exp(c)]]``. A keypoint at the distance d costs ``|L @ d|**2 / 2 - a - c``: the
    constant of the distribution is left out. The mean over the keypoints that count; 0 where none does, or
    the box has no area. A pair with a keypoint that counts, or a precision, that is NaN or infinite costs
    NaN.

    References
    ----------
    Robinson et al., "RF-DETR: Neural Architecture Search for Real-Time Detection Transformers", 2025.

    Examples
    --------
    >>> import numpy as np
    >>> KeypointNLLCost()(
    ...     pred_keypoints=np.array([[[5.0, 5.0]], [[5.0, 9.0]]]),
    ...     pred_keypoint_precision=np.array([[[1.0, 0.0, 1.0]], [[0.0, 0.0, 0.0]]]),
    ...     gt_keypoints=np.array([[[5.0, 5.0, 2.0]]]),
    ...     gt_bboxes=np.array([[0.0, 0.0, 10.0, 10.0]]),
    ... )
    array([[-2.  ],
           [ 0.08]])
    """

    weight: float = 1.0

    def _check_knobs(self) -> None:
        check_knob("weight", self.weight)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""
        return ("pred_keypoints", "pred_keypoint_precision", "gt_keypoints", "gt_bboxes")

    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the likelihoods."""
        xp = scene.xp
        gt, gt_finite, pred, finite = flat_keypoints(arrays["gt_keypoints"], arrays["pred_keypoints"])
        area, boxes_finite = _areas(arrays["gt_bboxes"])
        precision = arrays["pred_keypoint_precision"]
        is_number = xp.isfinite(precision)
        finite = finite & xp.all(xp.all(is_number, axis=-1), axis=-1)
        precision = xp.where(is_number, precision, 0.0)
        across, skew, down = exp(precision[..., 0]), precision[..., 1], exp(precision[..., 2])
        of_scale = precision[..., 0] + precision[..., 2]
        total = scene.full((int(pred.shape[0]), int(pred.shape[1]), int(gt.shape[1])), 0.0)
        number = scene.full((1, 1, 1), 0.0)
        for k in range(int(gt.shape[-1]) // 3):
            counted = gt[:, None, :, 3 * k + 2] != 0
            number = number + xp.astype(counted, total.dtype)
            dx = pred[:, :, None, 2 * k] - gt[:, None, :, 3 * k]
            dy = pred[:, :, None, 2 * k + 1] - gt[:, None, :, 3 * k + 1]
            u = rounded_product(across[:, :, None, k], dx) + rounded_product(skew[:, :, None, k], dy)
            v = rounded_product(down[:, :, None, k], dy)
            squared = rounded_product(u, u) + rounded_product(v, v)
            near = _by_area(xp, rounded_product(squared, 0.5), area, area)
            total = total + xp.where(counted, near - of_scale[:, :, None, k], 0.0)
        cost = xp.where(area > 0, _mean(xp, total, number), 0.0)
        return scene.backend.keep(
            finite[:, :, None] & gt_finite[:, None, :] & boxes_finite, cost, float("nan")
        )


def _areas(boxes: Array) -> tuple[Array, Array]:
    """Return the areas of ground truths, 0 where one is non-finite, and which are finite, (b, 1, G)."""
    boxes, finite = drop_nonfinite(boxes)
    return box_area(boxes)[:, None, :], finite[:, None, :]


def _by_area(xp: Any, x: Array, area: Array, divisor: Array) -> Array:
    """Divide pairs (b, n, G) by what an area (b, 1, G) gives, 0 where there is none."""
    x, safe = xp.broadcast_arrays(x, xp.where(area > 0, divisor, 1.0))
    return xp.where(area > 0, quotient(x, safe), 0.0)


def _mean(xp: Any, total: Array, number: Array) -> Array:
    """Divide sums of pairs (b, n, G) by numbers that broadcast, 0 where there are none."""
    return quotient(total, xp.broadcast_to(xp.where(number > 0, number, 1.0), total.shape))

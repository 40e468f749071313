"""Match costs of keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assigncore.backend import Array
from assigncore.boxes.formulas import box_area, drop_nonfinite
from assigncore.checks import check_choice, check_knob, check_numbers
from assigncore.costs.base import MatchCost
from assigncore.inputs import MatchScene
from assigncore.numerics import divided, log, quotient, rounded_product
from assigncore.registry import COSTS
from assigncore.steps.keypoints import flat_keypoints, keypoint_similarity

__all__ = ["KeypointL1Cost", "OKSCost"]


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
        boxes, boxes_finite = drop_nonfinite(arrays["gt_bboxes"])
        area = rounded_product(box_area(boxes), float(self.area_share))
        alike = keypoint_similarity(gt[:, None, ...], pred[:, :, None, :], area[:, None, :], self.sigmas)
        cost = -alike if self.form == "linear" else -log(alike + float(self.eps))
        pairs = finite[:, :, None] & (gt_finite & boxes_finite)[:, None, :]
        return scene.backend.keep(pairs, cost, float("nan"))


@COSTS.register
@dataclass(frozen=True)
class KeypointL1Cost(MatchCost):
    """The mean distance of a predicted pose's keypoints from a ground truth's, by image size.

    Reads `pred_keypoints` (..., N, K, 2), x, y in pixels, `gt_keypoints` (..., G, K, 3), x, y and visibility,
    0 where a keypoint does not count, and `image_shape`.

    Parameters
    ----------
    weight : float, default 1.0
        Factor of the cost; PETR's is 70.

    Notes
    -----
    The sum of both coordinates' absolute differences over the keypoints that count, by their number; 0 where
    none does. A pair with a keypoint that counts and is NaN or infinite costs NaN.

    References
    ----------
    Shi et al., "End-to-End Multi-Person Pose Estimation with Transformers", 2022.

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

    weight: float = 1.0

    def _check_knobs(self) -> None:
        check_knob("weight", self.weight)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""
        return ("pred_keypoints", "gt_keypoints", "image_shape")

    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the distances."""
        xp = scene.xp
        gt, gt_finite, pred, finite = flat_keypoints(arrays["gt_keypoints"], arrays["pred_keypoints"])
        sides = arrays["image_shape"][:, 1:], arrays["image_shape"][:, :1]
        total = scene.full((int(pred.shape[0]), int(pred.shape[1]), int(gt.shape[1])), 0.0)
        number = scene.full((1, 1, 1), 0.0)
        for k in range(int(gt.shape[-1]) // 3):
            counts = xp.astype(gt[..., 3 * k + 2] != 0, total.dtype)[:, None, :]
            number = number + counts
            for axis, side in enumerate(sides):
                size = side[:, None, :]
                of_pred = divided(pred[:, :, None, 2 * k + axis], size)
                apart = xp.abs(of_pred - divided(gt[:, None, :, 3 * k + axis], size))
                total = total + rounded_product(apart, counts)
        cost = quotient(total, xp.broadcast_to(xp.where(number > 0, number, 1.0), total.shape))
        return scene.backend.keep(finite[:, :, None] & gt_finite[:, None, :], cost, float("nan"))

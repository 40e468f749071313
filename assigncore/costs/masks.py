"""Match costs of masks, by matrix products: no array of prediction, ground truth and pixel exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assigncore.backend import Array
from assigncore.checks import check_knob
from assigncore.costs.base import MatchCost
from assigncore.inputs import MatchScene
from assigncore.numerics import at_least, sigmoid
from assigncore.registry import COSTS

__all__ = ["CrossEntropyLossCost", "DiceCost", "per_pixel", "summed"]


def summed(scene: MatchScene, true: Array, false: Array, inside: Array, outside: Array) -> Array:
    """Sum what predictions (b or 1, n, P) cost in maps (b or 1, G, P), and outside them, to (b, n, G)."""
    multiply, transpose = scene.backend.matrix_product, scene.xp.matrix_transpose
    return multiply(true, transpose(inside)) + multiply(false, transpose(outside))


def per_pixel(scene: MatchScene, true: Array, false: Array, masks: Array) -> Array:
    """Average over the pixels what predictions cost where a mask is set, and where it is not.

    Parameters
    ----------
    scene : MatchScene
        What is matched.
    true, false : array (b or 1, n, P)
        The cost of each pixel of a prediction if it is in the mask, and if it is not.
    masks : array (b or 1, G, P)
        From 0 to 1.

    Returns
    -------
    array (b, n, G)
        The mean costs.
    """
    return summed(scene, true, false, masks, 1.0 - masks) / int(masks.shape[-1])


@COSTS.register
@dataclass(frozen=True)
class DiceCost(MatchCost):
    """How little a predicted mask and a ground truth's have in common, against their sizes.

    Reads `pred_masks` (..., N, H, W) and `gt_masks` (..., G, H, W).

    Parameters
    ----------
    pred_act : bool, default False
        Predictions are logits, and a sigmoid makes them probabilities.
    eps : float, default 1e-3
        Added to the common part and to the sizes.
    naive_dice : bool, default True
        A size is the sum of a mask's values; if false, of their squares, as V-Net has it.
    weight : float, default 1.0
        Factor of the cost.

    References
    ----------
    Milletari et al., "V-Net", 2016. Cheng et al., "Per-Pixel Classification is Not All You Need for Semantic
    Segmentation", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> masks = np.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 1.0]]])
    >>> DiceCost(eps=0.0)(pred_masks=masks, gt_masks=masks)
    array([[0., 1.],
           [1., 0.]])
    """

    pred_act: bool = False
    eps: float = 1e-3
    naive_dice: bool = True
    weight: float = 1.0

    def _check_knobs(self) -> None:
        check_knob("eps", self.eps, at_least=0)
        check_knob("weight", self.weight)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""
        return ("pred_masks", "gt_masks")

    @property
    def masks_are_logits(self) -> bool:
        """Whether a sigmoid makes probabilities of the masks."""
        return self.pred_act

    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the Dice coefficients."""
        xp, gt, eps = scene.xp, arrays["gt_masks"], float(self.eps)
        pred = arrays["pred_masks"]
        pred = sigmoid(pred, arrays["mask_decay"]) if self.pred_act else pred
        common = 2.0 * scene.backend.matrix_product(pred, xp.matrix_transpose(gt))
        if not self.naive_dice:
            pred, gt = pred * pred, gt * gt
        sizes = xp.sum(pred, axis=-1)[:, :, None] + xp.sum(gt, axis=-1)[:, None, :]
        return 1.0 - (common + eps) / (sizes + eps)


@COSTS.register
@dataclass(frozen=True)
class CrossEntropyLossCost(MatchCost):
    """The mean over the pixels of the cross entropy between a predicted mask and a ground truth's.

    Reads `pred_masks` (..., N, H, W), logits, and `gt_masks` (..., G, H, W).

    Parameters
    ----------
    use_sigmoid : bool, default True
        Each pixel is in the mask or not. There is no other form.
    weight : float, default 1.0
        Factor of the cost.

    References
    ----------
    Cheng et al., "Masked-attention Mask Transformer for Universal Image Segmentation", 2022.

    Examples
    --------
    >>> import numpy as np
    >>> logits = np.array([[[30.0, -30.0]]])
    >>> gt_masks = np.array([[[True, False]], [[False, True]]])
    >>> CrossEntropyLossCost()(pred_masks=logits, gt_masks=gt_masks).round(3)
    array([[ 0., 30.]])
    """

    use_sigmoid: bool = True
    weight: float = 1.0

    def _check_knobs(self) -> None:
        check_knob("weight", self.weight)
        if not self.use_sigmoid:
            raise ValueError("use_sigmoid: expected True, the one form there is, got False")

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""
        return ("pred_masks", "gt_masks")

    @property
    def masks_are_logits(self) -> bool:
        """Return true."""
        return True

    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the cross entropies."""
        xp, x = scene.xp, arrays["pred_masks"]
        rest = xp.log1p(arrays["mask_decay"])
        return per_pixel(scene, rest + at_least(-x, 0.0), rest + at_least(x, 0.0), arrays["gt_masks"])

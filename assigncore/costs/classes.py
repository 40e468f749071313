"""Match costs of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from assigncore.backend import Array
from assigncore.checks import check_knob
from assigncore.costs.base import MatchCost
from assigncore.costs.masks import per_pixel, summed
from assigncore.inputs import MatchScene
from assigncore.numerics import at_least, exp, log, log1p, power, quotient, sigmoid
from assigncore.registry import COSTS

__all__ = [
    "BinaryFocalLossCost",
    "ClassificationCost",
    "FocalLossCost",
    "TokenFocalLossCost",
    "focal_costs",
    "of_labels",
]


def focal_costs(
    xp: Any, logits: Array, *, alpha: float, gamma: float, eps: float, decay: Array | None = None
) -> tuple[Array, Array]:
    """Return what it costs each of `logits` to be true, and what to be false.

    With `decay`, as of the sigmoid, the logits are those of pixels, whose logarithms are the library's own.
    """
    p = sigmoid(logits, decay)
    # The bound changes nothing. It keeps a compiler from adding `eps` to the 1, in which it would vanish.
    rest = at_least(1.0 - p, 0.0, own=True)
    if eps == 0:
        # Of the logit, whose sigmoid may round to 0, which has no logarithm.
        both = log1p(exp(-xp.abs(logits))) if decay is None else xp.log1p(decay)
        of_true, of_false = both + at_least(-logits, 0.0), both + at_least(logits, 0.0)
    else:
        logarithm = log if decay is None else xp.log
        of_true, of_false = -logarithm(p + float(eps)), -logarithm(rest + float(eps))
    return of_true * float(alpha) * power(rest, gamma), of_false * float(1 - alpha) * power(p, gamma)


def of_labels(scene: MatchScene, x: Array, labels: Array) -> Array:
    """Pick from `x` (b or 1, n, C) the classes `labels` (b or 1, G), (b, n, G); NaN for what is no class."""
    xp = scene.xp
    known = (labels >= 0) & (labels < int(x.shape[-1]))
    place = xp.astype(xp.where(known, labels, 0), scene.backend.integer_dtype(x))
    if labels.shape[0] == 1:
        picked = xp.take(x, place[0, :], axis=2)
    else:
        images = int(labels.shape[0])
        shape = (images, int(x.shape[1]), int(labels.shape[1]))
        x = xp.broadcast_to(x, (images, *x.shape[1:]))
        picked = xp.take_along_axis(x, xp.broadcast_to(place[:, None, :], shape), axis=-1)
    return scene.backend.keep(known[:, None, :], picked, float("nan"))


def _elementwise_of_labels(
    scene: MatchScene, x: Array, labels: Array, compute: Callable[[Array], Array]
) -> Array:
    """Compute of each label's column, or of all columns first where that is less work.

    What is more is not asked while a compiler traces: it would make a graph for each answer.
    """
    if scene.backend.is_traced(x) or labels.shape[1] < x.shape[-1]:
        return compute(of_labels(scene, x, labels))
    return of_labels(scene, compute(x), labels)


@COSTS.register
@dataclass(frozen=True)
class ClassificationCost(MatchCost):
    """The negative probability a prediction gives to the class of a ground truth, by softmax.

    Reads `pred_logits` (..., N, C) and `gt_labels` (..., G).

    Parameters
    ----------
    weight : float, default 1.0
        Factor of the cost.

    References
    ----------
    Carion et al., "End-to-End Object Detection with Transformers", 2020.

    Examples
    --------
    >>> import numpy as np
    >>> ClassificationCost()(pred_logits=np.zeros((1, 4)), gt_labels=np.array([2, 3]))
    array([[-0.25, -0.25]])
    """

    weight: float = 1.0

    def _check_knobs(self) -> None:
        check_knob("weight", self.weight)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""
        return ("pred_logits", "gt_labels")

    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the probabilities."""
        xp, logits = scene.xp, arrays["pred_logits"]
        e = exp(logits - xp.max(logits, axis=-1, keepdims=True))
        picked = of_labels(scene, e, arrays["gt_labels"])
        return -(picked / xp.sum(e, axis=-1, keepdims=True))


@dataclass(frozen=True)
class _Focal(MatchCost):
    """The knobs of the focal costs."""

    alpha: float = 0.25
    gamma: float = 2
    eps: float = 1e-12

    def _check_knobs(self) -> None:
        check_knob("alpha", self.alpha, at_least=0, at_most=1)
        check_knob("gamma", self.gamma, at_least=0)
        check_knob("eps", self.eps, at_least=0)
        check_knob("weight", self.weight)

    def _costs(self, xp: Any, logits: Array, decay: Array | None = None) -> tuple[Array, Array]:
        return focal_costs(xp, logits, alpha=self.alpha, gamma=self.gamma, eps=self.eps, decay=decay)

    def _difference(self, xp: Any, logits: Array) -> Array:
        true, false = self._costs(xp, logits)
        return true - false


@COSTS.register
@dataclass(frozen=True)
class FocalLossCost(_Focal):
    """The focal loss of predicting a ground truth's class, less that of not predicting it.

    Reads `pred_logits` (..., N, C) and `gt_labels` (..., G), or with `binary_input` `pred_masks`
    (..., N, H, W), logits, and `gt_masks` (..., G, H, W).

    Parameters
    ----------
    alpha : float, default 0.25
        Weight of what is true against what is false, from 0 to 1.
    gamma : float, default 2
        Exponent that plays down what is predicted well, at least 0.
    eps : float, default 1e-12
        Added to each probability before its logarithm, at least 0. With 0 the logarithm is computed of the
        logit, so that it is finite for every finite one.
    binary_input : bool, default False
        Compare masks: the mean over the pixels of the focal loss.
    weight : float, default 1.0
        Factor of the cost.

    References
    ----------
    Lin et al., "Focal Loss for Dense Object Detection", 2017. Zhu et al., "Deformable DETR", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> logits = np.array([[200.0, -200.0]])
    >>> FocalLossCost()(pred_logits=logits, gt_labels=np.array([0, 1])).round(2)
    array([[-20.72,   6.91]])
    """

    binary_input: bool = False
    weight: float = 1.0

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""
        return ("pred_masks", "gt_masks") if self.binary_input else ("pred_logits", "gt_labels")

    @property
    def masks_are_logits(self) -> bool:
        """Whether masks are compared."""
        return self.binary_input

    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the losses."""
        if self.binary_input:
            true, false = self._costs(scene.xp, arrays["pred_masks"], arrays["mask_decay"])
            return per_pixel(scene, true, false, arrays["gt_masks"])
        return _elementwise_of_labels(
            scene,
            arrays["pred_logits"],
            arrays["gt_labels"],
            lambda logits: self._difference(scene.xp, logits),
        )


@COSTS.register
@dataclass(frozen=True)
class BinaryFocalLossCost(_Focal):
    """The focal loss of predicting just the tokens of a caption that name a ground truth.

    Reads `pred_logits` (..., N, C) of C tokens, `positive_maps` (..., G, C), which tokens name a ground
    truth, and `text_token_mask` (..., C) of bool, false where a token is padding.

    Parameters
    ----------
    alpha : float, default 0.25
        Weight of what is true against what is false, from 0 to 1.
    gamma : float, default 2
        Exponent that plays down what is predicted well, at least 0.
    eps : float, default 1e-12
        Added to each probability before its logarithm, at least 0. With 0 the logarithm is computed of the
        logit, so that it is finite for every finite one.
    weight : float, default 1.0
        Factor of the cost.

    Notes
    -----
    The losses of the tokens are summed, as published; those of masks are averaged.

    References
    ----------
    Liu et al., "Grounding DINO", 2023.

    Examples
    --------
    >>> import numpy as np
    >>> cost = BinaryFocalLossCost()(
    ...     pred_logits=np.array([[8.0, -8.0, np.nan]]),
    ...     positive_maps=np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    ...     text_token_mask=np.array([True, True, False]),
    ... )
    >>> cost.round(1)
    array([[0., 8.]])
    """

    weight: float = 1.0

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""
        return ("pred_logits", "positive_maps", "text_token_mask")

    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the losses."""
        xp, tokens = scene.xp, arrays["text_token_mask"][:, None, :]
        true, false = self._costs(xp, arrays["pred_logits"])
        maps = xp.astype(arrays["positive_maps"], scene.dtype)
        maps, others = xp.where(tokens, maps, 0.0), xp.where(tokens, 1.0 - maps, 0.0)
        true, false = xp.where(tokens, true, 0.0), xp.where(tokens, false, 0.0)
        return summed(scene, true, false, maps, others)


@COSTS.register
@dataclass(frozen=True)
class TokenFocalLossCost(_Focal):
    """The focal loss of predicting the tokens that name a ground truth, less that of not predicting them.

    It is what :class:`FocalLossCost` is for one class, averaged over the tokens of the ground truth by their
    weights. Reads `pred_logits` (..., N, C) of C tokens and `positive_maps` (..., G, C), which tokens name a
    ground truth: 1 and 0, or weights of any sum.

    Parameters
    ----------
    alpha : float, default 0.25
        Weight of what is true against what is false, from 0 to 1.
    gamma : float, default 2
        Exponent that plays down what is predicted well, at least 0.
    eps : float, default 1e-8
        Added to each probability before its logarithm, at least 0. With 0 the logarithm is computed of the
        logit, so that it is finite for every finite one.
    weight : float, default 1.0
        Factor of the cost.

    Notes
    -----
    A token that is padding has logit minus infinity, as models give it, and names nothing: it costs nothing.
    A ground truth without a token costs NaN, and so does a prediction with NaN for any token. In contrast to
    :class:`BinaryFocalLossCost`, tokens that do not name the ground truth do not matter.

    References
    ----------
    Liu et al., "Grounding DINO", 2023.

    Examples
    --------
    >>> import numpy as np
    >>> cost = TokenFocalLossCost()(
    ...     pred_logits=np.array([[8.0, 8.0, -8.0], [8.0, -8.0, 8.0]]),
    ...     positive_maps=np.array([[1.0, 1.0, 0.0]]),
    ... )
    >>> cost.round(1)
    array([[-6.],
           [-2.]])
    """

    eps: float = 1e-8
    weight: float = 1.0

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""
        return ("pred_logits", "positive_maps")

    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the losses."""
        xp = scene.xp
        maps = xp.astype(arrays["positive_maps"], scene.dtype)
        shares = quotient(maps, xp.broadcast_to(xp.sum(maps, axis=-1, keepdims=True), maps.shape))
        difference = self._difference(xp, arrays["pred_logits"])
        return scene.backend.matrix_product(difference, xp.matrix_transpose(shares))

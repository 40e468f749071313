"""Class predictions per prior: what they say of ground truths, and their focal losses."""

from __future__ import annotations

from collections.abc import Callable

from assigncore.backend import Array, get_backend
from assigncore.inputs import Scene
from assigncore.numerics import at_least, log, power, rounded_product

__all__ = [
    "check_classes",
    "class_columns",
    "entropy_cost",
    "focal_costs_of_scores",
    "known_labels",
    "label_rows",
    "pairwise_sum",
    "sum_of_classes",
]

LEAST_LOG = -100.0
"""Floor of a logarithm in a cross-entropy, as published."""

LEAST_POSITIVE = 1.5e-45
"""The least number of float32 above 0, whose logarithm is below the floor; 0 where such numbers are."""


def class_columns(x: Array) -> tuple[Array, Array]:
    """Lay class predictions (b, n, C) out by class: (b, C, n), priors contiguous where there are strides.

    Which priors have no number that is NaN or infinite, (b, n), is returned too; the others have zeros.
    """
    backend = get_backend(x)
    xp = backend.xp
    images, n_priors, n_classes = map(int, x.shape)
    # A flat array cannot be a view of a transposed one, so it is laid out anew.
    flat = xp.reshape(xp.matrix_transpose(x), (-1,))
    columns = xp.reshape(flat, (images, n_classes, n_priors))
    finite = xp.max(xp.abs(columns), axis=1) < float("inf")
    return backend.keep(finite[:, None, :], columns, 0.0), finite


def label_rows(columns: Array, labels: Array) -> Array:
    """Pick the classes of ground truths, (b, g), from `columns` (b or 1, C, n): (b, g, n)."""
    backend = get_backend(columns)
    xp = backend.xp
    images, n_classes, n_priors = map(int, columns.shape)
    if images > 1:
        first = xp.arange(images, dtype=labels.dtype, device=backend.device_of(columns)) * n_classes
        labels = labels + first[:, None]
    flat = xp.reshape(columns, (images * n_classes, n_priors))
    picked = xp.take(flat, xp.reshape(labels, (-1,)), axis=0)
    return xp.reshape(picked, (*labels.shape, n_priors))


def known_labels(scene: Scene) -> Array:
    """Return the labels (B, G) of valid ground truths, 0 where there is none.

    Where labels were given as masks of classes, these: (B, G, C) of bool.
    """
    if scene.gt_classes is not None:
        return scene.gt_classes
    return scene.xp.where(scene.gt_valid, scene.gt_labels, 0)


def pairwise_sum(x: Array) -> Array:
    """Sum over the second axis of (b, C, n), halves on halves: in one order in every library."""
    rest = None
    while x.shape[1] > 1:
        half = int(x.shape[1]) // 2
        if int(x.shape[1]) > 2 * half:
            last = x[:, 2 * half, :]
            rest = last if rest is None else rest + last
        x = x[:, :half, :] + x[:, half : 2 * half, :]
    return x[:, 0, :] if rest is None else x[:, 0, :] + rest


def sum_of_classes(values: Callable[[int], Array], classes: Callable[[int], Array], n_classes: int) -> Array:
    """Sum what is said of each class over the classes of ground truths, from the first to the last.

    Parameters
    ----------
    values : callable
        Maps a class to what priors say of it, (b, 1 or g, n).
    classes : callable
        Maps a class to which ground truths are of it, (b, g, 1) of bool.
    n_classes : int
        How many classes there are, at least 1.

    Returns
    -------
    array (b, g, n)
    """
    xp = get_backend(values(0)).xp
    total = xp.where(classes(0), values(0), 0.0)
    for each in range(1, n_classes):
        total = total + xp.where(classes(each), values(each), 0.0)
    return total


def entropy_cost(scores: Array, labels: Array) -> Array:
    """Sum the binary cross-entropies of scores (b, n, C) over all classes: (b, g, n).

    Labels are (b, g) of integers, or masks of classes (b, g, C) of bool. The sum for a prediction of no class
    is common to all ground truths; each changes the terms of its classes, so that no array of ground truths,
    priors and classes is ever made. Infinite where a score is no finite number.
    """
    p, finite = class_columns(scores)
    xp = get_backend(p).xp
    p = xp.minimum(p, xp.ones_like(p[:1, :1, :1]))
    absent = _clamped_log(1 - p)
    common = xp.where(finite, -pairwise_sum(absent), float("inf"))
    if labels.ndim == 3:
        change = absent - _clamped_log(p)
        own = sum_of_classes(
            lambda each: change[:, None, each, :], lambda each: labels[..., each, None], int(labels.shape[-1])
        )
        return own + common[:, None, :]
    present = _clamped_log(label_rows(p, labels))
    return (label_rows(absent, labels) - present) + common[:, None, :]


def _clamped_log(x: Array) -> Array:
    """Return the logarithm, -100 where it is less or where there is none; `x` may be overwritten."""
    return at_least(log(at_least(x, LEAST_POSITIVE, own=True)), LEAST_LOG, own=True)


def check_classes(name: str, x: Array) -> int:
    """Return the number of classes of predictions (..., N, C).

    Raises
    ------
    ValueError
        If there are none.
    """
    if x.shape[-1] == 0:
        raise ValueError(f"{name}: expected at least one class, got shape {tuple(x.shape)}")
    return int(x.shape[-1])


LEAST_SCORE = 1e-12
"""Floor of a probability before its logarithm."""


def focal_costs_of_scores(scores: Array, labels: Array, *, alpha: float, gamma: float) -> tuple[Array, Array]:
    """Sum the focal losses over all classes if priors learn from ground truths, and if from none.

    The loss for no class is common to all ground truths; each changes one term of it.

    Parameters
    ----------
    scores : array (b or 1, C, n)
        Finite probabilities.
    labels : array (b, g) of integers
        Classes from 0 to C - 1.
    alpha : float
        Weight of what is true against what is false.
    gamma : float
        Exponent that plays down what is predicted well.

    Returns
    -------
    of_gts : array (b, g, n)
        The loss of a prior for each ground truth.
    of_background : array (b or 1, n)
        Its loss for no class at all.
    """
    absent = _focal_loss(1 - scores, 1 - alpha, gamma)
    background = pairwise_sum(absent)
    change = _focal_loss(label_rows(scores, labels), alpha, gamma) - label_rows(absent, labels)
    return change + background[:, None, :], background


def _focal_loss(right: Array, weight: float, gamma: float) -> Array:
    """Return the loss where `right` is the probability given to what is the case."""
    right = at_least(right, LEAST_SCORE)
    wrong = at_least(1 - right, 0.0)
    return rounded_product(-log(right) * weight, power(wrong, gamma))

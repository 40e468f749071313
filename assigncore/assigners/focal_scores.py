"""Focal losses of predicted probabilities, for each ground truth and for the background."""

from __future__ import annotations

from assigncore.assigners.class_columns import label_rows, pairwise_sum
from assigncore.backend import Array, get_backend
from assigncore.coordinates import at_least, rounded_product
from assigncore.elementary import power

__all__ = ["focal_costs_of_scores"]

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
    return rounded_product(-get_backend(right).xp.log(right) * weight, power(wrong, gamma))

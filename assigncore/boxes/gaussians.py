"""Similarities of axis-aligned boxes that are taken for normal distributions, for small objects.

Both fall with a distance and are never 0, so that no pair is without meaning. The formulas are for boxes that
were checked before, and round alike in every library.
"""

from __future__ import annotations

from dataclasses import dataclass

from assigncore.backend import Array, get_backend
from assigncore.boxes.oriented import of_pairs
from assigncore.numerics import at_least, divided, exp, log, quotient, rounded_product, sqrt

__all__ = ["LEAST_SIDE", "GaussianSimilarity", "NormalizedWasserstein", "ReceptiveField"]

LEAST_SIDE = 1e-6
"""What a shorter side counts as where logarithms are taken, in pixels."""


class GaussianSimilarity:
    """The similarity of each ground truth with each prior: a formula, and what a backend knows it by."""

    def __call__(self, gt_bboxes: Array, priors: Array) -> Array:
        """Compute the similarities (..., G, N) of checked boxes (..., G, 4) and (..., N, 4)."""
        return get_backend(gt_bboxes, "gt_bboxes").pairwise(gt_bboxes, priors, self)

    def of_all_pairs(self, gt_bboxes: Array, priors: Array) -> Array:
        """Compute them by the formula."""
        return of_pairs(self.of_rows, gt_bboxes, priors)

    def of_rows(self, gt_bboxes: Array, priors: Array) -> Array:
        """Compute the formula of boxes that broadcast, (..., 4) and (..., 4), to (...)."""
        raise NotImplementedError


@dataclass(frozen=True)
class NormalizedWasserstein(GaussianSimilarity):
    """The exponential of the negative Wasserstein distance: see :class:`assigncore.NWD`.

    Attributes
    ----------
    constant : float
        The distance in pixels at which the value is 1/e.
    """

    constant: float

    def of_rows(self, gt_bboxes: Array, priors: Array) -> Array:
        """Compute the formula of boxes that broadcast, (..., 4) and (..., 4), to (...)."""
        b1, b2 = gt_bboxes, priors

        def along(low: int, high: int) -> Array:
            apart = ((b1[..., low] + b1[..., high]) - (b2[..., low] + b2[..., high])) * 0.5
            sides = ((b1[..., high] - b1[..., low]) - (b2[..., high] - b2[..., low])) * 0.5
            return rounded_product(apart, apart) + rounded_product(sides, sides)

        return exp(-divided(sqrt(along(0, 2) + along(1, 3)), self.constant))


@dataclass(frozen=True)
class ReceptiveField(GaussianSimilarity):
    """One over one more than the divergence of a receptive field from an object: see :class:`assigncore.RFD`.

    Attributes
    ----------
    decay : float
        What the sides of the priors, receptive fields, are multiplied by.
    """

    decay: float

    def of_rows(self, gt_bboxes: Array, priors: Array) -> Array:
        """Compute the formula of boxes that broadcast, (..., 4) and (..., 4), to (...)."""
        gt, field = gt_bboxes, priors

        def along(low: int, high: int) -> Array:
            own = at_least(gt[..., high] - gt[..., low], LEAST_SIDE)
            other = at_least(rounded_product(field[..., high] - field[..., low], self.decay), LEAST_SIDE)
            apart = (gt[..., low] + gt[..., high]) - (field[..., low] + field[..., high])
            size = quotient(other, own)
            shift = quotient(apart, own)
            squares = rounded_product(size, size) + rounded_product(shift, shift)
            return squares - rounded_product(log(size), 2.0)

        divergence = at_least(rounded_product(along(0, 2) + along(1, 3), 0.5) - 1.0, 0.0)
        return quotient(get_backend(gt).xp.ones_like(divergence), divergence + 1.0)

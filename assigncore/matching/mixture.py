"""Numbers as a mixture of two normal distributions, fitted by expectation and maximisation."""

from __future__ import annotations

from dataclasses import dataclass
from math import log as log_of_number
from math import pi
from typing import Any

from assigncore.backend import Array, get_backend
from assigncore.checks import (
    broadcast_lead,
    check_dtype,
    check_knob,
    check_shape,
    common_backend,
    raise_precision,
)
from assigncore.numerics import at_least, exp, log, log1p, quotient, rounded_product, running_sum

__all__ = ["TwoGaussians", "two_gaussians"]

LOG_2_PI = log_of_number(2 * pi)

NOWHERE = -float("inf")


@dataclass(frozen=True, eq=False)
class TwoGaussians:
    """A mixture of two normal distributions, and what it says of the numbers it was fitted to.

    Attributes
    ----------
    weights, means, variances : array (..., 2)
        Of the two; the first began at the least of the numbers.
    is_first : array (..., K) of bool
        Whether a number rather belongs to the first, on ties too; false where it is not valid.
    log_density : array (..., K)
        Logarithm of the mixture's density at a number; minus infinity where it is not valid.
    """

    weights: Array
    means: Array
    variances: Array
    is_first: Array
    log_density: Array


def two_gaussians(
    values: Array,
    valid: Array | None = None,
    *,
    rounds: int = 100,
    tol: float = 1e-3,
    least_variance: float = 1e-6,
) -> TwoGaussians:
    """Fit a mixture of two normal distributions to numbers; leading dimensions are a batch.

    It begins with the least and the largest number as means, variances of 1 and equal weights, as PAA does,
    and takes the steps of scikit-learn's ``GaussianMixture``.

    Parameters
    ----------
    values : array (..., K)
        The numbers.
    valid : array (..., K) of bool, optional
        False where a number does not count, as one that is not finite does not. Not given: all true.
    rounds : int, default 100
        Rounds of expectation and maximisation at most, at least 1.
    tol : float, default 1e-3
        A row is done when the mean log density of its numbers changes by less.
    least_variance : float, default 1e-6
        Added to each variance.

    Returns
    -------
    TwoGaussians
        Where no number counts, nothing is first and densities are 0.

    Raises
    ------
    TypeError
        If an input is no array, or of a wrong kind of dtype.
    ValueError
        If a shape does not fit, or a knob is out of range.

    Notes
    -----
    Sums run from the first number to the last, so that every library rounds alike. A row that is done stays
    as it is while others go on: a batch gives what its rows give alone.

    Examples
    --------
    >>> import numpy as np
    >>> fit = two_gaussians(np.array([0.2, 0.3, 0.25, 1.9, 2.1]))
    >>> fit.is_first
    array([ True,  True,  True, False, False])
    >>> fit.means.round(2)
    array([0.25, 2.  ])
    """
    check_knob("rounds", rounds, at_least=1, integer=True)
    check_knob("tol", tol, at_least=0)
    check_knob("least_variance", least_variance, at_least=1e-30)
    backend = common_backend({"values": values, **({} if valid is None else {"valid": valid})})
    xp = backend.xp
    check_shape("values", values, "(..., K)", None)
    k = int(values.shape[-1])
    check_dtype("values", values, backend, "real floating")
    if valid is not None:
        check_shape("valid", valid, f"(..., {k})", k)
        check_dtype("valid", valid, backend, "bool")
        broadcast_lead({"values": (values, 1), "valid": (valid, 1)})
    (x,) = raise_precision(backend, backend.stop_gradient(values))
    counts = xp.isfinite(x) if valid is None else xp.isfinite(x) & valid
    x, counts = xp.broadcast_arrays(x, counts)
    lead = tuple(x.shape[:-1])
    rows = 1
    for length in lead:
        rows *= length
    x, counts = xp.reshape(x, (rows, k)), xp.reshape(counts, (rows, k))
    if 0 in (rows, k):
        none = xp.zeros((*lead, 2), dtype=x.dtype, device=backend.device_of(x))
        return TwoGaussians(none, none, none, xp.reshape(counts, (*lead, k)), xp.reshape(x, (*lead, k)))
    x = xp.where(counts, x, 0.0)
    fit = _fitted(x, counts, rounds, float(tol), float(least_variance))
    first, second = (_log_density(x, *(each[:, i : i + 1] for each in fit)) for i in range(2))
    mixed = xp.where(counts, _log_sum(first, second), NOWHERE)
    weights, means, variances = (xp.reshape(each, (*lead, 2)) for each in fit)
    is_first = xp.reshape(counts & (first >= second), (*lead, k))
    return TwoGaussians(weights, means, variances, is_first, xp.reshape(mixed, (*lead, k)))


def _fitted(
    x: Array, counts: Array, rounds: int, tol: float, least_variance: float
) -> tuple[Array, Array, Array]:
    """Return weights, means and variances (R, 2) for the numbers (R, K) that count."""
    backend = get_backend(x)
    xp = backend.xp
    ones = xp.astype(counts, x.dtype)
    total = at_least(running_sum(ones)[:, None], 1.0)
    least = 10 * float(xp.finfo(x.dtype).eps)

    def improve(weights: Array, means: Array, variances: Array, before: Array, going: Array) -> Any:
        first, second = (
            _log_density(x, *(each[:, i : i + 1] for each in (weights, means, variances))) for i in range(2)
        )
        mixed = _log_sum(first, second)
        now = quotient(running_sum(xp.where(counts, mixed, 0.0))[:, None], total)
        parts = []
        for of_one in (first, second):
            share = xp.where(counts, exp(of_one - mixed), 0.0)
            mass = running_sum(share)[:, None] + least
            mean = quotient(running_sum(rounded_product(share, x))[:, None], mass)
            apart = x - mean
            spread = running_sum(rounded_product(share, rounded_product(apart, apart)))[:, None]
            parts.append((mass, mean, quotient(spread, mass) + least_variance))
        mass, mean, variance = (xp.concat(list(both), axis=-1) for both in zip(*parts, strict=True))
        weight = quotient(mass, mass[:, :1] + mass[:, 1:])
        settled = xp.abs(now - before) < tol
        new = (weight, mean, variance, now)
        old = (weights, means, variances, before)
        return *(xp.where(going, a, b) for a, b in zip(new, old, strict=True)), going & ~settled

    low = xp.min(xp.where(counts, x, float("inf")), axis=-1, keepdims=True)
    high = xp.max(xp.where(counts, x, NOWHERE), axis=-1, keepdims=True)
    means = xp.concat([low, high], axis=-1)
    means = xp.where(xp.isfinite(means), means, 0.0)
    state = (
        xp.full_like(means, 0.5),
        means,
        xp.ones_like(means),
        xp.full_like(total, NOWHERE),
        xp.any(counts, axis=-1, keepdims=True),
    )
    weights, means, variances, _, _ = backend.iterate(improve, state, rounds, done=lambda state: ~state[4])
    return weights, means, variances


def _log_density(x: Array, weight: Array, mean: Array, variance: Array) -> Array:
    """Return the logarithm of a weighted normal density at numbers (R, K)."""
    apart = x - mean
    far = quotient(rounded_product(apart, apart), variance)
    return ((far + LOG_2_PI) + log(variance)) * -0.5 + log(weight)


def _log_sum(a: Array, b: Array) -> Array:
    """Return the logarithm of the sum of two numbers whose logarithms are given."""
    xp = get_backend(a).xp
    return xp.maximum(a, b) + log1p(exp(-xp.abs(a - b)))

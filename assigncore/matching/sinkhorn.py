"""Entropic optimal transport: goods are carried from sources to sinks, cheaply and a little spread out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from assigncore.backend import Array, ArrayBackend
from assigncore.numerics import at_least, exp, log

__all__ = ["TransportPlan", "transport"]

NOTHING = -float("inf")
"""The logarithm of no mass."""


@dataclass(frozen=True, eq=False)
class TransportPlan:
    """Who carries how much to whom, and how well that obeys supply and demand.

    Attributes
    ----------
    log_mass : array (B, S, N)
        Logarithm of what each source carries to each sink; minus infinity for nothing.
    iterations : array (B,) of integers
        Rounds of scaling that each problem took.
    marginal_error : array (B,)
        The largest difference of what arrives at a sink from its demand. What leaves each source is its
        supply, up to rounding.
    """

    log_mass: Array
    iterations: Array
    marginal_error: Array


def transport(
    backend: ArrayBackend,
    cost: Array,
    supply: Array,
    demand: Array,
    *,
    eps: float,
    num_iters: int,
    tol: float = 0.0,
) -> TransportPlan:
    """Solve entropic optimal transport by Sinkhorn's scaling, in the domain of logarithms.

    The plan minimises its total cost less `eps` times its entropy, among those that ship every supply and
    meet every demand.

    Parameters
    ----------
    backend : ArrayBackend
        The library of the arrays.
    cost : array (B, S, N)
        What a unit costs from each source to each sink; infinite where there is no way. No NaN.
    supply : array (B, S)
        What each source has, at least 0. A source that reaches no sink ships nothing.
    demand : array (B, N)
        What each sink wants, at least 0. A sink that no source with a supply reaches gets nothing, which
        counts as an error.
    eps : float
        How much the entropy counts, in units of the cost. The smaller, the nearer to the cheapest plan, and
        the more iterations it takes.
    num_iters : int
        Rounds of scaling at most.
    tol : float, default 0.0
        A problem whose marginal error is at most this is done.

    Returns
    -------
    TransportPlan
        Each problem's is the same as if it were solved alone.

    References
    ----------
    Cuturi, "Sinkhorn Distances: Lightspeed Computation of Optimal Transport", 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from assigncore.backend import get_backend
    >>> cost = np.array([[[0.0, 1.0, 1.0], [0.5, 0.5, 0.5]]])
    >>> supply, demand = np.array([[1.0, 2.0]]), np.ones((1, 3))
    >>> plan = transport(get_backend(cost), cost, supply, demand, eps=0.5, num_iters=50)
    >>> np.exp(plan.log_mass).round(2)
    array([[[0.63, 0.19, 0.19],
            [0.37, 0.81, 0.81]]])
    >>> plan.marginal_error.round(6)
    array([0.])
    """
    xp = backend.xp
    kernel = cost / -float(eps)
    demand = demand[:, None, :]
    log_supply, log_demand = _log(xp, supply)[:, :, None], _log(xp, demand)
    # Zero, and not the supply, so that the first round is the usual one; minus infinity ships nothing.
    start = xp.where(log_supply > NOTHING, 0.0, log_supply)
    integers = backend.integer_dtype(cost)
    images, device = int(cost.shape[0]), backend.device_of(cost)

    def scale(
        of_source: Array, of_sink: Array, arriving: Array, iterations: Array, error: Array
    ) -> tuple[Array, ...]:
        new_sink = _ratio(xp, log_demand, arriving)
        new_source = _ratio(xp, log_supply, _log_sum(xp, kernel + new_sink, 2))
        new_arriving = _log_sum(xp, kernel + new_source, 1)
        new_error = xp.max(xp.abs(exp(new_sink + new_arriving) - demand), axis=2, keepdims=True)
        going = error > float(tol)
        if backend.surely_all(going):
            return new_source, new_sink, new_arriving, iterations + 1, new_error
        return (
            xp.where(going, new_source, of_source),
            xp.where(going, new_sink, of_sink),
            xp.where(going, new_arriving, arriving),
            iterations + xp.astype(going[:, 0, 0], integers),
            xp.where(going, new_error, error),
        )

    state = (
        start,
        xp.full_like(demand, NOTHING),
        _log_sum(xp, kernel + start, 1),
        xp.zeros((images,), dtype=integers, device=device),
        xp.full((images, 1, 1), float("inf"), dtype=cost.dtype, device=device),
    )
    of_source, of_sink, _, iterations, error = backend.iterate(
        scale, state, num_iters, done=lambda state: state[-1] <= float(tol)
    )
    return TransportPlan(kernel + of_source + of_sink, iterations, error[:, 0, 0])


def _log(xp: Any, x: Array) -> Array:
    """Return the logarithm of what is at least 0."""
    return xp.where(x > 0, log(xp.where(x > 0, x, 1.0)), NOTHING)


def _log_sum(xp: Any, x: Array, axis: int) -> Array:
    """Return the logarithm of the sum of exponentials along an axis, of which 1 is left."""
    largest = xp.max(x, axis=axis, keepdims=True)
    # Less the largest, which is finite or of nothing, one of the exponentials is 1 or all are 0.
    total = xp.sum(exp(x - at_least(largest, float(xp.finfo(x.dtype).min))), axis=axis, keepdims=True)
    return log(at_least(total, 1.0)) + largest


def _ratio(xp: Any, wanted: Array, have: Array) -> Array:
    """Return the logarithm of a ratio, of nothing where nothing can be had."""
    there = have > NOTHING
    return xp.where(there, wanted - xp.where(there, have, 0.0), NOTHING)

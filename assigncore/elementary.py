"""Elementary functions, in the one form that rounds alike everywhere or never overflows."""

from __future__ import annotations

from assigncore.backend import Array, get_backend

__all__ = ["power", "running_sum", "sigmoid"]


def power(x: Array, exponent: float) -> Array:
    """Raise to a power not below 0, as a product where it is a small integer; to the power 0 all is 1."""
    xp = get_backend(x).xp
    if exponent == 0:
        return xp.ones_like(x)
    if exponent == 0.5:
        return xp.sqrt(x)
    if exponent != int(exponent) or exponent > 16:
        return x ** float(exponent)
    half = int(exponent) // 2
    if half == 0:
        return x
    squared = power(x * x, half)
    return squared * x if int(exponent) > 2 * half else squared


def sigmoid(x: Array, decay: Array | None = None) -> Array:
    """Return the logistic function of `x`; no exponential overflows. `decay` is ``exp(-|x|)`` where known.

    The numerator is 1 from 0 up and `decay` below, taken as a maximum: the signs of predictions follow no
    pattern, and a selection by them would be several times as slow.
    """
    xp = get_backend(x).xp
    if decay is None:
        decay = xp.exp(-xp.abs(x))
    return xp.maximum(decay, xp.astype(x >= 0, x.dtype)) / (1.0 + decay)


def running_sum(x: Array) -> Array:
    """Sum over the last axis, which is not empty, from the first to the last: (..., K) to (...)."""
    total = x[..., 0]
    for i in range(1, int(x.shape[-1])):
        total = total + x[..., i]
    return total

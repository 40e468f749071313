"""Arithmetic and elementary functions, in the one form that rounds alike everywhere or never overflows."""

from __future__ import annotations

from assigncore.backend import Array, get_backend

__all__ = [
    "at_least",
    "atan",
    "cos",
    "divided",
    "exp",
    "log",
    "log1p",
    "power",
    "quotient",
    "rounded_product",
    "running_sum",
    "sigmoid",
    "sin",
    "sqrt",
]


def exp(x: Array) -> Array:
    """Return the exponential; on the host that of float32 is rounded from float64, as all functions here."""
    return get_backend(x).elementary("exp", x)


def log(x: Array) -> Array:
    """Return the natural logarithm."""
    return get_backend(x).elementary("log", x)


def log1p(x: Array) -> Array:
    """Return the natural logarithm of one more."""
    return get_backend(x).elementary("log1p", x)


def atan(x: Array) -> Array:
    """Return the arc tangent."""
    return get_backend(x).elementary("atan", x)


def cos(x: Array) -> Array:
    """Return the cosine of an angle in radians."""
    return get_backend(x).elementary("cos", x)


def sin(x: Array) -> Array:
    """Return the sine of an angle in radians."""
    return get_backend(x).elementary("sin", x)


def sqrt(x: Array) -> Array:
    """Return the square root, which PyTorch rounds otherwise than others in a sixth of cases of float32."""
    return get_backend(x).elementary("sqrt", x)


def power(x: Array, exponent: float) -> Array:
    """Raise to a power not below 0, as a product where it is a small integer; to the power 0 all is 1."""
    if exponent == 0:
        return get_backend(x).xp.ones_like(x)
    if exponent == 0.5:
        return sqrt(x)
    if exponent != int(exponent) or exponent > 16:
        return get_backend(x).power(x, exponent)
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
        decay = exp(-xp.abs(x))
    return xp.maximum(decay, xp.astype(x >= 0, x.dtype)) / (1.0 + decay)


def running_sum(x: Array) -> Array:
    """Sum over the last axis, which is not empty, from the first to the last: (..., K) to (...)."""
    return get_backend(x).running_sum(x)


def at_least(x: Array, bound: float, *, own: bool = False) -> Array:
    """Return the larger of each value of `x` and `bound`; NaN stays.

    An `x` that is the caller's `own`, made by a computation that nothing else refers to, may be overwritten.
    """
    return get_backend(x).at_least(x, bound, own=own)


def rounded_product(a: Array, b: Array | float) -> Array:
    """Multiply, and round before anything is added.

    The lower bound changes no finite value. It stands between the product and a following sum, so that no
    compiler can contract the two.
    """
    product = a * b
    return at_least(product, float(get_backend(a).xp.finfo(product.dtype).min), own=True)


def divided(x: Array, divisor: Array | float) -> Array:
    """Divide by a positive number, or by an array of them, and round as a division does.

    A compiler that knows the divisor, or that it is the same for many of `x`, multiplies by its reciprocal,
    which rounds otherwise. The one used here is never more than the number, nor less, but that depends on
    `x`.
    """
    backend = get_backend(x)
    xp = backend.xp
    if isinstance(divisor, (int, float)):
        divisor = xp.full((), float(divisor), dtype=x.dtype, device=backend.device_of(x))
    return backend.quotient(x, xp.maximum(divisor, -xp.abs(x)))


def quotient(x: Array, y: Array, *, own: bool = False) -> Array:
    """Divide, and round to the nearest everywhere; `x` may be overwritten if it is the caller's `own`."""
    return get_backend(x).quotient(x, y, own=own)

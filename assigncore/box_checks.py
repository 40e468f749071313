"""What the public geometry does before it computes: checks, the computing dtype, broken boxes."""

from __future__ import annotations

from assigncore.backend import Array
from assigncore.checks import broadcast_lead, check_dtype, check_shape, common_backend, raise_precision
from assigncore.coordinates import drop_broken
from assigncore.overlap_formulas import Mode, overlaps_of_checked, pairwise_overlaps

__all__ = ["checked_arrays", "checked_overlaps"]


def checked_arrays(**arrays: tuple[Array, tuple[int | str, ...]]) -> tuple[Array, ...]:
    """Check arrays by the names of their arguments, and bring them to their computing dtype.

    Parameters
    ----------
    **arrays : (array, tuple of int or str)
        Each with its trailing dimensions: a number is the length, a name stands for any length.

    Returns
    -------
    tuple of array
        In their common dtype, at least float32.

    Raises
    ------
    TypeError
        If one is no array, or not of real floating numbers, or they are of different libraries.
    ValueError
        If a shape does not fit, the leading dimensions do not broadcast, or devices differ.
    """
    backend = common_backend({name: x for name, (x, _) in arrays.items()})
    for name, (x, tail) in arrays.items():
        expected = ", ".join(("...", *map(str, tail)))
        check_shape(name, x, f"({expected})", *(side if isinstance(side, int) else None for side in tail))
        check_dtype(name, x, backend, "real floating")
    broadcast_lead({name: (x, len(tail)) for name, (x, tail) in arrays.items()})
    return raise_precision(backend, *(x for x, _ in arrays.values()))


def checked_overlaps(a: Array, b: Array, mode: Mode, *, is_aligned: bool) -> Array:
    """Check two sets of boxes (..., M, 4) and (..., N, 4), drop the broken ones, compute their overlaps."""
    a, b = checked_arrays(a=(a, ("M", 4)), b=(b, ("N", 4)))
    if is_aligned and a.shape[-2] != b.shape[-2]:
        raise ValueError(f"b: expected {a.shape[-2]} rows, as many as a, got {b.shape[-2]}")
    (a, _), (b, _) = drop_broken(a), drop_broken(b)
    return overlaps_of_checked(a, b, mode, is_aligned=True) if is_aligned else pairwise_overlaps(a, b, mode)

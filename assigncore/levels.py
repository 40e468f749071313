"""Feature levels: the priors of each, and the nearest of each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from assigncore.backend import Array, get_backend
from assigncore.box_formulas import box_centers
from assigncore.scene import Scene
from assigncore.selection import Candidates, PointDistances, k_nearest

__all__ = ["check_levels", "nearest_per_level", "truncated_log"]

HIGHEST_POWER = 16


def check_levels(num_level_priors: Sequence[int], num_priors: int) -> tuple[slice, ...]:
    """Return the slice of the priors that each level is.

    Raises
    ------
    TypeError
        If the numbers are no sequence of integers.
    ValueError
        If one is negative, or they do not sum to the number of priors.
    """
    try:
        numbers = [int(n) for n in num_level_priors if n == int(n)]
        complete = len(numbers) == len(num_level_priors)
    except TypeError:
        complete = False
    if not complete:
        raise TypeError(f"num_level_priors: expected a sequence of integers, got {num_level_priors!r}")
    if any(n < 0 for n in numbers) or sum(numbers) != num_priors:
        raise ValueError(
            f"num_level_priors: expected numbers that sum to the {num_priors} priors, got {tuple(numbers)}"
        )
    ends = list(accumulate(numbers))
    return tuple(slice(end - n, end) for n, end in zip(numbers, ends, strict=True))


def nearest_per_level(scene: Scene, levels: Sequence[slice], k: int, *, last_resort: Array) -> Candidates:
    """Find, on each level, the `k` priors whose centres are nearest to each ground truth's centre.

    Parameters
    ----------
    scene : Scene
        The inputs; `priors` are boxes.
    levels : sequence of slice
        The priors of each level.
    k : int
        How many on each level; all of a level that has fewer.
    last_resort : array (B or 1, N) of bool
        True where a prior is a candidate only for want of others.

    Returns
    -------
    Candidates
        Level by level, nearest first.
    """
    distances = PointDistances(
        backend=scene.backend,
        points=box_centers(scene.priors),
        centers=box_centers(scene.gt_bboxes),
        counted=scene.prior_whole,
        last_resort=last_resort,
    )
    return k_nearest(distances, k, levels)


def truncated_log(x: Array, base: int) -> Array:
    """Return the logarithm of positive numbers, cut off at the point, as integers.

    By comparison with the powers of the base, which are exact, since the logarithms of libraries differ in
    their last bits. Bounded by 16 powers either way.

    Parameters
    ----------
    x : array (...)
        Positive numbers.
    base : int
        2 or 4.

    Returns
    -------
    array (...) of integers
        In the default integer dtype.
    """
    backend = get_backend(x)
    xp, device = backend.xp, backend.device_of(x)
    # Made on the device: copying a table to it would wait for it.
    factors = xp.full((2 * HIGHEST_POWER + 1,), float(base), dtype=x.dtype, device=device)
    first = xp.arange(2 * HIGHEST_POWER + 1, device=device) == 0
    powers = xp.cumulative_prod(xp.where(first, float(base) ** -HIGHEST_POWER, factors))
    flat = xp.reshape(x, (-1,))
    floor = xp.searchsorted(powers, flat, side="right") - 1
    ceiling = xp.searchsorted(powers, flat, side="left")
    power = xp.where(flat >= 1.0, floor, ceiling) - HIGHEST_POWER
    power = xp.where(power > HIGHEST_POWER, HIGHEST_POWER, power)
    return xp.reshape(xp.astype(power, backend.integer_dtype(x)), x.shape)

"""Matching predictions with ground truths one to one, or one to several, at the least total cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from assigncore.backend import Array, ArrayBackend
from assigncore.checks import (
    broadcast_lead,
    check_choice,
    check_dtype,
    check_shape,
    common_backend,
    raise_precision,
)
from assigncore.costs import MatchCost, cost_terms, weighted_sum
from assigncore.inputs import MatchScene
from assigncore.inspect.trace import is_recording, matching
from assigncore.matching.one_to_many import Solver, check_groups, in_groups, repeated

__all__ = ["NONFINITE", "check_nonfinite", "linear_sum_assignment", "match_scene", "one_to_one"]

NONFINITE = ("raise", "forbid")
"""What may happen to a pair whose cost is NaN or infinite: an error names it, or it is never matched."""


def linear_sum_assignment(
    cost: Array,
    *,
    row_valid: Array | None = None,
    column_valid: Array | None = None,
    allowed: Array | None = None,
    nonfinite: str = "raise",
) -> Array:
    """Match rows with columns of each problem: as many pairs as there can be, at the least total cost.

    Parameters
    ----------
    cost : array (..., N, G)
        Costs; leading dimensions are a batch and broadcast.
    row_valid : array (..., N) of bool, optional
        False where a row is padding. Not given: all true.
    column_valid : array (..., G) of bool, optional
        False where a column is padding. Not given: all true.
    allowed : array (..., N, G) of bool, optional
        False where a pair is never matched. Not given: all true.
    nonfinite : {"raise", "forbid"}, default "raise"
        What happens to a NaN or infinite cost of a pair that is allowed: an error, or it is never matched.

    Returns
    -------
    array (..., N) of integers
        The column of each row, -1 where it has none.

    Raises
    ------
    TypeError
        If an input is no array, or of a wrong kind of dtype.
    ValueError
        If a shape does not fit, or a cost that counts is not finite. Where a compiler traces the call, the
        latter is raised when it runs, by JAX within an error of its own.

    Notes
    -----
    A problem without rows or columns, or with none that may be matched, ends at once: all rows have -1.
    Where not every row or column can be matched at once, as many pairs as possible are, and among all such
    matchings the total cost is least.

    On the host SciPy solves (Crouse, "On implementing 2D rectangular assignment algorithms", 2016), in
    float64: one transfer there and one back for the whole batch. On a CUDA device PyTorch uses the package
    ``torch-linear-assignment`` where it is installed, and then nothing but one boolean leaves the device.
    Each solver is deterministic: the same costs give the same matching, every run. Across devices and
    libraries the total cost is equal, up to the rounding of the costs themselves; the pairs are equal where
    the optimum is unique. Padding changes nothing, nor does the rest of the batch, on the host not even
    which of several optima it is.

    Examples
    --------
    >>> import numpy as np
    >>> cost = np.array([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 2.0, 2.0]])
    >>> linear_sum_assignment(cost)
    array([1, 0, 2])
    >>> linear_sum_assignment(cost, allowed=cost > 1)
    array([2, 0, 1])
    """
    check_nonfinite(nonfinite)
    inputs = {"row_valid": row_valid, "column_valid": column_valid, "allowed": allowed}
    masks = {name: x for name, x in inputs.items() if x is not None}
    backend = common_backend({"cost": cost, **masks})
    xp = backend.xp
    check_shape("cost", cost, "(..., N, G)", None, None)
    check_dtype("cost", cost, backend, "real floating")
    n, g = int(cost.shape[-2]), int(cost.shape[-1])
    tails = {"row_valid": (n,), "column_valid": (g,), "allowed": (n, g)}
    for name, x in masks.items():
        check_shape(name, x, f"(..., {', '.join(map(str, tails[name]))})", *tails[name])
        check_dtype(name, x, backend, "bool")
    lead = broadcast_lead({"cost": (cost, 2), **{name: (x, len(tails[name])) for name, x in masks.items()}})
    (cost,) = raise_precision(backend, backend.stop_gradient(cost))
    counts = xp.ones((1, 1), dtype=xp.bool, device=backend.device_of(cost))
    if row_valid is not None:
        counts = counts & row_valid[..., :, None]
    if column_valid is not None:
        counts = counts & column_valid[..., None, :]
    if allowed is not None:
        counts = counts & allowed
    masked = xp.broadcast_to(_masked(backend, cost, counts, nonfinite), (*lead, n, g))
    rows = 1
    for length in lead:
        rows *= length
    return xp.reshape(_solve(backend, xp.reshape(masked, (rows, n, g))), (*lead, n))


def check_nonfinite(nonfinite: str) -> None:
    """Check the knob of that name."""
    check_choice("nonfinite", nonfinite, NONFINITE)


def _masked(backend: ArrayBackend, cost: Array, counts: Array | None, nonfinite: str) -> Array:
    """Give pairs that do not count an infinite cost, and NaN to infinite costs that are an error."""
    infinite = float("inf")
    if nonfinite == "forbid":
        finite = backend.xp.isfinite(cost)
        return backend.keep(finite if counts is None else finite & counts, cost, infinite)
    sound = backend.keep(cost < infinite, cost, float("nan"))
    return sound if counts is None else backend.keep(counts, sound, infinite)


def _solve(backend: ArrayBackend, cost: Array) -> Array:
    if 0 in cost.shape:
        integers = backend.integer_dtype(cost)
        return backend.xp.full(cost.shape[:-1], -1, dtype=integers, device=backend.device_of(cost))
    return backend.linear_sum_assignment(cost)


def match_scene(
    scene: MatchScene,
    costs: Sequence[MatchCost],
    *,
    nonfinite: str = "raise",
    wrap: Callable[[Solver], Solver] = lambda solver: solver,
    solver: Solver | None = None,
) -> Array:
    """Match the predictions of a scene with its ground truths.

    Parameters
    ----------
    scene : MatchScene
        What is matched.
    costs : sequence of MatchCost
        What the matching minimises the sum of.
    nonfinite : {"raise", "forbid"}, default "raise"
        What happens to a cost that is not finite.
    wrap : callable, optional
        Makes another solver of a solver, such as :func:`repeated` and :func:`in_groups`.
    solver : callable, optional
        Solves the problems; by default to the least total cost.

    Returns
    -------
    array (B, N) of integers
        The ground truth of each prediction, counted from 0, -1 where it has none.

    Raises
    ------
    ValueError
        If a cost is not finite, and `nonfinite` is ``"raise"``: it names the term, image, prior and ground
        truth. Where a compiler traces the call it is raised when that runs, and names the row and column of
        the problem that was solved.
    """
    if scene.is_empty:
        return scene.unmatched()
    backend = scene.backend
    everything = backend.surely_all(scene.prior_valid) and backend.surely_all(scene.gt_valid)
    cost = weighted_sum(scene, costs)
    masked = _masked(backend, cost, None if everything else scene.pairs, nonfinite)
    # Not `or`: compilers of PyTorch before 2.13 cannot tell whether a nested function is true.
    solve = wrap(backend.linear_sum_assignment if solver is None else solver)
    if backend.is_traced(cost):
        return solve(masked)
    if is_recording():
        weighed = [each for each in costs if each.weight != 0]
        matching(lambda: cost_terms(scene, weighed), masked, solve)
    try:
        return solve(masked)
    except ValueError:
        _name_non_finite(scene, costs, cost)
        raise


def _name_non_finite(scene: MatchScene, costs: Sequence[MatchCost], cost: Array) -> None:
    """Raise the error that names the first pair whose cost is not finite, if there is one."""
    to_numpy = scene.backend.to_numpy
    broken = ~np.isfinite(to_numpy(cost)) & to_numpy(scene.pairs)
    if not broken.any():
        return
    image, prior, gt = np.argwhere(broken)[0].tolist()
    terms: Mapping[str, Array] = cost_terms(scene, [each for each in costs if each.weight != 0])
    values = {name: float(to_numpy(term)[image, prior, gt]) for name, term in terms.items()}
    name = next((name for name, value in values.items() if not np.isfinite(value)), "the weighted sum")
    value = values.get(name, float(to_numpy(cost)[image, prior, gt]))
    place = np.unravel_index(image, scene.lead) if scene.lead else ()
    of_image = f"image {', '.join(str(int(i)) for i in place)}, " if place else ""
    raise ValueError(
        f"{name} of {of_image}prior {prior} and ground truth {gt}: expected a finite cost, got {value}; "
        "a prediction or ground truth holds NaN or infinity, or a label is none of the classes. "
        'nonfinite="forbid" never matches such a pair instead'
    )


def one_to_one(
    scene: MatchScene,
    costs: Sequence[MatchCost],
    *,
    nonfinite: str,
    repeat: int,
    groups: int,
    solver: Solver | None = None,
) -> Array:
    """Match as `match_scene` does, each ground truth `repeat` times in each of `groups` equal groups.

    Raises
    ------
    ValueError
        If the predictions are not that many equal groups, or a cost is not finite.
    """
    check_groups(scene.shape[1], groups)

    def wrap(solver: Solver) -> Solver:
        return in_groups(repeated(solver, scene.backend, repeat), scene.backend, groups)

    return match_scene(scene, costs, nonfinite=nonfinite, wrap=wrap, solver=solver)

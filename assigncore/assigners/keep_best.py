"""Fewer positives of each ground truth: the best of what another assigner gave it."""

from __future__ import annotations

from dataclasses import replace

from assigncore.backend import Array
from assigncore.checks import check_knob
from assigncore.result import AssignResult
from assigncore.steps.positives import read_positives

__all__ = ["keep_best"]


def keep_best(result: AssignResult, values: Array, k: int) -> AssignResult:
    """Keep the `k` positives of each ground truth that have the largest values; the others become background.

    Parameters
    ----------
    result : AssignResult
        Of any assigner, (..., N).
    values : array (..., N)
        What positives are compared by, such as `max_overlaps`; of other priors without meaning. A positive
        whose value is not finite becomes background.
    k : int
        How many, at least 1; all where there are fewer.

    Returns
    -------
    AssignResult
        `result` with other codes and labels.

    Raises
    ------
    TypeError
        If `result` is none, or `values` is no array of its library, or of a wrong kind of dtype.
    ValueError
        If shapes do not fit, or `k` is out of range.

    Notes
    -----
    Of equal values the first is kept. Shapes depend on no value, so that it compiles.

    References
    ----------
    Ouyang-Zhang et al., "NMS Strikes Back", 2022, for queries.

    Examples
    --------
    >>> import numpy as np
    >>> result = AssignResult(np.array([1, 1, 1, 2, 0]), None, None, num_gts=2)
    >>> keep_best(result, np.array([0.5, 0.9, 0.7, 0.1, 1.0]), 2).gt_inds
    array([0, 1, 1, 2, 0])
    """
    check_knob("k", k, at_least=1, integer=True)
    positives = read_positives(result, "values", values)
    if positives is None:
        return result
    best = replace(positives, values=-positives.values).k_least(k)
    return positives.keep(best.index, best.found)

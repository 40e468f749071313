"""Fewer positives of each ground truth: the best of what another assigner gave it."""

from __future__ import annotations

from dataclasses import replace

from assigncore.backend import Array
from assigncore.checks import check_dtype, check_knob, check_shape, common_backend, raise_precision
from assigncore.pairs.tiles import TileView, cut_tiles
from assigncore.result import AssignResult
from assigncore.steps.candidates import FAR, k_smallest_per_gt

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
        If `values` is no array of the result's library, or of a wrong kind of dtype.
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
    backend = common_backend({"gt_inds": result.gt_inds, "values": values})
    xp, lead, n_gts = backend.xp, tuple(result.gt_inds.shape[:-1]), result.num_gts
    n_priors = int(result.gt_inds.shape[-1])
    check_shape("values", values, "(..., N)", n_priors)
    check_dtype("values", values, backend, "real floating")
    if 0 in (*result.gt_inds.shape, n_gts):
        return result
    (values,) = raise_precision(backend, backend.stop_gradient(values))
    values = xp.broadcast_to(values, (*lead, n_priors))
    codes, values = (xp.reshape(x, (-1, n_priors)) for x in (result.gt_inds, values))
    images = int(codes.shape[0])
    like = xp.broadcast_to(xp.arange(n_gts, device=backend.device_of(codes))[None, :], (images, n_gts))

    def negated(view: TileView) -> Array:
        own = view.of_priors(codes)[:, None, :] == view.gt_numbers(codes)
        value = view.of_priors(values)[:, None, :]
        return xp.where(own & xp.isfinite(value), -value, FAR)

    tiles = cut_tiles(backend, (values, codes), images, n_priors, n_gts)
    best = k_smallest_per_gt(backend, tiles, like, k, negated)
    flat = (images, -1)
    kept = backend.scatter_max(
        xp.reshape(best.index, flat), xp.reshape(xp.astype(best.found, codes.dtype), flat), n_priors
    )
    dropped = xp.reshape((codes > 0) & (kept == 0), (*lead, n_priors))
    labels = None if result.labels is None else xp.where(dropped, -1, result.labels)
    return replace(result, gt_inds=xp.where(dropped, 0, result.gt_inds), labels=labels)

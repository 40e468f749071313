"""Reassignment of positives by their losses: the second step of PAA."""

from __future__ import annotations

from collections.abc import Sequence

from assigncore.backend import Array
from assigncore.checks import check_knob, check_levels
from assigncore.matching.mixture import two_gaussians
from assigncore.result import AssignResult
from assigncore.steps.candidates import FAR
from assigncore.steps.positives import read_positives

__all__ = ["reassign_by_losses"]


def reassign_by_losses(
    result: AssignResult, losses: Array, *, num_level_priors: Sequence[int], topk: int = 9
) -> AssignResult:
    """Keep the positives that a mixture of two normal distributions takes for the likely ones.

    PAA first assigns by overlap, generously, and computes the loss of each positive. A ground truth's
    candidates are its `topk` positives of the least losses on each level. A mixture of two normal
    distributions is fitted to their losses. Of those that rather belong to the first, which begins at the
    least loss, the ones up to the densest stay positive. All other positives become background.

    Parameters
    ----------
    result : AssignResult
        The first assignment, (..., N): PAA's is ``MaxIoUAssigner(0.1, 0.1, min_pos_iou=0)``.
    losses : array (..., N)
        Loss of each positive for its ground truth; of other priors without meaning. A positive whose loss is
        not finite becomes background.
    num_level_priors : sequence of int
        Number of priors of each level; they sum to N.
    topk : int, default 9
        Candidates on each level, at least 1.

    Returns
    -------
    AssignResult
        `result` with other codes and labels.

    Raises
    ------
    TypeError
        If `result` is none, or `losses` is no array of its library, or of a wrong kind of dtype.
    ValueError
        If shapes do not fit, or levels do not sum to N.

    Notes
    -----
    Of equal losses the first is taken. A ground truth with a single candidate loses it, as published. The
    mixture is fitted in 100 rounds at most: see :func:`assigncore.matching.mixture.two_gaussians`.

    References
    ----------
    Kim and Lee, "Probabilistic Anchor Assignment with IoU Prediction for Object Detection", 2020.

    Examples
    --------
    >>> import numpy as np
    >>> result = AssignResult(np.array([1, 1, 1, 1, 1, 0]), None, None, num_gts=1)
    >>> losses = np.array([0.2, 1.9, 0.3, 2.1, 0.25, 0.0])
    >>> reassign_by_losses(result, losses, num_level_priors=(6,)).gt_inds
    array([1, 0, 0, 0, 1, 0])
    """
    check_knob("topk", topk, at_least=1, integer=True)
    positives = read_positives(result, "losses", losses)
    levels = check_levels(num_level_priors, int(result.gt_inds.shape[-1]))
    if positives is None:
        return result
    backend, xp = positives.backend, positives.backend.xp
    lengths = [(level, level.stop - level.start) for level in levels]
    parts = [positives.k_least(min(topk, length), level) for level, length in lengths if length]
    index = xp.concat([part.index for part in parts], axis=-1)
    loss, order = backend.k_smallest(xp.concat([part.value for part in parts], axis=-1), int(index.shape[-1]))
    index, found = xp.take_along_axis(index, order, axis=-1), loss < FAR
    fit = two_gaussians(xp.where(found, loss, 0.0), found)
    several = xp.sum(xp.astype(found, index.dtype), axis=-1)[..., None] > 1
    likely = fit.is_first & several
    _, densest = backend.max_and_argmax(xp.where(likely, fit.log_density, -FAR), axis=-1)
    rank = xp.arange(int(index.shape[-1]), dtype=densest.dtype, device=backend.device_of(index))
    return positives.keep(index, likely & (rank <= densest[..., None]))

"""Uniting the matchings that several decoder layers make of the same predictions."""

from __future__ import annotations

from typing import Any

from assigncore.backend import get_backend
from assigncore.result import AssignResult, check_result

__all__ = ["union_of_matchings"]


def union_of_matchings(layers: AssignResult) -> AssignResult:
    """Unite the matchings of several decoder layers: each prediction keeps what most of them give it.

    A ground truth may end with several predictions, one for each layer at most, so that a matching that is
    one to one becomes one to a few, at no further solve.

    Parameters
    ----------
    layers : AssignResult
        Of any assigner. The first dimension of its `gt_inds` (L, ..., N) are the layers, of which there is at
        least one.

    Returns
    -------
    AssignResult
        `gt_inds` (..., N) is the ground truth that most layers give a prediction, of equally many the one of
        the lowest index; 0 where no layer gives it one, -1 where it takes no part in any layer. The extra
        ``votes`` (..., N) is how many layers give it that. Without `max_overlaps`.

    Raises
    ------
    TypeError
        If it is no result.
    ValueError
        If it has no dimension for the layers, or no layer.

    Notes
    -----
    DEIMv2 and D-FINE publish the same union; where layers disagree equally, what they keep is the order that
    an unstable sort happens to give.

    References
    ----------
    Peng et al., "D-FINE: Redefine Regression Task in DETRs as Fine-grained Distribution Refinement", 2024.
    Huang et al., "Real-Time Object Detection Meets DINOv3", 2025.

    Examples
    --------
    >>> import numpy as np
    >>> gt_inds = np.array([[1, 0, 2, 0], [1, 2, 0, 0], [0, 1, 2, 0]])
    >>> united = union_of_matchings(AssignResult(gt_inds, None, None, num_gts=2))
    >>> united.gt_inds
    array([1, 1, 2, 0])
    >>> united.extras["votes"]
    array([2, 1, 2, 0])
    """
    check_result("layers", layers)
    gt_inds, labels = layers.gt_inds, layers.labels
    if len(gt_inds.shape) < 2 or gt_inds.shape[0] == 0:
        raise ValueError(f"layers: expected gt_inds (L, ..., N) of L >= 1, got shape {tuple(gt_inds.shape)}")
    xp: Any = get_backend(gt_inds, "layers").xp
    alike = xp.astype(gt_inds[:, None, ...] == gt_inds[None, ...], gt_inds.dtype)
    votes = xp.where(gt_inds > 0, xp.sum(alike, axis=1), 0)
    most = xp.max(votes, axis=0)
    beyond = layers.num_gts + 1
    chosen = xp.min(xp.where((votes > 0) & (votes == most), gt_inds, beyond), axis=0)
    chosen = xp.where(most > 0, chosen, xp.max(gt_inds, axis=0))
    if labels is not None:
        labels = xp.max(xp.where((gt_inds == chosen) & (chosen > 0), labels, -1), axis=0)
    return AssignResult(chosen, None, labels, layers.num_gts, {"votes": most})

"""What the batched assigners of YOLO frameworks return: for every prior, the row of its ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from assigncore.backend import get_backend
from assigncore.result import AssignResult

__all__ = [
    "AssignedRows",
    "as_many",
    "as_tuple",
    "assigned_rows",
    "class_scores",
    "padded_ground_truths",
    "real_numbers",
]


AnyArray = np.ndarray[Any, Any]


class AssignedRows(NamedTuple):
    """What a prior is assigned to; for background, the image's first ground truth.

    Attributes
    ----------
    gt_index : Tensor (B, N) of int64
        The ground truth, from 0.
    labels : Tensor (B, N) of int64
        Its class; the number of classes where there is no ground truth at all.
    bboxes : Tensor (B, N, 4 or 5)
        Its box; zeros where there is no ground truth at all.
    """

    gt_index: Tensor
    labels: Tensor
    bboxes: Tensor


def padded_ground_truths(gt_labels: Tensor, flags: Tensor) -> tuple[Tensor, Tensor]:
    """Return labels and validity, (B, K) each, of published ones (B, K, 1) of any dtype.

    A negative label counts as class 0, as published.
    """
    return gt_labels[..., 0].long().clamp(min=0), flags[..., 0] > 0


def as_many(priors: Tensor, gt_bboxes: Tensor, n: int) -> Tensor:
    """Return N priors, where there is nothing to assign: frameworks hand over what they have left then.

    Parameters
    ----------
    priors : Tensor (M, D)
        Priors.
    gt_bboxes : Tensor (B, K, 4)
        Ground truths.
    n : int
        N: all that many are background where K is 0, or N is.
    """
    nothing = 0 in (gt_bboxes.shape[1], n)
    return priors.new_zeros((n, priors.shape[-1])) if nothing and len(priors) != n else priors


def assigned_rows(
    result: AssignResult, gt_labels: Tensor, gt_bboxes: Tensor, num_classes: int
) -> AssignedRows:
    """Look up, for every prior, the ground truth it is assigned to, and the first one for background.

    Parameters
    ----------
    result : AssignResult
        Of a batch of B images.
    gt_labels : Tensor (B, K) of int64
        Classes.
    gt_bboxes : Tensor (B, K, 4 or 5)
        Boxes.
    num_classes : int
        The label where K is 0.
    """
    index = result.matched_gt.clamp(min=0)
    if gt_bboxes.shape[1] == 0:
        return AssignedRows(
            index,
            torch.full_like(index, num_classes),
            gt_bboxes.new_zeros((*index.shape, gt_bboxes.shape[-1])),
        )
    rows = index[..., None].expand(*index.shape, gt_bboxes.shape[-1])
    return AssignedRows(index, gt_labels.gather(1, index), gt_bboxes.gather(1, rows))


def class_scores(labels: Tensor, soft: Tensor, num_classes: int) -> Tensor:
    """Return scores (B, N, num_classes) that are `soft` (B, N) at a prior's own class, and 0 elsewhere."""
    if num_classes == 0:
        return soft.new_zeros((*labels.shape, 0))
    host = None if soft.dtype == torch.bfloat16 else get_backend(soft).on_numpy(labels, soft)
    if host is not None:
        return _class_scores_on_host(*host, num_classes=num_classes)
    own = labels[..., None] == torch.arange(num_classes, device=labels.device)
    return torch.where(own, soft[..., None], 0.0)


def _class_scores_on_host(labels: AnyArray, soft: AnyArray, *, num_classes: int) -> Tensor:
    """Write the few scores that are not 0: memory that nobody touches is zero at no cost."""
    scores = np.zeros((*labels.shape, num_classes), dtype=soft.dtype)
    row = np.flatnonzero((labels >= 0) & (labels < num_classes) & (soft != 0))
    scores.reshape(-1, num_classes)[row, labels.reshape(-1)[row]] = soft.reshape(-1)[row]
    return torch.from_numpy(scores)


def real_numbers(points: Tensor) -> Tensor:
    """Return points of real numbers; published grids without an offset are whole ones."""
    return points if points.is_floating_point() else points.to(torch.get_default_dtype())


def as_tuple(values: Sequence[int] | Tensor) -> tuple[int, ...]:
    """Return whole numbers as a tuple, whatever sequence they come in."""
    return tuple(int(value) for value in values)

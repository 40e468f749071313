"""The batched assigner of MMDetection 2 for Ascend devices, and its result."""

from __future__ import annotations

from typing import Any

import assigncore
from assigncore.adapters.containers import as_integers
from assigncore.adapters.errors import also_assertion
from assigncore.adapters.mmdet.knobs import MaxIoU
from assigncore.adapters.mmdet.result import NiceRepr, shape_or_value
from assigncore.backend import Array, get_backend

__all__ = ["AscendAssignResult", "AscendMaxIoUAssigner"]


class AscendAssignResult(NiceRepr):
    """Which priors of a batch are positive and which background.

    Parameters
    ----------
    batch_num_gts : sequence of int or tensor (B,)
        Numbers of ground truths, as they were given.
    batch_pos_mask, batch_neg_mask : tensor (B, N) of int32
        1 where a prior is positive, or background.
    batch_max_overlaps : tensor (B, N)
        Each prior's best overlap.
    batch_anchor_gt_indes : tensor (B, N) of integers, optional
        The ground truth counted from 0 that each prior overlaps most, background priors included.
    batch_anchor_gt_labels : tensor (B, N) of integers, optional
        Its class.
    """

    @also_assertion
    def __init__(
        self,
        batch_num_gts: Any,
        batch_pos_mask: Array,
        batch_neg_mask: Array,
        batch_max_overlaps: Array,
        batch_anchor_gt_indes: Array | None = None,
        batch_anchor_gt_labels: Array | None = None,
    ) -> None:
        self.batch_num_gts = batch_num_gts
        self.batch_pos_mask = batch_pos_mask
        self.batch_neg_mask = batch_neg_mask
        self.batch_max_overlaps = batch_max_overlaps
        self.batch_anchor_gt_indes = batch_anchor_gt_indes
        self.batch_anchor_gt_labels = batch_anchor_gt_labels

    def __nice__(self) -> str:
        return ", ".join(name + shape_or_value(x) for name, x in vars(self).items())


class AscendMaxIoUAssigner(MaxIoU):
    """Decide by each prior's best overlap, a batch at once: see :class:`assigncore.AscendMaxIoUAssigner`.

    Ignore regions and empty inputs work, where MMDetection 2 fails.
    """

    core_class = assigncore.AscendMaxIoUAssigner

    def assign(
        self,
        batch_bboxes: Array,
        batch_gt_bboxes: Array,
        batch_gt_bboxes_ignore: Array | None = None,
        batch_gt_labels: Array | None = None,
        batch_bboxes_ignore_mask: Array | None = None,
        batch_num_gts: Any = None,
    ) -> AscendAssignResult:
        """Assign the priors of a batch.

        Parameters
        ----------
        batch_bboxes : tensor (B, N, 4)
            Priors.
        batch_gt_bboxes : tensor (B, G, 4)
            Ground truths, padded with zeros.
        batch_gt_bboxes_ignore : tensor (B, I, 4), optional
            Ignore regions.
        batch_gt_labels : tensor (B, G), optional
            Classes.
        batch_bboxes_ignore_mask : tensor (B, N), optional
            Despite its name, 1 where a prior takes part. Not given: all do.
        batch_num_gts : sequence of int or tensor (B,), optional
            Numbers of ground truths, handed through to the result. Padding overlaps nothing and needs none.
        """
        valid = None if batch_bboxes_ignore_mask is None else batch_bboxes_ignore_mask != 0
        result = self.core().assign(
            batch_bboxes,
            batch_gt_bboxes,
            gt_labels=as_integers(batch_gt_labels),
            prior_valid=valid,
            ignore_bboxes=batch_gt_bboxes_ignore,
        )
        xp, extras = get_backend(result.gt_inds).xp, result.extras
        return AscendAssignResult(
            batch_num_gts,
            xp.astype(extras["pos_mask"], xp.int32),
            xp.astype(extras["neg_mask"], xp.int32),
            result.max_overlaps,
            extras["anchor_gt_indices"],
            extras.get("anchor_gt_labels"),
        )

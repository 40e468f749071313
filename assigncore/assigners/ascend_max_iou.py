"""Assignment by overlap thresholds with the outputs of the batched Ascend implementation."""

from __future__ import annotations

from dataclasses import dataclass, replace

from assigncore.assigners.max_iou import MaxIoUAssigner
from assigncore.backend import Array
from assigncore.inputs import Scene
from assigncore.registry import ASSIGNERS
from assigncore.result import AssignResult
from assigncore.steps.min_positives import add_by_overlap
from assigncore.steps.overlaps import (
    best_overlaps,
    low_quality_gt,
    name_best,
    name_codes,
    name_low_quality,
    overlaps_with_gts,
)

__all__ = ["AscendMaxIoUAssigner"]


@ASSIGNERS.register
@dataclass(frozen=True)
class AscendMaxIoUAssigner(MaxIoUAssigner):
    """Decide as :class:`MaxIoUAssigner` does, and return masks in place of codes as well.

    The batched variant that was published for Ascend devices. It differs in one point: a ground truth that
    overlaps no prior takes none, whatever `min_pos_iou`.

    Parameters
    ----------
    pos_iou_thr, neg_iou_thr, min_pos_iou, gt_max_assign_all, ignore_iof_thr, ignore_wrt_candidates, \
match_low_quality, iou_calculator, min_positives
        As in :class:`MaxIoUAssigner`.

    Notes
    -----
    `assign` takes what :meth:`MaxIoUAssigner.assign` takes. Its result has four extras: ``pos_mask`` and
    ``neg_mask`` (..., N) of bool; ``anchor_gt_indices`` (..., N), the ground truth from 0 that each prior
    overlaps most or was taken by, background priors included; and, with labels, ``anchor_gt_labels``
    (..., N), its class; both are 0 in an image without ground truths. Ignore regions and empty inputs, which
    the published code cannot take, behave as in :class:`MaxIoUAssigner`. Ties fall as there: a prior that
    overlaps several ground truths equally goes to the first, one that several take goes to the last.

    References
    ----------
    Ren et al., "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks", 2015.
    Chen et al., "MMDetection: Open MMLab Detection Toolbox and Benchmark", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> priors = np.array([[[0, 0, 10, 10], [50, 50, 60, 60]]], dtype=np.float32)
    >>> result = AscendMaxIoUAssigner(0.5, 0.4).assign(priors, priors[:, :1])
    >>> result.extras["pos_mask"]
    array([[ True, False]])
    """

    def _assign(
        self, scene: Scene, boxes: Array, eligible: Array, alternatives: Array | None = None
    ) -> AssignResult:
        xp = scene.xp
        if scene.is_empty:
            background = scene.full(0, integers=True)
            return self._with_masks(scene, scene.empty_result(excluded_overlap=-1.0), background)
        ignored = self._ignored(scene)
        eligible = eligible & ~ignored
        overlaps = overlaps_with_gts(scene, self.iou_calculator, boxes, eligible, alternatives)
        best = best_overlaps(overlaps)
        max_overlaps = xp.where(eligible, best.of_prior, 0.0)
        max_overlaps = xp.where(ignored | ~scene.prior_valid, -1.0, max_overlaps)
        indices = best.gt_of_prior
        positive = eligible & (max_overlaps >= float(self.pos_iou_thr))
        gt_inds = scene.codes(self._is_background(max_overlaps))
        name_codes(gt_inds, ignored, max_overlaps)
        name_best(best, "overlap at least pos_iou_thr", positive, float(self.pos_iou_thr))
        if self.match_low_quality:
            gt_eligible = scene.gt_valid & (best.of_gt >= float(self.min_pos_iou)) & (best.of_gt > 0)
            limit, assign_all = float(self.min_pos_iou), self.gt_max_assign_all
            name_low_quality(
                scene, best, "at least min_pos_iou, and above 0", gt_eligible, limit, assign_all=assign_all
            )
            taken = low_quality_gt(scene, best, gt_eligible, assign_all=assign_all)
            positive = positive | (taken > 0)
            indices = xp.where(taken > 0, taken - 1, indices)
        gt_inds = scene.backend.overwrite(gt_inds, positive, indices + 1)
        added = add_by_overlap(overlaps, gt_inds, self.min_positives)
        if added is not None:
            gt_inds = added.overwrite(gt_inds)
            indices = xp.where(added.gt_inds > 0, added.gt_inds - 1, indices)
        return self._with_masks(scene, scene.result(gt_inds, max_overlaps), indices)

    def _with_masks(self, scene: Scene, plain: AssignResult, indices: Array) -> AssignResult:
        extras = {
            "pos_mask": plain.pos_mask,
            "neg_mask": plain.neg_mask,
            "anchor_gt_indices": scene.restore(indices),
        }
        if scene.gt_labels is not None:
            any_gt = scene.xp.any(scene.gt_valid, axis=-1)[:, None]
            labels = scene.xp.where(any_gt, scene.labels_of(indices + 1), 0)
            extras["anchor_gt_labels"] = scene.restore(labels)
        return replace(plain, extras=extras)

"""Assignment by the best overlap of several approximations of each prior."""

from __future__ import annotations

from dataclasses import dataclass

from assigncore.assigners.max_iou import MaxIoUAssigner
from assigncore.backend import Array
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.calculators import box_columns
from assigncore.boxes.formulas import drop_nonfinite
from assigncore.inputs import InputSpec, read_scene
from assigncore.registry import ASSIGNERS
from assigncore.result import AssignResult

__all__ = ["ApproxMaxIoUAssigner"]


@ASSIGNERS.register
@dataclass(frozen=True)
class ApproxMaxIoUAssigner(MaxIoUAssigner):
    """Decide as :class:`MaxIoUAssigner` does, by the best of several approximations of each prior.

    Guided Anchoring learns the shapes of its anchors, so while it trains it does not know them; anchors of
    several fixed shapes at the same place stand for each.

    Parameters
    ----------
    pos_iou_thr, neg_iou_thr, min_pos_iou, gt_max_assign_all, ignore_iof_thr, ignore_wrt_candidates, \
match_low_quality, iou_calculator, min_positives
        As in :class:`MaxIoUAssigner`.

    Notes
    -----
    A prior whose approximations overlap several ground truths equally goes to the first of them, one that
    several ground truths take for low quality goes to the last; which of the approximations it was decides
    nothing. An approximation that is not finite does not count; a prior that is not, or none of whose
    approximations is, overlaps nothing. With no ground truths, no priors, or no approximations of a prior
    (A = 0), all is background with overlap 0, even in ignore regions.

    References
    ----------
    Wang et al., "Region Proposal by Guided Anchoring", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> squares = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], dtype=np.float32)
    >>> tall = squares + np.array([2, -5, -2, 5], dtype=np.float32)
    >>> assigner = ApproxMaxIoUAssigner(pos_iou_thr=0.7, neg_iou_thr=0.3)
    >>> approxs = np.stack([squares, tall], axis=-2)
    >>> assigner.assign(squares, tall[:1], approxs=approxs).gt_inds
    array([1, 0])
    """

    @numpy_fast_path
    def assign(  # type: ignore[override]
        self,
        priors: Array,
        gt_bboxes: Array,
        *,
        approxs: Array,
        gt_labels: Array | None = None,
        gt_valid: Array | None = None,
        prior_valid: Array | None = None,
        ignore_bboxes: Array | None = None,
        ignore_valid: Array | None = None,
    ) -> AssignResult:
        """Assign priors to ground truths; leading dimensions are a batch and broadcast.

        Parameters
        ----------
        priors : array (..., N, 4)
            The squares x1, y1, x2, y2 in pixels that the learned anchors start from; ignore regions are
            compared with them.
        gt_bboxes, gt_labels, gt_valid, prior_valid, ignore_bboxes, ignore_valid
            As in :meth:`MaxIoUAssigner.assign`.
        approxs : array (..., N, A, 4)
            The approximations of each prior, x1, y1, x2, y2 in pixels; of as many columns as the priors.

        Returns
        -------
        AssignResult
            `max_overlaps` is the best overlap of any approximation with any ground truth, -1 where the prior
            is ignored for a region or takes no part.

        Raises
        ------
        TypeError, ValueError
            As :meth:`MaxIoUAssigner.assign` does.
        """
        form = box_columns(self.iou_calculator)
        scene = read_scene(
            priors,
            gt_bboxes,
            gt_labels=gt_labels,
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            ignore_bboxes=ignore_bboxes,
            ignore_valid=ignore_valid,
            columns=form,
            further={"approxs": InputSpec(approxs, ("N", "A", form[0]), required=True)},
        )
        if scene.is_empty or approxs.shape[-2] == 0:
            return scene.empty_result(excluded_overlap=-1.0)
        xp = scene.xp
        boxes, finite = drop_nonfinite(scene.further["approxs"])
        boxes, finite = xp.moveaxis(boxes, -2, -3), xp.moveaxis(finite, -1, -2)
        return self._assign(scene, boxes, scene.prior_eligible & xp.any(finite, axis=-2), alternatives=finite)

"""Assignment by rank of receptive fields, in two rounds, for tiny objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from assigncore.backend import Array
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.calculators import RFD, columns_in_plane
from assigncore.checks import check_knob, check_positive
from assigncore.inputs import Scene, read_scene
from assigncore.inspect.trace import condition, contest, mark, next_round
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.ignore import spared_negatives
from assigncore.steps.min_positives import add_by_overlap, with_added
from assigncore.steps.overlaps import (
    PairwiseOverlaps,
    best_of_priors,
    k_most_overlapping,
    overlaps_with_gts,
)
from assigncore.steps.regions import scaled_boxes

__all__ = ["RFLAAssigner"]


@ASSIGNERS.register
@dataclass(frozen=True)
class RFLAAssigner(Configured):
    """Decide by rank: each ground truth takes the receptive fields most similar to it, in two rounds.

    Priors are the receptive fields of the feature levels, as boxes about the cells' centres. In the first
    round a ground truth takes the few of them that are most similar to it, whatever the similarity; in the
    second the fields are shrunk, and it takes what is most similar then, unless the first round gave that
    away. No threshold favours large objects. The hierarchical label assignment of RFLA.

    Parameters
    ----------
    topk : pair of int, default (3, 1)
        Priors that each ground truth takes in the first round and in the second; all where there are fewer.
    decay : float, default 0.9
        The sides of the receptive fields in the second round, as a fraction of those in the first.
    neg_iou_thr : float, default 0.8
        A prior that no ground truth takes is background where its best similarity, of the shrunk field, is
        below this, else ignored.
    iou_calculator : callable or config mapping, optional
        Computes the similarities; default :class:`assigncore.RFD`, the receptive-field distance.
    ignore_iof_thr : float, default -1
        A prior without ground truth is ignored where an ignore region covers more than this fraction of it.
        Not positive: ignore regions have no effect. Ours, in no paper.
    min_positives : int, default 0
        Positives that each ground truth has at least, where it can: one that has fewer by the method gets the
        free priors that are most similar to it. Ours, in no paper: see
        :func:`assigncore.steps.min_positives.add_positives`.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    References
    ----------
    Xu et al., "RFLA: Gaussian Receptive Field based Label Assignment for Tiny Object Detection", 2022.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(5) * 8
    >>> fields = np.stack([x - 8, 0 * x - 8, x + 8, 0 * x + 8], axis=-1).astype(np.float32)
    >>> gt_bboxes = np.array([[14, -1, 16, 1]], dtype=np.float32)  # two pixels wide, between two cells
    >>> RFLAAssigner(topk=(1, 1)).assign(fields, gt_bboxes).gt_inds
    array([0, 0, 1, 0, 0])
    >>> RFLAAssigner().assign(fields, gt_bboxes).gt_inds
    array([0, 1, 1, 1, 0])
    """

    decides_by_classes = False

    topk: tuple[int, int] = (3, 1)
    decay: float = 0.9
    neg_iou_thr: float = 0.8
    iou_calculator: Callable[..., Any] | Mapping[str, Any] = field(default_factory=RFD)
    ignore_iof_thr: float = -1
    min_positives: int = 0

    def _check_knobs(self) -> None:
        if not isinstance(self.topk, tuple) or len(self.topk) != 2:
            raise TypeError(f"topk: expected a number for each of two rounds, got {self.topk!r}")
        for number in self.topk:
            check_knob("topk", number, at_least=0, integer=True)
        check_positive("decay", self.decay)
        check_knob("neg_iou_thr", self.neg_iou_thr)
        check_knob("ignore_iof_thr", self.ignore_iof_thr)

    @numpy_fast_path
    def assign(
        self,
        priors: Array,
        gt_bboxes: Array,
        *,
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
            Receptive fields x1, y1, x2, y2 in pixels, of all levels; of oriented boxes, as all others then
            are too, (..., N, 5).
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels.
        gt_labels : array (..., G) of integers, optional
            Classes; without them the result has no labels.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        prior_valid : array (..., N) of bool, optional
            False where a prior takes no part: it is ignored. Not given: all true.
        ignore_bboxes : array (..., I, 4), optional
            Ignore regions. Without effect unless `ignore_iof_thr` is positive.
        ignore_valid : array (..., I) of bool, optional
            False where a row is padding. Not given: all true.

        Returns
        -------
        AssignResult
            `max_overlaps` is each prior's best similarity with any ground truth while the fields are shrunk,
            as published; 0 for a non-finite prior, -1 where one takes no part.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than `priors`.
        ValueError
            If shapes do not fit or inputs are on different devices.

        Notes
        -----
        Of equally similar priors a ground truth takes the first, where the authors' code takes every one that
        equals the last of its few. A prior that several ground truths take in one round goes to the last of
        them, as published, and what the first round gave away stays. A calculator for which 0 means that
        boxes are apart, as the IoU does, lets none take those. An image without ground truths is all
        background. The method has no ignore regions; `ignore_iof_thr` is ours, and counts in images without
        ground truths too.
        """
        form = columns_in_plane(self.iou_calculator)
        scene = read_scene(
            priors,
            gt_bboxes,
            gt_labels=gt_labels,
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            ignore_bboxes=ignore_bboxes,
            ignore_valid=ignore_valid,
            columns=(form, form),
        )
        if scene.is_empty:
            spared = spared_negatives(scene, scene.full(0, integers=True), self.ignore_iof_thr)
            return scene.empty_result(excluded_overlap=-1.0, ignored=spared)
        backend = scene.backend
        fields = overlaps_with_gts(scene, self.iou_calculator, scene.priors, scene.prior_eligible)
        shrunk = replace(fields, priors=scaled_boxes(scene.priors, float(self.decay)))
        best = backend.keep(scene.prior_eligible, best_of_priors(shrunk), 0.0)
        background = best < float(self.neg_iou_thr)
        gt_inds = scene.codes(background)
        mark("best similarity not below neg_iou_thr", ~background, -1, value=best)
        # The first round has the last word.
        for name, overlaps, k in (
            ("the shrunk receptive fields", shrunk, self.topk[1]),
            ("the receptive fields", fields, self.topk[0]),
        ):
            taken = self._taken(scene, name, overlaps, k)
            gt_inds = backend.overwrite(gt_inds, taken > 0, taken)
        added = add_by_overlap(fields, gt_inds, self.min_positives)
        gt_inds = with_added(gt_inds, added)
        max_overlaps = backend.keep(scene.prior_valid, best, -1.0)
        spared = spared_negatives(scene, gt_inds, self.ignore_iof_thr)
        return scene.result(gt_inds, max_overlaps, ignored=spared)

    def _taken(self, scene: Scene, name: str, overlaps: PairwiseOverlaps, k: int) -> Array:
        """Return index + 1 of the ground truth that takes each prior in a round, else 0, (B, N)."""
        if k == 0:
            return scene.full(0, integers=True)
        backend, xp = scene.backend, scene.xp
        candidates = k_most_overlapping(overlaps, k)
        found = candidates.found & scene.gt_valid[..., None]
        integers, device = backend.integer_dtype(scene.priors), backend.device_of(scene.priors)
        number = xp.arange(1, scene.shape[2] + 1, dtype=integers, device=device)[None, :, None]
        next_round(name)
        index, value = candidates.index, -candidates.value
        condition(f"among the {k} most similar", found, index=index, value=value)
        contest("the later ground truth", by=xp.zeros_like(value), index=index, last=True)
        flat = (scene.shape[0], scene.shape[2] * int(index.shape[2]))
        code = xp.where(found, number, 0)
        return backend.scatter_max(xp.reshape(index, flat), xp.reshape(code, flat), scene.shape[1])

"""Assignment of equally many priors to every ground truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from assigncore.backend import Array
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.calculators import BboxOverlaps2D, columns_in_plane, measure_of
from assigncore.boxes.formulas import box_shapes, by_columns, drop_nonfinite
from assigncore.checks import check_knob
from assigncore.inputs import InputSpec, Scene, read_scene
from assigncore.inspect.trace import condition, contest, is_recording, mark
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.candidates import FAR, Candidates, ShapeDistances, gather_priors, k_nearest
from assigncore.steps.min_positives import add_positives, free_priors
from assigncore.steps.overlaps import best_of_gts, best_of_priors, overlaps_with_gts

__all__ = ["UniformAssigner"]


@ASSIGNERS.register
@dataclass(frozen=True)
class UniformAssigner(Configured):
    """Decide by distance in box coordinates, so that every ground truth has equally many positives.

    Each ground truth takes the nearest predictions and the nearest priors, by L1 distance of centre and size.
    The rule of YOLOF, which has a single feature level and would starve small objects by overlap.

    Parameters
    ----------
    pos_ignore_thr : float
        A candidate whose prior overlaps its ground truth by less than this is ignored.
    neg_ignore_thr : float
        A prior whose prediction overlaps any ground truth by more than this is not background but ignored.
    match_times : int, default 4
        Predictions, and as many priors, that each ground truth takes; all where there are fewer.
    iou_calculator : callable or config mapping, optional
        Computes the overlaps; default :class:`assigncore.BboxOverlaps2D`. Where it takes oriented boxes, the
        distances are of centres, of the longer sides and of the shorter ones.
    min_positives : int, default 0
        Positives that each ground truth has at least, where it can: one that has fewer by the method gets the
        free priors that are nearest to it. Ours, in no paper: see
        :func:`assigncore.steps.min_positives.add_positives`.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    References
    ----------
    Chen et al., "You Only Look One-level Feature", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> priors = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [40, 0, 50, 10]], dtype=np.float32)
    >>> assigner = UniformAssigner(pos_ignore_thr=0.15, neg_ignore_thr=0.7, match_times=1)
    >>> assigner.assign(priors, priors[:1] + 1, pred_bboxes=priors).gt_inds
    array([1, 0, 0])
    """

    decides_by_classes = False

    pos_ignore_thr: float
    neg_ignore_thr: float
    match_times: int = 4
    iou_calculator: Callable[..., Any] | Mapping[str, Any] = field(default_factory=BboxOverlaps2D)
    min_positives: int = 0

    def _check_knobs(self) -> None:
        check_knob("pos_ignore_thr", self.pos_ignore_thr)
        check_knob("neg_ignore_thr", self.neg_ignore_thr)
        check_knob("match_times", self.match_times, at_least=1, integer=True)

    @numpy_fast_path
    def assign(
        self,
        priors: Array,
        gt_bboxes: Array,
        *,
        pred_bboxes: Array,
        gt_labels: Array | None = None,
        gt_valid: Array | None = None,
        prior_valid: Array | None = None,
    ) -> AssignResult:
        """Assign priors to ground truths; leading dimensions are a batch and broadcast.

        Parameters
        ----------
        priors : array (..., N, 4)
            Boxes x1, y1, x2, y2 in pixels; of oriented boxes, as all others then are too, (..., N, 5).
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels.
        pred_bboxes : array (..., N, 4)
            The boxes predicted from the priors, in pixels.
        gt_labels : array (..., G) of integers, optional
            Classes; without them the result has no labels.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        prior_valid : array (..., N) of bool, optional
            False where a prior takes no part: it is ignored. Not given: all true.

        Returns
        -------
        AssignResult
            `max_overlaps` is of the ground truths, as published: (..., G), the best overlap of each with a
            prior; None where there are no priors or no ground truths. The extras describe the M = 2 G k
            candidates, k of `match_times`, in the order of the rule: ``pos_idx`` (..., M), true where the
            candidate is positive by `pos_ignore_thr`; ``pos_prior`` (..., M), the candidate's index among the
            priors; ``pos_predicted_boxes`` (..., M, 4), its prediction, without gradient; ``target_boxes``
            (..., M, 4), its ground truth.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than `priors`.
        ValueError
            If shapes do not fit or inputs are on different devices.

        Notes
        -----
        Of equally near boxes the first is taken. Candidates come nearest first, of each rank first the
        predictions of all ground truths, then the priors of all. A prior that is a candidate several times
        goes by the last of them, even where that one ignores it. Priors that `min_positives` adds are true in
        ``pos_idx`` where they are candidates. The method has no ignore regions.
        """
        form = columns_in_plane(self.iou_calculator)
        scene = read_scene(
            priors,
            gt_bboxes,
            gt_labels=gt_labels,
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            columns=(form, form),
            further={"pred_bboxes": InputSpec(pred_bboxes, ("N", form), required=True)},
        )
        xp = scene.xp
        if 0 in scene.shape[1:]:
            return without_candidates(scene)
        predictions, finite = drop_nonfinite(scene.further["pred_bboxes"])
        predicted = scene.prior_valid & finite
        near_predictions = self._nearest(scene, predictions, predicted, self.match_times)
        near_priors = self._nearest(scene, scene.priors, scene.prior_eligible, self.match_times)
        index, found = in_order_of_writing(scene, near_predictions, near_priors)
        targets = _in_turn(scene, scene.gt_bboxes, index)
        overlaps = self._aligned_overlaps(scene, index, targets)
        positive = found & ~(overlaps < float(self.pos_ignore_thr))
        with_prediction = best_of_priors(
            overlaps_with_gts(scene, self.iou_calculator, predictions, predicted)
        )
        ignored = predicted & (with_prediction > float(self.neg_ignore_thr))
        if is_recording():
            self._name_steps(scene, index, found, positive, overlaps, ignored)
        gt_inds = xp.where(ignored, -1, scene.full(0, integers=True))
        gt_inds = last_write(scene, gt_inds, index, found, positive)
        free = free_priors(scene.prior_eligible, gt_inds)
        added = add_positives(
            scene.backend,
            gt_inds,
            scene.gt_valid,
            self.min_positives,
            lambda k: self._nearest(scene, scene.priors, free, k),
            by=lambda candidates: xp.zeros_like(candidates.value),
            what="the later ground truth",
            last=True,
        )
        if added is not None:
            of_gt = xp.arange(int(index.shape[1]), device=scene.backend.device_of(index)) % scene.shape[2]
            positive = positive | (found & (xp.take_along_axis(added.gt_inds, index, axis=-1) == of_gt + 1))
            gt_inds = added.overwrite(gt_inds)
        best = best_of_gts(overlaps_with_gts(scene, self.iou_calculator, scene.priors, scene.prior_eligible))
        of_gt = xp.where(scene.gt_valid & (best >= 0), best, 0.0)
        extras = {
            "pos_idx": positive,
            "pos_prior": index,
            "pos_predicted_boxes": gather_priors(scene.backend, predictions, index),
            "target_boxes": targets,
        }
        return replace(scene.result(gt_inds, None, extras), max_overlaps=scene.restore(of_gt))

    def _name_steps(
        self, scene: Scene, index: Array, found: Array, positive: Array, overlaps: Array, ignored: Array
    ) -> None:
        """Say why: the last candidate of a prior has it, if their overlap is enough."""
        xp, (images, _, n_gts) = scene.xp, scene.shape

        def by_gt(x: Array) -> Array:
            return xp.matrix_transpose(xp.reshape(x, (images, int(x.shape[1]) // n_gts, n_gts)))

        device = scene.backend.device_of(index)
        order = xp.broadcast_to(xp.arange(int(index.shape[1]), device=device), index.shape)
        mark("its prediction overlaps an object by more than neg_ignore_thr", ignored, -1)
        index, found = by_gt(index), by_gt(found)
        last = xp.where(found, xp.astype(by_gt(order), overlaps.dtype), -1.0)
        condition("among the nearest, by its prior or its prediction", found, index=index)
        contest("the last to be written", by=last, index=index)
        enough = by_gt(positive)
        condition(
            "overlap that reaches pos_ignore_thr", enough, index=index, value=by_gt(overlaps), otherwise=-1
        )

    def _nearest(self, scene: Scene, boxes: Array, eligible: Array, k: int) -> Candidates:
        """Find the `k` boxes nearest to each ground truth by the L1 distance of centre and size."""
        # Infinitely far once, in place of a mask over all pairs.
        shapes = scene.backend.keep(eligible[..., None], box_shapes(boxes), FAR)
        targets = box_shapes(scene.gt_bboxes)
        return k_nearest(ShapeDistances(scene.backend, by_columns(shapes), targets), k)

    def _aligned_overlaps(self, scene: Scene, index: Array, targets: Array) -> Array:
        """Return the overlap of each prior of `index` (B, M) with its target (B, M, D), (B, M)."""
        measure = measure_of(self.iou_calculator, "iou")
        boxes = gather_priors(scene.backend, scene.priors, index)
        overlaps = measure(boxes[..., None, :], targets[..., None, :])[..., 0, 0]
        # A prediction may be a candidate though its prior is not finite, which overlaps nothing.
        finite = gather_priors(scene.backend, scene.prior_eligible[..., None], index)[..., 0]
        return scene.xp.where(finite, overlaps, 0.0)


def without_candidates(scene: Scene) -> AssignResult:
    """Return the result where there is no pair of a prior and a ground truth at all."""
    boxes = scene.gt_bboxes[:, :0, :]
    extras = {
        "pos_idx": boxes[..., 0] > 0,
        "pos_prior": scene.full(0, integers=True)[:, :0],
        "pos_predicted_boxes": boxes,
        "target_boxes": boxes,
    }
    return scene.result(scene.full(0, integers=True), None, extras)


def in_order_of_writing(scene: Scene, first: Candidates, second: Candidates) -> tuple[Array, Array]:
    """Line up candidates rank by rank, in each rank the first kind of all ground truths, then the second.

    Returns
    -------
    index, found : array (B, M)
        The priors, and whether there is a candidate; M is twice the number of ranks times G.
    """
    xp = scene.xp
    valid = scene.gt_valid[..., None]

    def line_up(x: Array, y: Array) -> Array:
        by_rank = xp.matrix_transpose(xp.concat([x, y], axis=1))
        return xp.reshape(by_rank, (by_rank.shape[0], by_rank.shape[1] * by_rank.shape[2]))

    found = line_up(first.found & valid, second.found & valid)
    return line_up(first.index, second.index), found


def last_write(scene: Scene, gt_inds: Array, index: Array, found: Array, positive: Array) -> Array:
    """Write the candidates to their priors in order: positive ones their ground truth, others -1.

    Parameters
    ----------
    scene : Scene
        The inputs.
    gt_inds : array (B, N) of integers
        What stands there before.
    index, found, positive : array (B, M)
        The candidates.

    Returns
    -------
    array (B, N) of integers
        `gt_inds` with the last candidate of each prior written over it.
    """
    xp, (_, n_priors, n_gts) = scene.xp, scene.shape
    device = scene.backend.device_of(index)
    order = xp.arange(1, int(index.shape[1]) + 1, dtype=gt_inds.dtype, device=device)
    last = scene.backend.scatter_max(index, xp.where(found, order, 0), n_priors)
    value = xp.where(positive, (order - 1) % n_gts + 1, -1)
    written = xp.take_along_axis(value, xp.where(last > 0, last - 1, 0), axis=-1)
    return xp.where(last > 0, written, gt_inds)


def _in_turn(scene: Scene, gt_bboxes: Array, index: Array) -> Array:
    """Repeat the ground truths, all of them in turn, as often as the candidates `index` do, (B, M, D)."""
    xp, (images, _, n_gts) = scene.xp, scene.shape
    turns = int(index.shape[1]) // n_gts
    form = int(gt_bboxes.shape[2])
    repeated = xp.broadcast_to(gt_bboxes[:, None, :, :], (images, turns, n_gts, form))
    return xp.reshape(repeated, (images, turns * n_gts, form))

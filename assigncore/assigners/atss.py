"""Assignment by an adaptive threshold on the overlaps of the nearest priors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from assigncore.backend import Array
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.calculators import BboxOverlaps2D, columns_in_plane, measure_of
from assigncore.boxes.formulas import box_centers, drop_nonfinite, inside
from assigncore.checks import check_choice, check_knob, check_levels
from assigncore.inputs import InputSpec, Scene, read_scene
from assigncore.inspect.trace import condition, mark
from assigncore.numerics import exp, power, quotient, rounded_product, running_sum, sqrt
from assigncore.pairs.listed import Pairs
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.candidates import Candidates, gather_priors, nearest_per_level
from assigncore.steps.conflicts import best_claim, pairs_of, settle_among_all
from assigncore.steps.ignore import in_ignore_region
from assigncore.steps.min_positives import add_positives, free_priors, nearest_centers
from assigncore.steps.scores import known_labels

__all__ = ["ATSSAssigner"]

UNASSIGNED = -1e8
"""The overlap of a prior that no ground truth takes, as published."""

COMPETITORS = ("claimants", "all")


@ASSIGNERS.register
@dataclass(frozen=True)
class ATSSAssigner(Configured):
    """Decide by a threshold that each ground truth derives from the overlaps of its nearest priors.

    On every level the nearest priors of a ground truth are its candidates. Those whose overlap is at least
    the mean plus the standard deviation over all its candidates, and whose centres lie inside it, are
    positive. Every other prior is background.

    Parameters
    ----------
    topk : int
        Candidates on each level, at least 1; all priors of a level that has fewer.
    alpha : float, optional
        With it, candidates are compared by DDOD's dynamic cost ``score**(1 - alpha) * overlap**alpha`` of
        the predictions in place of the priors' overlap. From 0 to 1.
    iou_calculator : callable or config mapping, optional
        Computes the overlaps; default :class:`assigncore.BboxOverlaps2D`.
    ignore_iof_thr : float, default -1
        A prior is ignored where an ignore region covers more than this fraction of it, and is a candidate
        only where a level has fewer than `topk` others. Not positive: ignore regions have no effect.
    strictly_above : bool, default False
        Whether a candidate's overlap must exceed the threshold, as while YOLOv6 warms up; else it may be
        equal.
    inside_margin : float, default 0.01
        How far inside a ground truth a prior's centre must be, in pixels: farther than this from each side.
    conflicts : {"claimants", "all"}, default "claimants"
        Among which ground truths the largest overlap gets a prior that several take: those, or all. With
        `alpha`, those.
    min_positives : int, default 0
        Positives that each ground truth has at least, where it can: one that has fewer by the method gets the
        free priors whose centres are nearest to its own. Ours, in no paper: see
        :func:`assigncore.steps.min_positives.add_positives`.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    References
    ----------
    Zhang et al., "Bridging the Gap Between Anchor-based and Anchor-free Detection via Adaptive Training
    Sample Selection", 2020. Chen et al., "Disentangle Your Dense Object Detector", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> corners = np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1).reshape(-1, 2) * 8
    >>> priors = np.concatenate([corners, corners + 8], axis=-1).astype(np.float32)
    >>> gt_bboxes = np.array([[0, 0, 14, 14]], dtype=np.float32)
    >>> ATSSAssigner(topk=9).assign(priors, gt_bboxes, num_level_priors=(16,)).gt_inds.reshape(4, 4)
    array([[1, 0, 0, 0],
           [0, 0, 0, 0],
           [0, 0, 0, 0],
           [0, 0, 0, 0]])
    """

    topk: int
    alpha: float | None = None
    iou_calculator: Callable[..., Any] | Mapping[str, Any] = field(default_factory=BboxOverlaps2D)
    ignore_iof_thr: float = -1
    strictly_above: bool = False
    inside_margin: float = 0.01
    conflicts: str = "claimants"
    min_positives: int = 0

    def _check_knobs(self) -> None:
        check_knob("topk", self.topk, at_least=1, integer=True)
        if self.alpha is not None:
            check_knob("alpha", self.alpha, at_least=0, at_most=1)
        check_knob("ignore_iof_thr", self.ignore_iof_thr)
        check_knob("inside_margin", self.inside_margin, at_least=0)
        allowed = COMPETITORS if self.alpha is None else COMPETITORS[:1]
        given = "" if self.alpha is None else f" with alpha {self.alpha}"
        check_choice("conflicts", self.conflicts, allowed, given)

    @numpy_fast_path
    def assign(
        self,
        priors: Array,
        gt_bboxes: Array,
        *,
        num_level_priors: Sequence[int],
        gt_labels: Array | None = None,
        gt_valid: Array | None = None,
        prior_valid: Array | None = None,
        ignore_bboxes: Array | None = None,
        ignore_valid: Array | None = None,
        pred_logits: Array | None = None,
        pred_bboxes: Array | None = None,
    ) -> AssignResult:
        """Assign priors to ground truths; leading dimensions are a batch and broadcast.

        Parameters
        ----------
        priors : array (..., N, 4)
            Boxes x1, y1, x2, y2 in pixels, level by level; of oriented boxes, as all others then are too,
            (..., N, 5).
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels.
        num_level_priors : sequence of int
            Number of priors of each level; they sum to N.
        gt_labels : array (..., G) of integers, optional
            Classes; without them the result has no labels. Required with `alpha`.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        prior_valid : array (..., N) of bool, optional
            False where a prior takes no part: it is ignored. Not given: all true.
        ignore_bboxes : array (..., I, 4), optional
            Ignore regions. Without effect unless `ignore_iof_thr` is positive.
        ignore_valid : array (..., I) of bool, optional
            False where a row is padding. Not given: all true.
        pred_logits : array (..., N, C), optional
            Class logits of the predictions. Required with `alpha`, not used without.
        pred_bboxes : array (..., N, 4), optional
            Boxes of the predictions in pixels. Required with `alpha`, not used without.

        Returns
        -------
        AssignResult
            `max_overlaps` is what a positive prior was won by, its overlap or with `alpha` its cost, and
            -1e8 for every other prior.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than `priors`.
        ValueError
            If shapes do not fit, levels do not sum to N, inputs are on different devices, or `alpha` is
            set and a prediction or the labels are missing.

        Notes
        -----
        Of equally near priors the first is taken; on a grid this decides often, wherever a ground truth's
        centre lies midway between cells. A prior that several ground truths take goes to the largest
        overlap, then to the first of them. A ground truth with a single candidate has no standard
        deviation and takes none, as published. An ignored prior that is taken is positive. With `alpha`, a
        prior whose prediction is not finite is no candidate.
        """
        if self.alpha is not None:
            needed = {"gt_labels": gt_labels, "pred_logits": pred_logits, "pred_bboxes": pred_bboxes}
            for name, x in needed.items():
                if x is None:
                    raise ValueError(f"{name}: expected an array, since alpha is {self.alpha}, got None")
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
            further={
                "pred_logits": InputSpec(pred_logits, ("N", "C")),
                "pred_bboxes": InputSpec(pred_bboxes, ("N", form)),
            },
        )
        levels = check_levels(num_level_priors, scene.shape[1])
        if scene.is_empty:
            return scene.empty_result(excluded_overlap=UNASSIGNED)
        compared = scene.priors
        if self.alpha is not None:
            compared, finite = drop_nonfinite(scene.further["pred_bboxes"])
            scene = replace(scene, prior_eligible=scene.prior_eligible & finite)
        ignored = in_ignore_region(scene, self.iou_calculator, self.ignore_iof_thr)
        candidates = nearest_per_level(scene, levels, self.topk, last_resort=ignored)
        overlaps = self._overlaps(scene, candidates, compared)
        # Where a calculator or a logit gives NaN, there is no candidate.
        found = candidates.found & (overlaps == overlaps) & scene.gt_valid[..., None]
        overlaps = scene.xp.where(found, overlaps, 0.0)
        threshold = adaptive_threshold(scene.xp, overlaps, found)
        threshold = threshold[..., None]
        above = overlaps > threshold if self.strictly_above else overlaps >= threshold
        inside = centers_inside(scene, candidates, margin=float(self.inside_margin))
        index = candidates.index
        condition("among the nearest of its level", found, index=index)
        condition("overlap that reaches the threshold", above, index=index, value=overlaps, limit=threshold)
        condition("centre inside the box", inside, index=index)
        claims = found & above & inside
        taken, max_overlaps = self._settled(scene, index, claims, overlaps)
        mark("in an ignore region", ignored, -1)
        gt_inds = scene.backend.overwrite(scene.codes(~ignored), taken > 0, taken)

        def compared_by(candidates: Candidates) -> Array:
            overlaps = self._overlaps(scene, candidates, compared)
            return scene.xp.where(overlaps == overlaps, overlaps, 0.0)

        free = free_priors(scene.prior_eligible & ~ignored, gt_inds)
        added = add_positives(
            scene.backend,
            gt_inds,
            scene.gt_valid,
            self.min_positives,
            lambda k: nearest_centers(scene, box_centers(scene.priors), free, k),
            by=compared_by,
            what="the largest overlap",
        )
        if added is not None:
            gt_inds, max_overlaps = added.overwrite(gt_inds), added.write(added.value, max_overlaps)
        return scene.result(gt_inds, max_overlaps)

    def _overlaps(self, scene: Scene, candidates: Candidates, boxes: Array) -> Array:
        """Return what the candidates compare by, with `boxes` (B or 1, N, 4) of the priors, (B, G, K)."""
        measure = measure_of(self.iou_calculator, "iou")
        boxes = gather_priors(scene.backend, boxes, candidates.index)
        overlaps = measure(scene.gt_bboxes[..., None, :], boxes)[..., 0, :]
        if self.alpha is None:
            return overlaps
        alpha = float(self.alpha)
        return power(class_scores(scene, candidates), 1 - alpha) * power(overlaps, alpha)

    def _settled(self, scene: Scene, index: Array, claims: Array, overlaps: Array) -> tuple[Array, Array]:
        """Return who takes each prior, ground truths counted from 1, and the overlap it is won by, (B, N)."""
        backend, xp, n_priors = scene.backend, scene.xp, scene.shape[1]
        if self.conflicts == "claimants":
            return best_claim(backend, index, overlaps, claims, n_priors, nothing=UNASSIGNED)
        measure = measure_of(self.iou_calculator, "iou")

        def compared(boxes: Array, pairs: Pairs) -> Array:
            return measure(pairs.of_gts(scene.gt_bboxes), pairs.of_priors(boxes))[..., 0, :]

        prior, gt, taken = settle_among_all(
            scene, index, claims, lambda prior: partial(compared, gather_priors(backend, scene.priors, prior))
        )
        best = compared(scene.priors, pairs_of(scene, gt, prior))[..., 0]
        gt_inds = backend.scatter_max(prior, xp.where(taken, gt + 1, 0), n_priors)
        best = xp.where(taken, best, UNASSIGNED)
        return gt_inds, backend.scatter_max(prior, best, n_priors, fill=UNASSIGNED)


def class_scores(scene: Scene, candidates: Candidates) -> Array:
    """Return the candidates' scores for the classes of their ground truths, (B, G, K)."""
    xp = scene.xp
    logits = gather_priors(scene.backend, scene.further["pred_logits"], candidates.index)
    label = known_labels(scene)
    label = xp.broadcast_to(label[..., None, None], (*logits.shape[:-1], 1))
    return 1 / (1 + exp(-xp.take_along_axis(logits, label, axis=-1)[..., 0]))


def adaptive_threshold(xp: Any, overlaps: Array, found: Array) -> Array:
    """Return the mean plus the standard deviation of each ground truth's candidates, (B, G).

    Out of reach where there are fewer than two. The sums run from the first candidate to the last, and
    deviations are from the first one's overlap, so that every library rounds alike and equal overlaps have
    exactly their own value for a mean.
    """
    count = xp.sum(xp.astype(found, overlaps.dtype), axis=-1)
    several = count > 1
    first = overlaps[..., 0]
    shifted = xp.where(found, overlaps - first[..., None], 0.0)
    mean = first + quotient(running_sum(shifted), xp.where(several, count, 1.0))
    deviation = xp.where(found, overlaps - mean[..., None], 0.0)
    squares = running_sum(rounded_product(deviation, deviation))
    variance = quotient(squares, xp.where(several, count - 1, 1.0))
    return xp.where(several, mean + sqrt(variance), float("inf"))


def centers_inside(scene: Scene, candidates: Candidates, *, margin: float) -> Array:
    """Tell which candidates' centres lie more than `margin` inside their ground truths, (B, G, K)."""
    center = box_centers(gather_priors(scene.backend, scene.priors, candidates.index))
    return inside(center, scene.gt_bboxes[..., None, :], margin=margin)

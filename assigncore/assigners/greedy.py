"""Greedy matching: the cheapest pair first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from assigncore.backend import Array, ArrayBackend
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.checks import check_knob
from assigncore.costs import MatchCost, box_columns_of, build_costs, needed_inputs
from assigncore.inputs import read_match_scene
from assigncore.matching import (
    check_copies,
    check_nonfinite,
    in_groups,
    match_scene,
    repeated,
)
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.ignore import spared_predictions

__all__ = ["GreedyMatcher", "match_greedily"]

FORBIDDEN = float("inf")


@ASSIGNERS.register
@dataclass(frozen=True)
class GreedyMatcher(Configured):
    """Decide one to one: again and again, the cheapest pair of what is still free is matched.

    The total cost is not the least, for which see :class:`assigncore.HungarianAssigner`, but nothing leaves
    the device or waits for it, compiled or not.

    Parameters
    ----------
    match_costs : match cost or config mapping, or a sequence of them
        What the cost of a pair is the weighted sum of; see :mod:`assigncore.costs`.
    max_cost : float, optional
        Pairs that cost more are not matched. Not given: any finite cost will do.
    nonfinite : {"forbid", "raise"}, default "forbid"
        What happens to a pair whose cost is NaN or infinite: it is not matched, or an error names it. To
        tell, one boolean must be waited for, so a compiled call cannot raise.
    repeat : int, default 1
        How many predictions each ground truth is matched with, where there are so many.
    groups : int, default 1
        Equal groups of predictions, one after the other, each of which is matched on its own.
    ignore_iof_thr : float, default -1
        A prediction without a match is ignored where an ignore region covers more than this fraction of its
        box. Not positive: ignore regions have no effect. Ours, in no paper.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    References
    ----------
    Avis, "A Survey of Heuristics for the Weighted Matching Problem", 1983. Preis, "Linear Time
    1/2-Approximation Algorithm for Maximum Weighted Matching in General Graphs", 1999.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [30, 30, 50, 50]], dtype=np.float32)
    >>> matcher = GreedyMatcher({"type": "IoUCost", "iou_mode": "iou"}, max_cost=-0.1)
    >>> gt_bboxes = np.array([[0, 0, 10, 8], [1, 0, 11, 10]], dtype=np.float32)
    >>> matcher.assign(gt_bboxes, pred_bboxes=boxes).gt_inds
    array([2, 1, 0])
    """

    match_costs: MatchCost | Mapping[str, Any] | Sequence[MatchCost | Mapping[str, Any]]
    max_cost: float | None = None
    nonfinite: str = "forbid"
    repeat: int = 1
    groups: int = 1
    ignore_iof_thr: float = -1

    def _check_knobs(self) -> None:
        object.__setattr__(self, "match_costs", build_costs(self.match_costs))
        if self.max_cost is not None:
            check_knob("max_cost", self.max_cost)
        check_nonfinite(self.nonfinite)
        check_knob("ignore_iof_thr", self.ignore_iof_thr)
        check_copies(self.repeat, self.groups)

    @property
    def _costs(self) -> tuple[MatchCost, ...]:
        return cast("tuple[MatchCost, ...]", self.match_costs)

    @numpy_fast_path
    def assign(
        self,
        gt_bboxes: Array | None = None,
        *,
        gt_labels: Array | None = None,
        gt_valid: Array | None = None,
        prior_valid: Array | None = None,
        ignore_bboxes: Array | None = None,
        ignore_valid: Array | None = None,
        pred_bboxes: Array | None = None,
        pred_logits: Array | None = None,
        pred_scores: Array | None = None,
        pred_masks: Array | None = None,
        gt_masks: Array | None = None,
        image_shape: tuple[float, float] | Array | None = None,
        text_token_mask: Array | None = None,
        positive_maps: Array | None = None,
        pred_keypoints: Array | None = None,
        gt_keypoints: Array | None = None,
        pred_keypoint_logits: Array | None = None,
        pred_keypoint_precision: Array | None = None,
        mask_points: Array | None = None,
    ) -> AssignResult:
        """Match predictions with ground truths; leading dimensions are a batch and broadcast.

        Parameters
        ----------
        gt_bboxes : array (..., G, 4), optional
            Boxes x1, y1, x2, y2 in pixels; of costs of oriented boxes, as predictions then are too, (..., G,
            5). This and what follows is required where a cost reads it.
        gt_labels : array (..., G) of integers, optional
            Classes; without them the result has no labels.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        prior_valid : array (..., N) of bool, optional
            False where a prediction takes no part: it is ignored. Not given: all true.
        ignore_bboxes : array (..., I, 4), optional
            Ignore regions. Without effect unless `ignore_iof_thr` is positive.
        ignore_valid : array (..., I) of bool, optional
            False where a row is padding. Not given: all true.
        pred_bboxes : array (..., N, 4), optional
            Boxes of the predictions in pixels.
        pred_logits, pred_scores : array (..., N, C), optional
            Class logits, or probabilities, of the predictions.
        pred_masks, gt_masks : array (..., N, H, W) and (..., G, H, W), optional
            Masks.
        image_shape : tuple (height, width) of numbers or array (..., 2), optional
            Size of the image in pixels.
        text_token_mask : array (..., C) of bool, optional
            False where a token is padding.
        positive_maps : array (..., G, C), optional
            Which tokens name a ground truth.
        mask_points : array (..., P, 2), optional
            Points at which masks are compared, in place of all pixels.
        pred_keypoints, gt_keypoints : array (..., N, K, 2) and (..., G, K, 3), optional
            Poses: x, y in pixels, and of ground truths the visibility, 0 where a keypoint does not count,
            negative where the class has no such keypoint.
        pred_keypoint_logits : array (..., N, K, 2), optional
            Logits that a keypoint is labelled, and that it is visible.
        pred_keypoint_precision : array (..., N, K, 3), optional
            How precise a keypoint is: see :class:`assigncore.costs.KeypointNLLCost`.

        Returns
        -------
        AssignResult
            Without `max_overlaps`. A prediction that is not matched is background.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than the others.
        ValueError
            If shapes do not fit, inputs are on different devices, an input that a cost reads is missing, the
            predictions are not `groups` equal groups, or a cost is not finite and `nonfinite` is
            ``"raise"``.

        Notes
        -----
        Of equally cheap pairs the one of the lowest prediction is matched first, then that of the lowest
        ground truth. Costs of all pairs are held at once.
        """
        scene = read_match_scene(
            {
                "gt_bboxes": gt_bboxes,
                "gt_labels": gt_labels,
                "gt_valid": gt_valid,
                "prior_valid": prior_valid,
                "ignore_bboxes": ignore_bboxes,
                "ignore_valid": ignore_valid,
                "pred_bboxes": pred_bboxes,
                "pred_logits": pred_logits,
                "pred_scores": pred_scores,
                "pred_masks": pred_masks,
                "gt_masks": gt_masks,
                "image_shape": image_shape,
                "text_token_mask": text_token_mask,
                "positive_maps": positive_maps,
                "pred_keypoints": pred_keypoints,
                "gt_keypoints": gt_keypoints,
                "pred_keypoint_logits": pred_keypoint_logits,
                "pred_keypoint_precision": pred_keypoint_precision,
                "mask_points": mask_points,
            },
            needed_inputs(self._costs),
            columns=box_columns_of(self._costs),
        )
        if scene.shape[1] % self.groups:
            raise ValueError(
                f"groups: expected {self.groups} equal groups of predictions, got {scene.shape[1]} of them"
            )
        backend = scene.backend
        if self.nonfinite == "raise" and not scene.is_empty and backend.is_traced(scene.gt_valid):
            raise ValueError('nonfinite: expected "forbid" where a compiler traces the call, got "raise"')

        def solve(cost: Array) -> Array:
            return match_greedily(backend, self._affordable(backend, cost))

        matched = match_scene(
            scene,
            self._costs,
            nonfinite=self.nonfinite,
            solver=solve,
            wrap=lambda solver: in_groups(repeated(solver, backend, self.repeat), backend, self.groups),
        )
        return scene.result(matched, ignored=spared_predictions(scene, matched, self.ignore_iof_thr))

    def _affordable(self, backend: ArrayBackend, cost: Array) -> Array:
        """Forbid what costs too much; refuse what is not finite where `nonfinite` says so."""
        xp = backend.xp
        if self.nonfinite == "raise" and not bool(backend.to_numpy(xp.all(cost > -FORBIDDEN))):
            raise ValueError("cost: expected finite numbers")
        return cost if self.max_cost is None else xp.where(cost <= float(self.max_cost), cost, FORBIDDEN)


def match_greedily(backend: ArrayBackend, cost: Array) -> Array:
    """Match the cheapest pair of what is free, again and again.

    Parameters
    ----------
    backend : ArrayBackend
        The library of the costs.
    cost : array (B, N, G)
        Costs, infinite where a pair may not be matched; none is NaN.

    Returns
    -------
    array (B, N) of integers
        The column of each row, -1 where it has none.

    Notes
    -----
    Of equally cheap pairs the first is matched, row by row. That orders all pairs, so there is one greedy
    matching, and a pair that is the cheapest both of its row and of its column is in it, whatever else is
    matched before. All such pairs are matched at once, round after round; the cheapest pair of all is one of
    them, so there are as many rounds as rows or columns at most, and on random costs about as many as that
    number's logarithm.
    """
    xp = backend.xp
    images, n_rows, n_columns = (int(n) for n in cost.shape)
    device, integers = backend.device_of(cost), backend.integer_dtype(cost)
    gain = -cost
    row = xp.arange(n_rows, dtype=integers, device=device)
    column = xp.arange(n_columns, dtype=integers, device=device)

    def match_dominant(matched: Array, taken: Array, moved: Array) -> tuple[Array, ...]:
        free = (matched < 0)[:, :, None] & ~taken[:, None, :]
        open_gain = xp.where(free, gain, -FORBIDDEN)
        best, own_column = backend.max_and_argmax(open_gain, axis=2)
        _, own_row = backend.max_and_argmax(open_gain, axis=1)
        own_column, own_row = xp.astype(own_column, integers), xp.astype(own_row, integers)
        mutual = (xp.take_along_axis(own_row, own_column, axis=1) == row) & (best > -FORBIDDEN)
        chosen = xp.take_along_axis(own_column, own_row, axis=1) == column
        chosen = chosen & xp.take_along_axis(mutual, own_row, axis=1)
        return xp.where(mutual, own_column, matched), taken | chosen, moved & xp.any(mutual, axis=-1)

    state = (
        xp.full((images, n_rows), -1, dtype=integers, device=device),
        xp.zeros((images, n_columns), dtype=xp.bool, device=device),
        xp.ones((images,), dtype=xp.bool, device=device),
    )
    if 0 in (images, n_rows, n_columns):
        return state[0]
    rounds = min(n_rows, n_columns)
    return backend.iterate(match_dominant, state, rounds, done=lambda state: ~state[2])[0]

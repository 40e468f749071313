"""Assignment by the matching of least total cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from assigncore.backend import Array
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.checks import check_knob
from assigncore.costs import MatchCost, box_columns_of, build_costs, cost_terms, needed_inputs
from assigncore.inputs import read_match_scene
from assigncore.matching import check_copies, check_nonfinite, one_to_one
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.ignore import spared_predictions

__all__ = ["HungarianAssigner"]


@ASSIGNERS.register
@dataclass(frozen=True)
class HungarianAssigner(Configured):
    """Match predictions with ground truths one to one, at the least total cost.

    Every other prediction is background. This is how DETR and its successors train: of the many predictions
    of an object one is right, so that none need be suppressed afterwards.

    Parameters
    ----------
    match_costs : config mapping, match cost, or sequence of them
        The terms of the cost, which are weighted and added up in this order. See :mod:`assigncore.costs`.
    nonfinite : {"raise", "forbid"}, default "raise"
        What happens to a pair whose cost is NaN or infinite: an error, or it is never matched.
    repeat : int, default 1
        How many predictions each ground truth is matched with, as far as there are enough: the one-to-many
        branch of H-DETR, and Stable-DINO.
    groups : int, default 1
        The predictions are so many equal groups, one after the other, and each is matched on its own, as
        Group DETR trains.
    ignore_iof_thr : float, default -1
        A prediction without a match is ignored where an ignore region covers more than this fraction of its
        box. Not positive: ignore regions have no effect. Ours, in no paper.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    References
    ----------
    Carion et al., "End-to-End Object Detection with Transformers", 2020. Zhu et al., "Deformable DETR",
    2021. Sun et al., "Sparse R-CNN", 2021. Jia et al., "DETRs with Hybrid Matching", 2023. Chen et al.,
    "Group DETR", 2023.

    Examples
    --------
    >>> import numpy as np
    >>> assigner = HungarianAssigner(
    ...     [{"type": "BBoxL1Cost", "weight": 5.0}, {"type": "IoUCost", "weight": 2.0}]
    ... )
    >>> pred_bboxes = np.array([[0.0, 0, 9, 9], [20, 20, 31, 30], [21, 20, 30, 30]])
    >>> gt_bboxes = np.array([[20.0, 20, 30, 30], [0, 0, 10, 10]])
    >>> result = assigner.assign(
    ...     gt_bboxes, gt_labels=np.array([7, 3]), pred_bboxes=pred_bboxes, image_shape=(40, 40)
    ... )
    >>> result.gt_inds
    array([2, 1, 0])
    >>> result.labels
    array([ 3,  7, -1])
    """

    match_costs: Mapping[str, Any] | MatchCost | Sequence[Any]
    nonfinite: str = "raise"
    repeat: int = 1
    groups: int = 1
    ignore_iof_thr: float = -1

    def _check_knobs(self) -> None:
        object.__setattr__(self, "match_costs", build_costs(self.match_costs))
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
        pred_masks: Array | None = None,
        gt_masks: Array | None = None,
        mask_points: Array | None = None,
        image_shape: tuple[float, float] | Array | None = None,
        text_token_mask: Array | None = None,
        positive_maps: Array | None = None,
        pred_keypoints: Array | None = None,
        gt_keypoints: Array | None = None,
        pred_keypoint_logits: Array | None = None,
        pred_keypoint_precision: Array | None = None,
    ) -> AssignResult:
        """Assign predictions to ground truths; leading dimensions are a batch and broadcast.

        Several decoder layers are one more leading dimension: all of them and all images are one call.
        Which inputs are needed depends on the costs; others are checked, and not used.

        Parameters
        ----------
        gt_bboxes : array (..., G, 4), optional
            Boxes x1, y1, x2, y2 in pixels; of costs of oriented boxes, as predictions then are too, (..., G,
            5).
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
            Boxes of the predictions, x1, y1, x2, y2 in pixels.
        pred_logits : array (..., N, C), optional
            Class logits of the predictions.
        pred_masks : array (..., N, H, W), optional
            Mask logits of the predictions. Masks that are lists of P points have H = 1 and W = P.
        gt_masks : array (..., G, H, W), optional
            Masks, booleans or numbers from 0 to 1. With `mask_points`, of any height and width.
        mask_points : array (..., P, 2), optional
            With them masks are compared at these points only, x and y from 0 to 1: see
            :func:`assigncore.costs.point_sample`.
        image_shape : tuple (height, width) or array (..., 2), optional
            In pixels, what box distances are relative to.
        text_token_mask : array (..., C) of bool, optional
            False where a token of the caption is padding.
        positive_maps : array (..., G, C), optional
            1 where a token of the caption names a ground truth, else 0.
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
            Without `max_overlaps`, since no overlap decides.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than the others.
        ValueError
            If an input is missing that a cost reads, shapes do not fit, inputs are on different devices, the
            predictions are not equal groups, or a cost is not finite: the message names the term, image,
            prior and ground truth. Where a compiler traces the call, the latter error is raised when that
            runs, by JAX within an error of its own, and names the row and column of the problem in place.

        Notes
        -----
        Where there are fewer predictions than ground truths, as many as there are predictions get one.
        The costs of all pairs exist at once, since the solver reads them; their terms do not.
        :func:`assigncore.matching.linear_sum_assignment` says what is promised of ties, and where it runs.
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
                "pred_masks": pred_masks,
                "gt_masks": gt_masks,
                "mask_points": mask_points,
                "image_shape": image_shape,
                "text_token_mask": text_token_mask,
                "positive_maps": positive_maps,
                "pred_keypoints": pred_keypoints,
                "gt_keypoints": gt_keypoints,
                "pred_keypoint_logits": pred_keypoint_logits,
                "pred_keypoint_precision": pred_keypoint_precision,
            },
            needed_inputs(self._costs),
            columns=box_columns_of(self._costs),
        )
        matched = one_to_one(
            scene, self._costs, nonfinite=self.nonfinite, repeat=self.repeat, groups=self.groups
        )
        return scene.result(matched, ignored=spared_predictions(scene, matched, self.ignore_iof_thr))

    def cost_terms(self, gt_bboxes: Array | None = None, **inputs: Any) -> dict[str, Array]:
        """Explain a matching: return the weighted terms of its cost, each (..., N, G), by name.

        Parameters
        ----------
        gt_bboxes : array (..., G, 4), optional
            Boxes, as of `assign`.
        **inputs : array
            The other inputs of `assign`.

        Returns
        -------
        dict of str to array (..., N, G)
            By the class of the cost, numbered from the second of a class on. Their sum, from the first to
            the last, is what the matching minimises.

        Examples
        --------
        >>> import numpy as np
        >>> boxes = np.array([[0.0, 0.0, 8.0, 4.0]])
        >>> assigner = HungarianAssigner([{"type": "IoUCost", "weight": 2.0}])
        >>> assigner.cost_terms(boxes, pred_bboxes=boxes)
        {'IoUCost': array([[-2.]])}
        """
        costs = [cost for cost in self._costs if cost.weight != 0]
        scene = read_match_scene(
            {"gt_bboxes": gt_bboxes, **inputs}, needed_inputs(costs), columns=box_columns_of(costs)
        )
        return {name: scene.restore(term) for name, term in cost_terms(scene, costs).items()}

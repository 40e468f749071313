"""Assignment by a simplified optimal transport: the cheapest predictions of each ground truth, dynamic k."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from assigncore.backend import Array
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.calculators import BboxOverlaps2D, columns_in_plane
from assigncore.boxes.formulas import box_centers, drop_nonfinite, inside, near
from assigncore.checks import check_choice, check_knob, check_numbers
from assigncore.inputs import InputSpec, Scene, label_spec, read_scene, required_by
from assigncore.numerics import at_least, log, rounded_product, sqrt
from assigncore.pairs.listed import TilePairs
from assigncore.pairs.relations import Inside, Near, holds_for_any
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.dynamic_k import PairCosts, Preferred, match_dynamic_k, overlap_cost, weighted
from assigncore.steps.ignore import spared_negatives
from assigncore.steps.keypoints import Poses, read_poses
from assigncore.steps.scores import check_classes, entropy_cost, known_labels

__all__ = ["SimOTAAssigner"]

UNASSIGNED = -1e5
"""The overlap of a prior that no ground truth takes, as published."""

OUTSIDE = 1e5
"""What a pair costs more where the point is not both in the box and near its centre, as published."""

LEAST_OUTSIDE = OUTSIDE / 2
"""What such a pair costs at least, whatever its scores say."""


@ASSIGNERS.register
@dataclass(frozen=True)
class SimOTAAssigner(Configured):
    """Give each ground truth its cheapest predictions, as many as their overlaps with it add up to.

    A prior counts where its point lies in any ground truth, or near the centre of any. A pair costs the
    cross-entropy of the predicted scores, plus a logarithm of the predicted box's overlap, plus a large
    constant unless the point is both in the ground truth and near its centre. With `sigmas`, which pose
    detectors train with, it costs a logarithm of the predicted pose's similarity besides.

    Parameters
    ----------
    center_radius : float, default 2.5
        How far from a centre is near, along each axis, in strides of the prior.
    candidate_topk : int, default 10
        Overlaps that are added up to the number of priors a ground truth takes, and the most it takes.
    iou_weight : float, default 3.0
        Weight of the overlap's cost.
    cls_weight : float, default 1.0
        Weight of the scores' cost.
    iou_calculator : callable or config mapping, optional
        Computes the overlaps; default :class:`assigncore.BboxOverlaps2D`.
    sqrt_scores : bool, default False
        Compare the square roots of the scores, for scores that are products of class and objectness, as in
        MMDetection 2.
    eps : float, default 1e-7
        Added to an overlap before its logarithm.
    ignore_iof_thr : float, default -1
        A prior without ground truth is ignored where an ignore region covers more than this fraction of its
        cell. Not positive: ignore regions have no effect.
    min_positives : int, default 0
        Positives that each ground truth has at least, where it can: one that has fewer by the method gets the
        free priors that cost it least. Ours, in no paper: see
        :func:`assigncore.steps.min_positives.add_positives`.
    sigmas : sequence of float, optional
        Tolerances of K keypoints, relative to an object's size. With them the object keypoint similarity
        (OKS) of predicted poses costs too.
    oks_weight : float, default 3.0
        Weight of that cost.
    vis_weight : float, default 0.0
        Weight of the cross-entropy of predicted visibilities, which then are required.
    dynamic_k_indicator : {"iou", "oks"}, default "iou"
        What is added up to the number of priors a ground truth takes: overlaps, or similarities of poses.
    use_keypoints_for_center : bool, default False
        Whether the centre of a ground truth is the mean of its visible keypoints, where it has any, in place
        of its box's.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    References
    ----------
    Ge et al., "YOLOX: Exceeding YOLO Series in 2021", 2021; Ge et al., "OTA: Optimal Transport Assignment
    for Object Detection", 2021. With poses: Lu et al., "RTMO: Towards High-Performance One-Stage Real-Time
    Multi-Person Pose Estimation", 2024; :func:`assigncore.assigners.yolox_pose` and
    :func:`assigncore.assigners.rtmo` are published settings.

    Examples
    --------
    >>> import numpy as np
    >>> points = np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1).reshape(-1, 2) * 8 + 4
    >>> priors = np.concatenate([points, np.full((16, 2), 8)], axis=-1).astype(np.float32)
    >>> gt_bboxes = np.array([[0, 0, 17, 17]], dtype=np.float32)
    >>> pred_bboxes = np.concatenate([points - 8, points + 8], axis=-1).astype(np.float32)
    >>> scores = np.full((16, 2), 0.5, dtype=np.float32)
    >>> assigner = SimOTAAssigner(center_radius=1.0)
    >>> assigner.assign(
    ...     priors, gt_bboxes, pred_bboxes=pred_bboxes, pred_scores=scores, gt_labels=np.array([1])
    ... ).gt_inds.reshape(4, 4)
    array([[0, 0, 0, 0],
           [0, 1, 0, 0],
           [0, 0, 0, 0],
           [0, 0, 0, 0]])
    """

    center_radius: float = 2.5
    candidate_topk: int = 10
    iou_weight: float = 3.0
    cls_weight: float = 1.0
    iou_calculator: Callable[..., Any] | Mapping[str, Any] = field(default_factory=BboxOverlaps2D)
    sqrt_scores: bool = False
    eps: float = 1e-7
    ignore_iof_thr: float = -1
    min_positives: int = 0
    sigmas: Sequence[float] | None = None
    oks_weight: float = 3.0
    vis_weight: float = 0.0
    dynamic_k_indicator: str = "iou"
    use_keypoints_for_center: bool = False

    def _check_knobs(self) -> None:
        check_knob("center_radius", self.center_radius, at_least=0)
        check_knob("candidate_topk", self.candidate_topk, at_least=1, integer=True)
        check_knob("iou_weight", self.iou_weight)
        check_knob("cls_weight", self.cls_weight)
        check_knob("ignore_iof_thr", self.ignore_iof_thr)
        check_knob("eps", self.eps, at_least=1e-30)
        check_knob("oks_weight", self.oks_weight)
        check_knob("vis_weight", self.vis_weight)
        check_choice("dynamic_k_indicator", self.dynamic_k_indicator, ("iou", "oks"))
        if self.sigmas is not None:
            check_numbers("sigmas", self.sigmas, at_least=0)
        elif self.vis_weight or self.dynamic_k_indicator == "oks" or self.use_keypoints_for_center:
            raise ValueError(
                "sigmas: expected tolerances with vis_weight, dynamic_k_indicator='oks' or "
                "use_keypoints_for_center, got None"
            )

    @numpy_fast_path
    def assign(
        self,
        priors: Array,
        gt_bboxes: Array,
        *,
        pred_bboxes: Array,
        pred_scores: Array,
        gt_labels: Array,
        gt_valid: Array | None = None,
        prior_valid: Array | None = None,
        ignore_bboxes: Array | None = None,
        ignore_valid: Array | None = None,
        pred_keypoints: Array | None = None,
        gt_keypoints: Array | None = None,
        gt_areas: Array | None = None,
        pred_visibility: Array | None = None,
    ) -> AssignResult:
        """Assign priors to ground truths; leading dimensions are a batch and broadcast.

        Parameters
        ----------
        priors : array (..., N, 4)
            Points with their strides: x, y, stride_x, stride_y in pixels.
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels; oriented boxes, as predictions then are too, (..., G, 5).
        pred_bboxes : array (..., N, 4)
            Boxes of the predictions in pixels.
        pred_scores : array (..., N, C)
            Class probabilities of the predictions.
        gt_labels : array (..., G) of integers, or (..., G, C) of bool
            Classes, from 0; or masks of the classes that a box has, of each of which the cost then counts.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        prior_valid : array (..., N) of bool, optional
            False where a prior takes no part: it is ignored. Not given: all true.
        ignore_bboxes : array (..., I, 4), optional
            Ignore regions. Without effect unless `ignore_iof_thr` is positive.
        ignore_valid : array (..., I) of bool, optional
            False where a row is padding. Not given: all true.
        pred_keypoints, gt_keypoints : array (..., N, K, 2) and (..., G, K, 3), optional
            Poses: x, y in pixels, and of ground truths the visibility, 0 where a keypoint does not count.
            Required with `sigmas`, and like the following not used without.
        gt_areas : array (..., G), optional
            Areas of the objects in square pixels, by which distances of keypoints are measured. Not given:
            0.53 of the box.
        pred_visibility : array (..., N, K), optional
            Probabilities that a keypoint is visible. Required with `vis_weight`.

        Returns
        -------
        AssignResult
            `max_overlaps` is the overlap of a positive prior's prediction with its ground truth, and -1e5
            for every other prior; 0 for all where no prior counts. Where labels are masks, the result has the
            extra ``classes`` (..., N, C) of bool in place of `labels`.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than `priors`.
        ValueError
            If shapes do not fit, or inputs are on different devices.

        Notes
        -----
        Of equally cheap priors the first is taken. A prior that several ground truths choose goes to the one
        it is cheapest for among all, the first on ties, even if that one did not choose it; so a ground
        truth may end with none, as published. A prediction with a NaN or infinite number matches nothing;
        if its box and pose are finite, its overlaps count towards how many priors a ground truth takes, as
        published. A ground truth without a visible keypoint has the similarity 0 with all.
        Scores are not checked: one above 1 counts as 1. A pair that is not both in the box and near the
        centre costs at least 50,000, whatever its scores say. A valid label that is no class is an error
        where the host can see it; elsewhere its ground truth takes no part. The method has no ignore regions;
        `ignore_iof_thr` is ours, and counts in images without ground truths too.
        """
        form = columns_in_plane(self.iou_calculator)
        scene = read_scene(
            priors,
            gt_bboxes,
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            ignore_bboxes=ignore_bboxes,
            ignore_valid=ignore_valid,
            columns=(4, form),
            further={
                "gt_labels": label_spec(gt_labels),
                "pred_bboxes": InputSpec(pred_bboxes, ("N", form), required=True),
                "pred_scores": InputSpec(pred_scores, ("N", "C"), required=True),
                **self._of_poses(pred_keypoints, gt_keypoints, gt_areas, pred_visibility),
            },
        )
        check_classes("pred_scores", pred_scores)
        if scene.is_empty:
            spared = self._spared(scene, scene.full(0, integers=True))
            extras = None if self.sigmas is None else {"oks": scene.full(0.0)}
            return scene.empty_result(extras, excluded_overlap=UNASSIGNED, ignored=spared)
        boxes, finite = drop_nonfinite(scene.further["pred_bboxes"])
        poses, centers = None, box_centers(scene.gt_bboxes)
        if self.sigmas is not None:
            scene, poses, finite_poses = read_poses(scene, self.sigmas)
            finite = finite & finite_poses
            centers = self._centers(poses, centers)
        in_box, near_center = self._places(scene, centers)
        competing = (holds_for_any(in_box) | holds_for_any(near_center)) & finite
        costs = PairCosts(
            scene=scene,
            eligible=competing,
            pred_bboxes=boxes,
            calculator=self.iou_calculator,
            classes=scene.further["pred_scores"],
            cost=partial(self._cost, known_labels(scene), centers),
            of_priors={"priors": scene.priors}
            | ({"visibility": scene.further["pred_visibility"]} if self.vis_weight else {}),
            preferred=Preferred(partial(holds_for_any, near_center, too=in_box), LEAST_OUTSIDE),
            poses=poses,
            counts_poses=self.dynamic_k_indicator == "oks",
        )
        gt_inds, max_overlaps = match_dynamic_k(
            costs, self.candidate_topk, nothing=UNASSIGNED, min_positives=self.min_positives
        )
        decided = scene.xp.any(competing, axis=-1)[:, None] | ~scene.prior_valid
        max_overlaps = scene.xp.where(decided, max_overlaps, 0.0)
        extras = {} if poses is None else {"oks": poses.of_assigned(gt_inds)}
        return scene.result(gt_inds, max_overlaps, extras, ignored=self._spared(scene, gt_inds))

    def _of_poses(
        self, pred: Array | None, gt: Array | None, areas: Array | None, visibility: Array | None
    ) -> dict[str, InputSpec]:
        """Name the inputs by which poses are compared, each with its dimensions."""
        if self.sigmas is None:
            return {}
        count = len(self.sigmas)
        given = {"pred_keypoints": pred, "gt_keypoints": gt, "pred_visibility": visibility}
        dimensions = {"pred_keypoints": ("N", count, 2), "gt_keypoints": ("G", count, 3)}
        specs = {**required_by("sigmas", dimensions, given), "gt_areas": InputSpec(areas, ("G",))}
        if self.vis_weight:
            specs |= required_by("vis_weight", {"pred_visibility": ("N", count)}, given)
        return specs

    def _spared(self, scene: Scene, gt_inds: Array) -> Array | None:
        return spared_negatives(scene, gt_inds, self.ignore_iof_thr, of_cells=True)

    def _centers(self, poses: Poses, centers: Array) -> Array:
        """Return the centres of ground truths (B, G, 2), of their boxes or of their visible keypoints."""
        return poses.centers(otherwise=centers) if self.use_keypoints_for_center else centers

    def _places(self, scene: Scene, centers: Array) -> tuple[Inside, Near]:
        """Return the relations of points with the ground truths they are in, and near the centre of."""
        of_scene = (scene.backend, scene.gt_valid, scene.prior_eligible)
        points, reach = self._points_and_reach(scene.priors)
        return Inside(*of_scene, points, scene.gt_bboxes), Near(*of_scene, points, reach, centers)

    def _cost(
        self, labels: Array, centers: Array, costs: PairCosts, pairs: TilePairs, overlaps: Array
    ) -> Array:
        """Return what pairs cost, (b, g, n): for their class, their overlap, their pose, and their place."""
        scores = pairs.view.of_priors(costs.classes)
        if self.sqrt_scores:
            scores = sqrt(at_least(scores, 0.0))
        cost = weighted(entropy_cost(scores, pairs.view.of_gts(labels)), self.cls_weight)
        cost = cost + overlap_cost(self.iou_calculator, overlaps, float(self.eps), self.iou_weight)
        if costs.poses is not None:
            cost = cost + self._pose_cost(costs.poses, costs, pairs)
        points, reach = self._points_and_reach(pairs.of_priors(costs.of_priors["priors"]))
        in_box = inside(points, pairs.of_gts(costs.scene.gt_bboxes))
        in_both = in_box & near(points, pairs.of_gts(centers), reach)
        return costs.scene.xp.where(in_both, cost, at_least(cost + OUTSIDE, LEAST_OUTSIDE))

    def _pose_cost(self, poses: Poses, costs: PairCosts, pairs: TilePairs) -> Array:
        """Return what the poses of pairs cost, (b, g, n): their similarity, and what is visible."""
        cost = weighted(log(poses.similarities(pairs) + float(self.eps)), -self.oks_weight)
        if not self.vis_weight:
            return cost
        visibility = pairs.view.of_priors(costs.of_priors["visibility"])
        return cost + weighted(entropy_cost(visibility, pairs.view.of_gts(poses.visible)), self.vis_weight)

    def _points_and_reach(self, priors: Array) -> tuple[Array, Array]:
        """Return where priors (..., 4) are, and how far from a centre is near, (..., 2) each."""
        return priors[..., :2], rounded_product(priors[..., 2:], float(self.center_radius))

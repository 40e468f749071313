"""Assignment of the priors whose predictions are best aligned with a ground truth in class and place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from assigncore.backend import Array
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.calculators import BboxOverlaps2D, columns_in_plane
from assigncore.boxes.formulas import ORIENTED, box_centers, columns, drop_nonfinite
from assigncore.checks import check_choice, check_knob, check_numbers
from assigncore.inputs import InputSpec, Scene, label_spec, read_scene, required_by
from assigncore.inspect.trace import condition, is_recording
from assigncore.numerics import at_least, quotient
from assigncore.pairs.listed import ListedPairs, all_rows
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.alignment import Alignment, best_aligned
from assigncore.steps.candidates import FAR, Candidates
from assigncore.steps.conflicts import Winners, best_of_winners, fillers_in_reach, settle
from assigncore.steps.ignore import spared_negatives
from assigncore.steps.keypoints import PoseAlignment, level_gate, read_poses
from assigncore.steps.mask_overlaps import PredictedMasks, with_masks
from assigncore.steps.min_positives import add_positives, free_priors, nearest_centers
from assigncore.steps.scores import known_labels

__all__ = ["TaskAlignedAssigner"]

UNASSIGNED = -1e8
"""The overlap of a prior that no ground truth takes, as published."""

COMPETITORS = ("claimants", "inside", "all")


@ASSIGNERS.register
@dataclass(frozen=True)
class TaskAlignedAssigner(Configured):
    """Decide by how well predictions agree with a ground truth, in class and place at once.

    The metric of a pair is ``score**alpha * overlap**beta``: the score that the prediction gives the ground
    truth's class, and its box's overlap with the ground truth. The `topk` priors of the largest metrics whose
    centres lie inside a ground truth are positive, every other prior is background. The defaults are TOOD's;
    the further knobs make it what YOLOv6, YOLOv8 and YOLOv10 train with, as the functions of
    :mod:`assigncore.assigners.task_aligned_presets` set them.

    Parameters
    ----------
    topk : int
        Priors each ground truth may take, at least 1; all of them where there are fewer.
    alpha : float, default 1
        Exponent of the score, at least 0.
    beta : float, default 6
        Exponent of the overlap, at least 0.
    iou_calculator : callable or config mapping, optional
        Computes the overlaps; default :class:`assigncore.BboxOverlaps2D`.
    topk_inside : bool, default False
        Whether the `topk` are chosen among the priors inside the ground truth, of metric 0 too; else among
        all, and those then dropped that are outside or of metric 0.
    inside_margin : float or None, default 0.01
        How far inside a prior's centre must be, in pixels: farther than this from each side. None: it may be
        on a side too.
    smallest_side : float, default 0
        Ground truths with a shorter side count as this long, about their centre, when it is decided what is
        inside. In pixels.
    conflicts : {"claimants", "inside", "all"}, default "claimants"
        Among which ground truths the largest overlap gets a prior that several claim: those; or all, with an
        overlap of 0 where it is not inside; or all.
    topk2 : int, optional
        Of what a ground truth has got, keep so many priors of the largest metrics: with 1, a one-to-one
        assignment from a wider choice.
    normalized : bool, default False
        Whether ``assign_metrics`` are scaled for each ground truth, so that its largest one is the largest
        overlap it has with a prior it got.
    eps : float, default 1e-9
        Added to the largest metric where it is divided by.
    ignore_iof_thr : float, default -1
        A prior without ground truth is ignored where an ignore region covers more than this fraction of it.
        Not positive: ignore regions have no effect.
    min_positives : int, default 0
        Positives that each ground truth has at least, where it can: one that has fewer by the method gets the
        free priors whose centres are nearest to its own. Ours, in no paper: see
        :func:`assigncore.steps.min_positives.add_positives`.
    sigmas : sequence of float, optional
        Tolerances of K keypoints, relative to an object's size. With them the overlap is the object keypoint
        similarity (OKS) of predicted poses, but for ground truths without a visible keypoint.
    level_sizes : (float, float), optional
        A prior is inside only those ground truths whose size, the root of the box's area, is from the first
        to the second number times its stride. The first does not hold for priors of the smallest stride, the
        second not for those of the largest, and neither for a ground truth that would have no prior. Needs
        `sigmas`.
    mask_ranks : int, optional
        With it predicted masks are compared too: the overlap is the mean of that of boxes and of the IoU of
        masks, which counts for so many predictions of each ground truth, those of the largest metrics by
        boxes among the priors inside, and is 0 for all others.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    References
    ----------
    Feng et al., "TOOD: Task-aligned One-stage Object Detection", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> priors = np.array([[2, 2, 4, 4], [4, 4, 6, 6], [20, 20, 22, 22]], dtype=np.float32)
    >>> pred_bboxes = np.array([[0, 0, 9, 9], [0, 0, 8, 8], [0, 0, 8, 8]], dtype=np.float32)
    >>> result = TaskAlignedAssigner(topk=1).assign(
    ...     priors,
    ...     np.array([[0, 0, 8, 8]], dtype=np.float32),
    ...     pred_bboxes=pred_bboxes,
    ...     pred_scores=np.array([[0.25, 0.5], [0.5, 0.5], [0.25, 0.25]], dtype=np.float32),
    ...     gt_labels=np.array([1]),
    ... )
    >>> result.gt_inds
    array([0, 1, 0])
    >>> result.extras["assign_metrics"]
    array([0. , 0.5, 0. ], dtype=float32)
    """

    topk: int
    alpha: float = 1
    beta: float = 6
    iou_calculator: Callable[..., Any] | Mapping[str, Any] = field(default_factory=BboxOverlaps2D)
    topk_inside: bool = False
    inside_margin: float | None = 0.01
    smallest_side: float = 0
    conflicts: str = "claimants"
    topk2: int | None = None
    normalized: bool = False
    eps: float = 1e-9
    ignore_iof_thr: float = -1
    min_positives: int = 0
    sigmas: Sequence[float] | None = None
    level_sizes: tuple[float, float] | None = None
    mask_ranks: int | None = None

    def _check_knobs(self) -> None:
        check_knob("topk", self.topk, at_least=1, integer=True)
        for name in ("alpha", "beta", "smallest_side", "eps"):
            check_knob(name, getattr(self, name), at_least=0)
        if self.inside_margin is not None:
            check_knob("inside_margin", self.inside_margin, at_least=0)
        check_knob("ignore_iof_thr", self.ignore_iof_thr)
        check_choice("conflicts", self.conflicts, COMPETITORS)
        if self.topk2 is not None:
            check_knob("topk2", self.topk2, at_least=1, integer=True)
        if self.mask_ranks is not None:
            check_knob("mask_ranks", self.mask_ranks, at_least=1, integer=True)
            if self.sigmas is not None:
                raise ValueError("mask_ranks: expected None with sigmas, which compare keypoints alone")
        self._check_poses()

    def _check_poses(self) -> None:
        if self.level_sizes is not None and self.sigmas is None:
            raise ValueError("level_sizes: expected sigmas with it, got None")
        if self.sigmas is not None:
            check_numbers("sigmas", self.sigmas, at_least=0)
        if self.level_sizes is not None:
            check_numbers("level_sizes", self.level_sizes, at_least=0, pair=True)

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
        pred_coefficients: Array | None = None,
        mask_prototypes: Array | None = None,
        mask_scale: Array | None = None,
        gt_masks: Array | None = None,
    ) -> AssignResult:
        """Assign priors to ground truths; leading dimensions are a batch and broadcast.

        Parameters
        ----------
        priors : array (..., N, 4) or (..., N, 3)
            Boxes x1, y1, x2, y2, or points x, y, stride, in pixels. Only the centres count.
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels; of oriented boxes, which priors may then be too, (..., G, 5).
        pred_bboxes : array (..., N, 4)
            The boxes predicted from the priors, in pixels, in the form of the ground truths.
        pred_scores : array (..., N, C)
            The probabilities of the classes, predicted from the priors.
        gt_labels : array (..., G) of integers, or (..., G, C) of bool
            Classes, from 0 to C - 1; or masks of the classes that a box has. Of several, the mean of their
            scores is the score of a pair.
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
            Required with `sigmas`, not used without.
        pred_coefficients, mask_prototypes : array (..., N, M) and (..., M, H, W), optional
            Masks of the predictions: a pixel belongs to one where the sum of the prototypes, each times its
            coefficient, is above 0, and which lies in the predicted box. These and the following are required
            with `mask_ranks`, not used without.
        mask_scale : array (..., 1), optional
            What a coordinate of the image is multiplied by to be one of the masks.
        gt_masks : array (..., G, H, W), optional
            Masks of the ground truths in the prototypes' resolution: 0 or 1, of a real floating dtype.

        Returns
        -------
        AssignResult
            `max_overlaps` is the overlap of a positive prior's prediction with its ground truth, and -1e8 for
            every other prior. The extra ``assign_metrics`` (..., N) is the metric of positive priors, or with
            `normalized` what their class is to be trained towards, and 0 elsewhere. Where labels are masks,
            the result has the extra ``classes`` (..., N, C) of bool in place of `labels`.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than `priors`.
        ValueError
            If shapes do not fit, labels are missing, or inputs are on different devices.

        Notes
        -----
        Of equal metrics the prior of the lowest index is taken, of equal overlaps the first ground truth. A
        prior whose prediction is not finite matches nothing, and a NaN score counts as no candidate. A valid
        label that is no class is an error where the host can see it; elsewhere its object takes no part.
        With `topk_inside`, priors outside compete with a metric of 0: a prior inside of metric 0 is positive
        only where it is among the first of all such, as published. With `conflicts` other than the claimants,
        a ground truth may get a prior it had not chosen. The method has no ignore regions; `ignore_iof_thr`
        is ours, and counts in images without ground truths too. Of points their cells count for it.
        """
        if gt_labels is None:
            raise ValueError("gt_labels: expected an array, since the metric reads their scores, got None")
        form = columns_in_plane(self.iou_calculator)
        further = self._further(
            pred_keypoints=pred_keypoints,
            gt_keypoints=gt_keypoints,
            pred_coefficients=pred_coefficients,
            mask_prototypes=mask_prototypes,
            mask_scale=mask_scale,
            gt_masks=gt_masks,
        )
        scene = read_scene(
            priors,
            gt_bboxes,
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            ignore_bboxes=ignore_bboxes,
            ignore_valid=ignore_valid,
            columns=("3 or 4", form),
            further={
                "gt_labels": label_spec(gt_labels),
                "pred_bboxes": InputSpec(pred_bboxes, ("N", form), required=True),
                "pred_scores": InputSpec(pred_scores, ("N", "C"), required=True),
                **further,
            },
        )
        if scene.priors.shape[-1] not in (3, 4, form):
            raise ValueError(f"priors: expected shape (..., N, 3) or (..., N, 4), got {tuple(priors.shape)}")
        if scene.further["pred_scores"].shape[-1] == 0:
            raise ValueError(
                f"pred_scores: expected at least one class, got shape {tuple(pred_scores.shape)}"
            )
        if scene.is_empty:
            spared, extras = (
                self._spared(scene, scene.full(0, integers=True)),
                {"assign_metrics": scene.full(0.0)},
            )
            return scene.empty_result(extras, excluded_overlap=UNASSIGNED, ignored=spared)
        alignment = self._alignment(scene)
        scene = alignment.scene
        index, claims, overlaps = self._claims(alignment)
        winners = settle(alignment, index, claims, overlaps, among=self.conflicts)
        if self.topk2 is not None:
            winners = best_of_winners(alignment, winners, self.topk2)
        if self.min_positives:
            winners = self._with_more(alignment, winners)
        metrics = normalized(scene, winners, float(self.eps)) if self.normalized else winners.metrics
        gt_inds, overlaps, metrics = written(scene, winners, metrics)
        spared = self._spared(scene, gt_inds)
        return scene.result(gt_inds, overlaps, {"assign_metrics": metrics}, ignored=spared)

    def _spared(self, scene: Scene, gt_inds: Array) -> Array | None:
        is_points = int(scene.priors.shape[-1]) == 3
        return spared_negatives(scene, gt_inds, self.ignore_iof_thr, of_cells=is_points)

    def _further(self, **given: Array | None) -> dict[str, InputSpec]:
        """Name the inputs by which more than boxes is compared, each with its dimensions."""
        dimensions: dict[str, tuple[str | int, ...]] = {}
        if self.sigmas is not None:
            count = len(self.sigmas)
            dimensions = {"pred_keypoints": ("N", count, 2), "gt_keypoints": ("G", count, 3)}
        if self.mask_ranks is not None:
            dimensions = {
                "pred_coefficients": ("N", "M"),
                "mask_prototypes": ("M", "H", "W"),
                "mask_scale": (1,),
                "gt_masks": ("G", "H", "W"),
            }
        return required_by("sigmas" if self.sigmas is not None else "mask_ranks", dimensions, given)

    def _alignment(self, scene: Scene) -> Alignment:
        """Bring together what the metric is computed from."""
        pred_bboxes, finite = drop_nonfinite(scene.further["pred_bboxes"])
        is_points = int(scene.priors.shape[-1]) == 3
        boxes = Alignment(
            scene=scene,
            eligible=scene.prior_eligible & finite,
            centers=scene.priors[..., :2] if is_points else box_centers(scene.priors),
            pred_bboxes=pred_bboxes,
            pred_scores=scene.further["pred_scores"],
            regions=with_smallest_side(scene.xp, scene.gt_bboxes, float(self.smallest_side)),
            margin=None if self.inside_margin is None else float(self.inside_margin),
            label=known_labels(scene),
            calculator=self.iou_calculator,  # type: ignore[arg-type]
            alpha=self.alpha,
            beta=self.beta,
        )
        if self.mask_ranks is not None:
            names = ("pred_coefficients", "mask_prototypes", "mask_scale", "gt_masks")
            return with_masks(boxes, PredictedMasks(*map(scene.further.get, names)), self.mask_ranks)
        return boxes if self.sigmas is None else self._pose_alignment(boxes)

    def _pose_alignment(self, boxes: Alignment) -> Alignment:
        """Compare keypoints in place of boxes."""
        scene, poses, finite = read_poses(boxes.scene, self.sigmas or ())
        own = {**vars(boxes), "scene": scene, "eligible": boxes.eligible & finite}
        by_poses = PoseAlignment(**own, poses=poses)
        if self.level_sizes is None:
            return by_poses
        if int(scene.priors.shape[-1]) == 3:
            strides = scene.priors[..., 2]
        else:
            strides = scene.priors[..., 2] - scene.priors[..., 0]
        place = by_poses.candidates(only_inside=True)
        return replace(by_poses, gate=level_gate(place, scene, strides, self.level_sizes))

    def _with_more(self, alignment: Alignment, winners: Winners) -> Winners:
        """Add the nearest priors that nobody has to ground truths that have too few."""
        scene, xp, backend = alignment.scene, alignment.scene.xp, alignment.scene.backend
        codes = xp.where(winners.taken, winners.gt + 1, 0)
        gt_inds = backend.scatter_max(winners.prior, codes, scene.shape[1])
        free = free_priors(alignment.eligible, gt_inds)
        rows = all_rows(backend, scene.gt_bboxes)

        def measured(index: Array) -> tuple[Array, Array]:
            pairs = ListedPairs(backend, scene.shape, rows, index)
            overlaps = alignment.overlaps(pairs)
            return overlaps, alignment.metrics(pairs, overlaps)

        def nearest(k: int) -> Candidates:
            found = nearest_centers(scene, alignment.centers, free, k)
            _, metrics = measured(found.index)
            return Candidates(found.index, xp.where(metrics >= 0, found.value, FAR))

        added = add_positives(
            backend,
            gt_inds,
            scene.gt_valid,
            self.min_positives,
            nearest,
            by=lambda candidates: measured(candidates.index)[0],
            what="the largest overlap",
        )
        if added is None:
            return winners
        _, metrics = measured(added.index)
        number = xp.arange(scene.shape[2], dtype=winners.gt.dtype, device=backend.device_of(winners.gt))
        gt = xp.broadcast_to(number[None, :, None], added.index.shape)
        more = (added.index, gt, added.won, added.value, xp.where(added.won, metrics, 0.0))
        both = zip(vars(winners).values(), more, strict=True)
        return Winners(*(xp.concat([x, xp.reshape(y, (x.shape[0], -1))], axis=-1) for x, y in both))

    def _claims(self, alignment: Alignment) -> tuple[Array, Array, Array]:
        """Return priors that each ground truth may claim, whether it does, and the overlaps, (B, G, K)."""
        scene = alignment.scene
        candidates = best_aligned(alignment, self.topk, only_inside=self.topk_inside)
        rows = all_rows(scene.backend, scene.gt_bboxes)
        pairs = ListedPairs(scene.backend, scene.shape, rows, candidates.index)
        if self.topk_inside:
            found = candidates.found & fillers_in_reach(alignment, candidates, self.topk)
            claims = found
        else:
            found = candidates.found
            claims = found & alignment.inside(pairs)
        if is_recording():
            index = candidates.index
            condition(
                "of the topk largest metrics",
                found & scene.gt_valid[..., None],
                index=index,
                value=-candidates.value,
            )
            condition("centre inside the box", claims, index=index)
        return candidates.index, claims, alignment.overlaps(pairs)


def with_smallest_side(xp: Any, boxes: Array, side: float) -> Array:
    """Widen the sides of boxes (..., 4) or (..., 5) that are shorter than `side`, about the centre."""
    if side == 0:
        return boxes
    if int(boxes.shape[-1]) == ORIENTED:
        return xp.concat([boxes[..., :2], at_least(boxes[..., 2:4], side), boxes[..., 4:]], axis=-1)
    x1, y1, x2, y2 = columns(boxes)
    planes = []
    for low, high in ((x1, x2), (y1, y2)):
        middle, short = (low + high) / 2, high - low < side
        planes.append((xp.where(short, middle - side / 2, low), xp.where(short, middle + side / 2, high)))
    (x1, x2), (y1, y2) = planes
    return xp.stack([x1, y1, x2, y2], axis=-1)


def normalized(scene: Scene, winners: Winners, eps: float) -> Array:
    """Scale metrics for each ground truth, so that its largest is its largest overlap, (B, E)."""
    xp, n_gts = scene.xp, scene.shape[2]
    largest = []
    for values in (winners.metrics, winners.overlaps):
        of_gt = scene.backend.scatter_max(winners.gt, xp.where(winners.taken, values, 0.0), n_gts)
        largest.append(xp.take_along_axis(of_gt, winners.gt, axis=-1))
    metric, overlap = largest
    divisor = xp.where(metric + eps > 0, metric + eps, 1.0)
    return quotient(winners.metrics * overlap, divisor)


def written(scene: Scene, winners: Winners, metrics: Array) -> tuple[Array, Array, Array]:
    """Write the winners to their priors: codes, overlaps and `metrics`, each (B, N)."""
    xp, backend, n_priors = scene.xp, scene.backend, scene.shape[1]
    taken = winners.taken
    gt_inds = backend.scatter_max(winners.prior, xp.where(taken, winners.gt + 1, 0), n_priors)
    overlaps = backend.scatter_max(
        winners.prior, xp.where(taken, winners.overlaps, UNASSIGNED), n_priors, fill=UNASSIGNED
    )
    metrics = backend.scatter_max(winners.prior, xp.where(taken, metrics, 0.0), n_priors)
    return gt_inds, overlaps, metrics

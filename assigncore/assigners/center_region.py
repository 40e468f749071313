"""Assignment of priors to the cores of objects, with a shadow about each in which nothing is learnt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from assigncore.backend import Array
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.calculators import BboxOverlaps2D, columns_in_plane, measure_of, zero_when_disjoint
from assigncore.boxes.formulas import box_centers, enclosing_boxes, inside
from assigncore.checks import check_knob, common_backend, spread
from assigncore.inputs import Scene, read_scene
from assigncore.inspect.trace import condition, contest, is_recording
from assigncore.pairs.listed import Pairs
from assigncore.pairs.relations import Inside, Relation, Touching, decided_by_pairs, holds_for_any
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult, check_result
from assigncore.steps.min_positives import Added, add_positives, free_priors, nearest_centers
from assigncore.steps.regions import SizeRank, rank_by_size, scaled_boxes

__all__ = ["CenterRegionAssigner", "shadowed_labels"]


@ASSIGNERS.register
@dataclass(frozen=True)
class CenterRegionAssigner(Configured):
    """Decide by the cores of ground truths: a prior is positive for the smallest whose core it touches.

    The core is the ground truth scaled down about its centre. A prior that touches only the shadow, scaled by
    another factor, is background, but its loss for the ground truth's class is not to be counted; nor is that
    of a prior in the core of several ground truths, for the classes of those that lost. The rule of FSAF.

    Parameters
    ----------
    pos_scale : float
        Sides of the core as a fraction of the ground truth's.
    neg_scale : float
        Sides of the shadow as a fraction of the ground truth's.
    min_pos_iof : float, default 0.01
        A prior touches a region that covers more than this fraction of it.
    ignore_gt_scale : float, default 0.5
        Priors whose centres lie in an ignore region scaled by this are ignored.
    foreground_dominate : bool, default False
        What becomes of a positive prior in the shadow of another ground truth of its own class: it stays
        positive and the shadow yields, or else it becomes background.
    iou_calculator : callable or config mapping, optional
        Computes the fractions, in its mode ``"iof"``; default :class:`assigncore.BboxOverlaps2D`. With
        :class:`assigncore.RotatedIoU` boxes are oriented, and so are cores and shadows.
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
    Zhu et al., "Feature Selective Anchor-Free Module for Single-Shot Object Detection", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(4) * 8
    >>> priors = np.stack([x, 0 * x, x + 8, 0 * x + 8], axis=-1).astype(np.float32)
    >>> gt_bboxes = np.array([[0, 0, 32, 8]], dtype=np.float32)
    >>> result = CenterRegionAssigner(pos_scale=0.2, neg_scale=0.8).assign(priors, gt_bboxes)
    >>> result.gt_inds
    array([0, 1, 1, 0])
    >>> result.extras["shadow"][:, 0]
    array([ True, False, False,  True])
    """

    pos_scale: float
    neg_scale: float
    min_pos_iof: float = 0.01
    ignore_gt_scale: float = 0.5
    foreground_dominate: bool = False
    iou_calculator: Callable[..., Any] | Mapping[str, Any] = field(default_factory=BboxOverlaps2D)
    min_positives: int = 0

    def _check_knobs(self) -> None:
        for name in ("pos_scale", "neg_scale", "ignore_gt_scale"):
            check_knob(name, getattr(self, name), at_least=0)
        check_knob("min_pos_iof", self.min_pos_iof)
        measure_of(self.iou_calculator, "iof")

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
            Boxes x1, y1, x2, y2 in pixels; of oriented boxes, as all others then are too, (..., N, 5).
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels.
        gt_labels : array (..., G) of integers, optional
            Classes; without them the result has no labels, and every ground truth is of a class of its own.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        prior_valid : array (..., N) of bool, optional
            False where a prior takes no part: it is ignored. Not given: all true.
        ignore_bboxes : array (..., I, 4), optional
            Ignore regions.
        ignore_valid : array (..., I) of bool, optional
            False where a row is padding. Not given: all true.

        Returns
        -------
        AssignResult
            Without `max_overlaps`. Among its `extras`, ``shadow`` (..., N, G) of bool is true where a prior's
            loss for the class of a ground truth is not to be counted. ``outranked`` (..., N, G) marks among
            these the priors in the core of a ground truth that a smaller one took.
            :func:`shadowed_labels` lists them.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than `priors`.
        ValueError
            If shapes do not fit or inputs are on different devices.

        Notes
        -----
        A prior is in a core only where its centre is strictly inside the ground truth too. Of equally large
        ground truths the last takes the prior. Without `foreground_dominate`, a prior in the cores of two
        ground truths of one class becomes background, as published. Priors are ignored in an image without
        ground truths too, and keep their shadows. The two extras take a byte a pair each, twice that while
        they are joined, whatever the memory budget.
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
        ignored = self._ignored(scene)
        if scene.is_empty:
            none = scene.xp.zeros(
                scene.shape, dtype=scene.xp.bool, device=scene.backend.device_of(scene.priors)
            )
            extras = {"shadow": none, "outranked": none}
            return scene.result(scene.full(0, integers=True), None, extras, ignored=ignored)
        rank = rank_by_size(scene.backend, scene.gt_bboxes, first_of_equals=False)
        gt_inds, shadow, outranked = self._decide(scene, ignored, rank)
        added = self._added(scene, ignored, rank, gt_inds)
        if added is not None:
            number = scene.xp.arange(1, scene.shape[2] + 1, device=scene.backend.device_of(gt_inds))
            learns = added.gt_inds[:, None, :] == number[:, None]
            gt_inds, shadow, outranked = added.overwrite(gt_inds), shadow & ~learns, outranked & ~learns
        # Pairs are computed with the priors contiguous, and handed out by prior.
        extras = {
            "shadow": scene.xp.matrix_transpose(shadow),
            "outranked": scene.xp.matrix_transpose(outranked),
        }
        return scene.result(gt_inds, None, extras, ignored=ignored)

    def _ignored(self, scene: Scene) -> Array:
        """Tell which priors have their centre in the central part of an ignore region, (B or 1, N)."""
        if scene.ignore_bboxes is None or scene.ignore_valid is None:
            return scene.xp.zeros_like(scene.prior_eligible)
        points, regions = box_centers(scene.priors), scaled_boxes(scene.ignore_bboxes, self.ignore_gt_scale)
        return holds_for_any(Inside(scene.backend, scene.ignore_valid, scene.prior_eligible, points, regions))

    def _added(self, scene: Scene, ignored: Array, rank: SizeRank, gt_inds: Array) -> Added | None:
        """Add priors to ground truths that have too few by the codes (B, N)."""
        # What an ignored prior learns does not count.
        gt_inds = scene.xp.where(ignored, -1, gt_inds)
        free = free_priors(scene.prior_eligible & ~ignored, gt_inds)
        return add_positives(
            scene.backend,
            gt_inds,
            scene.gt_valid,
            self.min_positives,
            lambda k: nearest_centers(scene, box_centers(scene.priors), free, k),
            by=rank.of_candidates,
            what="the smallest box",
        )

    def _decide(self, scene: Scene, ignored: Array, rank: SizeRank) -> tuple[Array, ...]:
        """Return who takes each prior (B, N), and which pairs are in shadow and outranked (B, G, N)."""
        xp = scene.xp
        core, shadow = (scaled_boxes(scene.gt_bboxes, scale) for scale in (self.pos_scale, self.neg_scale))

        def decide(pairs: Pairs) -> tuple[Array, Array, Array]:
            in_core = in_shadow = self._covered(scene, pairs, core)
            if self.neg_scale != self.pos_scale:
                in_shadow = self._covered(scene, pairs, shadow)
            centers = box_centers(pairs.of_priors(scene.priors))
            in_core = in_core & inside(centers, pairs.of_gts(scene.gt_bboxes))
            of_gts = pairs.of_gts(rank.rank)
            condition("covered by the core, and centre in the box", in_core)
            contest("the smallest box", by=of_gts)
            best = pairs.largest(xp.where(in_core, of_gts, 0))
            outranked = in_core & (of_gts != pairs.own(best))
            in_shadow = (in_shadow & ~in_core) | outranked
            gt_inds = rank.gt_inds(best, pairs)
            if scene.gt_labels is not None:
                clash = in_shadow & _same_class(scene, pairs, gt_inds, ignored)
                if self.foreground_dominate:
                    in_shadow, outranked = in_shadow & ~clash, outranked & ~clash
                else:
                    if is_recording():
                        clear = ~xp.any(clash, axis=1, keepdims=True)
                        condition("in no shadow of its class", clear, otherwise=0)
                    gt_inds = xp.where(pairs.largest(xp.astype(clash, xp.int32)) > 0, 0, gt_inds)
            return gt_inds, in_shadow, outranked

        of_scene = (scene.backend, scene.gt_valid, scene.prior_eligible)
        if zero_when_disjoint(self.iou_calculator) and self.min_pos_iof >= 0:
            larger = core if self.pos_scale > self.neg_scale else shadow
            around = enclosing_boxes(scene.priors), enclosing_boxes(larger)
            return decided_by_pairs(Touching(*of_scene, *around), decide)
        return decided_by_pairs(Relation(*of_scene), decide)

    def _covered(self, scene: Scene, pairs: Pairs, regions: Array) -> Array:
        """Tell which regions (B, G, D) cover enough of which priors, (b, g, n)."""
        measure = measure_of(self.iou_calculator, "iof", of_prior=True)
        fraction = measure(pairs.of_gts(regions), pairs.of_priors(scene.priors))[..., 0, :]
        eligible = pairs.of_priors(scene.prior_eligible) & pairs.of_gts(scene.gt_valid)
        return eligible & (fraction > float(self.min_pos_iof))


def _same_class(scene: Scene, pairs: Pairs, gt_inds: Array, ignored: Array) -> Array:
    """Tell which ground truths are of the class that their prior is to learn, (b, g, n)."""
    xp, gt_labels = scene.xp, scene.gt_labels
    matched = xp.where(gt_inds > 0, gt_inds - 1, 0)
    label = xp.take_along_axis(pairs.of_images(gt_labels), matched, axis=-1)
    learns = pairs.own(gt_inds > 0) & ~pairs.of_priors(ignored)
    return learns & (pairs.of_gts(gt_labels) == pairs.own(label))


def shadowed_labels(result: AssignResult, gt_labels: Array) -> Array:
    """List the priors in shadow with the classes whose loss is not to be counted, as published.

    Parameters
    ----------
    result : AssignResult
        Of one image, from :class:`CenterRegionAssigner`.
    gt_labels : array (G,) of integers
        Classes of the ground truths.

    Returns
    -------
    array (S, 2) of integers
        Prior, counted from 0, and class: first the priors outside the core, then those in the core of a
        ground truth that a smaller one took, each by prior and then by ground truth. A pair may repeat.

    Raises
    ------
    TypeError
        If `result` is none, or `gt_labels` is no array of its library, or not of integers.
    ValueError
        If the result is a batch or has no shadow, or `gt_labels` has not one class a ground truth.

    Notes
    -----
    The length depends on values: this cannot be compiled, and on a device it waits for the result.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0, 0, 8, 8], [6, 0, 14, 8]], dtype=np.float32)
    >>> assigner = CenterRegionAssigner(pos_scale=0.5, neg_scale=1.0)
    >>> result = assigner.assign(boxes, boxes)
    >>> shadowed_labels(result, np.array([3, 5]))
    array([[0, 5],
           [1, 3]])
    """
    check_result("result", result)
    if "shadow" not in result.extras or result.gt_inds.ndim != 1:
        raise ValueError(
            "result: expected the result of a CenterRegionAssigner for one image, got shape "
            f"{tuple(result.gt_inds.shape)} with {', '.join(result.extras) or 'no extras'}"
        )
    backend = common_backend({"gt_inds": result.gt_inds, "gt_labels": gt_labels})
    gt_labels = spread("gt_labels", gt_labels, backend, (), (result.num_gts,), "integral")
    shadow, outranked = (backend.to_numpy(result.extras[name]) for name in ("shadow", "outranked"))
    prior, gt = np.concatenate([_true_pairs(shadow & ~outranked), _true_pairs(outranked)], axis=-1)
    pairs = np.stack([prior, backend.to_numpy(gt_labels)[gt]], axis=-1)
    integers = backend.integer_dtype(result.gt_inds)
    return backend.xp.astype(backend.from_numpy(pairs, backend.device_of(result.gt_inds)), integers)


def _true_pairs(mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return where a mask (N, G) is true, by prior and then by ground truth; quick in either layout."""
    if mask.flags.c_contiguous or not mask.flags.f_contiguous:
        return np.stack(np.divmod(np.flatnonzero(mask), mask.shape[1]))
    gt, prior = np.divmod(np.flatnonzero(mask.T), mask.shape[0])
    order = np.argsort(prior, kind="stable")
    return np.stack([prior[order], gt[order]])

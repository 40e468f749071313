"""Assignment of priors to the cores of objects, with a shadow about each in which nothing is learnt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from assigncore.backend import Array, get_backend
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.calculators import BboxOverlaps2D, zero_when_disjoint
from assigncore.boxes.formulas import box_centers, each_inside_each
from assigncore.checks import check_knob
from assigncore.inputs import Scene, read_scene
from assigncore.pairs.blocks import plan_pairs
from assigncore.pairs.tiles import View
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.regions import SizeRank, covered_fraction, in_any_region, rank_by_size, scaled_boxes

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
        Computes the fractions; default :class:`assigncore.BboxOverlaps2D`.

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

    def _check_knobs(self) -> None:
        for name in ("pos_scale", "neg_scale", "ignore_gt_scale"):
            check_knob(name, getattr(self, name), at_least=0)
        check_knob("min_pos_iof", self.min_pos_iof)

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
            Boxes x1, y1, x2, y2 in pixels.
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
        scene = read_scene(
            priors,
            gt_bboxes,
            gt_labels=gt_labels,
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            ignore_bboxes=ignore_bboxes,
            ignore_valid=ignore_valid,
        )
        regions = scene.ignore_bboxes
        if regions is not None:
            regions = scaled_boxes(regions, self.ignore_gt_scale)
        ignored = in_any_region(scene.backend, box_centers(scene.priors), regions, scene.prior_whole)
        if scene.is_empty:
            none = scene.xp.zeros(
                scene.shape, dtype=scene.xp.bool, device=scene.backend.device_of(scene.priors)
            )
            extras = {"shadow": none, "outranked": none}
            return scene.result(scene.full(0, integers=True), None, extras, ignored=ignored)
        gt_inds, shadow, outranked = self._decide(scene, self._regions(scene, ignored))
        # Pairs are computed with the priors contiguous, and handed out by prior.
        extras = {
            "shadow": scene.xp.matrix_transpose(shadow),
            "outranked": scene.xp.matrix_transpose(outranked),
        }
        return scene.result(gt_inds, None, extras, ignored=ignored)

    def _regions(self, scene: Scene, ignored: Array) -> _Regions:
        core = shadow = scaled_boxes(scene.gt_bboxes, self.pos_scale)
        if self.neg_scale != self.pos_scale:
            shadow = scaled_boxes(scene.gt_bboxes, self.neg_scale)
        rank = rank_by_size(scene.backend, scene.gt_bboxes, first_of_equals=False)
        return _Regions(core, shadow, rank, ignored)

    def _decide(self, scene: Scene, regions: _Regions) -> tuple[Array, Array, Array]:
        """Return who takes each prior (B, N), and which pairs are in shadow and outranked (B, G, N)."""
        plan = plan_pairs(
            scene.backend,
            scene.priors,
            regions.core if self.pos_scale > self.neg_scale else regions.shadow,
            scene.prior_whole,
            skip=zero_when_disjoint(self.iou_calculator) and self.min_pos_iof >= 0,
        )
        parts = [self._decide_tile(scene, view, regions) for view in plan.views]
        taken, shadow, outranked = ([part[i] for part in parts] for i in range(3))
        like = scene.prior_valid
        return (
            scene.xp.astype(plan.join(taken, like), scene.backend.integer_dtype(scene.priors)),
            plan.join_pairs(shadow, like),
            plan.join_pairs(outranked, like),
        )

    def _decide_tile(self, scene: Scene, view: View, regions: _Regions) -> tuple[Array, Array, Array]:
        """Return the same for a tile: (b, n), (b, g, n) and (b, g, n)."""
        xp, rank = scene.xp, regions.rank
        in_core, in_shadow = self._touched(scene, view, regions)
        best = rank.largest(view, in_core)
        outranked = in_core & (view.of_gts(rank.rank)[..., None] != best[:, None, :])
        in_shadow = (in_shadow & ~in_core) | outranked
        gt_inds = rank.gt_inds(best, view)
        if scene.gt_labels is not None:
            clash = in_shadow & _same_class(scene, view, gt_inds, regions.ignored)
            if self.foreground_dominate:
                in_shadow, outranked = in_shadow & ~clash, outranked & ~clash
            else:
                gt_inds = xp.where(xp.any(clash, axis=-2), 0, gt_inds)
        return gt_inds, in_shadow, outranked

    def _touched(self, scene: Scene, view: View, regions: _Regions) -> tuple[Array, Array]:
        """Tell which priors are in the core, and which touch the shadow, of a tile's ground truths."""
        fraction = covered_fraction(self.iou_calculator)
        priors, gt_bboxes = view.of_priors(scene.priors), view.of_gts(scene.gt_bboxes)
        pairs = view.of_priors(scene.prior_whole)[:, None, :] & view.of_gts(scene.gt_valid)[..., None]
        touches_core = pairs & (fraction(view.of_gts(regions.core), priors) > float(self.min_pos_iof))
        touches_shadow = touches_core
        if regions.shadow is not regions.core:
            touches_shadow = pairs & (fraction(view.of_gts(regions.shadow), priors) > float(self.min_pos_iof))
        return touches_core & each_inside_each(box_centers(priors), gt_bboxes), touches_shadow


@dataclass(frozen=True, eq=False)
class _Regions:
    """What is the same for all tiles: cores and shadows (B, G, 4), who goes first, who is ignored."""

    core: Array
    shadow: Array
    rank: SizeRank
    ignored: Array


def _same_class(scene: Scene, view: View, gt_inds: Array, ignored: Array) -> Array:
    """Tell which ground truths (b, g, n) are of the class that a prior is to learn."""
    xp, gt_labels = scene.xp, scene.gt_labels
    learns = (gt_inds > 0) & ~view.of_priors(ignored)
    matched = xp.where(gt_inds > 0, gt_inds - 1, 0)
    label = xp.take_along_axis(view.of_images(gt_labels), matched, axis=-1)
    return learns[:, None, :] & (view.of_gts(gt_labels)[..., None] == label[:, None, :])


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
    if "shadow" not in result.extras or result.gt_inds.ndim != 1:
        raise ValueError(
            "result: expected the result of a CenterRegionAssigner for one image, got shape "
            f"{tuple(result.gt_inds.shape)} with {', '.join(result.extras) or 'no extras'}"
        )
    if tuple(gt_labels.shape) != (result.num_gts,):
        raise ValueError(f"gt_labels: expected shape ({result.num_gts},), got {tuple(gt_labels.shape)}")
    backend = get_backend(result.gt_inds, "gt_inds")
    shadow, outranked = (backend.to_numpy(result.extras[name]) for name in ("shadow", "outranked"))
    prior, gt = np.concatenate([np.nonzero(shadow & ~outranked), np.nonzero(outranked)], axis=-1)
    pairs = np.stack([prior, backend.to_numpy(gt_labels)[gt]], axis=-1)
    integers = backend.integer_dtype(result.gt_inds)
    return backend.xp.astype(backend.from_numpy(pairs, backend.device_of(result.gt_inds)), integers)

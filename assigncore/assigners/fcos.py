"""Assignment of points by the boxes they lie in, and by the distances they would have to regress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assigncore.backend import Array
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.formulas import box_centers, collapse, columns
from assigncore.checks import check_knob
from assigncore.inputs import Scene, read_scene
from assigncore.numerics import rounded_product
from assigncore.pairs.tiles import View
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.candidates import check_levels
from assigncore.steps.regions import SizeRank, emptied, rank_by_size, reduce_in_reach

__all__ = ["FCOSAssigner"]

UNBOUNDED = float("inf")

SLACK = 1e-5
"""Relative margin of the bounds by which ground truths are passed over, far above the rounding of sides."""


@ASSIGNERS.register
@dataclass(frozen=True)
class FCOSAssigner(Configured):
    """Decide by the box a point lies in, if its sides are as far away as the point's level regresses.

    A point in several such ground truths belongs to the smallest. Every other point is background.

    Parameters
    ----------
    regress_ranges : sequence of (float, float)
        For each level, the least and greatest distance in pixels, both inclusive, that the farthest side of
        the box may have from a point. Default: from -1 by 64, 128, 256 and 512 to infinity.
        None stands for no limit.
    center_sampling : bool, default False
        Whether a point must also be near the centre of the ground truth.
    center_sample_radius : float, default 1.5
        How near: less than this many strides of its level, along either axis.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    References
    ----------
    Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", 2019. Tian et al., "FCOS: A Simple
    and Strong Anchor-free Object Detector", 2020, for sampling about centres.

    Examples
    --------
    >>> import numpy as np
    >>> points = np.array([[4, 4, 8], [12, 4, 8], [20, 4, 8], [28, 4, 8]], dtype=np.float32)
    >>> gt_bboxes = np.array([[0, 0, 30, 8], [8, 0, 16, 8]], dtype=np.float32)
    >>> assigner = FCOSAssigner(regress_ranges=((-1, 20),))
    >>> assigner.assign(points, gt_bboxes, num_level_priors=(4,)).gt_inds
    array([0, 2, 1, 0])
    """

    regress_ranges: Sequence[Sequence[float]] = (
        (-1, 64),
        (64, 128),
        (128, 256),
        (256, 512),
        (512, UNBOUNDED),
    )
    center_sampling: bool = False
    center_sample_radius: float = 1.5

    def _check_knobs(self) -> None:
        if not isinstance(self.regress_ranges, tuple):
            raise TypeError(f"regress_ranges: expected a sequence of pairs, got {self.regress_ranges!r}")
        ranges = tuple(_checked_range(limits) for limits in self.regress_ranges)
        object.__setattr__(self, "regress_ranges", ranges)
        check_knob("center_sample_radius", self.center_sample_radius, at_least=0)

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
    ) -> AssignResult:
        """Assign points to ground truths; leading dimensions are a batch and broadcast.

        Parameters
        ----------
        priors : array (..., N, 3)
            Points x, y in pixels and the stride of their level, level by level.
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels.
        num_level_priors : sequence of int
            Number of points of each level; they sum to N. As many levels as `regress_ranges`.
        gt_labels : array (..., G) of integers, optional
            Classes; without them the result has no labels.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        prior_valid : array (..., N) of bool, optional
            False where a point takes no part: it is ignored. Not given: all true.

        Returns
        -------
        AssignResult
            Without `max_overlaps`.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than `priors`.
        ValueError
            If shapes do not fit, levels do not sum to N or are not as many as `regress_ranges`, or inputs
            are on different devices.

        Notes
        -----
        A point on a side of a box is not in it. Of equally large ground truths the first takes the point. The
        method has no ignore regions.
        """
        scene = read_scene(
            priors,
            gt_bboxes,
            gt_labels=gt_labels,
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            columns=(3, 4),
        )
        levels = check_levels(num_level_priors, scene.shape[1])
        if len(levels) != len(self.regress_ranges):
            raise ValueError(
                f"num_level_priors: expected {len(self.regress_ranges)} levels, as many as regress_ranges, "
                f"got {tuple(num_level_priors)}"
            )
        if scene.is_empty:
            return scene.result(scene.full(0, integers=True), None)
        xp = scene.xp
        gt_bboxes = collapse(scene.gt_bboxes, scene.gt_valid)
        rank = rank_by_size(scene.backend, gt_bboxes, first_of_equals=True)
        best = [
            self._best_rank(scene, gt_bboxes, rank, level, *limits)
            for level, limits in zip(levels, self.regress_ranges, strict=True)
            if level.stop > level.start
        ]
        gt_inds = rank.gt_inds(xp.concat(best, axis=-1))
        return scene.result(xp.where(scene.prior_whole, gt_inds, 0), None)

    def _best_rank(
        self, scene: Scene, gt_bboxes: Array, rank: SizeRank, level: slice, low: float, high: float
    ) -> Array:
        """Return the rank of the smallest ground truth that each point of a level may regress, (B, n)."""
        xp, points = scene.xp, scene.priors[:, level, :]
        centers = box_centers(gt_bboxes)
        radius = rounded_product(points[..., 2], self.center_sample_radius)

        def smallest(view: View) -> Array:
            x, y = (c[:, None, :] for c in columns(view.of_priors(points)[..., :2]))
            x1, y1, x2, y2 = (c[..., None] for c in columns(view.of_gts(gt_bboxes)))
            sides = (x - x1, y - y1, x2 - x, y2 - y)
            nearest = xp.minimum(xp.minimum(sides[0], sides[2]), xp.minimum(sides[1], sides[3]))
            farthest = xp.maximum(xp.maximum(sides[0], sides[2]), xp.maximum(sides[1], sides[3]))
            claims = (nearest > 0) & (farthest >= low) & (farthest <= high)
            if self.center_sampling:
                cx, cy = (c[..., None] for c in columns(view.of_gts(centers)))
                near = view.of_priors(radius)[:, None, :]
                claims = claims & (x > cx - near) & (x < cx + near) & (y > cy - near) & (y < cy + near)
            return rank.largest(view, claims)

        reach = emptied(gt_bboxes, _may_be_in_range(scene, gt_bboxes, low, high))
        return reduce_in_reach(scene.backend, points[..., :2], reach, scene.prior_whole[:, level], smallest)


def _may_be_in_range(scene: Scene, gt_bboxes: Array, low: float, high: float) -> Array:
    """Tell which ground truths have a point in them whose farthest side is in a range, at least, (B, G).

    The farthest side is at least half of the longer side of the box away, and at most all of it.
    """
    x1, y1, x2, y2 = columns(gt_bboxes)
    longer = scene.xp.maximum(x2 - x1, y2 - y1)
    return (longer * (1 + SLACK) >= low) & (longer * (0.5 - SLACK) <= high)


def _checked_range(limits: Sequence[float | None]) -> tuple[float, float]:
    if not isinstance(limits, tuple) or len(limits) != 2:
        raise ValueError(f"regress_ranges: expected (least, greatest) for each level, got {limits!r}")
    least, greatest = limits
    least, greatest = -UNBOUNDED if least is None else least, UNBOUNDED if greatest is None else greatest
    for limit in (least, greatest):
        if limit not in (-UNBOUNDED, UNBOUNDED):
            check_knob("regress_ranges", limit)
    if least > greatest:
        raise ValueError(f"regress_ranges: expected the lesser limit first, got {limits!r}")
    return least, greatest

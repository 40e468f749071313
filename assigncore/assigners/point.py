"""Assignment of the points nearest to the objects' centres."""

from __future__ import annotations

from dataclasses import dataclass, replace

from assigncore.backend import Array
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.formulas import box_centers
from assigncore.checks import check_knob, check_positive
from assigncore.inputs import Scene, read_scene
from assigncore.inspect.trace import condition
from assigncore.numerics import at_least, divided
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.candidates import HIGHEST_POWER, PointDistances, k_nearest, truncated_log
from assigncore.steps.conflicts import best_claim
from assigncore.steps.min_positives import add_positives, free_priors, with_added

__all__ = ["PointAssigner"]

SMALLEST_SIDE = 1e-6
"""Floor of a ground truth's width and height, in pixels."""


@ASSIGNERS.register
@dataclass(frozen=True)
class PointAssigner(Configured):
    """Decide by the distance of points to the centres of ground truths, on the level of their size.

    Each ground truth has one level, by its size, and takes there the points nearest to its centre, measured
    in its own width and height. Every other point is background. The rule of RepPoints.

    Parameters
    ----------
    scale : float, default 4
        A ground truth whose sides are `scale` strides of a level belongs to that level.
    pos_num : int, default 3
        Points that each ground truth takes; all of its level where that has fewer.
    min_positives : int, default 0
        Positives that each ground truth has at least, where it can: one that has fewer by the method gets the
        free priors that are nearest to it on its level. Ours, in no paper: see
        :func:`assigncore.steps.min_positives.add_positives`.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    References
    ----------
    Yang et al., "RepPoints: Point Set Representation for Object Detection", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> points = np.array([[0, 0, 8], [8, 0, 8], [16, 0, 8]], dtype=np.float32)
    >>> PointAssigner(pos_num=1).assign(points, np.array([[0, -8, 14, 8]], dtype=np.float32)).gt_inds
    array([0, 1, 0])
    """

    decides_by_classes = False

    scale: float = 4
    pos_num: int = 3
    min_positives: int = 0

    def _check_knobs(self) -> None:
        check_positive("scale", self.scale)
        check_knob("pos_num", self.pos_num, at_least=1, integer=True)

    @numpy_fast_path
    def assign(
        self,
        priors: Array,
        gt_bboxes: Array,
        *,
        gt_labels: Array | None = None,
        gt_valid: Array | None = None,
        prior_valid: Array | None = None,
    ) -> AssignResult:
        """Assign points to ground truths; leading dimensions are a batch and broadcast.

        Parameters
        ----------
        priors : array (..., N, 3)
            Points x, y in pixels and the stride of their level.
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels.
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
            If shapes do not fit or inputs are on different devices.

        Notes
        -----
        Of equally near points the first is taken. A point that several ground truths take goes to the
        nearest, then to the first of them. A ground truth whose level has no points takes none. Levels are
        told apart up to strides of 2**16 pixels. The method has no ignore regions.
        """
        scene = read_scene(
            priors,
            gt_bboxes,
            gt_labels=gt_labels,
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            columns=(3, 4),
        )
        if scene.is_empty:
            return scene.result(scene.full(0, integers=True), None)
        distances = PointDistances(
            backend=scene.backend,
            points=scene.priors[..., :2],
            centers=box_centers(scene.gt_bboxes),
            eligible=scene.prior_eligible,
            scale=gt_sides(scene),
            groups=self._levels(scene),
        )
        candidates = k_nearest(distances, self.pos_num)
        claims = candidates.found & scene.gt_valid[..., None]
        condition("among the nearest of its level", claims, index=candidates.index, value=candidates.value)
        gt_inds, _ = best_claim(
            scene.backend,
            candidates.index,
            -candidates.value,
            claims,
            scene.shape[1],
            nothing=-float("inf"),
            what="negated distance",
        )
        free = free_priors(scene.prior_eligible, gt_inds)
        added = add_positives(
            scene.backend,
            gt_inds,
            scene.gt_valid,
            self.min_positives,
            lambda k: k_nearest(replace(distances, eligible=free), k),
        )
        return scene.result(with_added(gt_inds, added), None)

    def _levels(self, scene: Scene) -> tuple[Array, Array]:
        """Return the levels of the points (B or 1, N) and of the ground truths (B, G)."""
        xp = scene.xp
        stride = scene.priors[..., 2]
        of_points = truncated_log(xp.where(stride > 0.0, stride, 1.0), 2)
        sides = divided(gt_sides(scene), self.scale)
        # The mean of two binary logarithms is the logarithm to base 4 of the product.
        of_gts = truncated_log(sides[..., 0] * sides[..., 1], 4)
        lowest = xp.min(xp.where(scene.prior_eligible, of_points, HIGHEST_POWER), axis=-1)[:, None]
        highest = xp.max(xp.where(scene.prior_eligible, of_points, -HIGHEST_POWER), axis=-1)[:, None]
        of_gts = xp.where(of_gts < lowest, lowest, of_gts)
        return of_points, xp.where(of_gts > highest, highest, of_gts)


def gt_sides(scene: Scene) -> Array:
    """Return the widths and heights of the ground truths, with a floor, (B, G, 2)."""
    return at_least(scene.gt_bboxes[..., 2:] - scene.gt_bboxes[..., :2], SMALLEST_SIDE)

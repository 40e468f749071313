"""FCOS as torchvision has it, for any array library: what its step in `torchvision` calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from assigncore.assigners import FCOSAssigner
from assigncore.assigners.fcos import UNBOUNDED
from assigncore.backend import Array, get_backend
from assigncore.boxes.formulas import box_area, box_centers
from assigncore.inputs import Scene
from assigncore.pairs.listed import Pairs
from assigncore.result import AssignResult
from assigncore.steps.regions import SizeRank, rank_by

__all__ = ["TorchvisionFCOS"]

LEAST, GREATEST = 4.0, 8.0
"""How many strides the farthest side of a box may be away, both exclusive."""

LARGE = 1e8
"""Boxes are compared by how much their area is less; one that is as large is never assigned."""

NOTHING = 1e-5
"""What a box's area must be less by at least."""


@dataclass(frozen=True)
class TorchvisionFCOS(FCOSAssigner):
    """Decide as torchvision's FCOS does: by strides in place of pixels, and with no limit included.

    Parameters
    ----------
    regress_ranges
        Not read: the farthest side of the box must be more than 4 and less than 8 strides away, on the first
        level more than 0, on the last any distance.
    center_sampling : bool, default True
        As of :class:`assigncore.FCOSAssigner`.
    center_sample_radius : float, default 1.5
        The same.
    like_areas : bool, default True
        Whether areas are compared as 1e8 less the area, as published. In float32 boxes whose areas differ by
        less than 8 then count as equally large, and the first of them takes a point. Otherwise the smallest
        box does.

    Examples
    --------
    >>> import numpy as np
    >>> anchors = np.array([[0, 0, 8, 8], [8, 0, 16, 8], [0, 0, 16, 16]], dtype=np.float32)
    >>> boxes = np.array([[0, 0, 10, 10], [0, 0, 9.9, 10]], dtype=np.float32)
    >>> TorchvisionFCOS().assign_anchors(anchors, boxes, num_level_priors=(2, 1)).gt_inds
    array([1, 0, 0])
    >>> TorchvisionFCOS(like_areas=False).assign_anchors(anchors, boxes, num_level_priors=(2, 1)).gt_inds
    array([2, 0, 0])
    """

    center_sampling: bool = True
    like_areas: bool = True

    def assign_anchors(
        self,
        anchors: Array,
        gt_bboxes: Array,
        *,
        num_level_priors: Sequence[int],
        gt_valid: Array | None = None,
    ) -> AssignResult:
        """Assign anchors, squares whose side is the stride of their level.

        Parameters
        ----------
        anchors : array (..., N, 4)
            Boxes x1, y1, x2, y2 in pixels, level by level.
        gt_bboxes, num_level_priors, gt_valid
            As of :meth:`assigncore.FCOSAssigner.assign`.
        """
        xp = get_backend(anchors, "anchors").xp
        points = xp.concat([box_centers(anchors), anchors[..., 2:3] - anchors[..., :1]], axis=-1)
        levels = replace(self, regress_ranges=((0.0, UNBOUNDED),) * len(num_level_priors))
        return levels.assign(points, gt_bboxes, num_level_priors=num_level_priors, gt_valid=gt_valid)

    def _rank(self, scene: Scene) -> SizeRank:
        area = box_area(scene.gt_bboxes)
        size = -(LARGE - area) if self.like_areas else area
        return rank_by(scene.backend, size, first_of_equals=True)

    def _ranges(self, scene: Scene, levels: Sequence[slice]) -> Array:
        xp, stride = scene.xp, scene.priors[..., 2]
        counts = [level.stop - level.start for level in levels]
        first, last = [0.0, *[1.0] * (len(counts) - 1)], [*[0.0] * (len(counts) - 1), 1.0]
        least = stride * LEAST * scene.numbers(first, counts)
        greatest = xp.where(scene.numbers(last, counts) > 0, UNBOUNDED, stride * GREATEST)
        return xp.stack([least, greatest], axis=-1)

    def _in_range(self, scene: Scene, pairs: Pairs, ranges: Array) -> tuple[Array, Array]:
        farthest, claims = super()._in_range(scene, pairs, ranges)
        return farthest, claims & pairs.of_gts(LARGE - box_area(scene.gt_bboxes) >= NOTHING)

    def _between(self, farthest: Array, least: Array, greatest: Array) -> Array:
        return (farthest > least) & (farthest < greatest)

"""Assignment of points by the boxes they lie in, and by the distances they would have to regress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assigncore.backend import Array
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.formulas import box_centers, columns, near
from assigncore.checks import check_knob, check_levels
from assigncore.inputs import Scene, read_scene
from assigncore.inspect.trace import condition, contest, is_recording
from assigncore.numerics import rounded_product
from assigncore.pairs.listed import Pairs, TilePairs
from assigncore.pairs.relations import Inside, largest_code
from assigncore.pairs.tiles import TileView, cut_tiles
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.candidates import FAR, Candidates, PointDistances, k_smallest_per_gt
from assigncore.steps.ignore import spared_negatives
from assigncore.steps.min_positives import Added, add_positives, free_priors, with_added
from assigncore.steps.regions import SizeRank, rank_by_size

__all__ = ["FCOSAssigner"]

UNBOUNDED = float("inf")


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
    ignore_iof_thr : float, default -1
        A point without ground truth is ignored where an ignore region covers more than this fraction of its
        cell. Not positive: ignore regions have no effect.
    min_positives : int, default 0
        Positives that each ground truth has at least, where it can: one that has fewer by the method gets the
        free points nearest to its centre, in the box or not, on levels that regress its sides. Ours, in no
        paper: see :func:`assigncore.steps.min_positives.add_positives`.

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

    decides_by_classes = False

    regress_ranges: Sequence[Sequence[float]] = (
        (-1, 64),
        (64, 128),
        (128, 256),
        (256, 512),
        (512, UNBOUNDED),
    )
    center_sampling: bool = False
    center_sample_radius: float = 1.5
    ignore_iof_thr: float = -1
    min_positives: int = 0

    def _check_knobs(self) -> None:
        if not isinstance(self.regress_ranges, tuple):
            raise TypeError(f"regress_ranges: expected a sequence of pairs, got {self.regress_ranges!r}")
        ranges = tuple(_checked_range(limits) for limits in self.regress_ranges)
        object.__setattr__(self, "regress_ranges", ranges)
        check_knob("ignore_iof_thr", self.ignore_iof_thr)
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
        ignore_bboxes: Array | None = None,
        ignore_valid: Array | None = None,
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
        ignore_bboxes : array (..., I, 4), optional
            Ignore regions. Without effect unless `ignore_iof_thr` is positive.
        ignore_valid : array (..., I) of bool, optional
            False where a row is padding. Not given: all true.

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
        method has no ignore regions; `ignore_iof_thr` is ours, and counts in images without ground truths
        too.
        """
        scene = read_scene(
            priors,
            gt_bboxes,
            gt_labels=gt_labels,
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            ignore_bboxes=ignore_bboxes,
            ignore_valid=ignore_valid,
            columns=(3, 4),
        )
        levels = check_levels(num_level_priors, scene.shape[1])
        if len(levels) != len(self.regress_ranges):
            raise ValueError(
                f"num_level_priors: expected {len(self.regress_ranges)} levels, as many as regress_ranges, "
                f"got {tuple(num_level_priors)}"
            )
        if scene.is_empty:
            gt_inds = scene.full(0, integers=True)
            return scene.result(gt_inds, None, ignored=self._spared(scene, gt_inds))
        rank = self._rank(scene)
        inside = Inside(
            scene.backend, scene.gt_valid, scene.prior_eligible, scene.priors[..., :2], scene.gt_bboxes
        )
        ranges = self._ranges(scene, levels)

        def claimed_rank(pairs: Pairs) -> Array:
            if is_recording():
                condition("inside the box", inside.of(pairs))
            claims, ranks = self._may_regress(scene, pairs, ranges), pairs.of_gts(rank.rank)
            contest("the smallest box", by=ranks)
            return scene.xp.where(claims, ranks, 0)

        gt_inds = rank.gt_inds(largest_code(inside, claimed_rank))
        added = self._added(scene, rank, ranges, gt_inds)
        gt_inds = with_added(gt_inds, added)
        return scene.result(gt_inds, None, ignored=self._spared(scene, gt_inds))

    def _spared(self, scene: Scene, gt_inds: Array) -> Array | None:
        return spared_negatives(scene, gt_inds, self.ignore_iof_thr, of_cells=True)

    def _added(self, scene: Scene, rank: SizeRank, ranges: Array, gt_inds: Array) -> Added | None:
        """Add points to ground truths that have too few by the codes (B, N)."""
        xp, backend = scene.xp, scene.backend
        distances = PointDistances(
            backend=backend,
            points=scene.priors[..., :2],
            centers=box_centers(scene.gt_bboxes),
            eligible=free_priors(scene.prior_eligible, gt_inds),
        )

        def distance(view: TileView) -> Array:
            _, claims = self._in_range(scene, TilePairs(view), ranges)
            return xp.where(claims, distances.of(view), FAR)

        def nearest(k: int) -> Candidates:
            tiles = cut_tiles(backend, (scene.priors, scene.gt_bboxes), *scene.shape)
            return k_smallest_per_gt(backend, tiles, scene.gt_bboxes, k, distance)

        return add_positives(
            backend,
            gt_inds,
            scene.gt_valid,
            self.min_positives,
            nearest,
            by=rank.of_candidates,
            what="the smallest box",
        )

    def _rank(self, scene: Scene) -> SizeRank:
        """Rank the ground truths by who gets a point that several claim."""
        return rank_by_size(scene.backend, scene.gt_bboxes, first_of_equals=True)

    def _ranges(self, scene: Scene, levels: Sequence[slice]) -> Array:
        """Return the least and the greatest distance that each point regresses, (1, N, 2)."""
        xp, counts = scene.xp, [level.stop - level.start for level in levels]
        limits = [scene.numbers(own, counts) for own in zip(*self.regress_ranges, strict=True)]
        return xp.stack(limits, axis=-1)[None, ...]

    def _may_regress(self, scene: Scene, pairs: Pairs, ranges: Array) -> Array:
        """Tell which points in boxes may learn to regress to their sides, (b, g, n)."""
        farthest, claims = self._in_range(scene, pairs, ranges)
        greatest = pairs.of_priors(ranges)[..., 1]
        condition("farthest side in the level's regress_ranges", claims, value=farthest, limit=greatest)
        if not self.center_sampling:
            return claims
        xp, points = scene.xp, pairs.of_priors(scene.priors)
        stride = points[..., 2]
        radius = rounded_product(stride, self.center_sample_radius)
        centers = pairs.of_gts(box_centers(scene.gt_bboxes))
        is_near = near(points, centers, xp.stack([radius, radius], axis=-1))
        condition("near the centre", is_near)
        return claims & is_near

    def _in_range(self, scene: Scene, pairs: Pairs, ranges: Array) -> tuple[Array, Array]:
        """Return how far the farthest side is, and whether the point's level regresses so far, (b, g, n)."""
        xp = scene.xp
        x, y, _ = columns(pairs.of_priors(scene.priors))
        x1, y1, x2, y2 = columns(pairs.of_gts(scene.gt_bboxes))
        farthest = xp.maximum(xp.maximum(x - x1, x2 - x), xp.maximum(y - y1, y2 - y))
        least, greatest = columns(pairs.of_priors(ranges))
        return farthest, self._between(farthest, least, greatest)

    def _between(self, farthest: Array, least: Array, greatest: Array) -> Array:
        return (farthest >= least) & (farthest <= greatest)


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

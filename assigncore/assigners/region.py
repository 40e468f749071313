"""Assignment of anchors to the central regions of objects, on the feature level of their size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assigncore.backend import Array, get_backend
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.formulas import box_area, box_centers, inside, within_image
from assigncore.checks import (
    check_featmap_sizes,
    check_image_shape,
    check_knob,
    check_levels,
    check_positive,
    check_strides,
)
from assigncore.inputs import InputSpec, Scene, read_scene
from assigncore.inspect.trace import condition, contest, is_recording, mark
from assigncore.numerics import at_least, divided, rounded_product
from assigncore.pairs.listed import Pairs, TilePairs
from assigncore.pairs.relations import Inside, largest_code
from assigncore.pairs.tiles import Tile, TileView
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.candidates import Candidates, PointDistances, k_nearest
from assigncore.steps.min_positives import Added, add_positives, free_priors, with_added
from assigncore.steps.regions import emptied

__all__ = [
    "Grid",
    "RegionAssigner",
    "central_cells",
    "level_of_size",
]


@ASSIGNERS.register
@dataclass(frozen=True)
class RegionAssigner(Configured):
    """Decide by the region of a ground truth, central or about it, that an anchor's centre lies in.

    Each ground truth has one feature level, by its size. There, anchors in its central region are positive,
    and those in the larger region about it are ignored; so are, whatever else they are, the anchors in the
    larger region on the levels next to it. Every other anchor is background. The rule by which Guided
    Anchoring learns where anchors are.

    Parameters
    ----------
    center_ratio : float, default 0.2
        Sides of the central region as a fraction of the ground truth's.
    ignore_ratio : float, default 0.5
        Sides of the ignored region as a fraction of the ground truth's.
    min_positives : int, default 0
        Positives that each ground truth has at least, where it can: one that has fewer by the method gets the
        free priors of its level that are nearest to its centre. Ours, in no paper: see
        :func:`assigncore.steps.min_positives.add_positives`.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    References
    ----------
    Wang et al., "Region Proposal by Guided Anchoring", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> corners = np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1).reshape(-1, 2) * 8
    >>> anchors = np.concatenate([corners - 12, corners + 20], axis=-1).astype(np.float32)
    >>> gt_bboxes = np.array([[0, 0, 28, 28]], dtype=np.float32)
    >>> levels = {"num_level_priors": (16,), "featmap_sizes": ((4, 4),), "anchor_strides": (8,)}
    >>> result = RegionAssigner().assign(
    ...     anchors, gt_bboxes, **levels, anchor_scale=4, image_shape=(32, 32), allowed_border=-1
    ... )
    >>> result.gt_inds.reshape(4, 4)
    array([[ 0,  0,  0,  0],
           [ 0,  1, -1,  0],
           [ 0, -1, -1,  0],
           [ 0,  0,  0,  0]])
    """

    decides_by_classes = False

    center_ratio: float = 0.2
    ignore_ratio: float = 0.5
    min_positives: int = 0

    def _check_knobs(self) -> None:
        check_knob("center_ratio", self.center_ratio, at_least=0)
        check_knob("ignore_ratio", self.ignore_ratio, at_least=0)

    @numpy_fast_path
    def assign(
        self,
        priors: Array,
        gt_bboxes: Array,
        *,
        num_level_priors: Sequence[int],
        featmap_sizes: Sequence[Sequence[int]],
        anchor_scale: float,
        anchor_strides: Sequence[float],
        image_shape: Sequence[float] | Array,
        allowed_border: float = 0,
        gt_labels: Array | None = None,
        gt_valid: Array | None = None,
        prior_valid: Array | None = None,
    ) -> AssignResult:
        """Assign anchors to ground truths; leading dimensions are a batch and broadcast.

        Parameters
        ----------
        priors : array (..., N, 4)
            Anchors x1, y1, x2, y2 in pixels, level by level.
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels.
        num_level_priors : sequence of int
            Number of anchors of each level; they sum to N.
        featmap_sizes : sequence of (int, int)
            Height and width of each level's feature map, in cells.
        anchor_scale : float
            Side of a level's square anchor, in strides. A ground truth of that size belongs to the level.
        anchor_strides : sequence of float
            Pixels between neighbouring cells of each level. That of the first level decides, with
            `anchor_scale`, about the levels of ground truths, each the double of the one before.
        image_shape : (float, float) or array (..., 2) of real floating numbers
            Height and width in pixels; an array gives one for each image of a batch.
        allowed_border : float, default 0
            Pixels that an anchor may reach over the image's edge; one that reaches farther is ignored.
            Negative: anchors may be anywhere.
        gt_labels : array (..., G) of integers, optional
            Classes; without them the result has no labels.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        prior_valid : array (..., N) of bool, optional
            False where an anchor takes no part: it is ignored. Not given: all true.

        Returns
        -------
        AssignResult
            `labels` are 0, not -1, where an anchor is not positive, as published, except in an image
            without ground truths: there they are -1. `max_overlaps` is None, but zeros where there are no
            priors or no ground truths at all, as published.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than `priors`.
        ValueError
            If shapes do not fit, levels do not sum to N or disagree in number, a stride is not positive, or
            inputs are on different devices.

        Notes
        -----
        Regions are rounded to whole cells, halves to the even one, cut off at the feature map, and include
        their sides. Where regions of ground truths of one level overlap, the last ground truth decides, also
        where it ignores. A ground truth midway between two levels belongs to the coarser. An image without
        ground truths is all background, even beyond the border. The method has no ignore regions.
        """
        sized = isinstance(image_shape, (tuple, list))
        scene = read_scene(
            priors,
            gt_bboxes,
            gt_labels=gt_labels,
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            further={"image_shape": InputSpec(None if sized else image_shape, (2,), required=not sized)},
        )
        levels = check_levels(num_level_priors, scene.shape[1])
        if not levels:
            raise ValueError("num_level_priors: expected at least one level, got none")
        sizes = check_featmap_sizes(featmap_sizes, len(levels))
        strides = check_strides("anchor_strides", anchor_strides, len(levels))
        grids = [Grid(float(stride), *size) for stride, size in zip(strides, sizes, strict=True)]
        check_positive("anchor_scale", anchor_scale)
        check_knob("allowed_border", allowed_border)
        size = scene.further["image_shape"] if not sized else scene.numbers(check_image_shape(image_shape))
        if 0 in scene.shape[1:]:
            return scene.empty_result(excluded_overlap=0.0)
        xp = scene.xp
        regions = self._regions(scene, grids, anchor_scale)
        counts = [level.stop - level.start for level in levels]
        of_priors = scene.numbers(strides, counts)
        points = box_centers(divided(scene.priors, of_priors[:, None]))
        codes = [
            _last_word(scene, points, regions, index, level)
            for index, level in enumerate(levels)
            if level.stop > level.start
        ]
        if is_recording():
            self._name_steps(scene, points, regions, levels)
        code = xp.astype(xp.concat(codes, axis=-1), scene.backend.integer_dtype(scene.priors))
        unassigned = xp.where(code > 0, -1, scene.full(0, integers=True))
        gt_inds = xp.where((code & 1) == 1, code >> 1, unassigned)
        within = scene.prior_eligible
        if allowed_border >= 0:
            height, width = size[..., 0, None], size[..., 1, None]
            within = within & within_image(scene.priors, height, width, float(allowed_border))
            if is_recording():
                mark("beyond the image by more than allowed_border", ~within, -1, holds="over all")
            gt_inds = xp.where(within, gt_inds, -1)
        side = anchor_scale * grids[0].stride
        added = self._added(scene, levels, side, free_priors(within, gt_inds), gt_inds)
        gt_inds = with_added(gt_inds, added)
        return _with_labels_from_0(scene, scene.result(gt_inds, None))

    def _added(
        self, scene: Scene, levels: Sequence[slice], side: float, free: Array, gt_inds: Array
    ) -> Added | None:
        """Add anchors of their level to ground truths that have too few by the codes (B, N)."""
        xp, device = scene.xp, scene.backend.device_of(gt_inds)

        def nearest(k: int) -> Candidates:
            of_gts = level_of_size(scene, side, len(levels))
            counts = [
                xp.full((level.stop - level.start,), index, dtype=of_gts.dtype, device=device)
                for index, level in enumerate(levels)
            ]
            distances = PointDistances(
                backend=scene.backend,
                points=box_centers(scene.priors),
                centers=box_centers(scene.gt_bboxes),
                eligible=free,
                groups=(xp.concat(counts, axis=0)[None, :], of_gts),
            )
            return k_nearest(distances, k)

        return add_positives(
            scene.backend,
            gt_inds,
            scene.gt_valid,
            self.min_positives,
            nearest,
            by=lambda candidates: xp.zeros_like(candidates.value),
            what="the later object",
            last=True,
        )

    def _name_steps(self, scene: Scene, points: Array, regions: _Regions, levels: Sequence[slice]) -> None:
        """Say why: the last word of all regions an anchor's centre is in."""
        codes = []
        for index, level in enumerate(levels):
            tile = Tile(0, scene.shape[0], level.start, level.stop)
            pairs = TilePairs(TileView(scene.backend, tile, scene.gt_bboxes))
            codes.append(_said(scene, pairs, pairs.of_priors(points), regions, index))
        code = scene.xp.where(scene.prior_eligible[:, None, :], scene.xp.concat(codes, axis=-1), 0)
        condition("centre in the central or the surrounding region", code > 0)
        contest("central regions before surrounding ones, later objects before earlier", by=code)
        condition("centre in the central region", (code & 1) == 1, otherwise=-1)

    def _regions(self, scene: Scene, grids: Sequence[Grid], anchor_scale: float) -> _Regions:
        """Lay out the regions of all ground truths on the level of each and on the next ones."""
        xp, device, n_gts = scene.xp, scene.backend.device_of(scene.priors), scene.shape[2]
        target = level_of_size(scene, anchor_scale * grids[0].stride, len(grids))[:, None, :]
        level = xp.arange(len(grids), dtype=target.dtype, device=device)[:, None]
        valid = scene.gt_valid[:, None, :]
        own, near = valid & (target == level), valid & (xp.abs(target - level) == 1)
        strides = scene.numbers([grid.stride for grid in grids])[:, None, None]
        limits = scene.numbers([n for grid in grids for n in (grid.width, grid.height)])
        limits = xp.reshape(limits, (len(grids), 1, 2))
        cells = divided(scene.gt_bboxes[:, None, :, :], strides)
        place = xp.arange(1, n_gts + 1, dtype=xp.int32, device=device)
        both = central_cells(cells, (self.center_ratio, self.ignore_ratio), limits)
        both = emptied(both, xp.stack([own, own | near], axis=0))
        taking = xp.where(own, 2 * place + 1, 0)
        ignoring = xp.where(near, 2 * n_gts + 2, xp.where(own, 2 * place, 0))
        either = [xp.min(both[..., :2], axis=0), xp.max(both[..., 2:], axis=0)]
        return _Regions(
            both=xp.concat([both[0, ...], both[1, ...]], axis=-1),
            either=xp.concat(either, axis=-1),
            codes=xp.stack([taking, ignoring], axis=-1),
        )


@dataclass(frozen=True, eq=False)
class _Regions:
    """The regions of ground truths on every level, in its cells, and what they say of the anchors in them.

    Attributes
    ----------
    both : array (B, L, G, 8)
        The central region, then the surrounding one; inside out where a ground truth has none on a level.
    either : array (B, L, G, 4)
        The box around both.
    codes : array (B, L, G, 2) of integers
        What they say: 2 i + 1 where the i-th ground truth, from 1, takes an anchor, and 2 i where it ignores
        it, so that the largest is the last word. The next levels overrule all: theirs is 2 G + 2.
    """

    both: Array
    either: Array
    codes: Array


def _last_word(scene: Scene, points: Array, regions: _Regions, index: int, level: slice) -> Array:
    """Return what the regions say of each anchor of a level, (B, n): 0 where nothing."""
    points, eligible = points[:, level, :], scene.prior_eligible[:, level]
    either = regions.either[:, index, ...]
    in_either = Inside(scene.backend, scene.gt_valid, eligible, points, either, closed=True)

    return largest_code(in_either, lambda pairs: _said(scene, pairs, pairs.of_priors(points), regions, index))


def _said(scene: Scene, pairs: Pairs, point: Array, regions: _Regions, index: int) -> Array:
    """Return what the regions on a level say of points in them, (b, g, n): 0 where nothing."""
    xp = scene.xp
    both, codes = pairs.of_gts(regions.both[:, index, ...]), pairs.of_gts(regions.codes[:, index, ...])
    taken, ignored = (inside(point, box, closed=True) for box in (both[..., :4], both[..., 4:]))
    return xp.maximum(xp.where(taken, codes[..., 0], 0), xp.where(ignored, codes[..., 1], 0))


def _with_labels_from_0(scene: Scene, result: AssignResult) -> AssignResult:
    """Give anchors that are not positive the label 0, in images that have ground truths."""
    if result.labels is None:
        return result
    xp = scene.xp
    any_gt = scene.restore(xp.any(scene.gt_valid, axis=-1)[:, None])
    labels = xp.where(result.pos_mask | ~any_gt, result.labels, 0)
    return AssignResult(result.gt_inds, result.max_overlaps, labels, result.num_gts)


@dataclass(frozen=True)
class Grid:
    """The cells of a level: their stride in pixels, and how many there are."""

    stride: float
    height: int
    width: int


def level_of_size(scene: Scene, side: float, count: int) -> Array:
    """Return the level of each ground truth, (B, G): the one whose square of `side` * 2**level it is nearest.

    By comparison of areas, which are exact where logarithms differ from library to library.
    """
    xp, area = scene.xp, box_area(scene.gt_bboxes)
    level = xp.zeros_like(area, dtype=scene.backend.integer_dtype(area))
    for index in range(1, count):
        level = xp.where(area >= side**2 * 2.0 ** (2 * index - 1), index, level)
    return level


def central_cells(cells: Array, ratios: Sequence[float], limits: Array) -> Array:
    """Return central parts of boxes (B, L, G, 4) in whole cells, within the `limits` (L, 1, 2).

    Each of the R `ratios` gives parts of its own: (R, B, L, G, 4).
    """
    backend = get_backend(cells)
    xp, edges = backend.xp, [(1 - ratio) / 2 for ratio in ratios]
    own, other = (
        xp.reshape(backend.numbers(weights, cells), (len(edges), 1, 1, 1, 1))
        for weights in ([1 - edge for edge in edges], edges)
    )
    near, far = cells[..., :2], cells[..., 2:4]
    sides = [
        xp.round(rounded_product(a, own) + rounded_product(b, other)) for a, b in ((near, far), (far, near))
    ]
    return xp.concat([xp.minimum(at_least(side, 0.0), limits) for side in sides], axis=-1)

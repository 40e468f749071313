"""Assignment of anchors on a grid: candidates by shape with neighbour cells, then dynamic k."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import accumulate
from math import prod
from typing import Any

from assigncore.backend import Array, ArrayBackend, get_backend
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.calculators import BboxOverlaps2D, columns_in_plane
from assigncore.boxes.formulas import ORIENTED, box_centers, box_shapes, columns, drop_nonfinite, longer_first
from assigncore.checks import check_featmap_sizes, check_knob, check_strides
from assigncore.inputs import InputSpec, Scene, read_inputs, read_scene
from assigncore.inspect.trace import begin, is_recording, mark
from assigncore.numerics import at_least, divided, quotient, sigmoid, sqrt
from assigncore.pairs.listed import TilePairs
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.candidates import gather_priors
from assigncore.steps.dynamic_k import PairCosts, match_dynamic_k, overlap_cost, weighted
from assigncore.steps.ignore import spared_negatives
from assigncore.steps.scores import check_classes, entropy_cost, known_labels

__all__ = ["Grid", "GridCandidates", "YOLOv7Assigner", "grid_candidates", "read_grid"]

EPS = 1e-8
"""Added to an overlap before its logarithm, as published."""

UNASSIGNED = -1e5
"""Less than any overlap."""


@ASSIGNERS.register
@dataclass(frozen=True)
class YOLOv7Assigner(Configured):
    """Give each ground truth its cheapest candidates, as many as their overlaps with it add up to.

    An anchor is a candidate for a ground truth where their widths and heights differ by less than a factor;
    at the cell that holds the ground truth's centre, and at the neighbour cells the centre is near to. A
    candidate may then go to any ground truth of its image. A pair costs the cross-entropy of the predicted
    scores plus a logarithm of the predicted box's overlap.

    Parameters
    ----------
    prior_match_thr : float, default 4.0
        Widths and heights differ by less than this factor.
    near_neighbor_thr : float, default 0.5
        How near to a neighbour cell a centre must be, in cells.
    candidate_topk : int, default 10
        Overlaps that are added up to the number of candidates a ground truth takes, and the most it takes.
    iou_weight : float, default 3.0
        Weight of the overlap's cost.
    cls_weight : float, default 1.0
        Weight of the scores' cost.
    iou_calculator : callable or config mapping, optional
        Computes the overlaps; default :class:`assigncore.BboxOverlaps2D`. Where it takes oriented boxes, the
        longer side of an anchor is compared with the longer one of a ground truth, and the shorter with the
        shorter, whichever way they lie.
    ignore_iof_thr : float, default -1
        An anchor without ground truth is ignored where an ignore region covers more than this fraction of it.
        Not positive: ignore regions have no effect.
    min_positives : int, default 0
        Positives that each ground truth has at least, where it can: one that has fewer by the method gets the
        free candidates that cost it least, among which are so many anchors of the nearest shapes. Ours, in no
        paper: see :func:`assigncore.steps.min_positives.add_positives`.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    References
    ----------
    Wang et al., "YOLOv7: Trainable bag-of-freebies sets new state-of-the-art for real-time object
    detectors", 2022.

    Examples
    --------
    >>> import numpy as np
    >>> gt_bboxes = np.array([[2, 2, 12, 12]], dtype=np.float32)
    >>> x, y = np.meshgrid(np.arange(3), np.arange(3))
    >>> corners = np.stack([x, y], axis=-1).reshape(-1, 2) * 8
    >>> result = YOLOv7Assigner().assign(
    ...     gt_bboxes,
    ...     gt_labels=np.array([0]),
    ...     pred_bboxes=np.concatenate([corners, corners + 10], axis=-1).astype(np.float32),
    ...     pred_logits=np.zeros((9, 1), dtype=np.float32),
    ...     pred_objectness=np.zeros(9, dtype=np.float32),
    ...     base_sizes=np.array([[[8, 8]]], dtype=np.float32),
    ...     featmap_strides=(8,),
    ...     featmap_sizes=((3, 3),),
    ... )
    >>> result.gt_inds.reshape(3, 3)
    array([[1, 0, 0],
           [0, 0, 0],
           [0, 0, 0]])
    """

    prior_match_thr: float = 4.0
    near_neighbor_thr: float = 0.5
    candidate_topk: int = 10
    iou_weight: float = 3.0
    cls_weight: float = 1.0
    iou_calculator: Callable[..., Any] | Mapping[str, Any] = field(default_factory=BboxOverlaps2D)
    ignore_iof_thr: float = -1
    min_positives: int = 0

    def _check_knobs(self) -> None:
        check_knob("prior_match_thr", self.prior_match_thr)
        check_knob("near_neighbor_thr", self.near_neighbor_thr, at_least=0)
        check_knob("candidate_topk", self.candidate_topk, at_least=1, integer=True)
        check_knob("iou_weight", self.iou_weight)
        check_knob("cls_weight", self.cls_weight)
        check_knob("ignore_iof_thr", self.ignore_iof_thr)

    @numpy_fast_path
    def assign(
        self,
        gt_bboxes: Array,
        *,
        gt_labels: Array,
        pred_bboxes: Array,
        pred_logits: Array,
        pred_objectness: Array,
        base_sizes: Array,
        featmap_strides: Sequence[int],
        featmap_sizes: Sequence[tuple[int, int]],
        gt_valid: Array | None = None,
        prior_valid: Array | None = None,
        ignore_bboxes: Array | None = None,
        ignore_valid: Array | None = None,
        of_candidates: bool = False,
    ) -> AssignResult:
        """Assign priors to ground truths; leading dimensions are a batch and broadcast.

        Priors come level by level, and on a level as a map (A, h, w) does: anchor, row, column.

        Parameters
        ----------
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels; of oriented boxes, as predictions then are too, (..., G, 5).
        gt_labels : array (..., G) of integers
            Classes, from 0.
        pred_bboxes : array (..., N, 4)
            Boxes of the predictions in pixels.
        pred_logits : array (..., N, C)
            Class logits of the predictions.
        pred_objectness : array (..., N)
            Logits of the predictions' objectness.
        base_sizes : array (L, A, 2)
            Width and height of each level's anchors in pixels.
        featmap_strides : sequence of int
            Pixels a cell of each level is wide and high.
        featmap_sizes : sequence of pairs of int
            Height and width of each level in cells.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        prior_valid : array (..., N) of bool, optional
            False where a prior takes no part: it is ignored. Not given: all true.
        ignore_bboxes : array (..., I, 4), optional
            Ignore regions. Without effect unless `ignore_iof_thr` is positive.
        ignore_valid : array (..., I) of bool, optional
            False where a row is padding. Not given: all true.
        of_candidates : bool, default False
            Whether the predictions are not of all priors but of the E candidates alone, in the order in which
            :meth:`candidates` lists them: the others need not be decoded. `prior_valid` is then not taken.

        Returns
        -------
        AssignResult
            `max_overlaps` is the overlap of a positive prior's prediction with its ground truth, 0
            elsewhere. As candidates the same prior may occur more than once, and be positive for several
            ground truths: `gt_inds` then tells the first candidate's. `extras` has all candidates, in the
            order level, cell (own, left, up, right, down), anchor, ground truth, each (..., E) with E
            = L * 5 * A * G: ``candidate_gt_inds`` (i + 1 where positive, 0 where not, -1 where there is no
            candidate, or a negative one in an ignore region), ``candidate_prior``, ``candidate_level``,
            ``candidate_anchor``, ``candidate_x`` and ``candidate_y``, the cell.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than the first.
        ValueError
            If shapes do not fit, levels do not sum to N, or inputs are on different devices.

        Notes
        -----
        Of equally cheap candidates the first is taken; a prior that occurs twice ties with itself. A
        candidate that several ground truths choose goes to the one it is cheapest for among all, the first on
        ties. A ground truth without width or height has no candidates of its own. A prediction with a NaN,
        or a box with an infinite coordinate, matches nothing. A valid
        label that is no class is an error where the host can see it; elsewhere its ground truth takes no
        part. The method has no ignore regions; `ignore_iof_thr` is ours, and counts in images without ground
        truths too.
        """
        form = columns_in_plane(self.iou_calculator)
        scene = read_scene(
            pred_bboxes,
            gt_bboxes,
            priors_name="pred_bboxes",
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            ignore_bboxes=ignore_bboxes,
            ignore_valid=ignore_valid,
            columns=(form, form),
            further={
                "gt_labels": InputSpec(gt_labels, ("G",), "integral", required=True),
                "pred_logits": InputSpec(pred_logits, ("N", "C"), required=True),
                "pred_objectness": InputSpec(pred_objectness, ("N",), required=True),
                "base_sizes": InputSpec(base_sizes, ("L", "A", 2), required=True),
            },
        )
        xp, backend, further = scene.xp, scene.backend, scene.further
        check_classes("pred_logits", pred_logits)
        grid = read_grid(base_sizes, featmap_strides, featmap_sizes)
        candidates = self._candidates(backend, scene.gt_bboxes, scene.gt_valid, further["base_sizes"], grid)
        every = _all_priors(scene, grid, candidates if of_candidates else None)
        if of_candidates and prior_valid is not None:
            raise ValueError("prior_valid: expected None with of_candidates, which has no say on all priors")
        if scene.is_empty:
            extras = candidates.extras(xp.full_like(candidates.prior, -1))
            gt_inds = every.full(0, integers=True)
            spared = self._spared(every, gt_inds, further["base_sizes"], grid)
            return every.result(gt_inds, every.full(0.0), extras, ignored=spared)

        def at_candidates(x: Array) -> Array:
            return x if of_candidates else gather_priors(backend, x, candidates.prior)

        boxes = at_candidates(scene.priors)
        found = candidates.found & at_candidates(scene.prior_eligible[..., None])[..., 0]
        if is_recording():
            begin((scene.shape[2], int(found.shape[1])), scene.gt_valid, candidates.prior)
            mark("no candidate of any object", ~found, -1, holds="always")
        costs = PairCosts(
            scene=replace(scene, priors=boxes),
            eligible=found,
            pred_bboxes=boxes,
            calculator=self.iou_calculator,
            classes=at_candidates(further["pred_logits"]),
            of_priors={"objectness": at_candidates(further["pred_objectness"][..., None])},
            cost=partial(self._cost, known_labels(scene)),
        )
        gt_inds, overlaps = match_dynamic_k(
            costs, self.candidate_topk, nothing=UNASSIGNED, min_positives=self.min_positives
        )
        taken, max_overlaps = first_of_each(every, candidates.prior, gt_inds, overlaps)
        codes = xp.where(found, gt_inds, -1)
        spared = self._spared(every, taken, further["base_sizes"], grid)
        if spared is not None:
            codes = xp.where(xp.take_along_axis(spared, candidates.prior, axis=-1), -1, codes)
        return every.result(taken, max_overlaps, candidates.extras(codes), ignored=spared)

    def _spared(self, scene: Scene, gt_inds: Array, base_sizes: Array, grid: Grid) -> Array | None:
        """Tell which anchors without ground truth are ignored, (B, N)."""
        if self.ignore_iof_thr <= 0 or scene.ignore_bboxes is None:
            return None
        anchors = anchors_of_grid(scene.backend, base_sizes, grid, int(scene.gt_bboxes.shape[-1]))
        return spared_negatives(replace(scene, priors=anchors), gt_inds, self.ignore_iof_thr)

    def candidates(
        self,
        gt_bboxes: Array,
        *,
        base_sizes: Array,
        featmap_strides: Sequence[int],
        featmap_sizes: Sequence[tuple[int, int]],
        gt_valid: Array | None = None,
    ) -> GridCandidates:
        """List the candidates, so that only their predictions need be decoded.

        Parameters
        ----------
        gt_bboxes, base_sizes, featmap_strides, featmap_sizes, gt_valid
            As :meth:`assign` takes them.

        Returns
        -------
        GridCandidates
            Arrays (..., E) with E = L * 5 * A * G, in the order level, cell (own, left, up, right, down),
            anchor, ground truth. Rows that are no candidates are among them, so that shapes do not depend
            on values; they have a prior all the same.

        Raises
        ------
        TypeError, ValueError
            As :meth:`assign` raises.
        """
        form = columns_in_plane(self.iou_calculator)
        backend, lead, flat = read_inputs(
            {
                "gt_bboxes": InputSpec(gt_bboxes, ("G", form), required=True),
                "base_sizes": InputSpec(base_sizes, ("L", "A", 2), required=True),
                "gt_valid": InputSpec(gt_valid, ("G",), "bool"),
            }
        )
        boxes, valid = drop_nonfinite(flat["gt_bboxes"])
        valid = valid & flat.get("gt_valid", valid)
        grid = read_grid(base_sizes, featmap_strides, featmap_sizes)
        return self._candidates(backend, boxes, valid, flat["base_sizes"], grid).with_lead(lead)

    def _candidates(
        self, backend: ArrayBackend, gt_bboxes: Array, gt_valid: Array, base_sizes: Array, grid: Grid
    ) -> GridCandidates:
        near, factor = float(self.near_neighbor_thr), float(self.prior_match_thr)
        return grid_candidates(
            backend,
            gt_bboxes,
            gt_valid,
            base_sizes,
            grid,
            near=near,
            factor=factor,
            min_anchors=self.min_positives,
        )

    def _cost(self, labels: Array, costs: PairCosts, pairs: TilePairs, overlaps: Array) -> Array:
        """Return what pairs cost, (b, g, n): for their class, and their overlap."""
        logits, objectness = map(pairs.view.of_priors, (costs.classes, costs.of_priors["objectness"]))
        # Here, where most rows that are no candidates have been left out.
        scores = sqrt(sigmoid(logits) * sigmoid(objectness))
        cost = weighted(entropy_cost(scores, pairs.view.of_gts(labels)), self.cls_weight)
        return cost + overlap_cost(self.iou_calculator, overlaps, EPS, self.iou_weight)


def first_of_each(scene: Scene, prior: Array, gt_inds: Array, overlaps: Array) -> tuple[Array, Array]:
    """Give each prior what its first positive candidate has: ground truth and overlap, (B, N); 0 if none."""
    backend, xp = scene.backend, scene.xp
    count = int(prior.shape[1])
    down = xp.arange(count, 0, -1, dtype=gt_inds.dtype, device=backend.device_of(gt_inds))[None, :]
    best = backend.scatter_max(prior, xp.where(gt_inds > 0, down, 0), scene.shape[1])
    is_first = (gt_inds > 0) & (xp.take_along_axis(best, prior, axis=-1) == down)
    return tuple(
        backend.scatter_max(prior, xp.where(is_first, x, 0), scene.shape[1]) for x in (gt_inds, overlaps)
    )


@dataclass(frozen=True)
class Grid:
    """Levels of cells, each with the same number of anchors.

    Attributes
    ----------
    n_anchors : int
        Anchors of a cell: A.
    strides : tuple of int
        Pixels a cell of each level is wide and high.
    sizes : tuple of pairs of int
        Height and width of each level in cells.
    """

    n_anchors: int
    strides: tuple[float, ...]
    sizes: tuple[tuple[int, int], ...]

    @property
    def n_priors(self) -> int:
        """Number of anchors on all cells: N."""
        return sum(self.n_anchors * height * width for height, width in self.sizes)


def read_grid(base_sizes: Array, strides: Sequence[int], sizes: Sequence[tuple[int, int]]) -> Grid:
    """Return the grid of anchors (..., L, A, 2), checked.

    Raises
    ------
    TypeError
        If strides are no numbers, or sizes no pairs of integers.
    ValueError
        If there are no anchors, not as many strides or sizes as levels, or one is not positive.
    """
    n_levels, n_anchors = (int(n) for n in base_sizes.shape[-3:-1])
    if n_levels * n_anchors == 0:
        raise ValueError(f"base_sizes: expected levels and anchors, got {n_levels} and {n_anchors}")
    maps = check_featmap_sizes(sizes, n_levels, at_least=1)
    return Grid(n_anchors, check_strides("featmap_strides", strides, n_levels), maps)


def anchors_of_grid(backend: ArrayBackend, base_sizes: Array, grid: Grid, form: int) -> Array:
    """Return the anchors of widths and heights (B or 1, L, A, 2) about the cells' centres.

    Boxes (B or 1, N, `form`), upright if they are to be oriented ones.
    """
    xp, device = backend.xp, backend.device_of(base_sizes)
    levels = []
    for level, (stride, (height, width)) in enumerate(zip(grid.strides, grid.sizes, strict=True)):
        y, x = (
            (xp.arange(length, dtype=base_sizes.dtype, device=device) + 0.5) * stride
            for length in (height, width)
        )
        sides = base_sizes[:, level, :, None, None, :]
        shape = (int(sides.shape[0]), grid.n_anchors, height, width)
        centers = xp.stack(
            [xp.broadcast_to(x[None, :], (height, width)), xp.broadcast_to(y[:, None], (height, width))],
            axis=-1,
        )
        parts = [centers - sides * 0.5, centers + sides * 0.5]
        if form == ORIENTED:
            parts = [centers, sides, xp.zeros_like(sides[..., :1])]
        boxes = xp.concat([xp.broadcast_to(part, (*shape, part.shape[-1])) for part in parts], axis=-1)
        levels.append(xp.reshape(boxes, (shape[0], grid.n_anchors * height * width, form)))
    return xp.concat(levels, axis=1)


def _all_priors(scene: Scene, grid: Grid, candidates: GridCandidates | None) -> Scene:
    """Return the scene of all priors of the grid, where that of the predictions may be of candidates."""
    xp, given, total = scene.xp, scene.shape[1], grid.n_priors
    if candidates is None:
        if given == total:
            return scene
        raise ValueError(
            f"featmap_sizes: expected {grid.n_anchors} anchors on all cells to be {given} priors, got {total}"
        )
    count = int(candidates.prior.shape[1])
    if given != count:
        raise ValueError(f"pred_bboxes: expected {count} rows, one a candidate, got {given}")
    device = scene.backend.device_of(scene.priors)
    form = int(scene.priors.shape[-1])
    priors = xp.zeros((1, total, form), dtype=scene.priors.dtype, device=device)
    valid = xp.ones((1, total), dtype=xp.bool, device=device)
    return replace(scene, priors=priors, prior_valid=valid, prior_eligible=valid)


CELLS = ((0, 0), (-1, 0), (0, -1), (1, 0), (0, 1))
"""Steps to the cells of a candidate: its own, left, up, right, down."""


@dataclass(frozen=True, eq=False)
class GridCandidates:
    """Anchors at cells, (..., E) each.

    Attributes
    ----------
    found : array of bool
        Whether it is a candidate.
    prior : array of integers
        The prior, counted through all levels.
    level, anchor, x, y : array of integers
        The same in parts: level, anchor of the cell, and the cell's column and row.
    """

    found: Array
    prior: Array
    level: Array
    anchor: Array
    x: Array
    y: Array

    def extras(self, gt_inds: Array) -> dict[str, Array]:
        """Return what a result tells of the candidates."""
        names = ("prior", "level", "anchor", "x", "y")
        return {"candidate_gt_inds": gt_inds} | {f"candidate_{name}": getattr(self, name) for name in names}

    def with_lead(self, lead: tuple[int, ...]) -> GridCandidates:
        """Return the same, of one batch dimension (B or 1, E), with other leading dimensions."""
        xp = get_backend(self.prior).xp
        arrays = (getattr(self, one.name) for one in fields(self))
        return GridCandidates(*(xp.reshape(x, (*lead, x.shape[-1])) for x in arrays))


def grid_candidates(
    backend: ArrayBackend,
    gt_bboxes: Array,
    gt_valid: Array,
    base_sizes: Array,
    grid: Grid,
    *,
    near: float,
    factor: float,
    min_anchors: int = 0,
) -> GridCandidates:
    """List every anchor at every cell a ground truth may take, those that it does not take included.

    Parameters
    ----------
    backend : ArrayBackend
        The library of the arrays.
    gt_bboxes : array (B, G, 4) or (B, G, 5)
        Boxes of the ground truths in pixels.
    gt_valid : array (B, G) of bool
        Ground truths that are neither padding nor non-finite.
    base_sizes : array (B or 1, L, A, 2)
        Widths and heights of the anchors in pixels.
    grid : Grid
        Where they are.
    near : float
        How near to a neighbour cell a centre must be, in cells.
    factor : float
        Widths and heights of an anchor and a ground truth differ by less.
    min_anchors : int, default 0
        Anchors of all levels that fit each ground truth all the same: those of the least factors.
    """
    xp, images, n_gts, n_levels = backend.xp, *(int(n) for n in gt_bboxes.shape[:2]), len(grid.strides)
    device, integers = backend.device_of(gt_bboxes), backend.integer_dtype(gt_bboxes)
    level = xp.arange(n_levels, dtype=integers, device=device)[None, :, None, None, None]
    anchor = xp.arange(grid.n_anchors, dtype=integers, device=device)[None, None, None, :, None]
    heights, widths = zip(*grid.sizes, strict=True)
    before = accumulate((grid.n_anchors * h * w for h, w in grid.sizes[:-1]), initial=0)
    table = backend.numbers([*widths, *heights, *before], level)
    width, height, start = (table[n_levels * i : n_levels * (i + 1)] for i in range(3))
    cells, is_near = _near_cells(gt_bboxes, grid.strides, xp.stack([width, height], axis=0), near)
    x, y = (xp.astype(cells[i, ...], integers)[:, :, :, None, :] for i in (0, 1))
    fits = _fits(gt_bboxes, base_sizes, factor, min_anchors)[:, :, None, :, :]
    found = is_near[:, :, :, None, :] & fits & gt_valid[:, None, None, None, :]
    width, height, start = (each[:, None, None, None] for each in (width, height, start))
    prior = ((anchor * height + y) * width + x) + start
    shape = (images, n_levels, len(CELLS), grid.n_anchors, n_gts)
    each = (xp.broadcast_to(a, shape) for a in (found, prior, level, anchor, x, y))
    return GridCandidates(*(xp.reshape(a, (images, prod(shape[1:]))) for a in each))


def _near_cells(gt_bboxes: Array, strides: Sequence[float], sizes: Array, near: float) -> tuple[Array, Array]:
    """Return the cells x, y about the centres of boxes (B, G, D), (2, B, L, 5, G), and which are near.

    On levels of `strides`, and of `sizes` (2, L): widths and heights.
    """
    backend = get_backend(gt_bboxes)
    xp = backend.xp
    stride = backend.numbers(strides, gt_bboxes)[:, None]
    center = divided(xp.moveaxis(box_centers(gt_bboxes), -1, 0)[:, :, None, :], stride)
    size = xp.astype(sizes, center.dtype)[:, None, :, None]
    rest = size - center
    low = (center - xp.floor(center) < near) & (center > 1)
    high = (rest - xp.floor(rest) < near) & (rest > 1)
    steps = backend.numbers([step * near for axis in zip(*CELLS, strict=True) for step in axis], center)
    moved = center[:, :, :, None, :] + xp.reshape(steps, (2, 1, 1, len(CELLS), 1))
    cell = xp.minimum(at_least(xp.trunc(moved), 0.0), size[:, :, :, None, :] - 1)
    # In the order of the cells: own, left, up, right, down.
    close = [xp.ones_like(low[0, ...]), low[0, ...], low[1, ...], high[0, ...], high[1, ...]]
    return cell, xp.stack(close, axis=2)


def _fits(gt_bboxes: Array, base_sizes: Array, factor: float, min_anchors: int) -> Array:
    """Tell which anchors (B or 1, L, A, 2) fit which ground truths (B, G, D): (B, L, A, G)."""
    backend = get_backend(gt_bboxes)
    xp = backend.xp
    if int(gt_bboxes.shape[-1]) == ORIENTED:
        base_sizes = xp.stack(longer_first(*columns(base_sizes)), axis=-1)
    base = base_sizes[:, :, :, None, :]
    sides = box_shapes(gt_bboxes)[:, None, None, :, 2:]
    there = (base > 0) & (sides > 0)
    ratio = quotient(xp.where(there, sides, 1.0), xp.where(base > 0, base, 1.0))
    inverse = quotient(xp.ones_like(ratio), ratio)
    fits = xp.all(there & (ratio < factor) & (inverse < factor), axis=-1)
    if min_anchors == 0 or 0 in fits.shape:
        return fits
    images, levels, anchors, n_gts = fits.shape
    worst = xp.max(xp.where(there, xp.maximum(ratio, inverse), float("inf")), axis=-1)
    flat = xp.matrix_transpose(xp.reshape(worst, (images, levels * anchors, n_gts)))
    least, index = backend.k_smallest(flat, min(min_anchors, int(levels) * int(anchors)))
    place = xp.arange(int(levels) * int(anchors), dtype=index.dtype, device=backend.device_of(index))
    chosen = (index[..., None] == place) & (least < float("inf"))[..., None]
    nearest = xp.matrix_transpose(xp.any(chosen, axis=-2))
    return fits | xp.reshape(nearest, fits.shape)

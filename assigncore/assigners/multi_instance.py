"""Assignment of several ground truths to one prior, for detectors of crowds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from assigncore.backend import Array
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.calculators import BboxOverlaps2D, box_columns, measure_of
from assigncore.boxes.formulas import Mode
from assigncore.checks import check_knob
from assigncore.inputs import InputSpec, Scene, read_scene
from assigncore.inspect.trace import begin, condition, is_recording, mark
from assigncore.pairs.tiles import TileView, cut_tiles, join_tiles
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult

__all__ = ["MultiInstanceAssigner"]

NO_BOX = -float("inf")
"""The overlap with a box that is not there."""


@ASSIGNERS.register
@dataclass(frozen=True)
class MultiInstanceAssigner(Configured):
    """Decide by the best few overlaps of each prior, so that one proposal may predict several objects.

    A prior has `num_instance` predictions. The first is judged by the prior's best overlap, the second by
    its second best, and so on: positive above one threshold, background below another.

    Parameters
    ----------
    num_instance : int, default 2
        Predictions of each prior, at least 1.
    pos_iou_thr : float, default 0.5
        An instance whose overlap is at least this is assigned to the box that has it.
    neg_iou_thr : float, default 0.5
        An instance whose overlap is below this is background.
    append_boxes : bool, default True
        Whether the ground truths and the ignore regions are assigned too, as rows behind the priors, as
        published; else the rows are the priors alone.
    min_pos_iou : float, default 0.0
        Accepted for the sake of published configs, without effect.
    match_low_quality : bool, default True
        Accepted for the sake of published configs, without effect.
    iou_calculator : callable or config mapping, optional
        Computes the overlaps; default :class:`assigncore.BboxOverlaps2D`.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    References
    ----------
    Chu et al., "Detection in Crowded Scenes: One Proposal, Multiple Predictions", 2020.

    Examples
    --------
    >>> import numpy as np
    >>> gt_bboxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [40, 40, 50, 50]], dtype=np.float32)
    >>> priors = np.array([[0, 0, 11, 10], [41, 40, 50, 50]], dtype=np.float32)
    >>> assigner = MultiInstanceAssigner(num_instance=2, append_boxes=False)
    >>> assigner.assign(priors, gt_bboxes).gt_inds
    array([[1, 3],
           [2, 0]])
    """

    num_instance: int = 2
    pos_iou_thr: float = 0.5
    neg_iou_thr: float = 0.5
    append_boxes: bool = True
    min_pos_iou: float = 0.0
    match_low_quality: bool = True
    iou_calculator: Callable[..., Any] | Mapping[str, Any] = field(default_factory=BboxOverlaps2D)

    def _check_knobs(self) -> None:
        check_knob("num_instance", self.num_instance, at_least=1, integer=True)
        for name in ("pos_iou_thr", "neg_iou_thr", "min_pos_iou"):
            check_knob(name, getattr(self, name))

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
        ignore_labels: Array | None = None,
        ignore_valid: Array | None = None,
    ) -> AssignResult:
        """Assign priors to ground truths; leading dimensions are a batch and broadcast.

        Parameters
        ----------
        priors : array (..., N, 4)
            Boxes x1, y1, x2, y2 in pixels, of a real floating dtype; of oriented boxes, as all others then
            are too, (..., N, 5).
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels.
        gt_labels : array (..., G) of integers, optional
            Classes; without them the result has no labels.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        prior_valid : array (..., N) of bool, optional
            False where a prior takes no part: it is ignored. Not given: all true.
        ignore_bboxes : array (..., I, 4), optional
            Ignore regions.
        ignore_labels : array (..., I) of integers, optional
            -1 for an ignore region proper; any other value makes the box compete like a ground truth of
            this class. Not given: all -1.
        ignore_valid : array (..., I) of bool, optional
            False where a row is padding. Not given: all true.

        Returns
        -------
        AssignResult
            Of R rows: the priors, then with `append_boxes` the ground truths and the ignore regions. Its
            arrays are (..., `num_instance`, R), so `result[..., 0]` of a batch, or `result[0]` of one
            image, is the assignment of the first instance. Boxes are numbered through, ground truths first:
            `num_gts` is G + I. `max_overlaps` is the overlap that decided. ``extras["box_inds"]`` is the box
            that has it, counted from 0, whatever was decided. Where there are fewer boxes than instances it
            is -1, the row background and the overlap 0. With `gt_labels`,
            ``extras["box_labels"]`` is the class of that box, -1 of an ignore region or where there is none.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than `priors`.
        ValueError
            If shapes do not fit, inputs are on different devices, or `ignore_labels` comes without
            `ignore_bboxes`.

        Notes
        -----
        Of equal overlaps the first box comes first. An instance is ignored between the thresholds, and in
        an ignore region: where its overlap is below `pos_iou_thr` and the region of the same rank covers
        more of the row than that. Where both thresholds are met, which takes a `neg_iou_thr` above
        `pos_iou_thr`, the row is background. The published arrays have the rows first, hold
        ``box_inds`` in place of `gt_inds`, and as labels 1 for any positive, 0 for background and
        ``box_labels`` + 1 between the thresholds.

        The row of a box that is padding or non-finite, and of a prior that takes no part, is ignored, with
        overlap 0 and box -1. A non-finite prior is background.
        """
        if ignore_labels is not None and ignore_bboxes is None:
            raise ValueError("ignore_labels: expected ignore_bboxes with it, got None")
        scene = read_scene(
            priors,
            gt_bboxes,
            gt_labels=gt_labels,
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            ignore_bboxes=ignore_bboxes,
            ignore_valid=ignore_valid,
            columns=self._columns(),
            further={"ignore_labels": InputSpec(ignore_labels, ("I",), "integral")},
        )
        boxes = _competitors(scene)
        rows, takes_part, finite = self._rows(scene, boxes)
        overlaps, box_inds = self._best_few(scene, rows, finite, boxes)
        return self._decide(scene, boxes, takes_part, overlaps, box_inds)

    def _columns(self) -> tuple[int | str, int | str]:
        """Return how many columns priors and boxes have: equally many where both become rows."""
        of_priors, of_boxes = box_columns(self.iou_calculator)
        return of_priors, of_priors if self.append_boxes else of_boxes

    def _rows(self, scene: Scene, boxes: _Boxes) -> tuple[Array, Array, Array]:
        """Return what is assigned (B or 1, R, D), which of it takes part and which is finite (B or 1, R)."""
        if not self.append_boxes:
            return scene.priors, scene.prior_valid, scene.prior_eligible
        xp, images = scene.xp, scene.shape[0]

        def joined(of_priors: Array, of_boxes: Array) -> Array:
            return xp.concat([xp.broadcast_to(of_priors, (images, *of_priors.shape[1:])), of_boxes], axis=1)

        return (
            joined(scene.priors, boxes.bboxes),
            joined(scene.prior_valid, boxes.valid),
            joined(scene.prior_eligible, boxes.valid),
        )

    def _best_few(self, scene: Scene, rows: Array, finite: Array, boxes: _Boxes) -> tuple[Array, Array]:
        """Return the overlaps that decide, best first, and the boxes that have them, each (B, M, R)."""
        xp, backend, images = scene.xp, scene.backend, scene.shape[0]
        n_rows, n_boxes = int(rows.shape[1]), int(boxes.bboxes.shape[1])
        k = min(self.num_instance, n_boxes) if images * n_rows else 0
        missing = (images, self.num_instance - k, n_rows)
        device = backend.device_of(rows)
        overlaps = xp.full(missing, NO_BOX, dtype=rows.dtype, device=device)
        box_inds = xp.full(missing, -1, dtype=backend.integer_dtype(rows), device=device)
        if k == 0:
            return overlaps, box_inds
        tiles = cut_tiles(backend, (rows, boxes.bboxes), images, n_rows, n_boxes)
        parts = [self._in_tile(TileView(backend, tile, rows), rows, finite, boxes, k) for tile in tiles]
        best, at = (join_tiles(xp, tiles, list(part)) for part in zip(*parts, strict=True))
        return xp.concat([best, overlaps], axis=1), xp.concat([at, box_inds], axis=1)

    def _in_tile(
        self, view: TileView, rows: Array, finite: Array, boxes: _Boxes, k: int
    ) -> tuple[Array, Array]:
        """Return the overlaps that decide in a tile, and the boxes that have them, each (b, k, n)."""
        xp = view.backend.xp
        priors, bboxes = view.of_priors(rows), view.of_gts(boxes.bboxes)
        regular, valid = view.of_gts(boxes.regular)[:, None, :], view.of_gts(boxes.valid)[:, None, :]
        finite = view.of_priors(finite)[:, :, None]

        def largest(mode: Mode, among: Array) -> tuple[Array, Array]:
            overlaps = measure_of(self.iou_calculator, mode)(priors, bboxes)
            overlaps = xp.where(finite & among & (overlaps == overlaps), overlaps, 0.0)
            value, index = view.backend.k_smallest(xp.where(valid, -overlaps, -NO_BOX), k)
            return -xp.matrix_transpose(value), xp.matrix_transpose(index)

        best, at = largest("iou", regular)
        if not boxes.has_regions:
            return best, at
        covered, region = largest("iof", ~regular)
        in_region = (best < float(self.pos_iou_thr)) & (covered > best)
        return xp.where(in_region, covered, best), xp.where(in_region, region, at)

    def _decide(
        self, scene: Scene, boxes: _Boxes, takes_part: Array, overlaps: Array, box_inds: Array
    ) -> AssignResult:
        """Compare the overlaps with the thresholds."""
        xp = scene.xp
        none = (overlaps == NO_BOX) | ~takes_part[:, None, :]
        overlaps, box_inds = xp.where(none, 0.0, overlaps), xp.where(none, -1, box_inds)
        regular = (_look_up(xp, boxes.regular, box_inds) & ~none) if boxes.has_regions else ~none
        positive = regular & (overlaps >= float(self.pos_iou_thr))
        background = none | ((overlaps >= 0) & (overlaps < float(self.neg_iou_thr)))
        gt_inds = xp.where(background, 0, xp.where(positive, box_inds + 1, -1))
        gt_inds = xp.where(takes_part[:, None, :], gt_inds, -1)
        if is_recording():
            _name_steps(scene, boxes, takes_part, overlaps, box_inds, positive & ~background, background)
        extras = {"box_inds": scene.restore(box_inds)}
        labels = None
        if boxes.labels is not None:
            of_boxes = xp.where(none, -1, _look_up(xp, boxes.labels, box_inds))
            extras["box_labels"] = scene.restore(of_boxes)
            labels = scene.restore(xp.where(gt_inds > 0, of_boxes, -1))
        return AssignResult(
            scene.restore(gt_inds), scene.restore(overlaps), labels, int(boxes.bboxes.shape[1]), extras
        )


def _name_steps(
    scene: Scene,
    boxes: _Boxes,
    takes_part: Array,
    overlaps: Array,
    box_inds: Array,
    positive: Array,
    background: Array,
) -> None:
    """Say why, of each row as often as it has places for boxes: what it overlaps most, then second most."""
    xp, (images, places, n_rows) = scene.xp, box_inds.shape

    def flat(x: Array) -> Array:
        return xp.reshape(xp.broadcast_to(x, (images, places, n_rows)), (images, places * n_rows))

    device, n_boxes = scene.backend.device_of(box_inds), int(boxes.bboxes.shape[1])
    row = flat(xp.arange(n_rows, dtype=box_inds.dtype, device=device)[None, None, :])
    box = xp.arange(n_boxes, dtype=box_inds.dtype, device=device)[None, :, None]
    begin((n_boxes, places * n_rows), boxes.valid, row)
    mark("overlap neither of background nor of a positive", flat(~background), -1)
    mark("takes no part", flat(~takes_part[:, None, :]), -1, holds="always")
    condition("the largest overlap for this place", flat(box_inds)[:, None, :] == box)
    value = flat(overlaps)[:, None, :]
    condition("of an object, and at least pos_iou_thr", flat(positive)[:, None, :], value=value)


@dataclass(frozen=True, eq=False)
class _Boxes:
    """The boxes of the images that compete for rows: ground truths, then ignore regions.

    Attributes
    ----------
    bboxes : array (B, G + I, D)
        The boxes.
    valid : array (B, G + I) of bool
        False where one is padding or non-finite.
    regular : array (B, G + I) of bool
        True where a row can be assigned to one.
    labels : array (B, G + I) of integers or None
        The classes.
    has_regions : bool
        Whether there may be boxes that are not regular.
    """

    bboxes: Array
    valid: Array
    regular: Array
    labels: Array | None
    has_regions: bool


def _competitors(scene: Scene) -> _Boxes:
    xp = scene.xp
    regular = xp.ones_like(scene.gt_valid)
    if scene.ignore_bboxes is None or scene.ignore_valid is None:
        return _Boxes(scene.gt_bboxes, scene.gt_valid, regular, scene.gt_labels, has_regions=False)
    integers = scene.backend.integer_dtype(scene.gt_bboxes)
    region_labels = xp.full_like(xp.astype(scene.ignore_valid, integers), -1)
    if "ignore_labels" in scene.further:
        given = xp.astype(scene.further["ignore_labels"], integers)
        region_labels = xp.broadcast_to(given, region_labels.shape)
    labels = scene.gt_labels
    return _Boxes(
        bboxes=xp.concat([scene.gt_bboxes, scene.ignore_bboxes], axis=1),
        valid=xp.concat([scene.gt_valid, scene.ignore_valid], axis=1),
        regular=xp.concat([regular, region_labels != -1], axis=1),
        labels=None if labels is None else xp.concat([labels, region_labels], axis=1),
        has_regions=True,
    )


def _look_up(xp: Any, of_boxes: Array, box_inds: Array) -> Array:
    """Pick from `of_boxes` (B, T) what belongs to `box_inds` (B, M, R); anything where those are -1."""
    if of_boxes.shape[-1] == 0:
        return xp.zeros_like(box_inds, dtype=of_boxes.dtype)
    images, m, n = box_inds.shape
    flat = xp.reshape(xp.where(box_inds < 0, 0, box_inds), (images, m * n))
    return xp.reshape(xp.take_along_axis(of_boxes, flat, axis=-1), (images, m, n))

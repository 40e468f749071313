"""Answers of compiled loops to the NumPy backend's questions: the extra ``fast``.

Each function gives the bits of the portable version, or None where no loop knows what is asked: a calculator
of the user's own, a dtype, boxes of other columns. Then the portable version answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from math import prod
from types import ModuleType
from typing import Any

import numpy as np

from assigncore.backend.threads import share_images
from assigncore.boxes.formulas import EPS, ORIENTED, BoxOverlap, columns
from assigncore.boxes.gaussians import GaussianSimilarity, NormalizedWasserstein, ReceptiveField
from assigncore.boxes.oriented import PairFormula, RotatedOverlap, planes_of
from assigncore.numerics import cos, sin
from assigncore.pairs.relations import Inside, Near, Relation, Touching
from assigncore.steps.candidates import LAST_RESORT, Candidates, Distances, PointDistances, ShapeDistances
from assigncore.steps.overlaps import BestOverlaps, PairwiseOverlaps

__all__ = [
    "answers_by_kernels",
    "best_of_priors",
    "best_overlaps",
    "bounded_rows",
    "k_most_overlapping",
    "k_nearest",
    "k_smallest",
    "k_smallest_of_lists",
    "l1_distance",
    "list_pairs",
    "overlaps_of_boxes",
    "without_kernels",
]

Host = np.ndarray[Any, Any]
Measure = BoxOverlap | PairFormula

INTEGERS = {np.dtype(np.float32): np.int32, np.dtype(np.float64): np.int64}
"""Integers as wide as the floats that loops are compiled for."""

BLOCKS_REMEMBERED = 2**22
"""Pairs of a block of priors and a ground truth whose best overlap is kept, to find what attains it again."""

MODERATE = 1e12
"""The largest knob of a similarity, and one over the least, with which nothing overflows in a loop."""

MOST_INSERTED = 64
"""Up to so many smallest values are kept in order as they come; more are quicker found by a partition."""

NONE_AT_ALL = np.zeros((0, 0), np.bool_)

_wanted = ContextVar("whether compiled loops may answer", default=True)


@contextmanager
def without_kernels() -> Iterator[None]:
    """Let the portable versions answer every question, until the context ends."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)


def answers_by_kernels() -> bool:
    """Tell whether compiled loops may answer: numba is there, and nothing asked to do without."""
    return _wanted.get() and _kernels() is not None


@cache
def _kernels() -> ModuleType | None:
    """Import the loops when the first question is asked: numba takes its time, and few need it at once."""
    if find_spec("numba") is None:
        return None
    try:
        return import_module("assigncore.adapters.kernels.loops")
    except ImportError:
        # Of a version that does not fit Python's or NumPy's.
        return None


def _loops(x: Host) -> ModuleType | None:
    """Return the loops, where they may answer about numbers of the dtype of `x`."""
    return _kernels() if _wanted.get() and x.dtype in INTEGERS else None


def bounded_rows(x: Host, limit: float) -> tuple[Host, Host] | None:
    """Answer :meth:`assigncore.backend.ArrayBackend.bounded_rows`."""
    loops = _loops(x)
    if loops is None:
        return None
    lead = x.shape[:-1]
    rows, finite = _contiguous(x).reshape(prod(lead), x.shape[-1]), np.empty(prod(lead), np.bool_)
    if not loops.rows_within(rows, limit, finite):
        x = np.where(finite[:, None], rows, 0).reshape(x.shape)
    return x, finite.reshape(lead)


def overlaps_of_boxes(b1: Host, b2: Host, measure: Measure, threads: Callable[[], int]) -> Host | None:
    """Answer :meth:`assigncore.backend.ArrayBackend.overlaps_of_boxes`, and `pairwise`."""
    loops = _loops(b1)
    if loops is None or b2.dtype != b1.dtype:
        return None
    # Loops run along the second boxes: along few of them they are slow.
    is_short = b2.shape[-2] < min(b1.shape[-2], loops.BLOCK)
    if across := is_short and isinstance(measure, BoxOverlap):
        b1, b2, measure = b2, b1, measure.turned
    known = _formula(loops, measure, b1.dtype)
    if known is None:
        return None
    formula, knob = known
    b1, b2 = _rows(measure, b1), _rows(measure, b2)
    lead = _common_lead(b1, b2)
    count, own = prod(lead), prod(b2.shape[:-2])
    boxes = _of_each(b1, lead)
    others = b2.reshape(1, *b2.shape[-2:]) if own == 1 else _of_each(b2, lead)
    sides = boxes.shape[1], others.shape[1]
    overlaps = np.empty((count, *(sides[::-1] if across else sides)), b1.dtype)
    if own == count and sides == (1, 1):
        boxes, others = (_contiguous(x[None]) for x in (boxes, others))
        loops.row_by_row(formula, boxes, others, knob, overlaps[:, 0, 0])
    elif overlaps.size:
        boxes, others = _contiguous(boxes), _contiguous(others[:, :, None])

        def fill(start: int, end: int) -> None:
            own = slice(start, end)
            loops.pairwise(formula, boxes[own], _own(others, own), knob, across, overlaps[own])

        share_images(fill, count, overlaps.size, threads)
    return overlaps.reshape(*lead, *overlaps.shape[1:])


def l1_distance(a: Host, b: Host) -> Host | None:
    """Answer :meth:`assigncore.backend.ArrayBackend.l1_distance`."""
    loops = _loops(a)
    if loops is None or b.dtype != a.dtype:
        return None
    lead = _common_lead(a, b)
    distances = np.empty((prod(lead), a.shape[-2], b.shape[-2]), a.dtype)
    if distances.size:
        rows = (_contiguous(x[None] if x.ndim == 2 else _of_each(x, lead)) for x in (a, b))
        loops.pairwise_l1(*rows, distances)
    return distances.reshape(*lead, *distances.shape[1:])


def best_of_priors(pairs: PairwiseOverlaps, threads: Callable[[], int]) -> Host | None:
    """Answer :meth:`assigncore.backend.ArrayBackend.best_of_priors`."""
    found = best_overlaps(pairs, threads, of_gts=False)
    return None if found is None else found.of_prior


def best_overlaps(
    pairs: PairwiseOverlaps, threads: Callable[[], int], *, of_gts: bool = True
) -> BestOverlaps | None:
    """Answer :meth:`assigncore.backend.ArrayBackend.best_overlaps`; without `of_gts`, of priors alone."""
    known = _loops_of_overlaps(pairs)
    if known is None:
        return None
    loops, formula, knob = known
    by_distance = isinstance(pairs.measure, GaussianSimilarity)
    if by_distance and pairs.alternatives is not None:
        return None
    skips = pairs.zero_when_disjoint
    # Alternatives of a prior are given beside each other.
    priors = pairs.priors[:, :, None] if pairs.alternatives is None else np.moveaxis(pairs.priors, 1, 2)
    priors, gts = (_contiguous(_rows(pairs.measure, x)) for x in (priors, pairs.gt_bboxes))
    eligible, gt_valid = _contiguous(pairs.eligible), _contiguous(pairs.gt_valid)
    if pairs.alternatives is None:
        alternatives = np.zeros((0, 0, 0), np.bool_)
    else:
        alternatives = _contiguous(pairs.alternatives)
    masked = not (eligible.all() and alternatives.all())
    (images, n_gts), n_priors = gts.shape[:2], priors.shape[1]
    block = loops.BLOCK
    while images * n_gts * -(-n_priors // block) > BLOCKS_REMEMBERED and block < n_priors:
        block *= 2
    integers = np.empty(0, INTEGERS[priors.dtype])
    of_prior = np.empty((images, n_priors), priors.dtype)
    gt_inds = np.empty((images, n_priors if of_gts else 0), np.int64)
    of_gt, prior_of_gt = np.empty((images, n_gts), priors.dtype), np.empty((images, n_gts), np.int64)
    of_block = np.empty((images, -(-n_priors // block), n_gts), priors.dtype)
    n_pairs = images * n_gts * n_priors * priors.shape[2]

    def asked(own: slice) -> tuple[Any, ...]:
        flags = _own(eligible, own), _own(alternatives, own), masked
        return formula, skips, _own(priors, own), *flags, gts[own]

    def find(start: int, end: int) -> None:
        own = slice(start, end)
        found = (x[own] for x in (of_prior, gt_inds, of_gt, prior_of_gt, of_block))
        further = gt_valid[own], integers, knob, of_gts, block, *found
        if by_distance:
            of_priors = _own(priors, own), _own(eligible, own), masked
            loops.most_similar_both_ways(formula, *of_priors, gts[own], *further)
        else:
            loops.best_both_ways(*asked(own), *further)

    share_images(find, images, n_pairs, threads)

    def last_at_best(gt_eligible: Host) -> Host:
        last, taking = np.empty((images, n_priors), np.int64), _contiguous(gt_eligible)

        def find_last(start: int, end: int) -> None:
            own = slice(start, end)
            loops.attaining(*asked(own), taking[own], knob, block, of_gt[own], of_block[own], last[own])

        share_images(find_last, images, n_pairs, threads)
        return last

    return BestOverlaps(of_prior, gt_inds, of_gt, prior_of_gt, pairs.eligible, last_at_best)


def k_most_overlapping(pairs: PairwiseOverlaps, k: int, threads: Callable[[], int]) -> Candidates | None:
    """Answer :meth:`assigncore.backend.ArrayBackend.k_most_overlapping`."""
    known = _loops_of_overlaps(pairs)
    if known is None or pairs.alternatives is not None or not 0 < k <= MOST_INSERTED:
        return None
    loops, formula, knob = known
    boxes = pairs.priors[:, :, None], pairs.gt_bboxes
    priors, gts = (_contiguous(_rows(pairs.measure, x)) for x in boxes)
    eligible, gt_valid = _contiguous(pairs.eligible), _contiguous(pairs.gt_valid)
    masked, integers = not eligible.all(), np.empty(0, INTEGERS[priors.dtype])
    (images, n_gts), n_priors = gts.shape[:2], priors.shape[1]
    values, places = np.empty((images, n_gts, k), priors.dtype), np.empty((images, n_gts, k), np.int64)

    def find(start: int, end: int) -> None:
        own = slice(start, end)
        asked = _own(priors, own), _own(eligible, own), masked, gts[own], gt_valid[own], integers, knob
        if isinstance(pairs.measure, GaussianSimilarity):
            loops.k_most_similar(formula, *asked, values[own], places[own])
        else:
            loops.k_most_overlapping(formula, pairs.zero_when_disjoint, *asked, values[own], places[own])

    share_images(find, images, images * n_gts * n_priors, threads)
    return Candidates(places, values)


def k_nearest(
    distances: Distances, k: int, levels: Sequence[slice], threads: Callable[[], int]
) -> Candidates | None:
    """Answer :meth:`assigncore.backend.ArrayBackend.k_nearest`."""
    if min(k, max((level.stop - level.start for level in levels), default=0)) > MOST_INSERTED:
        return None
    if isinstance(distances, PointDistances):
        return _k_nearest_points(distances, k, levels, threads)
    return _k_nearest_shapes(distances, k, threads) if len(levels) == 1 else None


def _k_nearest_shapes(distances: ShapeDistances, k: int, threads: Callable[[], int]) -> Candidates | None:
    loops = _loops(distances.shapes)
    if loops is None:
        return None
    images, n_gts, n_priors = distances.shape
    places = np.empty((images, n_gts, min(k, n_priors)), np.int64)
    values = np.empty(places.shape, distances.shapes.dtype)
    shapes, targets = _planes(distances.shapes), _contiguous(distances.targets)

    def find(start: int, end: int) -> None:
        own = slice(start, end)
        loops.k_nearest_by_l1(_own(shapes, own), targets[own], values[own], places[own])

    share_images(find, images, images * n_gts * n_priors, threads)
    return Candidates(places, values)


def _k_nearest_points(
    distances: PointDistances, k: int, levels: Sequence[slice], threads: Callable[[], int]
) -> Candidates | None:
    loops = _loops(distances.points)
    if loops is None:
        return None
    images, n_gts, n_priors = distances.shape
    places = np.empty((images, n_gts, sum(min(k, level.stop - level.start) for level in levels)), np.int64)
    values = np.empty(places.shape, distances.points.dtype)
    nothing = np.zeros((0, 0), np.int64)
    groups, gt_groups = (nothing, nothing) if distances.groups is None else map(_contiguous, distances.groups)
    resort, scale = distances.last_resort, distances.scale
    resort = NONE_AT_ALL if resort is None or not resort.any() else _contiguous(resort)
    scale = np.zeros((0, 0, 0), values.dtype) if scale is None else _contiguous(scale)
    points, eligible = _planes(distances.points), _contiguous(distances.eligible)
    masked = not eligible.all()
    integers = np.empty(0, INTEGERS[points.dtype])
    centers, ends = _contiguous(distances.centers), np.asarray([level.stop for level in levels], np.int64)

    def find(start: int, end: int) -> None:
        own = slice(start, end)
        of_points = _own(points, own), _own(eligible, own), masked, _own(resort, own), _own(groups, own)
        of_gts = centers[own], scale[own], gt_groups[own]
        loops.k_nearest_points(*of_points, *of_gts, integers, LAST_RESORT, ends, k, values[own], places[own])

    share_images(find, images, images * n_gts * n_priors, threads)
    return Candidates(places, values)


def list_pairs(relation: Relation, most: int) -> tuple[Host, Host] | None:
    """Answer :meth:`assigncore.backend.ArrayBackend.listed`: the ground truths and the priors of the pairs.

    Where they are more than `most`, some of them, which are more too.
    """
    loops = _loops(relation.like)
    if loops is None:
        return None
    margin = 0.0
    if type(relation) is Inside:
        kind = loops.INSIDE_OR_ON if relation.closed else loops.INSIDE
        if relation.margin is not None:
            kind, margin = loops.INSIDE_BY_MARGIN, relation.margin
        priors, gts = _planes(relation.points[..., :2]), relation.boxes
        if gts.shape[-1] == ORIENTED:
            kind, gts = kind + loops.TURNED, _turned(gts)
    elif isinstance(relation, Near):
        kind, gts = loops.NEAR, relation.centers
        priors = np.concatenate([_planes(relation.points), _planes(relation.reach)], axis=1)
    elif isinstance(relation, Touching):
        kind, priors, gts = loops.TOUCHING, _planes(relation.priors), relation.boxes
    else:
        return None
    eligible, gt_valid = _contiguous(relation.eligible), _contiguous(relation.gt_valid)
    room = min(most, prod(relation.shape)) + loops.POINTS
    rows, places = np.empty(room, np.int64), np.empty(room, np.int64)
    integers = np.empty(0, INTEGERS[priors.dtype])
    asked = kind, priors, eligible, not eligible.all(), _contiguous(gts), gt_valid, integers, margin
    count = loops.list_pairs(*asked, most, rows, places)
    # Only what was found is kept: the room beyond was never touched.
    return rows[:count].copy(), places[:count].copy()


def _turned(boxes: Host) -> Host:
    """Return centres, half the sides, cosines and sines of oriented boxes (..., 5), (..., 6)."""
    x, y, w, h, angle = columns(boxes)
    return np.stack([x, y, w * 0.5, h * 0.5, cos(angle), sin(angle)], axis=-1)


def k_smallest(x: Host, k: int) -> tuple[Host, Host] | None:
    """Answer :meth:`assigncore.backend.ArrayBackend.k_smallest`."""
    rows, length = prod(x.shape[:-1]), x.shape[-1]
    found = _k_smallest(x, np.arange(1, rows + 1) * length, min(k, length))
    if found is None:
        return None
    smallest, places = found
    return smallest.reshape(*x.shape[:-1], -1), places.reshape(*x.shape[:-1], -1)


def k_smallest_of_lists(values: Host, counts: Host, k: int) -> tuple[Host, Host] | None:
    """Answer :meth:`assigncore.backend.ArrayBackend.k_smallest_of_lists`."""
    ends = np.cumsum(counts)
    found = _k_smallest(values, ends, k)
    if found is None:
        return None
    smallest, places = found
    return smallest, np.where(np.arange(k) < counts[:, None], places + (ends - counts)[:, None], 0)


def _k_smallest(x: Host, ends: Host, k: int) -> tuple[Host, Host] | None:
    loops = _loops(x)
    if loops is None or not 0 < k <= MOST_INSERTED:
        return None
    smallest, places = np.empty((len(ends), k), x.dtype), np.empty((len(ends), k), np.int64)
    values = _contiguous(x).reshape(-1)
    return (smallest, places) if loops.k_smallest_of_rows(values, ends, smallest, places) else None


def _common_lead(a: Host, b: Host) -> tuple[int, ...]:
    """Return the leading dimensions that rows (..., R, D) broadcast to."""
    lead = a.shape[:-2]
    return lead if lead == b.shape[:-2] else np.broadcast_shapes(lead, b.shape[:-2])


def _of_each(x: Host, lead: tuple[int, ...]) -> Host:
    """Give rows (..., R, D) of each of the leading dimensions that they broadcast to, as (L, R, D)."""
    if x.shape[:-2] != lead:
        x = np.broadcast_to(x, (*lead, *x.shape[-2:]))
    return x.reshape(prod(lead), *x.shape[-2:])


def _own(x: Host, images: slice) -> Host:
    """Cut `x` (B or 1, ...) to some images."""
    return x if x.shape[0] == 1 else x[images]


def _loops_of_overlaps(pairs: PairwiseOverlaps) -> tuple[ModuleType, int, float] | None:
    """Return the loops, and what they know the overlap of pairs by; None where they do not."""
    loops = _loops(pairs.priors)
    if loops is None or type(pairs) is not PairwiseOverlaps or pairs.gt_bboxes.dtype != pairs.priors.dtype:
        return None
    known = _formula(loops, pairs.measure, pairs.priors.dtype)
    return None if known is None else (loops, *known)


def _rows(measure: Any, boxes: Host) -> Host:
    """Return what the loops read of boxes (..., D): themselves, or what pairs of oriented ones read."""
    if isinstance(measure, RotatedOverlap):
        return np.stack(planes_of(boxes, measure.min_side), axis=-1)
    return boxes


def _formula(loops: ModuleType, measure: Any, dtype: Any) -> tuple[int, float] | None:
    """Return the number and the knob by which the loops know a measure; None where they do not."""
    if isinstance(measure, RotatedOverlap):
        of_prior = loops.ROTATED_IOF_OF_PRIOR if measure.of_prior else loops.ROTATED_IOF_OF_GT
        return (loops.ROTATED_IOU if measure.mode == "iou" else of_prior), EPS
    if isinstance(measure, BoxOverlap):
        number = {"iou": loops.IOU, "giou": loops.GIOU}.get(measure.mode)
        if measure.mode == "iof":
            number = loops.IOF_OF_PRIOR if measure.of_prior else loops.IOF_OF_GT
        elif measure.of_prior:
            return None
        return None if number is None else (number, EPS)
    # Elementary functions of float64 are those of a library, of which there is more than one.
    if not isinstance(measure, NormalizedWasserstein | ReceptiveField) or dtype != np.float32:
        return None
    if isinstance(measure, NormalizedWasserstein):
        number, knob = loops.NORMALIZED_WASSERSTEIN, measure.constant
    else:
        number, knob = loops.RECEPTIVE_FIELD, measure.decay
    return (number, knob) if 1 / MODERATE <= knob <= MODERATE else None


class _Memory:
    """The memory of an array, said to be writable."""

    def __init__(self, x: Host) -> None:
        self.__array_interface__ = {**x.__array_interface__, "data": (x.ctypes.data, False)}
        self.owner = x


def _contiguous(x: Host) -> Host:
    """Return `x` in the layout that loops are compiled for.

    For arrays that are read-only they would be compiled once more, and for each argument that may be: hence
    such an array is called writable, which none of them makes use of.
    """
    contiguous = np.ascontiguousarray(x)
    return contiguous if contiguous.flags.writeable else np.asarray(_Memory(contiguous))


def _planes(x: Host) -> Host:
    """Return `x` (B, N, D) with each column of an image contiguous: (B, D, N)."""
    return _contiguous(x.swapaxes(1, 2))

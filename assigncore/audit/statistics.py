"""What the assignments say about the data: pure functions from arrays to frozen results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from assigncore.audit.frames import Frame
from assigncore.audit.matched import MatchedOverlaps, summarize_matched
from assigncore.audit.run import Assigned
from assigncore.datasets import Annotation
from assigncore.inspect.object_sizes import SIZE_CLASSES, size_index

OVERLAP_EDGES = tuple(i / 20 for i in range(21))


@dataclass(frozen=True)
class ObjectTable:
    """One row for each object, in the data set's order.

    Attributes
    ----------
    annotations : tuple of Annotation
    frames : tuple of Frame
        Of the object's image.
    positives : array of int, shape (M, L)
        Positive priors of each object on each level.
    best_overlaps : array, shape (M,), or None
        Best IoU with any prior or prediction. None: there are no boxes to compare.
    matched_overlaps : array, shape (M,), or None
        Mean IoU with the predictions of the positives, NaN without any. None: there are no predictions.
    """

    annotations: tuple[Annotation, ...]
    frames: tuple[Frame, ...]
    positives: Any
    best_overlaps: Any
    matched_overlaps: Any = None

    @property
    def totals(self) -> Any:
        """Positive priors of each object, shape (M,)."""
        return self.positives.sum(axis=1)

    @property
    def size_index(self) -> Any:
        """COCO size class of each object as an index into ``SIZE_CLASSES``, shape (M,)."""
        return size_index(np.asarray([a.area for a in self.annotations], dtype=np.float64))


@dataclass(frozen=True)
class PriorCounts:
    """What became of the priors of all images; the four numbers sum to all priors."""

    positive: int
    negative: int
    ignored: int
    excluded: int

    @property
    def total(self) -> int:
        """All priors."""
        return self.positive + self.negative + self.ignored + self.excluded


@dataclass(frozen=True)
class SizeRow:
    """Objects of one size class, and their positives. Mean, median and share are None without objects."""

    name: str
    objects: int
    mean_positives: float | None
    median_positives: float | None
    without: int
    share_without: float | None


@dataclass(frozen=True)
class LevelRow:
    """One feature level: its priors, its positives by size class of their objects, the objects it serves."""

    name: str
    priors: int
    positives: int
    share_of_positives: float | None
    positives_by_size: tuple[int, ...]
    objects: int


@dataclass(frozen=True)
class OverlapHistogram:
    """Objects by their best overlap with any prior; ``counts[s][b]`` has ``edges[b] <= IoU < edges[b + 1]``.

    The last bin holds 1 too.
    """

    edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]
    mean: float
    median: float


@dataclass(frozen=True)
class Statistics:
    """Everything the table and the pictures show for one assigner."""

    sizes: tuple[SizeRow, ...]
    levels: tuple[LevelRow, ...]
    priors: PriorCounts
    overlaps: OverlapHistogram | None
    matched: MatchedOverlaps | None = None


@dataclass(frozen=True)
class Findings:
    """Rows of all objects and totals of all priors, from which the statistics are computed."""

    objects: ObjectTable
    priors: PriorCounts
    priors_by_level: tuple[int, ...]


def count_positives(gt_inds: Any, level: Any, num_gts: int, num_levels: int) -> Any:
    """Count each ground truth's positives on each level.

    Parameters
    ----------
    gt_inds : array of int, shape (N,)
        -1 ignored, 0 background, i + 1 assigned to ground truth i.
    level : array of int, shape (N,)
    num_gts, num_levels : int

    Returns
    -------
    array of int, shape (num_gts, num_levels)

    Examples
    --------
    >>> count_positives(np.asarray([1, 0, 2, 2]), np.asarray([0, 0, 0, 1]), 2, 2).tolist()
    [[1, 0], [1, 1]]
    """
    positive = gt_inds > 0
    cells = (gt_inds[positive] - 1) * num_levels + level[positive]
    return np.bincount(cells, minlength=num_gts * num_levels).reshape(num_gts, num_levels)


def collect(stream: Iterable[Assigned], order: Mapping[Any, int], num_levels: int) -> Findings:
    """Count while the assignments go by, so that none has to be kept.

    Parameters
    ----------
    stream : iterable of Assigned
        One for each image, in any order.
    order : mapping of image id to position
        The data set's order, in which the rows come out.
    num_levels : int
    """
    rows: dict[int, tuple[Assigned, Any]] = {}
    totals = np.zeros(4, dtype=np.int64)
    by_level = np.zeros(num_levels, dtype=np.int64)
    for one in stream:
        positives = count_positives(one.gt_inds, one.level, len(one.objects), num_levels)
        positive, background = int(positives.sum()), int(np.sum(one.gt_inds == 0))
        rest = len(one.gt_inds) - positive - background - one.num_excluded
        totals += (positive, background, rest, one.num_excluded)
        by_level += np.bincount(one.level, minlength=num_levels)
        slim = replace(one, gt_inds=None, num_excluded=0, priors=None, level=None)
        rows[order[one.frame.image.id]] = (slim, positives)
    found = [rows[key] for key in sorted(rows)]
    overlaps = [one.best_overlaps for one, _ in found if one.best_overlaps is not None]
    matched = [one.matched_overlaps for one, _ in found if one.matched_overlaps is not None]
    objects = ObjectTable(
        tuple(a for one, _ in found for a in one.objects),
        tuple(one.frame for one, _ in found for _ in one.objects),
        np.concatenate([positives for _, positives in found]),
        np.concatenate(overlaps) if len(overlaps) == len(found) else None,
        np.concatenate(matched) if len(matched) == len(found) else None,
    )
    return Findings(objects, PriorCounts(*map(int, totals)), tuple(map(int, by_level)))


def summarize(findings: Findings, level_names: tuple[str, ...]) -> Statistics:
    """Compute all statistics."""
    objects = findings.objects
    totals, sizes = objects.totals, objects.size_index
    rows = [size_row(name, totals[sizes == i]) for i, name in enumerate(SIZE_CLASSES)]
    return Statistics(
        (*rows, size_row("all", totals)),
        level_rows(objects.positives, sizes, findings.priors_by_level, level_names),
        findings.priors,
        None if objects.best_overlaps is None else overlap_histogram(objects.best_overlaps, sizes),
        None if objects.matched_overlaps is None else summarize_matched(objects.matched_overlaps),
    )


def size_row(name: str, totals: Any) -> SizeRow:
    """Summarize the positives of some objects.

    Examples
    --------
    >>> row = size_row("small", np.asarray([0, 1, 5]))
    >>> row.objects, row.mean_positives, row.median_positives, row.without
    (3, 2.0, 1.0, 1)
    """
    if not len(totals):
        return SizeRow(name, 0, None, None, 0, None)
    without = int(np.sum(totals == 0))
    return SizeRow(
        name,
        len(totals),
        float(np.mean(totals)),
        float(np.median(totals)),
        without,
        without / len(totals),
    )


def level_rows(
    positives: Any, sizes: Any, priors_by_level: tuple[int, ...], names: tuple[str, ...]
) -> tuple[LevelRow, ...]:
    """Summarize the levels; see `ObjectTable` for the arrays."""
    total = int(positives.sum())
    return tuple(
        LevelRow(
            name,
            priors_by_level[i],
            int(column.sum()),
            int(column.sum()) / total if total else None,
            tuple(int(column[sizes == s].sum()) for s in range(len(SIZE_CLASSES))),
            int(np.sum(column > 0)),
        )
        for i, (name, column) in enumerate(zip(names, positives.T, strict=True))
    )


def overlap_histogram(best_overlaps: Any, sizes: Any) -> OverlapHistogram:
    """Count objects by best overlap, in bins of 0.05, by size class."""
    edges = np.asarray(OVERLAP_EDGES, dtype=best_overlaps.dtype)
    last = len(edges) - 2
    bins = np.clip(np.searchsorted(edges, best_overlaps, side="right") - 1, 0, last)
    counts = [np.bincount(bins[sizes == s], minlength=last + 1) for s in range(len(SIZE_CLASSES))]
    return OverlapHistogram(
        OVERLAP_EDGES,
        tuple(tuple(map(int, row)) for row in counts),
        float(np.mean(best_overlaps)),
        float(np.median(best_overlaps)),
    )

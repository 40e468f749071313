"""What the assignments say about the data: pure functions from arrays to frozen results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from assigncore.audit.assigning import Assigned
from assigncore.audit.matched import MatchedOverlaps, summarize_matched
from assigncore.audit.reasons import ReasonKind
from assigncore.inspect.object_sizes import SIZE_CLASSES, size_index

OVERLAP_EDGES = tuple(i / 20 for i in range(21))


@dataclass(frozen=True)
class ObjectRows:
    """One row for each object, in the data set's order, crowd regions not counted: M rows, L levels.

    Attributes
    ----------
    image : array of int32, shape (M,)
        Index of the object's image in the data set.
    index : array of int32, shape (M,)
        Which of its image's objects it is, from 0.
    size : array of uint8, shape (M,)
        COCO size class by area, an index into ``SIZE_CLASSES``.
    label : array of int32, shape (M,)
        Class label.
    positives : array of int32, shape (M, L)
        Positive priors of each object on each level.
    best_overlaps : array of float, shape (M,), or None
        Best IoU with any prior or prediction. None: there are no boxes to compare.
    matched_overlaps : array of float64, shape (M,), or None
        Mean IoU with the predictions of the positives, NaN without any. None: there are no predictions.
    reason : array of int16, shape (M,)
        Why it has no positives, an index into ``Findings.reasons``; -1 where it has some.
    reason_value, reason_limit : arrays of float32, shape (M,)
        What was compared for it, and with what; NaN where nothing was.
    rival : array of int32, shape (M,)
        Which of its image's objects has its best prior instead, -1 where none.
    """

    image: Any
    index: Any
    size: Any
    label: Any
    positives: Any
    best_overlaps: Any = None
    matched_overlaps: Any = None
    reason: Any = None
    reason_value: Any = None
    reason_limit: Any = None
    rival: Any = None

    def __len__(self) -> int:
        """Count the objects."""
        return len(self.image)

    @cached_property
    def totals(self) -> Any:
        """Positive priors of each object, shape (M,)."""
        return self.positives.sum(axis=1, dtype=np.int64)

    @property
    def level(self) -> Any:
        """Level with most of the object's positives, the finest of equals, shape (M,); -1 without any."""
        return np.where(self.totals > 0, self.positives.argmax(axis=1), -1)

    @classmethod
    def merged(cls, parts: Sequence[ObjectRows]) -> ObjectRows:
        """Put the rows of consecutive images below one another; a column that a part lacks is left out."""
        columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(cls)}
        return cls(
            **{
                name: None if any(x is None for x in column) else np.concatenate(column)
                for name, column in columns.items()
            }
        )


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

    def __add__(self, other: PriorCounts) -> PriorCounts:
        """Count those of other images too."""
        return PriorCounts(
            self.positive + other.positive,
            self.negative + other.negative,
            self.ignored + other.ignored,
            self.excluded + other.excluded,
        )


@dataclass(frozen=True)
class SizeRow:
    """Objects of one size class or category, and their positives; None where there are no objects."""

    name: str
    objects: int
    mean_positives: float | None
    median_positives: float | None
    without: int
    share_without: float | None


@dataclass(frozen=True)
class ReasonRow:
    """Objects that have no positives for one reason, all and by size class."""

    name: str
    objects: int
    objects_by_size: tuple[int, ...]


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
    reasons: tuple[ReasonRow, ...] = ()


@dataclass(frozen=True)
class Findings:
    """What an assigner did to some images: rows of all objects, and totals of all priors.

    Attributes
    ----------
    objects : ObjectRows
    priors : PriorCounts
    priors_by_level : tuple of int
    reasons : tuple of ReasonKind
        Why objects have no positives, sorted.
    """

    objects: ObjectRows
    priors: PriorCounts
    priors_by_level: tuple[int, ...]
    reasons: tuple[ReasonKind, ...] = ()

    @classmethod
    def merged(cls, parts: Sequence[Findings]) -> Findings:
        """Bring together what was found of consecutive images, in their order."""
        kinds = tuple(sorted({kind for part in parts for kind in part.reasons}))
        return cls(
            ObjectRows.merged([part._numbered_by(kinds) for part in parts]),
            sum((part.priors for part in parts), PriorCounts(0, 0, 0, 0)),
            tuple(map(sum, zip(*(part.priors_by_level for part in parts), strict=True))),
            kinds,
        )

    def _numbered_by(self, kinds: Sequence[ReasonKind]) -> ObjectRows:
        """Give the objects with their reasons numbered by another list, which holds all of them."""
        if self.objects.reason is None or tuple(kinds) == self.reasons:
            return self.objects
        number = np.asarray([*map(kinds.index, self.reasons), -1], dtype=np.int16)
        return replace(self.objects, reason=number[self.objects.reason])


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
    positive = np.flatnonzero(gt_inds > 0)
    cells = (gt_inds[positive] - 1) * num_levels + level[positive]
    return np.bincount(cells, minlength=num_gts * num_levels).reshape(num_gts, num_levels)


def collect(stream: Iterable[Assigned], order: Mapping[Any, int], num_levels: int) -> Findings:
    """Count while the assignments go by, so that none has to be kept.

    Parameters
    ----------
    stream : iterable of Assigned
        One for each image, in any order.
    order : mapping of image id to index
        The images' indices in the data set, in whose order the rows come out.
    num_levels : int
    """
    rows: dict[int, ObjectRows] = {}
    totals = PriorCounts(0, 0, 0, 0)
    by_level = np.zeros(num_levels, dtype=np.int64)
    kinds: dict[ReasonKind, int] = {}
    for one in stream:
        positives = count_positives(one.gt_inds, one.level, len(one.objects), num_levels)
        positive, background = int(positives.sum()), int(np.count_nonzero(one.gt_inds == 0))
        rest = len(one.gt_inds) - positive - background - one.num_excluded
        totals += PriorCounts(positive, background, rest, one.num_excluded)
        by_level += one.priors_by_level
        image = order[one.frame.image.id]
        reasons = [one.reasons.get(i) for i in range(len(one.objects))]
        number = [-1 if x is None else kinds.setdefault(x.kind, len(kinds)) for x in reasons]
        rows[image] = ObjectRows(
            np.full(len(one.objects), image, dtype=np.int32),
            np.arange(len(one.objects), dtype=np.int32),
            size_index(one.objects.areas).astype(np.uint8),
            one.labels.astype(np.int32),
            positives.astype(np.int32),
            one.best_overlaps,
            one.matched_overlaps,
            np.asarray(number, dtype=np.int16),
            np.asarray([np.nan if x is None else x.value for x in reasons], dtype=np.float32),
            np.asarray([np.nan if x is None else x.limit for x in reasons], dtype=np.float32),
            np.asarray([-1 if x is None else x.rival for x in reasons], dtype=np.int32),
        )
    merged = ObjectRows.merged([rows[image] for image in sorted(rows)])
    return Findings.merged([Findings(merged, totals, tuple(map(int, by_level)), tuple(kinds))])


def worst_images(runs: Sequence[ObjectRows], num_images: int) -> tuple[Any, Any, Any]:
    """Order images by their objects without positives over all runs, then by their objects, most first.

    Returns
    -------
    order : array of int, shape (I,)
        Indices of the images, the first ones first of equals.
    without, objects : array of int, shape (I,)
        Objects without positives and all objects of each image.
    """
    without, objects = np.zeros((2, num_images), dtype=np.int64)
    for rows in runs:
        without += np.bincount(rows.image[rows.totals == 0], minlength=num_images)
        objects += np.bincount(rows.image, minlength=num_images)
    return np.lexsort((-objects, -without)), without, objects


def summarize(findings: Findings, level_names: tuple[str, ...]) -> Statistics:
    """Compute all statistics."""
    objects = findings.objects
    totals, sizes = objects.totals, objects.size
    rows = [size_row(name, totals[sizes == i]) for i, name in enumerate(SIZE_CLASSES)]
    return Statistics(
        (*rows, size_row("all", totals)),
        level_rows(objects.positives, sizes, findings.priors_by_level, level_names),
        findings.priors,
        None if objects.best_overlaps is None else overlap_histogram(objects.best_overlaps, sizes),
        None if objects.matched_overlaps is None else summarize_matched(objects.matched_overlaps),
        reason_rows(findings),
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


def category_rows(objects: ObjectRows, names: Sequence[str]) -> tuple[SizeRow, ...]:
    """Summarize the objects of each category that has any, by the names of the class labels."""
    order = np.argsort(objects.label, kind="stable")
    labels, starts = np.unique(objects.label[order], return_index=True)
    totals = np.split(objects.totals[order], starts[1:])
    return tuple(size_row(names[label], own) for label, own in zip(labels.tolist(), totals, strict=False))


def reason_rows(findings: Findings) -> tuple[ReasonRow, ...]:
    """Count the objects without positives by reason, the most frequent first."""
    objects = findings.objects
    by_size = np.zeros((len(findings.reasons), len(SIZE_CLASSES)), dtype=np.int64)
    known = objects.reason >= 0
    np.add.at(by_size, (objects.reason[known], objects.size[known]), 1)
    order = np.argsort(-by_size.sum(axis=1), kind="stable").tolist()
    return tuple(
        ReasonRow(str(findings.reasons[i]), int(by_size[i].sum()), tuple(by_size[i].tolist())) for i in order
    )


def level_rows(
    positives: Any, sizes: Any, priors_by_level: tuple[int, ...], names: tuple[str, ...]
) -> tuple[LevelRow, ...]:
    """Summarize the levels; see `ObjectRows` for the arrays."""
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

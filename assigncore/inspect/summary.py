"""What a result amounts to, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from assigncore.backend import Array, get_backend
from assigncore.checks import check_levels, check_names, host_array, spread
from assigncore.inspect.display import Table, html_page, plural, text_table

if TYPE_CHECKING:
    from assigncore.result import AssignResult

__all__ = ["ClassSummary", "LevelSummary", "ResultSummary", "of_gts", "per_level", "summarize"]

HostArray = np.ndarray[Any, Any]


@dataclass(frozen=True)
class LevelSummary:
    """What became of the priors of one feature level.

    Attributes
    ----------
    level : int
        Counted from 0.
    priors, positives, background, ignored : int
        Priors of the level over all images, and what became of them.
    matched_gts : int
        Ground truths that have a positive on the level.
    """

    level: int
    priors: int
    positives: int
    background: int
    ignored: int
    matched_gts: int


@dataclass(frozen=True)
class ClassSummary:
    """What the ground truths of one class got.

    Attributes
    ----------
    label : int
        The class.
    name : str or None
        What it is called, where that was given.
    positives : int
        Priors assigned to its ground truths.
    matched_gts : int
        Its ground truths that have a positive.
    num_gts : int or None
        All its ground truths; None where their labels were not given.
    """

    label: int
    name: str | None
    positives: int
    matched_gts: int
    num_gts: int | None


@dataclass(frozen=True, repr=False)
class ResultSummary:
    """The numbers of a result, as plain ints and floats.

    Attributes
    ----------
    num_images : int
        Images of the batch; 1 for a result of one image.
    num_priors : int
        Priors over all images.
    num_gts : int
        Ground truths over all images, padding left out where `gt_valid` was given.
    positives, background, ignored : int
        What became of the priors.
    without_positives : int
        Ground truths that no prior is assigned to.
    min_positives, median_positives, mean_positives, max_positives : float or None
        Positives of a ground truth; None where there is none.
    levels : tuple of LevelSummary or None
        Given where `num_level_priors` was.
    classes : tuple of ClassSummary or None
        By ascending label, given where the result has labels or `gt_labels` were given.
    """

    num_images: int
    num_priors: int
    num_gts: int
    positives: int
    background: int
    ignored: int
    without_positives: int
    min_positives: int | None
    median_positives: float | None
    mean_positives: float | None
    max_positives: int | None
    levels: tuple[LevelSummary, ...] | None = None
    classes: tuple[ClassSummary, ...] | None = None

    def _title(self) -> str:
        images = "" if self.num_images == 1 else f"{plural(self.num_images, 'image')}, "
        return f"{images}{plural(self.num_priors, 'prior')}, {plural(self.num_gts, 'ground truth')}"

    def _counts(self) -> Table:
        def share(count: int) -> str:
            return f"{count / self.num_priors:.2%}" if self.num_priors else ""

        counts = {"positives": self.positives, "background": self.background, "ignored": self.ignored}
        return [("", "priors", "share"), *((name, count, share(count)) for name, count in counts.items())]

    def _gts(self) -> Table:
        head = ("", "min", "median", "mean", "max", "without any")
        spread = (self.min_positives, self.median_positives, self.mean_positives, self.max_positives)
        return [head, ("positives of a ground truth", *spread, self.without_positives)]

    def _levels(self) -> Table:
        head = ("level", "priors", "positives", "background", "ignored", "ground truths")
        rows = self.levels or ()
        return [
            head,
            *((r.level, r.priors, r.positives, r.background, r.ignored, r.matched_gts) for r in rows),
        ]

    def _classes(self) -> Table:
        rows = self.classes or ()
        counted = any(r.num_gts is not None for r in rows)
        head = ("class", "positives", "ground truths with any", *(("of",) if counted else ()))
        return [
            head,
            *(
                (
                    str(r.label) if r.name is None else f"{r.label} {r.name}",
                    r.positives,
                    r.matched_gts,
                    *((r.num_gts,) if counted else ()),
                )
                for r in rows
            ),
        ]

    def _tables(self) -> list[Table]:
        tables = [self._counts(), self._gts()]
        if self.levels is not None:
            tables.append(self._levels())
        if self.classes is not None:
            tables.append(self._classes())
        return tables

    def __repr__(self) -> str:
        """Write the numbers as tables."""
        return "\n".join([self._title(), *map(text_table, self._tables())])

    def _repr_html_(self) -> str:
        return html_page(self._title(), *self._tables())


def summarize(
    result: AssignResult,
    *,
    gt_valid: Array | None = None,
    gt_labels: Array | None = None,
    num_level_priors: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
) -> ResultSummary:
    """Count what a result holds; see :meth:`AssignResult.summary`."""
    host = result.to_numpy()
    lead, num_gts = host.gt_inds.shape[:-1], host.num_gts
    images = prod(lead)
    codes = host.gt_inds.reshape(images, host.num_priors)
    names = None if class_names is None else check_names("class_names", class_names)
    valid = np.ones((*lead, num_gts), dtype=bool)
    if gt_valid is not None:
        valid = of_gts("gt_valid", gt_valid, valid.shape, "bool")
    counts = host.positives_per_gt[valid]
    known = None if gt_labels is None else of_gts("gt_labels", gt_labels, valid.shape, "integral")
    classes = None if host.labels is None and known is None else _classes(host, known, valid, names)
    levels = None
    if num_level_priors is not None:
        levels = tuple(
            LevelSummary(
                level,
                part.size,
                int(np.sum(part > 0)),
                int(np.sum(part == 0)),
                int(np.sum(part < 0)),
                sum(len(np.unique(row[row > 0])) for row in part),
            )
            for level, part in enumerate(per_level(codes, num_level_priors))
        )
    return ResultSummary(
        images,
        codes.size,
        len(counts),
        int(np.sum(codes > 0)),
        int(np.sum(codes == 0)),
        int(np.sum(codes < 0)),
        int(np.sum(counts == 0)),
        int(counts.min()) if len(counts) else None,
        float(np.median(counts)) if len(counts) else None,
        float(counts.mean()) if len(counts) else None,
        int(counts.max()) if len(counts) else None,
        levels,
        classes,
    )


def per_level(x: HostArray, num_level_priors: Sequence[int]) -> list[HostArray]:
    """Cut the last axis of an array into the feature levels.

    Raises
    ------
    TypeError, ValueError
        If the levels are no integers of at least 0 that sum to its length.
    """
    return [x[..., level] for level in check_levels(num_level_priors, x.shape[-1])]


def of_gts(name: str, x: Array, shape: tuple[int, ...], kind: str) -> HostArray:
    """Return what is given for each ground truth, in NumPy and in the shape (..., G) of all images."""
    host = host_array(name, x, kind)
    return np.asarray(spread(name, host, get_backend(host), shape[:-1], shape[-1:], kind))


def _classes(
    host: AssignResult, gt_labels: HostArray | None, valid: HostArray, names: Sequence[str] | None
) -> tuple[ClassSummary, ...]:
    """Count by class, of all ground truths where their labels are given, else of those with positives."""
    positives = host.positives_per_gt
    known = gt_labels
    if known is None:
        known = np.full(valid.shape, -1)
        images = known.reshape(prod(valid.shape[:-1]), host.num_gts)
        codes = host.gt_inds.reshape(len(images), host.num_priors)
        labels = np.asarray(host.labels).reshape(codes.shape)
        image, prior = np.nonzero(codes > 0)
        images[image, codes[image, prior] - 1] = labels[image, prior]
    counted = valid & ((positives > 0) | (gt_labels is not None))
    return tuple(
        ClassSummary(
            int(label),
            names[label] if names is not None and 0 <= label < len(names) else None,
            int(positives[of_class].sum()),
            int(np.sum(positives[of_class] > 0)),
            None if gt_labels is None else int(of_class.sum()),
        )
        for label in np.unique(known[counted])
        for of_class in [counted & (known == label)]
    )

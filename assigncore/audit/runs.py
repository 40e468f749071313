"""One assigner's audit, and its tables."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass, fields
from functools import cached_property
from shlex import quote
from typing import Any

import numpy as np

from assigncore.audit.advice import Advice
from assigncore.audit.config import Plan
from assigncore.audit.frames import ExactSize, ImageScale
from assigncore.audit.reasons import reason_text
from assigncore.audit.statistics import Findings, SizeRow, Statistics, category_rows
from assigncore.audit.what_if import Variations
from assigncore.checks import LARGEST_INDEX
from assigncore.datasets import Annotation, Dataset, Image
from assigncore.inspect.display import plural
from assigncore.inspect.object_sizes import SIZE_CLASSES

__all__ = ["Run", "Table"]

ORIENTED_COLUMNS = ("cx", "cy", "w", "h", "angle")
"""Columns of oriented boxes, as :mod:`assigncore.boxes` has them."""


class Table(dict[str, Any]):
    """Columns of equal length by name, NumPy arrays; `pandas.DataFrame` takes it as it is.

    Examples
    --------
    >>> table = Table(level=np.asarray(["P3", "P4"]), positives=np.asarray([5, 2]))
    >>> table["positives"].sum(), table.num_rows
    (np.int64(7), 2)
    """

    @property
    def num_rows(self) -> int:
        """Count the rows."""
        return len(next(iter(self.values()), ()))

    def to_pandas(self) -> Any:
        """Make a `pandas.DataFrame`.

        Raises
        ------
        ModuleNotFoundError
            If pandas is not installed.
        """
        return importlib.import_module("pandas").DataFrame(dict(self))


@dataclass(frozen=True)
class Run:
    """One assigner's audit of a data set.

    Attributes
    ----------
    plan : Plan
        What assigned, over which priors.
    dataset : Dataset
        The whole data set.
    scale : ImageScale or ExactSize
        How images were brought to training size.
    level_names : tuple of str
    findings : Findings
        Rows of all objects, as arrays.
    statistics : Statistics
    notes : tuple of str
        What a reader must know to read the numbers right.
    advice : Advice or None
        What to change, where that was asked.
    variations : Variations or None
        What becomes of it with other knobs, where that was asked.
    """

    plan: Plan
    dataset: Dataset
    scale: ImageScale | ExactSize
    level_names: tuple[str, ...]
    findings: Findings
    statistics: Statistics
    notes: tuple[str, ...]
    advice: Advice | None = None
    variations: Variations | None = None

    @property
    def name(self) -> str:
        """Name of the preset or the config."""
        return self.plan.name

    def __repr__(self) -> str:
        """Say the most important numbers."""
        whole = self.statistics.sizes[-1]
        return f"Run({self.name}: {plural(whole.objects, 'object')}, {whole.without:,} without positives)"

    def image(self, row: int) -> Image:
        """Give the image of an object, by the object's row in ``findings.objects``."""
        return self.dataset.images[int(self.findings.objects.image[row])]

    def annotation(self, row: int) -> Annotation:
        """Give the annotation of an object, by the object's row in ``findings.objects``."""
        return self.dataset.objects(self.image(row))[int(self.findings.objects.index[row])]

    @cached_property
    def places(self) -> Any:
        """Places of the objects, by their rows in ``findings.objects``, among all of the data set."""
        rows = self.findings.objects
        return self.dataset.object_starts[rows.image] + rows.index

    def objects_table(self) -> Table:
        """Tell of every object what it was given.

        Returns
        -------
        Table
            A row for each object in the data set's order, with columns ``image_id``, ``file_name``,
            ``annotation_id``, ``category``, ``size_class`` (small, medium or large by COCO), ``x1``, ``y1``,
            ``x2``, ``y2`` in original pixels, where the data set has oriented boxes their centre ``cx``,
            ``cy``, sides ``w``, ``h`` and ``angle`` in radians too, ``width`` and ``height`` of the box x1 to
            y2, ``training_width`` and ``training_height``, ``positives``, the ``level`` that most of them are
            of (empty without any), ``best_overlap``, the best IoU with any prior or prediction (NaN where
            there are no boxes to compare), and ``reason``, why it has no positives (empty where it has some).
        """
        rows, images = self.findings.objects, self.dataset.images
        objects = self.dataset.all_objects.take(self.places)
        oriented = () if objects.oriented is None else zip(ORIENTED_COLUMNS, objects.oriented.T, strict=True)
        sides = objects.bboxes[:, 2:] - objects.bboxes[:, :2]
        shapes = np.asarray([self.scale.frame(image).shape for image in images], dtype=np.float64)
        factors = (shapes / [(image.height, image.width) for image in images])[rows.image, ::-1]
        names = np.asarray([*self.level_names, ""], dtype=object)
        no_overlap = np.full(len(rows), np.nan, dtype=np.float32)
        reasons = np.full(len(rows), "", dtype=object)
        for i in np.flatnonzero(rows.reason >= 0).tolist():
            reasons[i] = self.reason(i)
        return Table(
            image_id=_column([image.id for image in images])[rows.image],
            file_name=_column([image.file_name for image in images])[rows.image],
            annotation_id=_column([objects.id_of(i) for i in range(len(objects))]),
            category=_column(list(self.dataset.class_names))[rows.label],
            size_class=np.asarray(SIZE_CLASSES, dtype=object)[rows.size],
            **{name: objects.bboxes[:, i] for i, name in enumerate(("x1", "y1", "x2", "y2"))},
            **dict(oriented),
            width=sides[:, 0],
            height=sides[:, 1],
            training_width=sides[:, 0] * factors[:, 0],
            training_height=sides[:, 1] * factors[:, 1],
            positives=rows.totals,
            level=names[rows.level],
            best_overlap=no_overlap if rows.best_overlaps is None else rows.best_overlaps,
            reason=reasons,
        )

    def reason(self, row: int) -> str:
        """Say why an object has no positives, by its row in ``findings.objects``; of others nothing."""
        rows = self.findings.objects
        number = int(rows.reason[row])
        if number < 0:
            return ""
        rival, name = int(rows.rival[row]), ""
        if rival >= 0:
            objects = self.dataset.all_objects
            name = str(objects.id_of(int(self.dataset.object_starts[rows.image[row]]) + rival))
        compared = float(rows.reason_value[row]), float(rows.reason_limit[row])
        return reason_text(self.findings.reasons[number], *compared, name)

    def advised_options(self, *, named: bool) -> str:
        """Write what is advised as options of the command; `named` says which assigner they are for."""
        prefix = f"{self.plan.settings.name}:" if named else ""
        advised = () if self.advice is None else self.advice.overrides
        return " ".join(f"--set {quote(prefix + override)}" for override in advised)

    @cached_property
    def categories(self) -> tuple[SizeRow, ...]:
        """Objects and their positives by category."""
        return category_rows(self.findings.objects, self.dataset.class_names)

    def categories_table(self) -> Table:
        """Summarize the objects of each category, in the columns of `SizeRow`."""
        return _table(self.categories)

    def sizes_table(self) -> Table:
        """Summarize the objects of each COCO size class, and of all, in the columns of `SizeRow`."""
        return _table(self.statistics.sizes)

    def levels_table(self) -> Table:
        """Summarize each feature level, in the columns of `LevelRow`."""
        return _table(self.statistics.levels)

    def priors_table(self) -> Table:
        """Tell what became of the priors, in one row of the columns of `PriorCounts`."""
        return _table([self.statistics.priors])

    def positives_figure(self) -> Any:
        """Draw histograms of the objects' positives by size class; a Matplotlib figure."""
        return _pictures().positives_figure(self)

    def levels_figure(self) -> Any:
        """Draw the positives of each feature level; a Matplotlib figure."""
        return _pictures().levels_figure(self)

    def overlaps_figure(self) -> Any:
        """Draw a histogram of the objects' best overlaps; a Matplotlib figure.

        Raises
        ------
        ValueError
            If no boxes are compared: ``statistics.overlaps`` is None.
        """
        return _pictures().overlaps_figure(self)


def _pictures() -> Any:
    """Import what draws, which needs Matplotlib, only when it is asked."""
    return importlib.import_module("assigncore.audit.pictures")


def _column(values: list[Any]) -> Any:
    """Make a column of Python's own values: integers where all are, of 64 bits, else objects."""
    if all(type(value) is int and -LARGEST_INDEX <= value <= LARGEST_INDEX for value in values):
        return np.asarray(values, dtype=np.int64)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _table(rows: Any) -> Table:
    """Turn dataclasses of one type into columns."""
    names = [field.name for field in fields(rows[0])]
    return Table({name: _plain_column([getattr(row, name) for row in rows]) for name in names})


def _plain_column(values: list[Any]) -> Any:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    if any(isinstance(v, str | tuple) for v in values):
        return column
    return np.asarray([math.nan if v is None else v for v in values])

"""Charts of the statistics, and the gallery beside them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from assigncore import plot
from assigncore.audit.assigning import Settings
from assigncore.audit.gallery import draw_gallery
from assigncore.audit.inputs import what_is_compared
from assigncore.audit.runs import Run
from assigncore.audit.style import new_figure, remove_drawn, save, slugs
from assigncore.datasets import Dataset
from assigncore.inspect.display import plural
from assigncore.inspect.object_sizes import SIZE_CLASSES
from assigncore.plot import INK, SIZE_COLORS, drawable

SIZE_TEXT = ("small, below 32² px", "medium, 32² to 96² px", "large, from 96² px")

MARGIN = 0.95
"""Inches on the left of a chart, for numbers of objects of any size."""


def draw_all(
    runs: Sequence[Run],
    dataset: Dataset,
    settings: Settings,
    out: Path,
    images: Path | None,
    gallery: int,
) -> list[list[Path]]:
    """Draw everything into one folder for each run, and the comparison of several.

    Of other pictures, which earlier runs drew into these places, none stays.

    Returns
    -------
    list of list of Path
        The pictures of each run, charts first; then the list of those of all of them.
    """
    drawn: list[list[Path]] = []
    folders = [out / name for name in slugs([run.plan.name for run in runs])]
    for run, folder in zip(runs, folders, strict=True):
        charts = {"positives": positives_figure(run), "levels": levels_figure(run)}
        if run.statistics.overlaps is not None:
            charts["best_overlap"] = overlaps_figure(run)
        drawn.append([folder / f"{name}.png" for name in charts])
        for path, figure in zip(drawn[-1], charts.values(), strict=True):
            save(figure, path)
    drawn.append([out / "comparison.png"] if len(runs) > 1 else [])
    for path in drawn[-1]:
        save(comparison_figure(runs), path)
    for own, shown in zip(
        drawn, draw_gallery(runs, dataset, settings, folders, images, gallery), strict=False
    ):
        own += shown
    # Last, so that there are pictures at any time.
    for folder in folders:
        remove_drawn([*folder.glob("*.png"), *folder.glob("gallery/*.png")], except_for=chain(*drawn))
    remove_drawn([out / "comparison.png"], except_for=drawn[-1])
    return drawn


def positives_figure(run: Run) -> Any:
    """Histograms of the positives of each object, a panel for each size class that has objects."""
    objects = run.findings.objects
    totals, sizes = objects.totals, objects.size
    shown = [s for s in range(len(SIZE_CLASSES)) if np.any(sizes == s)]
    figure, axes = new_figure(
        8,
        0.6 + 2.1 * len(shown),
        rows=len(shown),
        margins=(MARGIN, 0.5, 0.15, 0.65),
        space=0.35,
        sharex=True,
    )
    for ax, s in zip(axes[:, 0], shown, strict=True):
        row = run.statistics.sizes[s]
        text = f"{SIZE_TEXT[s]}: {plural(row.objects, 'object')}, median {row.median_positives:g} positives"
        plot.positives_histogram(totals[sizes == s], color=SIZE_COLORS[s], title=text, ax=ax)
        ax.label_outer()
    figure.suptitle(f"{drawable(run.plan.name)}: positives of each object", fontsize=12, color=INK)
    return figure


def levels_figure(run: Run) -> Any:
    """Positives on each feature level, stacked by the size class of their objects."""
    levels = run.statistics.levels
    figure, axes = new_figure(8, 4, margins=(MARGIN, 0.5, 0.15, 0.4))
    shares = [level.share_of_positives for level in levels]
    plot.positives_by_level(
        {text: [level.positives_by_size[s] for level in levels] for s, text in enumerate(SIZE_TEXT)},
        level_names=[f"{level.name}\n{plural(level.priors, 'prior')}" for level in levels],
        notes=[
            f"{level.positives:,}{f' ({share:.0%})' if share else ''}\n{plural(level.objects, 'object')}"
            for level, share in zip(levels, shares, strict=True)
        ],
        title=f"{drawable(run.plan.name)}: positives by feature level",
        ax=axes[0, 0],
    )
    return figure


def overlaps_figure(run: Run) -> Any:
    """Histogram of the objects' best overlaps with any prior or prediction, with the thresholds."""
    histogram = run.statistics.overlaps
    if histogram is None:
        raise ValueError(f"{run.name}: compares no boxes, so there is no best overlap to draw")
    figure, axes = new_figure(8, 4.2, margins=(MARGIN, 1.0, 0.15, 0.4))
    plot.best_overlaps(
        dict(zip(SIZE_TEXT, histogram.counts, strict=True)),
        edges=histogram.edges,
        thresholds=_thresholds(run.plan.assigner),
        compared=what_is_compared(run.plan),
        title=f"{drawable(run.plan.name)}: best overlap, mean {histogram.mean:.2f}, "
        f"median {histogram.median:.2f}",
        ax=axes[0, 0],
    )
    return figure


def comparison_figure(runs: Sequence[Run]) -> Any:
    """Share of objects without positives, and mean positives, by size class, assigners one below another."""
    sizes = runs[0].statistics.sizes
    shown = [i for i, row in enumerate(sizes) if row.objects]
    figure, axes = new_figure(
        3 + 2.4 * len(shown), 1.8 + 0.56 * len(runs), rows=2, columns=len(shown), sharey=True, sharex="row"
    )
    plot.comparison(
        [drawable(run.plan.name) for run in runs],
        groups=[f"{sizes[i].name}: {plural(sizes[i].objects, 'object')}" for i in shown],
        without_positives=[[run.statistics.sizes[i].share_without or 0 for i in shown] for run in runs],
        mean_positives=[[run.statistics.sizes[i].mean_positives or 0 for i in shown] for run in runs],
        axes=axes,
    )
    return figure


def _thresholds(assigner: Any) -> dict[str, float]:
    """Find the assigner's overlap thresholds."""
    values = {knob: getattr(assigner, knob, None) for knob in plot.THRESHOLD_STYLES}
    return {knob: x for knob, x in values.items() if isinstance(x, float) and 0 < x <= 1}

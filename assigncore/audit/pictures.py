"""Charts of the statistics, and the gallery beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from assigncore import plot
from assigncore.audit.gallery import draw_gallery
from assigncore.audit.inputs import what_is_compared
from assigncore.audit.report import Run
from assigncore.audit.run import Settings
from assigncore.audit.style import new_figure, save, slug
from assigncore.datasets import Dataset
from assigncore.inspect.object_sizes import SIZE_CLASSES
from assigncore.plot import FAINT, INK, SIZE_COLORS, UNMATCHED

SIZE_TEXT = ("small, below 32² px", "medium, 32² to 96² px", "large, from 96² px")
THRESHOLDS = {"pos_iou_thr": "-", "neg_iou_thr": "--", "min_pos_iou": ":"}


def draw_all(
    runs: Sequence[Run],
    dataset: Dataset,
    settings: Settings,
    out: Path,
    images: Path | None,
    gallery: int,
) -> int:
    """Draw everything into one folder for each run, and the comparison of several.

    Returns
    -------
    int
        Number of pictures.
    """
    count = 0
    for run in runs:
        folder = out / slug(run.plan.name)
        save(positives_figure(run), folder / "positives.png")
        save(levels_figure(run), folder / "levels.png")
        count += 2
        if run.statistics.overlaps is not None:
            save(overlaps_figure(run), folder / "best_overlap.png")
            count += 1
    if len(runs) > 1:
        save(comparison_figure(runs), out / "comparison.png")
        count += 1
    return count + draw_gallery(runs, dataset, settings, out, images, gallery)


def positives_figure(run: Run) -> Any:
    """Histograms of the positives of each object, a panel for each size class that has objects."""
    objects = run.findings.objects
    totals, sizes = objects.totals, objects.size_index
    shown = [s for s in range(len(SIZE_CLASSES)) if np.any(sizes == s)]
    figure, axes = new_figure(8, 0.7 + 2.1 * len(shown), rows=len(shown), sharex=True)
    for ax, s in zip(axes[:, 0], shown, strict=True):
        row = run.statistics.sizes[s]
        text = f"{SIZE_TEXT[s]}: {row.objects:,} objects, median {row.median_positives:g} positives"
        plot.positives_histogram(totals[sizes == s], color=SIZE_COLORS[s], title=text, ax=ax)
        ax.label_outer()
    figure.suptitle(f"{run.plan.name}: positives of each object", fontsize=12, color=INK)
    return figure


def levels_figure(run: Run) -> Any:
    """Positives on each feature level, stacked by the size class of their objects."""
    levels = run.statistics.levels
    figure, axes = new_figure(8, 4)
    shares = [level.share_of_positives for level in levels]
    plot.positives_by_level(
        {text: [level.positives_by_size[s] for level in levels] for s, text in enumerate(SIZE_TEXT)},
        level_names=[f"{level.name}\n{level.priors:,} priors" for level in levels],
        notes=[
            f"{level.positives:,}{f' ({share:.0%})' if share else ''}\n{level.objects:,} objects"
            for level, share in zip(levels, shares, strict=True)
        ],
        title=f"{run.plan.name}: positives by feature level",
        ax=axes[0, 0],
    )
    return figure


def overlaps_figure(run: Run) -> Any:
    """Histogram of the objects' best overlaps with any prior or prediction, with the thresholds."""
    histogram = run.statistics.overlaps
    assert histogram is not None
    figure, axes = new_figure(8, 4)
    ax = axes[0, 0]
    left = np.asarray(histogram.edges[:-1])
    bottom = np.zeros(len(left))
    for s, counts in enumerate(histogram.counts):
        if any(counts):
            ax.bar(
                left,
                counts,
                bottom=bottom,
                width=0.046,
                align="edge",
                color=SIZE_COLORS[s],
                label=SIZE_TEXT[s],
            )
        bottom = bottom + np.asarray(counts)
    for value, knobs in _thresholds(run.plan.assigner).items():
        label = f"{' = '.join(knobs)} = {value:g}"
        ax.axvline(value, color=INK, linestyle=THRESHOLDS[knobs[0]], linewidth=1.4, label=label)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.08 * float(bottom.max()))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.set_xlabel(f"best IoU of an object with any {what_is_compared(run.plan)}", fontsize=9, color=INK)
    ax.set_ylabel("objects", fontsize=9, color=INK)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    text = f"{run.plan.name}: best overlap, mean {histogram.mean:.2f}, median {histogram.median:.2f}"
    ax.set_title(text, fontsize=12, color=INK)
    return figure


def comparison_figure(runs: Sequence[Run]) -> Any:
    """Share of objects without positives, and mean positives, by size class, assigners one below another."""
    shown = [i for i, row in enumerate(runs[0].statistics.sizes) if row.objects]
    names = [run.plan.name for run in runs]
    figure, axes = new_figure(
        3 + 2.4 * len(shown), 1.8 + 0.56 * len(runs), rows=2, columns=len(shown), sharey=True, sharex="row"
    )
    for column, i in enumerate(shown):
        rows = [run.statistics.sizes[i] for run in runs]
        color = (*SIZE_COLORS, INK)[i]
        above, below = axes[:, column]
        above.set_title(f"{rows[0].name}: {rows[0].objects:,} objects", fontsize=10, color=INK, loc="left")
        without = [100 * (row.share_without or 0) for row in rows]
        _bars(above, names, without, UNMATCHED)
        _bars(below, names, [row.mean_positives or 0 for row in rows], color)
    # Room for the values to the right of the longest bars.
    worst = max(100 * (row.share_without or 0) for run in runs for row in run.statistics.sizes)
    axes[0, 0].set_xlim(0, max(1.25 * worst, 10))
    most = max([1.0, *(row.mean_positives or 0 for run in runs for row in run.statistics.sizes)])
    axes[1, 0].set_xscale("symlog", linthresh=1, linscale=0.6)
    axes[1, 0].set_xlim(0, 6 * most)
    for ax in axes[1]:
        ax.set_xticks([0, *(10**n for n in range(int(np.log10(most)) + 1))])
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.minorticks_off()
    axes[0, 0].set_ylabel("objects without\nany positive, %", fontsize=10, color=UNMATCHED)
    axes[1, 0].set_ylabel("mean positives of an\nobject, logarithmic", fontsize=10, color=INK)
    return figure


def _bars(ax: Any, names: Sequence[str], values: Sequence[float], color: str) -> None:
    """Draw a bar for each assigner, from the top down, with its value."""
    bars = ax.barh(range(len(names)), values, 0.72, color=color)
    ax.bar_label(bars, [f"{v:.1f}" if v < 100 else f"{v:,.0f}" for v in values], fontsize=8, padding=2)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)


def _thresholds(assigner: Any) -> dict[float, list[str]]:
    """Find the assigner's overlap thresholds; knobs of one value share an entry."""
    found: dict[float, list[str]] = {}
    for knob in THRESHOLDS:
        value = getattr(assigner, knob, None)
        if isinstance(value, float) and 0 < value <= 1:
            found.setdefault(value, []).append(knob)
    return found

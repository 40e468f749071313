"""Colours and type of all pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure

# Told apart with any colour vision, and from UNMATCHED, which nothing else may use.
SIZE_COLORS = ("#3b76c4", "#1d9a86", "#e2a12f")
LEVEL_COLORS = ("#0072b2", "#009e73", "#e69f00", "#d55e00", "#56b4e9", "#6b5b95", "#8a7f5c", "#555555")
UNMATCHED = "#e6007e"
INK = "#22252a"
FAINT = "#8d929a"
CANVAS = "#f4f4f1"
DPI = 130


def new_figure(
    width: float,
    height: float,
    rows: int = 1,
    columns: int = 1,
    layout: Literal["constrained", "compressed"] = "constrained",
    **kwargs: Any,
) -> tuple[Figure, Any]:
    """Make a figure and its axes (always a 2-D array), sizes in inches."""
    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, **kwargs)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(FAINT)
        ax.tick_params(colors=INK, labelsize=9, length=3)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, without the empty margin that axes of a fixed aspect ratio leave."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.15)


def slug(name: str) -> str:
    """Make a name fit for a file.

    Examples
    --------
    >>> slug("my/rpn 2")
    'my_rpn_2'
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("._") or "unnamed"

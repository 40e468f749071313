"""Figures of the audit, and the files they go to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from assigncore.plot import FAINT, INK
from assigncore.whole_files import whole_file

DPI = 130

MAX_SLUG = 100
"""Characters: with a number before it, an ending and a temporary name it stays within what systems allow."""

DRAWN_BY = "assigncore audit"
"""What the pictures say of themselves, so that no other file is taken for one of them."""


def new_figure(
    width: float,
    height: float,
    rows: int = 1,
    columns: int = 1,
    margins: tuple[float, float, float, float] | None = None,
    space: float = 0.0,
    **kwargs: Any,
) -> tuple[Figure, Any]:
    """Make a figure and its axes (always a 2-D array), sizes in inches.

    Parameters
    ----------
    width, height : float
        Of the page.
    rows, columns : int
        Of axes.
    margins : (float, float, float, float), optional
        What is kept free on the left, below, on the right and above. Not given: whatever is needed, at the
        price of a search that takes longer than to draw.
    space : float
        Kept free between rows, beside `margins`.
    **kwargs
        Of `Figure.subplots`.
    """
    figure = Figure(
        figsize=(width, height), layout="constrained" if margins is None else None, facecolor="white"
    )
    if margins is not None:
        left, below, right, above = margins
        figure.subplots_adjust(
            left / width,
            below / height,
            1 - right / width,
            1 - above / height,
            hspace=space / ((height - below - above - (rows - 1) * space) / rows),
        )
    axes = figure.subplots(rows, columns, squeeze=False, **kwargs)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(FAINT)
        ax.tick_params(colors=INK, labelsize=9, length=3)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, "wb") as file:
        figure.savefig(file, dpi=DPI, metadata={"Software": DRAWN_BY})


def is_drawn(path: Path) -> bool:
    """Tell whether a file is a picture that an audit drew."""
    try:
        with path.open("rb") as file:
            return b"tEXtSoftware\x00" + DRAWN_BY.encode() in file.read(200)
    except OSError:
        return False


def remove_drawn(paths: Iterable[Path], except_for: Iterable[Path]) -> None:
    """Remove those files that an audit drew, but for some."""
    kept = set(except_for)
    for path in paths:
        if path not in kept and is_drawn(path):
            path.unlink(missing_ok=True)


def slug(name: str) -> str:
    """Make a name fit for a file.

    Examples
    --------
    >>> slug("my/rpn 2")
    'my_rpn_2'
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("._")[:MAX_SLUG] or "unnamed"


def slugs(names: Sequence[str]) -> list[str]:
    """Make names fit for files, each another, also where upper and lower case are the same.

    Examples
    --------
    >>> slugs(["rpn", "R/P", "r p", "木"])
    ['rpn', 'R_P', 'r_p_2', 'unnamed']
    """
    found: dict[str, str] = {}
    for name in map(slug, names):
        other, number = name, 2
        while other.lower() in found:
            other, number = f"{name}_{number}", number + 1
        found[other.lower()] = other
    return list(found.values())

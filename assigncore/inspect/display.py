"""How results show themselves: lines of text, tables in HTML, and what may be read without waiting."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from assigncore.backend import Array, ArrayBackend

__all__ = ["Table", "describe_array", "html_page", "is_readable", "plural", "shown", "text_table"]

Table = Sequence[Sequence[Any]]
"""Rows of cells, the heading first."""

DLPACK_CPU = 1
"""The number of a host's memory in the DLPack standard."""

MAX_NAME = 80
"""Characters of a name where it is shown; the data holds the whole."""

# The page's own colours, so that a table is legible on light and on dark.
TABLE_STYLE = "border-collapse: collapse; color: inherit; background: none; margin: 0.3em 0"
CELL_STYLE = "padding: 0.15em 0.7em; border-bottom: 1px solid rgba(128, 128, 128, 0.45); background: none"


def is_readable(backend: ArrayBackend, x: Array) -> bool:
    """Tell whether the values of an array can be shown without waiting for a device or a compiler.

    Parameters
    ----------
    backend : ArrayBackend
        Of the array.
    x : array
        Any.
    """
    if backend.is_traced(x):
        return False
    if type(backend).reads_host is not ArrayBackend.reads_host:
        return backend.reads_host(x)
    # This backend never says when the host can read, so the array is asked where it is.
    try:
        return int(x.__dlpack_device__()[0]) == DLPACK_CPU
    except Exception:  # Whatever a library raises: what cannot be told is not read.
        return False


def describe_array(x: Any) -> str:
    """Give the shape and dtype of an array, or the type of anything else."""
    if x is None:
        return "none"
    if not (hasattr(x, "shape") and hasattr(x, "dtype")):
        return type(x).__name__
    shape = tuple(x.shape)
    return f"{shape} {str(x.dtype).rpartition('.')[2]}"


def plural(count: int, noun: str, many: str | None = None) -> str:
    """Say how many there are; `many` is the noun's plural where that takes more than an s.

    Examples
    --------
    >>> plural(1, "prior"), plural(2000, "prior"), plural(2, "box", "boxes")
    ('1 prior', '2,000 priors', '2 boxes')
    """
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def shown(text: str, limit: int = MAX_NAME) -> str:
    r"""Write text of somebody else's on one line, so that no terminal acts upon it.

    Control characters, those that turn the direction of writing and halves of surrogate pairs become escapes;
    what is too long is cut in the middle, since file names differ at their ends.

    Parameters
    ----------
    text : str
    limit : int
        Characters at most.

    Examples
    --------
    >>> print(shown("a\tb\x1b[31m"), shown("x" * 50, 9))
    a b\x1b[31m xxxx…xxxx
    """
    words = " ".join(text.split())
    if not words.isprintable():
        words = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)
    if len(words) <= limit:
        return words
    kept = limit - 1
    return f"{words[: kept - kept // 2]}…{words[len(words) - kept // 2 :]}"


def cell_text(value: Any) -> str:
    """Write a value as a table shows it; nothing for None.

    Examples
    --------
    >>> [cell_text(value) for value in (None, 1234, 2.0, 0.125, "x")]
    ['', '1,234', '2', '0.125', 'x']
    """
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def text_table(table: Table, indent: str = "  ") -> str:
    """Write a table in columns: numbers to the right, but for the first column, which names the rows.

    Examples
    --------
    >>> print(text_table([("level", "priors"), ("P3", 6400), ("P4", 1600)], indent=""))
    level  priors
    P3      6,400
    P4      1,600
    """
    cells = [[cell_text(value) for value in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numeric = _numeric_columns(table)
    lines = []
    for row in cells:
        columns = zip(row, widths, numeric, strict=True)
        padded = [text.rjust(width) if right else text.ljust(width) for text, width, right in columns]
        lines.append((indent + "  ".join(padded)).rstrip())
    return "\n".join(lines)


def html_page(title: str, *tables: Table) -> str:
    """Write a heading and tables as HTML for notebooks, everything escaped."""
    parts = [f"<div><strong>{escape(title)}</strong>"]
    for table in tables:
        (head, *body), numeric = table, _numeric_columns(table)
        parts.append(f'<table style="{TABLE_STYLE}">')
        if any(head):
            parts.append(f"<thead>{_html_row(head, 'th', numeric)}</thead>")
        parts.append("<tbody>" + "".join(_html_row(row, "td", numeric) for row in body) + "</tbody></table>")
    return "".join(parts) + "</div>"


def _numeric_columns(table: Table) -> list[bool]:
    """Tell which columns hold numbers or shares; the first names the rows."""
    _, *rest = zip(*table, strict=True)
    return [
        False,
        *(any(isinstance(x, int | float) or str(x).endswith("%") for x in column) for column in rest),
    ]


def _html_row(cells: Sequence[Any], tag: str, numeric: Sequence[bool]) -> str:
    written = [
        f'<{tag} style="{CELL_STYLE}; text-align: {"right" if right else "left"}">'
        f"{escape(cell_text(value))}</{tag}>"
        for value, right in zip(cells, numeric, strict=True)
    ]
    return f"<tr>{''.join(written)}</tr>"

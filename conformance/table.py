"""The agreement table, as text for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from assigncore.conformance.compare import Agreement
from assigncore.conformance.runner import NOT_COVERED, Cell, Report

__all__ = ["print_report"]

_NOTES = {
    Agreement.NEAR_TIE: "near tie",
    Agreement.EQUIVALENT: "equal cost",
    Agreement.DIFFERENT: "different",
    Agreement.ERROR: "error",
}

_UNLIMITED = 10_000


def _cell_text(cell: Cell) -> Text:
    if cell.not_run:
        return Text("–" if cell.not_run == NOT_COVERED else "not run", style="dim")
    return Text(f"{cell.passed}/{len(cell.results)}", style="bold red" if cell.failures else "green")


def _remarks(cell: Cell) -> Iterator[Text]:
    """Name the cases of a cell that a reader should know of, those with the same message together."""
    groups: dict[tuple[Agreement, str], list[str]] = {}
    for result in cell.results:
        if result.agreement in _NOTES:
            groups.setdefault((result.agreement, result.message), []).append(result.case)
    for (agreement, message), names in groups.items():
        where = f"{cell.target} {cell.mode.value} {cell.variant}/{names[0]}"
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        style = "" if agreement.agrees else "red"
        yield Text(f"{_NOTES[agreement]}: {where}{others}: {message.splitlines()[0]}", style=style)


def print_report(report: Report, case_counts: Mapping[str, int], console: Console) -> None:
    """Print the agreement table, then what was not run, and every case that disagrees or that a tie decides.

    Parameters
    ----------
    report : Report
        What was found.
    case_counts : mapping of str to int
        Number of cases by variant.
    console : rich.console.Console
        Where to print. It is made as wide as the table needs.
    """
    columns = list(dict.fromkeys((cell.target, cell.mode) for cell in report.cells))
    cells = {(cell.variant, cell.target, cell.mode): cell for cell in report.cells}
    table = Table(
        title="Golden cases that agree",
        caption=f"– {NOT_COVERED}",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("assigner", no_wrap=True)
    table.add_column("cases", justify="right", no_wrap=True)
    for target, mode in columns:
        # Broken where a reader would break it, so that five backends fit a narrow terminal.
        name = re.sub("(?<=_)|(?=:)", "\n", target)
        table.add_column(f"{name}\n{mode.value}", justify="right", no_wrap=True)
    for variant, count in case_counts.items():
        row = [_cell_text(cells[variant, target, mode]) for target, mode in columns]
        table.add_row(variant, str(count), *row)
    # A table wider than the terminal is better broken by the terminal than robbed of its numbers.
    unlimited = console.options.update(max_width=_UNLIMITED)
    console.width = max(console.width, Measurement.get(console, unlimited, table).maximum)
    console.print(table)
    for reason in dict.fromkeys(
        f"{cell.target} {cell.mode.value}: not run: {cell.not_run}"
        for cell in report.cells
        if cell.not_run not in ("", NOT_COVERED)
    ):
        console.print(reason, style="dim", highlight=False, markup=False)
    for cell in report.cells:
        for remark in _remarks(cell):
            console.print(remark, soft_wrap=True)

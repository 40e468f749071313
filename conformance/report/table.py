"""The agreement tables, as text for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from assigncore.conformance.goldens.runner import NOT_COVERED
from assigncore.conformance.report.report import Report
from assigncore.conformance.report.results import Agreement, Cell, Part

__all__ = ["print_report"]

_NOTES = {
    Agreement.NEAR_TIE: "near tie",
    Agreement.EQUIVALENT: "equal cost",
    Agreement.DIFFERENT: "different",
    Agreement.ERROR: "error",
    Agreement.HANG: "hang",
}

_TITLES = {
    Part.GOLDENS: "Golden cases that agree",
    Part.GENERATED: "Generated cases that agree, all dtypes",
    Part.LAWS: "Laws obeyed",
    Part.PROMISES: "Declarations that hold",
    Part.GUARANTEES: "Guarantees kept on a CUDA device",
}

_UNLIMITED = 10_000


def _cells_text(cells: Iterable[Cell]) -> Text:
    """Sum up the cells of one place in a table; those of several dtypes share it."""
    run = [cell for cell in cells if not cell.not_run]
    if not run:
        covered = any(cell.not_run != NOT_COVERED for cell in cells)
        return Text("not run" if covered else "–", style="dim")
    near = sum(cell.count(Agreement.NEAR_TIE) for cell in run)
    passed = sum(cell.passed - cell.count(Agreement.NOT_RUN) for cell in run)
    compared = sum(len(cell.results) - cell.count(Agreement.NOT_RUN) for cell in run)
    failed = any(cell.failures for cell in run)
    note = f" ~{near}" if near else ""
    return Text(f"{passed}/{compared}{note}", style="bold red" if failed else "green")


def _idle(cell: Cell) -> bool:
    return bool(cell.not_run) and cell.not_run != NOT_COVERED


def _remarks(cell: Cell) -> Iterator[Text]:
    """Name the cases of a cell that a reader should know of, those with the same message together."""
    groups: dict[tuple[Agreement, str], list[str]] = {}
    for result in cell.results:
        if result.agreement in _NOTES:
            groups.setdefault((result.agreement, result.message), []).append(result.case)
    for (agreement, message), names in groups.items():
        dtype = f" {cell.dtype}" if cell.dtype else ""
        where = f"{cell.target} {cell.mode.value}{dtype} {cell.variant}/{names[0]}"
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        style = "" if agreement.agrees else "red"
        yield Text(f"{_NOTES[agreement]}: {where}{others}: {message.splitlines()[0]}", style=style)


def _print_part(part: Part, cells: list[Cell], case_counts: Mapping[str, int], console: Console) -> None:
    # What was run nowhere is told below the tables; a table of nothing else shows what it would hold.
    columns = list(dict.fromkeys((cell.target, cell.mode) for cell in cells if not _idle(cell)))
    columns = columns or list(dict.fromkeys((cell.target, cell.mode) for cell in cells))
    places: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        places.setdefault((cell.variant, cell.target, cell.mode), []).append(cell)
    goldens = part is Part.GOLDENS
    told = [f"– {NOT_COVERED}"] if any(cell.not_run == NOT_COVERED for cell in cells) else []
    told += ["~ near ties among them"] if any(cell.count(Agreement.NEAR_TIE) for cell in cells) else []
    table = Table(
        title=_TITLES[part],
        caption="; ".join(told) or None,
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("assigner", no_wrap=True)
    if goldens:
        table.add_column("cases", justify="right", no_wrap=True)
    for target, mode in columns:
        # Broken where a reader would break it, so that five backends fit a narrow terminal.
        name = re.sub("(?<=_)|(?=:)", "\n", target)
        table.add_column(f"{name}\n{mode.value}", justify="right", no_wrap=True)
    for variant in case_counts if goldens else dict.fromkeys(cell.variant for cell in cells):
        row = [_cells_text(places.get((variant, target, mode), [])) for target, mode in columns]
        table.add_row(variant, *([str(case_counts[variant])] if goldens else []), *row)
    # A table wider than the terminal is better broken by the terminal than robbed of its numbers.
    unlimited = console.options.update(max_width=_UNLIMITED)
    console.width = max(console.width, Measurement.get(console, unlimited, table).maximum)
    console.print(table)


def _reasons(cells: Iterable[Cell]) -> dict[tuple[str, str], dict[str, None]]:
    """Give the modes that were not run by target and reason."""
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    for cell in cells:
        if _idle(cell):
            reasons.setdefault((cell.target, cell.not_run), {})[cell.mode.value] = None
    return reasons


def print_report(report: Report, case_counts: Mapping[str, int], console: Console) -> None:
    """Print a table for each part, what was not run, and every case that disagrees or that a tie decides.

    Parameters
    ----------
    report : Report
        What was found.
    case_counts : mapping of str to int
        Number of golden cases by variant.
    console : rich.console.Console
        Where to print. It is made as wide as the table needs.
    """
    for part in Part:
        cells = [cell for cell in report.cells if cell.part is part]
        if cells:
            _print_part(part, cells, case_counts, console)
    for (target, reason), modes in _reasons(report.cells).items():
        line = f"{target} {', '.join(modes)}: not run: {reason}"
        console.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)
    for cell in report.cells:
        for remark in _remarks(cell):
            console.print(remark, soft_wrap=True)

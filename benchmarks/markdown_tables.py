"""The results of a run as Markdown, for the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from report import CaseReport, MemoryReport, RowReport, describe, milliseconds, peak_size

__all__ = ["MARK", "as_markdown", "write_below_mark"]

MARK = "<!-- Written by benchmarks/run.py --markdown: -->"
"""The line of a document below which the results stand."""


def write_below_mark(path: Path, results: str) -> None:
    """Write results to a document: in place of what follows its line `MARK`, else of everything."""
    text = path.read_text() if path.exists() else ""
    head, mark, _ = text.partition(MARK)
    path.write_text(f"{head}{mark}\n\n{results}" if mark else results)


def as_markdown(where: dict[str, Any], rows: Sequence[RowReport], baseline: str) -> str:
    """Write the environment and the tables of each row: a line a size, a column a subject."""
    parts = ["\n".join(f"- {line}" for line in describe(where))]
    for row in rows:
        parts.append(f"### {row.title}")
        parts.append(_times(row.cases, baseline))
        if row.memory is not None:
            parts.append("Peak memory of a call, beside its inputs:")
            parts.append(_memory(row.memory))
    return "\n\n".join(parts) + "\n"


def _times(cases: Sequence[CaseReport], baseline: str) -> str:
    subjects = list(cases[0].timings)
    lines = [_line("images", "priors", "boxes", *subjects), _rule(3 + len(subjects))]
    for report in cases:
        cells = []
        for name in subjects:
            timing = report.timings[name]
            cell = f"{milliseconds(timing.median)} ({milliseconds(timing.fastest)})"
            cells.append(cell if name == baseline else f"{cell} **{timing.speed_up:.1f}x**")
        case = report.case
        lines.append(_line(str(case.images), f"{report.priors:,}", f"{case.boxes:,}", *cells))
    return "\n".join(lines)


def _memory(report: MemoryReport) -> str:
    case, peaks = report.case, report.peaks
    return "\n".join(
        [
            _line("images", "priors", "boxes", *peaks),
            _rule(3 + len(peaks)),
            _line(str(case.images), f"{report.priors:,}", f"{case.boxes:,}", *map(peak_size, peaks.values())),
        ]
    )


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return "|" + "---:|" * columns

"""The results of a run: where it ran, as a table and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cases import SEED, Case
from peak_memory import Peak
from rich.console import Console
from rich.table import Table
from timing import Timing

from assigncore.backend.memory import current_memory_budget

__all__ = [
    "CaseReport",
    "MemoryReport",
    "RowReport",
    "as_json",
    "describe",
    "environment",
    "megabytes",
    "milliseconds",
    "peak_size",
    "print_report",
]

PACKAGES = ("assigncore", "numpy", "scipy", "torch", "jax", "array-api-compat")


@dataclass(frozen=True)
class CaseReport:
    """The times of one size, by subject; the baseline's among them."""

    case: Case
    priors: int
    timings: dict[str, Timing]


@dataclass(frozen=True)
class MemoryReport:
    """The peak memory of one size, by subject; the baseline's among them."""

    case: Case
    priors: int
    peaks: dict[str, Peak]


@dataclass(frozen=True)
class RowReport:
    """All of a row."""

    name: str
    title: str
    cases: list[CaseReport]
    memory: MemoryReport | None


def environment() -> dict[str, Any]:
    """Describe the machine and the libraries."""
    return {
        "device": f"CPU {_processor()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "memory_budget": current_memory_budget(),
        "seed": SEED,
    }


def as_json(where: dict[str, Any], rows: Sequence[RowReport]) -> dict[str, Any]:
    """Return everything in plain types; times in seconds, memory in bytes."""
    return {"environment": where, "rows": [asdict(row) for row in rows]}


def describe(where: dict[str, Any]) -> list[str]:
    """Describe the environment in a few lines."""
    return [
        f"{where['device']}, {where['cores']} cores (load {where['load']:.1f} at the start), "
        f"{where['system']}, Python {where['python']}",
        ", ".join(f"{name} {number}" for name, number in where["versions"].items()),
        f"float32; memory budget {megabytes(where['memory_budget'])}; seed {where['seed']}",
    ]


def print_report(where: dict[str, Any], rows: Sequence[RowReport], baseline: str, console: Console) -> None:
    """Print the environment and the tables of each row."""
    console.print(*describe(where), sep="\n", highlight=False)
    for row in rows:
        console.print(_time_table(row, baseline))
        if row.memory is not None:
            console.print(_memory_table(row.memory))


def _time_table(row: RowReport, baseline: str) -> Table:
    table = _table(row.title, ("images", "priors", "boxes"))
    table.add_column(no_wrap=True)
    for name in ("median ms", "fastest ms", f"x {baseline}"):
        table.add_column(name, justify="right")
    for report in row.cases:
        table.add_section()
        size = _size(report.case, report.priors)
        for name, timing in report.timings.items():
            speed_up = "" if name == baseline else f"[bold]{timing.speed_up:.1f}[/bold]"
            times = milliseconds(timing.median), milliseconds(timing.fastest)
            table.add_row(*size, name, *times, speed_up)
            size = ("", "", "")
    return table


def _memory_table(report: MemoryReport) -> Table:
    table = _table("Peak memory of a call, beside its inputs", ("images", "priors", "boxes"))
    table.add_column("")
    table.add_column("peak", justify="right")
    size = _size(report.case, report.priors)
    for name, peak in report.peaks.items():
        table.add_row(*size, name, peak_size(peak))
        size = ("", "", "")
    return table


def _table(title: str, first: Sequence[str]) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", title_style="bold")
    for name in first:
        table.add_column(name, justify="right")
    return table


def _size(case: Case, priors: int) -> tuple[str, str, str]:
    return str(case.images), f"{priors:,}", f"{case.boxes:,}"


def milliseconds(seconds: float) -> str:
    """Write a time in milliseconds, with one decimal where it is short."""
    return f"{seconds * 1e3:,.{1 if seconds < 0.1 else 0}f}"


def peak_size(peak: Peak) -> str:
    """Write a peak, or what it went beyond."""
    if peak.extra_bytes is None:
        return f"over {megabytes(peak.limit_bytes)}"
    return megabytes(peak.extra_bytes)


def megabytes(n_bytes: int) -> str:
    """Write a size in megabytes of 2**20 bytes."""
    return f"{n_bytes / 2**20:,.0f} MB"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    named = (
        [line for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return named[0].partition(":")[2].strip() if named else platform.processor() or platform.machine()

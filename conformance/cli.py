"""The command line of the suite."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from assigncore.conformance.capabilities import DTYPES
from assigncore.conformance.goldens.cases import (
    GoldenCase,
    load_folder,
    load_packed,
    variants,
    variants_of_folder,
)
from assigncore.conformance.laws import LAWS
from assigncore.conformance.laws.cuda_guarantees import GUARANTEES
from assigncore.conformance.laws.promises import PROMISES
from assigncore.conformance.report.page import write_page
from assigncore.conformance.report.report import Report
from assigncore.conformance.report.results import Part
from assigncore.conformance.report.table import print_report
from assigncore.conformance.suite import Plan, SharingError, run_plan
from assigncore.conformance.targets.deadline import LIMIT
from assigncore.conformance.targets.foreign import foreign_points
from assigncore.conformance.targets.libraries import TARGETS, Mode, Target, get_target
from assigncore.registry import ASSIGNERS
from assigncore.terminal import HeldOutput, OutputError
from assigncore.whole_files import write_whole

__all__ = ["command", "run"]

Function = TypeVar("Function", bound=Callable[..., Any])

INTERRUPTED = 130
"""Exit status of a run that was stopped."""

COMPILED = 1
"""Golden cases of a variant that are compiled by default, so that two cores take ten minutes at most."""

LONG = 60.0
"""Seconds from which a run is announced, and shared among processes."""

FIRST_LINE = 2.0
LINE_EVERY = 10.0
"""Seconds until the first line of progress, and between two of them."""


def _targets(names: tuple[str, ...]) -> tuple[Target, ...]:
    """Find the named targets, each once, or all of the suite's own."""
    if names and "" not in sys.path:
        # As `python -m` does: a backend of one's own lies where one works.
        sys.path.insert(0, "")
    try:
        named = tuple(dict.fromkeys(get_target(name) for name in names))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    called = [target.name for target in named]
    if twice := sorted({name for name in called if called.count(name) > 1}):
        raise click.UsageError(f"two backends make a target called {', '.join(twice)}")
    return named or tuple(target for target in TARGETS.values() if target.has_values)


def _goldens(names: tuple[str, ...], folder: Path | None) -> dict[str, tuple[GoldenCase, ...]]:
    """Load the golden cases of the named assigners, or of all there are."""
    try:
        if folder is None:
            return {name: load_packed(name) for name in variants() if name in names or not names}
        present = variants_of_folder(folder)
        if not present:
            raise click.UsageError(f"no golden cases in {folder}")
        return {name: load_folder(folder, name) for name in names or present}
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def _check_names(names: tuple[str, ...], folder: Path | None) -> None:
    known = {*variants(), *ASSIGNERS.names()}
    for name in names:
        if name not in known and folder is None:
            by_lower = {one.lower(): one for one in known}
            near = get_close_matches(name.lower(), by_lower, n=1)
            hint = f"; did you mean {by_lower[near[0]]!r}?" if near else ""
            raise click.UsageError(f"no assigner {name!r}; known are {', '.join(sorted(known))}{hint}")


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let a request to end be what the keyboard's interruption is: the run stops, and writes what it has."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Lines:
    """Progress as a line on stderr now and then, where there is no terminal for a bar."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self.start = time.monotonic()
        self._next = FIRST_LINE

    def on_cell(self, description: str, count: int) -> Callable[[], object]:
        """Tell of a cell that begins, and return what to call after each of its cases."""

        def after_case() -> None:
            self.done += 1
            elapsed = time.monotonic() - self.start
            if elapsed >= self._next:
                self._next = elapsed + LINE_EVERY
                clock = f"{int(elapsed) // 60}:{int(elapsed) % 60:02d}"
                click.echo(f"{clock} {self.done:,} of {self.total:,} cases: {description}", err=True)

        return after_case


def _run(plan: Plan, processes: int) -> Report:
    """Run a plan behind a progress bar, or with lines of progress where there is no terminal."""
    total = sum(job.cases for job in plan.jobs())
    if not Console(stderr=True).is_terminal:
        return run_plan(plan, on_cell=_Lines(total).on_cell, processes=processes)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    console = Console(stderr=True)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(*columns, console=console, transient=True))
        task = progress.add_task("", total=total)
        started = 0

        def on_cell(description: str, count: int) -> Callable[[], object]:
            nonlocal started
            progress.update(task, description=description, completed=started)
            started += count
            return lambda: progress.advance(task)

        return run_plan(plan, on_cell=on_cell, processes=processes)


def _announce(plan: Plan, processes: int) -> None:
    """Say how long a long run will take, and what a compiler is spared."""
    seconds = plan.seconds(processes)
    if seconds < LONG:
        return
    total = sum(job.cases for job in plan.jobs())
    spared = "" if plan.compiled is None else (
        f"; compiled are the scenes of one pyramid in {plan.dtypes[0]}, and by JAX, which compiles "
        f"everything, {plan.compiled} golden case of each variant; all the rest with --full, for hours"
    )  # fmt: skip
    minutes = max(1, round(seconds / 60))
    shared = "one process" if processes == 1 else f"{processes} processes"
    click.echo(f"{total:,} cases, about {minutes} min in {shared}{spared}", err=True)


def _able(name: str) -> str:
    """Give a backend's name, with why it cannot run where it cannot."""
    try:
        why = get_target(name).unavailable()
    except ValueError as error:
        why = str(error)
    return f"{name} ({why})" if why else name


def _list() -> None:
    foreign = foreign_points()
    for title, names in (
        ("backends", map(_able, TARGETS)),
        ("installed backends", map(_able, foreign) if foreign else ("none",)),
        ("parts", [part.value for part in Part]),
        ("assigners", ASSIGNERS.names()),
        ("goldens", variants()),
        ("laws", LAWS),
        ("promises", PROMISES),
        ("guarantees", GUARANTEES),
        ("modes", [mode.value for mode in Mode]),
        ("dtypes", DTYPES),
    ):
        click.echo(f"{title}: {', '.join(names)}")


def _choice(option: str, name: str, values: Iterable[str], text: str) -> Callable[[Function], Function]:
    return click.option(
        option, name, multiple=True, type=click.Choice(list(values)), help=f"{text} Repeatable."
    )


_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--backend",
    "backends",
    multiple=True,
    metavar="NAME",
    help="One of --list, a namespace that follows the array API standard, or MODULE:FACTORY for a backend of "
    "one's own. Repeatable. Default: all of the suite's own; those that cannot run here say why.",
)
@click.option("--assigner", "assigners", multiple=True, metavar="NAME", help="Repeatable. Default: all.")
@_choice("--part", "parts", [part.value for part in Part], "Default: all.")
@_choice("--law", "laws", list(LAWS), "Check these laws, and nothing else unless --part says so.")
@_choice("--mode", "modes", [mode.value for mode in Mode], "Default: all.")
@_choice("--dtype", "dtypes", list(DTYPES), "Of generated cases. Default: all.")
@click.option(
    "--cases",
    type=click.IntRange(0),
    default=120,
    show_default=True,
    metavar="N",
    help="Generated scenes for each cell.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the generated scenes."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=LIMIT,
    show_default=True,
    metavar="SECONDS",
    help="Time limit of a case.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Processes that share the assigners. Default: 2 where it takes more than a minute and there are as "
    "many cores, else 1.",
)
@click.option(
    "--full",
    is_flag=True,
    help="Compile for every case and dtype too, which takes hours.",
)
@click.option(
    "--goldens",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Replay every case of this folder (a folder or an archive for each assigner) in place of the "
    "package's, and nothing else unless --part says so.",
)
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Also write the report here.")
@click.option(
    "--html", "html_file", type=_FILE, metavar="FILE", help="Also write one page with pictures here."
)
@click.option("--list", "list_only", is_flag=True, help="List the names of everything, and end.")
def command(
    backends: tuple[str, ...],
    assigners: tuple[str, ...],
    parts: tuple[str, ...],
    laws: tuple[str, ...],
    modes: tuple[str, ...],
    dtypes: tuple[str, ...],
    cases: int,
    seed: int,
    timeout: float,
    jobs: int | None,
    full: bool,
    goldens: Path | None,
    json_file: Path | None,
    html_file: Path | None,
    list_only: bool,
) -> int:
    r"""Prove that every backend agrees: golden and generated cases, laws, declarations, guarantees.

    \b
    Exit status: 0 nothing disagrees, 1 something does, 2 the call is wrong or nothing could be run,
    130 it was stopped: the report has what was done by then.
    """
    if list_only:
        _list()
        return 0
    for file in (json_file, html_file):
        if file is not None and not file.parent.is_dir():
            raise click.UsageError(f"no folder {file.parent} to write {file.name} to")
    _check_names(assigners, goldens)
    targets = _targets(backends)
    implied = ((Part.LAWS,) if laws else ()) + ((Part.GOLDENS,) if goldens is not None else ())
    chosen = tuple(dict.fromkeys((*implied, *map(Part, parts)))) or tuple(Part)
    golden_cases = _goldens(assigners, goldens) if Part.GOLDENS in chosen else {}
    registered = tuple(name for name in ASSIGNERS.names() if name in assigners or not assigners)
    plan = Plan(
        targets, golden_cases, registered, chosen,
        tuple(Mode(mode) for mode in dict.fromkeys(modes)) or tuple(Mode),
        tuple(dict.fromkeys(dtypes)) or DTYPES,
        tuple(dict.fromkeys(laws)) or tuple(LAWS),
        cases, seed, timeout, None if full else COMPILED,
    )  # fmt: skip
    processes = jobs or (min(2, os.cpu_count() or 1) if plan.seconds() > LONG else 1)
    _announce(plan, processes)
    with _terminated_as_interrupted():
        report = _run(plan, processes)
    if json_file is not None:
        write_whole(json_file, json.dumps(report.to_json(), indent=1) + "\n")
    if html_file is not None:
        write_page(report, html_file, golden_cases)
    tables = HeldOutput()
    print_report(
        report, {variant: len(group) for variant, group in golden_cases.items()}, Console(file=tables)
    )
    tables.write_out()
    if report.stopped:
        click.echo(f"stopped: {report.compared:,} cases were compared", err=True)
        return INTERRUPTED
    if not report.compared:
        reasons = dict.fromkeys(f"{cell.target}: {cell.not_run}" for cell in report.cells if cell.not_run)
        told = "; ".join(reasons) or "these parts have no case for these backends and assigners"
        raise click.UsageError(f"nothing was run ({told})")
    return 0 if report.agrees else 1


def run(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the process by default.

    Returns
    -------
    int
        Exit status. A wrong call is one line on stderr.
    """
    try:
        status = command.main(arguments, prog_name="assigncore conformance", standalone_mode=False)
    except (click.ClickException, OSError, OutputError, SharingError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        print("error:", " ".join(message.split()), file=sys.stderr)
        return 2
    except click.Abort:
        print("error: interrupted", file=sys.stderr)
        return INTERRUPTED
    return int(status or 0)

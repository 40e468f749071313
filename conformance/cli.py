"""The command line of the suite."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from assigncore.conformance.backends import Mode, Target, available_targets, get_target
from assigncore.conformance.goldens import GoldenCase, load_folder, load_packed, variants
from assigncore.conformance.replay import REPLAYS
from assigncore.conformance.runner import Report, run_cell
from assigncore.conformance.table import print_report

__all__ = ["run"]


def _targets(names: tuple[str, ...]) -> tuple[Target, ...]:
    """Find the named targets, each once, or all that can run here."""
    try:
        named = [get_target(name) for name in names]
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return tuple(dict.fromkeys(named)) or available_targets()


def _cases(names: tuple[str, ...], folder: Path | None) -> dict[str, tuple[GoldenCase, ...]]:
    """Load the cases of the named variants, or of all there are."""
    try:
        if folder is None:
            return {name: load_packed(name) for name in names or variants()}
        present = [path.name for path in sorted(folder.iterdir()) if path.is_dir()]
        if not present:
            raise click.UsageError(f"no folders of golden cases in {folder}")
        return {name: load_folder(folder, name) for name in names or present}
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def _run_cells(
    cases: dict[str, tuple[GoldenCase, ...]], targets: Sequence[Target], modes: Sequence[Mode]
) -> Report:
    covered = sum(len(group) for variant, group in cases.items() if variant in REPLAYS)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    console = Console(stderr=True)
    cells = []
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        for target, mode in product(targets, modes):
            task = progress.add_task(f"{target.name} {mode.value}", total=covered)
            advance = partial(progress.advance, task)
            for variant, group in cases.items():
                cells.append(run_cell(variant, group, target, mode, after_case=advance))
            progress.remove_task(task)
    versions = {target.library: target.version for target in targets if not target.unavailable()}
    return Report(tuple(cells), versions)


@click.command()
@click.option(
    "--backend", "backends", multiple=True, metavar="NAME", help="Repeatable. Default: all that can run here."
)
@click.option("--assigner", "assigners", multiple=True, metavar="NAME", help="Repeatable. Default: all.")
@click.option(
    "--mode",
    "modes",
    multiple=True,
    type=click.Choice([mode.value for mode in Mode]),
    default=[Mode.EAGER.value],
    show_default=True,
    help="Repeatable.",
)
@click.option(
    "--goldens",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Replay every case of this folder (one folder an assigner) in place of the packed ones.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the report here.",
)
def command(
    backends: tuple[str, ...],
    assigners: tuple[str, ...],
    modes: tuple[str, ...],
    goldens: Path | None,
    json_file: Path | None,
) -> int:
    r"""Replay the golden cases and print how well the backends agree.

    \b
    Exit status: 0 nothing disagrees, 1 something does, 2 the call is wrong or nothing could be run.
    """
    if json_file is not None and not json_file.parent.is_dir():
        raise click.UsageError(f"no folder {json_file.parent} to write {json_file.name} to")
    targets = _targets(backends)
    cases = _cases(assigners, goldens)
    report = _run_cells(cases, targets, [Mode(mode) for mode in dict.fromkeys(modes)])
    print_report(report, {variant: len(group) for variant, group in cases.items()}, Console())
    if json_file is not None:
        json_file.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
    if not any(cell.results for cell in report.cells):
        reasons = "; ".join(dict.fromkeys(f"{cell.target}: {cell.not_run}" for cell in report.cells))
        raise click.UsageError(f"nothing was run ({reasons})")
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
        status = command.main(arguments, prog_name="python -m assigncore.conformance", standalone_mode=False)
    except (click.ClickException, OSError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        print("error:", " ".join(message.split()), file=sys.stderr)
        return 2
    except click.Abort:
        print("error: interrupted", file=sys.stderr)
        return 130
    return int(status or 0)

"""Time the assigners beside dense PyTorch baselines, and measure their peak memory.

Each subject is first checked to give the baseline's gt_inds; one that does not ends the run with exit code 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from cases import Case, Inputs, Row
from markdown_tables import as_markdown, write_below_mark
from peak_memory import Peak, can_measure, measure_in_a_new_process
from report import CaseReport, MemoryReport, RowReport, as_json, environment, print_report
from rich.console import Console
from rows import ROWS
from subjects import BASELINE, Call, Contender, Subject, subjects_on
from timing import time_in_turns


class DisagreementError(Exception):
    """A subject assigned otherwise than the baseline."""


def time_case(row: Row, case: Case, subjects: Sequence[Subject], seconds: float) -> CaseReport:
    """Check that all agree over one case, then time them in turns."""
    inputs = row.inputs(case)
    everyone: list[Contender] = [BASELINE, *subjects]
    calls = {who.name: who.prepare(row, inputs) for who in everyone}
    _check_agreement(row, case, calls)
    timings = time_in_turns({name: call.run for name, call in calls.items()}, BASELINE.name, seconds=seconds)
    return CaseReport(case, _num_priors(inputs), timings)


def measure_memory(row: Row, subjects: Sequence[Subject], *, quick: bool) -> MemoryReport:
    """Measure the peak memory of everyone over the row's memory case, and check that all agree."""
    everyone: list[Contender] = [BASELINE, *subjects]
    peaks = {who.name: measure_in_a_new_process(who.name, row.name, quick=quick) for who in everyone}
    _check_digests(row, peaks)
    return MemoryReport(row.memory_case(), _num_priors(row.inputs(row.memory_case())), peaks)


def _check_agreement(row: Row, case: Case, calls: dict[str, Call]) -> None:
    found = {name: call.gt_inds(call.run()) for name, call in calls.items()}
    expected = found.pop(BASELINE.name)
    for name, gt_inds in found.items():
        if gt_inds.shape != expected.shape or not np.array_equal(gt_inds, expected):
            differ = int(np.sum(gt_inds != expected)) if gt_inds.shape == expected.shape else "all"
            raise DisagreementError(
                f"{row.name}, {case.boxes} boxes, {case.images} images: {name} and {BASELINE.name} "
                f"differ in gt_inds of {differ} of {expected.size} priors"
            )


def _check_digests(row: Row, peaks: dict[str, Peak]) -> None:
    digests = {name: peak.digest for name, peak in peaks.items() if peak.extra_bytes is not None}
    if len(set(digests.values())) > 1:
        raise DisagreementError(f"{row.name}, {row.memory_boxes} boxes: gt_inds differ: {digests}")


def _num_priors(inputs: Inputs) -> int:
    """Count the priors, or the queries of a matching, whose logits tell."""
    of_each = inputs.shared["priors"] if inputs.shared else inputs.per_image["pred_logits"][0]
    return len(of_each)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="default: all")
    parser.add_argument(
        "--backend",
        nargs="+",
        choices=("numpy", "torch", "jax"),
        default=["numpy", "torch", "jax"],
        help="default: all",
    )
    parser.add_argument("--torch-compile", action="store_true", help="torch.compile, too")
    parser.add_argument("--boxes", nargs="+", type=int, help="ground truths an image, in place of each row's")
    parser.add_argument("--seconds", type=float, default=10.0, help="for the rounds of one case; default 10")
    parser.add_argument("--no-memory", action="store_true", help="leave the peak memory out")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only try that everything runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there, too")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the tables there, below its mark"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    options = _options(arguments)
    where = environment()
    messages = Console(stderr=True)
    subjects = subjects_on(options.backend, torch_compile=options.torch_compile)
    with_memory = not options.no_memory
    if with_memory and not can_measure():
        messages.print("no peak memory: this system does not tell a process its own")
        with_memory = False
    reports = []
    try:
        for row in (ROWS[name].quick() if options.quick else ROWS[name] for name in options.rows):
            cases = []
            for case in row.cases(options.boxes):
                with messages.status(f"{row.name}: {case.boxes} boxes, {case.images} images"):
                    cases.append(time_case(row, case, subjects, 0.0 if options.quick else options.seconds))
            memory = None
            if with_memory:
                with messages.status(f"{row.name}: peak memory"):
                    memory = measure_memory(row, subjects, quick=options.quick)
            reports.append(RowReport(row.name, row.title, cases, memory))
    except DisagreementError as error:
        messages.print(f"[bold red]{error}[/bold red]")
        return 1
    print_report(where, reports, BASELINE.name, Console())
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(where, reports), indent=1) + "\n")
    if options.markdown is not None:
        write_below_mark(options.markdown, as_markdown(where, reports, BASELINE.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())

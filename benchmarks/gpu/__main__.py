"""Prove and measure the project on a CUDA device: agreement, guarantees, memory, times.

It needs no installation and no network: PyTorch, SciPy, array-api-compat and array-api-strict beside NumPy,
and CuPy for its part. Every task is on its own, and what was found is in the file before the next one starts.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import bare_checkout

GOLDENS = bare_checkout.PROJECT / "tests" / "data" / "goldens"

MINUTES = 5


def _as_seen_from_the_project(folder: Path) -> str:
    """Return a folder's path for the record, which is to say the same of every checkout."""
    folder = folder.resolve()
    inside = folder.is_relative_to(bare_checkout.PROJECT)
    return (folder.relative_to(bare_checkout.PROJECT) if inside else folder).as_posix()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="gpu", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu is a rehearsal")
    parser.add_argument("--quick", action="store_true", help="a few assigners over sizes that take no time")
    parser.add_argument("--budget", type=float, default=60.0 * MINUTES, help="seconds; default %(default)g")
    parser.add_argument("--parts", nargs="+", metavar="PART", help="default: all, in their order")
    parser.add_argument("--seed", type=int, default=0, help="of the generated scenes")
    parser.add_argument(
        "--goldens",
        default=GOLDENS if GOLDENS.is_dir() else None,
        type=Path,
        metavar="FOLDER",
        help="of golden cases; default: the tests', or where these are not at hand the package's",
    )
    parser.add_argument("--resume", type=Path, metavar="FILE", help="run only what this record lacks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the record; default gpu.json")
    parser.add_argument("--page", type=Path, metavar="FILE", help="also write the page of the record here")
    return parser.parse_args(arguments)


def _settle_environment() -> None:
    """Let libraries, which read this when imported, leave cores and the device's memory to all processes."""
    for name, value in (
        ("OMP_NUM_THREADS", "2"),
        ("TORCHINDUCTOR_COMPILE_THREADS", "2"),
        ("XLA_PYTHON_CLIENT_PREALLOCATE", "false"),
    ):
        os.environ.setdefault(name, value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code: 0 all is done, 1 not all, 2 a wrong call."""
    asked = _options(arguments)
    _settle_environment()
    bare_checkout.make_importable()
    from page import summary, write_page
    from plan import PARTS, Options
    from record import Record
    from workers import Outcome, Task, run_tasks

    import assigncore

    start = time.monotonic()
    path = asked.json or asked.resume or Path("gpu.json")
    for file in (path, asked.page):
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
    goldens = _as_seen_from_the_project(asked.goldens) if asked.goldens else ""
    options = Options(asked.device, asked.quick, asked.seed, goldens)
    head = {
        "project": assigncore.__version__,
        "device": asked.device,
        "quick": asked.quick,
        "seed": asked.seed,
        "budget_s": asked.budget,
    }
    parts = asked.parts or list(PARTS)
    if unknown := [part for part in parts if part not in PARTS]:
        print(f"error: no part {unknown[0]!r}; known are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    if asked.goldens and not asked.goldens.is_dir():
        print(f"error: no folder {asked.goldens} of golden cases", file=sys.stderr)
        return 2
    try:
        record = Record.resume(path, asked.resume, head) if asked.resume else Record(path, head)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    def on_outcome(task: Task, outcome: Outcome) -> None:
        record.add(task, outcome)
        if outcome.status != "done":
            print(f"{task.part}: {task.name}: {outcome.status}: {outcome.message[:200]}", flush=True)

    def on_extra(task: Task, outcome: Outcome) -> None:
        if outcome.status != "out of time":
            on_outcome(task, outcome)

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    missing = 0
    total, spent = sum(PARTS[part][0] for part in parts), 0.0
    for part in parts:
        share, make = PARTS[part]
        spent += share
        section = make(options, cores)
        todo = [task for task in section.tasks if not record.has(task)]
        end = start + asked.budget * spent / total
        run_tasks(todo, section.processes, end, on_outcome)
        if not asked.resume:
            run_tasks(section.extra, section.processes, end, on_extra)
        missing += sum(not record.has(task) for task in section.tasks)
        print(f"{part}: {summary(record.to_json(), part)}, at {time.monotonic() - start:.0f} s", flush=True)
    if asked.page is not None:
        write_page(record.to_json(), asked.page)
    return 0 if not missing else 1


if __name__ == "__main__":
    sys.exit(main())

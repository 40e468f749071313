"""A record as pages: one of its own, and the sections of other pages that show its figures."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["DOCUMENTS", "NOT_MEASURED", "page", "section", "summary", "write_page", "write_section"]

Figures = Mapping[str, Any]

NOT_MEASURED = "Not measured: no run on a CUDA device has been recorded."

START, END = "<!-- GPU figures, written by benchmarks/gpu: -->", "<!-- End of the GPU figures. -->"
"""The lines of a document between which a section stands."""

AGREEMENT = {
    "goldens": "Golden cases",
    "laws": "Laws, promises and generated scenes",
    "guarantees": "No synchronisation, CUDA graphs, `torch.compile`",
}


def summary(record: Figures, part: str) -> str:
    """Say in one line what a part gave."""
    tasks = _tasks(record, part)
    counts = Counter(task["status"] for task in tasks)
    told = ", ".join(f"{number} {status}" for status, number in counts.items()) or "nothing"
    levels: Counter[str] = Counter()
    for task in _done(record, part):
        levels.update(task["figures"].get("levels", {}))
    if levels:
        told += " (" + ", ".join(f"{number} {level}" for level, number in levels.items()) + ")"
    return told


def page(record: Figures) -> str:
    """Write the page of a record."""
    kind = "A rehearsal on the host, not a measurement." if record["device"] == "cpu" else ""
    parts = [
        "# On a GPU",
        "What `make gpu` found, in one run or in several that go on with each other: agreement with the\n"
        "published packages and with NumPy, no host synchronisation, peak memory, times. The numbers are of\n"
        "the machine below, and of no other.",
        kind,
        *_environment(record),
        "## Agreement",
        agreement_table(record),
        *_failures(record),
        "## Peak memory of a call",
        _memory_text(record),
        memory_table(record),
        "## Times",
        _times_text(),
        times_table(record, "times"),
        "## Matching",
        "Costs and solver together, as `assign` is called.\n"
        "SciPy solves on the host: one copy there, and one back.",
        times_table(record, "matching"),
        *_unfinished(record),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _tasks(record: Figures, part: str) -> list[Figures]:
    return [task for task in record["tasks"] if task["part"] == part]


def _done(record: Figures, part: str) -> list[Figures]:
    return [task for task in _tasks(record, part) if task["status"] == "done"]


def _environment(record: Figures) -> Iterator[str]:
    for task in _done(record, "environment"):
        found = task["figures"]
        device = found["device"]
        told = [
            f"- {device['name']}"
            + (
                f", {device['memory'] / 2**30:.0f} GiB, driver for CUDA {found['driver']}"
                if found["driver"]
                else ""
            ),
            f"- {found['cores']} cores, {found['system']}, Python {found['python']}",
            "- " + ", ".join(f"{name} {number}" for name, number in found["versions"].items()),
            f"- float32, seed {record['seed']}; assigncore {record['project']}",
        ]
        yield "\n".join(told)


def agreement_table(record: Figures) -> str:
    """Tabulate how many cases reached which level, by part and backend."""
    rows = []
    for part, title in AGREEMENT.items():
        by_target: dict[tuple[str, str], Counter[str]] = {}
        for task in _done(record, part):
            of_suite = task["arguments"]["part"]
            named = {"generated": "generated scenes"}.get(of_suite, of_suite)
            modes = "+".join(task["arguments"]["modes"])
            key = (
                f"{named}, {modes}" if of_suite in ("goldens", "generated") else named,
                task["arguments"]["target"],
            )
            by_target.setdefault(key, Counter()).update(task["figures"]["levels"])
        for (what, target), levels in sorted(by_target.items()):
            ran = sum(levels.values()) - levels["not_run"]
            bad = levels["different"] + levels["error"] + levels["hang"]
            if ran:
                rows.append(
                    (title, what, f"`{target}`", str(ran), str(levels["identical"]), str(levels["close"]),
                     str(levels["near_tie"] + levels["equivalent"]), str(bad))
                )  # fmt: skip
    return _table(
        ("", "what", "backend", "cases", "identical", "close", "near tie or equivalent", "different"), rows
    )


def _failures(record: Figures) -> Iterator[str]:
    for title, kind in (
        ("What is different:", "failures"),
        ("Near ties, which rounding decides; an example of each:", "near_ties"),
    ):
        found: dict[tuple[str, str], list[Figures]] = {}
        for part in AGREEMENT:
            for task in _done(record, part):
                given = task["arguments"]
                found.setdefault((given["target"], given["name"]), []).extend(task["figures"][kind])
        lines = [
            f"- `{name}` on `{target}`, {_counted(len(cases), 'case')}: `{cases[0]['case']}`: "
            + cases[0]["message"]
            for (target, name), cases in found.items()
            if cases
        ]
        if lines:
            yield title
            yield "\n".join(lines)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _memory_text(record: Figures) -> str:
    budgets = {task["figures"]["budget"] for task in _done(record, "memory")}
    told = " or ".join(_megabytes(budget) for budget in sorted(budgets)) or "none"
    return (
        f"By the allocator's figures: what a call takes beside its inputs, its outputs among it. The memory\n"
        f"budget is {told}. The dense loop takes one image at a time."
    )


def memory_table(record: Figures) -> str:
    """Tabulate the peaks: a line a row and number of ground truths."""
    peaks: dict[tuple[str, int, int], dict[str, str]] = {}
    for task in _done(record, "memory"):
        given, figures = task["arguments"], task["figures"]
        what = "dense loop" if given["dense"] else f"ours, {_counted(given['images'], 'image')}"
        size = "out of memory" if figures["bytes"] is None else _megabytes(figures["bytes"])
        if record["device"] == "cpu":
            size = "not measured"
        peaks.setdefault((given["row"], figures["priors"], given["boxes"]), {})[what] = size
    columns = list(dict.fromkeys(what for sizes in peaks.values() for what in sizes))
    columns.sort(key=lambda what: (what != "dense loop", len(what), what))
    rows = [
        (f"`{row}`", f"{priors:,}", f"{boxes:,}", *(sizes.get(what, "") for what in columns))
        for (row, priors, boxes), sizes in sorted(peaks.items())
    ]
    return _table(("row", "priors", "boxes", *columns), rows)


def _times_text() -> str:
    return (
        "Milliseconds by the wall, from an idle device to an idle device: the median, and in brackets the\n"
        "quartiles; then how many times as fast as the dense loop in the same round, and what the host\n"
        "launches. *Dense loop* is what detectors contain, image by image, on the GPU."
    )


def times_table(record: Figures, part: str) -> str:
    """Tabulate the times of a part: a line a size, a column a way to run."""
    done = _done(record, part)
    columns = list(dict.fromkeys(name for task in done for name in task["figures"]["subjects"]))
    rows = []
    for task in sorted(
        done, key=lambda t: (t["arguments"]["row"], t["arguments"]["images"], t["arguments"]["boxes"])
    ):
        figures = task["figures"]
        cells = [_cell(name, figures["subjects"].get(name)) for name in columns]
        rows.append(
            (f"`{task['arguments']['row']}`", str(figures["images"]), f"{figures['priors']:,}",
             f"{figures['boxes']:,}", *cells)
        )  # fmt: skip
    return _table(("row", "images", "priors", "boxes", *columns), rows)


def _cell(name: str, subject: Figures | None) -> str:
    if subject is None:
        return ""
    if "error" in subject:
        return "failed"
    wall = subject["wall"]
    low, middle, high = (f"{wall[key] * 1e3:.2f}" for key in ("low", "median", "high"))
    told = f"{middle} ({low} to {high})"
    if name != "dense loop":
        told += f" **{subject['speed_up']:.1f}x**"
        if subject.get("differs"):
            told += f", {subject['differs']} of {subject['of']:,} differ"
        if subject.get("waits"):
            told += ", waits"
    if subject.get("launches") is not None:
        told += f", {subject['launches']} {'launch' if subject['launches'] == 1 else 'launches'}"
    return told


def _unfinished(record: Figures) -> Iterator[str]:
    lines = [
        f"- {task['part']}: {task['name']}: {task['status']}: {task['message'][:200]}"
        for task in record["tasks"]
        if task["status"] != "done"
    ]
    for part in ("times", "matching"):
        for task in _done(record, part):
            for name, subject in task["figures"]["subjects"].items():
                if "error" in subject:
                    lines.append(
                        f"- {part}: {task['name']}: {name} failed: {' '.join(subject['error'].split())[:200]}"
                    )
    if lines:
        yield "## What did not end well"
        yield "\n".join(lines)


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.0f} MB"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "Not measured."
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _benchmarks(record: Figures) -> str:
    more = "Peak memory, launches, matching and more are on the [page of that run](gpu.md)."
    return "\n\n".join([*_environment(record), times_table(record, "times"), more])


def _conformance(record: Figures) -> str:
    more = "The [page of that run](gpu.md) lists what differs."
    return "\n\n".join([*_environment(record), agreement_table(record), more])


DOCUMENTS: Mapping[str, Callable[[Figures], str]] = {
    "benchmarks.md": _benchmarks,
    "conformance.md": _conformance,
}
"""Pages that have a section of GPU figures, and what writes it."""


def section(name: str, record: Figures | None) -> str:
    """Write the section of a page; without a record of a CUDA device it says so."""
    measured = record is not None and record["device"] == "cuda"
    return DOCUMENTS[name](record) if measured and record is not None else NOT_MEASURED


def write_section(path: Path, record: Figures | None) -> None:
    """Put the section into a page, between its two lines."""
    text = path.read_text(encoding="utf-8")
    head, start, rest = text.partition(START)
    _, end, tail = rest.partition(END)
    if not (start and end):
        raise ValueError(f"{path}: expected the lines {START!r} and {END!r}")
    path.write_text(f"{head}{START}\n\n{section(path.name, record)}\n\n{END}{tail}", encoding="utf-8")


def write_page(record: Figures, path: Path) -> None:
    """Write the page, and the sections of the pages beside it."""
    path.write_text(page(record), encoding="utf-8")
    for name in DOCUMENTS:
        if (path.parent / name).exists():
            write_section(path.parent / name, record)


def main(arguments: Sequence[str]) -> int:
    """Write the page of a record: ``page.py RECORD PAGE``."""
    record, path = map(Path, arguments)
    write_page(json.loads(record.read_text(encoding="utf-8")), path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Measure what a batch gains by the host's cores: the same call with one thread and with all, in turns.

    python benchmarks/threads.py [--images 16] [--rounds 9] [row ...]

A gain is the median over the rounds of the time with one thread by that with all in the same round. Tensors
are PyTorch's, whose number of threads assigncore follows, and the answers must be equal.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from cases import Case
from rows import ROWS

from assigncore import build_assigner
from assigncore.result import AssignResult

CHOSEN = ("max_iou", "atss", "point", "uniform", "region", "task_aligned", "sim_ota", "hungarian_300")


def call_of(name: str, images: int) -> Callable[[], AssignResult]:
    """Return the call of a row's assigner with a batch of tensors."""
    row = ROWS[name]
    inputs = row.inputs(Case(row.image, row.boxes[0], images))
    arrays: Mapping[str, Any] = {
        key: torch.as_tensor(x) for key, x in {**inputs.shared, **inputs.per_image}.items()
    }
    assigner = build_assigner(row.assigner)
    return lambda: assigner.assign(**arrays, **inputs.static)


def seconds(call: Callable[[], AssignResult], threads: int) -> tuple[float, AssignResult]:
    """Time a call with so many threads."""
    torch.set_num_threads(threads)
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def main() -> None:
    """Print a line of Markdown for each row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="row", default=CHOSEN)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    most = torch.get_num_threads()
    print(f"| batch of {asked.images} | one thread, ms | {most} threads, ms | gain |\n|---|---|---|---|")
    for name in asked.rows:
        call = call_of(name, asked.images)
        for threads in (1, most):
            seconds(call, threads)
        times: dict[int, list[float]] = {1: [], most: []}
        for turn in range(asked.rounds):
            results = {}
            for threads in (1, most) if turn % 2 else (most, 1):
                elapsed, results[threads] = seconds(call, threads)
                times[threads].append(elapsed)
            if not torch.equal(results[1].gt_inds, results[most].gt_inds):
                raise SystemExit(f"{name}: other answers on {most} threads")
        gain = statistics.median(one / all_ for one, all_ in zip(times[1], times[most], strict=True))
        one, several = (statistics.median(times[threads]) * 1e3 for threads in (1, most))
        print(f"| `{name}` | {one:.1f} | {several:.1f} | {gain:.2f} |", flush=True)


if __name__ == "__main__":
    main()

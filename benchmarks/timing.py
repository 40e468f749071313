"""Timing subjects beside a baseline, on a machine that may be busy with other things.

The common harnesses time one function after another: over the minutes between two of them a shared machine
changes its speed by more than what is to be measured, and neither of them divides what belongs together. Here
the subjects take turns within one process. A round times everyone once, and a subject's speed-up is the
median over the rounds of the round's own ratio, so what slows a whole round down cancels.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Timing", "time_in_turns"]

MIN_ROUNDS, MAX_ROUNDS = 3, 25

PAUSE = 0.005
"""Seconds between two calls, for the worker threads of the last one to stop waiting for more work."""


@dataclass(frozen=True)
class Timing:
    """How long one subject took.

    Attributes
    ----------
    median, fastest : float
        Seconds a call, over the rounds.
    speed_up : float
        Median over the rounds of the baseline's time by this one's.
    rounds : int
        How many there were.
    """

    median: float
    fastest: float
    speed_up: float
    rounds: int


def time_in_turns(
    runs: Mapping[str, Callable[[], Any]], baseline: str, *, seconds: float
) -> dict[str, Timing]:
    """Time each of `runs`, which were run before, in turns.

    Parameters
    ----------
    runs : mapping of str to callable
        By name, the baseline among them.
    baseline : str
        Name of the one that the others are compared with.
    seconds : float
        Start no further round after so long, once there were three.

    Returns
    -------
    dict of str to Timing
        By name.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    start = time.perf_counter()
    gc.collect()
    gc.disable()
    try:
        for turn in range(MAX_ROUNDS):
            if turn >= MIN_ROUNDS and time.perf_counter() - start > seconds:
                break
            # Whoever runs leaves its traces in the caches of the next, so that is not always the same one.
            for name in random.Random(turn).sample(names, len(names)):
                time.sleep(PAUSE)
                times[name].append(_seconds(runs[name]))
    finally:
        gc.enable()
    return {name: _summary(own, times[baseline]) for name, own in times.items()}


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _summary(own: list[float], baseline: list[float]) -> Timing:
    ratios = [b / o for b, o in zip(baseline, own, strict=True)]
    return Timing(statistics.median(own), min(own), statistics.median(ratios), len(own))

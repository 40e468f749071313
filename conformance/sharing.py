"""A plan shared among processes, an assigner at a time."""

from __future__ import annotations

import os
import pickle
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Protocol

from assigncore.conformance.runner import Cell

__all__ = ["Job", "OnCell", "Plans", "SharingError", "run_shared"]

POLL = 0.2
"""Seconds between two looks at what the processes have done."""

OnCell = Callable[[str, int], Callable[[], object]]
"""Takes the description and the number of cases of a cell; gives what is called after each case."""


@dataclass(frozen=True)
class Job:
    """What makes one cell.

    Parameters
    ----------
    share : str
        Jobs of one share run in one process, in turn.
    description : str
        What progress is told by.
    run : callable
        Takes `after_case`, and gives the cell.
    cases : int
        How many it has.
    """

    share: str
    description: str
    run: Callable[..., Cell]
    cases: int = 0


class SharingError(RuntimeError):
    """The work cannot be shared, or a process has ended before its share was done."""


class Plans(Protocol):
    """What lists jobs, the same ones in every process; it can be pickled."""

    def jobs(self) -> Iterator[Job]:
        """List what there is to do."""


def run_shared(plan: Plans, processes: int, on_cell: OnCell | None = None) -> tuple[list[Cell], bool]:
    """Run the jobs of a plan in several processes, each of which ends with its share.

    What a library has compiled for an assigner is thus forgotten with it.

    Parameters
    ----------
    plan : Plans
        Lists the jobs.
    processes : int
        How many run at once.
    on_cell : callable, optional
        As for :func:`assigncore.conformance.run_plan`, but called when a cell is done.

    Returns
    -------
    cells : list of Cell
        In the order of the jobs, whoever ran them; those of whole shares where the run was interrupted.
    stopped : bool
        Whether it was.

    Raises
    ------
    SharingError
        The plan cannot be sent to a process, or one was killed, most often for want of memory.
    """
    try:
        sent = pickle.dumps(plan)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise SharingError(f"no process can be sent this plan ({error}); expected --jobs 1") from error
    shares = dict.fromkeys(job.share for job in plan.jobs())
    threads = max(1, (os.cpu_count() or 1) // processes)
    context = get_context("spawn")
    with context.Manager() as manager:
        told = manager.Queue()
        with ProcessPoolExecutor(processes, context, _start, (threads,), max_tasks_per_child=1) as pool:
            futures = [pool.submit(_run_share, sent, share, told) for share in shares]
            stopped = False
            try:
                _watch(futures, told, on_cell)
            except KeyboardInterrupt:
                stopped = True
                for future in futures:
                    future.cancel()
                for process in list(pool._processes.values()):
                    process.terminate()
            except BrokenProcessPool as error:
                raise SharingError(
                    "a process of the suite was killed, most often for want of memory; expected fewer --jobs"
                ) from error
            except BaseException:
                for future in futures:
                    future.cancel()
                raise
            done = [future for future in futures if future.done() and not future.cancelled()]
            numbered = [pair for future in done if not future.exception() for pair in future.result()]
    return [cell for _, cell in sorted(numbered, key=lambda pair: pair[0])], stopped


def _start(threads: int) -> None:
    """Leave each process its part of the cores; libraries read this when they are imported."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))


def _run_share(sent: bytes, share: str, told: Any) -> list[tuple[int, Cell]]:
    """Run one share of a pickled plan, and tell of each cell; the cells come with their place among all."""
    plan: Plans = pickle.loads(sent)
    numbered = []
    for number, job in enumerate(plan.jobs()):
        if job.share == share:
            numbered.append((number, job.run()))
            told.put((job.description, job.cases))
    return numbered


def _watch(futures: list[Future[Any]], told: Any, on_cell: OnCell | None) -> None:
    """Pass on what is told until all is done, or something fails."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, POLL, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
        while True:
            try:
                description, cases = told.get_nowait()
            except queue.Empty:
                break
            if on_cell is not None:
                after_case = on_cell(description, cases)
                for _ in range(cases):
                    after_case()

"""Running the chunks of a data set: here, on processes of this machine, or where an executor sends them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from typing import Any, TypeAlias

from assigncore.audit.assigning import Settings
from assigncore.audit.chunks import assign_chunk, cut, num_chunks, num_images
from assigncore.audit.config import Plan
from assigncore.audit.errors import AuditError
from assigncore.audit.frames import ExactSize, ImageScale
from assigncore.audit.statistics import Findings
from assigncore.backend.threads import num_cores
from assigncore.datasets import Dataset

__all__ = ["Progress", "assign_all"]

Progress: TypeAlias = Callable[[int, int], object]
"""Called with the number of images done, and of all."""

RETRIES = 5
"""How often a cluster may try a chunk again that a dying worker has taken with it."""


def assign_all(
    plans: Sequence[Plan],
    dataset: Dataset,
    scale: ImageScale | ExactSize,
    settings: Settings,
    *,
    jobs: int = 1,
    executor: Any = None,
    progress: Progress | None = None,
) -> dict[int, tuple[Findings, ...]]:
    """Run every assigner over every chunk of a data set.

    Parameters
    ----------
    plans : sequence of Plan
    dataset : Dataset
    scale : ImageScale or ExactSize
        Of the plans that have none of their own.
    settings : Settings
    jobs : int
        Processes of this machine; 1 computes in this one. With an executor: how many workers it has.
    executor : concurrent.futures.Executor or distributed.Client, optional
        Where to compute instead.
    progress : callable, optional
        Called with the number of images done and of all, at first and after every chunk.

    Returns
    -------
    dict of int to tuple of Findings
        One for each plan, by the number of the chunk. Not all chunks if a KeyboardInterrupt came, but some.

    Raises
    ------
    AuditError
        If an assigner cannot be served, or workers end that nobody replaces.
    KeyboardInterrupt
        If it came before the first chunk was done.
    """
    total = num_chunks(dataset)
    found: dict[int, tuple[Findings, ...]] = {}

    def say() -> None:
        if progress is not None:
            progress(num_images(dataset, found), len(dataset.images))

    say()
    try:
        if executor is None and min(jobs, total) == 1:
            for number in range(total):
                found[number] = assign_chunk(plans, scale, cut(dataset, settings, number))
                say()
        else:
            with _open(executor, min(jobs, total)) as (submit, most):
                tasks = ((n, (tuple(plans), scale, cut(dataset, settings, n))) for n in range(total))
                for number, result in _completed(submit, tasks, most):
                    found[number] = result
                    say()
    except KeyboardInterrupt:
        if not found:
            raise
    except BrokenExecutor:
        raise AuditError(
            "a worker process ended before its work was done, as when memory runs out; fewer --jobs, "
            "a smaller --image-scale or --batch-size need less"
        ) from None
    return found


def _completed(
    submit: Callable[..., Future[Any]], tasks: Iterator[tuple[int, tuple[Any, ...]]], most: Callable[[], int]
) -> Iterator[tuple[int, Any]]:
    """Yield the chunks' numbers and findings as they come; only as many are handed out as are needed."""
    waiting: dict[Future[Any], int] = {}
    try:
        while True:
            for number, arguments in islice(tasks, max(0, most() - len(waiting))):
                waiting[submit(assign_chunk, *arguments)] = number
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), future.result()
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def _open(executor: Any, jobs: int) -> Iterator[tuple[Callable[..., Future[Any]], Callable[[], int]]]:
    """Give what hands out a task, and what says how many to hand out at a time, so that no worker waits."""
    if executor is None:
        pool = ProcessPoolExecutor(jobs, get_context("spawn"), _begin_worker)
        try:
            with _no_interrupts():
                # What is spawned meanwhile ignores them too, from its first line on.
                pool.submit(os.getpid)
            yield pool.submit, lambda: 2 * jobs
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    elif hasattr(executor, "get_executor"):
        cluster = executor.get_executor(pure=False, retries=RETRIES)
        yield cluster.submit, lambda: 2 * max(1, sum(executor.nthreads().values()))
    elif isinstance(executor, Executor):
        yield executor.submit, lambda: 2 * max(jobs, num_cores())
    else:
        raise TypeError(
            "executor: expected a concurrent.futures.Executor or a distributed.Client, "
            f"got {type(executor).__name__}"
        )


def _begin_worker() -> None:
    """Leave interrupts to the parent, and threads to the other workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C for a moment, where it can be: only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

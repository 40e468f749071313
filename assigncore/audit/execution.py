"""Running the chunks of a data set: here, on processes of this machine, or where an executor sends them."""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

from assigncore.audit.assigning import Settings
from assigncore.audit.chunks import assign_chunk, cut, num_chunks, num_images
from assigncore.audit.config import Plan
from assigncore.audit.errors import AuditError
from assigncore.audit.frames import ExactSize, ImageScale
from assigncore.audit.statistics import Findings
from assigncore.backend.threads import num_cores
from assigncore.datasets import Dataset
from assigncore.interrupts import POLL, held_interrupts

__all__ = ["Progress", "assign_all", "connected"]

Progress: TypeAlias = Callable[[int, int], object]
"""Called with the number of images done, and of all."""

PATIENCE = 20
"""Seconds to wait for a cluster and its first worker."""

COMPARED = ["assigncore", "numpy", "numba"]
"""Packages of which all machines must have one version, so that they compute the same."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""How glibc's `mallopt` calls what it keeps at the end of the heap, and what it does not put there."""

LARGEST_KEPT, MOST_KEPT = 32 * 2**20, 128 * 2**20
"""Bytes of an array whose memory a worker keeps, the most that glibc allows; and of all that it keeps."""

HANDING_OVER = 10.0
"""Seconds that a result may take from a worker to its parent, however busy the machine is."""

_working = threading.Event()
"""Whether this process, a worker, computes something."""

_ending = threading.Lock()
"""Held while a worker decides whether to end."""

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
            deciders: list[dict[Any, Any]] = [{} for _ in plans]
            for number in range(total):
                found[number] = assign_chunk(plans, scale, cut(dataset, settings, number), deciders)
                say()
        else:
            with held_interrupts() as check, _open(executor, min(jobs, total)) as (submit, most):
                tasks = ((n, (tuple(plans), scale, cut(dataset, settings, n))) for n in range(total))
                for number, result in _completed(submit, tasks, most, check):
                    found[number] = result
                    say()
    except KeyboardInterrupt:
        if not found:
            raise
    except Exception as error:
        if not isinstance(error, BrokenExecutor) and not type(error).__module__.startswith("distributed"):
            raise
        if executor is not None:
            raise AuditError(f"the workers have given up: {str(error) or type(error).__name__}") from None
        raise AuditError(
            "a worker process ended before its work was done, as when memory runs out; fewer --jobs, "
            "a smaller --image-scale or --batch-size need less"
        ) from None
    return found


def _completed(
    submit: Callable[..., Future[Any]],
    tasks: Iterator[tuple[int, tuple[Any, ...]]],
    most: Callable[[], int],
    check_interrupts: Callable[[], None],
) -> Iterator[tuple[int, Any]]:
    """Yield the chunks' numbers and findings as they come; only as many are handed out as are needed."""
    waiting: dict[Future[Any], int] = {}
    try:
        while True:
            for number, arguments in islice(tasks, max(0, most() - len(waiting))):
                waiting[submit(assign_chunk, *arguments)] = number
            if not waiting:
                return
            check_interrupts()
            for future in wait(waiting, POLL, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), future.result()
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def connected(scheduler: str) -> Iterator[Any]:
    """Connect to a Dask cluster.

    Parameters
    ----------
    scheduler : str
        Its scheduler's address, such as ``"tcp://host:8786"``.

    Yields
    ------
    distributed.Client

    Raises
    ------
    AuditError
        If it cannot be reached, has no workers, or these have other versions of what computes.
    """
    try:
        distributed = importlib.import_module("distributed")
    except ModuleNotFoundError:
        hint = 'pip install "assigncore[cluster]"'
        raise AuditError(
            f"--scheduler: needs the package distributed, which is not installed: {hint}"
        ) from None
    try:
        # A client with an address that it cannot read would wait at the end, for a minute.
        importlib.import_module("distributed.comm").get_address_host_port(scheduler)
    except ValueError as error:
        raise AuditError(
            f"--scheduler {scheduler}: expected an address such as tcp://host:8786: {error}"
        ) from None
    try:
        client = distributed.Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise AuditError(f"--scheduler {scheduler}: cannot be reached: {error}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
            client.get_versions(check=True, packages=COMPARED)
        except TimeoutError:
            raise AuditError(f"--scheduler {scheduler}: it has no workers; start some") from None
        except ValueError as error:
            raise AuditError(
                f"--scheduler {scheduler}: the workers are not like this machine: {error}"
            ) from None
        yield client


@contextmanager
def _open(executor: Any, jobs: int) -> Iterator[tuple[Callable[..., Future[Any]], Callable[[], int]]]:
    """Give what hands out a task, and what says how many to hand out at a time, so that no worker waits."""
    if executor is None:
        context = get_context("spawn")
        lifeline, own_end = context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(jobs, context, _begin_worker, (lifeline,))
        try:
            with _no_interrupts():
                # What is spawned meanwhile ignores them too, from its first line on: a worker for each task.
                for _ in range(jobs):
                    pool.submit(os.getpid)
            submit: Callable[..., Future[Any]] = pool.submit
            yield partial(submit, _at_work), lambda: 2 * jobs
        except BaseException:
            # Nobody waits for what they are at.
            own_end.close()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            own_end.close()
            lifeline.close()
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


def _begin_worker(lifeline: Connection) -> None:
    """Leave interrupts to the parent, end with it, and leave the other cores to the other workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Let the C library keep what is freed for the next batch, where it is one that can be told.

    It would hand the memory of arrays this large back to the system, which clears it page by page when the
    next batch asks for it: a tenth of the time.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
        library.mallopt(M_TRIM_THRESHOLD, MOST_KEPT)


def _at_work(task: Callable[..., Any], *arguments: Any) -> Any:
    """Do what a worker was given; meanwhile, and at no other time, its process may end at once."""
    _working.set()
    try:
        return task(*arguments)
    finally:
        with _ending:
            _working.clear()


def _end_with(lifeline: Connection) -> None:
    """End this process when the parent closes the other end or is killed.

    A result that is being handed over is brought to its end first: of half of one, the parent would wait for
    the rest for ever.
    """
    lifeline.poll(None)
    latest = time.monotonic() + HANDING_OVER
    while time.monotonic() < latest:
        with _ending:
            if _working.is_set():
                os._exit(1)
        time.sleep(0.02)
    os._exit(1)


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

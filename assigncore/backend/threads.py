"""The images of a batch, shared among the host's cores.

What is arithmetic is shared: compiled loops, which release Python's lock, and what is made of predictions.
Moving numbers is not, since cores share the way to memory too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from functools import partial
from itertools import pairwise
from math import prod
from multiprocessing import process
from typing import Any, TypeVar

from assigncore.backend.lookup import get_backend
from assigncore.backend.memory import current_memory_budget, set_memory_budget
from assigncore.backend.portable import Array, ArrayBackend
from assigncore.result import AssignResult

__all__ = ["allowed_threads", "num_cores", "over_images", "share_images"]

Result = TypeVar("Result")

WORTHWHILE = 2**17
"""Numbers of predictions of a batch, and pairs of a loop, below which threads cost more than they save."""

DIMENSIONS = {
    "gt_bboxes": 2,
    "gt_labels": 1,
    "gt_masks": 3,
    "gt_valid": 1,
    "ignore_bboxes": 2,
    "ignore_valid": 1,
    "pred_bboxes": 2,
    "pred_logits": 2,
    "pred_scores": 2,
    "prior_valid": 1,
    "priors": 2,
}
"""Dimensions of one image's part of each input beside predictions; with others a batch is not shared."""

_is_worker = ContextVar("whether images are being shared among threads already", default=False)

_pool: tuple[int, ThreadPoolExecutor] | None = None


def allowed_threads() -> int:
    """Return how many threads this process should take: 1 in a worker, such as a data loader's."""
    if process.current_process().daemon:
        return 1
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return max(1, min(int(wanted), num_cores())) if wanted.isdigit() else num_cores()


def num_cores() -> int:
    """Return the cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def over_images(
    assign: Callable[..., AssignResult], given: Mapping[str, Any], backend: ArrayBackend
) -> AssignResult:
    """Call `assign`, with the images of a batch shared among threads where predictions make it worthwhile.

    Parameters
    ----------
    assign : callable
        Takes `given` by name.
    given : mapping of str to array or other
        The inputs, arrays of NumPy.
    backend : ArrayBackend
        The library they were given in, which says how many threads there should be.
    """
    images = _num_images(given) if _is_worthwhile(given) and not _is_worker.get() else 1
    threads = min(images, backend.host_threads()) if images > 1 else 1
    if threads < 2:
        return assign(**given)
    budget = max(1, current_memory_budget() // threads)

    def part_of(start: int, end: int) -> AssignResult:
        set_memory_budget(budget)
        return assign(**{name: _images_of(name, x, start, end, images) for name, x in given.items()})

    try:
        results = _shared(part_of, images, threads)
    except Exception:
        # An error names the image, which a part of the batch counts otherwise.
        return assign(**given)
    return _joined(results)


def share_images(task: Callable[[int, int], None], images: int, pairs: int, most: Callable[[], int]) -> None:
    """Call `task` with the first image and the one after the last, once for all or once a thread.

    Parameters
    ----------
    task : callable
        Releases Python's lock, and writes to places of its images alone.
    images, pairs : int
        How many there are in all.
    most : callable
        Says how many threads there may be; not asked where one is enough.
    """
    is_worthwhile = images > 1 and pairs >= WORTHWHILE and not _is_worker.get()
    threads = min(most(), images) if is_worthwhile else 1
    if threads < 2:
        task(0, images)
    else:
        _shared(task, images, threads)


def _shared(task: Callable[[int, int], Result], images: int, threads: int) -> list[Result]:
    """Call `task` for consecutive parts of the images, the first of them on this thread."""

    def run(part: tuple[int, int]) -> Result:
        _is_worker.set(True)
        return task(*part)

    first, *others = pairwise(images * part // threads for part in range(threads + 1))
    pool = _workers(threads - 1)
    waiting = [pool.submit(partial(copy_context().run, run, part)) for part in others]
    return [copy_context().run(run, first), *(one.result() for one in waiting)]


def _num_images(given: Mapping[str, Any]) -> int:
    """Return the images of the one leading dimension; 1 where there is none, or more, or what has which."""
    images = 1
    for name, x in given.items():
        if not hasattr(x, "shape"):
            continue
        own = _own_dimensions(name, x)
        if own is None or not own <= x.ndim <= own + 1:
            return 1
        if x.ndim > own and x.shape[0] != 1:
            if images not in (1, x.shape[0]):
                return 1
            images = int(x.shape[0])
    return images


def _is_worthwhile(given: Mapping[str, Any]) -> bool:
    # Matchings, which have no priors, are solved on threads of their own.
    if "priors" not in given:
        return False
    predictions = (x for name, x in given.items() if name.startswith("pred_") and hasattr(x, "shape"))
    numbers: int = sum(prod(x.shape) for x in predictions)
    return numbers >= WORTHWHILE


def _images_of(name: str, x: Any, start: int, end: int, images: int) -> Any:
    if not hasattr(x, "shape"):
        return x
    own = _own_dimensions(name, x)
    has_own = own is not None and x.ndim > own and x.shape[0] == images
    return x[start:end] if has_own else x


def _own_dimensions(name: str, x: Any) -> int | None:
    """Return the dimensions of one image's part of an input: labels may be masks of classes."""
    own = DIMENSIONS.get(name)
    return own + 1 if own is not None and name == "gt_labels" and x.dtype == bool else own


def _joined(results: list[AssignResult]) -> AssignResult:
    flat = [result.tree_flatten() for result in results]
    columns = zip(*(arrays for arrays, _ in flat), strict=True)
    return AssignResult.tree_unflatten(flat[0][1], [_concatenated(parts) for parts in columns])


def _concatenated(parts: tuple[Array | None, ...]) -> Array | None:
    return None if parts[0] is None else get_backend(parts[0]).xp.concat(list(parts), axis=0)


def _workers(count: int) -> ThreadPoolExecutor:
    """Return the pool, grown to at least `count` threads."""
    global _pool
    if _pool is None or _pool[0] < count:
        _pool = count, ThreadPoolExecutor(count, thread_name_prefix="assigncore")
    return _pool[1]


def _forget_pool() -> None:
    """Forget threads that a forked process does not have."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)

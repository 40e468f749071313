"""The memory budget: how much an assigner may take beside its inputs and outputs when it runs eagerly.

On the host a tile of pairs is smaller still, so that it stays in a core's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = [
    "CACHED_PAIRS",
    "DEFAULT_MEMORY_BUDGET",
    "current_memory_budget",
    "memory_budget",
    "set_memory_budget",
]

DEFAULT_MEMORY_BUDGET = 256 * 2**20
"""Bytes of pairwise temporaries that may live at once: 256 MB."""

CACHED_PAIRS = 2**17
"""Pairs whose temporaries stay in a core's second-level cache, or near it: the fastest of those tried.

It is also enough for PyTorch to share an operation among threads.
"""

_budget: ContextVar[int] = ContextVar("assigncore_memory_budget", default=DEFAULT_MEMORY_BUDGET)


def current_memory_budget() -> int:
    """Return the budget in force.

    Returns
    -------
    int
        Bytes; 256 MB unless it was set.

    Examples
    --------
    >>> current_memory_budget() == DEFAULT_MEMORY_BUDGET
    True
    """
    return _budget.get()


def set_memory_budget(n_bytes: int) -> None:
    """Set the budget for the current thread or task from here on.

    Results never depend on it: it only decides how many pairs of boxes are handled at once. What is kept of
    each tile, some 24 bytes a ground truth, comes on top where a small budget makes for many tiles.

    Parameters
    ----------
    n_bytes : int
        At least 1; the default is 256 MB.

    Returns
    -------
    None
        The budget in force before is not kept; :func:`current_memory_budget` tells it.

    Raises
    ------
    ValueError
        If `n_bytes` is not a positive integer.

    See Also
    --------
    memory_budget : the same within a ``with`` block.

    Examples
    --------
    >>> set_memory_budget(64 * 2**20)
    >>> current_memory_budget() // 2**20
    64
    >>> set_memory_budget(DEFAULT_MEMORY_BUDGET)
    """
    _budget.set(_checked(n_bytes))


@contextmanager
def memory_budget(n_bytes: int) -> Iterator[None]:
    """Set the budget within a ``with`` block.

    Parameters
    ----------
    n_bytes : int
        At least 1.

    Yields
    ------
    None
        The budget in force before comes back at the end, whatever happens within.

    Raises
    ------
    ValueError
        If `n_bytes` is not a positive integer.

    Examples
    --------
    >>> with memory_budget(32 * 2**20):
    ...     current_memory_budget() // 2**20
    32
    """
    token = _budget.set(_checked(n_bytes))
    try:
        yield
    finally:
        _budget.reset(token)


def _checked(n_bytes: int) -> int:
    if not isinstance(n_bytes, int) or isinstance(n_bytes, bool) or n_bytes < 1:
        raise ValueError(f"n_bytes: expected a positive integer, got {n_bytes!r}")
    return n_bytes

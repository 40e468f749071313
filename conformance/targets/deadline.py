"""A time limit for calls that may never come back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["LIMIT", "Hang", "within"]

LIMIT = 300.0
"""Default time limit of a case in seconds; the first compiled one includes compiling."""

T = TypeVar("T")


class Hang(Exception):  # noqa: N818
    """A call has not come back in time."""


def within(seconds: float, function: Callable[[], T]) -> T:
    """Call a function in a thread, and wait for it only so long.

    Parameters
    ----------
    seconds : float
        The limit.
    function : callable
        What to call. Where it does not come back it is left to itself: no thread can be ended.

    Returns
    -------
    object
        What the function returns.

    Raises
    ------
    Hang
        It has not come back in time. Whatever the function raises is raised again.

    Examples
    --------
    >>> within(10, lambda: 1 + 1)
    2
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise Hang(f"no answer within {seconds:g} s")
    if errors:
        raise errors[0]
    return results[0]

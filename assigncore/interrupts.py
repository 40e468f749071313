"""Interrupts at a safe point: never while somebody else's code takes a lock."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["POLL", "held_interrupts"]

POLL = 0.2
"""Seconds to wait for something until it is time to look whether an interrupt has come."""


@contextmanager
def held_interrupts() -> Iterator[Callable[[], None]]:
    """Hold back what interrupts this process, and yield what lets it through when it is called.

    `concurrent.futures` takes a lock for each future that it waits for. An interrupt that comes between two
    leaves the first taken for ever, and the pool's own thread, which wants it, never ends. Once one has been
    let through, others that come meanwhile are forgotten: whatever it stops is ending already. Only the main
    thread is interrupted, so that others hold nothing.
    """
    handlers: dict[int, Callable[..., Any]] = {}
    came: list[int] = []
    is_ending = False

    def hold(number: int, _: object) -> None:
        came.append(number)

    def let_through() -> None:
        nonlocal is_ending
        while came and not is_ending:
            is_ending = True
            number = came.pop(0)
            handlers[number](number, None)
            is_ending = False

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler):
                handlers[number] = handler
                signal.signal(number, hold)
    try:
        yield let_through
    finally:
        for held, handler in handlers.items():
            signal.signal(held, handler)
    let_through()

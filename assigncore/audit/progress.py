"""How far a run has come, on stderr: a line that is renewed on a terminal, elsewhere one now and then."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from assigncore.inspect.display import plural

__all__ = ["shown_progress"]

FIRST = 1.0
"""Seconds before anything is said: what is done by then needs no progress."""

NOW_AND_THEN = 10.0
"""Seconds between two lines where there is no terminal."""

TICK = 0.25
"""Seconds between two renewals on a terminal."""


@contextmanager
def shown_progress() -> Iterator[Callable[[int, int], None]]:
    """Show progress on stderr until the context ends; give what is to be told the images done and of all."""
    state = _Progress()
    thread = threading.Thread(target=state.show, name="assigncore progress", daemon=True)
    thread.start()
    try:
        yield state.update
    finally:
        state.ended.set()
        thread.join()


class _Progress:
    """What is known of a run, and the thread's loop that shows it."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.ended = threading.Event()
        self.done, self.total = 0, 0
        self.counting_since = 0.0

    def update(self, done: int, total: int) -> None:
        """Take note of the images done, and of all."""
        if not self.total or not done:
            self.counting_since = time.monotonic()
        self.done, self.total = done, total

    def show(self) -> None:
        """Write until the run has ended."""
        if self.ended.wait(FIRST) or sys.stderr is None:
            return
        terminal, width = sys.stderr.isatty(), 0
        # Progress is not worth an error, such as that nobody reads it any more.
        with suppress(OSError, ValueError):
            while True:
                line = self.line()
                if terminal:
                    sys.stderr.write("\r" + line.ljust(width))
                    width = len(line)
                else:
                    sys.stderr.write(line + "\n")
                sys.stderr.flush()
                if self.ended.wait(TICK if terminal else NOW_AND_THEN):
                    break
            if terminal:
                sys.stderr.write("\r" + " " * width + "\r")
                sys.stderr.flush()

    def line(self) -> str:
        """Say how far the run has come, and how long the rest will take."""
        now = time.monotonic()
        if not self.total:
            return f"reading annotations, {clock(now - self.began)}"
        text = f"{self.done:,} of {plural(self.total, 'image')} ({self.done / self.total:.0%})"
        if self.done:
            seconds = max(now - self.counting_since, 1e-9)
            left = (self.total - self.done) * seconds / self.done
            text += f", {self.done / seconds:,.0f} a second, {clock(left)} left"
        return text


def clock(seconds: float) -> str:
    """Write a duration as minutes and seconds, or hours and so on.

    Examples
    --------
    >>> clock(7.4), clock(3725)
    ('0:07', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

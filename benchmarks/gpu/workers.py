"""Tasks in processes of their own: one that crashes, hangs or runs out of memory takes nothing along."""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import IO, Any

__all__ = ["Outcome", "Task", "run_tasks"]

GRACE = 0.5
"""Seconds after which a process that was asked to end is killed."""

TOLD = 600
"""Characters of what a process said before it died that are kept."""


@dataclass(frozen=True)
class Task:
    """A piece of work of a part.

    Attributes
    ----------
    part : str
        The part.
    name : str
        What it is called there.
    function : str
        Module and name, ``"parts:times"`` say; it returns figures, plain data for JSON.
    arguments : dict
        Its keyword arguments, plain data.
    limit : float
        Seconds it may take.
    """

    part: str
    name: str
    function: str
    arguments: dict[str, Any] = field(default_factory=dict)
    limit: float = 60.0


@dataclass(frozen=True)
class Outcome:
    """How a task ended: ``done``, ``failed``, ``crashed`` or ``out of time``."""

    status: str
    message: str
    seconds: float
    figures: dict[str, Any]


def run_tasks(
    tasks: Sequence[Task], processes: int, end: float, on_outcome: Callable[[Task, Outcome], None]
) -> None:
    """Run tasks in processes until all are done or the time is over.

    Parameters
    ----------
    tasks : sequence of Task
        In the order in which they are started.
    processes : int
        How many work at once. A process does one task after another.
    end : float
        When the time is over, by ``time.monotonic``. Tasks that run then are stopped, and the rest is not
        started.
    on_outcome : callable
        Called with each task and its outcome, one at a time.
    """
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    lock = threading.Lock()

    def serve() -> None:
        worker: _Worker | None = None
        while True:
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                break
            left = end - time.monotonic()
            if left <= 0:
                outcome = Outcome("out of time", "not started", 0.0, {})
            else:
                worker = worker or _Worker()
                outcome = worker.run(task, min(task.limit, left))
                if outcome.status in ("crashed", "out of time"):
                    worker.stop()
                    worker = None
            with lock:
                on_outcome(task, outcome)
        if worker is not None:
            worker.stop()

    threads = [threading.Thread(target=serve) for _ in range(max(1, min(processes, len(tasks))))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class _Worker:
    """A process that does tasks, spoken to in lines of JSON."""

    def __init__(self) -> None:
        handle, name = tempfile.mkstemp(suffix=".log")
        self.log = Path(name)
        with open(handle, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def run(self, task: Task, limit: float) -> Outcome:
        """Let it do a task."""
        start = time.monotonic()
        pipe_in, pipe_out = self.process.stdin, self.process.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        try:
            pipe_in.write(json.dumps([task.function, task.arguments]) + "\n")
            pipe_in.flush()
            ready, _, _ = select.select([pipe_out], [], [], limit)
            answer = pipe_out.readline() if ready else ""
        except BrokenPipeError:
            ready, answer = [pipe_out], ""
        seconds = time.monotonic() - start
        if not ready:
            return Outcome("out of time", f"stopped after {seconds:.0f} s", seconds, {})
        if not answer:
            return Outcome("crashed", self._last_words(), seconds, {})
        status, message, figures = json.loads(answer)
        return Outcome(status, message, seconds, figures)

    def _last_words(self) -> str:
        code = self.process.wait(GRACE * 10)
        told = " ".join(self.log.read_text(errors="replace").split())
        return f"exit code {code}: {told[-TOLD:]}"

    def stop(self) -> None:
        """End it, and what it has started."""
        assert self.process.stdin is not None
        with suppress(OSError, subprocess.TimeoutExpired):
            self.process.stdin.close()
            self.process.wait(GRACE)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.unlink(missing_ok=True)


def _work(tasks: IO[str], answers: IO[str]) -> None:
    """Do tasks line by line, and answer each with a line."""
    for line in tasks:
        function, arguments = json.loads(line)
        module, _, name = function.partition(":")
        try:
            answer = ["done", "", getattr(import_module(module), name)(**arguments)]
        except Exception as error:
            answer = ["failed", f"{type(error).__name__}: {error}"[:TOLD], {}]
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    import faulthandler

    faulthandler.enable()
    # Whatever is printed meanwhile must not stand among the answers.
    to_parent = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _work(sys.stdin, to_parent)

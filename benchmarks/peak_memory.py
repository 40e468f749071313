"""Peak memory of one call, in a process of its own.

The process imports what it needs, makes the inputs and makes the call once, for whatever only a first call
does. It gives the memory that is free by then back to the system. Then it makes the call again, and counts
how far its resident memory rises: outputs are part of that, inputs are not. Linux tells and resets the peak
of a process itself; ``getrusage`` would start from the peak of the parent, which has timed big things.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import hashlib
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rows import ROWS
from subjects import BASELINE, Subject

__all__ = ["Peak", "can_measure", "measure_in_a_new_process", "rise_of"]

STATUS = Path("/proc/self/status")
PEAK_RESET = Path("/proc/self/clear_refs")
MEMORY_INFO = Path("/proc/meminfo")

SHARE_OF_FREE = 0.9
"""How much of the machine's free memory a call may take before it is stopped, for the others' sake."""


@dataclass(frozen=True)
class Peak:
    """What one call took.

    Attributes
    ----------
    extra_bytes : int or None
        Peak beside the inputs; None where the call ran out of memory.
    limit_bytes : int
        The memory it might have taken.
    digest : str
        Of `gt_inds`, to compare with what others found.
    """

    extra_bytes: int | None
    limit_bytes: int
    digest: str


def can_measure() -> bool:
    """Whether this system tells a process its peak and lets it start afresh."""
    return STATUS.exists() and PEAK_RESET.exists() and MEMORY_INFO.exists()


def measure_in_a_new_process(subject: str, row: str, *, quick: bool) -> Peak:
    """Measure one call of a subject, by name, over the row's memory case.

    Raises
    ------
    RuntimeError
        If the process fails for another reason than memory; the message is its last words.
    """
    command = [sys.executable, __file__, subject, row, *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the peak memory of {subject} in {row}: {done.stderr.strip()}")
    return Peak(**json.loads(done.stdout))


def _measure(subject: str, row_name: str, *, quick: bool) -> Peak:
    row = ROWS[row_name].quick() if quick else ROWS[row_name]
    prepare = BASELINE.prepare if subject == BASELINE.name else Subject.named(subject).prepare
    call = prepare(row, row.inputs(row.memory_case()))
    limit = _limit_to(SHARE_OF_FREE * _kilobytes(MEMORY_INFO, "MemAvailable") * 1024)
    try:
        digest = hashlib.sha256(call.gt_inds(call.run()).tobytes()).hexdigest()
        rise = rise_of(call.run)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
            raise
        return Peak(None, limit, "")
    return Peak(rise, limit, digest)


def rise_of(run: Callable[[], object]) -> int:
    """Return how far a call lets the resident memory of this process rise, in bytes."""
    _give_back_what_is_free()
    PEAK_RESET.write_text("5")
    start = _kilobytes(STATUS, "VmRSS")
    run()
    return (_kilobytes(STATUS, "VmHWM") - start) * 1024


def _give_back_what_is_free() -> None:
    gc.collect()
    allocator = ctypes.CDLL(None)
    if hasattr(allocator, "malloc_trim"):
        allocator.malloc_trim(0)


def _limit_to(extra: float) -> int:
    limit = int(extra)
    address_space = _kilobytes(STATUS, "VmSize") * 1024 + limit
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    return limit


def _kilobytes(path: Path, field: str) -> int:
    (line,) = (line for line in path.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the peak memory of one call as JSON.")
    parser.add_argument("subject")
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    print(json.dumps(asdict(_measure(options.subject, options.row, quick=options.quick))))


if __name__ == "__main__":
    main()

"""The CUDA devices of this machine, asked of the driver itself: no array library needs to be installed."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

__all__ = ["NO_CUDA", "cuda_devices", "cuda_driver"]

NO_CUDA = "no CUDA device"
"""Why a cell is not run that needs one."""

DRIVERS = ("libcuda.so.1", "nvcuda.dll")
"""The driver's library, by platform."""


def _load() -> Any:
    """Load the driver; None where there is none."""
    for name in DRIVERS:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _ask(driver: Any, question: str) -> int:
    """Let the driver answer with a number; 0 where it answers with an error."""
    answer = ctypes.c_int(0)
    failed = driver is None or driver.cuInit(0) or getattr(driver, question)(ctypes.byref(answer))
    return 0 if failed else answer.value


@cache
def cuda_devices() -> int:
    """Count the CUDA devices.

    Returns
    -------
    int
        0 where there is no driver either.

    Examples
    --------
    >>> cuda_devices() >= 0
    True
    """
    return _ask(_load(), "cuDeviceGetCount")


def cuda_driver() -> str:
    """Give the CUDA version of the driver.

    Returns
    -------
    str
        Such as ``"12.4"``; empty where there is no device.
    """
    version = _ask(_load(), "cuDriverGetVersion")
    return f"{version // 1000}.{version % 1000 // 10}" if version else ""

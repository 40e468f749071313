"""The CUDA devices of this machine, and what PyTorch has for them alone.

The devices are asked of the driver itself, so that no array library needs to be installed. Every call that
PyTorch has for CUDA alone stands here: forbidden waits, graphs, events, the allocator's figures. None can be
tried without a device, so that the tests hold each against PyTorch's own signatures.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

__all__ = [
    "NO_CUDA",
    "NotCaptured",
    "Synchronised",
    "count_launches",
    "cuda_devices",
    "cuda_driver",
    "describe_device",
    "forbidden_synchronisation",
    "peak_memory",
    "record_graph",
    "time_by_events",
    "wait",
]

Function = Callable[..., Any]

WARM_UPS = 3
"""Calls before a capture: libraries set themselves up during the first ones, which no graph can hold."""

LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaMemcpyAsync", "cudaMemsetAsync", "cudaGraphLaunch")
"""What the profiler calls that which the host asks of the device, each with or without a suffix."""


class Synchronised(Exception):  # noqa: N818
    """The host waited for the device."""


class NotCaptured(Exception):  # noqa: N818
    """A CUDA graph could not capture the call."""


@contextmanager
def forbidden_synchronisation(torch: Any) -> Iterator[None]:
    """Turn each wait of the host for the device into a `Synchronised`, until the context ends."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    except RuntimeError as error:
        if "synchroniz" not in str(error):
            raise
        raise Synchronised(str(error)) from error
    finally:
        torch.cuda.set_sync_debug_mode(before)


def wait(torch: Any) -> None:
    """Wait until the device has done all it was asked."""
    torch.cuda.synchronize()


def record_graph(torch: Any, function: Function, arrays: Mapping[str, Any]) -> tuple[Any, Any]:
    """Capture a call in a CUDA graph.

    Parameters
    ----------
    torch : module
        PyTorch.
    function : callable
        Of the keyword tensors `arrays`, whose memory a replay reads again.
    arrays : mapping of str to tensor
        On the device.

    Returns
    -------
    graph : torch.cuda.CUDAGraph
        Its ``replay()`` runs the call again.
    outputs : object
        What `function` returned: memory that a replay fills.

    Raises
    ------
    NotCaptured
        The call cannot be captured.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            function(**arrays)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    return graph, _captured(torch, graph, partial(function, **arrays))


def _captured(torch: Any, graph: Any, call: Callable[[], Any]) -> Any:
    cause: Exception | None = None
    try:
        with torch.cuda.graph(graph):
            try:
                return call()
            except Exception as error:
                # Leaving a capture that broke raises another error, which does not tell what broke it.
                cause = error
                raise
    except Exception as error:
        told = cause or error
        raise NotCaptured(f"{type(told).__name__}: {told}") from told


def time_by_events(torch: Any, call: Callable[[], Any]) -> float:
    """Return the seconds that a call keeps the device, by its own events, and wait for their end."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3


def peak_memory(torch: Any, call: Callable[[], Any]) -> int:
    """Return by how many bytes the allocator's peak rises during a call, its outputs among them."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    outputs = call()
    torch.cuda.synchronize()
    peak = int(torch.cuda.max_memory_allocated()) - int(before)
    del outputs
    return peak


def count_launches(torch: Any, call: Callable[[], Any]) -> int:
    """Count the kernels, copies, fillings and graphs that a call asks of the device."""
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as profile:
        call()
        torch.cuda.synchronize()
    return sum(event.count for event in profile.key_averages() if event.key.startswith(LAUNCHES))


def describe_device(torch: Any) -> dict[str, Any]:
    """Name the device and what it has."""
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {
        "name": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "memory": properties.total_memory,
        "cuda": torch.version.cuda,
    }


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

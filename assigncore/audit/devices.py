"""From the names on the command line to a backend and a device of it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from assigncore.audit.errors import AuditError
from assigncore.backend import ArrayBackend, load_backend

BACKENDS = ("numpy", "torch", "jax", "cupy")


def open_backend(name: str, device: str | None) -> tuple[ArrayBackend, Any]:
    """Load an array library and find its device.

    Parameters
    ----------
    name : str
        One of ``BACKENDS``.
    device : str or None
        As the library calls it: ``cpu``, ``cuda``, ``cuda:1``, ... None: the library's default.

    Returns
    -------
    (ArrayBackend, device)

    Raises
    ------
    AuditError
        If the library is not installed or has no such device; an array is put there to find out.
    """
    try:
        backend = load_backend(name)
    except ModuleNotFoundError as error:
        raise AuditError(f"--backend {name}: {error}") from None
    try:
        found = None if device is None else _DEVICES[name](device)
        backend.to_numpy(backend.from_numpy(np.zeros(1, dtype=np.float32), found))
    except Exception as error:  # each library has its own exceptions for a device that is not there
        wanted = "--device" if device is None else f"--device {device}"
        raise AuditError(f"{wanted}: not available to {name}: {str(error) or type(error).__name__}") from None
    return backend, found


def _numpy(device: str) -> str:
    if device != "cpu":
        raise ValueError("NumPy computes on 'cpu' only")
    return device


def _torch(device: str) -> Any:
    return importlib.import_module("torch").device(device)


def _jax(device: str) -> Any:
    platform, _, index = device.partition(":")
    return importlib.import_module("jax").devices(platform)[int(index or 0)]


def _cupy(device: str) -> Any:
    platform, _, index = device.partition(":")
    if platform not in ("cuda", "gpu"):
        raise ValueError("CuPy computes on 'cuda' devices only")
    return importlib.import_module("cupy").cuda.Device(int(index or 0))


_DEVICES: Mapping[str, Callable[[str], Any]] = {"numpy": _numpy, "torch": _torch, "jax": _jax, "cupy": _cupy}

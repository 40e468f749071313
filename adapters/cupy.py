"""CuPy: eager, on the device of the arrays."""

from __future__ import annotations

from typing import Any

import array_api_compat.cupy as xp
import cupy
import numpy as np

from assigncore.backend import Array, ArrayBackend

__all__ = ["CupyBackend"]


class CupyBackend(ArrayBackend):
    """Primitives of CuPy."""

    name = "cupy"
    array_types = (cupy.ndarray,)

    def __init__(self) -> None:
        super().__init__(xp)

    def device_of(self, x: Array) -> Any:
        """Return the array's device."""
        return x.device

    def scatter_max(self, index: Array, values: Array, size: int, *, fill: float = 0) -> Array:
        """Scatter in place of comparing every place with every entry."""
        out = cupy.full((index.shape[0], size), fill, dtype=values.dtype)
        cupy.maximum.at(out, (cupy.arange(index.shape[0])[:, None], index), values)
        return out

    def from_numpy(self, x: np.ndarray[Any, Any], device: Any = None) -> Array:
        """Copy to the current device, or to the one named."""
        with cupy.cuda.Device(device):
            return cupy.asarray(x)

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        """Copy to the host, which waits for the device."""
        return np.asarray(cupy.asnumpy(x))

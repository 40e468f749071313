"""CuPy: eager, on its current device. Arrays of another one are computed with inside ``with x.device:``."""

from __future__ import annotations

from typing import Any

import array_api_compat.cupy as xp
import cupy
import numpy as np

from assigncore.backend import Array, ArrayBackend

__all__ = ["CupyBackend"]


def _ordered_keys(x: Array) -> Array:
    """Give unsigned integers in the order of `x`, NaN last; of four bytes at least, as scattering asks.

    The bits of floats that are not negative are in their order; those of negative ones in the reverse.
    """
    bits = np.dtype(f"u{x.dtype.itemsize}").type
    keys = x.view(bits)
    if x.dtype.kind == "i":
        keys = keys ^ _sign(bits)
    elif x.dtype.kind == "f":
        own = cupy.where(cupy.isnan(x), x.dtype.type(np.nan), x).view(bits)
        keys = cupy.where((own & _sign(bits)) != 0, ~own, own | _sign(bits))
    return keys.astype(cupy.uint32) if x.dtype.itemsize < 4 else keys


def _values_of_keys(keys: Array, dtype: Any) -> Array:
    bits = np.dtype(f"u{dtype.itemsize}").type
    own = keys.astype(bits, copy=False)
    if dtype.kind == "i":
        own = own ^ _sign(bits)
    elif dtype.kind == "f":
        own = cupy.where((own & _sign(bits)) != 0, own ^ _sign(bits), ~own)
    return own.view(dtype)


def _sign(bits: type[np.unsignedinteger[Any]]) -> Any:
    """Return the bit that tells the sign."""
    return bits(1 << (8 * np.dtype(bits).itemsize - 1))


class CupyBackend(ArrayBackend):
    """Primitives of CuPy."""

    name = "cupy"
    array_types = (cupy.ndarray,)

    def __init__(self) -> None:
        super().__init__(xp)

    def device_of(self, x: Array) -> Any:
        """Return the array's device."""
        return x.device

    def rounds_from_double(self, x: Array) -> bool:
        """Return false: the library's own functions are what its users know, and its compilers."""
        return False

    def scatter_max(self, index: Array, values: Array, size: int, *, fill: float = 0) -> Array:
        """Scatter in place of comparing every place with every entry: keys, in the order of the values.

        CuPy's own maximum of what is scattered rounds float64 to float32, passes over NaN, and takes neither
        what has less than four bytes nor, before version 14, int64.
        """
        with values.device:
            lowest = _ordered_keys(cupy.full((), fill, dtype=values.dtype))
            keys = cupy.broadcast_to(lowest, (index.shape[0], size)).copy()
            rows = cupy.arange(index.shape[0])[:, None]
            cupy.maximum.at(keys, (rows, index), _ordered_keys(values))
            return _values_of_keys(keys, values.dtype)

    def from_numpy(self, x: np.ndarray[Any, Any], device: Any = None) -> Array:
        """Copy to the current device, or to the one named."""
        with cupy.cuda.Device(device):
            return cupy.asarray(x)

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        """Copy to the host, which waits for the device."""
        return np.asarray(cupy.asnumpy(x))

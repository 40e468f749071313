"""What a target of the suite is: an array library on a device.

A target is a library on a device, together with what it takes to run a call there: whether it can run here at
all, how arrays get in and out without losing their dtype, the settings that must hold meanwhile, and how to
compile.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.backend import ArrayBackend, load_backend
from assigncore.conformance.targets.cuda import NO_CUDA, cuda_devices

__all__ = ["Mode", "Target"]

AnyArray = NDArray[Any]


class Mode(StrEnum):
    """How a call is run."""

    EAGER = "eager"
    """Operation by operation, an image at a time."""
    BATCHED = "batched"
    """Operation by operation, several images of different sizes padded to one batch."""
    JIT = "jit"
    """Compiled as a whole: ``jax.jit``, ``torch.compile(fullgraph=True)``."""


@dataclass(frozen=True)
class Target:
    """An array library on a device.

    Parameters
    ----------
    name : str
        What it is called on the command line.
    library : str
        The library's import name.
    device : str or None
        The library's own name for the device; its default device when None.
    modes : tuple of Mode
        What the library can do.
    dtypes : tuple of str
        Its real floating dtypes.
    subnormals : bool
        Whether it computes with numbers below the least normal one, rather than taking them for 0.
    has_values : bool
        Whether its arrays have values. Where they have none, whatever reads one fails: that is shown there,
        and nothing else can be.
    rounds_alike : bool
        Whether an operation rounds a number alike wherever it lies and whatever is beside it.
    compiles_operations : bool
        Whether each operation is compiled for each shape, so that a case of a new shape takes seconds.
    """

    name: str
    library: str
    device: str | None = None
    modes: tuple[Mode, ...] = (Mode.EAGER, Mode.BATCHED)
    dtypes: tuple[str, ...] = ("float32", "float64")
    subnormals: bool = True
    has_values: bool = True
    rounds_alike: bool = True
    compiles_operations: bool = False

    @property
    def module(self) -> Any:
        """The library, imported when first asked for."""
        return importlib.import_module(self.library)

    @property
    def backend(self) -> ArrayBackend:
        """The library's backend in assigncore."""
        return load_backend(self.library)

    @property
    def version(self) -> str:
        """The library's version."""
        return str(getattr(self.module, "__version__", "unknown"))

    def unavailable(self) -> str:
        """Say why the target cannot run on this machine.

        Returns
        -------
        str
            The reason; empty when it can run.
        """
        try:
            reason = self._device_fault(self.module)
        except ImportError as error:
            reason = f"{self.library} cannot be imported: {error}"
        # Without a device it is of no interest what else is missing.
        return NO_CUDA if reason and self.on_cuda and not cuda_devices() else reason

    def incomparable(self) -> str:
        """Say why answers cannot be compared on this machine: the target cannot run, or they have no values.

        Returns
        -------
        str
            The reason; empty where they can be compared.
        """
        reason = self.unavailable()
        return reason or ("" if self.has_values else f"arrays on {self.name} have no values to compare")

    @property
    def on_cuda(self) -> bool:
        """Whether it computes on a CUDA device."""
        return self.device == "cuda"

    def _device_fault(self, module: Any) -> str:
        """Say what is wrong with the device, the library being there."""
        return ""

    @contextmanager
    def running(self, *, x64: bool) -> Iterator[None]:
        """Hold the settings under which calls are run, and restore them afterwards.

        Parameters
        ----------
        x64 : bool
            Whether the call computes in float64.
        """
        yield

    def native_device(self) -> Any:
        """Give the device as the library itself spells it; None for its default device."""
        return self.device

    def from_numpy(self, array: AnyArray) -> Any:
        """Bring a NumPy array to the target; the dtype stays, as far as `running` allows it."""
        return self.backend.from_numpy(array, device=self.native_device())

    def in_dtype(self, array: AnyArray, dtype: str) -> Any:
        """Bring real NumPy numbers to the target in one of its `dtypes`, which NumPy need not have."""
        native = self.from_numpy(array)
        return native if array.dtype.name == dtype else self.backend.xp.astype(native, self.dtype(dtype))

    def dtype(self, name: str) -> Any:
        """Give a dtype by its name."""
        return getattr(self.backend.xp, name)

    def mixed_precisions(self) -> Mapping[str, AbstractContextManager[Any]]:
        """Give the contexts in which the library would compute in half precision by itself, by dtype."""
        return {}

    def elsewhere(self, array: Any) -> Any:
        """Bring an array of the target to another device of its library; None where there is no other."""
        return None

    def without_values(self, array: Any) -> Any:
        """Give an array of this shape and dtype whose values nobody can read; None where there is no such."""
        return None

    def gradients(
        self, function: Callable[..., Mapping[str, Any]], arrays: Mapping[str, Any]
    ) -> tuple[str, ...]:
        """Name what of a function's outputs carries a gradient, or which of its arrays gets one from them."""
        return ()

    def capture(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Record a function as one graph, by default by compiling it."""
        return self.compile(function)

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Refuse to compile a function anew, and as far as the library can, to bring values to the host."""
        yield

    def to_numpy(self, array: Any) -> AnyArray:
        """Bring an array of the target back, with its dtype."""
        return np.asarray(self.backend.to_numpy(array))

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Compile a function of keyword arrays as a whole.

        Parameters
        ----------
        function : callable
            Takes and returns arrays of the library.

        Returns
        -------
        callable

        Raises
        ------
        NotImplementedError
            The library has no compiler.
        """
        return self.backend.compile(function)

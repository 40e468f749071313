"""The array libraries under test, by name.

A target is a library on a device, together with what it takes to run a call there: whether it can run here at
all, how arrays get in and out without losing their dtype, the settings that must hold meanwhile, and how to
compile.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.backend import ArrayBackend, load_backend

__all__ = ["TARGETS", "Mode", "Target", "available_targets", "get_target"]

AnyArray = NDArray[Any]


class Mode(StrEnum):
    """How a call is run."""

    EAGER = "eager"
    """Operation by operation."""
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
    """

    name: str
    library: str
    device: str | None = None
    modes: tuple[Mode, ...] = (Mode.EAGER,)

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
        return str(self.module.__version__)

    def unavailable(self) -> str:
        """Say why the target cannot run on this machine.

        Returns
        -------
        str
            The reason; empty when it can run.
        """
        try:
            return self._device_fault(self.module)
        except ImportError as error:
            return f"{self.library} cannot be imported: {error}"

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


class TorchTarget(Target):
    """PyTorch on a device."""

    def _device_fault(self, module: Any) -> str:
        if self.device == "cuda" and not module.cuda.is_available():
            return "no CUDA device"
        return ""

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Compile with an empty cache, because PyTorch refuses a function after a few recompilations."""
        self.module.compiler.reset()
        return super().compile(function)


class JaxTarget(Target):
    """JAX on its default device."""

    @contextmanager
    def running(self, *, x64: bool) -> Iterator[None]:
        """Switch 64-bit numbers on for float64, which JAX would otherwise quietly round to float32."""
        with self.module.enable_x64(x64):
            yield


class CupyTarget(Target):
    """CuPy on the current CUDA device."""

    def _device_fault(self, module: Any) -> str:
        runtime = module.cuda.runtime
        try:
            count = runtime.getDeviceCount()
        except runtime.CUDARuntimeError as error:
            return f"no CUDA device: {error}"
        return "" if count else "no CUDA device"


class StrictTarget(Target):
    """array_api_strict, with everything forbidden that the standard does not require."""

    @contextmanager
    def running(self, *, x64: bool) -> Iterator[None]:
        """Forbid boolean indexing, data-dependent shapes and the optional extensions.

        The flags belong to the process, so what they were is put back.
        """
        with self.module.ArrayAPIStrictFlags(
            boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()
        ):
            yield

    def native_device(self) -> Any:
        """Give the device object of this name."""
        return None if self.device is None else self.module.Device(self.device)


_BOTH = (Mode.EAGER, Mode.JIT)

TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        target.name: target
        for target in (
            Target("numpy", "numpy"),
            TorchTarget("torch", "torch", "cpu", _BOTH),
            TorchTarget("torch:cuda", "torch", "cuda", _BOTH),
            JaxTarget("jax", "jax", None, _BOTH),
            CupyTarget("cupy", "cupy"),
            StrictTarget("array_api_strict", "array_api_strict"),
            StrictTarget("array_api_strict:device1", "array_api_strict", "device1"),
        )
    }
)
"""Every target by its name."""

_ALIASES = {"torch:cpu": "torch"}


def get_target(name: str) -> Target:
    """Find a target by name.

    Parameters
    ----------
    name : str
        One of `TARGETS`, or ``"torch:cpu"`` for ``"torch"``.

    Returns
    -------
    Target
        It need not be able to run here: see `Target.unavailable`.

    Raises
    ------
    ValueError
        There is no such target.

    Examples
    --------
    >>> get_target("torch:cpu").name
    'torch'
    """
    known = _ALIASES.get(name, name)
    if known not in TARGETS:
        near = get_close_matches(name, [*TARGETS, *_ALIASES], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"backend {name!r} is not known; expected one of {', '.join(TARGETS)}{hint}")
    return TARGETS[known]


def available_targets() -> tuple[Target, ...]:
    """List the targets that can run on this machine.

    Returns
    -------
    tuple of Target

    Examples
    --------
    >>> "numpy" in [target.name for target in available_targets()]
    True
    """
    return tuple(target for target in TARGETS.values() if not target.unavailable())

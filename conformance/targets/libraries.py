"""The array libraries under test, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import Any

from assigncore.adapters.kernels.compiled import answers_by_kernels, without_kernels
from assigncore.backend.fast_path import without_numpy_fast_path
from assigncore.conformance.targets.foreign import (
    describe_point,
    foreign_points,
    target_of_factory,
    target_of_namespace,
    target_of_points,
)
from assigncore.conformance.targets.target import Mode, Target

__all__ = ["TARGETS", "Mode", "Target", "available_targets", "get_target"]


@dataclass(frozen=True)
class NumpyTarget(Target):
    """NumPy, by the portable versions or by compiled loops.

    Parameters
    ----------
    kernels : bool
        Whether compiled loops answer what they can.
    """

    kernels: bool = False

    def _device_fault(self, module: Any) -> str:
        return "numba cannot be imported" if self.kernels and not answers_by_kernels() else ""

    @contextmanager
    def running(self, *, x64: bool) -> Iterator[None]:
        """Let compiled loops answer, or not."""
        with nullcontext() if self.kernels else without_kernels():
            yield


class TorchTarget(Target):
    """PyTorch on a device."""

    def _device_fault(self, module: Any) -> str:
        if self.on_cuda and not module.cuda.is_available():
            return f"torch {module.__version__} cannot use the CUDA device"
        return ""

    @contextmanager
    def running(self, *, x64: bool) -> Iterator[None]:
        """Let PyTorch compute what NumPy would do for it: it is PyTorch that is to agree."""
        with without_numpy_fast_path():
            yield

    def mixed_precisions(self) -> Mapping[str, AbstractContextManager[Any]]:
        """Give the automatic mixed precision of both half types."""
        device, torch = self.device or "cpu", self.module
        return {
            name: torch.autocast(device.partition(":")[0], getattr(torch, name))
            for name in ("float16", "bfloat16")
        }

    def elsewhere(self, array: Any) -> Any:
        """Bring it to the device without memory."""
        return array.to("meta")

    def without_values(self, array: Any) -> Any:
        """Bring it to the device without memory."""
        return array.to("meta")

    def gradients(
        self, function: Callable[..., Mapping[str, Any]], arrays: Mapping[str, Any]
    ) -> tuple[str, ...]:
        """Name the outputs that carry a gradient."""
        given = {name: x.requires_grad_() if x.dtype.is_floating_point else x for name, x in arrays.items()}
        return tuple(name for name, x in function(**given).items() if x.requires_grad)

    def capture(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Record the graph that would be compiled, and run it operation by operation."""
        self.module.compiler.reset()
        captured: Callable[..., Any] = self.module.compile(
            function, fullgraph=True, dynamic=False, backend="eager"
        )
        return captured

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Refuse to compile anew."""
        with self.module.compiler.set_stance("fail_on_recompile"):
            yield

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Compile with an empty cache, because PyTorch refuses a function after a few recompilations."""
        self.module.compiler.reset()
        return super().compile(function)


class JaxTarget(Target):
    """JAX on its default device."""

    @contextmanager
    def running(self, *, x64: bool) -> Iterator[None]:
        """Switch 64-bit numbers on for float64, which JAX would otherwise quietly round to float32."""
        # JAX 0.6 has it among its experiments alone.
        home = self.module if hasattr(self.module, "enable_x64") else import_module("jax.experimental")
        with home.enable_x64(x64):
            yield

    def gradients(
        self, function: Callable[..., Mapping[str, Any]], arrays: Mapping[str, Any]
    ) -> tuple[str, ...]:
        """Name the arrays that get a gradient from the sum of all outputs."""
        numbers = self.module.numpy
        real = {name: x for name, x in arrays.items() if numbers.issubdtype(x.dtype, numbers.floating)}

        def total(real: Mapping[str, Any]) -> Any:
            return sum(numbers.sum(x) * 1.0 for x in function(**{**arrays, **real}).values())

        gradients = self.module.jit(self.module.grad(total))(real)
        return tuple(name for name, x in gradients.items() if bool(numbers.any(x != 0)))

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Refuse to bring values to the host or to the device."""
        with self.module.transfer_guard("disallow"):
            yield

    def dtype(self, name: str) -> Any:
        """Give a dtype by its name; the namespace of the standard has none of two bytes."""
        return getattr(self.module.numpy, name)

    def elsewhere(self, array: Any) -> Any:
        """Bring it to the next device, where there is one."""
        devices = self.module.devices()
        return self.module.device_put(array, devices[1]) if len(devices) > 1 else None


class CupyTarget(Target):
    """CuPy on the current CUDA device."""

    def _device_fault(self, module: Any) -> str:
        runtime = module.cuda.runtime
        try:
            count = runtime.getDeviceCount()
        except runtime.CUDARuntimeError as error:
            return f"cupy cannot use the CUDA device: {error}"
        return "" if count else "cupy finds no CUDA device"

    @property
    def on_cuda(self) -> bool:
        """Whether it computes on a CUDA device: nowhere else."""
        return True


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

    def elsewhere(self, array: Any) -> Any:
        """Bring it to the second device, or from there to the first."""
        there = self.module.Device("CPU_DEVICE" if self.device else "device1")
        return self.backend.from_numpy(self.to_numpy(array), device=there)


_ALL_MODES = tuple(Mode)
_WITH_HALF = ("float32", "float64", "float16")
_ALL_DTYPES = (*_WITH_HALF, "bfloat16")

TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        target.name: target
        for target in (
            NumpyTarget("numpy", "numpy", dtypes=_WITH_HALF),
            NumpyTarget("numpy:kernels", "numpy", dtypes=_WITH_HALF, kernels=True),
            TorchTarget("torch", "torch", "cpu", _ALL_MODES, _ALL_DTYPES),
            TorchTarget("torch:cuda", "torch", "cuda", _ALL_MODES, _ALL_DTYPES, rounds_alike=False),
            TorchTarget("torch:meta", "torch", "meta", _ALL_MODES[:2], _ALL_DTYPES, has_values=False),
            JaxTarget(
                "jax", "jax", None, _ALL_MODES, _ALL_DTYPES, subnormals=False, compiles_operations=True
            ),
            CupyTarget("cupy", "cupy", dtypes=_WITH_HALF, subnormals=False, rounds_alike=False),
            StrictTarget("array_api_strict", "array_api_strict"),
            StrictTarget("array_api_strict:device1", "array_api_strict", "device1"),
        )
    }
)
"""Every target by its name."""

_ALIASES = {
    "torch:cpu": "torch",
    "jax:cpu": "jax",
    "numpy:cpu": "numpy",
    "cupy:cuda": "cupy",
    "array_api_strict:cpu": "array_api_strict",
}


def get_target(name: str) -> Target:
    """Find a target by name.

    Parameters
    ----------
    name : str
        One of `TARGETS`, ``"torch:cpu"`` for ``"torch"`` and the like; the name of an installed entry point
        of group ``assigncore.backends``; the importable name of a namespace that follows the array API
        standard; or ``"module:factory"``. The factory of either takes nothing and returns a `Target`: a
        backend of one's own.

    Returns
    -------
    Target
        It need not be able to run here: see `Target.unavailable`.

    Raises
    ------
    ValueError
        There is no such target, two of the name, or what makes it is broken.

    Examples
    --------
    >>> get_target("torch:cpu").name
    'torch'
    """
    known = _ALIASES.get(name, name)
    points = foreign_points().get(name, ())
    if known in TARGETS:
        if points:
            also = " and ".join(describe_point(point) for point in points)
            raise ValueError(f"backend {name!r} is both the suite's own and {also}; rename the latter")
        return TARGETS[known]
    if points:
        return _unlike_own(name, target_of_points(name, points))
    near = get_close_matches(name, [*TARGETS, *_ALIASES, *foreign_points()], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    namespace = target_of_namespace(name)
    if namespace is not None:
        return namespace
    if ":" not in name:
        expected = ", ".join((*TARGETS, *foreign_points(), "a namespace's name", "MODULE:FACTORY"))
        raise ValueError(f"backend {name!r} is not known; expected one of {expected}{hint}")
    try:
        target = target_of_factory(name)
    except ValueError as error:
        raise ValueError(f"{error}{hint}") from error
    return _unlike_own(name, target)


def _unlike_own(name: str, target: Target) -> Target:
    """Refuse a foreign target called as one of the suite's own, for which reports would take it."""
    if target.name in TARGETS or target.name in _ALIASES:
        raise ValueError(f"backend {name!r}: its target is called {target.name!r}, as the suite's own is")
    return target


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
    return tuple(target for target in TARGETS.values() if not target.incomparable())

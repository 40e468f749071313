"""Who is benchmarked: the assigner on a library, eager or compiled, and the dense baseline."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from cases import Inputs, Row

from assigncore import build_assigner, load_backend

__all__ = ["BASELINE", "Call", "Contender", "Subject", "subjects_on"]

EAGER, COMPILED = "eager", "compiled"

GtInds = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Call:
    """A piece of work that is ready to run.

    Attributes
    ----------
    run : callable
        Does the work, and returns when it is done, not merely started.
    gt_inds : callable
        Reads `gt_inds` (N,) or (B, N) out of what `run` returned.
    """

    run: Callable[[], Any]
    gt_inds: Callable[[Any], GtInds]


class Contender(Protocol):
    """Whoever is timed."""

    @property
    def name(self) -> str:
        """What the report calls it."""

    def prepare(self, row: Row, inputs: Inputs) -> Call:
        """Get ready; nothing of that is timed."""


@dataclass(frozen=True)
class Subject:
    """An assigner of the core on one library.

    Attributes
    ----------
    backend : str
        Name of the library.
    compiled : bool
        Whether by the library's compiler.
    """

    backend: str
    compiled: bool = False

    @property
    def name(self) -> str:
        """What the report calls it."""
        return f"{self.backend} {COMPILED if self.compiled else EAGER}"

    @classmethod
    def named(cls, name: str) -> Subject:
        """Return the subject the report calls `name`."""
        backend, mode = name.split()
        return cls(backend, mode == COMPILED)

    def prepare(self, row: Row, inputs: Inputs) -> Call:
        """Move the inputs to the library; what is compiled is compiled at the first run."""
        backend = load_backend(self.backend)
        assigner = build_assigner(row.assigner)
        per_image = inputs.per_image
        if inputs.images == 1:
            per_image = {name: array[0] for name, array in per_image.items()}
        arrays = {name: backend.from_numpy(x) for name, x in {**inputs.shared, **per_image}.items()}

        def assign(arrays: Mapping[str, Any]) -> Any:
            return assigner.assign(**arrays, **inputs.static)

        ready = backend.compile(assign) if self.compiled else assign

        def run() -> Any:
            return _finished(self.backend, ready(arrays))

        return Call(run, lambda result: backend.to_numpy(result.gt_inds).astype(np.int64))


@dataclass(frozen=True)
class Baseline:
    """The dense PyTorch version, image after image."""

    name: str = "dense torch"

    def prepare(self, row: Row, inputs: Inputs) -> Call:
        """Make tensors of the inputs."""
        torch = importlib.import_module("torch")
        module, name = row.dense.split(".")
        dense = getattr(importlib.import_module(module), name)
        shared = {name: torch.from_numpy(x) for name, x in inputs.shared.items()}
        per_image = {name: torch.from_numpy(x) for name, x in inputs.per_image.items()}

        def run() -> list[Any]:
            return [
                dense(**shared, **{name: x[i] for name, x in per_image.items()}, **inputs.static, **row.knobs)
                for i in range(inputs.images)
            ]

        def gt_inds(outputs: list[Any]) -> GtInds:
            rows = [output[0].numpy() for output in outputs]
            return rows[0] if len(rows) == 1 else np.stack(rows)

        return Call(run, gt_inds)


BASELINE = Baseline()


def subjects_on(backends: list[str], *, torch_compile: bool = False) -> list[Subject]:
    """Return the subjects on the libraries named; JAX both ways, PyTorch compiled only where asked."""
    compiled = {"jax"} | ({"torch"} if torch_compile else set())
    found = []
    for backend in backends:
        found.append(Subject(backend))
        if backend in compiled:
            found.append(Subject(backend, compiled=True))
    return found


def _finished(backend: str, result: Any) -> Any:
    return importlib.import_module("jax").block_until_ready(result) if backend == "jax" else result

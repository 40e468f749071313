"""What a run found: as data for JSON, and the check that such data is what it should be."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assigncore.conformance.report.results import Agreement, Cell, Part
from assigncore.conformance.targets.cuda import cuda_driver
from assigncore.conformance.targets.libraries import Mode, Target

__all__ = ["SCHEMA_VERSION", "Report", "describe_target", "validate_report"]

SCHEMA_VERSION = 3
"""Version of the layout of `Report.to_json`."""


@dataclass(frozen=True)
class Report:
    """What a run found.

    Parameters
    ----------
    cells : tuple of Cell
        In the order in which they were run.
    versions : dict of str to str
        Version of each library that was run.
    backends : dict of str to mapping, optional
        For each target: library, version, device, the device's model and driver.
    seed : int, default 0
        Seed of the generated cases.
    duration : float, default 0
        Seconds the run took.
    stopped : bool, default False
        Whether the run was stopped before all cells were run.
    """

    cells: tuple[Cell, ...]
    versions: dict[str, str]
    backends: dict[str, dict[str, str]] = field(default_factory=dict)
    seed: int = 0
    duration: float = 0.0
    stopped: bool = False

    @property
    def agrees(self) -> bool:
        """Whether something was compared and nothing disagreed."""
        return self.compared > 0 and not any(cell.failures for cell in self.cells)

    @property
    def compared(self) -> int:
        """Number of cases that were compared."""
        return sum(len(cell.results) - cell.count(Agreement.NOT_RUN) for cell in self.cells)

    def to_json(self) -> dict[str, Any]:
        """Give the report as JSON-serialisable data, which `validate_report` finds nothing wrong with."""
        from assigncore import __version__

        return {
            "schema": SCHEMA_VERSION,
            "project": __version__,
            "platform": platform.platform(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "versions": self.versions,
            "backends": self.backends,
            "seed": self.seed,
            "duration_s": round(self.duration, 3),
            "stopped": self.stopped,
            "agrees": self.agrees,
            "compared": self.compared,
            "cells": [_cell(cell) for cell in self.cells],
        }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "part": cell.part.value,
        "assigner": cell.variant,
        "backend": cell.target,
        "mode": cell.mode.value,
        "dtype": cell.dtype,
        "not_run": cell.not_run,
        "worst": cell.worst.name.lower(),
        "cases": [
            {
                "case": result.case,
                "status": result.agreement.name.lower(),
                "message": result.message,
                **({} if result.margin is None else {"margin": result.margin}),
            }
            for result in cell.results
        ],
    }


def describe_target(target: Target) -> dict[str, str]:
    """Name a target's library, version and device, with the device's model and driver where it has them."""
    model, driver = platform.processor() or platform.machine(), ""
    if target.on_cuda and target.library == "torch":
        model, driver = target.module.cuda.get_device_name(), f"CUDA {cuda_driver()}"
    elif target.library == "cupy":
        properties = target.module.cuda.runtime.getDeviceProperties(target.module.cuda.Device().id)
        model, driver = properties["name"].decode(), f"CUDA {cuda_driver()}"
    return {
        "library": target.library,
        "version": target.version,
        "device": target.device or "default",
        "model": model,
        "driver": driver,
    }


_TOP = {
    "schema": int, "project": str, "platform": str, "machine": str, "python": str, "versions": dict,
    "backends": dict, "seed": int, "duration_s": (int, float), "agrees": bool, "compared": int, "cells": list,
}  # fmt: skip
_CELL = {
    "part": str, "assigner": str, "backend": str, "mode": str, "dtype": str, "not_run": str, "worst": str,
    "cases": list,
}  # fmt: skip
_CASE = {"case": str, "status": str, "message": str}

_WORDS: Mapping[str, frozenset[str]] = {
    "part": frozenset(part.value for part in Part),
    "mode": frozenset(mode.value for mode in Mode),
    "worst": frozenset(level.name.lower() for level in Agreement),
    "status": frozenset(level.name.lower() for level in Agreement),
}


def validate_report(data: Any) -> tuple[str, ...]:
    """Say what is wrong with the data of a report.

    Parameters
    ----------
    data : object
        What a JSON file holds.

    Returns
    -------
    tuple of str
        A line for each fault, with its place; empty where there is none.

    Examples
    --------
    >>> validate_report(Report((), {}).to_json())
    ()
    >>> validate_report({"schema": 1})
    ('schema: got 1, expected 3',)
    """
    if not isinstance(data, dict):
        return (f"expected a mapping, got {type(data).__name__}",)
    if data.get("schema") != SCHEMA_VERSION:
        return (f"schema: got {data.get('schema')}, expected {SCHEMA_VERSION}",)
    faults = _faults(data, _TOP, "")
    if faults:
        return tuple(faults)
    for number, cell in enumerate(data["cells"]):
        place = f"cells[{number}]"
        found = _faults(cell, _CELL, place)
        if not found:
            for index, case in enumerate(cell["cases"]):
                found += _faults(case, _CASE, f"{place}.cases[{index}]")
        if not found:
            found += _contradictions(cell, place)
        faults += found
    if not faults:
        failing = {level.name.lower() for level in Agreement if not level.agrees}
        agrees = data["compared"] > 0 and not any(
            case["status"] in failing for cell in data["cells"] for case in cell["cases"]
        )
        if agrees != data["agrees"]:
            faults.append(f"agrees: got {data['agrees']}, the cases say {agrees}")
    return tuple(faults)


def _faults(data: Any, expected: Mapping[str, Any], place: str) -> list[str]:
    if not isinstance(data, dict):
        return [f"{place}: expected a mapping, got {type(data).__name__}"]
    dot = f"{place}." if place else ""
    faults = [f"{dot}{name}: missing" for name in expected if name not in data]
    for name, kind in expected.items():
        if name not in data:
            continue
        value = data[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            faults.append(f"{dot}{name}: wrong type {type(value).__name__}")
        elif name in _WORDS and value not in _WORDS[name]:
            faults.append(f"{dot}{name}: {value!r} is none of {', '.join(sorted(_WORDS[name]))}")
    return faults


def _contradictions(cell: Mapping[str, Any], place: str) -> list[str]:
    if cell["not_run"] and cell["cases"]:
        return [f"{place}: not run, yet it has cases"]
    levels = [Agreement[case["status"].upper()] for case in cell["cases"]]
    worst = max(levels, default=Agreement.NOT_RUN).name.lower()
    return (
        [] if worst == cell["worst"] else [f"{place}.worst: got {cell['worst']!r}, the cases say {worst!r}"]
    )

"""The kit's record: one JSON file, written after each task, and what such a file must be."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workers import Outcome, Task

__all__ = ["SCHEMA_VERSION", "STATUSES", "Record", "validate_record"]

SCHEMA_VERSION = 1
"""Version of the layout of the file."""

STATUSES = ("done", "failed", "crashed", "out of time")


@dataclass
class Record:
    """What a run has found so far.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    head : dict
        The project's version, the device, whether it was quick, the seed.
    tasks : dict of (str, str) to dict
        What each task gave, by part and name.
    """

    path: Path
    head: dict[str, Any]
    tasks: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def resume(cls, path: Path, old: Path, head: dict[str, Any]) -> Record:
        """Go on with the record of another run, of which what is done is kept.

        Raises
        ------
        ValueError
            The file is no such record, or one of another device or size.
        """
        data = json.loads(old.read_text(encoding="utf-8"))
        if faults := validate_record(data):
            raise ValueError(f"{old} cannot be resumed: {faults[0]}")
        for name in ("device", "quick"):
            if data[name] != head[name]:
                raise ValueError(f"{old} cannot be resumed: its {name} is {data[name]}, not {head[name]}")
        kept = {(task["part"], task["name"]): task for task in data["tasks"] if task["status"] == "done"}
        return cls(path, head, kept)

    def has(self, task: Task) -> bool:
        """Tell whether a task is done."""
        return self.tasks.get((task.part, task.name), {}).get("status") == "done"

    def add(self, task: Task, outcome: Outcome) -> None:
        """Add a task's outcome, and write the file."""
        self.tasks[task.part, task.name] = {
            "part": task.part,
            "name": task.name,
            "arguments": task.arguments,
            "status": outcome.status,
            "message": outcome.message,
            "seconds": round(outcome.seconds, 3),
            "figures": outcome.figures,
        }
        self.write()

    def to_json(self) -> dict[str, Any]:
        """Give the record as data, which `validate_record` finds nothing wrong with."""
        return {"schema": SCHEMA_VERSION, **self.head, "tasks": list(self.tasks.values())}

    def write(self) -> None:
        """Write the file as a whole, so that whoever stops the run finds the last one."""
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        os.replace(new, self.path)


_HEAD: Mapping[str, Any] = {
    "schema": int, "project": str, "device": str, "quick": bool, "seed": int, "budget_s": (int, float),
    "tasks": list,
}  # fmt: skip
_TASK: Mapping[str, Any] = {
    "part": str, "name": str, "arguments": dict, "status": str, "message": str, "seconds": (int, float),
    "figures": dict,
}  # fmt: skip
_AGREEMENT: Mapping[str, Any] = {
    "cases": int, "levels": dict, "not_run": dict, "failures": list, "near_ties": list,
}  # fmt: skip
_TIMES: Mapping[str, Any] = {"priors": int, "boxes": int, "images": int, "subjects": dict}
_FIGURES: Mapping[str, Mapping[str, Any]] = {
    "environment": {
        "python": str, "system": str, "cores": int, "versions": dict, "device": dict, "driver": str,
    },
    "goldens": _AGREEMENT,
    "laws": _AGREEMENT,
    "guarantees": _AGREEMENT,
    "memory": {"priors": int, "bytes": (int, type(None)), "budget": int},
    "times": _TIMES,
    "matching": _TIMES,
}  # fmt: skip
"""The figures of a task that is done, by part."""

_SPREAD: Mapping[str, Any] = {"median": float, "low": float, "high": float, "rounds": int}


def validate_record(data: Any) -> tuple[str, ...]:
    """Say what is wrong with the data of a record.

    Parameters
    ----------
    data : object
        What a JSON file holds.

    Returns
    -------
    tuple of str
        A line for each fault, with its place; empty where there is none.
    """
    faults = _faults(data, _HEAD, "")
    if faults:
        return tuple(faults)
    if data["schema"] != SCHEMA_VERSION:
        return (f"schema: got {data['schema']}, expected {SCHEMA_VERSION}",)
    for number, task in enumerate(data["tasks"]):
        place = f"tasks[{number}]"
        found = _faults(task, _TASK, place) or _faults_of_task(task, place)
        faults += found
    names = [(task["part"], task["name"]) for task in data["tasks"] if not faults]
    if len(set(names)) < len(names):
        faults.append("tasks: one stands there twice")
    return tuple(faults)


def _faults_of_task(task: Mapping[str, Any], place: str) -> list[str]:
    if task["part"] not in _FIGURES:
        return [f"{place}.part: {task['part']!r} is none of {', '.join(_FIGURES)}"]
    if task["status"] not in STATUSES:
        return [f"{place}.status: {task['status']!r} is none of {', '.join(STATUSES)}"]
    if task["status"] != "done":
        return [] if task["message"] else [f"{place}.message: missing, for it is {task['status']}"]
    figures = task["figures"]
    faults = _faults(figures, _FIGURES[task["part"]], f"{place}.figures")
    if not faults and "subjects" in figures:
        for name, subject in figures["subjects"].items():
            faults += _faults_of_subject(subject, f"{place}.figures.subjects[{name!r}]")
    if not faults and "levels" in figures and sum(figures["levels"].values()) != figures["cases"]:
        faults.append(f"{place}.figures.levels: their cases are not {figures['cases']}")
    return faults


def _faults_of_subject(subject: Any, place: str) -> list[str]:
    if not isinstance(subject, dict):
        return [f"{place}: expected a mapping, got {type(subject).__name__}"]
    if "error" in subject:
        return []
    faults = _faults(subject, {"wall": dict, "speed_up": float}, place)
    for name in ("wall", "device"):
        if not faults and subject.get(name) is not None:
            faults += _faults(subject[name], _SPREAD, f"{place}.{name}")
    return faults


def _faults(data: Any, expected: Mapping[str, Any], place: str) -> list[str]:
    if not isinstance(data, dict):
        return [f"{place or 'record'}: expected a mapping, got {type(data).__name__}"]
    dot = f"{place}." if place else ""
    faults = []
    for name, kind in expected.items():
        if name not in data:
            faults.append(f"{dot}{name}: missing")
        elif not isinstance(data[name], kind) or (isinstance(data[name], bool) and kind is not bool):
            faults.append(f"{dot}{name}: wrong type {type(data[name]).__name__}")
    return faults

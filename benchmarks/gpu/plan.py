"""Which tasks the kit has, part by part, and what share of the time each part may take."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# The benchmarks' rows lie in the folder above.
sys.path.append(str(Path(__file__).resolve().parents[1]))

import bare_checkout
from rows import ROWS
from workers import Task

from assigncore.conformance import CAPABILITIES, REPLAYS
from assigncore.conformance.goldens.cases import variants, variants_of_folder

__all__ = ["PARTS", "Options", "Section"]

QUICK_ASSIGNERS = ("ATSSAssigner", "MaxIoUAssigner", "TaskAlignedAssigner")
QUICK_ROWS = ("max_iou", "task_aligned")
MATCHING_ROWS = ("hungarian_300", "hungarian_900", "mask_hungarian")
BOXES = (20, 100, 2000)
"""Ground truths an image over which peak memory is measured; of a row's own, those to time."""

QUICK_BOXES = (5,)

BATCH = 16

FURTHER_SEEDS = 8
"""Rounds of generated scenes while there is time."""


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Attributes
    ----------
    device : {"cuda", "cpu"}
        Where to run. On the CPU it is a rehearsal: what CUDA alone has is left out.
    quick : bool
        A few assigners and rows over sizes that take no time.
    seed : int
        Of the generated scenes.
    goldens : str
        Folder of golden cases; empty for those that come with the package.
    """

    device: str = "cuda"
    quick: bool = False
    seed: int = 0
    goldens: str = ""

    @property
    def targets(self) -> tuple[str, ...]:
        """The conformance suite's targets."""
        return ("torch:cuda", "cupy") if self.device == "cuda" else ("torch", "numpy")

    @property
    def rows(self) -> tuple[str, ...]:
        """The benchmark rows but for those that match on the host."""
        return QUICK_ROWS if self.quick else tuple(name for name in ROWS if name not in MATCHING_ROWS)

    @property
    def assigners(self) -> tuple[str, ...]:
        """The assigners."""
        return QUICK_ASSIGNERS if self.quick else tuple(CAPABILITIES)


@dataclass(frozen=True)
class Section:
    """A part's tasks.

    Attributes
    ----------
    part : str
        Its name.
    tasks : tuple of Task
        In the order of importance.
    extra : tuple of Task
        Done while there is time, and not missed.
    processes : int
        How many work at once.
    """

    part: str
    tasks: tuple[Task, ...]
    extra: tuple[Task, ...] = ()
    processes: int = 1


def _environment(options: Options, _cores: int) -> Section:
    task = Task("environment", "environment", "parts:environment", {"device": options.device})
    return Section("environment", (task,))


def _agreement(
    part: str,
    options: Options,
    names: Sequence[str],
    modes: Sequence[str],
    *,
    of_suite: str = "",
    targets: Sequence[str] = (),
    **further: object,
) -> list[Task]:
    """List a task for each name and target: a part of the suite, by default the one of the same name."""
    suffix = f" seed {further['seed']}" if "seed" in further else ""
    of_suite = of_suite or part
    return [
        Task(
            part,
            f"{target} {of_suite} {name} {'+'.join(modes)}{suffix}",
            "parts:agreement",
            {"part": of_suite, "target": target, "name": name, "modes": list(modes), **further},
            limit=120.0,
        )
        for name in names
        for target in targets or options.targets
    ]


def _goldens(options: Options, cores: int) -> Section:
    known = variants_of_folder(bare_checkout.PROJECT / options.goldens) if options.goldens else variants()
    names = [name for name in known if name in (QUICK_ASSIGNERS if options.quick else REPLAYS)]
    tasks = [
        task
        for mode in ("eager", "batched")
        for task in _agreement("goldens", options, names, (mode,), folder=options.goldens)
    ]
    return Section("goldens", tuple(tasks), processes=cores)


def _laws(options: Options, cores: int) -> Section:
    modes = ("eager", "batched")
    cases, dtypes = (4, ["float32"]) if options.quick else (24, ["float32", "float64", "float16", "bfloat16"])

    def generated(seed: int) -> list[Task]:
        scenes = {"dtypes": dtypes, "cases": cases, "seed": options.seed + seed}
        return _agreement("laws", options, options.assigners, modes, of_suite="generated", **scenes)

    first = [*_agreement("laws", options, options.assigners, modes), *generated(0)]
    further = (
        [] if options.quick else [task for seed in range(1, FURTHER_SEEDS + 1) for task in generated(seed)]
    )
    return Section("laws", tuple(first), tuple(further), processes=cores)


def _guarantees(options: Options, cores: int) -> Section:
    targets = options.targets[:1]
    tasks = _agreement("guarantees", options, options.assigners, ("batched",), targets=targets)
    return Section("guarantees", tuple(tasks), processes=cores)


def _memory(options: Options, cores: int) -> Section:
    tasks = []
    for images in (1, BATCH):
        for boxes in QUICK_BOXES if options.quick else BOXES:
            for row in options.rows:
                for dense in (False, True) if images == 1 else (False,):
                    name = f"{row} {boxes} boxes {images} images {'dense loop' if dense else 'eager'}"
                    arguments = {"row": row, "boxes": boxes, "images": images, "dense": dense}
                    tasks.append(_measured("memory", name, "peak", options, arguments))
    # Each process has some gigabytes of arrays on either side.
    return Section("memory", tuple(tasks), processes=min(cores, 4))


def _times(options: Options, cores: int) -> Section:
    compiler = "inductor" if options.device == "cuda" else "eager"
    tasks = []
    for images in (BATCH, 1):
        for row in options.rows:
            for boxes in _boxes_of(row, options):
                arguments = {"row": row, "boxes": boxes, "images": images, "compiler": compiler}
                name = f"{row} {boxes} boxes {images} images"
                tasks.append(_measured("times", name, "times", options, arguments, seconds=1.0))
    # What is measured has the device to itself; what takes long is compiling.
    return Section("times", tuple(tasks), processes=max(1, min(cores - 4, 12)))


def _matching(options: Options, cores: int) -> Section:
    tasks = []
    for row in ("hungarian_300",) if options.quick else MATCHING_ROWS:
        for images in ROWS[row].quick().images if options.quick else ROWS[row].images:
            boxes = _boxes_of(row, options)[0]
            arguments = {"row": row, "boxes": boxes, "images": images}
            name = f"{row} {boxes} boxes {images} images"
            tasks.append(_measured("matching", name, "matching", options, arguments, seconds=1.0))
    return Section("matching", tuple(tasks), processes=max(1, min(cores // 4, 4)))


def _boxes_of(row: str, options: Options) -> tuple[int, ...]:
    if options.quick:
        return ROWS[row].quick().boxes
    return tuple(boxes for boxes in ROWS[row].boxes if boxes in BOXES)


def _measured(
    part: str, name: str, function: str, options: Options, arguments: dict[str, object], seconds: float = 0.0
) -> Task:
    timed = {"seconds": 0.0 if options.quick else seconds} if seconds else {}
    own = {"device": options.device, "quick": options.quick, **timed}
    return Task(part, name, f"parts:{function}", {**arguments, **own}, limit=150.0)


PARTS: dict[str, tuple[float, Callable[[Options, int], Section]]] = {
    "environment": (0.03, _environment),
    "goldens": (0.12, _goldens),
    "laws": (0.18, _laws),
    "guarantees": (0.23, _guarantees),
    "memory": (0.10, _memory),
    "times": (0.24, _times),
    "matching": (0.10, _matching),
}
"""The parts in their order: the share of the time, and what lists the tasks."""

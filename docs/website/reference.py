"""Writes the API reference: a page a topic, from the modules' `__all__` and docstrings."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from textwrap import indent
from types import ModuleType

import assigncore
from assigncore import ASSIGNERS

__all__ = ["TOPICS", "Topic", "documented", "topics", "write_reference"]

CORE = "assigncore"


@dataclass(frozen=True)
class Topic:
    """A page of the reference.

    Parameters
    ----------
    page : str
        Its file's name.
    title : str
        Its heading.
    intro : str
        What stands beneath; the first module's docstring where it is empty.
    core : tuple of str
        Names of `assigncore` itself that stand here.
    modules : tuple of str
        Modules whose whole `__all__` stands here.
    """

    page: str
    title: str
    intro: str = ""
    core: tuple[str, ...] = ()
    modules: tuple[str, ...] = field(default=())


TOPICS = (
    Topic(
        "results",
        "Results",
        "What every assigner returns, and what a result tells of itself.",
        core=("AssignResult",),
        modules=("assigncore.inspect.summary", "assigncore.inspect.difference"),
    ),
    Topic(
        "explanations",
        "Explanations and monitoring",
        "Why a pair was assigned or not: :doc:`/guide/explanations`. What a training run shows over time: "
        ":doc:`/monitoring`.",
        core=("explain", "Explanation", "Monitor"),
        modules=("assigncore.inspect.explain", "assigncore.inspect.trace"),
    ),
    Topic(
        "boxes",
        "Boxes",
        core=("BboxOverlaps2D", "SmoothedIoU", "PositiveCIoU"),
        modules=("assigncore.boxes",),
    ),
    Topic("priors", "Priors", modules=("assigncore.priors",)),
    Topic("costs", "Match costs", modules=("assigncore.costs",)),
    Topic("matching", "Matching", modules=("assigncore.matching", "assigncore.matching.mixture")),
    Topic("presets", "Presets of YOLO", modules=("assigncore.assigners.task_aligned_presets",)),
    Topic("set_presets", "Presets of set predictors", modules=("assigncore.assigners.set_presets",)),
    Topic(
        "backends",
        "Backends and memory",
        "How an array's library is found, what a backend may answer in its own way, and how much memory "
        "a call may take.",
        core=("get_backend", "load_backend", "memory_budget", "set_memory_budget", "ArrayBackend"),
    ),
    Topic(
        "audit",
        "Audit",
        "The audit of a data set from Python; what it tells, and the command: :doc:`/audit`.",
        modules=("assigncore.audit",),
    ),
    Topic("conformance", "Conformance", modules=("assigncore.conformance",)),
    Topic(
        "adapters",
        "Adapters for frameworks",
        "Drop-ins with the names, arguments and results of each framework. :doc:`/coming_from/README` says "
        "how to put them in.",
        modules=(
            "assigncore.adapters.mmdet",
            "assigncore.adapters.mmdet2",
            "assigncore.adapters.mmyolo",
            "assigncore.adapters.ultralytics",
            "assigncore.adapters.torchvision",
            "assigncore.adapters.detectron2",
            "assigncore.adapters.detr",
            "assigncore.adapters.transformers",
        ),
    ),
)

INSIDE = {
    "adapters", "assigners", "audit", "backend", "checks", "cli", "conformance", "data", "inputs", "inspect",
    "numerics", "pairs", "registry", "result", "steps", "terminal", "whole_files",
}  # fmt: skip
"""Modules of `assigncore` that are no import paths of users, or whose public names stand elsewhere."""


def topics() -> tuple[Topic, ...]:
    """Give the pages: of the core's other names, those above, then one for every other public module."""
    told = {module for topic in TOPICS for module in topic.modules}
    further = tuple(
        Topic(name, name.capitalize(), modules=(f"{CORE}.{name}",))
        for _, name, _ in pkgutil.iter_modules(assigncore.__path__)
        if name not in INSIDE and not name.startswith("_") and f"{CORE}.{name}" not in told
    )
    elsewhere = {*ASSIGNERS.names(), *(name for topic in TOPICS for name in topic.core)}
    rest = tuple(name for name in assigncore.__all__ if name not in elsewhere)
    core = Topic("core", "Building and registries", "The further names of `assigncore` itself.", core=rest)
    return core, *TOPICS, *further


def documented(topic: Topic) -> dict[str, object]:
    """Give what stands on a page, by dotted name; what two modules share stands with the first."""
    found = {f"{CORE}.{name}": getattr(assigncore, name) for name in topic.core}
    for module in topic.modules:
        for name, value in public(importlib.import_module(module)).items():
            if not any(value is other for other in found.values()):
                found[f"{module}.{name}"] = value
    return found


def public(module: ModuleType) -> dict[str, object]:
    """Give a module's public names, those of `assigncore` itself left out."""
    named = {name: getattr(module, name) for name in module.__all__}
    return {name: value for name, value in named.items() if getattr(assigncore, name, None) is not value}


def write_reference(folder: Path) -> list[str]:
    """Write the pages and their list, and return the pages' names."""
    folder.mkdir(parents=True)
    pages = topics()
    for topic in pages:
        (folder / f"{topic.page}.rst").write_text(page(topic), encoding="utf-8")
    rows = "\n".join(f"   {topic.page}" for topic in pages)
    title = "API reference"
    intro = (
        "Every public name, from its docstring. The assigners have :doc:`pages of their own "
        "</assigners/index>`; what they all return is on :doc:`results`."
    )
    text = f"{title}\n{'=' * len(title)}\n\n{intro}\n\n.. toctree::\n   :maxdepth: 1\n\n{rows}\n"
    (folder / "index.rst").write_text(text, encoding="utf-8")
    return [topic.page for topic in pages]


def page(topic: Topic) -> str:
    """Give the text of a page."""
    intro = topic.intro or inspect.getdoc(importlib.import_module(topic.modules[0])) or ""
    parts = [f"{topic.title}\n{'=' * len(topic.title)}", intro]
    found = documented(topic)
    for module in (CORE, *topic.modules):
        names = [name for name in found if name.rpartition(".")[0] == module]
        if len(topic.modules) > 1 and module != CORE:
            parts += [f"{module}\n{'-' * len(module)}", inspect.getdoc(importlib.import_module(module)) or ""]
        parts.append(f".. module:: {module}" if module != CORE else f".. currentmodule:: {module}")
        parts += [directive(name, found[name]) for name in names]
    return "\n\n".join(parts) + "\n"


def directive(name: str, value: object) -> str:
    """Give what lets Sphinx document a name by what it is."""
    if inspect.isclass(value):
        return f".. autoclass:: {name}\n   :members:"
    if inspect.isroutine(value):
        return f".. autofunction:: {name}"
    return f".. data:: {name}\n\n{indent(text_beneath(name, value), '   ')}"


def text_beneath(name: str, value: object) -> str:
    """Give the text that stands beneath a constant where it is assigned, wherever that is.

    Raises
    ------
    ValueError
        If there is none.
    """
    own = name.rpartition(".")[2]
    for module in list(sys.modules.values()):
        if not module.__name__.startswith(f"{CORE}.") or vars(module).get(own) is not value:
            continue
        for node, beneath in pairwise(ast.parse(inspect.getsource(module)).body):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
            told = getattr(getattr(beneath, "value", None), "value", None)
            if isinstance(told, str) and any(getattr(target, "id", None) == own for target in targets):
                return inspect.cleandoc(told)
    raise ValueError(f"{name}: no text stands beneath it where it is assigned")

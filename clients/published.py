"""The distinct assigner and match cost dicts of published config files.

``published.py`` writes ``tests/data/published_assigners.json``, through which a test goes, and
``published.py FRAMEWORK`` prints the part of one framework.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import wheels

FACTS = Path(__file__).resolve().parent.parent / "tests" / "data" / "published_assigners.json"

PACKAGES = {
    "mmdet": ("MMDetection", "mmdet"),
    "mmdet2": ("MMDetection", "mmdet2"),
    "mmyolo": ("MMYOLO", "mmyolo"),
    "mmrotate": ("MMRotate", "mmdet2"),
    "mmrotate1": ("MMRotate", "mmdet"),
}
"""What each framework is called, and whose drop-ins its configs are for."""


def name_of(kind: Any) -> str:
    """Return the name of a type, which may be given as a class."""
    return str(getattr(kind, "__name__", kind))


def dicts_of(node: Any, ending: str) -> Iterator[dict[str, Any]]:
    """Find the dicts of a config whose type has a name with an ending, whatever key they stand under."""
    if isinstance(node, dict):
        if name_of(node.get("type")).endswith(ending):
            yield node
        for value in node.values():
            yield from dicts_of(value, ending)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from dicts_of(value, ending)


def read(framework: str) -> tuple[list[tuple[str, Any]], list[str]]:
    """Return the configs of a framework by file, and the files nobody can read with the error of each."""
    from mmengine.config import Config

    folder = wheels.CONFIGS[framework]
    found, unread = [], []
    for file in sorted(folder.rglob("*.py")):
        name = str(file.relative_to(folder))
        try:
            # What a config imports besides, such as a backbone of another package, says nothing of assigners.
            config = Config.fromfile(str(file), import_custom_modules=False)
        except Exception as error:
            unread.append(f"{name}: {type(error).__name__}")
        else:
            found.append((name, config._cfg_dict.to_dict()))
    return found, unread


def distinct(configs: list[tuple[str, Any]], ending: str) -> dict[str, tuple[dict[str, Any], str]]:
    """Return the distinct dicts of an ending by their JSON, each with the first file it stands in."""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    for name, config in configs:
        for each in dicts_of(config, ending):
            found.setdefault(json.dumps(each, sort_keys=True, default=name_of), (each, name))
    return found


def facts(framework: str) -> dict[str, Any]:
    """Return what the test is told of a framework."""
    wheels.reach(framework)
    configs, unread = read(framework)
    package, dropins = PACKAGES[framework]
    kinds = {"assigners": "Assigner", "costs": "Cost"}
    listed = {
        name: [
            {"config": json.loads(key), "file": file} for key, (_, file) in distinct(configs, ending).items()
        ]
        for name, ending in kinds.items()
    }
    found = version(framework.rstrip("12"))
    counts = {"files": len(configs), "unread": len(unread)}
    return {"package": package, "version": found, "dropins": dropins, **counts, **listed}


def main() -> None:
    """List one framework, or write all of them, each read by a process of its own."""
    if len(sys.argv) > 1:
        print(json.dumps(facts(sys.argv[1])))
        return
    every = [
        json.loads(subprocess.run([sys.executable, __file__, name], capture_output=True, check=True).stdout)
        for name in PACKAGES
    ]
    FACTS.write_text(json.dumps(every, indent=1))


if __name__ == "__main__":
    main()

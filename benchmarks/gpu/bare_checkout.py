"""Importing the project from a checkout that nobody has installed, as on a machine without a network."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

__all__ = ["PROJECT", "make_importable"]

PROJECT = Path(__file__).resolve().parents[2]


def make_importable() -> None:
    """Let this process and those it starts import the project, its metadata and its backends, from `PROJECT`.

    Installing would map folders to packages; here a folder of links does, with as much of the metadata as the
    project reads of itself. Where the project is installed from this checkout, nothing is done.
    """
    if _is_installed():
        return
    site = Path(tempfile.mkdtemp(prefix="assigncore-"))
    atexit.register(shutil.rmtree, site, ignore_errors=True)
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    _link_packages(site, settings["tool"]["setuptools"]["package-dir"])
    _write_metadata(site, settings["project"])
    sys.path.insert(0, str(site))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))


def _is_installed() -> bool:
    try:
        import assigncore.adapters.backends.numpy as adapter
    except ImportError:
        return False
    if Path(adapter.__file__ or "").resolve().is_relative_to(PROJECT):
        return True
    # Another copy is installed; what was imported of it must not stand in the way of this one.
    for name in [name for name in sys.modules if name.partition(".")[0] == "assigncore"]:
        del sys.modules[name]
    return False


def _link_packages(site: Path, folders: dict[str, str]) -> None:
    """Link the packages; of the outermost one each entry, for the others lie among them."""
    (site / "assigncore").mkdir()
    for entry in (PROJECT / folders["assigncore"]).iterdir():
        (site / "assigncore" / entry.name).symlink_to(entry)
    for package, folder in folders.items():
        if package.count(".") == 1:
            (site / "assigncore" / package.partition(".")[2]).symlink_to(PROJECT / folder)


def _write_metadata(site: Path, project: dict[str, Any]) -> None:
    folder = site / f"{project['name']}-{project['version']}.dist-info"
    folder.mkdir()
    extras = "".join(f"Provides-Extra: {extra}\n" for extra in project["optional-dependencies"])
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n{extras}"
    )
    groups = project["entry-points"].items()
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in groups
    ]
    (folder / "entry_points.txt").write_text("\n".join(lines))

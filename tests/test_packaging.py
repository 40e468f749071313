"""What is installed is what is in the folders: every package, and the data beside its modules."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def folder(package):
    """Give the folder of a package, which another name may have in the repository."""
    mapped = SETUPTOOLS["package-dir"]
    return ROOT / mapped.get(package, package.replace(".", "/"))


def test_every_folder_with_modules_is_installed_as_a_package():
    found = {
        path.parent
        for top in ("assigncore", "adapters", "conformance")
        for path in (ROOT / top).rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert {folder(package) for package in SETUPTOOLS["packages"]} == found


def test_what_lies_beside_the_modules_is_installed():
    named = {
        path
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for path in folder(package).glob(pattern)
    }
    assert len(named) > 40
    beside = {
        path
        for top in ("assigncore", "adapters", "conformance")
        for path in (ROOT / top).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc", ".nbc", ".nbi")
    }
    assert beside == named

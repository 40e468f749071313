"""What a change must pass runs in a copy of the checkout, with nothing beside it, and takes the copy away."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / ".ci" / "run"

# Says where it is run, and with what there and beside it; fails as it is told to.
MAKE = """#!/bin/sh
cd "$2" && { pwd; find . -type f | sort; ls -A ..; } > "$LOG.$3"
[ "$3" != "$FAIL" ]
"""


def checkout(folder):
    """Make a checkout with a file of each kind: committed, changed, deleted, new and ignored."""
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(RUN, folder / ".ci" / "run")
    for name, text in {"kept": "1", "changed": "1", "deleted": "1", ".gitignore": "built\n"}.items():
        (folder / name).write_text(text)
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    (folder / "changed").write_text("2")
    (folder / "deleted").unlink()
    (folder / "a new one").write_text("1")
    (folder / "built").write_text("1")
    (folder.parent / "beside").mkdir()
    return folder / ".ci" / "run"


def run(tmp_path, *, fail=""):
    script = checkout(tmp_path / "project")
    for name in ("bin", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin" / "make").write_text(MAKE)
    (tmp_path / "bin" / "make").chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "TMPDIR": str(tmp_path / "tmp"), "LOG": str(tmp_path / "log"), "FAIL": fail}
    done = subprocess.run([script], env={**os.environ, **environment}, check=False, cwd=tmp_path)
    assert list((tmp_path / "tmp").iterdir()) == []
    return done.returncode, sorted(path.suffix[1:] for path in tmp_path.glob("log.*"))


def test_lint_and_tests_run_in_a_copy_that_has_nothing_beside_it(tmp_path):
    assert run(tmp_path) == (0, ["docs", "lint", "oldest", "test"])
    for target in ("lint", "test", "oldest", "docs"):
        where, *files, beside = (tmp_path / f"log.{target}").read_text().splitlines()
        assert Path(where).parent.parent == tmp_path / "tmp"
        assert files == ["./.ci/run", "./.gitignore", "./a new one", "./changed", "./kept"]
        assert beside == Path(where).name


def test_what_fails_ends_it(tmp_path):
    assert run(tmp_path, fail="lint") == (1, ["lint"])


def test_the_oldest_versions_that_are_declared_are_those_that_are_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = (project["optional-dependencies"][name] for name in ("fast", "plot", "audit", "conformance"))
    lines = [*project["dependencies"], *(x for extra in extras for x in extra)]
    declared = dict(line.split(">=") for line in lines if not line.startswith("assigncore["))
    pins = (ROOT / ".ci" / "oldest.txt").read_text(encoding="utf-8")
    tested = dict(re.findall(r"^([\w-]+)==([\d.]+)$", pins, re.MULTILINE))
    assert set(declared) <= set(tested)
    for name, bound in declared.items():
        wanted, got = (tuple(map(int, version.split("."))) for version in (bound, tested[name]))
        assert got + (0,) * 2 == wanted + (0,) * (len(got) + 2 - len(wanted)), name

"""The worked example of the documentation: a backend that the project has never seen."""

import json
import subprocess
import sys
from pathlib import Path

from assigncore.conformance import validate_report

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_backend"


def run(tmp_path, *arguments):
    file = tmp_path / "report.json"
    command = [sys.executable, "-c", "from assigncore.cli import main; main()", "conformance",
               "--backend", "backend:make_target", "--json", str(file), *arguments]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=EXAMPLE)
    report = json.loads(file.read_text()) if file.exists() else None
    return done, report


def test_the_example_passes_the_suite(tmp_path):
    names = ["MaxIoUAssigner", "ATSSAssigner", "HungarianAssigner", "SimOTAAssigner"]
    named = [word for name in names for word in ("--assigner", name)]
    done, report = run(tmp_path, *named, "--cases", "12")
    assert done.returncode == 0, done.stdout + done.stderr
    assert validate_report(report) == ()
    assert report["versions"] == {"tiny_arrays": "0.1"}
    cells = [cell for cell in report["cells"] if not cell["not_run"]]
    assert {cell["backend"] for cell in cells} == {"tiny_arrays"}
    assert {cell["part"] for cell in cells} == {"goldens", "generated", "laws", "promises"}


def test_a_factory_that_makes_no_target_is_told(tmp_path):
    command = [sys.executable, "-m", "assigncore.conformance", "--backend", "tiny_arrays:Array"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=EXAMPLE)
    assert done.returncode == 2
    assert "tiny_arrays:Array" in done.stderr
    assert done.stderr.count("\n") == 1

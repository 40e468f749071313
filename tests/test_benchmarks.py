"""The benchmarks run and agree, at sizes at which no time is worth stating."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run_script(name, *arguments):
    command = [sys.executable, str(BENCHMARKS / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.mark.parametrize(
    ("names", "backends", "subjects"),
    [
        # Compiling every row would take its time; that JAX gives the same for each assigner is tested elsewhere.
        ((), ("numpy", "torch"), ["dense torch", "numpy eager", "torch eager"]),
        (("max_iou",), ("jax",), ["dense torch", "jax eager", "jax compiled"]),
    ],
)
def test_a_quick_run_agrees_with_the_baselines_and_reports_every_row(
    names, backends, subjects, tmp_path, module
):
    done = run_script(
        "run.py",
        *("--quick", "--no-memory", "--backend", *backends),
        *(("--rows", *names) if names else ()),
        *("--json", str(tmp_path / "run.json"), "--markdown", str(tmp_path / "run.md")),
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["environment"]["cores"] >= 1
    assert {"numpy", "torch", "jax"} <= set(report["environment"]["versions"])
    rows = {name: row for name, row in module("rows").ROWS.items() if name in names or not names}
    assert [row["name"] for row in report["rows"]] == list(rows)
    for row in report["rows"]:
        expected = [(c.boxes, c.images) for c in rows[row["name"]].quick().cases()]
        assert [(c["case"]["boxes"], c["case"]["images"]) for c in row["cases"]] == expected
        for case in row["cases"]:
            assert list(case["timings"]) == subjects
            assert all(timing["rounds"] >= 3 for timing in case["timings"].values())
    markdown = (tmp_path / "run.md").read_text()
    for row in rows.values():
        assert row.title in done.stdout
        assert row.title in markdown


def test_the_results_replace_what_stands_below_the_mark_of_a_document(tmp_path, module):
    tables = module("markdown_tables")
    document = tmp_path / "page.md"
    document.write_text(f"# How\n\n{tables.MARK}\n\nolder results\n")
    tables.write_below_mark(document, "newer results\n")
    assert document.read_text() == f"# How\n\n{tables.MARK}\n\nnewer results\n"


def test_the_documentation_has_the_mark(module):
    page = Path(__file__).parents[1] / "docs" / "benchmarks.md"
    assert page.read_text().count(module("markdown_tables").MARK) == 1


def test_the_peak_memory_of_one_call_is_measured_in_its_own_process():
    done = run_script("peak_memory.py", "numpy eager", "max_iou", "--quick")
    assert done.returncode == 0, done.stderr
    peak = json.loads(done.stdout)
    assert 0 <= peak["extra_bytes"] < peak["limit_bytes"]
    assert len(peak["digest"]) == 64


def test_a_subject_that_assigns_otherwise_ends_the_run(module, monkeypatch, capsys):
    run, subjects = module("run"), module("subjects")

    def wrong(self, row, inputs):
        shape = (inputs.images, len(inputs.shared["priors"]))
        return subjects.Call(lambda: None, lambda _: np.zeros(shape if inputs.images > 1 else shape[1:]))

    monkeypatch.setattr(subjects.Subject, "prepare", wrong)
    assert run.main(["--quick", "--no-memory", "--backend", "numpy"]) == 1
    assert "numpy eager and dense torch differ in gt_inds" in " ".join(capsys.readouterr().err.split())


def test_a_speed_up_is_the_median_of_the_ratios_within_rounds(module, monkeypatch):
    timing = module("timing")
    now = 0.0
    rounds = {"slow": iter([4.0, 80.0, 9.0]), "fast": iter([1.0, 10.0, 3.0])}

    def spend(name):
        nonlocal now
        now += next(rounds[name])

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
    monkeypatch.setattr(timing.time, "sleep", lambda _: None)
    runs = {name: lambda name=name: spend(name) for name in rounds}
    found = timing.time_in_turns(runs, "slow", seconds=0.0)
    assert found["fast"] == timing.Timing(median=3.0, fastest=1.0, speed_up=4.0, rounds=3)
    assert found["slow"] == timing.Timing(median=9.0, fastest=4.0, speed_up=1.0, rounds=3)


def test_the_inputs_are_what_the_documentation_says(module):
    cases, row = module("cases"), module("rows").ROWS["max_iou"]
    inputs = row.inputs(cases.Case(row.image, boxes=20, images=8))
    assert inputs.shared["priors"].shape == (200_700, 4)
    boxes = inputs.per_image["gt_bboxes"]
    assert boxes.shape == (8, 20, 4)
    assert boxes.dtype == np.float32
    assert not np.array_equal(boxes[0], boxes[1])
    height, width = row.image
    assert np.all((boxes >= 0) & (boxes <= (width, height, width, height)))
    again = row.inputs(cases.Case(row.image, boxes=20, images=8))
    assert np.array_equal(again.per_image["gt_bboxes"], boxes)

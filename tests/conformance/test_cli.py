import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from assigncore.conformance import LAWS, Part, cli, load_packed, validate_report
from assigncore.conformance.goldens import dropins, runner
from assigncore.conformance.laws.cuda_guarantees import GUARANTEES
from assigncore.conformance.laws.promises import PROMISES

SMALL = ["--backend", "numpy", "--assigner", "GridAssigner", "--part", "goldens", "--mode", "eager"]


def _plant_wrong_assigner(monkeypatch):
    build = dropins.mmdet.build_assigner
    monkeypatch.setattr(
        dropins.mmdet, "build_assigner", lambda config: build({**config, "pos_iou_thr": 0.45})
    )


def test_agreement_is_exit_status_0_and_a_table(capsys):
    assert cli.run(SMALL) == 0
    streams = capsys.readouterr()
    count = len(load_packed("GridAssigner"))
    assert f"{count}/{count}" in streams.out
    assert "GridAssigner" in streams.out
    assert streams.err == ""


def test_disagreement_is_exit_status_1_and_each_case_is_named(monkeypatch, capsys):
    _plant_wrong_assigner(monkeypatch)
    assert cli.run(SMALL) == 1
    out = capsys.readouterr().out
    assert "different: numpy eager GridAssigner/edge_pos_float32: gt_inds:" in out


def test_the_json_report_has_every_case(tmp_path, monkeypatch, capsys):
    file = tmp_path / "report.json"
    assert cli.run([*SMALL, "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    (cell,) = report["cells"]
    assert (report["schema"], report["agrees"]) == (3, True)
    assert validate_report(report) == ()
    assert report["versions"] == {"numpy": np.__version__}
    assert (cell["assigner"], cell["backend"], cell["mode"], cell["not_run"]) == (
        "GridAssigner",
        "numpy",
        "eager",
        "",
    )
    assert [case["case"] for case in cell["cases"]] == [case.name for case in load_packed("GridAssigner")]
    assert {case["status"] for case in cell["cases"]} <= {"identical", "close"}

    _plant_wrong_assigner(monkeypatch)
    assert cli.run([*SMALL, "--json", str(file)]) == 1
    report = json.loads(file.read_text())
    assert report["agrees"] is False
    assert "different" in {case["status"] for case in report["cells"][0]["cases"]}


def test_what_has_no_replay_is_shown_and_not_hidden(monkeypatch, capsys):
    without = {name: replay for name, replay in runner.REPLAYS.items() if name != "HungarianAssigner"}
    monkeypatch.setattr(runner, "REPLAYS", without)
    assert cli.run([*SMALL, "--assigner", "HungarianAssigner"]) == 0
    out = capsys.readouterr().out
    assert "HungarianAssigner" in out
    assert "not covered yet" in out


def test_all_parts_run_and_end_in_one_report(tmp_path, capsys):
    file, page = tmp_path / "report.json", tmp_path / "report.html"
    arguments = ["--backend", "numpy", "--assigner", "PointAssigner", "--cases", "12", "--seed", "4"]
    assert cli.run([*arguments, "--json", str(file), "--html", str(page)]) == 0
    out = capsys.readouterr().out
    for title in ("Golden cases", "Generated cases", "Laws obeyed", "Declarations that hold"):
        assert title in out
    report = json.loads(file.read_text())
    assert validate_report(report) == ()
    assert (report["seed"], report["agrees"]) == (4, True)
    assert {cell["part"] for cell in report["cells"]} == {"goldens", "generated", "laws", "promises"}
    assert any(case["case"] == "fpn-4-0" for cell in report["cells"] for case in cell["cases"])
    assert {cell["not_run"] for cell in report["cells"]} >= {"numpy has no bfloat16", "numpy has no compiler"}
    assert "Every backend agrees" in page.read_text(encoding="utf-8")


def test_laws_are_chosen_by_name(tmp_path, capsys):
    file = tmp_path / "report.json"
    laws = ["--law", "ties", "--law", "memory"]
    assert cli.run(["--backend", "numpy", "--assigner", "PointAssigner", *laws, "--json", str(file)]) == 0
    (cell,) = json.loads(file.read_text())["cells"]
    assert [case["case"] for case in cell["cases"]] == ["ties", "memory"]
    parts = ["--part", "promises", *laws, "--json", str(file)]
    assert cli.run(["--backend", "numpy", "--assigner", "PointAssigner", *parts]) == 0
    assert {cell["part"] for cell in json.loads(file.read_text())["cells"]} == {"laws", "promises"}


def test_everything_has_a_name_that_is_listed(capsys):
    assert cli.run(["--list"]) == 0
    out = capsys.readouterr().out
    names = (
        "array_api_strict:device1",
        "TaskAlignedAssigner",
        "bfloat16",
        "batched",
        *LAWS,
        *PROMISES,
        *GUARANTEES,
    )
    for word in (*names, *Part):
        assert word in out


def test_a_mode_that_a_library_lacks_is_reported_beside_what_ran(capsys):
    assert cli.run([*SMALL, "--mode", "jit"]) == 0
    assert "numpy jit: not run: numpy has no compiler" in capsys.readouterr().out


def test_a_table_wider_than_the_terminal_keeps_its_numbers(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    backends = ["numpy", "array_api_strict", "array_api_strict:device1", "torch:cuda", "cupy"]
    named = [word for name in backends for word in ("--backend", name)]
    modes = ["--part", "goldens", "--mode", "eager", "--mode", "jit"]
    assert cli.run([*named, "--assigner", "GridAssigner", *modes]) == 0
    count = len(load_packed("GridAssigner"))
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "GridAssigner" in line]
    assert row.split()[:3] == ["GridAssigner", str(count), f"{count}/{count}"]


def test_a_namespace_of_the_standard_is_a_backend_by_its_name(monkeypatch, capsys):
    here = Path(__file__).parents[2] / "examples" / "third_party_backend"
    monkeypatch.syspath_prepend(str(here))
    assert cli.run(["--backend", "tiny_arrays", *SMALL[2:]]) == 0
    count = len(load_packed("GridAssigner"))
    assert f"{count}/{count}" in capsys.readouterr().out


def test_an_interrupted_run_ends_without_a_traceback(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "print_report", interrupt)
    assert cli.run(SMALL) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_folder_of_goldens_takes_the_place_of_the_packed_ones(tmp_path, capsys):
    case = load_packed("GridAssigner")[0]
    meta = {
        "assigner": case.variant,
        "case": "mine",
        "impl": case.source,
        "dtype": case.dtype,
        "init": dict(case.init),
        "call": {},
        "none_outputs": [],
        "raises": None,
    }
    (tmp_path / "GridAssigner").mkdir()
    arrays = {f"in_{name}": array for name, array in case.inputs.items()}
    expected = {f"out_{name}": array.copy() for name, array in case.expected.items()}
    np.savez(tmp_path / "GridAssigner" / "mine.npz", meta=json.dumps(meta), **arrays, **expected)
    assert cli.run(["--backend", "numpy", "--goldens", str(tmp_path)]) == 0
    assert "1/1" in capsys.readouterr().out
    expected["out_gt_inds"][0] += 1
    np.savez(tmp_path / "GridAssigner" / "mine.npz", meta=json.dumps(meta), **arrays, **expected)
    assert cli.run(["--backend", "numpy", "--goldens", str(tmp_path)]) == 1
    assert "GridAssigner/mine: gt_inds: 1 of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--backend", "nunpy"], "did you mean 'numpy'"),
        (["--assigner", "maxiou_assigner"], "did you mean 'MaxIoUAssigner'"),
        (["--mode", "quick"], "quick"),
        (["--goldens", "no-such-folder"], "no-such-folder"),
        (["--json", "no-such-folder/report.json"], "no-such-folder"),
        (["--no-such-option"], "--no-such-option"),
        (["--backend"], "--backend"),
        (["extra"], "extra"),
        (
            ["--backend", "no_such_module:make"],
            "module 'no_such_module' cannot be imported: ModuleNotFoundError",
        ),
        (["--backend", "os:nothing"], "module 'os' has no attribute 'nothing'"),
        (["--backend", "torch:cud"], "did you mean 'torch:cuda'"),
        (["--backend", "os:sep"], "expected a factory that returns a Target, got str"),
        (["--backend", "os:getcwd"], "expected a Target of the factory, got str"),
        (["--backend", "os:stat"], "the factory, called without arguments, raises TypeError"),
        (["--backend", "os:"], "expected MODULE:FACTORY"),
        (["--backend", "a:b:c"], "expected MODULE:FACTORY"),
        (["--part", "guarantees", "--backend", "numpy"], "no case for these backends"),
        (["--html", "no-such-folder/report.html"], "no-such-folder"),
        (["--law", "gravity"], "gravity"),
        (["--dtype", "float8"], "float8"),
        (["--cases", "-1"], "-1"),
        (["--backend", "cupy", "--part", "laws", "--assigner", "GridAssigner"], "nothing was run"),
        ([*SMALL[:-1], "jit"], "nothing was run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_call_is_one_line_on_stderr_and_exit_status_2(arguments, word, capsys):
    assert cli.run(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert word in err


@pytest.mark.parametrize(
    "content", [{}, {"GridAssigner/other.npz": b""}, {"GridAssigner/bad.npz": b"not a zip"}]
)
def test_a_folder_that_holds_no_goldens_is_one_line_on_stderr(content, tmp_path, capsys):
    for name, data in content.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert cli.run(["--backend", "numpy", "--goldens", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("package", ["click", "rich"])
def test_a_missing_package_is_one_line_on_stderr(package):
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from assigncore.conformance.__main__ import main\n"
        "sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f'error: {package} is not installed: pip install "assigncore[conformance]"\n'


def test_the_module_runs_as_a_command():
    command = [sys.executable, "-m", "assigncore.conformance", *SMALL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "GridAssigner" in done.stdout


def test_it_is_a_command_of_the_project():
    command = [sys.executable, "-c", "from assigncore.cli import main; main()", "conformance", *SMALL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "GridAssigner" in done.stdout


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_run_without_a_terminal_tells_how_far_it_is_and_writes_what_it_has(jobs, tmp_path):
    file = tmp_path / "report.json"
    # Its lines are ten seconds apart, and it computes all the while.
    code = (
        "import runpy; from assigncore.conformance import cli; cli.LINE_EVERY = 0.5\n"
        "runpy.run_module('assigncore', run_name='__main__', alter_sys=True)"
    )
    command = [sys.executable, "-c", code, "conformance", "--backend", "numpy", "--jobs", jobs]
    command += ["--part", "laws", "--part", "generated", "--json", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        announced = process.stderr.readline()
        lines = [process.stderr.readline(), process.stderr.readline()]
        # On a busy machine the first assigners, of which the report is to tell, take longer than two lines.
        while re.search(r"ATSS|Approx", lines[-1]):
            lines.append(process.stderr.readline())
        process.terminate()
        rest = process.communicate(timeout=60)[1]
    told = r"[\d,]+ cases, about \d+ min in (one process|2 processes); compiled are the scenes of one pyramid in .*\n"
    assert re.fullmatch(told, announced)
    assert all(re.fullmatch(r"\d+:\d\d [\d,]+ of [\d,]+ cases: numpy .*\n", line) for line in lines), lines
    assert process.returncode == 130, rest
    assert "stopped: " in rest
    report = json.loads(file.read_text())
    assert report["stopped"] is True
    assert validate_report(report) == ()
    assert report["compared"] > 0

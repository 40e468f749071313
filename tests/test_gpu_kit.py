"""The kit for CUDA devices, rehearsed on the host: its first real run is to fail on nothing silly."""

import contextlib
import importlib.util
import inspect
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch

from assigncore.conformance.targets import cuda

PROJECT = Path(__file__).parents[1]
KIT = PROJECT / "benchmarks" / "gpu"


@pytest.fixture
def module(monkeypatch):
    """Import a module of the kit, under no name that another folder's module has."""
    monkeypatch.syspath_prepend(str(KIT))
    return importlib.import_module


def run_kit(*arguments, kit=KIT):
    command = [sys.executable, str(kit), "--device", "cpu", "--quick", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu")
    for name in ("benchmarks.md", "conformance.md"):
        shutil.copy(PROJECT / "docs" / name, folder)
    done = run_kit("--budget", "400", "--json", folder / "gpu.json", "--page", folder / "gpu.md")
    return SimpleNamespace(done=done, folder=folder, record=json.loads((folder / "gpu.json").read_text()))


def test_the_rehearsal_runs_every_part_and_leaves_a_sound_record(rehearsal, module):
    assert rehearsal.done.returncode == 0, rehearsal.done.stdout + rehearsal.done.stderr
    assert module("record").validate_record(rehearsal.record) == ()
    tasks = rehearsal.record["tasks"]
    assert {task["part"] for task in tasks} == set(module("plan").PARTS)
    assert {task["status"] for task in tasks} == {"done"}
    for task in tasks:
        assert not task["figures"].get("failures")
        for name, subject in task["figures"].get("subjects", {}).items():
            assert "error" not in subject, (task["name"], name, subject)
            assert subject.get("differs", 0) == 0, (task["name"], name)
    compared = [task for task in tasks if task["part"] in ("goldens", "laws")]
    assert min(task["figures"]["cases"] for task in compared if task["part"] == "laws") > 0
    # All cases of the project, not the small ones of the package.
    max_iou = [t for t in compared if t["part"] == "goldens" and "MaxIoUAssigner" in t["name"]]
    assert {task["figures"]["cases"] for task in max_iou} == {58}
    # Wherever the checkout lies.
    assert str(Path(__file__).resolve().parents[1]) not in json.dumps(rehearsal.record)


def test_without_the_tests_the_golden_cases_are_the_packages(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("gpu_command", KIT / "__main__.py")
    monkeypatch.syspath_prepend(str(KIT))
    command = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(command)
    for folder, expected in ((tmp_path / "missing", None), (tmp_path, tmp_path)):
        monkeypatch.setattr(command, "GOLDENS", folder)
        assert command._options([]).goldens == expected


def test_the_page_of_a_rehearsal_says_what_it_is_and_shows_no_figures_elsewhere(rehearsal, module):
    text = (rehearsal.folder / "gpu.md").read_text()
    assert "A rehearsal on the host, not a measurement." in text
    assert "| `max_iou` | 1 |" in text
    for name in ("benchmarks.md", "conformance.md"):
        assert module("page").NOT_MEASURED in (rehearsal.folder / name).read_text()


def test_a_record_is_resumed_where_something_is_missing(rehearsal, tmp_path):
    data = json.loads(json.dumps(rehearsal.record))
    kept = [task for task in data["tasks"] if task["part"] in ("environment", "goldens")]
    kept[1] |= {"status": "crashed", "message": "exit code -11", "figures": {}, "seconds": -1.0}
    kept.pop()
    for task in kept:
        task["seconds"] = -1.0
    data["tasks"] = kept
    (tmp_path / "old.json").write_text(json.dumps(data))
    done = run_kit(
        *(
            "--parts",
            "environment",
            "goldens",
            "--resume",
            tmp_path / "old.json",
            "--json",
            tmp_path / "new.json",
        )
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tasks = json.loads((tmp_path / "new.json").read_text())["tasks"]
    assert len(tasks) == len(kept) + 1
    assert {task["status"] for task in tasks} == {"done"}
    assert sum(task["seconds"] >= 0 for task in tasks) == 2


def test_a_record_of_another_device_is_not_resumed(rehearsal, tmp_path):
    (tmp_path / "old.json").write_text(json.dumps({**rehearsal.record, "device": "cuda"}))
    done = run_kit("--resume", tmp_path / "old.json")
    assert done.returncode == 2
    assert "its device is cuda, not cpu" in done.stderr
    assert "no part 'golden'" in run_kit("--parts", "golden").stderr
    assert "no folder nowhere of golden cases" in run_kit("--goldens", "nowhere").stderr


def test_a_task_that_fails_crashes_or_hangs_takes_nothing_along(module, tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text(
        "import ctypes, time\n"
        "def well(x): return {'x': x}\n"
        "def fail(): raise ValueError('no such thing')\n"
        "def crash(): ctypes.string_at(0)\n"
        "def hang(): time.sleep(1000)\n"
        "def chat(): print('by the way'); return {}\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    workers = module("workers")
    calls = [("fail", {}), ("crash", {}), ("hang", {}), ("chat", {}), ("well", {"x": 3})]
    tasks = [workers.Task("laws", name, f"planted:{name}", given, 3.0) for name, given in calls]
    found = {}
    workers.run_tasks(
        tasks, 1, time.monotonic() + 60, lambda task, outcome: found.update({task.name: outcome})
    )
    assert {name: outcome.status for name, outcome in found.items()} == {
        "fail": "failed", "crash": "crashed", "hang": "out of time", "chat": "done", "well": "done",
    }  # fmt: skip
    assert found["fail"].message == "ValueError: no such thing"
    assert "Segmentation fault" in found["crash"].message
    assert "crash" in found["crash"].message
    assert found["well"].figures == {"x": 3}


def test_what_is_not_started_in_time_is_recorded_as_such(module):
    workers, found = module("workers"), []
    tasks = [workers.Task("laws", "late", "planted:well")]
    workers.run_tasks(tasks, 4, time.monotonic() - 1, lambda _, outcome: found.append(outcome))
    assert [(outcome.status, outcome.message) for outcome in found] == [("out of time", "not started")]


@pytest.mark.parametrize(
    ("place", "value", "fault"),
    [
        (("schema",), 7, "schema: got 7, expected 1"),
        (("device",), None, "device: wrong type NoneType"),
        (("tasks", 0, "part"), "golden", "tasks[0].part: 'golden' is none of"),
        (("tasks", 0, "status"), "well", "tasks[0].status: 'well' is none of"),
        (("tasks", 0, "figures"), {}, "tasks[0].figures.python: missing"),
        (("tasks", 1, "status"), "failed", "tasks[1].message: missing, for it is failed"),
        (("tasks", 1, "figures", "cases"), 1, "tasks[1].figures.levels: their cases are not 1"),
        (("tasks", 1, "name"), "same", "tasks: one stands there twice"),
        (("tasks", -1, "figures", "subjects", "dense loop", "wall"), 3.0, "wall: wrong type float"),
    ],
)
def test_the_validator_finds_what_is_wrong(place, value, fault, rehearsal, module):
    data = json.loads(json.dumps(rehearsal.record))
    if value == "same":
        data["tasks"][2] |= {"name": "same", "part": data["tasks"][1]["part"]}
    *way, last = place
    at = data
    for step in way:
        at = at[step]
    at[last] = value
    assert any(fault in told for told in module("record").validate_record(data))


def test_the_kit_runs_from_a_checkout_that_is_not_installed(tmp_path):
    copy = tmp_path / "checkout"
    for name in ("assigncore", "adapters", "conformance", "benchmarks"):
        shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", copy)
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); import bare_checkout; bare_checkout.make_importable()\n"
        "import assigncore, assigncore.adapters.backends.torch as adapter, assigncore.conformance.targets.cuda as suite\n"
        "from assigncore import load_backend\n"
        "print(*map(os.path.realpath, (adapter.__file__, suite.__file__)), adapter.__file__)\n"
        "print(load_backend('numpy'), assigncore.__version__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(copy / "benchmarks" / "gpu")],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    adapter, suite, linked, *rest = done.stdout.split()
    assert Path(adapter) == copy / "adapters" / "backends" / "torch.py"
    assert Path(suite) == copy / "conformance" / "targets" / "cuda.py"
    assert not Path(linked).parents[3].exists()
    assert rest == ["NumpyBackend(array_api_compat.numpy)", importlib.import_module("assigncore").__version__]


def specified():
    """Give torch as far as the calls need it: mocks that refuse what PyTorch's own signatures do not allow."""
    device = mock.create_autospec(torch.cuda)
    device.memory_allocated.return_value, device.max_memory_allocated.return_value = 10, 35
    device.get_sync_debug_mode.return_value = 0
    device.Event.return_value.elapsed_time.return_value = 250.0
    device.get_device_properties.return_value = SimpleNamespace(
        name="device", major=9, minor=0, multi_processor_count=132, total_memory=2**36
    )
    profiler = SimpleNamespace(
        ProfilerActivity=torch.profiler.ProfilerActivity, profile=mock.create_autospec(torch.profiler.profile)
    )
    events = [SimpleNamespace(key="cudaLaunchKernel", count=3), SimpleNamespace(key="aten::add", count=9)]
    profiler.profile.return_value.__enter__.return_value.key_averages.return_value = events
    return SimpleNamespace(cuda=device, profiler=profiler, version=SimpleNamespace(cuda="13.0"))


def test_what_cuda_alone_has_is_called_as_pytorch_defines_it():
    fake = specified()
    with cuda.forbidden_synchronisation(fake):
        fake.cuda.set_sync_debug_mode.assert_called_with("error")
    fake.cuda.set_sync_debug_mode.assert_called_with(0)
    assert cuda.time_by_events(fake, lambda: None) == 0.25
    fake.cuda.Event.assert_called_with(enable_timing=True)
    assert cuda.peak_memory(fake, lambda: None) == 25
    assert cuda.count_launches(fake, lambda: None) == 3
    assert cuda.describe_device(fake)["capability"] == "9.0"
    cuda.wait(fake)
    graph, outputs = cuda.record_graph(fake, lambda x: x + 1, {"x": 1})
    assert outputs == 2
    assert graph is fake.cuda.CUDAGraph.return_value
    # What these modules have no signature of, by the names their documentation gives.
    assert "enable_timing" in (torch.cuda.Event.__new__.__doc__ or "") + str(
        inspect.signature(torch.cuda.Event)
    )
    assert hasattr(torch.cuda.CUDAGraph, "replay")
    assert hasattr(torch.cuda._CudaDeviceProperties, "multi_processor_count") or not torch.cuda.is_available()


def test_a_wait_is_told_from_other_errors():
    fake = specified()
    with (
        pytest.raises(cuda.Synchronised, match="called a synchronizing"),
        cuda.forbidden_synchronisation(fake),
    ):
        raise RuntimeError("called a synchronizing CUDA operation")
    with pytest.raises(RuntimeError, match="out of memory"), cuda.forbidden_synchronisation(fake):
        raise RuntimeError("out of memory")
    fake.cuda.graph.side_effect = lambda *_, **__: contextlib.nullcontext()
    with pytest.raises(cuda.NotCaptured, match="ValueError: broken"):
        cuda._captured(fake, fake.cuda.CUDAGraph(), mock.Mock(side_effect=ValueError("broken")))


def test_the_documents_show_the_figures_that_are_recorded_and_no_others(module, tmp_path):
    page, results = module("page"), KIT / "results.json"
    record = json.loads(results.read_text()) if results.exists() else None
    if record is not None:
        assert module("record").validate_record(record) == ()
        assert record["device"] == "cuda"
        assert (PROJECT / "docs" / "gpu.md").read_text() == page.page(record)
    for name in page.DOCUMENTS:
        shutil.copy(PROJECT / "docs" / name, tmp_path)
        page.write_section(tmp_path / name, record)
        assert (tmp_path / name).read_text() == (PROJECT / "docs" / name).read_text()
    assert page.section("benchmarks.md", None) == page.NOT_MEASURED

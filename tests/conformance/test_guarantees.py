"""No synchronisation and capture in a CUDA graph: shown on a device, and their logic on a stand-in for one."""

import json
from dataclasses import dataclass
from unittest import mock

import pytest
import torch

from assigncore import MaxIoUAssigner
from assigncore.conformance import (
    CAPABILITIES,
    Agreement,
    Capabilities,
    Part,
    Ties,
    check,
    cli,
    get_target,
    validate_report,
)
from assigncore.conformance.laws.cuda_guarantees import GUARANTEE_CASES, GUARANTEES, run_guarantees
from assigncore.conformance.scenes.matrix import Matrix
from assigncore.conformance.scenes.recipes import recipe_of

from .cuda_stand_in import DEVICES, Graph, stand_in

KNOBS = {"pos_iou_thr": 0.5, "neg_iou_thr": 0.4, "ignore_iof_thr": 0.5}
PROMISE = Capabilities(KNOBS, ties=Ties.LATER, ignores=True)
STATIC = [name for name, promise in CAPABILITIES.items() if not promise.host]


@dataclass(frozen=True)
class Wrapped(MaxIoUAssigner):
    def assign(self, priors, gt_bboxes, *, gt_labels=None, gt_valid=None, prior_valid=None,
               ignore_bboxes=None, ignore_valid=None):  # fmt: skip
        if isinstance(priors, torch.Tensor):
            self.meddle(priors)
        return super().assign(priors, gt_bboxes, gt_labels=gt_labels, gt_valid=gt_valid, prior_valid=prior_valid,
                              ignore_bboxes=ignore_bboxes, ignore_valid=ignore_valid)  # fmt: skip

    def meddle(self, priors):
        pass


class Reading(Wrapped):
    """Reads a value: that waits for the device."""

    def meddle(self, priors):
        float(priors.sum())


class Failing(Wrapped):
    """Fails for another reason."""

    def meddle(self, priors):
        raise RuntimeError("out of memory")


class FailingLate(Wrapped):
    """Fails for another reason, the second time."""

    def meddle(self, priors):
        if DEVICES[-1].mode == 2:
            raise RuntimeError("out of memory")


class Baked(Wrapped):
    """Remembers the first numbers it met."""

    def meddle(self, priors):
        if DEVICES[-1].capturing is not None:
            priors.copy_(torch.zeros_like(priors))


def run(assigner, promise=None):
    """Run the guarantees on a stand-in whose mode was another one before."""
    with stand_in() as (target, device):
        device.mode = 1
        cell = run_guarantees(Matrix(recipe_of(assigner, promise)), target)
        assert (device.mode, device.capturing) == (1, None), "everything is put back"
    return cell, device


def messages(cell, guarantee):
    """Give what the failures of one guarantee say."""
    assert all(result.agreement is Agreement.ERROR for result in cell.failures)
    return {result.message for result in cell.failures if result.case.startswith(guarantee)}


@pytest.mark.skipif(bool(get_target("torch:cuda").unavailable()), reason="no CUDA device")
@pytest.mark.parametrize("name", STATIC)
def test_static_assigners_keep_the_guarantees_on_a_device(name):
    cell = run_guarantees(Matrix(recipe_of(name)), get_target("torch:cuda"))
    assert (cell.not_run, len(cell.results), cell.failures) == ("", GUARANTEE_CASES, ())


@pytest.mark.parametrize("name", STATIC)
def test_static_assigners_keep_the_guarantees_on_a_stand_in(name):
    cell, device = run(name)
    assert (cell.part, cell.not_run, cell.failures) == (Part.GUARANTEES, "", ())
    assert len(cell.results) == GUARANTEE_CASES
    assert {result.case.split()[0] for result in cell.results} == set(GUARANTEES)
    assert device.modes == [2, 1]
    assert device.warmed_up_aside > 0


def test_a_wait_is_named():
    cell, device = run(Reading(**KNOBS), PROMISE)
    assert len(cell.failures) == GUARANTEE_CASES
    assert messages(cell, "no_synchronisation") == {"Synchronised: called a synchronizing CUDA operation"}
    assert device.modes == [2, 1]


def test_what_a_compiler_cannot_trace_is_told():
    cell, _ = run(Reading(**KNOBS), PROMISE)
    assert messages(cell, "compiled") == {"RuntimeError: Unsupported: data-dependent branching"}


def test_a_capture_that_fails_is_named_by_what_broke_it():
    cell, _ = run(Reading(**KNOBS), PROMISE)
    (message,) = messages(cell, "cuda_graph")
    assert message == "NotCaptured: RuntimeError: operation not permitted when stream is capturing"


def test_another_error_is_not_taken_for_a_wait():
    cell, device = run(Failing(**KNOBS), PROMISE)
    assert messages(cell, "no_synchronisation") == {"RuntimeError: out of memory"}
    assert device.modes == [], "it failed while it warmed up"
    late, device = run(FailingLate(**KNOBS), PROMISE)
    assert messages(late, "no_synchronisation") == {"RuntimeError: out of memory"}
    assert device.modes == [2, 1]


def test_numbers_that_were_looked_up_during_the_capture_are_told():
    """A graph that is not replayed, or holds what was decided by the zeros, gives another answer."""
    with mock.patch.object(Graph, "replay", return_value=None):
        cell, _ = run("MaxIoUAssigner")
    told = [result for result in cell.failures if result.case.startswith("cuda_graph")]
    assert told == list(cell.failures)
    assert told
    baked, _ = run(Baked(**KNOBS), PROMISE)
    assert {result.case.split()[0] for result in baked.failures} == {"cuda_graph"}


def test_without_a_device_the_cells_say_so():
    if not get_target("torch:cuda").unavailable():
        pytest.skip("there is a CUDA device")
    for name in ("torch:cuda", "cupy:cuda"):
        cell = run_guarantees(Matrix(recipe_of("MaxIoUAssigner")), get_target(name))
        assert (cell.not_run, cell.results) == ("no CUDA device", ())


def test_what_guarantees_nothing_says_why():
    with stand_in() as (target, _):
        host = run_guarantees(Matrix(recipe_of("HungarianAssigner")), target)
    assert host.not_run == "HungarianAssigner lets the host take part, as declared"
    elsewhere = run_guarantees(Matrix(recipe_of("MaxIoUAssigner")), get_target("numpy"))
    assert elsewhere.not_run == "numpy has no mode that forbids the host to wait"


def test_they_are_part_of_a_check():
    with stand_in() as (target, _):
        report = check(
            Reading(**KNOBS), target, capabilities=PROMISE, reference=MaxIoUAssigner(**KNOBS), cases=1
        )
    names = {result.case.split()[0] for cell in report.cells for result in cell.failures}
    assert set(GUARANTEES) <= names


def test_the_command_shows_them(tmp_path, capsys):
    """In the table, in JSON and on the page, without being asked for."""
    if not get_target("torch:cuda").unavailable():
        pytest.skip("there is a CUDA device")
    file, page = tmp_path / "report.json", tmp_path / "report.html"
    arguments = ["--assigner", "GridAssigner", "--law", "codes"]
    parts = ["--part", "guarantees", "--part", "laws"]
    assert cli.run([*arguments, *parts, "--json", str(file), "--html", str(page)]) == 0
    out = capsys.readouterr().out
    assert "Guarantees kept on a CUDA device" in out
    assert "torch:cuda eager, batched: not run: no CUDA device" in out
    report = json.loads(file.read_text())
    assert validate_report(report) == ()
    cells = {cell["backend"]: cell["not_run"] for cell in report["cells"] if cell["part"] == "guarantees"}
    assert cells == {"torch:cuda": "no CUDA device", "cupy": "no CUDA device"}
    assert page.read_text(encoding="utf-8").count(">not run: no CUDA device</td>") == 2
    assert cli.run(["--part", "guarantees", "--backend", "numpy"]) == 2
    assert "no case for these backends" in capsys.readouterr().err

"""The suite shared among processes: the same cells, and an end that says why."""

import os
import pickle
from functools import partial
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

from assigncore.conformance import Part, Plan, cli, get_target, load_packed, run_plan
from assigncore.conformance.suite import Job, SharingError, run_shared

PLAN = Plan(
    (get_target("numpy"), get_target("array_api_strict")),
    assigners=("PointAssigner", "GridAssigner"),
    parts=(Part.GENERATED, Part.PROMISES),
    dtypes=("float32",),
    cases=4,
)


def test_several_processes_find_what_one_does():
    alone, told = run_plan(PLAN), []
    shared = run_plan(PLAN, on_cell=lambda *cell: told.append(cell) or (lambda: None), processes=2)
    assert shared.cells == alone.cells
    assert sorted(told) == sorted((job.description, job.cases) for job in PLAN.jobs())
    assert (shared.versions, shared.backends) == (alone.versions, alone.backends)


def plan_of(*runs):
    """Plan to call functions, each in a share of its own; other processes can import no test."""
    return SimpleNamespace(jobs=partial(iter, [Job(str(i), str(i), run) for i, run in enumerate(runs)]))


def test_jobs_come_back_in_order():
    runs = [partial(pow, 2, i) for i in range(4)]
    assert run_shared(plan_of(*runs), 2) == ([1, 2, 4, 8], False)


def test_a_process_that_is_killed_ends_the_run_with_its_likely_cause():
    with pytest.raises(SharingError, match=r"killed, most often for want of memory; expected fewer --jobs$"):
        run_shared(plan_of(dict, os.abort), 2)


def test_a_fault_of_the_suite_itself_is_raised_as_it_is():
    with pytest.raises(ZeroDivisionError):
        run_shared(plan_of(partial(divmod, 1, 0)), 2)


def test_what_cannot_be_sent_to_a_process_is_refused():
    with pytest.raises(SharingError, match=r"^no process can be sent this plan \(.*\); expected --jobs 1$"):
        run_shared(plan_of(lambda: None), 2)


def test_a_golden_case_is_read_only_again_where_it_arrives():
    case = load_packed("PointAssigner")[0]
    arrived = pickle.loads(pickle.dumps(case))
    assert str(arrived) == str(case)
    assert (arrived.init, arrived.call) == (case.init, case.call)
    for sent, own in ((arrived.inputs, case.inputs), (arrived.expected, case.expected)):
        assert isinstance(sent, MappingProxyType)
        assert sent.keys() == own.keys()
        for name, array in sent.items():
            np.testing.assert_array_equal(array, own[name])
            assert not array.flags.writeable


def test_the_command_shares(capsys):
    arguments = [
        "--backend",
        "numpy",
        "--part",
        "promises",
        "--part",
        "goldens",
        "--assigner",
        "PointAssigner",
    ]
    assert cli.run(arguments) == 0
    alone = capsys.readouterr().out
    assert cli.run([*arguments, "--jobs", "2"]) == 0
    assert capsys.readouterr().out == alone

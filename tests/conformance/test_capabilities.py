"""Every assigner and backend is declared once, and the documentation says the same."""

from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from assigncore.conformance import Agreement, available_targets, check, get_target
from assigncore.conformance.capabilities import CAPABILITIES, capabilities_of, undeclared
from assigncore.conformance.laws import run_laws
from assigncore.conformance.report.support import support_table
from assigncore.conformance.scenes.recipes import recipe_of
from assigncore.conformance.targets.libraries import TARGETS, Mode
from assigncore.registry import ASSIGNERS, build_assigner

PAGE = Path(__file__).parents[2] / "docs" / "support.md"


def test_every_registered_assigner_is_declared_and_no_other():
    assert undeclared() == ()
    assert set(CAPABILITIES) == set(ASSIGNERS.names())


@pytest.mark.parametrize("name", CAPABILITIES)
def test_the_knobs_declared_build_the_assigner(name):
    assigner = build_assigner({"type": name, **CAPABILITIES[name].knobs})
    assert capabilities_of(assigner) is CAPABILITIES[name]


def test_the_documentation_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == support_table(), (
        "docs/support.md is stale: python -m assigncore.conformance.report.support > docs/support.md"
    )


@pytest.mark.parametrize("target", TARGETS.values(), ids=str)
def test_backends_have_the_reference_dtypes_and_run_eagerly(target):
    assert {"float32", "float64"} <= set(target.dtypes)
    assert {Mode.EAGER, Mode.BATCHED} <= set(target.modes)


class Doubles(TorchDispatchMode):
    """Remembers what makes numbers in float64."""

    def __init__(self):
        super().__init__()
        self.operations = set()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        outputs = function(*arguments, **(options or {}))
        made = [x for x in tree_leaves(outputs) if isinstance(x, torch.Tensor)]
        if any(x.dtype == torch.float64 for x in made):
            self.operations.add(str(function))
        return outputs


@pytest.mark.parametrize("name", CAPABILITIES)
def test_on_a_device_without_values_nothing_is_read_or_brought_to_float64(name):
    recipe = recipe_of(name)
    with Doubles() as doubles:
        cell = run_laws(recipe, get_target("torch:meta"))
    assert doubles.operations == set()
    levels = {result.case: result.agreement for result in cell.results}
    due = Agreement.NOT_RUN if recipe.capabilities.host else Agreement.IDENTICAL
    assert levels.pop("static") is due
    assert set(levels.values()) == {Agreement.NOT_RUN}


def test_what_cannot_be_compared_is_not_run_and_says_why():
    report = check("PointAssigner", "torch:meta")
    assert report.agrees
    for cell in report.cells:
        told = {cell.not_run} | {r.message for r in cell.results if r.agreement is Agreement.NOT_RUN}
        assert told - {""} == {"arrays on torch:meta have no values to compare"}
    assert get_target("torch:meta") not in available_targets()

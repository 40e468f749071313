"""Every assigner and backend is declared once, and the documentation says the same."""

from pathlib import Path

import pytest

from assigncore.conformance.backends import TARGETS, Mode
from assigncore.conformance.capabilities import CAPABILITIES, capabilities_of, undeclared
from assigncore.conformance.support import support_table
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
        "docs/support.md is stale: python -m assigncore.conformance.support > docs/support.md"
    )


@pytest.mark.parametrize("target", TARGETS.values(), ids=str)
def test_backends_have_the_reference_dtypes_and_run_eagerly(target):
    assert {"float32", "float64"} <= set(target.dtypes)
    assert {Mode.EAGER, Mode.BATCHED} <= set(target.modes)

"""What is compared of real clients, and that the page says what was recorded. The models need packages of their own."""

import importlib.util
import json
from collections import Counter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

DICTS = {"mmdet": 47, "mmdet2": 38, "mmyolo": 13}
"""Distinct assigner dicts in the config files of the published packages."""


def load(name):
    spec = importlib.util.spec_from_file_location(f"clients_{name}", PROJECT / "clients" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run():
    return load("run")


@pytest.fixture
def pages(monkeypatch):
    monkeypatch.syspath_prepend(PROJECT / "clients")
    return load("pages")


def side(first, second=(1.0, 1.0), switched=("assigner",)):
    return {"numbers": [list(first), list(second)], "switched": list(switched), "left": {}}


def test_verdicts(run):
    verdict = lambda theirs, ours: run.compare(theirs, ours)["verdict"]  # noqa: E731
    same = side((1.0, 2.0))
    assert verdict(same, side((1.0, 2.0))) == "equal"
    assert verdict(same, side((1.0, 2.0 + 1e-6))) == "last bits"
    assert verdict(same, side((1.0, 2.0001))) == "different"
    assert verdict(same, side((1.0, 2.0), (1.0, 1.00001))) == "last bits"
    assert verdict(same, side((1.0, 2.0), (1.0, 1.01))) == "different"
    assert verdict(side((1e-9, 2.0)), side((2e-9, 2.0))) == "last bits"
    assert verdict(same, side((1.0, 2.0), switched=())) == "left"
    assert run.compare({"error": "no"}, same) == {"verdict": "failed", "why": "theirs: no"}
    assert verdict(side((float("nan"), 1.0)), side((float("nan"), 1.0))) == "failed"


def test_the_page_says_what_was_recorded_and_nothing_is_different(run):
    record = json.loads((PROJECT / "clients" / "results.json").read_text())
    assert (PROJECT / "docs" / "clients.md").read_text() == run.page(record)
    assigners = {framework: told["assigners"] for framework, told in record["configs"].items()}
    assert {framework: len(found) for framework, found in assigners.items()} == DICTS
    verdicts = {each["verdict"] for found in assigners.values() for each in found.values()}
    assert verdicts == {"equal", "left"}
    verdicts = {found["verdict"] for found in record["models"].values()}
    assert verdicts <= {"equal", "last bits", "ties", "left"}
    clients = Counter(key.partition("/")[0] for key in record["models"])
    assert clients == {"ultralytics": 11, "transformers": 21, "torchvision": 12, "mmdet": 84, "mmyolo": 6}


def test_every_block_of_python_of_the_pages_is_executed(pages):
    blocks = {page.stem: len(pages.blocks_of(page.stem)) for page in pages.PAGES.glob("*.md")}
    parts = [(page, place) for page, place, _ in pages.PARTS.values() if isinstance(place, int)]
    assert sorted(parts) == sorted((page, i) for page, count in blocks.items() for i in range(count))


def test_the_record_has_what_the_pages_say_now(pages):
    record = json.loads((PROJECT / "clients" / "results.json").read_text())["pages"]
    assert set(record) == set(pages.PARTS)
    for part, found in record.items():
        assert found["code"] == pages.code_of(part).strip().splitlines()[0]
        assert found["verdict"] in ("ran", "left")

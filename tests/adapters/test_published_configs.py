"""Every assigner and match cost that a published config names: each builds and assigns, or the page says why not.

`tests/data/published_assigners.json` lists the distinct ones of all config files in the packages' wheels. That
answers are equal, `make clients` shows beside the packages.
"""

import importlib.util
import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import Registry

from assigncore import COSTS
from assigncore.adapters import mmdet, mmdet2, mmyolo
from assigncore.steps.keypoints import COCO_SIGMAS

ROOT = Path(__file__).parents[2]
PUBLISHED = json.loads((ROOT / "tests" / "data" / "published_assigners.json").read_text())
PAGE = ROOT / "docs" / "published_configs.md"

LEFT = ("QBbox2HBboxOverlaps2D", "ConvexAssigner", "MaxConvexIoUAssigner", "SASAssigner", "ATSSKldAssigner",
        "ATSSObbAssigner")  # fmt: skip
"""Types in the dict of an assigner that has no drop-in; the page says why."""


def is_left(config):
    return any(name in json.dumps(config) for name in LEFT)


def oriented_inputs(config):
    """Name the boxes that are oriented, by the calculator's name."""
    calculator = json.dumps(config.get("iou_calculator"))
    if "RBbox2HBbox" in calculator:
        return ("gts", "ignored")
    return ("boxes", "gts", "pred", "ignored") if "RBbox" in calculator else ()


def oriented(boxes):
    """Turn boxes about their centres by 0.3."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return torch.cat([(low + high) / 2, high - low, torch.full_like(low[:, :1], 0.3)], dim=-1)


def registry_of(package):
    registry = Registry("task util", scope="assigncore")
    (mmdet2 if package["dropins"] == "mmdet2" else mmdet).register(registry)
    if package["dropins"] == "mmyolo":
        mmyolo.register(registry)
    return registry


@pytest.fixture(scope="module")
def calls():
    spec = importlib.util.spec_from_file_location("clients_calls", ROOT / "clients" / "calls.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def title(package):
    return f"{package['package']} {package['version']}"


ASSIGNERS = [
    pytest.param(package, entry["config"], id=f"{title(package)}-{entry['file']}-{number}")
    for package in PUBLISHED
    for number, entry in enumerate(package["assigners"])
]


@pytest.fixture
def with_metainfo(tmp_path, monkeypatch):
    """Put the file that describes COCO's keypoints where a config names it."""
    file = tmp_path / "configs" / "_base_" / "pose" / "coco.py"
    file.parent.mkdir(parents=True)
    file.write_text(f"dataset_info = dict(sigmas={list(COCO_SIGMAS)})\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("with_metainfo")
@pytest.mark.parametrize(("package", "config"), ASSIGNERS)
def test_an_assigner_of_a_config_builds_and_assigns(package, config, calls):
    kind = config["type"].rpartition(".")[2]
    registry = registry_of(package)
    if is_left(config):
        with pytest.raises((KeyError, TypeError, ValueError)):
            registry.build(ConfigDict({**config, "type": kind}))
        return
    assigner = registry.build(ConfigDict({**config, "type": kind}))
    given = calls.scene(0, config.get("num_classes", calls.CLASSES))
    for name in oriented_inputs(config):
        given[name] = oriented(given[name])
    torch.manual_seed(0)
    kind = kind.removeprefix("Rotated")
    found = calls.answer(calls.CALLS[package["dropins"]](assigner, kind, given))
    assert any(isinstance(x, torch.Tensor) and (x > 0).any() for x in found.values())


def test_every_match_cost_is_known():
    costs = {entry["config"]["type"] for package in PUBLISHED for entry in package["costs"]}
    assert len(costs) >= 7
    for name in costs:
        plain = "FocalLossCost" if name == "BinaryFocalLossCost" else name
        assert plain in COSTS.names()


def test_the_page_counts_them():
    rows = []
    for package in PUBLISHED:
        left = Counter(is_left(entry["config"]) for entry in package["assigners"])
        costs = len(package["costs"])
        rows.append(
            f"| {title(package)} | {package['files']} | {package['unread']} | {len(package['assigners'])} "
            f"| {left[False]} | {left[True]} | {costs} |"
        )
    page = PAGE.read_text()
    assert "\n".join(rows) in page
    for name in LEFT:
        assert f"`{name}`" in page

"""Assigners and overlap calculators are built from config dicts, and a wrong config says what is wrong."""

from collections import OrderedDict
from dataclasses import FrozenInstanceError, dataclass, fields
from types import MappingProxyType

import numpy as np
import pytest

from assigncore import (
    ASSIGNERS,
    OVERLAP_CALCULATORS,
    BboxOverlaps2D,
    MaxIoUAssigner,
    build_assigner,
)
from assigncore.registry import Registry, build_overlap_calculator

RPN = {"type": "MaxIoUAssigner", "pos_iou_thr": 0.7, "neg_iou_thr": 0.3, "min_pos_iou": 0.3}


def test_a_config_builds_the_assigner_with_its_knobs():
    built = build_assigner(RPN)
    assert built == MaxIoUAssigner(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3)
    assert RPN["type"] == "MaxIoUAssigner"


@pytest.mark.parametrize("mapping", [OrderedDict, MappingProxyType, dict])
def test_any_mapping_is_a_config(mapping):
    assert build_assigner(mapping(RPN)).pos_iou_thr == 0.7


def test_every_assigner_of_the_core_is_registered_under_its_own_name():
    assert {"ApproxMaxIoUAssigner", "AscendMaxIoUAssigner", "GridAssigner", "MaxIoUAssigner"} <= set(
        ASSIGNERS.names()
    )
    assert list(ASSIGNERS.names()) == sorted(ASSIGNERS.names())
    for name in ASSIGNERS.names():
        assert ASSIGNERS.get(name).__name__ == name
        assert callable(ASSIGNERS.get(name).assign)


@pytest.mark.parametrize("name", ASSIGNERS.names())
def test_assigners_are_frozen(name):
    cls = ASSIGNERS.get(name)
    knob = fields(cls)[0].name
    with pytest.raises(FrozenInstanceError):
        setattr(object.__new__(cls), knob, 1)


def test_a_nested_config_builds_the_overlap_calculator():
    built = build_assigner({**RPN, "iou_calculator": {"type": "BboxOverlaps2D", "scale": 4.0}})
    assert built.iou_calculator == BboxOverlaps2D(scale=4.0)
    assert build_assigner(RPN).iou_calculator == BboxOverlaps2D()


def test_a_calculator_that_is_built_already_passes_through():
    def calculator(b1, b2, mode="iou"):
        return BboxOverlaps2D()(b1, b2, mode)

    assert build_overlap_calculator(calculator) is calculator
    assert build_assigner({**RPN, "iou_calculator": calculator}).iou_calculator is calculator
    boxes = np.array([[0, 0, 4, 4]], dtype=np.float32)
    assert MaxIoUAssigner(0.5, 0.4, iou_calculator=calculator).assign(boxes, boxes).gt_inds.tolist() == [1]


@pytest.mark.parametrize(
    ("config", "error", "words"),
    [
        (
            {**RPN, "type": "MaxIouAssigner"},
            ValueError,
            ["'MaxIouAssigner'", "did you mean", "MaxIoUAssigner"],
        ),
        ({**RPN, "type": "zzz"}, ValueError, ["'zzz'", "known are", "GridAssigner"]),
        ({**RPN, "pos_iuo_thr": 0.5}, TypeError, ["'pos_iuo_thr'", "did you mean", "pos_iou_thr"]),
        ({**RPN, "zzz": 0.5}, TypeError, ["'zzz'", "known are", "min_pos_iou"]),
        ({"pos_iou_thr": 0.7}, TypeError, ["'type'", "MaxIoUAssigner"]),
        ({**RPN, "type": MaxIoUAssigner}, TypeError, ["'type'", "expected a name", "got type"]),
        (["MaxIoUAssigner"], TypeError, ["expected a config mapping", "list"]),
        ("MaxIoUAssigner", TypeError, ["expected a config mapping", "str"]),
        ({"type": "MaxIoUAssigner", "pos_iou_thr": 0.7}, TypeError, ["neg_iou_thr"]),
        (
            {**RPN, "iou_calculator": {"type": "BboxOverlap2D"}},
            ValueError,
            ["did you mean", "BboxOverlaps2D"],
        ),
        (
            {**RPN, "iou_calculator": {"type": "BboxOverlaps2D", "eps": 1}},
            TypeError,
            ["BboxOverlaps2D", "'eps'"],
        ),
        ({**RPN, "iou_calculator": "BboxOverlaps2D"}, TypeError, ["overlap calculator", "str"]),
        ({**RPN, "iou_calculator": {"type": "BboxOverlaps2D", "scale": 0}}, ValueError, ["scale", "0"]),
        ({**RPN, "neg_iou_thr": (0.4, 0.1)}, ValueError, ["neg_iou_thr", "(0.4, 0.1)"]),
        ({**RPN, "neg_iou_thr": (0.1, 0.2, 0.3)}, ValueError, ["neg_iou_thr", "pair", "0.3"]),
        ({**RPN, "neg_iou_thr": (0.1, "much")}, TypeError, ["neg_iou_thr", "'much'"]),
    ],
)
def test_a_wrong_config_says_what_is_wrong(config, error, words):
    with pytest.raises(error) as caught:
        build_assigner(config)
    for word in words:
        assert word in str(caught.value)


def test_a_registry_takes_a_class_once_under_a_name():
    registry = Registry("thing")

    @registry.register
    @dataclass(frozen=True)
    class Thing:
        size: int = 1

    assert registry.register(Thing) is Thing
    assert registry.names() == ("Thing",)
    assert registry.build({"type": "Thing", "size": 3}) == Thing(3)
    other = dataclass(frozen=True)(type("Thing", (), {}))
    with pytest.raises(ValueError, match=r"thing 'Thing' is registered already"):
        registry.register(other)
    assert registry.get("Thing") is Thing


def test_the_default_calculator_is_registered():
    assert OVERLAP_CALCULATORS.get("BboxOverlaps2D") is BboxOverlaps2D

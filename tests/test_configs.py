"""Configs as callers have them: numbers of NumPy, errors by name, the way back, equality."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest

import assigncore
from assigncore.costs import MatchCost
from assigncore.registry import (
    ASSIGNERS,
    COSTS,
    OVERLAP_CALCULATORS,
    build_assigner,
    build_cost,
    build_overlap_calculator,
)

OVERLAP_RULE = {"pos_iou_thr": 0.7, "neg_iou_thr": 0.3, "min_pos_iou": 0.25}
NEEDED = {
    "ApproxMaxIoUAssigner": OVERLAP_RULE,
    "AscendMaxIoUAssigner": OVERLAP_RULE,
    "ATSSAssigner": {"topk": 9},
    "CenterRegionAssigner": {"pos_scale": 0.2, "neg_scale": 0.5},
    "GreedyMatcher": {"match_costs": [{"type": "IoUCost"}, {"type": "FocalLossCost", "weight": 2.0}]},
    "GridAssigner": OVERLAP_RULE,
    "HungarianAssigner": {"match_costs": [{"type": "IoUCost"}, {"type": "BBoxL1Cost", "weight": 5.0}]},
    "Matcher": {"thresholds": [0.3, 0.7], "labels": [0, -1, 1]},
    "MaxIoUAssigner": OVERLAP_RULE,
    "OKSCost": {"sigmas": [0.026, 0.079, 0.107]},
    "RegionAssigner": {"center_ratio": 0.25},
    "TaskAlignedAssigner": {"topk": 13},
    "TopkHungarianAssigner": {"topk": 8},
    "UniformAssigner": {"pos_ignore_thr": 0.15, "neg_ignore_thr": 0.7},
}
REGISTRIES = {"assigner": ASSIGNERS, "cost": COSTS, "calculator": OVERLAP_CALCULATORS}
BUILT = {
    name: registry.build({"type": name, **NEEDED.get(name, {})})
    for registry in REGISTRIES.values()
    for name in registry.names()
}
BUILDERS = {
    name: {"assigner": build_assigner, "cost": build_cost, "calculator": build_overlap_calculator}[kind]
    for kind, registry in REGISTRIES.items()
    for name in registry.names()
}


def knobs_of(built):
    return {each.name: getattr(built, each.name) for each in fields(built)}


def numbers_of(built):
    return {name: value for name, value in knobs_of(built).items() if isinstance(value, bool | int | float)}


def in_numpy(value):
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int):
        return np.int64(value)
    if isinstance(value, float):
        return np.float64(value)
    if isinstance(value, tuple):
        return tuple(map(in_numpy, value))
    return value


def test_there_are_23_assigners():
    assert len(ASSIGNERS.names()) == 23


@pytest.mark.parametrize("name", sorted(BUILT))
def test_numpy_numbers_are_kept_as_pythons_own(name):
    built = BUILT[name]
    again = type(built)(**{knob: in_numpy(value) for knob, value in knobs_of(built).items()})
    assert again == built
    assert hash(again) == hash(built)
    for knob, value in knobs_of(again).items():
        assert type(value) is type(getattr(built, knob)), knob


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("name", sorted(BUILT))
def test_floats_of_other_widths_are_numbers(name, kind):
    built = BUILT[name]
    floats = {knob: value for knob, value in numbers_of(built).items() if isinstance(value, float)}
    for knob, value in floats.items():
        if kind(value) != 0 or value == 0:
            changed = replace(built, **{knob: kind(value)})
            assert type(getattr(changed, knob)) is float
            assert getattr(changed, knob) == float(kind(value))


@pytest.mark.parametrize("name", sorted(BUILT))
def test_the_way_back_through_json(name):
    built = BUILT[name]
    config = json.loads(json.dumps(built.to_config(), allow_nan=False))
    again = BUILDERS[name](config)
    assert again == built
    assert hash(again) == hash(built)
    assert again.to_config() == config


@pytest.mark.parametrize("name", sorted(BUILT))
@pytest.mark.parametrize("wrong", ["much", float("nan"), [], object(), {"a": 1}, np.zeros(3), None])
def test_a_wrong_knob_is_named(name, wrong):
    for knob in numbers_of(BUILT[name]):
        if wrong is None and (name, knob) in OPTIONAL:
            continue
        if knob == "neg_iou_thr" and isinstance(wrong, list) and not wrong:
            wrong = [1]
        with pytest.raises((TypeError, ValueError), match=rf"^{knob}\b"):
            replace(BUILT[name], **{knob: wrong})


@pytest.mark.parametrize("name", sorted(BUILT))
def test_a_number_beyond_floats_is_named(name):
    for knob, value in numbers_of(BUILT[name]).items():
        if isinstance(value, bool):
            continue
        wanted = "(a finite number|an integer of at most 64 bits)"
        with pytest.raises(ValueError, match=rf"^{knob}: expected {wanted}, got an integer of 1,329 bits"):
            replace(BUILT[name], **{knob: 10**400})


OPTIONAL = {
    ("GreedyMatcher", "max_cost"),
    ("ATSSAssigner", "alpha"),
    ("TaskAlignedAssigner", "topk2"),
    ("TaskAlignedAssigner", "inside_margin"),
}

WITH_CALCULATOR = sorted(name for name in ASSIGNERS.names() if "iou_calculator" in knobs_of(BUILT[name]))


@pytest.mark.parametrize("name", WITH_CALCULATOR)
@pytest.mark.parametrize(
    ("calculator", "message"),
    [
        (
            {"type": "BboxOverlaps2D", "scale": "wide"},
            r"^iou_calculator\.scale: expected a number, got 'wide'",
        ),
        ({"type": "BboxOverlaps2D", "scales": 1.0}, r"^iou_calculator: .*no knob 'scales'"),
        ({"type": "BboxOverlap"}, r"^iou_calculator: unknown overlap calculator 'BboxOverlap'"),
        ({"scale": 1.0}, r"^iou_calculator: .*no 'type'"),
        (7, r"^iou_calculator: expected a config mapping"),
    ],
)
def test_a_wrong_calculator_is_named(name, calculator, message):
    with pytest.raises((TypeError, ValueError), match=message):
        replace(BUILT[name], iou_calculator=calculator)


COST_KNOBS = [
    (name, knob)
    for name in ASSIGNERS.names()
    for knob, value in knobs_of(BUILT[name]).items()
    if isinstance(value, MatchCost)
]


@pytest.mark.parametrize(("name", "knob"), COST_KNOBS)
def test_a_wrong_cost_is_named(name, knob):
    for wrong, message in {
        "knob": ({"type": "FocalLossCost", "gamma": -1}, rf"^{knob}\.gamma: expected at least 0, got -1"),
        "unknown": ({"type": "FocalLoss"}, rf"^{knob}: unknown match cost"),
        "no cost": (len, rf"^{knob}: expected a match cost"),
    }.values():
        with pytest.raises((TypeError, ValueError), match=message):
            replace(BUILT[name], **{knob: wrong})


@pytest.mark.parametrize("name", ["HungarianAssigner", "GreedyMatcher"])
def test_a_wrong_cost_of_several_is_numbered(name):
    costs = [{"type": "IoUCost"}, {"type": "BBoxL1Cost", "weight": "heavy"}]
    with pytest.raises(TypeError, match=r"^match_costs\[1\]\.weight: expected a number, got 'heavy'"):
        build_assigner({"type": name, "match_costs": costs})
    with pytest.raises(TypeError, match=r"^match_costs\.weight: expected a number"):
        build_assigner({"type": name, "match_costs": costs[1]})


def test_a_missing_knob_is_named():
    with pytest.raises(TypeError, match="ATSSAssigner lacks its knob 'topk'"):
        build_assigner({"type": "ATSSAssigner"})


def test_a_list_is_a_pair():
    pair = build_assigner({"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": [0.1, 0.4]})
    assert pair.neg_iou_thr == (0.1, 0.4)
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 3], [50, 50, 60, 60]], dtype=np.float32)
    assert pair.assign(boxes, boxes[:1]).gt_inds.tolist() == [1, 0, -1]


def test_an_integer_threshold_is_the_number_it_is():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 3]], dtype=np.float32)
    for number in (1, 1.0, np.int64(1)):
        rule = assigncore.MaxIoUAssigner(pos_iou_thr=1.0, neg_iou_thr=number, match_low_quality=False)
        assert rule.assign(boxes, boxes[:1]).gt_inds.tolist() == [1, 0]


def test_unbounded_ranges_are_null_in_json():
    rule = assigncore.FCOSAssigner()
    assert rule.to_config()["regress_ranges"][-1] == [512, None]
    assert assigncore.FCOSAssigner(regress_ranges=((None, 64), (64, None))).regress_ranges == (
        (-float("inf"), 64),
        (64, float("inf")),
    )


def test_a_function_has_no_config():
    rule = assigncore.ATSSAssigner(topk=9, iou_calculator=pow)
    with pytest.raises(TypeError, match=r"^iou_calculator: expected what a config can hold"):
        rule.to_config()


def test_a_class_nobody_registered_has_no_config():
    class Mine(assigncore.PointAssigner):
        pass

    with pytest.raises(TypeError, match="Mine is not registered"):
        Mine().to_config()

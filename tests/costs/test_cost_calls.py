"""Sums of match costs, and costs and calls that are refused."""

import numpy as np
import pytest
import torch

from assigncore import build_cost
from assigncore.costs import IoUCost, build_costs, cost_terms, needed_inputs, weighted_sum
from assigncore.inputs import read_match_scene

from .scenes import compute, draw


def test_terms_by_name_add_up_from_the_first_to_the_last():
    costs = build_costs(
        [
            {"type": "IoUCost", "weight": 2.0},
            {"type": "ClassificationCost"},
            {"type": "IoUCost", "iou_mode": "iou"},
        ]
    )
    scene = read_match_scene(draw(lead=(2,)), needed_inputs(costs))
    terms = cost_terms(scene, costs)
    assert list(terms) == ["IoUCost", "ClassificationCost", "IoUCost 2"]
    first, second, third = terms.values()
    np.testing.assert_array_equal(weighted_sum(scene, costs), (first + second) + third)


def test_a_cost_of_weight_zero_is_neither_computed_nor_fed():
    costs = build_costs([{"type": "IoUCost"}, {"type": "DiceCost", "weight": 0.0}])
    assert needed_inputs(costs) == {"pred_bboxes": "IoUCost", "gt_bboxes": "IoUCost"}
    arrays = draw()
    scene = read_match_scene({name: arrays[name] for name in needed_inputs(costs)}, needed_inputs(costs))
    np.testing.assert_array_equal(weighted_sum(scene, costs)[0], compute({"type": "IoUCost"}, arrays))
    assert not weighted_sum(scene, costs[1:]).any()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"type": "BBoxL1Cost", "box_format": "cxcywh"}, "box_format: expected one of xyxy, xywh"),
        ({"type": "IoUCost", "iou_mode": "fiou"}, "iou_mode: expected one of iou, iof, giou, diou, ciou"),
        ({"type": "IoUCost", "weight": "2"}, "weight: expected a number"),
        ({"type": "FocalLossCost", "alpha": 2}, "alpha: expected at most 1"),
        ({"type": "FocalLossCost", "binary_input": 1}, "binary_input: expected True or False"),
        ({"type": "FocalLossCost", "eps": -1}, "eps: expected at least 0"),
        ({"type": "CrossEntropyLossCost", "use_sigmoid": False}, "use_sigmoid: expected True"),
        ({"type": "FocalCost"}, "did you mean FocalLossCost"),
        ({"type": "DiceCost", "act": True}, "DiceCost has no knob 'act'"),
    ],
)
def test_wrong_knobs(config, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build_cost(config)


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        ([], "match_costs: expected at least one cost"),
        ("IoUCost", "match_costs: expected a config mapping or several, got str"),
        ([abs], r"match_costs\[0\]: expected a match cost or its config, got builtin_function_or_method"),
    ],
)
def test_wrong_lists_of_costs(configs, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build_costs(configs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gt_bboxes": None}, "gt_bboxes: expected an array, since IoUCost reads it, got None"),
        ({"gt_boxes": np.zeros((3, 4))}, "unknown argument 'gt_boxes'"),
        ({"pred_bboxes": np.zeros((7, 5))}, r"pred_bboxes: expected shape \(..., N, 4\), got \(7, 5\)"),
        ({"pred_logits": np.zeros((6, 4))}, r"pred_logits: expected shape \(..., 7, C\), got \(6, 4\)"),
        ({"gt_labels": np.zeros(2, dtype=int)}, r"gt_labels: expected shape \(..., 3\), got \(2,\)"),
        ({"gt_labels": np.zeros(3)}, "gt_labels: expected integers"),
        ({"pred_bboxes": np.zeros((7, 4), dtype=int)}, "pred_bboxes: expected real floating numbers"),
        ({"gt_masks": np.zeros((3, 4, 6))}, r"gt_masks: expected shape \(..., 3, 4, 5\), got \(3, 4, 6\)"),
        ({"image_shape": (3, 80, 120)}, "image_shape: expected two finite numbers above 0"),
        ({"image_shape": (0, 120)}, "image_shape: expected two finite numbers above 0"),
        ({"pred_bboxes": torch.zeros((7, 4))}, "expected arrays of one library"),
    ],
)
def test_wrong_calls(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        IoUCost()(**{**draw(), **change})

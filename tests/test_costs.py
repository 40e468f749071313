"""Match costs, against their definitions read a pair at a time."""

import numpy as np
import pytest
import torch

from assigncore import build_cost, memory_budget
from assigncore.boxes import pairwise_ciou, pairwise_diou, pairwise_giou, pairwise_iof, pairwise_iou
from assigncore.conformance.reference_matching import pair_cost
from assigncore.costs import IoUCost, build_costs, cost_terms, needed_inputs, point_sample, weighted_sum
from assigncore.match_scene import read_match_scene
from assigncore.registry import COSTS

SIZE = (80, 120)
PUBLISHED = {
    "pred_bboxes": "bboxes",
    "pred_logits": "scores",
    "pred_masks": "masks",
}
CONFIGS = [
    {"type": "ClassificationCost", "weight": 2.0},
    {"type": "FocalLossCost", "weight": 2.0},
    {"type": "FocalLossCost", "alpha": 0.5, "gamma": 1.5, "eps": 1e-8},
    {"type": "FocalLossCost", "gamma": 0},
    {"type": "FocalLossCost", "gamma": 1, "binary_input": True, "weight": 20.0},
    {"type": "FocalLossCost", "gamma": 3, "binary_input": True},
    {"type": "BinaryFocalLossCost", "weight": 2.0},
    {"type": "BBoxL1Cost", "weight": 5.0},
    {"type": "BBoxL1Cost", "box_format": "xywh"},
    {"type": "IoUCost", "weight": 2.0},
    {"type": "DiceCost"},
    {"type": "DiceCost", "pred_act": True, "eps": 1.0, "weight": 5.0},
    {"type": "DiceCost", "pred_act": True, "naive_dice": False},
    {"type": "CrossEntropyLossCost", "weight": 5.0},
]


def boxes(rng, *shape):
    low = rng.uniform(0, 60, (*shape, 2))
    return np.concatenate([low, low + rng.uniform(2, 40, (*shape, 2))], axis=-1)


def draw(seed=0, n=7, g=3, classes=6, lead=(), dtype=np.float32):
    rng = np.random.default_rng(seed)
    arrays = {
        "pred_bboxes": boxes(rng, *lead, n),
        "pred_logits": rng.normal(0, 2, (*lead, n, classes)),
        "pred_masks": rng.normal(0, 2, (*lead, n, 4, 5)),
        "gt_bboxes": boxes(rng, *lead, g),
        "positive_maps": rng.integers(0, 2, (*lead, g, classes)),
    }
    return {
        **{name: x.astype(dtype) for name, x in arrays.items()},
        "gt_labels": rng.integers(0, classes, (*lead, g)),
        "gt_masks": rng.integers(0, 2, (*lead, g, 4, 5)).astype(bool),
        "text_token_mask": rng.integers(0, 2, (*lead, classes)).astype(bool),
    }


def read(config, arrays):
    """The cost of every pair by the definition."""
    inputs = {
        PUBLISHED.get(name, name): x.astype(np.float64) if x.dtype.kind == "f" else x
        for name, x in arrays.items()
    }
    inputs["text_token_mask"] = inputs["text_token_mask"][None]
    of_pair = pair_cost(config, inputs, SIZE)
    n, g = len(inputs["bboxes"]), len(inputs["gt_labels"])
    return config.get("weight", 1.0) * np.array([[of_pair(i, j) for j in range(g)] for i in range(n)])


def compute(config, arrays, target=None):
    cost = build_cost(config)
    if target is None:
        return cost(**arrays, image_shape=SIZE)
    with target.running(x64=False):
        brought = {name: target.from_numpy(x) for name, x in arrays.items()}
        return target.to_numpy(cost(**brought, image_shape=SIZE))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_cost_is_what_its_definition_reads_as_in_every_library(config, target):
    arrays = draw()
    got = compute(config, arrays, target)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, read(config, arrays), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_more_ground_truths_than_classes(config):
    arrays = draw(g=9, classes=2)
    np.testing.assert_allclose(compute(config, arrays), read(config, arrays), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_batch_is_its_images_and_memory_decides_nothing(config):
    arrays = draw(lead=(2, 3), n=40)
    whole = compute(config, arrays)
    with memory_budget(1):
        tiled = compute(config, arrays)
    alone = compute(config, {name: x[1, 2] for name, x in arrays.items()})
    assert whole.shape == (2, 3, 40, 3)
    # Products of matrices of other sizes round otherwise.
    np.testing.assert_allclose(tiled, whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(alone, whole[1, 2], rtol=1e-4, atol=1e-5)


def test_every_registered_cost_is_tested():
    assert {config["type"] for config in CONFIGS} == set(COSTS.names())


@pytest.mark.parametrize(
    ("mode", "pairwise"),
    [
        ("iou", pairwise_iou),
        ("iof", pairwise_iof),
        ("giou", pairwise_giou),
        ("diou", pairwise_diou),
        ("ciou", pairwise_ciou),
    ],
)
def test_every_mode_of_overlap(mode, pairwise):
    arrays = draw()
    pred, gt = arrays["pred_bboxes"], arrays["gt_bboxes"]
    np.testing.assert_array_equal(IoUCost(mode)(pred_bboxes=pred, gt_bboxes=gt), -pairwise(pred, gt))


@pytest.mark.parametrize("lead", [(), (2,)])
def test_the_image_shape_as_an_array(lead):
    arrays = draw(lead=lead)
    cost = build_cost({"type": "BBoxL1Cost"})
    sides = np.broadcast_to(np.array(SIZE), (*lead, 2))
    expected = cost(**arrays, image_shape=SIZE)
    np.testing.assert_array_equal(cost(**arrays, image_shape=sides), expected)
    np.testing.assert_array_equal(cost(**arrays, image_shape=sides.astype(np.float32)), expected)


def test_each_image_has_its_own_shape():
    arrays = draw(lead=(2,))
    got = build_cost({"type": "BBoxL1Cost"})(**arrays, image_shape=np.array([SIZE, (40, 60)]))
    small = {name: x[1] for name, x in arrays.items()}
    np.testing.assert_allclose(got[1], 2 * compute({"type": "BBoxL1Cost"}, small), rtol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_half_precision_is_raised_and_double_kept(config, dtype):
    arrays = draw(dtype=dtype)
    got = compute(config, arrays)
    assert got.dtype == (np.float32 if dtype == np.float16 else np.float64)
    np.testing.assert_allclose(got, read(config, arrays), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize(("n", "g"), [(0, 3), (4, 0), (0, 0)])
def test_no_predictions_or_no_ground_truths(config, n, g):
    assert compute(config, draw(n=n, g=g)).shape == (n, g)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_inputs_are_not_written(config):
    arrays, before = draw(), draw()
    compute(config, arrays)
    for name, x in arrays.items():
        np.testing.assert_array_equal(x, before[name])


@pytest.mark.parametrize("config", CONFIGS[:2], ids=str)
@pytest.mark.parametrize("classes", [2, 6])
def test_a_label_that_is_no_class_costs_nan(config, classes):
    arrays = draw(classes=classes)
    arrays["gt_labels"] = np.array([0, classes, -1])
    np.testing.assert_array_equal(np.isnan(compute(config, arrays)), [[False, True, True]] * 7)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf, 1e30])
def test_a_pair_with_a_broken_box_costs_nan(broken):
    arrays = draw()
    arrays["pred_bboxes"][2, 1] = broken
    arrays["gt_bboxes"][1, 3] = broken
    expected = np.zeros((7, 3), dtype=bool)
    expected[2], expected[:, 1] = True, True
    np.testing.assert_array_equal(np.isnan(compute({"type": "IoUCost"}, arrays)), expected)


@pytest.mark.parametrize(
    "config", [each for each in CONFIGS if each["type"] not in ("IoUCost", "BBoxL1Cost")], ids=str
)
def test_saturated_logits_cost_something_finite(config):
    arrays = draw()
    for name in ("pred_logits", "pred_masks"):
        arrays[name] = np.where(arrays[name] > 0, np.float32(2e4), np.float32(-2e4))
    if config["type"] == "DiceCost":
        arrays["pred_masks"] = np.clip(arrays["pred_masks"], -200, 200)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert np.isfinite(compute(config, arrays)).all()


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


def test_gradients_are_cut():
    arrays = {name: torch.tensor(x) for name, x in draw().items()}
    arrays["pred_bboxes"].requires_grad_()
    assert not IoUCost()(**arrays).requires_grad


@pytest.mark.parametrize(
    "config", [each for each in CONFIGS if each["type"] == "DiceCost" or each.get("binary_input")], ids=str
)
@pytest.mark.parametrize("lead", [(), (2,)])
def test_masks_at_points_are_masks_of_what_is_read_there(config, lead):
    arrays, rng = draw(lead=lead), np.random.default_rng(1)
    points = rng.uniform(size=(*lead, 30, 2)).astype(np.float32)
    gt_masks = rng.integers(0, 2, (*lead, 3, 16, 20)).astype(bool)
    got = build_cost(config)(pred_masks=arrays["pred_masks"], gt_masks=gt_masks, mask_points=points)
    expected = build_cost(config)(
        pred_masks=point_sample(arrays["pred_masks"], points)[..., None, :],
        gt_masks=point_sample(gt_masks, points)[..., None, :],
    )
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    with memory_budget(1):
        tiled = build_cost(config)(pred_masks=arrays["pred_masks"], gt_masks=gt_masks, mask_points=points)
    np.testing.assert_allclose(tiled, got, rtol=1e-4, atol=1e-5)


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
        ([abs], "match_costs: expected match costs, got builtin_function_or_method"),
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
        ({"image_shape": (3, 80, 120)}, "image_shape: expected two positive numbers"),
        ({"image_shape": (0, 120)}, "image_shape: expected two positive numbers"),
        ({"pred_bboxes": torch.zeros((7, 4))}, "expected arrays of one library"),
    ],
)
def test_wrong_calls(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        IoUCost()(**{**draw(), **change})


def test_a_saturated_logit_costs_the_same_when_compiled_by_jax():
    jax = pytest.importorskip("jax")
    logits = np.array([[200.0, -200.0, 20.0, 0.0]], dtype=np.float32)
    cost = build_cost({"type": "FocalLossCost"})

    def price(xs):
        return cost(pred_logits=xs, gt_labels=jax.numpy.arange(4))

    expected = cost(pred_logits=logits, gt_labels=np.arange(4))
    np.testing.assert_allclose(expected[0, 0], -20.723, rtol=1e-3)
    np.testing.assert_allclose(jax.jit(price)(jax.numpy.asarray(logits)), expected, rtol=1e-5, atol=1e-5)

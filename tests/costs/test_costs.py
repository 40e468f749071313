"""Match costs, against their definitions read a pair at a time."""

import numpy as np
import pytest
import torch

from assigncore import build_cost, memory_budget
from assigncore.costs import IoUCost, point_sample
from assigncore.registry import COSTS

from .scenes import CONFIGS, compute, draw, read


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

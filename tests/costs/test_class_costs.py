"""Match costs of classes and masks: labels that are no class, and logits that saturate."""

import numpy as np
import pytest

from assigncore import build_cost
from assigncore.conformance import get_target

from .scenes import CONFIGS, compute, draw


@pytest.mark.parametrize("config", CONFIGS[:2], ids=str)
@pytest.mark.parametrize("classes", [2, 6])
def test_a_label_that_is_no_class_costs_nan_where_the_host_cannot_see_it(config, classes):
    arrays = draw(classes=classes)
    arrays["gt_labels"] = np.array([0, classes, -1])
    cost = compute(config, arrays, get_target("jax"))
    np.testing.assert_array_equal(np.isnan(cost), [[False, True, True]] * 7)
    with pytest.raises(
        ValueError, match=f"gt_labels: .* {classes} classes, got {classes} for ground truth 1"
    ):
        compute(config, arrays)


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


def test_a_saturated_logit_costs_the_same_when_compiled_by_jax():
    jax = pytest.importorskip("jax")
    logits = np.array([[200.0, -200.0, 20.0, 0.0]], dtype=np.float32)
    cost = build_cost({"type": "FocalLossCost"})

    def price(xs):
        return cost(pred_logits=xs, gt_labels=jax.numpy.arange(4))

    expected = cost(pred_logits=logits, gt_labels=np.arange(4))
    np.testing.assert_allclose(expected[0, 0], -20.723, rtol=1e-3)
    np.testing.assert_allclose(jax.jit(price)(jax.numpy.asarray(logits)), expected, rtol=1e-5, atol=1e-5)


def test_without_eps_every_finite_logit_costs_something_finite():
    logits = np.array([[2e4, -2e4, 0.0]], dtype=np.float32)
    cost = build_cost({"type": "FocalLossCost", "eps": 0})
    got = cost(pred_logits=logits, gt_labels=np.arange(3))
    np.testing.assert_allclose(got, [[-0.75 * 2e4, 0.25 * 2e4, -0.5 * 0.25 * np.log(2)]], rtol=1e-6)


def test_tokens_of_padding_cost_nothing_and_an_unnamed_ground_truth_cannot_be_matched():
    logits = np.array([[1.0, -1.0, -np.inf], [np.nan, 0.0, -np.inf]])
    maps = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 0]])
    cost = build_cost({"type": "TokenFocalLossCost"})
    got = cost(pred_logits=logits, positive_maps=maps)
    assert np.isnan(got).tolist() == [[False, False, True], [True] * 3]
    np.testing.assert_allclose(got[:1, :2], cost(pred_logits=logits[:1, :2], positive_maps=maps[:2, :2]))
    np.testing.assert_array_equal(cost(pred_logits=logits[:1], positive_maps=3 * maps)[:, :2], got[:1, :2])

"""Task-aligned assignment of broken, empty and narrow inputs, and calls it refuses."""

import numpy as np
import pytest

from assigncore import TaskAlignedAssigner
from assigncore.backend.fast_path import without_numpy_fast_path

from .scenes import assign, draw

pytestmark = pytest.mark.compiled_by_jax


@pytest.mark.parametrize("rule", ["tood", "yolov6", "yolov8", "one to three"])
def test_a_prior_that_takes_no_part_changes_nothing_for_the_others(rule):
    inputs = draw(9, tied=True)
    part = np.arange(60) % 7 != 0
    got = assign({**inputs, "pred_bboxes": np.where(part[:, None], inputs["pred_bboxes"], 5.0)}, rule,
                 prior_valid=part)["gt_inds"]  # fmt: skip
    names = ("priors", "pred_bboxes", "pred_scores")
    rest = {name: x[part] if name in names else x for name, x in inputs.items()}
    np.testing.assert_array_equal(got[part], assign(rest, rule)["gt_inds"])
    assert (got[~part] == -1).all()


@pytest.mark.parametrize("rule", ["tood", "yolov8"])
@pytest.mark.parametrize("broken", ["priors", "pred_bboxes", "pred_scores"])
def test_what_is_broken_matches_nothing(broken, rule):
    inputs = draw(10)
    taken = np.flatnonzero(assign(inputs, rule)["gt_inds"] > 0)[0]
    inputs[broken][taken] = np.nan
    got = assign(inputs, rule)
    assert got["gt_inds"][taken] == 0
    assert got["max_overlaps"][taken] == -1e8
    assert got["assign_metrics"][taken] == 0


def test_a_broken_ground_truth_takes_nothing():
    inputs = draw(11)
    inputs["gt_bboxes"][0, 2] = np.inf
    got = assign(inputs, "yolov6")["gt_inds"]
    assert (got != 1).all()
    assert (got > 1).any()


@pytest.mark.parametrize("rule", ["tood", "one to one"])
@pytest.mark.parametrize("sizes", [{"n_priors": 0}, {"n_gts": 0}, {"n_priors": 0, "n_gts": 0}])
def test_nothing_to_match(sizes, rule, target):
    inputs = draw(12, **sizes)
    with target.running(x64=True):
        got = assign({name: target.from_numpy(x) for name, x in inputs.items()}, rule)
        for x in got.values():
            np.testing.assert_array_equal(target.to_numpy(x), np.zeros(sizes.get("n_priors", 60)))


def test_only_padding_is_no_ground_truth():
    got = assign(draw(13), "yolov8", gt_valid=np.zeros(5, dtype=bool))
    assert not any(x.any() for x in got.values())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_raised(dtype):
    torch = pytest.importorskip("torch")
    half = {
        name: torch.from_numpy(x).to(getattr(torch, dtype)) if x.dtype.kind == "f" else torch.from_numpy(x)
        for name, x in draw(14).items()
    }
    single = {name: x.float() if x.is_floating_point() else x for name, x in half.items()}
    # NumPy, which has no bfloat16, would round the powers of the others otherwise.
    with without_numpy_fast_path():
        got, expected = assign(half, "yolov8"), assign(single, "yolov8")
    for name, x in expected.items():
        assert torch.equal(got[name], x)
    assert got["assign_metrics"].dtype == torch.float32


def test_results_carry_no_gradient_and_inputs_are_not_written():
    torch = pytest.importorskip("torch")
    inputs = draw(15)
    arrays = {name: torch.from_numpy(x.copy()) for name, x in inputs.items()}
    for name in ("pred_bboxes", "pred_scores"):
        arrays[name].requires_grad_(True)
    for x in assign(arrays, "one to one").values():
        assert not x.requires_grad
    for name, x in inputs.items():
        np.testing.assert_array_equal(arrays[name].detach().numpy(), x)


@pytest.mark.parametrize(
    ("knobs", "named"),
    [
        ({"topk": 0}, "topk"),
        ({"topk": 1.5}, "topk"),
        ({"topk": 1, "topk2": 0}, "topk2"),
        ({"topk": 1, "alpha": -1}, "alpha"),
        ({"topk": 1, "inside_margin": -0.1}, "inside_margin"),
        ({"topk": 1, "conflicts": "some"}, "conflicts"),
        ({"topk": 1, "normalized": 1}, "normalized"),
        ({"topk": 1, "eps": float("nan")}, "eps"),
    ],
)
def test_wrong_knobs_are_refused(knobs, named):
    with pytest.raises((TypeError, ValueError), match=named):
        TaskAlignedAssigner(**knobs)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"pred_bboxes": None}, "pred_bboxes"),
        ({"pred_scores": None}, "pred_scores"),
        ({"gt_labels": None}, "gt_labels"),
        ({"pred_scores": np.zeros((60, 0))}, "pred_scores"),
        ({"pred_scores": np.zeros((59, 3))}, "pred_scores"),
        ({"gt_labels": np.zeros(5)}, "gt_labels"),
        ({"priors": np.zeros((60, 5))}, "priors"),
    ],
)
def test_wrong_calls_are_refused(change, named):
    with pytest.raises((TypeError, ValueError), match=named):
        TaskAlignedAssigner(topk=3).assign(**{**draw(18), **change})

"""Uniform matching, against a plain reading of its rule, one write after the other."""

import numpy as np
import pytest

from assigncore import UniformAssigner
from assigncore.backend.memory import memory_budget
from assigncore.conformance.reference import nearest
from assigncore.conformance.reference.image import Image

KNOBS = {"pos_ignore_thr": 0.15, "neg_ignore_thr": 0.6, "match_times": 3}


def draw(seed, n_priors=40, n_gts=5, tied=False):
    rng = np.random.default_rng(seed)
    low = (
        rng.integers(0, 8, (n_priors + n_gts, 2)) * 4.0 if tied else rng.uniform(0, 60, (n_priors + n_gts, 2))
    )
    sides = np.full_like(low, 8.0) if tied else rng.uniform(4, 30, low.shape)
    boxes = np.concatenate([low, low + sides], axis=-1).astype(np.float32)
    priors, gts = boxes[:n_priors], boxes[n_priors:]
    shift = rng.integers(-1, 2, priors.shape) * 4 if tied else rng.normal(0, 3, priors.shape)
    predictions = priors + np.broadcast_to(shift[:, :1], priors.shape).astype(np.float32)
    return {
        "priors": priors,
        "decoder_priors": predictions,
        "gt_bboxes": gts,
        "gt_labels": rng.integers(0, 9, n_gts),
    }


def assign(inputs, knobs=KNOBS, **more):
    names = {"decoder_priors": "pred_bboxes"}
    arrays = {names.get(name, name): x for name, x in inputs.items()}
    result = UniformAssigner(**knobs).assign(**arrays, **more)
    return {
        "gt_inds": result.gt_inds, "labels": result.labels, "max_overlaps": result.max_overlaps, **result.extras
    }  # fmt: skip


def uniform(inputs, knobs):
    names = {"decoder_priors": "pred_bboxes"}
    return nearest.uniform(Image({names.get(name, name): x for name, x in inputs.items()}), **knobs)


def check(got, expected):
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_it_is_what_the_rule_reads_as_in_every_library(seed, tied, target):
    inputs = draw(seed, tied=tied)
    with target.running(x64=False):
        got = assign({name: target.from_numpy(x) for name, x in inputs.items()})
        check({name: target.to_numpy(x) for name, x in got.items()}, uniform(inputs, KNOBS))


@pytest.mark.parametrize("times", [1, 40, 99])
def test_any_number_of_matches(times):
    inputs, knobs = draw(7), {**KNOBS, "match_times": times}
    check(assign(inputs, knobs), uniform(inputs, knobs))


def test_memory_decides_nothing():
    inputs = draw(8, n_priors=3000, n_gts=40)
    expected = assign(inputs)
    with memory_budget(1000):
        check(assign(inputs), expected)


def test_a_padded_batch_gives_what_its_images_give():
    scenes = [draw(seed) for seed in range(3)]
    batch = {name: np.stack([scene[name] for scene in scenes]) for name in scenes[0]}
    valid = np.ones((3, 8), dtype=bool)
    valid[:, 5:] = False
    padding = np.full((3, 3, 4), np.nan, dtype=np.float32)
    batch["gt_bboxes"] = np.concatenate([batch["gt_bboxes"], padding], axis=1)
    batch["gt_labels"] = np.concatenate([batch["gt_labels"], np.full((3, 3), 99)], axis=1)
    got = assign(batch, gt_valid=valid)
    for i, scene in enumerate(scenes):
        alone = assign(scene)
        np.testing.assert_array_equal(got["gt_inds"][i], alone["gt_inds"])
        np.testing.assert_array_equal(got["labels"][i], alone["labels"])
        np.testing.assert_array_equal(got["max_overlaps"][i, :5], alone["max_overlaps"])


def test_padding_takes_no_prior():
    inputs = draw(9)
    valid = np.array([True, False, True, True, False])
    rest = {**inputs, "gt_bboxes": inputs["gt_bboxes"][valid], "gt_labels": inputs["gt_labels"][valid]}
    places = np.concatenate([[-1, 0], np.flatnonzero(valid) + 1])
    got = assign(inputs, gt_valid=valid)
    np.testing.assert_array_equal(got["gt_inds"], places[assign(rest)["gt_inds"] + 1])
    assert not got["pos_idx"].reshape(-1, 5)[:, ~valid].any()


def test_a_prior_that_takes_no_part_or_is_broken_matches_nothing():
    inputs = draw(10)
    took = np.flatnonzero(assign(inputs)["gt_inds"] > 0)
    inputs["priors"][took[0]] = np.nan
    inputs["decoder_priors"][took[0]] = np.inf
    part = np.ones(40, dtype=bool)
    part[took[1]] = False
    got = assign(inputs, prior_valid=part)["gt_inds"]
    assert got[took[0]] == 0
    assert got[took[1]] == -1


@pytest.mark.parametrize("empty", ["priors", "gt_bboxes"])
def test_nothing_to_match(empty):
    inputs = draw(11, **({"n_priors": 0} if empty == "priors" else {"n_gts": 0}))
    got = assign(inputs)
    assert (got["gt_inds"] == 0).all()
    assert got["max_overlaps"] is None
    assert got["pos_idx"].shape == (0,)
    assert got["pos_predicted_boxes"].shape == got["target_boxes"].shape == (0, 4)


def test_ignore_regions_are_refused():
    with pytest.raises(TypeError, match="ignore_bboxes"):
        assign(draw(12), ignore_bboxes=np.zeros((1, 4)))


def test_predictions_are_required():
    inputs = draw(13)
    with pytest.raises(TypeError, match="pred_bboxes"):
        assign({**inputs, "decoder_priors": None})

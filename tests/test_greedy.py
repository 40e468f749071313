"""Greedy matching, against picking the cheapest pair one by one."""

import numpy as np
import pytest

from assigncore import GreedyMatcher
from assigncore.assigners.greedy import match_greedily
from assigncore.backend import get_backend
from assigncore.matching import linear_sum_assignment

pytestmark = pytest.mark.compiled_by_jax

COSTS = (
    {"type": "FocalLossCost", "weight": 2.0},
    {"type": "BBoxL1Cost", "weight": 5.0},
    {"type": "IoUCost", "weight": 2.0},
)


def one_by_one(cost):
    """Match the cheapest pair, the first of equally cheap ones, until none is left."""
    cost, matched = cost.copy(), np.full(len(cost), -1)
    while cost.size and np.isfinite(cost).any():
        row, column = np.unravel_index(np.argmin(np.where(np.isnan(cost), np.inf, cost)), cost.shape)
        matched[row] = column
        cost[row, :] = cost[:, column] = np.inf
    return matched


def draw(seed, n=12, g=5, classes=4):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 60, (n + g, 2))
    boxes = np.concatenate([low, low + rng.uniform(4, 30, low.shape)], axis=-1).astype(np.float32)
    return {
        "pred_bboxes": boxes[:n],
        "gt_bboxes": boxes[n:],
        "pred_logits": rng.normal(size=(n, classes)).astype(np.float32),
        "gt_labels": rng.integers(0, classes, g),
    }


def assign(inputs, knobs=None, **more):
    more = {"image_shape": (90, 90), **more}
    return GreedyMatcher(COSTS, **(knobs or {})).assign(**inputs, **more)


def costs_of(inputs):
    matcher = GreedyMatcher(COSTS)
    return sum(cost(**inputs, image_shape=(90, 90)) for cost in matcher._costs)


@pytest.mark.parametrize("kind", ["random", "tied", "equal", "forbidden", "chained"])
@pytest.mark.parametrize(("n", "g"), [(1, 1), (9, 4), (4, 9), (7, 7)])
def test_it_is_what_one_by_one_gives_in_every_library(kind, n, g, target):
    rng = np.random.default_rng(n * g)
    cost = {
        "random": rng.normal(size=(3, n, g)),
        "tied": rng.integers(0, 3, (3, n, g)).astype(float),
        "equal": np.zeros((3, n, g)),
        "forbidden": np.where(rng.random((3, n, g)) < 0.6, np.inf, rng.normal(size=(3, n, g))),
        # Each pair waits for the one before: as many rounds as there can be.
        "chained": np.broadcast_to(-np.arange(n)[:, None] - np.arange(g), (3, n, g)).astype(float),
    }[kind].astype(np.float32)
    with target.running(x64=False):
        array = target.from_numpy(cost)
        matched = target.to_numpy(match_greedily(get_backend(array), array))
    np.testing.assert_array_equal(matched, [one_by_one(each) for each in cost])


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 3), (2, 3, 0)])
def test_no_pairs(shape):
    cost = np.zeros(shape, dtype=np.float32)
    np.testing.assert_array_equal(match_greedily(get_backend(cost), cost), np.full(shape[:2], -1))


@pytest.mark.parametrize("seed", range(5))
def test_the_cheapest_of_the_weighted_costs_first(seed):
    inputs = draw(seed)
    result = assign(inputs)
    expected = one_by_one(costs_of(inputs))
    np.testing.assert_array_equal(result.gt_inds, expected + 1)
    np.testing.assert_array_equal(result.labels, np.where(expected >= 0, inputs["gt_labels"][expected], -1))
    assert result.max_overlaps is None
    assert (result.positives_per_gt == 1).all()


def test_the_least_total_cost_is_less():
    cost = np.array([[[1.0, 2.0], [2.0, 9.0]]], dtype=np.float32)
    np.testing.assert_array_equal(match_greedily(get_backend(cost), cost), [[0, 1]])
    np.testing.assert_array_equal(linear_sum_assignment(cost), [[1, 0]])


def test_costs_above_the_limit_are_not_matched():
    inputs = draw(6)
    cost = costs_of(inputs)
    limit = float(np.median(cost))
    expected = one_by_one(np.where(cost <= np.float32(limit), cost, np.inf))
    np.testing.assert_array_equal(assign(inputs, {"max_cost": limit}).gt_inds, expected + 1)
    assert (assign(inputs, {"max_cost": float(cost.min()) - 1}).gt_inds == 0).all()


def test_padding_changes_nothing():
    inputs = draw(7)
    gt_valid, prior_valid = np.ones(8, dtype=bool), np.ones(15, dtype=bool)
    gt_valid[[0, 4, 7]] = prior_valid[[2, 3, 14]] = False
    padded = {}
    for name, x in inputs.items():
        valid = gt_valid if name.startswith("gt") else prior_valid
        junk = np.nan if x.dtype.kind == "f" else 99
        padded[name] = np.full((valid.size, *x.shape[1:]), junk, dtype=x.dtype)
        padded[name][valid] = x
    got = assign(padded, gt_valid=gt_valid, prior_valid=prior_valid)
    alone = assign(inputs)
    places = np.concatenate([[0], np.flatnonzero(gt_valid) + 1])
    np.testing.assert_array_equal(got.gt_inds[prior_valid], places[alone.gt_inds])
    assert (got.gt_inds[~prior_valid] == -1).all()
    assert (assign(padded, gt_valid=np.zeros(8, dtype=bool)).gt_inds == 0).all()


def test_a_batch_gives_what_its_images_give(target):
    scenes = [draw(seed) for seed in (8, 9, 10)]
    batch = {name: np.stack([scene[name] for scene in scenes]) for name in scenes[0]}
    with target.running(x64=False):
        got = assign({name: target.from_numpy(x) for name, x in batch.items()}).to_numpy()
    for i, scene in enumerate(scenes):
        np.testing.assert_array_equal(got.gt_inds[i], assign(scene).gt_inds)
        np.testing.assert_array_equal(got.labels[i], assign(scene).labels)


@pytest.mark.parametrize(("n", "g"), [(0, 3), (3, 0), (0, 0)])
def test_empty(n, g):
    result = assign(draw(11, n=n, g=g))
    np.testing.assert_array_equal(result.gt_inds, np.zeros(n))
    assert result.num_gts == g


def test_what_is_not_finite_is_not_matched_or_refused():
    inputs = draw(12)
    inputs["pred_bboxes"][3] = np.nan
    inputs["pred_logits"][5, :] = np.inf
    inputs["gt_bboxes"][2] = np.inf
    result = assign(inputs)
    assert (result.gt_inds[[3]] == 0).all()
    assert result.positives_per_gt[2] == 0
    with pytest.raises(ValueError, match="BBoxL1Cost of prior 0 and ground truth 2"):
        assign(inputs, {"nonfinite": "raise"})
    sound = draw(12)
    np.testing.assert_array_equal(assign(sound, {"nonfinite": "raise"}).gt_inds, assign(sound).gt_inds)


def test_repeats_and_groups():
    inputs = draw(13)
    twice = assign(inputs, {"repeat": 2})
    np.testing.assert_array_equal(twice.positives_per_gt, np.full(5, 2))
    np.testing.assert_array_equal(twice.matched_gt, one_by_one(np.repeat(costs_of(inputs), 2, axis=1)) // 2)
    halves = [
        {n: x[s] if n.startswith("pred") else x for n, x in inputs.items()} for s in (slice(6), slice(6, 12))
    ]
    expected = np.concatenate([assign(half).gt_inds for half in halves])
    np.testing.assert_array_equal(assign(inputs, {"groups": 2}).gt_inds, expected)
    with pytest.raises(ValueError, match="groups"):
        assign(inputs, {"groups": 5})


def test_gradients_are_cut_and_inputs_only_read():
    torch = pytest.importorskip("torch")
    inputs = {name: torch.tensor(x) for name, x in draw(14).items()}
    before = {name: x.clone() for name, x in inputs.items()}
    inputs["pred_logits"].requires_grad_()
    np.testing.assert_array_equal(assign(inputs).gt_inds, assign(draw(14)).gt_inds)
    assert all(torch.equal(x, before[name]) for name, x in inputs.items())


@pytest.mark.parametrize(
    ("knobs", "error", "word"),
    [
        ({"match_costs": ()}, ValueError, "match_costs"),
        ({"match_costs": {"type": "IoU"}}, ValueError, "IoUCost"),
        ({"match_costs": COSTS, "max_cost": "low"}, TypeError, "max_cost"),
        ({"match_costs": COSTS, "nonfinite": "skip"}, ValueError, "nonfinite"),
        ({"match_costs": COSTS, "repeat": 0}, ValueError, "repeat"),
    ],
)
def test_wrong_knobs_are_refused(knobs, error, word):
    with pytest.raises(error, match=word):
        GreedyMatcher(**knobs)


def test_missing_inputs_are_refused():
    inputs = draw(15)
    del inputs["pred_logits"]
    with pytest.raises(ValueError, match="pred_logits"):
        assign(inputs)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_compiled_is_eager(library):
    from assigncore.conformance import get_target

    pytest.importorskip(library)
    scenes = [draw(seed) for seed in (16, 17)]
    batch = {name: np.stack([scene[name] for scene in scenes]) for name in scenes[0]}
    batch["gt_valid"] = np.array([[True] * 5, [True, False, True, True, False]])
    expected = assign(batch)
    target, matcher = get_target(library), GreedyMatcher(COSTS)
    with target.running(x64=False):
        compiled = target.backend.compile(lambda **x: matcher.assign(**x, image_shape=(90, 90)))
        got = compiled(**{name: target.from_numpy(x) for name, x in batch.items()}).to_numpy()
    np.testing.assert_array_equal(got.gt_inds, expected.gt_inds)
    np.testing.assert_array_equal(got.labels, expected.labels)

"""The options of ATSS that batched detectors train with, against a plain reading, prior by prior."""

import numpy as np
import pytest

from assigncore import ATSSAssigner, build_assigner, memory_budget
from assigncore.conformance import get_target
from assigncore.conformance.reference.task_aligned import batch_atss

pytestmark = pytest.mark.compiled_by_jax

BATCHED = {"strictly_above": True, "inside_margin": 1e-9, "conflicts": "all"}
LEVELS = (64, 16, 4)


def grid():
    """Return points x, y, stride, stride of three levels over 64 x 64 pixels."""
    points = []
    for stride, n in ((8, 8), (16, 4), (32, 2)):
        x, y = (a.reshape(-1) * stride + stride / 2 for a in np.meshgrid(np.arange(n), np.arange(n)))
        points.append(np.stack([x, y, np.full_like(x, stride), np.full_like(x, stride)], axis=-1))
    return np.concatenate(points)


def anchors(points):
    half = points[:, 2:] * 2.5
    return np.concatenate([points[:, :2] - half, points[:, :2] + half], axis=-1)


def draw(seed, images=2, n_gts=6, tied=False):
    rng = np.random.default_rng(seed)
    if tied:
        low = rng.integers(0, 12, (images, n_gts, 2)) * 4.0
        sides = rng.integers(1, 4, low.shape) * 8.0
    else:
        low, sides = rng.uniform(0, 50, (images, n_gts, 2)), rng.uniform(4, 40, (images, n_gts, 2))
    valid = np.arange(n_gts) < rng.integers(1, n_gts + 1, (images, 1))
    return {
        "gt_bboxes": np.concatenate([low, low + sides], axis=-1),
        "gt_labels": rng.integers(0, 4, (images, n_gts)),
        "gt_valid": valid,
    }


def read(scene, topk):
    """Return the positives and their ground truths' boxes by the plain reading."""
    points = grid()
    inputs = {
        "priors": points,
        "gt_bboxes": scene["gt_bboxes"],
        "gt_labels": scene["gt_labels"][..., None],
        "pad_bbox_flag": scene["gt_valid"][..., None],
        "pred_bboxes": np.broadcast_to(anchors(points), (len(scene["gt_bboxes"]), len(points), 4)),
    }
    return batch_atss(inputs, {"topk": topk, "num_classes": 4}, list(LEVELS))


def assign(scene, topk, **knobs):
    priors = scene.get("priors")
    rest = {name: x for name, x in scene.items() if name != "priors"}
    assigner = ATSSAssigner(topk=topk, **{**BATCHED, **knobs})
    return assigner.assign(priors, **rest, num_level_priors=LEVELS)


@pytest.mark.parametrize("topk", [1, 3, 9, 100])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_it_is_what_the_rule_reads_as(seed, tied, topk):
    scene = draw(seed, tied=tied)
    result, expected = assign({"priors": anchors(grid()), **scene}, topk), read(scene, topk)
    np.testing.assert_array_equal(result.pos_mask, expected["fg_mask_pre_prior"])
    index = np.maximum(result.gt_inds - 1, 0)
    boxes = np.take_along_axis(scene["gt_bboxes"], index[..., None], axis=1)
    np.testing.assert_array_equal(boxes, expected["assigned_bboxes"])
    labels = np.where(result.pos_mask, result.labels, 4)
    np.testing.assert_array_equal(labels, expected["assigned_labels"])
    positive = result.max_overlaps[result.pos_mask]
    assert ((positive >= 0) & (positive <= 1)).all()
    assert (result.max_overlaps[result.neg_mask] == -1e8).all()


@pytest.mark.parametrize("tied", [False, True])
def test_every_library_gives_the_same(tied, target):
    scene = {"priors": anchors(grid()), **draw(7, tied=tied)}
    expected = assign(scene, 4)
    with target.running(x64=True):
        result = assign({name: target.from_numpy(x) for name, x in scene.items()}, 4)
        np.testing.assert_array_equal(target.to_numpy(result.gt_inds), expected.gt_inds)
        np.testing.assert_allclose(target.to_numpy(result.max_overlaps), expected.max_overlaps)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_it_compiles(name):
    target = get_target(name)
    scene = {"priors": anchors(grid()), **draw(8)}
    assigner = ATSSAssigner(topk=4, **BATCHED)
    with target.running(x64=True):
        compiled = target.compile(lambda **x: assigner.assign(**x, num_level_priors=LEVELS).gt_inds)
        got = compiled(**{name: target.from_numpy(x) for name, x in scene.items()})
        np.testing.assert_array_equal(target.to_numpy(got), assign(scene, 4).gt_inds)


def test_memory_decides_nothing():
    scene = {"priors": anchors(grid()), **draw(9, n_gts=12)}
    expected = assign(scene, 9)
    with memory_budget(10_000):
        got = assign(scene, 9)
    np.testing.assert_array_equal(got.gt_inds, expected.gt_inds)
    np.testing.assert_array_equal(got.max_overlaps, expected.max_overlaps)


def test_a_contested_prior_may_go_to_a_ground_truth_that_had_not_chosen_it():
    differ = 0
    for seed in range(20):
        scene = {"priors": anchors(grid()), **draw(seed, n_gts=10)}
        among_all, claimants = (assign(scene, 3, conflicts=c).gt_inds for c in ("all", "claimants"))
        np.testing.assert_array_equal(among_all > 0, claimants > 0)
        differ += int((among_all != claimants).sum())
    assert differ > 0


def test_equal_overlaps_are_not_strictly_above_their_mean():
    point = np.array([[0.0, 0.0, 8.0, 8.0]])
    arrays = {"priors": np.repeat(point, 3, axis=0), "gt_bboxes": point}
    for strictly, positive in ((False, 3), (True, 0)):
        assigner = ATSSAssigner(topk=3, strictly_above=strictly)
        assert assigner.assign(**arrays, num_level_priors=(3,)).pos_mask.sum() == positive


def test_the_margin_is_a_knob():
    priors = np.array([[0.0, 0.0, 8.0, 8.0], [-4.0, 0.0, 4.0, 8.0], [20.0, 20.0, 28.0, 28.0]])
    gt_bboxes = np.array([[-0.5, 0.0, 8.0, 8.0]])
    for margin, positive in ((0.01, 1), (4.5, 0)):
        result = ATSSAssigner(topk=3, inside_margin=margin).assign(priors, gt_bboxes, num_level_priors=(3,))
        assert result.pos_mask.sum() == positive


@pytest.mark.parametrize(("name", "broken"), [("pred_bboxes", np.inf), ("pred_logits", np.nan)])
def test_a_broken_prediction_is_no_candidate(name, broken):
    priors = np.array([[x, 0.0, x + 8.0, 8.0] for x in (0, 1, 40, 41, 42)])
    arrays = {
        "priors": priors,
        "gt_bboxes": priors[:1],
        "gt_labels": np.array([0]),
        "pred_bboxes": priors.copy(),
        "pred_logits": np.zeros((5, 1)),
        "num_level_priors": (5,),
    }
    assigner = ATSSAssigner(topk=5, alpha=0.5)
    arrays[name][1] = broken
    expected = assigner.assign(**arrays, prior_valid=np.arange(5) != 1)
    got = assigner.assign(**arrays)
    assert got.gt_inds.tolist() == [1, 0, 0, 0, 0]
    assert got.gt_inds[0] == expected.gt_inds[0]
    np.testing.assert_array_equal(got.max_overlaps, expected.max_overlaps)


@pytest.mark.parametrize(
    ("knobs", "named"),
    [
        ({"conflicts": "inside"}, "conflicts"),
        ({"conflicts": "all", "alpha": 0.8}, "conflicts"),
        ({"strictly_above": "yes"}, "strictly_above"),
        ({"inside_margin": -1}, "inside_margin"),
    ],
)
def test_wrong_knobs_are_refused(knobs, named):
    with pytest.raises((TypeError, ValueError), match=named):
        build_assigner({"type": "ATSSAssigner", "topk": 3, **knobs})

"""Assignment by entropic transport, against a plain reading of the method."""

import numpy as np
import pytest
from scipy.special import logsumexp

from assigncore import SinkhornAssigner
from assigncore.backend.memory import memory_budget

pytestmark = pytest.mark.compiled_by_jax


def draw(seed, side=8, g=4, classes=5, shift=2.0):
    rng = np.random.default_rng(seed)
    points = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) * 8.0 + 4
    priors = np.concatenate([points, np.full_like(points, 8.0)], axis=-1)
    low = rng.uniform(0, max(8 * side - 26, 1), (g, 2))
    gts = np.concatenate([low, low + rng.uniform(10, 26, low.shape)], axis=-1)
    center = (gts[:, :2] + gts[:, 2:]) / 2
    near = ((points[:, None] - center) ** 2).sum(axis=-1)
    # Most predictions are of the nearest box, with noise; the others of anything.
    own = near.argmin(axis=-1) if g else np.zeros(len(points), dtype=int)
    boxes = gts[own] if g else np.concatenate([points - 8, points + 8], axis=-1)
    boxes = boxes + rng.normal(0, shift, boxes.shape)
    labels = rng.integers(0, classes, g)
    return {
        "priors": priors.astype(np.float32),
        "gt_bboxes": gts.astype(np.float32),
        "pred_bboxes": boxes.astype(np.float32),
        "pred_scores": rng.uniform(0.05, 0.95, (len(points), classes)).astype(np.float32),
        "gt_labels": labels,
    }


def iou(a, b):
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    common = np.maximum(sides, 0).prod(axis=-1)
    areas = [(x[:, 2:] - x[:, :2]).prod(axis=-1) for x in (a, b)]
    return common / (areas[0][:, None] + areas[1] - common)


def read(inputs, topk=20, radius=2.5, eps=0.1, iterations=50):
    """Assign as the paper and its published code do, in float64."""
    x = {name: array.astype(np.float64) for name, array in inputs.items()}
    gts, points, strides = x["gt_bboxes"], x["priors"][:, :2], x["priors"][:, 2:]
    n_gts, labels, p = len(gts), inputs["gt_labels"], x["pred_scores"]

    def focal(p, target):
        entropy = -np.log(np.where(target, p, 1 - p))
        return entropy * np.where(target, 0.25, 0.75) * np.where(target, 1 - p, p) ** 2

    one_hot = np.eye(p.shape[1], dtype=bool)[labels]
    class_cost = focal(p[None], one_hot[:, None, :]).sum(axis=-1)
    background = focal(p, np.zeros_like(p, dtype=bool)).sum(axis=-1)
    overlaps = iou(gts, x["pred_bboxes"])
    center = (gts[:, :2] + gts[:, 2:]) / 2
    inside = (
        np.concatenate([points - gts[:, None, :2], gts[:, None, 2:] - points], axis=-1).min(axis=-1) > 0.01
    )
    near = inside & (np.abs(points - center[:, None]) < radius * strides).all(axis=-1)
    cost = class_cost - 1.5 * np.log(np.maximum(overlaps, np.finfo(np.float32).eps)) + 1e6 * ~near
    best = -np.sort(-overlaps * near, axis=-1)[:, :topk]
    supply = np.maximum(np.floor(best.sum(axis=-1)), 1)
    supply = np.append(supply, len(points) - supply.sum())
    cost = np.concatenate([cost, background[None]])
    u, v = np.ones(n_gts + 1), np.ones(len(points))
    for _ in range(iterations):
        v = eps * (-logsumexp((u[:, None] + v - cost) / eps, axis=0)) + v
        u = eps * (np.log(supply) - logsumexp((u[:, None] + v - cost) / eps, axis=1)) + u
    log_mass = (u[:, None] + v - cost) / eps
    share = log_mass - log_mass.max(axis=1, keepdims=True)
    source = share.argmax(axis=0)
    own = np.where(source < n_gts, source + 1, 0)
    two = -np.sort(-share, axis=0)[:2]
    return own, supply[:-1], two[0] - two[1] > 1e-2


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_the_paper_reads_as_in_every_library(seed, target):
    inputs = draw(seed)
    expected, supply, clear = read(inputs)
    assert (expected > 0).sum() > 4
    assert clear.mean() > 0.95
    with target.running(x64=False):
        got = (
            SinkhornAssigner().assign(**{name: target.from_numpy(x) for name, x in inputs.items()}).to_numpy()
        )
    np.testing.assert_array_equal(got.gt_inds[clear], expected[clear])
    np.testing.assert_array_equal(got.extras["supply"], supply)
    np.testing.assert_array_equal(
        got.labels, np.where(got.pos_mask, inputs["gt_labels"][got.gt_inds - 1], -1)
    )
    own = iou(inputs["gt_bboxes"], inputs["pred_bboxes"])[got.gt_inds - 1, np.arange(64)]
    np.testing.assert_allclose(got.max_overlaps, np.where(got.pos_mask, own, 0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "knobs",
    [{"candidate_topk": 3}, {"center_radius": 0.8}, {"eps": 0.5, "num_iters": 7}, {"candidate_topk": 999}],
)
def test_the_knobs(knobs):
    names = {"candidate_topk": "topk", "center_radius": "radius", "num_iters": "iterations"}
    inputs = draw(5)
    expected, supply, clear = read(inputs, **{names.get(name, name): x for name, x in knobs.items()})
    got = SinkhornAssigner(**knobs).assign(**inputs)
    np.testing.assert_array_equal(got.gt_inds[clear], expected[clear])
    np.testing.assert_array_equal(got.extras["supply"], supply)


def test_a_ground_truth_without_a_point_near_it_takes_one_anywhere():
    inputs = draw(6, g=1)
    inputs["gt_bboxes"] = np.array([[5, 5, 7, 7]], dtype=np.float32)
    result = SinkhornAssigner().assign(**inputs)
    assert result.positives_per_gt[0] >= 1


def test_more_units_than_priors_are_scaled_down():
    inputs = draw(7, side=2, g=4)
    inputs["gt_bboxes"][:] = [0, 0, 16, 16]
    inputs["pred_bboxes"][:] = [0, 0, 16, 16]
    result = SinkhornAssigner().assign(**inputs)
    np.testing.assert_allclose(result.extras["supply"], np.ones(4))
    assert (result.gt_inds > 0).all()
    many = draw(8, side=2, g=6)
    many["gt_bboxes"][:] = [0, 0, 16, 16]
    result = SinkhornAssigner().assign(**many)
    np.testing.assert_allclose(result.extras["supply"].sum(), 4, rtol=1e-6)
    assert np.isfinite(result.extras["marginal_error"])


def test_a_tolerance_ends_early():
    inputs = draw(9)
    early, full = (
        SinkhornAssigner(tol=0.05, num_iters=500).assign(**inputs),
        SinkhornAssigner().assign(**inputs),
    )
    assert 0 < early.extras["iterations"] < 500
    assert early.extras["marginal_error"] <= 0.05
    assert (early.gt_inds == full.gt_inds).mean() > 0.9


def pad(inputs, gt_valid, prior_valid, junk):
    padded = {}
    for name, x in inputs.items():
        valid = gt_valid if name.startswith("gt") else prior_valid
        padded[name] = np.full((valid.size, *x.shape[1:]), junk if x.dtype.kind == "f" else 99, dtype=x.dtype)
        padded[name][valid] = x
    return padded


@pytest.mark.parametrize("junk", [np.nan, np.inf, 7.0])
def test_padding_changes_nothing(junk):
    inputs = draw(10)
    gt_valid, prior_valid = np.ones(7, dtype=bool), np.ones(70, dtype=bool)
    gt_valid[[0, 3, 6]] = prior_valid[::12] = False
    got = SinkhornAssigner().assign(
        **pad(inputs, gt_valid, prior_valid, junk), gt_valid=gt_valid, prior_valid=prior_valid
    )
    alone = SinkhornAssigner().assign(**inputs)
    places = np.concatenate([[0], np.flatnonzero(gt_valid) + 1])
    np.testing.assert_array_equal(got.gt_inds[prior_valid], places[alone.gt_inds])
    np.testing.assert_array_equal(got.max_overlaps[prior_valid], alone.max_overlaps)
    np.testing.assert_array_equal(got.extras["supply"][gt_valid], alone.extras["supply"])
    np.testing.assert_allclose(got.extras["marginal_error"], alone.extras["marginal_error"], atol=1e-4)
    assert (got.gt_inds[~prior_valid] == -1).all()
    assert (got.extras["supply"][~gt_valid] == 0).all()


def test_a_batch_gives_what_its_images_give(target):
    scenes = [draw(seed) for seed in (11, 12, 13)]
    batch = {name: np.stack([scene[name] for scene in scenes]) for name in scenes[0]}
    batch["priors"] = scenes[0]["priors"]
    with target.running(x64=False):
        got = (
            SinkhornAssigner().assign(**{name: target.from_numpy(x) for name, x in batch.items()}).to_numpy()
        )
    assert got.extras["iterations"].shape == got.extras["marginal_error"].shape == (3,)
    for i, scene in enumerate(scenes):
        np.testing.assert_array_equal(got[i].gt_inds, SinkhornAssigner().assign(**scene).gt_inds)


def test_memory_decides_nothing():
    scenes = [draw(seed) for seed in (14, 15, 16)]
    batch = {name: np.stack([scene[name] for scene in scenes]) for name in scenes[0]}
    expected = SinkhornAssigner().assign(**batch)
    with memory_budget(1000):
        got = SinkhornAssigner().assign(**batch)
    np.testing.assert_array_equal(got.gt_inds, expected.gt_inds)
    np.testing.assert_array_equal(got.extras["marginal_error"], expected.extras["marginal_error"])


@pytest.mark.parametrize(("side", "g"), [(0, 3), (4, 0), (0, 0)])
def test_empty(side, g):
    inputs = draw(17, side=side, g=g) if side else {**draw(17, g=g), **{
        name: x[:0] for name, x in draw(17, g=g).items() if not name.startswith("gt")
    }}  # fmt: skip
    result = SinkhornAssigner().assign(**inputs)
    np.testing.assert_array_equal(result.gt_inds, np.zeros(side * side))
    np.testing.assert_array_equal(result.max_overlaps, np.zeros(side * side))
    assert result.extras["supply"].shape == (g,)
    assert result.extras["iterations"] == 0


def test_nothing_but_padding_is_background():
    inputs = draw(18)
    result = SinkhornAssigner().assign(**inputs, gt_valid=np.zeros(4, dtype=bool))
    assert (result.gt_inds == 0).all()
    assert (result.max_overlaps == 0).all()
    ignored = SinkhornAssigner().assign(**inputs, prior_valid=np.zeros(64, dtype=bool))
    assert (ignored.gt_inds == -1).all()
    assert np.isfinite(ignored.extras["marginal_error"])


@pytest.mark.parametrize("name", ["priors", "pred_bboxes", "pred_scores"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_predictions_match_nothing(name, bad):
    inputs = draw(19)
    positive = np.flatnonzero(SinkhornAssigner().assign(**inputs).pos_mask)
    inputs[name][positive[0], 1] = bad
    result = SinkhornAssigner().assign(**inputs)
    assert result.gt_inds[positive[0]] == 0
    assert np.isfinite(result.extras["marginal_error"])
    inputs["gt_bboxes"][1, 0] = bad
    assert SinkhornAssigner().assign(**inputs).positives_per_gt[1] == 0


def test_saturated_scores_are_no_trouble():
    inputs = draw(20)
    inputs["pred_scores"] = np.round(inputs["pred_scores"])
    result = SinkhornAssigner().assign(**inputs)
    assert np.isfinite(result.extras["marginal_error"])
    assert (result.positives_per_gt > 0).any()


def test_gradients_are_cut_and_inputs_only_read():
    torch = pytest.importorskip("torch")
    inputs = {name: torch.tensor(x) for name, x in draw(21).items()}
    before = {name: x.clone() for name, x in inputs.items()}
    inputs["pred_scores"].requires_grad_()
    result = SinkhornAssigner().assign(**inputs)
    assert not result.max_overlaps.requires_grad
    assert not result.extras["marginal_error"].requires_grad
    assert all(torch.equal(x, before[name]) for name, x in inputs.items())


def test_half_precision_is_raised():
    inputs = {name: x.astype(np.float16) if x.dtype.kind == "f" else x for name, x in draw(22).items()}
    raised = {name: x.astype(np.float32) if x.dtype.kind == "f" else x for name, x in inputs.items()}
    got, expected = SinkhornAssigner().assign(**inputs), SinkhornAssigner().assign(**raised)
    np.testing.assert_array_equal(got.gt_inds, expected.gt_inds)
    assert got.max_overlaps.dtype == np.float32


@pytest.mark.parametrize(
    "knobs",
    [{"eps": 0.0}, {"num_iters": 0}, {"tol": -1.0}, {"alpha": 1.5}, {"candidate_topk": 0}, {"gamma": -1}],
)
def test_wrong_knobs_are_refused(knobs):
    with pytest.raises(ValueError, match=next(iter(knobs))):
        SinkhornAssigner(**knobs)


def test_wrong_calls_are_refused():
    inputs = draw(23)
    with pytest.raises(ValueError, match="pred_scores"):
        SinkhornAssigner().assign(**{**inputs, "pred_scores": inputs["pred_scores"][:, :0]})
    with pytest.raises(TypeError, match="gt_labels"):
        SinkhornAssigner().assign(**{**inputs, "gt_labels": None})


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_compiled_is_eager(library):
    from assigncore.conformance import get_target

    pytest.importorskip(library)
    scenes = [draw(seed, g=3) for seed in (24, 25)]
    batch = {name: np.stack([scene[name] for scene in scenes]) for name in scenes[0]}
    batch["gt_valid"] = np.array([[True, True, True], [True, False, True]])
    assigner = SinkhornAssigner(num_iters=10)
    expected = assigner.assign(**batch)
    target = get_target(library)
    with target.running(x64=False):
        compiled = target.backend.compile(lambda **arrays: assigner.assign(**arrays))
        got = compiled(**{name: target.from_numpy(x) for name, x in batch.items()}).to_numpy()
    np.testing.assert_array_equal(got.gt_inds, expected.gt_inds)
    np.testing.assert_array_equal(got.extras["iterations"], expected.extras["iterations"])

"""YOLOv7's candidates and their matching, against a plain reading over lists."""

import math

import numpy as np
import pytest
import torch

from assigncore import YOLOv7Assigner, build_assigner
from assigncore.backend.memory import memory_budget
from assigncore.conformance import available_targets

STRIDES, SIZES = (8, 16), ((6, 8), (3, 4))
BASE_SIZES = np.array([[[10, 13], [16, 30]], [[30, 24], [62, 45]]], dtype=np.float32)
HOSTS = [target for target in available_targets() if target.library != "jax"]


def draw(seed, n_gts=4, n_classes=3):
    """Draw boxes in an image of 48 by 64 pixels, and decoded predictions of all its priors."""
    rng = np.random.default_rng(seed)
    centers = []
    for level, (stride, (height, width)) in enumerate(zip(STRIDES, SIZES, strict=True)):
        y, x = np.mgrid[:height, :width] * stride + stride / 2
        for anchor in BASE_SIZES[level]:
            half = np.broadcast_to(anchor / 2, (height * width, 2))
            centers.append(np.concatenate([np.stack([x, y], axis=-1).reshape(-1, 2), half], axis=-1))
    rows = np.concatenate(centers) + rng.normal(0, 2, (120, 4))
    low = rng.uniform(0, [44, 30], (n_gts, 2))
    return {
        "gt_bboxes": np.concatenate([low, low + rng.uniform(4, 30, low.shape)], axis=-1).astype(np.float32),
        "gt_labels": rng.integers(0, n_classes, n_gts),
        "pred_bboxes": np.concatenate([rows[:, :2] - rows[:, 2:], rows[:, :2] + rows[:, 2:]], axis=-1).astype(
            np.float32
        ),
        "pred_logits": rng.normal(0, 2, (120, n_classes)).astype(np.float32),
        "pred_objectness": rng.normal(0, 2, 120).astype(np.float32),
    }


def assign(inputs, knobs=None, assigner=None, **more):
    return (assigner or YOLOv7Assigner(**(knobs or {}))).assign(
        **{"base_sizes": BASE_SIZES, **inputs}, featmap_strides=STRIDES, featmap_sizes=SIZES, **more
    )


def read(inputs, knobs):
    """List the positives as (level, anchor, x, y, gt), and give each prior its first one's ground truth."""
    knobs = {"prior_match_thr": 4.0, "near_neighbor_thr": 0.5, "candidate_topk": 10, **knobs}
    gts, entries, start = inputs["gt_bboxes"], [], 0
    for level, (stride, (height, width)) in enumerate(zip(STRIDES, SIZES, strict=True)):
        for cell in range(5):
            for anchor, base in enumerate(BASE_SIZES[level]):
                for gt in gts:
                    ratios = (gt[2:] - gt[:2]) / base
                    place = cell_of((gt[:2] + gt[2:]) / 2 / stride, (width, height), cell, knobs)
                    if place and max(*ratios, *(1 / ratios)) < knobs["prior_match_thr"]:
                        x, y = place
                        entries.append((start + (anchor * height + y) * width + x, level, anchor, x, y))
        start += height * width * len(BASE_SIZES[level])
    ious = np.array([[iou(gt, inputs["pred_bboxes"][entry[0]]) for entry in entries] for gt in gts])
    costs = np.array(
        [[cost(inputs, knobs, g, e[0], ious[g, i]) for i, e in enumerate(entries)] for g in range(len(gts))]
    )
    choosers = {}
    for g in range(len(gts)):
        k = max(int(sum(sorted(ious[g], reverse=True)[: knobs["candidate_topk"]])), 1)
        for i in np.argsort(costs[g], kind="stable")[:k]:
            choosers.setdefault(int(i), []).append(g)
    positives, gt_inds = [], np.zeros(120, dtype=np.int64)
    for i, those in sorted(choosers.items()):
        g = those[0] if len(those) == 1 else int(costs[:, i].argmin())
        positives.append((*entries[i][1:], g + 1))
        gt_inds[entries[i][0]] = gt_inds[entries[i][0]] or g + 1
    return positives, gt_inds


def cell_of(center, size, cell, knobs):
    near, place = knobs["near_neighbor_thr"], list(center)
    if cell:
        axis, after = (cell - 1) % 2, cell > 2
        value = size[axis] - center[axis] if after else center[axis]
        if not (value % 1 < near and value > 1):
            return None
        place[axis] = center[axis] + (near if after else -near)
    return tuple(min(max(int(value), 0), length - 1) for value, length in zip(place, size, strict=True))


def cost(inputs, knobs, g, prior, overlap):
    total = 0.0
    for c, logit in enumerate(inputs["pred_logits"][prior]):
        p = math.sqrt(1 / (1 + math.exp(-logit)) / (1 + math.exp(-inputs["pred_objectness"][prior])))
        total -= math.log(p if c == inputs["gt_labels"][g] else 1 - p)
    return knobs.get("cls_weight", 1.0) * total - knobs.get("iou_weight", 3.0) * math.log(overlap + 1e-8)


def iou(a, b):
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    overlap = float(sides[0] * sides[1])
    return overlap / (float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - overlap)


def positives_of(extras):
    """List the positives of one image as the reading does."""
    code = extras["candidate_gt_inds"]
    names = ("level", "anchor", "x", "y", "gt_inds")
    return list(zip(*(extras[f"candidate_{name}"][code > 0].tolist() for name in names), strict=True))


@pytest.mark.parametrize("target", HOSTS, ids=lambda target: target.name)
@pytest.mark.parametrize(
    "knobs",
    [{}, {"near_neighbor_thr": 1.0}, {"prior_match_thr": 2.0}, {"candidate_topk": 3}, {"cls_weight": 5.0}],
    ids=str,
)
@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_the_rule_reads_as(seed, knobs, target):
    inputs = draw(seed)
    positives, gt_inds = read(inputs, knobs)
    with target.running(x64=False):
        arrays = {name: target.from_numpy(x) for name, x in {**inputs, "base_sizes": BASE_SIZES}.items()}
        result = assign(arrays, knobs)
        extras = {name: target.to_numpy(x) for name, x in result.extras.items()}
        np.testing.assert_array_equal(target.to_numpy(result.gt_inds), gt_inds)
    assert positives_of(extras) == positives


def test_a_padded_batch_gives_what_its_images_give():
    images = [draw(seed) for seed in range(3)]
    batch = {name: np.stack([image[name] for image in images]) for name in images[0]}
    batch["gt_bboxes"] = np.concatenate([batch["gt_bboxes"], np.full((3, 2, 4), np.nan, np.float32)], axis=1)
    batch["gt_labels"] = np.concatenate([batch["gt_labels"], np.full((3, 2), 99)], axis=1)
    valid = np.broadcast_to(np.arange(6) < 4, (3, 6))
    for budget in (2**28, 2000):
        with memory_budget(budget):
            got = assign(batch, gt_valid=valid)
        for i, image in enumerate(images):
            alone = assign(image)
            np.testing.assert_array_equal(got[i].gt_inds, alone.gt_inds)
            np.testing.assert_array_equal(got[i].max_overlaps, alone.max_overlaps)
            assert positives_of(got[i].extras) == positives_of(alone.extras)


def test_a_prior_of_two_candidates_tells_the_first_ones_ground_truth():
    inputs = draw(0, n_gts=2)
    inputs["gt_bboxes"][1] = inputs["gt_bboxes"][0] + 0.5
    inputs["pred_bboxes"][:] = inputs["gt_bboxes"][0]
    got = assign(inputs)
    codes, priors = got.extras["candidate_gt_inds"], got.extras["candidate_prior"]
    first = {int(p): int(c) for p, c in zip(priors[::-1], codes[::-1], strict=True) if c > 0}
    assert {n: int(c) for n, c in enumerate(got.gt_inds) if c > 0} == first
    assert (codes > 0).sum() > len(first)


@pytest.mark.parametrize("library", ["numpy", "torch", "torch.compile", "jax.jit"])
def test_predictions_of_candidates_are_enough(library):
    images = [draw(seed) for seed in range(3)]
    batch = {name: np.stack([image[name] for image in images]) for name in images[0]}
    batch |= {"base_sizes": BASE_SIZES, "gt_valid": np.arange(4) < np.array([[4], [2], [0]])}
    batch["gt_bboxes"][0, 1] = np.nan
    batch["pred_bboxes"][0, assign(images[0]).gt_inds > 2] = np.nan
    expected, assigner = assign(batch), YOLOv7Assigner()

    def of_candidates(arrays):
        boxes = {name: arrays[name] for name in ("gt_bboxes", "gt_valid", "base_sizes")}
        listed = assigner.candidates(**boxes, featmap_strides=STRIDES, featmap_sizes=SIZES)
        for name, x in arrays.items():
            if name.startswith("pred_"):
                image = np.arange(3)[:, None]
                rows = x[image, listed.prior]
                # What is no candidate may say anything.
                where = (listed.found[..., None] if x.ndim == 3 else listed.found) == 1
                arrays = {**arrays, name: rows * where}
        return assign(arrays, of_candidates=True, assigner=assigner)

    if library == "numpy":
        got = of_candidates(batch)
    elif library == "jax.jit":
        jax = pytest.importorskip("jax")
        arrays = {name: jax.numpy.asarray(x) for name, x in batch.items()}
        got = jax.jit(of_candidates)(arrays)
    else:
        arrays = {name: torch.tensor(x) for name, x in batch.items()}
        run = of_candidates if library == "torch" else torch.compile(of_candidates, fullgraph=True)
        got = run(arrays)
    assert (expected.gt_inds > 0).any(axis=1).tolist() == [True, True, False]
    for name in ("gt_inds", "max_overlaps", "labels"):
        np.testing.assert_array_equal(np.asarray(getattr(got, name)), getattr(expected, name), err_msg=name)
    for name, x in expected.extras.items():
        np.testing.assert_array_equal(np.asarray(got.extras[name]), x, err_msg=name)


def test_nothing_to_match():
    inputs = draw(0, n_gts=0)
    got = assign(inputs)
    assert (got.gt_inds == 0).all()
    assert got.extras["candidate_gt_inds"].shape == (0,)
    none = assign(draw(0), gt_valid=np.zeros(4, dtype=bool))
    assert (none.gt_inds == 0).all()
    assert (none.extras["candidate_gt_inds"] == -1).all()


def test_broken_or_flat_boxes_and_predictions_match_nothing():
    inputs = draw(1)
    taken = np.flatnonzero(assign(inputs).gt_inds)
    inputs["pred_bboxes"][taken[0]] = np.inf
    inputs["pred_logits"][taken[1], 0] = np.nan
    part = np.ones(120, dtype=bool)
    part[taken[2]] = False
    with np.errstate(all="raise", under="ignore"):
        got = assign(inputs, prior_valid=part).gt_inds
        assert got[taken[:3]].tolist() == [0, 0, -1]
        assert (got > 0).any()
        inputs["gt_bboxes"][:, 2] = inputs["gt_bboxes"][:, 0]
        assert (assign(inputs, prior_valid=part).gt_inds <= 0).all()


def test_centres_outside_the_image_take_cells_on_its_border():
    inputs = draw(2)
    inputs["gt_bboxes"] += 300
    got = assign(inputs)
    assert set(got.extras["candidate_x"][got.extras["candidate_gt_inds"] >= 0].tolist()) <= {7, 3}


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_compiled_is_eager(library):
    images = [draw(seed) for seed in range(2)]
    batch = {name: np.stack([image[name] for image in images]) for name in images[0]}
    batch["gt_valid"] = np.arange(4) < np.array([[4], [2]])
    expected = assign(batch)
    batch["base_sizes"] = BASE_SIZES
    if library == "torch":
        assigner = YOLOv7Assigner()
        compiled = torch.compile(lambda arrays: assign(arrays, assigner=assigner), fullgraph=True)
        got = compiled({name: torch.tensor(x) for name, x in batch.items()})
    else:
        jax = pytest.importorskip("jax")
        got = jax.jit(lambda arrays: assign(arrays))({n: jax.numpy.asarray(x) for n, x in batch.items()})
    assert (expected.gt_inds > 0).any()
    np.testing.assert_array_equal(np.asarray(got.gt_inds), expected.gt_inds)
    for name, x in expected.extras.items():
        np.testing.assert_array_equal(np.asarray(got.extras[name]), x)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"pred_bboxes": None}, TypeError, "pred_bboxes"),
        ({"pred_bboxes": np.zeros((120, 5))}, ValueError, "pred_bboxes"),
        ({"pred_objectness": np.zeros((119,))}, ValueError, "pred_objectness"),
        ({"base_sizes": np.zeros((3, 2, 2))}, ValueError, "featmap_sizes: expected 3"),
        ({"base_sizes": np.zeros((2, 3, 2))}, ValueError, "to be 120 priors, got 180"),
        ({"base_sizes": np.zeros((2, 0, 2))}, ValueError, "base_sizes"),
        ({"of_candidates": True}, ValueError, "pred_bboxes: expected 80 rows, one a candidate, got 120"),
        (
            {name: x[:80] for name, x in draw(0).items() if name.startswith("pred_")}
            | {"of_candidates": True, "prior_valid": np.ones(80, dtype=bool)},
            ValueError,
            "prior_valid: expected None",
        ),
    ],
)
def test_wrong_calls_are_refused(change, error, words):
    with pytest.raises(error, match=words):
        assign({**draw(0), **change})


@pytest.mark.parametrize("knobs", [{"candidate_topk": 0}, {"near_neighbor_thr": -1}], ids=str)
def test_wrong_knobs_are_refused(knobs):
    with pytest.raises(ValueError, match=next(iter(knobs))):
        build_assigner({"type": "YOLOv7Assigner", **knobs})

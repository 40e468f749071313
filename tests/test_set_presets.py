"""What set predictors assign by while they train, and the best of the positives that are kept."""

import numpy as np
import pytest

from assigncore import AssignResult, HungarianAssigner, MaxIoUAssigner, keep_best
from assigncore.assigners import set_presets
from assigncore.boxes import pairwise_iou
from assigncore.conformance import get_target

MATCHINGS = {
    "h_detr": (set_presets.h_detr(), 6),
    "rt_detr_v3": (set_presets.rt_detr_v3().one_to_many, 4),
    "deim": (set_presets.deim(), 1),
    "stable_dino": (set_presets.stable_dino(), 1),
    "groups": (set_presets.deim(groups=5), 5),
}


def drawn(seed, n_gts=4, n_queries=60):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 60, (n_gts, 2))
    gt_bboxes = np.concatenate([low, low + rng.uniform(5, 30, low.shape)], axis=-1).astype(np.float32)
    pred_bboxes = gt_bboxes[rng.integers(0, n_gts, n_queries)] + rng.normal(0, 4, (n_queries, 4))
    return {
        "gt_bboxes": gt_bboxes,
        "gt_labels": rng.integers(0, 3, n_gts),
        "pred_bboxes": pred_bboxes.astype(np.float32),
        "pred_logits": rng.normal(0, 1, (n_queries, 3)).astype(np.float32),
    }


@pytest.mark.parametrize("name", MATCHINGS)
def test_each_object_gets_as_many_queries_as_published(name):
    assigner, count = MATCHINGS[name]
    result = assigner.assign(**drawn(1), image_shape=(100, 100))
    assert result.positives_per_gt.tolist() == [count] * 4


def test_padding_does_not_say_how_well_the_best_pair_fits():
    given = drawn(6)
    # Padded, an object that is a query's own box, and a query that is an object's.
    padded = {
        "gt_bboxes": np.concatenate([given["gt_bboxes"], given["pred_bboxes"][:1]]),
        "gt_labels": np.append(given["gt_labels"], 0),
        "gt_valid": np.arange(5) < 4,
        "pred_bboxes": np.concatenate([given["pred_bboxes"], given["gt_bboxes"][:1]]),
        "pred_logits": np.concatenate([given["pred_logits"], given["pred_logits"][:1]]),
        "prior_valid": np.arange(61) < 60,
    }
    expected = set_presets.stable_dino().assign(**given, image_shape=(100, 100)).gt_inds
    result = set_presets.stable_dino().assign(**padded, image_shape=(100, 100)).gt_inds
    np.testing.assert_array_equal(result, np.append(expected, -1))


def test_copies_in_the_solver_are_copies_of_the_objects():
    given = drawn(2)
    repeated = {name: np.concatenate([given[name]] * 6) for name in ("gt_bboxes", "gt_labels")}
    copies = set_presets.deim().assign(**{**given, **repeated}, image_shape=(100, 100))
    result = set_presets.h_detr().assign(**given, image_shape=(100, 100))
    np.testing.assert_array_equal(
        result.gt_inds, np.where(copies.gt_inds > 0, (copies.gt_inds - 1) % 4 + 1, 0)
    )


def test_ms_detr_keeps_the_best_of_what_reaches_the_threshold_or_is_the_best():
    given = drawn(3)
    scores = 1 / (1 + np.exp(-given["pred_logits"][:, given["gt_labels"]].T))
    quality = (0.7 * pairwise_iou(given["gt_bboxes"], given["pred_bboxes"]) + 0.3 * scores).astype(np.float32)
    found = set_presets.ms_detr().match(quality, gt_labels=given["gt_labels"])
    kept = keep_best(found, found.max_overlaps, 6)
    owner = quality.argmax(axis=0)
    enough = quality.max(axis=0) >= np.float32(0.4)
    enough[quality.argmax(axis=1)] = True
    expected = np.zeros(60, dtype=np.int64)
    for gt in range(4):
        own = np.flatnonzero(enough & (owner == gt))
        expected[own[np.argsort(-quality[gt, own], kind="stable")[:6]]] = gt + 1
    np.testing.assert_array_equal(kept.gt_inds, expected)
    np.testing.assert_array_equal(kept.labels, np.where(expected > 0, given["gt_labels"][expected - 1], -1))
    assert (kept.gt_inds > 0).sum() < (found.gt_inds > 0).sum()


def test_deta_and_the_heads_of_co_detr_assign_by_overlap():
    given = drawn(4)
    found = set_presets.deta().assign(given["pred_bboxes"], given["gt_bboxes"])
    assert (keep_best(found, found.max_overlaps, 4).positives_per_gt <= 4).all()
    heads = set_presets.co_detr()
    assert heads.rpn.assign(given["pred_bboxes"], given["gt_bboxes"]).pos_mask.any()
    assert not heads.rcnn.match_low_quality
    assert heads.atss.topk == 9


@pytest.mark.parametrize("library", ["torch", "jax", "array_api_strict"])
def test_a_batch_keeps_what_its_images_keep_compiled_or_not(library):
    rng = np.random.default_rng(5)
    codes, values = rng.integers(-1, 4, (3, 50)), rng.integers(0, 9, (3, 50)).astype(np.float32)
    values[0, :5] = np.nan
    expected = [
        keep_best(AssignResult(c, None, None, 3), v, 4).gt_inds for c, v in zip(codes, values, strict=True)
    ]
    for code, value, kept in zip(codes, values, expected, strict=True):
        for gt in range(1, 4):
            own = [n for n in np.flatnonzero(code == gt) if np.isfinite(value[n])]
            best = sorted(own, key=lambda n: -value[n])[:4]
            assert np.flatnonzero(kept == gt).tolist() == sorted(best)
    target = get_target(library)

    def keep(codes, values):
        return keep_best(AssignResult(codes, None, None, 3), values, 4).gt_inds

    with target.running(x64=False):
        native = {"codes": target.from_numpy(codes), "values": target.from_numpy(values)}
        functions = [keep] if library == "array_api_strict" else [keep, target.capture(keep)]
        for function in functions:
            np.testing.assert_array_equal(target.to_numpy(function(**native)), np.stack(expected))


def test_knobs_in_place_of_the_published_ones():
    assert set_presets.h_detr(repeat=2) == HungarianAssigner(set_presets.deim().match_costs, repeat=2)
    assert set_presets.deta(thresholds=(0.5,)).thresholds == (0.5,)


@pytest.mark.parametrize(
    ("values", "k", "words"),
    [
        (np.zeros(3), 2, "values: expected shape"),
        (np.zeros(4, dtype=int), 2, "values: expected"),
        (np.zeros(4), 0, "k"),
    ],
)
def test_wrong_calls_are_named(values, k, words):
    with pytest.raises((TypeError, ValueError), match=words):
        keep_best(AssignResult(np.array([1, 1, 0, 0]), None, None, 1), values, k)


def test_nothing_to_keep():
    empty = MaxIoUAssigner(0.5, 0.5).assign(np.zeros((4, 4)), np.zeros((0, 4)))
    assert keep_best(empty, np.zeros(4), 1).gt_inds.tolist() == [0, 0, 0, 0]

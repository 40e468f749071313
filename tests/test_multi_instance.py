"""Multi-instance assignment, against a plain reading of its rule and beneath compilers."""

import numpy as np
import pytest

from assigncore import MultiInstanceAssigner
from assigncore.backend.memory import memory_budget
from assigncore.conformance.goldens.replay_mmdet import published as by_published_names
from assigncore.conformance.reference import multi_instance as reference
from assigncore.conformance.reference.image import Image

pytestmark = pytest.mark.compiled_by_jax

KNOBS = {"num_instance": 3, "pos_iou_thr": 0.5, "neg_iou_thr": 0.3}
NAMES = {"gt_bboxes_ignore": "ignore_bboxes"}


def draw(seed, n_priors=30, n_gts=6, n_regions=2, tied=False):
    rng = np.random.default_rng(seed)
    count = n_priors + n_gts + n_regions
    low = rng.integers(0, 4, (count, 2)) * 4.0 if tied else rng.uniform(0, 30, (count, 2))
    sides = np.full_like(low, 8.0) if tied else rng.uniform(4, 30, low.shape)
    boxes = np.concatenate([low, low + sides], axis=-1).astype(np.float32)
    return {
        "priors": boxes[:n_priors],
        "gt_bboxes": boxes[n_priors : n_priors + n_gts],
        "gt_labels": rng.integers(0, 9, n_gts),
        "gt_bboxes_ignore": boxes[n_priors + n_gts :],
    }


def call(inputs, knobs=KNOBS, **more):
    return MultiInstanceAssigner(**knobs).assign(
        **{NAMES.get(name, name): x for name, x in inputs.items()}, **more
    )


def published(result, n_gts):
    """Return the arrays by the published codes."""
    result = result.to_numpy()
    box_inds, classes = result.extras["box_inds"], result.extras["box_labels"]
    between = np.where((box_inds >= 0) & (box_inds < n_gts), classes + 1, classes)
    labels = np.select([result.gt_inds > 0, result.gt_inds == 0], [1, 0], between)
    return {"gt_inds": box_inds.T, "max_overlaps": result.max_overlaps.T, "labels": labels.T}


def multi_instance(inputs, knobs):
    """Return what the reference says, by the published codes."""
    image = Image({NAMES.get(name, name): x for name, x in inputs.items()})
    return by_published_names(reference.multi_instance(image, **knobs), len(inputs["gt_bboxes"]))


def check(got, expected):
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)


def arrays_of(result):
    result = result.to_numpy()
    fields = {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, "labels": result.labels}
    return fields | dict(result.extras)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_the_rule_reads_as_in_every_library(seed, tied, target):
    inputs = draw(seed, tied=tied)
    with target.running(x64=False):
        got = published(call({name: target.from_numpy(x) for name, x in inputs.items()}), 6)
    expected = multi_instance(inputs, KNOBS)
    check(got, expected)
    assert {-1, 0, 1} <= set(expected["labels"].ravel().tolist())


@pytest.mark.parametrize(("gts", "regions"), [(1, 0), (2, 0), (1, 1), (0, 2), (0, 0)])
def test_fewer_boxes_than_instances(gts, regions):
    inputs = draw(5, n_gts=gts, n_regions=regions)
    result = call(inputs)
    check(published(result, gts), multi_instance(inputs, KNOBS))
    assert (result.gt_inds[gts + regions :] == 0).all()
    assert (result.max_overlaps[gts + regions :] == 0).all()
    assert result.num_gts == gts + regions


def test_no_priors():
    inputs = draw(6, n_priors=0)
    check(published(call(inputs), 6), multi_instance(inputs, KNOBS))
    assert call(inputs, {"append_boxes": False}).gt_inds.shape == (2, 0)


def test_codes_count_boxes_from_one_and_name_their_class():
    inputs = draw(7)
    result = call(inputs, {"num_instance": 2})
    positive = result.pos_mask
    assert positive.any()
    np.testing.assert_array_equal(result.matched_gt[positive], result.extras["box_inds"][positive])
    np.testing.assert_array_equal(
        result.labels, np.where(positive, inputs["gt_labels"][result.gt_inds % 7 - 1], -1)
    )
    assert result.positives_per_gt.shape == (2, 8)
    assert (result.positives_per_gt[:, 6:] == 0).all()
    np.testing.assert_array_equal(result[0].gt_inds, result.gt_inds[0])


def test_a_ground_truth_is_its_own_first_instance():
    inputs = draw(8, n_regions=0)
    np.testing.assert_array_equal(call(inputs).gt_inds[0, 30:], np.arange(1, 7))


def test_without_appended_boxes_the_rows_are_the_priors():
    inputs = draw(9)
    alone = arrays_of(call(inputs, {**KNOBS, "append_boxes": False}))
    for name, x in arrays_of(call(inputs)).items():
        np.testing.assert_array_equal(alone[name], x[:, :30], err_msg=name)


def test_an_ignore_box_with_a_class_competes():
    inputs = draw(10)
    classes = np.array([-1, 4])
    knobs = {**KNOBS, "append_boxes": False}
    inputs["gt_bboxes_ignore"][1] = inputs["priors"][0]
    got = call(inputs, knobs, ignore_labels=classes)
    as_gt = {
        **inputs,
        "gt_bboxes": np.concatenate([inputs["gt_bboxes"], inputs["gt_bboxes_ignore"][1:]]),
        "gt_labels": np.concatenate([inputs["gt_labels"], classes[1:]]),
        "gt_bboxes_ignore": inputs["gt_bboxes_ignore"][:1],
    }
    expected = call(as_gt, knobs)
    np.testing.assert_array_equal(got.labels, expected.labels)
    np.testing.assert_array_equal(got.max_overlaps, expected.max_overlaps)
    places = np.array([-1, 0, 1, 2, 3, 4, 5, 6, 8, 7])
    np.testing.assert_array_equal(got.gt_inds, places[expected.gt_inds + 1])
    assert (got.gt_inds == 8).any()


def test_padding_changes_nothing():
    inputs = draw(11)
    rng = np.random.default_rng(0)
    gt_valid, region_valid = np.ones(9, dtype=bool), np.ones(4, dtype=bool)
    gt_valid[[0, 3, 8]] = region_valid[[1, 3]] = False
    prior_valid = np.ones(35, dtype=bool)
    prior_valid[::7] = False

    def padded(x, valid, junk):
        out = np.broadcast_to(junk, (valid.size, *x.shape[1:])).astype(x.dtype)
        out[valid] = x
        return out

    for junk in (np.nan, inputs["priors"][int(rng.integers(30))]):
        got = arrays_of(
            MultiInstanceAssigner(**KNOBS).assign(
                padded(inputs["priors"], prior_valid, junk),
                padded(inputs["gt_bboxes"], gt_valid, junk),
                gt_labels=padded(inputs["gt_labels"], gt_valid, 77),
                ignore_bboxes=padded(inputs["gt_bboxes_ignore"], region_valid, junk),
                gt_valid=gt_valid,
                prior_valid=prior_valid,
                ignore_valid=region_valid,
            )
        )
        rows = np.concatenate([prior_valid, gt_valid, region_valid])
        places = np.concatenate([np.flatnonzero(gt_valid), 9 + np.flatnonzero(region_valid), [-1]])
        expected = arrays_of(call(inputs))
        for name in ("max_overlaps", "labels", "box_labels"):
            np.testing.assert_array_equal(got[name][:, rows], expected[name], err_msg=name)
        np.testing.assert_array_equal(got["box_inds"][:, rows], places[expected["box_inds"]])
        assigned = expected["gt_inds"] > 0
        codes = np.where(assigned, places[expected["gt_inds"] - 1] + 1, expected["gt_inds"])
        np.testing.assert_array_equal(got["gt_inds"][:, rows], codes)
        assert (got["gt_inds"][:, ~rows] == -1).all()
        assert (got["box_inds"][:, ~rows] == -1).all()
        assert (got["max_overlaps"][:, ~rows] == 0).all()


def test_nothing_but_padding_is_background():
    inputs = draw(12)
    none = {"gt_valid": np.zeros(6, dtype=bool), "ignore_valid": np.zeros(2, dtype=bool)}
    result = call(inputs, **none)
    assert (result.gt_inds[:, :30] == 0).all()
    assert (result.gt_inds[:, 30:] == -1).all()
    assert (result.extras["box_inds"] == -1).all()


def test_a_batch_gives_what_its_images_give(target):
    scenes = [draw(seed) for seed in (13, 14, 15)]
    batch = {name: np.stack([scene[name] for scene in scenes]) for name in scenes[0]}
    with target.running(x64=False):
        got = call({name: target.from_numpy(x) for name, x in batch.items()})
        assert tuple(got.gt_inds.shape) == (3, 3, 38)
        got = arrays_of(got)
    for i, scene in enumerate(scenes):
        check({name: x[i] for name, x in got.items()}, arrays_of(call(scene)))


def test_shared_priors_and_more_leading_dimensions():
    scenes = [draw(seed) for seed in (16, 17)]
    batch = {name: np.stack([scene[name] for scene in scenes])[:, None] for name in scenes[0]}
    batch["priors"] = scenes[0]["priors"]
    got = call(batch)
    assert got.gt_inds.shape == (2, 1, 3, 38)
    check(arrays_of(got[1, 0]), arrays_of(call({**scenes[1], "priors": scenes[0]["priors"]})))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_broken_boxes_match_nothing(bad):
    inputs = draw(18, n_regions=0)
    inputs["priors"][3] = inputs["gt_bboxes"][2, 1] = inputs["gt_bboxes"][2, 3] = bad
    result = call(inputs)
    assert (result.gt_inds[:, 3] == 0).all()
    assert (result.gt_inds[:, 32] == -1).all()
    assert not (result.extras["box_inds"] == 2).any()
    assert np.isfinite(result.max_overlaps).all()


def test_memory_decides_nothing():
    inputs = draw(19, n_priors=900, n_gts=25)
    expected = arrays_of(call(inputs))
    with memory_budget(1000):
        check(arrays_of(call(inputs)), expected)


def test_background_wins_where_both_thresholds_are_met():
    box = np.array([[0, 0, 10, 10]], dtype=np.float32)
    prior = np.array([[0, 0, 10, 6]], dtype=np.float32)
    knobs = {"num_instance": 1, "pos_iou_thr": 0.5, "neg_iou_thr": 0.7, "append_boxes": False}
    np.testing.assert_array_equal(MultiInstanceAssigner(**knobs).assign(prior, box).gt_inds, [[0]])


def test_without_labels_the_result_has_none():
    inputs = draw(20)
    del inputs["gt_labels"]
    result = call(inputs)
    assert result.labels is None
    assert set(result.extras) == {"box_inds"}


def test_half_precision_is_raised():
    inputs = draw(21, tied=True)
    halves = {name: x.astype(np.float16) if x.dtype.kind == "f" else x for name, x in inputs.items()}
    result = call(halves)
    assert result.max_overlaps.dtype == np.float32
    check(arrays_of(result), arrays_of(call(inputs)))


def test_inputs_are_only_read_and_gradients_cut():
    torch = pytest.importorskip("torch")
    inputs = {name: torch.tensor(x) for name, x in draw(22).items()}
    before = {name: x.clone() for name, x in inputs.items()}
    inputs["priors"].requires_grad_()
    result = call(inputs)
    assert not result.max_overlaps.requires_grad
    assert all(torch.equal(x, before[name]) for name, x in inputs.items())


@pytest.mark.parametrize(
    ("knobs", "error", "word"),
    [
        ({"num_instance": 0}, ValueError, "num_instance"),
        ({"num_instance": 1.5}, TypeError, "num_instance"),
        ({"pos_iou_thr": "high"}, TypeError, "pos_iou_thr"),
        ({"neg_iou_thr": (0.1, 0.3)}, TypeError, "neg_iou_thr"),
        ({"append_boxes": 1}, TypeError, "append_boxes"),
    ],
)
def test_wrong_knobs_are_refused(knobs, error, word):
    with pytest.raises(error, match=word):
        MultiInstanceAssigner(**knobs)


def test_wrong_calls_are_refused():
    inputs = draw(23)
    with pytest.raises(ValueError, match="ignore_labels"):
        MultiInstanceAssigner().assign(inputs["priors"], inputs["gt_bboxes"], ignore_labels=np.array([1, 2]))
    with pytest.raises(ValueError, match="ignore_labels"):
        call(inputs, ignore_labels=np.array([1]))
    with pytest.raises(TypeError, match="ignore_labels"):
        call(inputs, ignore_labels=np.array([1.0, 2.0]))


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_compiled_is_eager(library):
    from assigncore.conformance import get_target

    pytest.importorskip(library)
    scenes = [draw(seed) for seed in (24, 25)]
    batch = {name: np.stack([scene[name] for scene in scenes]) for name in scenes[0]}
    expected = arrays_of(call(batch))
    target = get_target(library)
    with target.running(x64=False):
        arrays = {NAMES.get(name, name): target.from_numpy(x) for name, x in batch.items()}
        got = arrays_of(target.backend.compile(MultiInstanceAssigner(**KNOBS).assign)(**arrays))
    for name in ("gt_inds", "box_inds", "labels"):
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)

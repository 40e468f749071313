"""SimOTA by poses: what is needed, who takes part, padding, batches, memory, and the reasons it names."""

import numpy as np
import pytest

from assigncore import SimOTAAssigner, explain, memory_budget
from assigncore.assigners import rtmo, yolox_pose

from .scenes import SIM_OTA

SIGMAS = (0.1, 0.2, 0.3)
ASSIGNERS = {
    "iou": yolox_pose(sigmas=SIGMAS, vis_weight=1.0),
    "oks": rtmo(sigmas=SIGMAS, min_positives=1),
}
each_kind = pytest.mark.parametrize("kind", ASSIGNERS)
OF_PRIORS = ("priors", "pred_bboxes", "pred_scores", "pred_keypoints", "pred_visibility")


def scene(seed=0, n_gts=4):
    """Draw one image, with poses near those of the ground truths."""
    given, rng = SIM_OTA.draw(seed, n_gts=n_gts), np.random.default_rng(seed)
    n = len(given["priors"])
    low, high = np.split(given["gt_bboxes"][:, None], 2, axis=-1)
    keypoints = low + rng.random((n_gts, 3, 2)) * (high - low)
    visible = rng.integers(0, 3, (n_gts, 3, 1))
    given["gt_keypoints"] = np.concatenate([keypoints, visible], axis=-1).astype(np.float32)
    given["gt_areas"] = (0.5 * (high - low).prod(axis=-1)[:, 0]).astype(np.float32)
    own = keypoints[rng.integers(0, n_gts, n)] if n_gts else np.zeros((n, 3, 2))
    given["pred_keypoints"] = (own + rng.normal(0, 3, (n, 3, 2))).astype(np.float32)
    given["pred_visibility"] = rng.random((n, 3)).astype(np.float32)
    return given


def same(got, expected):
    for name in ("gt_inds", "max_overlaps", "labels"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    np.testing.assert_array_equal(got.extras["oks"], expected.extras["oks"])


@each_kind
def test_an_image_alone_and_padding_change_nothing(kind):
    images = [scene(seed) for seed in range(2)]
    batch = {name: np.stack([image[name] for image in images]) for name in images[0]}
    whole = ASSIGNERS[kind].assign(**batch)
    for number, image in enumerate(images):
        same(ASSIGNERS[kind].assign(**image), whole[number])
    padded = dict(batch, gt_valid=np.arange(5) < 4)
    for name, x in batch.items():
        if name.startswith("gt_"):
            row = np.full_like(x[:, :1], np.nan if x.dtype.kind == "f" else 9)
            padded[name] = np.concatenate([x, row], axis=1)
    same(ASSIGNERS[kind].assign(**padded), whole)
    with memory_budget(1):
        same(ASSIGNERS[kind].assign(**batch), whole)


@each_kind
def test_a_prior_that_is_padding_changes_nothing_for_the_others(kind):
    given = scene(1)
    whole = ASSIGNERS[kind].assign(**given)
    padded = {name: np.concatenate([x, np.full_like(x[:1], np.nan)]) if name in OF_PRIORS else x
              for name, x in given.items()}  # fmt: skip
    padded["prior_valid"] = np.arange(len(padded["priors"])) < len(given["priors"])
    got = ASSIGNERS[kind].assign(**padded)
    assert got.gt_inds[-1] == -1
    np.testing.assert_array_equal(got.gt_inds[:-1], whole.gt_inds)


@each_kind
def test_nothing_to_assign_is_background(kind):
    given = scene(0, n_gts=0)
    result = ASSIGNERS[kind].assign(**given)
    assert not result.gt_inds.any()
    assert not result.extras["oks"].any()
    none = {name: x[:0] if name in OF_PRIORS else x for name, x in scene().items()}
    assert ASSIGNERS[kind].assign(**none).gt_inds.shape == (0,)


@each_kind
def test_similarities_are_those_of_the_published_formula(kind):
    given = scene(2)
    result = ASSIGNERS[kind].assign(**given)
    positive = np.flatnonzero(result.gt_inds > 0)
    assert len(positive) >= 4
    for n in positive:
        g = result.gt_inds[n] - 1
        squared = ((given["pred_keypoints"][n] - given["gt_keypoints"][g, :, :2]) ** 2).sum(axis=-1)
        alike = np.exp(-squared / (2 * (2 * np.array(SIGMAS)) ** 2 * given["gt_areas"][g]))
        counts = given["gt_keypoints"][g, :, 2] != 0
        expected = alike[counts].mean() if counts.any() else 0.0
        np.testing.assert_allclose(result.extras["oks"][n], expected, rtol=1e-4)
    if kind == "oks":
        np.testing.assert_array_equal(result.max_overlaps[positive], result.extras["oks"][positive])
    assert not result.extras["oks"][result.gt_inds == 0].any()


def test_without_areas_an_object_covers_a_share_of_its_box():
    given = scene(3)
    sides = given["gt_bboxes"][:, 2:] - given["gt_bboxes"][:, :2]
    told = {**given, "gt_areas": (np.float32(0.53) * sides[:, 0] * sides[:, 1]).astype(np.float32)}
    del given["gt_areas"]
    got, expected = ASSIGNERS["iou"].assign(**given), ASSIGNERS["iou"].assign(**told)
    np.testing.assert_array_equal(got.gt_inds, expected.gt_inds)
    np.testing.assert_allclose(got.extras["oks"], expected.extras["oks"], rtol=1e-5)


def test_a_broken_keypoint_counts_only_where_it_is_visible():
    given, assigner = scene(4), ASSIGNERS["iou"]
    given["gt_keypoints"][0, :, 2] = 1, 0, 1
    whole = assigner.assign(**given)
    given["gt_keypoints"][0, 1, :2] = np.nan
    same(assigner.assign(**given), whole)
    prior = int(np.argmax(whole.gt_inds > 0))
    given["pred_keypoints"][prior, 0, 0] = np.nan
    assert assigner.assign(**given).gt_inds[prior] == 0
    given["gt_keypoints"][0, 0, 0] = np.inf
    assert not (assigner.assign(**given).gt_inds == 1).any()


def test_weights_of_zero_leave_simota_as_it_is():
    given = scene(5)
    boxes = {name: x for name, x in given.items() if name in ("gt_bboxes", "gt_labels", *OF_PRIORS[:3])}
    plain = SimOTAAssigner().assign(**boxes)
    got = yolox_pose(sigmas=SIGMAS, oks_weight=0.0).assign(**given)
    np.testing.assert_array_equal(got.gt_inds, plain.gt_inds)
    np.testing.assert_array_equal(got.max_overlaps, plain.max_overlaps)


def test_an_image_of_a_batch_of_poses_can_be_explained():
    given = scene(6)
    batch = {name: np.stack([x, x]) for name, x in given.items()}
    explanation = explain(ASSIGNERS["iou"], image=1, **batch)
    np.testing.assert_array_equal(explanation.result.gt_inds, ASSIGNERS["iou"].assign(**given).gt_inds)


@each_kind
def test_what_is_compared_must_be_there(kind):
    given = scene()
    needed = ["pred_keypoints", "gt_keypoints"] + ["pred_visibility"] * (kind == "iou")
    for name in needed:
        lacking = {other: x for other, x in given.items() if other != name}
        with pytest.raises(ValueError, match=rf"{name}: expected an array, since (sigmas|vis_weight) is set"):
            ASSIGNERS[kind].assign(**lacking)
        with pytest.raises(ValueError, match=f"{name}: expected shape"):
            ASSIGNERS[kind].assign(**{**given, name: given[name][:, :-1]})


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"vis_weight": 1.0}, "sigmas: expected tolerances with vis_weight"),
        ({"dynamic_k_indicator": "oks"}, "sigmas: expected tolerances"),
        ({"use_keypoints_for_center": True}, "sigmas: expected tolerances"),
        ({"sigmas": ()}, "sigmas: expected numbers, at least one"),
        ({"sigmas": (-0.1,)}, "sigmas"),
        ({"sigmas": (0.1,), "dynamic_k_indicator": "giou"}, "dynamic_k_indicator"),
        ({"sigmas": (0.1,), "oks_weight": "much"}, "oks_weight"),
    ],
)
def test_wrong_knobs_are_named(knobs, words):
    with pytest.raises((TypeError, ValueError), match=words):
        SimOTAAssigner(**knobs)

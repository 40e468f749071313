"""The metric by keypoints and by masks: what is needed, padding, broken numbers, memory."""

import numpy as np
import pytest

from assigncore import memory_budget
from assigncore.assigners import yolo26_pose, yolov8

SIGMAS = (0.05, 0.1, 0.2)


def scene(seed=0, n_gts=4, images=2):
    rng = np.random.default_rng(seed)
    points = np.concatenate(
        [
            np.stack(np.meshgrid(np.arange(48 // s), np.arange(48 // s)), -1).reshape(-1, 2) * s + s / 2
            for s in (8, 16)
        ]
    )
    strides = np.repeat([8.0, 16.0], [36, 9])
    n = len(points)
    low = rng.uniform(0, 24, (images, n_gts, 2))
    gts = np.concatenate([low, low + rng.uniform(8, 24, low.shape)], axis=-1)
    own = rng.integers(0, n_gts, (images, n))
    boxes = np.take_along_axis(gts, own[..., None], axis=1) + rng.normal(0, 2, (images, n, 4))
    keypoints = rng.uniform(0, 48, (images, n_gts, 3, 2))
    visible = rng.integers(0, 3, (images, n_gts, 3, 1)).astype(float)
    near = np.take_along_axis(keypoints, own[..., None, None], axis=1) + rng.normal(0, 2, (images, n, 3, 2))
    return {
        "priors": np.concatenate([points, strides[:, None]], axis=-1),
        "gt_bboxes": gts,
        "pred_bboxes": boxes,
        "pred_scores": rng.uniform(0.1, 0.9, (images, n, 3)),
        "gt_labels": rng.integers(0, 3, (images, n_gts)),
        "gt_valid": np.ones((images, n_gts), dtype=bool),
    }, {
        "pose": {"pred_keypoints": near, "gt_keypoints": np.concatenate([keypoints, visible], axis=-1)},
        "mask": {
            "pred_coefficients": rng.normal(0, 1, (images, n, 4)),
            "mask_prototypes": rng.normal(0, 1, (images, 4, 12, 12)),
            "mask_scale": np.full((images, 1), 0.25),
            "gt_masks": (rng.random((images, n_gts, 12, 12)) < 0.5).astype(float),
        },
    }


ASSIGNERS = {
    "pose": yolo26_pose(topk=5, sigmas=SIGMAS, smallest_side=16.0, beta=1.0),
    "mask": yolov8(topk=5, mask_ranks=15, smallest_side=16.0, beta=1.0),
}
each_kind = pytest.mark.parametrize("kind", ASSIGNERS)


def same(got, expected):
    np.testing.assert_array_equal(got.gt_inds, expected.gt_inds)
    np.testing.assert_allclose(got.max_overlaps, expected.max_overlaps, rtol=1e-12)
    np.testing.assert_allclose(got.extras["assign_metrics"], expected.extras["assign_metrics"], rtol=1e-12)


@each_kind
def test_an_image_alone_and_padding_change_nothing(kind):
    boxes, further = scene()
    given = {**boxes, **further[kind]}
    whole = ASSIGNERS[kind].assign(**given)
    assert whole.pos_mask.any(axis=-1).all()
    for image in range(2):
        alone = ASSIGNERS[kind].assign(
            **{name: x if name == "priors" else x[image] for name, x in given.items()}
        )
        same(alone, whole[image])
    padded = dict(given)
    for name in ("gt_bboxes", "gt_labels", "gt_valid", "gt_keypoints", "gt_masks"):
        if name in given:
            row = np.full_like(given[name][:, :1], 0 if given[name].dtype.kind != "f" else np.nan)
            padded[name] = np.concatenate([given[name], row], axis=1)
    same(ASSIGNERS[kind].assign(**padded), whole)
    with memory_budget(1):
        same(ASSIGNERS[kind].assign(**given), whole)


@each_kind
def test_nothing_to_assign_is_background(kind):
    boxes, further = scene(n_gts=1)
    given = {**boxes, **further[kind]}
    none = {name: x[:, :0] if name.startswith("gt_") else x for name, x in given.items()}
    assert not ASSIGNERS[kind].assign(**none).gt_inds.any()


def test_a_broken_keypoint_counts_only_where_it_is_visible():
    boxes, further = scene(seed=3)
    poses = further["pose"]
    poses["gt_keypoints"][0, 0, :, 2] = (1, 0, 1)
    whole = ASSIGNERS["pose"].assign(**boxes, **poses)
    poses["gt_keypoints"][0, 0, 1, :2] = np.nan
    same(ASSIGNERS["pose"].assign(**boxes, **poses), whole)
    poses["gt_keypoints"][0, 0, 0, 0] = np.inf
    assert not (ASSIGNERS["pose"].assign(**boxes, **poses).gt_inds[0] == 1).any()
    prior = int(np.argmax(whole.gt_inds[1] > 0))
    poses["pred_keypoints"][1, prior, 0, 0] = np.nan
    assert ASSIGNERS["pose"].assign(**boxes, **poses).gt_inds[1, prior] == 0


@each_kind
def test_what_is_compared_must_be_there(kind):
    boxes, further = scene()
    for name in further[kind]:
        lacking = {other: x for other, x in further[kind].items() if other != name}
        with pytest.raises(ValueError, match=rf"{name}: expected an array, since (sigmas|mask_ranks) is set"):
            ASSIGNERS[kind].assign(**boxes, **lacking)
    name = next(iter(further[kind]))
    with pytest.raises(ValueError, match=f"{name}: expected shape"):
        ASSIGNERS[kind].assign(**boxes, **{**further[kind], name: further[kind][name][:, :-1]})


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"level_sizes": (2, 12)}, "level_sizes: expected sigmas"),
        ({"sigmas": ()}, "sigmas: expected numbers, at least one"),
        ({"sigmas": (0.1,), "level_sizes": (2,)}, "level_sizes: expected two numbers"),
        ({"sigmas": (-0.1,)}, "sigmas"),
        ({"mask_ranks": 0}, "mask_ranks"),
        ({"mask_ranks": 3, "sigmas": (0.1,)}, "mask_ranks: expected None with sigmas"),
    ],
)
def test_wrong_knobs_are_named(knobs, words):
    with pytest.raises((TypeError, ValueError), match=words):
        yolov8(**knobs)

"""Empty: no priors, no ground truths, no valid ones, no images: each has its result; nothing raises."""

import numpy as np
import pytest

from assigncore import build_assigner

from .checking import assert_same, on_every_target, on_targets, stacked
from .scenes import FULL, MASK_SHAPE, NOT_BOXES, Sizes, predictions, stack
from .subjects import COMPILED_OFTEN, SUBJECTS

COUNTS = [Sizes(0, 3, 2), Sizes(4, 0, 2), Sizes(4, 3, 0), Sizes(0, 0, 0)]

NOTHING = {
    "all_padding": ("gt_valid", False),
    "all_broken": ("gt_bboxes", np.nan),
    "no_prior_takes_part": ("prior_valid", False),
    "all_priors_broken": ("priors", np.inf),
    "all_regions_padding": ("ignore_valid", False),
    "all_in_ignore_regions": ("ignore_bboxes", [-1, -1, 9, 9]),
}

ALIKE = {"gt_bboxes": ("gt_valid",), "priors": NOT_BOXES}
"""What to break, or to take for padding, where an assigner has no such boxes."""


def some_scene(sizes, seed=0, *, tied=True):
    """Give a scene on a coarse grid, with one prior that takes no part; its predictions may be `tied` too."""
    rng = np.random.default_rng(seed)

    def boxes(*shape):
        return np.sort(rng.integers(0, 7, (*shape, 2, 2)), axis=-2).reshape(*shape, 4).astype(np.float32)

    priors = boxes(sizes.priors)
    scene = {
        "priors": priors,
        "prior_valid": np.arange(sizes.priors) != 1,
        "approxs": boxes(sizes.priors, sizes.approxs),
        "responsible_flags": np.arange(sizes.priors) != 2,
        "gt_bboxes": boxes(sizes.gts),
        "gt_labels": np.arange(sizes.gts) + 5,
        "gt_valid": np.ones(sizes.gts, dtype=bool),
        "ignore_bboxes": boxes(sizes.regions),
        "ignore_valid": np.ones(sizes.regions, dtype=bool),
        "gt_masks": rng.random((sizes.gts, *MASK_SHAPE)) < 0.4,
    }
    return {**scene, **predictions(priors, rng, tied=tied)}


def _background(takes_part, codes):
    """Give codes (N,) or (N, M) of priors that are all background, but for those that take no part."""
    return np.broadcast_to(np.where(takes_part, 0, -1).reshape(-1, *[1] * (codes.ndim - 1)), codes.shape)


def _each(counts):
    return pytest.mark.parametrize("sizes", counts, ids=lambda s: f"N{s.priors}-G{s.gts}-I{s.regions}")


# Where priors are the cells of maps, no map is empty.
@on_every_target([subject for subject in SUBJECTS if "N" not in subject.fixed], jax=COMPILED_OFTEN)
@_each([sizes for sizes in COUNTS if sizes.priors == 0])
def test_no_priors(subject, target, sizes):
    _check_counts(subject, target, sizes)


@on_every_target(jax=COMPILED_OFTEN)
@_each([sizes for sizes in COUNTS if sizes.priors > 0])
def test_no_ground_truths_no_regions(subject, target, sizes):
    _check_counts(subject, target, sizes)


def _check_counts(subject, target, sizes):
    images = [subject.arguments(some_scene(sizes, seed, tied=subject.tied)) for seed in (0, 1)]
    expected = stacked([subject.expected(target, image) for image in images], (2,))
    got = subject.run(target, stack(images, (2,)))
    assert_same(got, expected, subject.rtol)
    assert got["gt_inds"].shape[:2] == (2, sizes.priors)
    if sizes.gts == 0 and not subject.ignores_without_gts:
        background = _background(images[0]["prior_valid"], got["gt_inds"][0])
        np.testing.assert_array_equal(got["gt_inds"][0], background)


@on_every_target(jax=COMPILED_OFTEN)
@pytest.mark.parametrize("lead", [(0,), (2, 0)])
def test_no_images(subject, target, lead):
    image = subject.arguments(some_scene(Sizes(4, 3, 2)))
    batch = {name: np.zeros((*lead, *array.shape), dtype=array.dtype) for name, array in image.items()}
    got = subject.run(target, batch)
    expected = subject.expected(target, image)
    assert_same(got, {name: np.zeros((*lead, *x.shape), dtype=x.dtype) for name, x in expected.items()})


@on_every_target()
@pytest.mark.parametrize("kind", NOTHING)
def test_nothing_valid(subject, target, kind):
    scene = some_scene(FULL, tied=subject.tied)
    name, value = NOTHING[kind]
    if name not in subject.takes and name in ALIKE:
        name = next(alike for alike in ALIKE[name] if alike in subject.takes)
        value = np.nan if name in NOT_BOXES else False
    scene[name] = np.full_like(scene[name], value)
    if kind == "all_in_ignore_regions":
        scene["ignore_valid"] = np.ones_like(scene["ignore_valid"])
    arguments = subject.arguments(scene)
    got = subject.run(target, arguments)
    assert_same(got, subject.expected(target, arguments), subject.rtol)
    codes = got["gt_inds"]
    if kind in ("all_padding", "all_broken", "no_prior_takes_part", "all_priors_broken"):
        assert (codes <= 0).all()
    if kind in ("all_padding", "all_broken"):
        background = _background(scene["prior_valid"], codes)
        ignored = (codes == -1) & subject.ignores_without_gts
        np.testing.assert_array_equal(codes, np.where(ignored, -1, background))
        assert (got["labels"] == -1).all()


@on_every_target(jax=COMPILED_OFTEN)
def test_an_empty_image_does_not_change_its_neighbours(subject, target):
    scenes = [some_scene(FULL, seed, tied=subject.tied) for seed in range(6)]
    scenes[1]["gt_valid"] = np.zeros_like(scenes[1]["gt_valid"])
    scenes[4]["prior_valid"] = np.zeros_like(scenes[4]["prior_valid"])
    images = [subject.arguments(scene) for scene in scenes]
    expected = stacked([subject.expected(target, image) for image in images], (2, 3))
    assert_same(subject.run(target, stack(images, (2, 3))), expected, subject.rtol)


@on_targets
def test_priors_without_approximations_are_background(target):
    assigner = build_assigner({"type": "ApproxMaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4})
    scene = some_scene(Sizes(4, 3, 2, approxs=0))
    names = ("priors", "gt_bboxes", "approxs", "prior_valid")
    arrays = {name: target.from_numpy(scene[name]) for name in names}
    with target.running(x64=False):
        assert target.to_numpy(assigner.assign(**arrays).gt_inds).tolist() == [0, -1, 0, 0]

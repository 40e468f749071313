"""Matchers by overlaps that are given agree with the same matchers by boxes, on every library."""

import numpy as np
import pytest

from assigncore import Matcher, SSDMatcher, memory_budget
from assigncore.boxes import pairwise_iou
from assigncore.conformance import Mode, get_target

MATCHERS = {
    "low_quality": Matcher((0.25, 0.75), (0, -1, 1), allow_low_quality_matches=True),
    "plain": Matcher((0.5,), (0, 1)),
    "ssd": SSDMatcher(0.5),
}
each_matcher = pytest.mark.parametrize("matcher", MATCHERS.values(), ids=MATCHERS)


def scene(seed=0, images=3, n_gts=4, n_priors=20):
    """Draw boxes on a grid, where overlaps tie, in a padded batch."""
    rng = np.random.default_rng(seed)

    def boxes(count):
        low = rng.integers(0, 8, (images, count, 2))
        return np.concatenate([low, low + rng.integers(1, 5, low.shape)], axis=-1).astype(np.float32)

    return {
        "priors": boxes(n_priors),
        "gt_bboxes": boxes(n_gts),
        "gt_labels": rng.integers(0, 5, (images, n_gts)),
        "gt_valid": np.arange(n_gts) < np.array([[4], [2], [0]]),
        "prior_valid": rng.random((images, n_priors)) < 0.8,
    }


def given(arrays):
    rest = {name: x for name, x in arrays.items() if name not in ("priors", "gt_bboxes")}
    return {"overlaps": pairwise_iou(arrays["gt_bboxes"], arrays["priors"]), **rest}


def assert_equal(got, expected):
    for name in ("gt_inds", "max_overlaps", "labels"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)
    assert got.extras.keys() == expected.extras.keys()
    for name, x in expected.extras.items():
        np.testing.assert_array_equal(got.extras[name], x, err_msg=name)


def run(function, target, arrays):
    with target.running(x64=False):
        return function(**{name: target.from_numpy(x) for name, x in arrays.items()}).to_numpy()


@each_matcher
def test_given_overlaps_decide_as_computed_ones(target, matcher):
    arrays = scene()
    assert_equal(run(matcher.match, target, given(arrays)), matcher.assign(**arrays))


@each_matcher
def test_what_padding_overlaps_decides_nothing(matcher):
    arrays = scene()
    table = given(arrays)
    outside = ~(table["gt_valid"][:, :, None] & table["prior_valid"][:, None, :])
    table["overlaps"] = np.where(outside, np.float32(np.nan), table["overlaps"])
    assert_equal(matcher.match(**table), matcher.assign(**arrays))


@each_matcher
def test_tiles_do_not_change_the_result(matcher):
    table = given(scene(n_priors=500))
    whole = matcher.match(**table)
    with memory_budget(1 << 12):
        assert_equal(matcher.match(**table), whole)


@each_matcher
@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (2, 0, 5), (0, 3, 5)])
def test_empty_is_background(target, matcher, shape):
    got = run(matcher.match, target, {"overlaps": np.zeros(shape, dtype=np.float32)})
    assert got.gt_inds.shape == (*shape[:-2], shape[-1])
    assert not got.gt_inds.any()


@each_matcher
@pytest.mark.parametrize("library", ["torch", "jax"])
def test_it_compiles(library, matcher):
    target = get_target(library)
    if target.unavailable():
        pytest.skip(target.unavailable())
    assert Mode.JIT in target.modes
    table = given(scene())
    with target.running(x64=False):
        arrays = {name: target.from_numpy(x) for name, x in table.items()}
        got = target.compile(lambda **arrays: matcher.match(**arrays).gt_inds)(**arrays)
        np.testing.assert_array_equal(target.to_numpy(got), matcher.match(**table).gt_inds)


@pytest.mark.parametrize(
    ("overlaps", "error", "message"),
    [
        (np.zeros(3), ValueError, "overlaps"),
        (np.zeros((2, 3), dtype=np.int64), TypeError, "overlaps"),
        ([[0.0]], TypeError, "overlaps"),
    ],
)
def test_wrong_overlaps_are_named(overlaps, error, message):
    with pytest.raises(error, match=message):
        MATCHERS["plain"].match(overlaps)


def test_a_mask_of_another_size_is_named():
    with pytest.raises(ValueError, match="gt_valid"):
        MATCHERS["plain"].match(np.zeros((2, 3)), gt_valid=np.ones(3, dtype=bool))

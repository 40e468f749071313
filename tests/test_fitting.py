"""Anchors fitted to boxes: shapes by k-means, knobs of generators, overlaps without a grid."""

import numpy as np
import pytest

from assigncore.boxes import pairwise_iou
from assigncore.priors import (
    AnchorGenerator,
    PointGenerator,
    SSDAnchorGenerator,
    best_placed_overlaps,
    fit_anchors,
    fit_shapes,
)

SIDES = (12.0, 25.0, 50.0)


def boxes_of(sizes, seed=0):
    corners = np.random.default_rng(seed).uniform(30, 200, (len(sizes), 2))
    return np.concatenate([corners, corners + sizes], axis=1)


def sizes_about(shapes, each=40, spread=0.05, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([shape * np.exp(rng.normal(0, spread, (each, 2))) for shape in shapes])


def mean_overlap(sizes, shapes):
    boxes = [np.concatenate([-np.asarray(x) / 2, np.asarray(x) / 2], axis=1) for x in (sizes, shapes)]
    return float(np.mean(np.max(pairwise_iou(*boxes), axis=1)))


def test_fit_shapes_finds_the_shapes_that_boxes_scatter_about():
    shapes = np.array([[10.0, 20.0], [40.0, 40.0], [160.0, 80.0]])
    found = fit_shapes(sizes_about(shapes), 3)
    np.testing.assert_allclose(found, shapes, rtol=0.05)


def test_fitted_shapes_fit_better_than_random_boxes_of_the_data():
    sizes = np.exp(np.random.default_rng(1).normal(3, 0.8, (300, 2)))
    found = mean_overlap(sizes, fit_shapes(sizes, 5))
    for seed in range(20):
        picked = np.random.default_rng(seed).choice(sizes, 5, replace=False)
        assert found > mean_overlap(sizes, picked)


def test_the_order_of_boxes_changes_no_shape():
    sizes = np.exp(np.random.default_rng(1).normal(3, 0.8, (3000, 2)))
    shuffled = np.random.default_rng(2).permutation(sizes)
    np.testing.assert_array_equal(fit_shapes(sizes, 4), fit_shapes(shuffled, 4))


def test_fewer_sizes_than_shapes_give_each_size_once():
    assert fit_shapes([[8, 8], [4, 6], [8, 8]], 5).tolist() == [[4, 6], [8, 8]]
    assert fit_shapes(np.zeros((0, 2)), 3).shape == (0, 2)


@pytest.mark.parametrize(
    "generator",
    [
        AnchorGenerator(strides=(8, (16, 32)), ratios=(0.3, 1.7), scales=(1.5, 4.0), center_offset=0.5),
        AnchorGenerator(strides=(4, 8), ratios=(1.0,), scales=(3.0,), base_sizes=(9, 21)),
        SSDAnchorGenerator((8, 16), min_sizes=(20, 45), max_sizes=(45, 99), ratios=((2,), (2, 3))),
    ],
)
def test_placed_overlaps_are_the_best_of_all_anchors_of_a_grid(generator):
    boxes = boxes_of(np.random.default_rng(3).uniform(4, 90, (50, 2)))
    boxes[:5] -= 29
    anchors = generator.for_image((640, 640), xp=np, dtype=np.float64).priors
    every = np.max(pairwise_iou(boxes, np.asarray(anchors)), axis=1)
    np.testing.assert_allclose(best_placed_overlaps(generator, boxes), every, rtol=1e-12)


def test_fit_anchors_finds_back_the_scale_that_the_boxes_have():
    published = AnchorGenerator(strides=(4, 8, 16), ratios=(0.5, 1.0, 2.0), scales=(8.0,))
    own = AnchorGenerator(strides=(4, 8, 16), ratios=(0.5, 1.0, 2.0), scales=(3.0,))
    boxes = np.asarray(own.for_image((256, 256), xp=np, dtype=np.float64).priors)
    boxes = boxes[(boxes[:, 0] >= 0) & (boxes[:, 1] >= 0)][::37]
    fitted = fit_anchors(published, boxes, ratios=False)
    assert fitted.all_scales == pytest.approx((3.0,), rel=0.01)
    assert (fitted.strides, fitted.ratios) == (published.strides, published.ratios)


@pytest.mark.parametrize("ratios", [False, True])
@pytest.mark.parametrize(
    "published",
    [
        AnchorGenerator(strides=(8, 16, 32), ratios=(0.5, 1.0), octave_base_scale=4.0, scales_per_octave=2),
        AnchorGenerator(strides=(16,), ratios=(1.0,), scales=(8.0, 1.0)),
        SSDAnchorGenerator((8, 16), min_sizes=(45, 99), max_sizes=(99, 153), ratios=((2,), (2,))),
    ],
)
def test_fitted_anchors_keep_number_and_places_and_overlap_more(published, ratios):
    boxes = boxes_of(sizes_about([[side, 2 * side] for side in SIDES]))
    fitted = fit_anchors(published, boxes, ratios=ratios)
    assert (fitted.strides, fitted.num_base_priors) == (published.strides, published.num_base_priors)
    before, after = (np.mean(best_placed_overlaps(x, boxes)) for x in (published, fitted))
    assert after > before + 0.05
    assert fit_anchors(published, boxes[::-1], ratios=ratios) == fitted


def test_ratios_follow_the_boxes():
    published = AnchorGenerator(strides=(8, 16), ratios=(0.5, 1.0, 2.0), scales=(4.0,))
    boxes = boxes_of(sizes_about([[20.0, 80.0], [30.0, 90.0]]))
    assert min(fit_anchors(published, boxes).ratios) > 2
    assert fit_anchors(published, boxes, ratios=False).ratios == published.ratios


def test_without_boxes_the_anchors_stay():
    published = AnchorGenerator(strides=(8,), ratios=(1.0,), scales=(4.0,))
    assert fit_anchors(published, np.zeros((0, 4))) == published


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: fit_shapes([1.0, 2.0], 2), ValueError, r"shape \(M, 2\)"),
        (lambda: fit_shapes([[1.0, 0.0]], 2), ValueError, "above 0"),
        (lambda: fit_shapes([[1.0, np.nan]], 2), ValueError, "sizes: expected finite numbers"),
        (lambda: fit_shapes([[1.0, 1.0]], 0), ValueError, "count: expected at least 1, got 0"),
        (lambda: fit_shapes([[1.0, 1.0]], True), TypeError, "count"),
        (lambda: fit_anchors(PointGenerator(strides=(8,)), [[0, 0, 1, 1]]), TypeError, "got PointGenerator"),
        (
            lambda: fit_anchors(AnchorGenerator((8,), (1.0,), scales=(1.0,)), [[0, 0, 0, 1]]),
            ValueError,
            "some width and height",
        ),
        (
            lambda: fit_anchors(AnchorGenerator((8,), (1.0,), scales=(1.0,)), [[0, 0, np.inf, 1]]),
            ValueError,
            "gt_bboxes: expected finite numbers",
        ),
    ],
)
def test_wrong_calls_name_what_is_expected(call, error, text):
    with pytest.raises(error, match=text):
        call()

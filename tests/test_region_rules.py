"""RegionAssigner, one rule at a time by hand, and what it refuses."""

import numpy as np
import pytest

from assigncore import RegionAssigner


def _assign(priors, gts, *, strides=(8,), sizes=((8, 8),), counts=None, border=-1, **further):
    priors, gts = (np.asarray(x, dtype=np.float32).reshape(-1, 4) for x in (priors, gts))
    return RegionAssigner(**further.pop("knobs", {})).assign(
        priors,
        gts,
        num_level_priors=counts or (len(priors),),
        featmap_sizes=sizes,
        anchor_scale=4,
        anchor_strides=strides,
        image_shape=(64, 64),
        allowed_border=border,
        **further,
    )


def _at(*centers, side=32):
    half = side / 2
    return [[x - half, y - half, x + half, y + half] for x, y in centers]


def test_the_last_ground_truth_of_a_level_decides_also_where_it_ignores():
    first, last = [0, 0, 32, 32], [0, 0, 40, 32]
    priors = _at((16, 16), (24, 16), (20, 16))
    # In cells: the centres are [2, 2] and [2, 3] along x, the regions about them [1, 3] and [1, 4].
    assert _assign(priors, [first, last]).gt_inds.tolist() == [2, 2, 2]
    assert _assign(priors, [last, first]).gt_inds.tolist() == [2, -1, -1]


def test_a_region_on_the_next_level_overrules_positives():
    small, large = [0, 0, 32, 32], [0, 0, 64, 64]
    priors = _at((16, 16)) + _at((32, 32), side=64)
    levels = {"strides": (8, 16), "sizes": ((8, 8), (4, 4)), "counts": (1, 1)}
    # In pixels the region about the large one is [16, 48], that about the small one on the next [0, 32].
    assert _assign(priors, [small], **levels).gt_inds.tolist() == [1, -1]
    assert _assign(priors, [large], **levels).gt_inds.tolist() == [-1, 1]
    small = [0, 0, 24, 24]
    priors = _at((16, 16)) + _at((32, 32), side=64)
    for order in ([small, large], [large, small]):
        result = _assign(priors, order, **levels)
        assert result.gt_inds.tolist() == [-1, order.index(large) + 1]


def test_levels_two_apart_do_not_meet():
    priors = _at((16, 16)) + _at((32, 32), side=64) + _at((64, 64), side=128)
    levels = {"strides": (8, 16, 32), "sizes": ((8, 8), (4, 4), (4, 4)), "counts": (1, 1, 1)}
    large = [0, 0, 128, 128]
    assert _assign(priors, [large], **levels).gt_inds.tolist() == [0, -1, 1]


@pytest.mark.parametrize(("side", "code"), [(45.0, [1, 0]), (45.5, [0, 1])])
def test_the_level_changes_where_the_area_is_twice_that_of_the_anchor(side, code):
    priors = _at((side / 2, side / 2)) + _at((side / 2, side / 2), side=64)
    levels = {"strides": (8, 16), "sizes": ((8, 8), (4, 4)), "counts": (1, 1)}
    knobs = {"center_ratio": 1.0, "ignore_ratio": 0.0}
    assert (_assign(priors, [[0, 0, side, side]], knobs=knobs, **levels).gt_inds > 0).tolist() == [
        bool(c) for c in code
    ]


def test_a_ground_truth_midway_between_levels_belongs_to_the_coarser():
    priors = _at((16, 32)) + _at((16, 32), side=64)
    levels = {"strides": (8, 16), "sizes": ((8, 8), (4, 4)), "counts": (1, 1)}
    assert _assign(priors, [[0, 0, 32, 64]], **levels).gt_inds.tolist() == [-1, 1]


def test_sides_round_to_the_even_cell_and_belong_to_the_region():
    # In cells the box is [0.5, 2.5] along x, whose ends round to 0 and 2; all of it is central.
    priors = _at((0, 8), (16, 8), (16.5, 8), (-0.5, 8))
    knobs = {"center_ratio": 1.0, "ignore_ratio": 1.0}
    assert _assign(priors, [[4, 0, 20, 16]], knobs=knobs).gt_inds.tolist() == [1, 1, 0, 0]


def test_regions_are_cut_off_at_the_feature_map():
    priors = _at((0, 0), (24, 24), (28, 28))
    knobs = {"center_ratio": 1.0, "ignore_ratio": 1.0}
    result = _assign(priors, [[-100, -100, 100, 100]], knobs=knobs, sizes=((3, 3),))
    assert result.gt_inds.tolist() == [1, 1, 0]


def test_anchors_over_the_border_are_ignored():
    priors = [[0, 0, 32, 32], [-1, 0, 31, 32], [0, 32, 32, 63.5], [0, 32, 32, 64], [0, 33, 32, 65]]
    gt = [0, 0, 1, 1]
    assert _assign(priors, [gt], border=0).gt_inds.tolist() == [0, -1, 0, -1, -1]
    assert _assign(priors, [gt], border=1).gt_inds.tolist() == [0, 0, 0, 0, -1]
    assert _assign(priors, [gt], border=-1).gt_inds.tolist() == [0] * 5


def test_a_broken_anchor_matches_nothing_and_is_not_inside_the_image():
    priors = [[np.nan, 0, 32, 32], [0, 0, 32, np.inf], [0, 0, 32, 32]]
    gt = [0, 0, 32, 32]
    assert _assign(priors, [gt]).gt_inds.tolist() == [0, 0, 1]
    assert _assign(priors, [gt], border=0).gt_inds.tolist() == [-1, -1, 1]


def test_labels_are_0_where_there_is_no_positive_and_minus_1_without_ground_truths():
    labels = np.array([7, 9])
    gts = [[0, 0, 32, 32], [np.nan, 0, 1, 1]]
    result = _assign(_at((16, 16), (60, 60)), gts, gt_labels=labels)
    assert result.labels.tolist() == [7, 0]
    assert result.max_overlaps is None
    result = _assign(_at((16, 16)), gts, gt_labels=labels, gt_valid=np.array([False, True]))
    assert (result.gt_inds.tolist(), result.labels.tolist()) == ([0], [-1])


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"featmap_sizes": ((2, 2), (1, 1))}, ValueError, "featmap_sizes"),
        ({"featmap_sizes": (2,)}, ValueError, "featmap_sizes"),
        ({"featmap_sizes": 2}, TypeError, "featmap_sizes"),
        ({"anchor_strides": (8, 16)}, ValueError, "anchor_strides"),
        ({"anchor_strides": (0,)}, ValueError, "anchor_strides"),
        ({"anchor_scale": -1}, ValueError, "anchor_scale"),
        ({"num_level_priors": (3,)}, ValueError, "num_level_priors"),
        ({"image_shape": (16,)}, ValueError, "image_shape"),
        ({"image_shape": (16, "x")}, TypeError, "image_shape"),
        ({"image_shape": np.zeros(3)}, ValueError, "image_shape"),
        ({"allowed_border": None}, TypeError, "allowed_border"),
        ({"ignore_bboxes": np.zeros((1, 4))}, TypeError, "ignore_bboxes"),
    ],
)
def test_wrong_calls_are_refused_by_name(wrong, error, words):
    call = {
        "num_level_priors": (2,),
        "featmap_sizes": ((2, 2),),
        "anchor_scale": 4,
        "anchor_strides": (8,),
        "image_shape": (16, 16),
    }
    with pytest.raises(error, match=words):
        RegionAssigner().assign(np.zeros((2, 4)), np.zeros((1, 4)), **{**call, **wrong})


@pytest.mark.parametrize("knobs", [{"center_ratio": -0.1}, {"ignore_ratio": float("nan")}])
def test_knobs_out_of_range_are_refused(knobs):
    with pytest.raises(ValueError, match=next(iter(knobs))):
        RegionAssigner(**knobs)

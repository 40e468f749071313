"""The geometry of boxes, against plain formulas and known values."""

import math

import jax
import numpy as np
import pytest
import torch

from assigncore import boxes as b
from assigncore.boxes.calculators import BboxOverlaps2D, round_to_half
from assigncore.numerics import divided, rounded_product

MODES = ("iou", "iof", "giou", "diou", "ciou")


def plain(a, g, mode):
    """Read a formula off its paper for two boxes, in double precision."""
    w, h = min(a[2], g[2]) - max(a[0], g[0]), min(a[3], g[3]) - max(a[1], g[1])
    overlap = max(w, 0) * max(h, 0)
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, g)]
    if mode == "iof":
        return overlap / areas[0]
    union = sum(areas) - overlap
    iou = overlap / union
    ew, eh = max(a[2], g[2]) - min(a[0], g[0]), max(a[3], g[3]) - min(a[1], g[1])
    if mode == "giou":
        return iou - (ew * eh - union) / (ew * eh)
    if mode == "iou":
        return iou
    apart = ((a[0] + a[2] - g[0] - g[2]) ** 2 + (a[1] + a[3] - g[1] - g[3]) ** 2) / 4
    diou = iou - apart / (ew**2 + eh**2)
    if mode == "diou":
        return diou
    angles = [math.atan((x[2] - x[0]) / (x[3] - x[1])) for x in (a, g)]
    v = 4 / math.pi**2 * (angles[1] - angles[0]) ** 2
    return diou - v * (v / (1 - iou + v)) if v else diou


def draw(seed, n):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 60, (n, 2))
    return np.concatenate([low, low + rng.uniform(1, 40, (n, 2))], axis=-1)


@pytest.mark.parametrize("mode", MODES)
def test_overlaps_are_what_the_papers_say(mode):
    a, g = draw(0, 30), draw(1, 30)
    expected = [[plain(x, y, mode) for y in g] for x in a]
    np.testing.assert_allclose(getattr(b, f"pairwise_{mode}")(a, g), expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(
        getattr(b, f"aligned_{mode}")(a, g), np.diagonal(getattr(b, f"pairwise_{mode}")(a, g))
    )


@pytest.mark.parametrize("mode", ["iou", "iof", "giou", "diou"])
def test_libraries_give_the_same_bits_compiled_or_not(mode):
    a, g = draw(2, 200).astype(np.float32), draw(3, 150).astype(np.float32)
    pairwise = getattr(b, f"pairwise_{mode}")
    expected = pairwise(a, g)
    np.testing.assert_array_equal(pairwise(torch.tensor(a), torch.tensor(g)).numpy(), expected)
    np.testing.assert_array_equal(pairwise(jax.numpy.asarray(a), jax.numpy.asarray(g)), expected)
    np.testing.assert_array_equal(jax.jit(pairwise)(a, g), expected)


def test_degenerate_and_broken_boxes_overlap_nothing():
    whole = np.array([[0.0, 0, 8, 8]])
    odd = np.array(
        [[2.0, 2, 2, 6], [6, 2, 2, 6], [np.nan, 0, 8, 8], [0, 0, np.inf, 8], [-np.inf, 0, 8, 8], [0, 0, 1e200, 8]]
    )  # fmt: skip
    assert not b.pairwise_iou(whole, odd).any()
    assert not b.pairwise_iou(odd, odd)[2:].any()
    assert np.isfinite(b.pairwise_giou(odd, odd)).all()


def test_two_equal_points_overlap_nothing():
    point = np.array([[3.0, 3, 3, 3]])
    assert b.pairwise_iou(point, point) == 0
    assert b.pairwise_giou(point, point) == 0


def test_conversions_undo_each_other():
    a = draw(4, 20)
    np.testing.assert_allclose(b.cxcywh_to_xyxy(b.xyxy_to_cxcywh(a)), a)
    xywh = np.concatenate([a[:, :2], a[:, 2:] - a[:, :2]], axis=-1)
    np.testing.assert_allclose(b.xywh_to_xyxy(xywh), a)


def test_l1_sums_left_to_right():
    a, g = draw(5, 20).astype(np.float32), draw(6, 9).astype(np.float32)
    d = np.abs(a[:, None] - g[None])
    np.testing.assert_array_equal(b.pairwise_l1(a, g), ((d[..., 0] + d[..., 1]) + d[..., 2]) + d[..., 3])


def test_a_margin_keeps_points_off_the_sides():
    points = np.array([[0.0, 2], [0.01, 2], [0.02, 2], [2, 2]])
    box = np.array([[0.0, 0, 4, 4]])
    assert b.points_in_boxes(points, box).tolist() == [[False, True, True, True]]
    assert b.points_in_boxes(points, box, margin=0.01).tolist() == [[False, False, True, True]]


@pytest.mark.parametrize(
    ("a", "g", "error", "words"),
    [
        (np.zeros((2, 5)), np.zeros((2, 4)), ValueError, r"a: expected shape .*4.*got \(2, 5\)"),
        (np.zeros(4), np.zeros((2, 4)), ValueError, "a: expected shape"),
        (np.zeros((2, 4)), np.zeros((2, 4), dtype=int), TypeError, "b: expected real floating.*int64"),
        (np.zeros((2, 4)), [[0, 0, 1, 1]], TypeError, "b: expected an array.*list"),
        (np.zeros((2, 4)), torch.zeros(2, 4), TypeError, "a belongs to .*numpy and b to .*torch"),
    ],
)
def test_wrong_boxes_are_refused_by_name(a, g, error, words):
    with pytest.raises(error, match=words):
        b.pairwise_iou(a, g)


def test_aligned_boxes_need_equal_numbers():
    with pytest.raises(ValueError, match="b: expected 3 rows"):
        b.aligned_iou(np.zeros((3, 4)), np.zeros((2, 4)))


def test_half_rounding_is_that_of_numpy_for_every_half_and_all_between():
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    halves = np.sort(halves[np.isfinite(halves)])
    between = ((halves[:-1].astype(np.float64) + halves[1:]) / 2).astype(np.float32)
    near = np.concatenate([np.nextafter(between, np.float32(s)) for s in (-np.inf, np.inf)])
    edge = np.array([65519.99, 65520, -65520, 1e30, -1e30, np.inf, 2.0**-25, 2.0**-26], dtype=np.float32)
    bits = np.random.default_rng(0).integers(0, 2**32, 2**20, dtype=np.uint32).view(np.float32)
    x = np.concatenate([halves, between, near, edge, bits[np.isfinite(bits)]])
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(round_to_half(x), expected)
    np.testing.assert_array_equal(round_to_half(torch.tensor(x)).numpy(), expected)
    np.testing.assert_array_equal(jax.jit(round_to_half)(x), expected)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(
            round_to_half(x.astype(np.float64)), x.astype(np.float64).astype(np.float16).astype(np.float64)
        )


def test_a_compiler_does_not_change_a_division_or_a_product():
    x = np.random.default_rng(0).uniform(1, 1000, 20000).astype(np.float32)
    y = np.random.default_rng(1).uniform(1, 1000, 20000).astype(np.float32)
    np.testing.assert_array_equal(jax.jit(lambda x: divided(x, 7.0))(x), x / np.float32(7))
    np.testing.assert_array_equal(jax.jit(lambda x, y: rounded_product(x, y) - x)(x, y), x * y - x)


@pytest.mark.parametrize(
    ("knobs", "error"),
    [({"scale": 0}, ValueError), ({"scale": "8"}, TypeError), ({"scale": True}, TypeError)],
)
def test_knobs_of_the_calculator(knobs, error):
    with pytest.raises(error, match="scale"):
        BboxOverlaps2D(**knobs)


KNOWN = {
    # A box of 4 x 4 with one moved by half its width, one that touches its corner, and one twice as high.
    "iou": [1 / 3, 0, 1 / 2],
    "iof": [1 / 2, 0, 1],
    "giou": [1 / 3, -1 / 2, 1 / 2],
    "diou": [1 / 3 - 4 / 52, -32 / 128, 1 / 2 - 4 / 80],
}


@pytest.mark.parametrize("mode", KNOWN)
def test_known_values_on_every_library(target, mode):
    ours = np.array([[0, 0, 4, 4]], dtype=np.float32)
    theirs = np.array([[2, 0, 6, 4], [4, 4, 8, 8], [0, 0, 4, 8]], dtype=np.float32)
    with target.running(x64=False):
        a, g = target.from_numpy(ours), target.from_numpy(theirs)
        got = target.to_numpy(getattr(b, f"pairwise_{mode}")(a, g))
    np.testing.assert_allclose(got, [KNOWN[mode]], atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_leading_dimensions_broadcast(mode):
    a, g = draw(7, 12).reshape(3, 4, 4), draw(8, 10).reshape(2, 1, 5, 4)
    pairwise = getattr(b, f"pairwise_{mode}")
    got = pairwise(a, g)
    assert got.shape == (2, 3, 4, 5)
    for i in range(2):
        for j in range(3):
            np.testing.assert_array_equal(got[i, j], pairwise(a[j], g[i, 0]))


@pytest.mark.parametrize("mode", MODES)
def test_half_precision_is_raised_first(mode):
    a, g = (draw(seed, 6).astype(np.float16) for seed in (9, 10))
    pairwise = getattr(b, f"pairwise_{mode}")
    assert pairwise(a, g).dtype == np.float32
    np.testing.assert_array_equal(pairwise(a, g), pairwise(a.astype(np.float32), g.astype(np.float32)))


def test_areas_and_centers_on_every_library(target):
    boxes = np.array([[0, 2, 4, 8], [5, 5, 1, 9], [5, 5, 1, 1], [3, 3, 3, 3]], dtype=np.float32)
    with target.running(x64=False):
        x = target.from_numpy(boxes)
        assert target.to_numpy(b.box_area(x)).tolist() == [24, -16, 16, 0]
        assert target.to_numpy(b.box_centers(x)).tolist() == [[2, 5], [3, 7], [3, 3], [3, 3]]

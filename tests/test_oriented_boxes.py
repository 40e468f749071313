"""Oriented boxes: overlaps against an independent clipping of polygons, and what leaves them as they are."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assigncore import memory_budget
from assigncore.adapters.kernels.compiled import without_kernels
from assigncore.boxes import (
    corners_to_xywhr,
    normalize_angles,
    pairwise_iof,
    pairwise_iou,
    points_in_boxes,
    xywhr_to_corners,
    xywhr_to_xyxy,
    xyxy_to_xywhr,
)
from assigncore.boxes.calculators import GWD, KLD, NWD, RFD, ProbIoU, RotatedIoU
from assigncore.conformance import get_target

ORIENTED = (RotatedIoU(), ProbIoU(), GWD(), GWD(function="sqrt"), KLD(), KLD(tau=2.0))
each_calculator = pytest.mark.parametrize("calculator", ORIENTED, ids=repr)


def _sine_and_cosine(angle):
    """Sum the series of both."""
    total, term = [Decimal(0), Decimal(0)], Decimal(1)
    for k in range(120):
        total[k % 2] += term if k % 4 < 2 else -term
        term *= angle / (k + 1)
    return total[1], total[0]


def _exact_corners(box):
    x, y, w, h, angle = (Decimal(float(value)) for value in box)
    s, c = _sine_and_cosine(angle)
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return [(x + c * u * w / 2 - s * v * h / 2, y + s * u * w / 2 + c * v * h / 2) for u, v in signs]


def _area(points):
    return (
        abs(
            sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True))
        )
        / 2
    )


def _clipped(points, start, end):
    """Cut off what is right of a line, with y upwards."""
    (ax, ay), (bx, by) = start, end
    kept = []
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        d0 = (bx - ax) * (y0 - ay) - (by - ay) * (x0 - ax)
        d1 = (bx - ax) * (y1 - ay) - (by - ay) * (x1 - ax)
        if d0 >= 0:
            kept.append((x0, y0))
        if (d0 > 0) != (d1 > 0) and d0 != d1:
            share = d0 / (d0 - d1)
            kept.append((x0 + share * (x1 - x0), y0 + share * (y1 - y0)))
    return kept


def _exact(a, b):
    """Compute the intersection, and the IoU, at 60 digits, by cutting one polygon by the other's sides."""
    with localcontext() as context:
        context.prec = 60
        p, q = _exact_corners(a), _exact_corners(b)
        rest = p
        for start, end in zip(q, q[1:] + q[:1], strict=True):
            rest = _clipped(rest, start, end) if rest else rest
        shared = _area(rest) if rest else Decimal(0)
        return float(shared), float(shared / (_area(p) + _area(q) - shared))


sides = st.floats(0.5, 200)
places = st.floats(-100, 100)
angles = st.one_of(st.floats(-7, 7), st.sampled_from([0.0, np.pi / 4, np.pi / 2, np.pi, -np.pi / 2]))
boxes = st.tuples(places, places, sides, sides, angles).map(np.array)
moves = st.sampled_from([0.0, 1e-12, 1e-9, 1e-7, 1e-5, 1e-3, 1.0])


@st.composite
def _pairs(draw):
    """Draw two boxes, as a rule nearly the same one, of which the second may be described in another way."""
    first = draw(boxes)
    if draw(st.booleans()):
        return first, draw(boxes)
    second = first + draw(st.tuples(*[moves] * 5).map(np.array))
    turns = draw(st.integers(-2, 2))
    return first, _turned(second, turns)


def _turned(box, quarters):
    """Describe the same box by an angle some quarter turns on."""
    x, y, w, h, angle = box
    return np.array([x, y, *((w, h) if quarters % 2 == 0 else (h, w)), angle + quarters * np.pi / 2])


@settings(max_examples=300, deadline=None)
@given(_pairs())
def test_rotated_overlaps_are_exact(pair):
    a, b = (box[None] for box in pair)
    shared, iou = _exact(*pair)
    calculator = RotatedIoU()
    assert calculator(a, b)[0, 0] == pytest.approx(iou, abs=1e-11)
    assert calculator(a, b, mode="iof")[0, 0] == pytest.approx(
        min(1, shared / (a[0, 2] * a[0, 3])), abs=1e-10
    )
    assert 0 <= calculator(a, b)[0, 0] <= 1
    narrow = [box.astype(np.float32) for box in (a, b)]
    assert calculator(*narrow)[0, 0] == pytest.approx(_exact(narrow[0][0], narrow[1][0])[1], abs=1e-4)


@each_calculator
@settings(max_examples=40, deadline=None)
@given(pair=_pairs(), quarters=st.integers(-3, 3), shift=st.tuples(places, places), turn=st.floats(-3, 3))
def test_overlaps_depend_on_neither_description_nor_place_nor_direction(
    calculator, pair, quarters, shift, turn
):
    a, b = pair
    expected = calculator(a[None], b[None])
    near = {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_allclose(calculator(a[None], _turned(b, quarters)[None]), expected, **near)
    np.testing.assert_allclose(calculator(_turned(a, quarters)[None], b[None]), expected, **near)
    moved = [box + np.array([*shift, 0, 0, 0]) for box in (a, b)]
    np.testing.assert_allclose(calculator(moved[0][None], moved[1][None]), expected, **near)
    c, s = np.cos(turn), np.sin(turn)
    turned = [np.array([c * x - s * y, s * x + c * y, w, h, angle + turn]) for x, y, w, h, angle in (a, b)]
    np.testing.assert_allclose(calculator(turned[0][None], turned[1][None]), expected, **near)


@pytest.mark.parametrize("calculator", [RotatedIoU(), KLD()], ids=repr)
@settings(max_examples=40, deadline=None)
@given(pair=_pairs(), scale=st.sampled_from([0.25, 3.0, 100.0]))
def test_these_overlaps_do_not_depend_on_the_scale(calculator, pair, scale):
    a, b = (box[None] for box in pair)
    larger = np.array([scale, scale, scale, scale, 1.0])
    np.testing.assert_allclose(calculator(a * larger, b * larger), calculator(a, b), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("calculator", [RotatedIoU(), ProbIoU(), GWD()], ids=repr)
@settings(max_examples=40, deadline=None)
@given(pair=_pairs())
def test_these_overlaps_are_symmetric(calculator, pair):
    a, b = (box[None] for box in pair)
    np.testing.assert_allclose(calculator(a, b), calculator(b, a), rtol=1e-6, atol=1e-7)


def _some(count, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    low, high = [0, 0, 2, 2, -4], [40, 40, 30, 30, 4]
    return rng.uniform(low, high, (count, 5)).astype(dtype)


def test_upright_boxes_overlap_as_axis_aligned_ones():
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 30, (2, 12, 2))
    rows = np.concatenate([corners, corners + rng.uniform(1, 20, (2, 12, 2))], axis=-1)
    a, b = rows
    oriented = [xyxy_to_xywhr(x) for x in (a, b)]
    np.testing.assert_allclose(RotatedIoU()(*oriented), pairwise_iou(a, b), atol=1e-14)
    np.testing.assert_allclose(RotatedIoU()(*oriented, mode="iof"), pairwise_iof(a, b), atol=1e-14)
    np.testing.assert_allclose(xywhr_to_xyxy(oriented[0]), a, atol=1e-12)


def _covariance(box, share):
    c, s = np.cos(box[4]), np.sin(box[4])
    turn = np.array([[c, -s], [s, c]])
    return turn @ np.diag([box[2] ** 2, box[3] ** 2]) @ turn.T * share


def _root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(np.sqrt(values)) @ vectors.T


def test_distances_of_gaussians_are_those_of_the_papers():
    a, b = _some(6, 0), _some(5, 1)
    wasserstein, kl, probable = np.empty((3, 6, 5))
    for i, p in enumerate(a):
        for j, q in enumerate(b):
            d, s, t = p[:2] - q[:2], _covariance(p, 0.25), _covariance(q, 0.25)
            root = _root(s)
            wasserstein[i, j] = d @ d + np.trace(s + t - 2 * _root(root @ t @ root))
            inverse = np.linalg.inv(t)
            logs = np.log(np.linalg.det(t) / np.linalg.det(s))
            kl[i, j] = (d @ inverse @ d + np.trace(inverse @ s) + logs) / 2 - 1
            s, t = _covariance(p, 1 / 12), _covariance(q, 1 / 12)
            mean = (s + t) / 2
            distance = d @ np.linalg.inv(mean) @ d / 8
            distance += np.log(np.linalg.det(mean) / np.sqrt(np.linalg.det(s) * np.linalg.det(t))) / 2
            probable[i, j] = 1 - np.sqrt(1 - np.exp(-distance))
    np.testing.assert_allclose(GWD()(a, b), 1 / (1 + np.log1p(wasserstein)), rtol=1e-9)
    np.testing.assert_allclose(GWD(tau=2.0, function="sqrt")(a, b), 1 / (2 + np.sqrt(wasserstein)), rtol=1e-9)
    np.testing.assert_allclose(KLD()(a, b), 1 / (1 + np.log1p(kl)), rtol=1e-9)
    np.testing.assert_allclose(KLD(function="sqrt")(a, b), 1 / (1 + np.sqrt(kl)), rtol=1e-9)
    np.testing.assert_allclose(ProbIoU()(a, b), probable, atol=1e-5)


def test_the_normalised_wasserstein_distance_is_that_of_upright_gaussians():
    a, b = (xywhr_to_xyxy(_some(6, seed)) for seed in (0, 1))
    upright = [xyxy_to_xywhr(x) for x in (a, b)]
    distance = 1 / GWD(function="sqrt")(*upright) - 1
    np.testing.assert_allclose(NWD(constant=9.0)(a, b), np.exp(-distance / 9), rtol=1e-7)


def test_receptive_fields_diverge_as_upright_gaussians_do():
    gts, fields = (xywhr_to_xyxy(_some(6, seed)) for seed in (0, 1))
    smaller = xyxy_to_xywhr(fields) * np.array([1, 1, 0.5, 0.5, 1])
    divergence = np.expm1(1 / KLD()(smaller, xyxy_to_xywhr(gts)) - 1)
    np.testing.assert_allclose(RFD(decay=0.5)(gts, fields), 1 / (1 + divergence.T), rtol=1e-6)
    assert RFD()(gts[:, [0, 1, 0, 1]], fields).max() < 1e-6
    for wrong in (0, -1.0):
        with pytest.raises(ValueError, match="decay: expected a positive number"):
            RFD(decay=wrong)


@pytest.mark.parametrize("calculator", [*ORIENTED, NWD(), RFD()], ids=repr)
def test_broken_boxes_overlap_nothing(calculator):
    a, b = _some(4, 0), _some(3, 1)
    a, b = a[:, : calculator.columns], b[:, : calculator.columns]
    a[1, 0], a[2, 2], b[1, -1] = np.nan, np.inf, -np.inf
    overlaps = calculator(a, b)
    assert np.isfinite(overlaps).all()
    assert not overlaps[1:3].any()
    assert not overlaps[:, 1].any()
    assert overlaps[0, 0] == calculator(a[:1], b[:1])[0, 0]


def test_a_box_without_area_overlaps_nothing_exactly():
    flat = np.array([[5.0, 5.0, 0.0, 4.0, 0.3], [5.0, 5.0, 4.0, -2.0, 0.3], [5.0, 5.0, 0.0, 0.0, 0.0]])
    whole = np.array([[5.0, 5.0, 4.0, 4.0, 0.1]])
    for mode in ("iou", "iof"):
        assert not RotatedIoU()(flat, whole, mode=mode).any()
        assert not RotatedIoU()(whole, flat, mode=mode).any()
        assert not RotatedIoU()(flat, flat, mode=mode).any()
    assert RotatedIoU(min_side=1.0)(flat, flat).diagonal() == pytest.approx(1)


@pytest.mark.parametrize("calculator", [*ORIENTED, RotatedIoU(min_side=4.0)], ids=repr)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (4, 3)])
def test_rows_are_those_of_pairs_and_modes_have_names(calculator, shape):
    a, b = _some(shape[0], 0), _some(shape[1], 1)
    overlaps = calculator(a, b)
    assert overlaps.shape == shape
    rows = min(shape)
    np.testing.assert_array_equal(calculator(a[:rows], b[:rows], is_aligned=True), overlaps.diagonal())
    with pytest.raises(ValueError, match="mode"):
        calculator(a, b, mode="giou")
    with pytest.raises(ValueError, match=r"b1: expected shape \(..., N, 5\)"):
        calculator(a[:, :4], b)


@each_calculator
def test_pairs_are_computed_in_parts_within_the_budget(calculator):
    a, b = _some(40, 0), _some(300, 1)
    with without_kernels():
        whole = calculator(a, b)
        with memory_budget(100_000):
            np.testing.assert_array_equal(calculator(a, b), whole)
            np.testing.assert_array_equal(calculator(b, a), calculator(b, a))


@each_calculator
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("backend", ["torch", "array_api_strict"])
def test_libraries_give_the_same_bits(calculator, dtype, backend):
    target = get_target(backend)
    a, b = _some(20, 0, dtype), _some(30, 1, dtype)
    found = target.to_numpy(calculator(target.from_numpy(a), target.from_numpy(b)))
    assert found.dtype == dtype
    if dtype == np.float32:
        np.testing.assert_array_equal(found, calculator(a, b))
    else:
        np.testing.assert_allclose(found, calculator(a, b), rtol=1e-12, atol=1e-15)


@settings(max_examples=60, deadline=None)
@given(boxes)
def test_corners_and_back_are_the_same_box(box):
    corners = xywhr_to_corners(box)
    np.testing.assert_allclose(corners, np.array(_exact_corners(box), dtype=float), atol=1e-9)
    for order in ([0, 1, 2, 3], [2, 3, 0, 1], [3, 2, 1, 0], [0, 2, 1, 3]):
        back = corners_to_xywhr(corners[order])
        assert RotatedIoU()(back[None], box[None])[0, 0] == pytest.approx(1, abs=1e-9)


def test_a_quadrilateral_gets_the_smallest_box_around_it():
    corners = np.array([[0.0, 0.0], [10.0, 1.0], [9.0, 4.0], [0.0, 3.0]])
    box = corners_to_xywhr(corners)
    inside = points_in_boxes(corners, (box + np.array([0, 0, 1e-9, 1e-9, 0]))[None])
    assert inside.all()
    turns = np.linspace(0, np.pi, 3001)
    u = corners @ np.stack([np.cos(turns), np.sin(turns)])
    v = corners @ np.stack([-np.sin(turns), np.cos(turns)])
    assert box[2] * box[3] <= (np.ptp(u, axis=0) * np.ptp(v, axis=0)).min() + 1e-9
    point = corners_to_xywhr(np.full((4, 2), 3.0))
    np.testing.assert_array_equal(point, [3, 3, 0, 0, 0])


@settings(max_examples=60, deadline=None)
@given(box=boxes)
@pytest.mark.parametrize(
    ("convention", "start", "period"),
    [("le90", -np.pi / 2, np.pi), ("le135", -np.pi / 4, np.pi), ("oc", -np.pi / 2, np.pi / 2)],
)
def test_conventions_describe_the_same_box_in_one_way(box, convention, start, period):
    found = normalize_angles(box, convention)
    assert start <= found[4] < start + period
    assert convention == "oc" or found[2] >= found[3]
    assert RotatedIoU()(found[None], box[None])[0, 0] == pytest.approx(1, abs=1e-9)
    for quarters in (-2, 1, 4) if box[2] != box[3] else ():
        other = normalize_angles(_turned(box, quarters), convention)
        apart = abs(other[4] - found[4]) % period
        assert min(apart, period - apart) < 1e-9
        np.testing.assert_allclose(RotatedIoU()(other[None], found[None]), 1, atol=1e-9)
    with pytest.raises(ValueError, match="convention: expected"):
        normalize_angles(box, "le45")


def test_points_are_inside_by_the_axes_of_the_box():
    box = np.array([[10.0, 10.0, 8.0, 2.0, np.pi / 6]])
    along, across = np.array([np.cos(np.pi / 6), 0.5]), np.array([-0.5, np.cos(np.pi / 6)])
    points = 10 + np.array([along * 3.9, along * 4.1, across * 0.9, across * 1.1, along * 3.9 + across * 0.9])
    assert points_in_boxes(points, box).tolist() == [[True, False, True, False, True]]
    assert points_in_boxes(points, box, margin=0.2).tolist() == [[False, False, False, False, False]]
    with pytest.raises(ValueError, match=r"boxes: expected shape \(..., G, 4\) or \(..., G, 5\)"):
        points_in_boxes(points, box[:, :3])

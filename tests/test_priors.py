"""Anchor and point grids: values, order, every library alike, compiled too."""

import math

import numpy as np
import pytest

from assigncore.backend import load_backend
from assigncore.priors import (
    AnchorGenerator,
    PointGenerator,
    SSDAnchorGenerator,
    atss_anchors,
    fcos_points,
    inside_image,
    level_index,
    retinanet_anchors,
    rfla_fields,
    rpn_anchors,
    yolo_points,
)

RETINANET = AnchorGenerator(
    strides=(8, 16, 32, 64, 128), ratios=(0.5, 1.0, 2.0), octave_base_scale=4.0, scales_per_octave=3
)
RPN = AnchorGenerator(strides=(4, 8, 16, 32, 64), ratios=(0.5, 1.0, 2.0), scales=(8.0,))
UNEVEN = AnchorGenerator(
    strides=(8, (16, 32)), ratios=(0.3, 1.7), scales=(1.5, 4.0, 7.0), base_sizes=(9, 21), center_offset=0.5
)
POINTS = PointGenerator(strides=(8, 16, 32))
POINTS_XY = PointGenerator(strides=((8, 4), 16), offset=0.0, stride_xy=True)
SSD = SSDAnchorGenerator(
    strides=(8, (16, 32)), min_sizes=(21, 45.5), max_sizes=(45.5, 99), ratios=((2,), (2, 3.5))
)
GENERATORS = {
    "retinanet": RETINANET,
    "rpn": RPN,
    "uneven": UNEVEN,
    "points": POINTS,
    "points_xy": POINTS_XY,
    "ssd": SSD,
}


def plain_anchors(generator, sizes):
    """Write the rule down once more, one anchor at a time."""
    rows = []
    for level, (height, width) in enumerate(sizes):
        stride_x, stride_y = generator.stride_pairs[level]
        base = generator.base_sizes[level] if generator.base_sizes else min(stride_x, stride_y)
        for y in range(height):
            for x in range(width):
                for ratio in generator.ratios:
                    for scale in generator.all_scales:
                        w, h = base * scale / math.sqrt(ratio), base * scale * math.sqrt(ratio)
                        cx = (x + generator.center_offset) * stride_x
                        cy = (y + generator.center_offset) * stride_y
                        rows.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
    return np.asarray(rows, dtype=np.float64).reshape(-1, 4)


@pytest.mark.parametrize("generator", [RETINANET, RPN, UNEVEN], ids=["retinanet", "rpn", "uneven"])
def test_anchors_are_those_of_the_plain_rule(generator):
    sizes = generator.featmap_sizes((70, 90))
    grid = generator.grid(sizes, dtype=np.float64)
    np.testing.assert_allclose(grid.priors, plain_anchors(generator, sizes), rtol=1e-14, atol=1e-12)


def test_anchors_have_the_scale_and_ratio_they_are_called_by():
    anchors = UNEVEN.grid([(1, 1), (0, 0)], dtype=np.float64).priors
    w, h = anchors[:, 2] - anchors[:, 0], anchors[:, 3] - anchors[:, 1]
    np.testing.assert_allclose(h / w, [0.3] * 3 + [1.7] * 3)
    np.testing.assert_allclose(np.sqrt(w * h), [9 * s for s in (1.5, 4.0, 7.0)] * 2)


def test_the_published_example_of_an_explicit_base_size():
    grid = AnchorGenerator(strides=(16,), ratios=(1.0,), scales=(1.0,), base_sizes=(9,)).grid([(2, 2)])
    expected = [
        [-4.5, -4.5, 4.5, 4.5],
        [11.5, -4.5, 20.5, 4.5],
        [-4.5, 11.5, 4.5, 20.5],
        [11.5, 11.5, 20.5, 20.5],
    ]
    assert grid.priors.tolist() == expected


def test_default_boxes_have_the_sizes_and_ratios_of_their_level():
    assert SSD.num_base_priors == (4, 6)
    anchors = SSD.grid([(1, 1), (1, 1)], dtype=np.float64).priors
    w, h = anchors[:, 2] - anchors[:, 0], anchors[:, 3] - anchors[:, 1]
    np.testing.assert_allclose(w / h, [1, 1, 2, 1 / 2, 1, 1, 2, 1 / 2, 3.5, 1 / 3.5])
    between = [math.sqrt(21 * 45.5), math.sqrt(45.5 * 99)]
    sizes = [21, between[0], 21, 21, 45.5, between[1], 45.5, 45.5, 45.5, 45.5]
    np.testing.assert_allclose(np.sqrt(w * h), sizes)
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2
    np.testing.assert_allclose(centers, [[4, 4]] * 4 + [[8, 16]] * 6)


def test_octaves_are_powers_of_two():
    np.testing.assert_allclose(RETINANET.all_scales, [4.0, 4 * 2 ** (1 / 3), 4 * 2 ** (2 / 3)], rtol=1e-15)


@pytest.mark.parametrize(
    ("generator", "levels"),
    [(RETINANET, (151200, 37800, 9450, 2457, 693)), (RPN, (201600, 50400, 12600, 3150, 819))],
    ids=["retinanet", "rpn"],
)
def test_the_number_of_priors_at_the_usual_training_size(generator, levels):
    sizes = generator.featmap_sizes((800, 1344))
    assert generator.num_level_priors(sizes) == levels
    assert generator.grid(sizes).priors.shape == (sum(levels), 4)


def test_points_are_the_centres_of_their_cells():
    assert POINTS.grid([(1, 2), (1, 1), (0, 3)]).priors.tolist() == [[4, 4, 8], [12, 4, 8], [8, 8, 16]]


def test_points_with_two_strides():
    assert POINTS_XY.grid([(2, 1), (1, 1)]).priors.tolist() == [[0, 0, 8, 4], [0, 4, 8, 4], [0, 0, 16, 16]]


def test_the_feature_map_covers_the_image():
    assert UNEVEN.featmap_sizes((33, 17)) == ((5, 3), (2, 2))
    assert UNEVEN.featmap_sizes((0, 16)) == ((0, 2), (0, 1))


@pytest.mark.parametrize("name", GENERATORS)
def test_an_empty_feature_map_has_no_priors(name):
    generator = GENERATORS[name]
    grid = generator.grid([(0, 4)] * len(generator.strides))
    assert grid.priors.shape == (0, 3 if name == "points" else 4)
    assert grid.num_level_priors == (0,) * len(generator.strides)
    assert grid.level_index().shape == (0,)


@pytest.mark.parametrize("name", GENERATORS)
def test_every_library_has_the_same_bits(name, target):
    generator = GENERATORS[name]
    sizes = generator.featmap_sizes((100, 140))
    expected = generator.grid(sizes)
    device = target.native_device()
    with target.running(x64=False):
        found = generator.grid(sizes, xp=target.backend.xp, device=device)
        flags = generator.valid_flags(sizes, (50, 60), xp=target.backend.xp, device=device)
        level = found.level_index()
    assert found.num_level_priors == expected.num_level_priors
    assert target.to_numpy(found.priors).dtype == np.float32
    np.testing.assert_array_equal(target.to_numpy(found.priors), expected.priors)
    np.testing.assert_array_equal(target.to_numpy(level), expected.level_index())
    np.testing.assert_array_equal(target.to_numpy(flags), generator.valid_flags(sizes, (50, 60)))


@pytest.mark.parametrize("anchors", [UNEVEN.grid([(3, 4), (1, 1)]).priors])
def test_every_library_finds_the_same_anchors_inside(anchors, target):
    shapes = np.asarray([[20, 30], [64, 8]], dtype=np.float32)
    with target.running(x64=False):
        found = inside_image(target.from_numpy(anchors), target.from_numpy(shapes), allowed_border=2)
    np.testing.assert_array_equal(target.to_numpy(found), inside_image(anchors, shapes, allowed_border=2))


@pytest.mark.parametrize("name", GENERATORS)
def test_grids_can_be_laid_inside_jax_jit(name):
    jax = pytest.importorskip("jax")
    generator = GENERATORS[name]
    sizes = generator.featmap_sizes((40, 56))

    @jax.jit
    def lay():
        grid = generator.grid(sizes, xp=jax.numpy)
        return grid.priors, grid.level_index(), generator.valid_flags(sizes, (16, 16), xp=jax.numpy)

    expected = generator.grid(sizes)
    priors, level, flags = lay()
    np.testing.assert_array_equal(np.asarray(priors), expected.priors)
    np.testing.assert_array_equal(np.asarray(level), expected.level_index())
    np.testing.assert_array_equal(np.asarray(flags), generator.valid_flags(sizes, (16, 16)))


def test_grids_can_be_laid_inside_torch_compile():
    torch = pytest.importorskip("torch")
    xp = load_backend("torch").xp
    sizes = UNEVEN.featmap_sizes((40, 56))

    def lay(shift):
        anchors = UNEVEN.grid(sizes, xp=xp).priors + shift
        return anchors, inside_image(anchors, (40, 56), allowed_border=4)

    compiled = torch.compile(lay, fullgraph=True, backend="eager")
    expected = UNEVEN.grid(sizes).priors
    anchors, inside = compiled(torch.zeros(1))
    np.testing.assert_array_equal(anchors.numpy(), expected)
    np.testing.assert_array_equal(inside.numpy(), inside_image(expected, (40, 56), allowed_border=4))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_low_precision_rounds_last(dtype):
    sizes = RPN.featmap_sizes((320, 320))
    found = RPN.grid(sizes, dtype=dtype).priors
    assert found.dtype == dtype
    wide = RPN.grid(sizes, dtype=np.float64 if dtype == np.float64 else np.float32).priors
    np.testing.assert_array_equal(found, wide.astype(dtype))


def test_the_level_of_each_prior():
    sizes = ((2, 2), (1, 1))
    assert POINTS_XY.grid(sizes).level_index().tolist() == [0, 0, 0, 0, 1]
    assert level_index((0, 2, 1)).tolist() == [1, 1, 2]


def test_valid_flags_mark_the_cells_an_image_reaches():
    sizes = UNEVEN.featmap_sizes((64, 64))
    flags = UNEVEN.valid_flags(sizes, (20, 33))
    expected = []
    for (height, width), (stride_x, stride_y) in zip(sizes, UNEVEN.stride_pairs, strict=True):
        for y in range(height):
            for x in range(width):
                expected += [y < math.ceil(20 / stride_y) and x < math.ceil(33 / stride_x)] * 6
    assert flags.tolist() == expected


def test_inside_image_is_strict_on_the_far_sides_only():
    boxes = np.asarray(
        [[0, 0, 9, 7], [0, 0, 10, 7], [0, 0, 9, 8], [-1, 0, 5, 5], [0, -1, 5, 5]], dtype=np.float32
    )
    assert inside_image(boxes, (8, 10)).tolist() == [True, False, False, False, False]
    assert inside_image(boxes, (8, 10), allowed_border=1).tolist() == [True] * 5
    assert inside_image(boxes, (1, 1), allowed_border=-1).tolist() == [True] * 5


def test_inside_image_takes_a_batch_of_shapes():
    boxes = np.asarray([[0, 0, 9, 7], [0, 0, 4, 4]], dtype=np.float32)
    shapes = np.asarray([[8, 10], [8, 5], [2, 2]], dtype=np.float32)
    assert inside_image(boxes, shapes).tolist() == [[True, True], [False, True], [False, False]]


def test_a_broken_anchor_is_not_inside():
    boxes = np.asarray([[np.nan, 0, 4, 4], [0, 0, np.inf, 4]])
    assert inside_image(boxes, (8, 8)).tolist() == [False, False]


@pytest.mark.parametrize(
    ("knobs", "error", "names"),
    [
        ({"strides": ()}, ValueError, "strides"),
        ({"strides": 8}, TypeError, "strides"),
        ({"strides": (0,)}, ValueError, "strides"),
        ({"strides": (8.0,)}, ValueError, "strides"),
        ({"strides": ((8, 8, 8),)}, ValueError, "strides"),
        ({"ratios": ()}, ValueError, "ratios"),
        ({"ratios": (0.0,)}, ValueError, "ratios"),
        ({"ratios": ("1",)}, TypeError, "ratios"),
        ({"ratios": None}, TypeError, "ratios"),
        ({"scales": (math.inf,)}, ValueError, "scales"),
        ({"scales": None}, ValueError, "scales"),
        ({"octave_base_scale": 4.0}, ValueError, "scales"),
        ({"scales": None, "octave_base_scale": 4.0, "scales_per_octave": 0}, ValueError, "scales_per_octave"),
        ({"scales": None, "octave_base_scale": 0.0, "scales_per_octave": 3}, ValueError, "octave_base_scale"),
        ({"base_sizes": (8, 8)}, ValueError, "base_sizes"),
        ({"center_offset": "half"}, TypeError, "center_offset"),
    ],
)
def test_wrong_knobs_are_named(knobs, error, names):
    with pytest.raises(error, match=names):
        AnchorGenerator(**{"strides": (8,), "ratios": (1.0,), "scales": (4.0,), **knobs})


@pytest.mark.parametrize(
    ("knobs", "error", "names"),
    [
        ({"min_sizes": (21, 45)}, ValueError, "min_sizes: expected 1, one for each stride"),
        ({"max_sizes": ()}, ValueError, "max_sizes"),
        ({"min_sizes": 21}, TypeError, "min_sizes"),
        ({"max_sizes": (0,)}, ValueError, "max_sizes"),
        ({"min_sizes": ("21",)}, TypeError, "min_sizes"),
        ({"ratios": (2,)}, TypeError, "ratios: expected a tuple or list for each level"),
        ({"ratios": ((-2,),)}, ValueError, "ratios"),
        ({"strides": (0,)}, ValueError, "strides"),
    ],
)
def test_wrong_knobs_of_default_boxes_are_named(knobs, error, names):
    with pytest.raises(error, match=names):
        SSDAnchorGenerator(
            **{"strides": (8,), "min_sizes": (21,), "max_sizes": (45,), "ratios": ((2,),), **knobs}
        )


def test_uneven_strides_of_points_need_two_columns():
    with pytest.raises(ValueError, match="stride_xy"):
        PointGenerator(strides=((8, 4),))


def test_wrong_calls_are_named():
    with pytest.raises(ValueError, match="featmap_sizes"):
        RPN.grid([(1, 1)])
    with pytest.raises(ValueError, match="featmap_sizes"):
        POINTS_XY.valid_flags([(1, 1), (1, -1)], (4, 4))
    with pytest.raises(TypeError, match="dtype"):
        POINTS_XY.grid([(1, 1), (1, 1)], dtype=np.int32)
    with pytest.raises(ValueError, match="image_shape"):
        RPN.featmap_sizes((-1, 4))
    with pytest.raises(ValueError, match="anchors"):
        inside_image(np.zeros((3, 3)), (4, 4))
    with pytest.raises(ValueError, match="num_level_priors"):
        level_index(())


@pytest.mark.parametrize(
    ("lay", "levels"),
    [
        (rpn_anchors, (201600, 50400, 12600, 3150, 819)),
        (rfla_fields, (201600, 50400, 12600, 3150, 819)),
        (retinanet_anchors, (151200, 37800, 9450, 2457, 693)),
        (atss_anchors, (16800, 4200, 1050, 273, 77)),
        (fcos_points, (16800, 4200, 1050, 273, 77)),
        (yolo_points, (16800, 4200, 1050)),
    ],
)
def test_a_published_detectors_priors_are_a_line(lay, levels, target):
    grid = lay((800, 1333), xp=target.backend.xp)
    assert grid.num_level_priors == levels
    assert grid.priors.shape[0] == sum(levels)
    each = [n // (h * w) for n, (h, w) in zip(levels, grid.featmap_sizes, strict=True)]
    assert len(set(each)) == 1
    assert lay((800, 1344), size_divisor=1).num_level_priors == levels


def test_an_image_is_padded_before_its_priors_are_laid():
    assert POINTS.for_image((1, 1)).num_level_priors == POINTS.num_level_priors(POINTS.featmap_sizes((1, 1)))
    padded = POINTS.for_image((1, 1), size_divisor=32)
    assert padded.featmap_sizes == POINTS.featmap_sizes((32, 32))
    with pytest.raises(ValueError, match="size_divisor: expected at least 1, got 0"):
        POINTS.for_image((1, 1), size_divisor=0)


def test_a_grid_says_how_many_priors_each_level_has():
    assert (
        repr(POINTS_XY.grid([(2, 1), (1, 1)])) == "PriorGrid((3, 4) float32: 2 at stride 8x4, 1 at stride 16)"
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda big: AnchorGenerator((big,), (1.0,), scales=(1.0,)),
        lambda big: AnchorGenerator((8,), (big,), scales=(1.0,)),
        lambda big: AnchorGenerator((8,), (1.0,), scales=(big,)),
        lambda big: AnchorGenerator((8,), (1.0,), octave_base_scale=big, scales_per_octave=1),
        lambda big: AnchorGenerator((8,), (1.0,), scales=(1.0,), center_offset=-big),
        lambda big: SSDAnchorGenerator((8,), (21,), (big,), ((2,),)),
        lambda big: PointGenerator((8,), big),
        lambda big: PointGenerator(((8, big),)),
    ],
)
def test_a_number_beyond_floats_is_refused_at_construction(make):
    with pytest.raises(ValueError, match="expected"):
        make(10**400)


@pytest.mark.parametrize("border", [10**400, float("nan"), float("inf")])
def test_a_border_that_is_not_finite_is_refused(border):
    with pytest.raises(ValueError, match="allowed_border: expected a finite number"):
        inside_image(np.zeros((1, 4), dtype=np.float32), (4, 4), allowed_border=border)


def test_grids_are_compared_as_objects():
    """The comparison of their arrays raised an error of NumPy's."""
    grid, other = (PointGenerator(strides=(8,)).grid([(1, 2)]) for _ in range(2))
    assert grid == grid
    assert grid != other
    assert grid in {grid}

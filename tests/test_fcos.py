"""FCOSAssigner, held against the rule read one point and one ground truth at a time."""

import numpy as np
import pytest

from assigncore import FCOSAssigner, memory_budget
from assigncore.conformance import Mode, get_target
from assigncore.priors import PointGenerator

NUMPY = get_target("numpy")
RANGES = ((-1, 16), (16, 32), (32, float("inf")))
STRIDES = (8, 16, 32)
IMAGE = (96, 128)


def _read(scene, counts, ranges=RANGES, center_sampling=False, center_sample_radius=1.5):
    points, gts = scene["priors"], scene["gt_bboxes"]
    dtype = points.dtype.type
    valid = scene.get("gt_valid", np.ones(len(gts), dtype=bool))
    part = scene.get("prior_valid", np.ones(len(points), dtype=bool))
    level_of = np.repeat(np.arange(len(counts)), counts)
    gt_inds = []
    for n, (x, y, stride) in enumerate(points):
        least, greatest = ranges[level_of[n]]
        best, code = None, 0
        for g, (x1, y1, x2, y2) in enumerate(gts):
            sides = (x - x1, y - y1, x2 - x, y2 - y)
            takes = valid[g] and min(sides) > 0 and dtype(least) <= max(sides) <= dtype(greatest)
            if takes and center_sampling:
                cx, cy, reach = (x1 + x2) / 2, (y1 + y2) / 2, stride * dtype(center_sample_radius)
                low = max(cx - reach, x1), max(cy - reach, y1)
                high = min(cx + reach, x2), min(cy + reach, y2)
                takes = low[0] < x < high[0] and low[1] < y < high[1]
            area = (x2 - x1) * (y2 - y1)
            if takes and (best is None or area < best):
                best, code = area, g + 1
        gt_inds.append(code if part[n] else -1)
    return gt_inds


def _grid():
    generator = PointGenerator(strides=STRIDES)
    sizes = generator.featmap_sizes(IMAGE)
    return generator.grid(sizes).priors, generator.num_level_priors(sizes)


COUNTS = _grid()[1]


def _draw(seed, gts=8, dtype=np.float32):
    """Draw boxes whose sides fall on points and whose areas tie, some inverted, some not of integers."""
    rng = np.random.default_rng(seed)
    points = _grid()[0]
    corner = rng.integers(-4, 24, (gts, 2)) * 4
    side = rng.choice([0, 4, 16, 32, 32, 64, 128, -16], (gts, 2))
    boxes = np.concatenate([corner, corner + side], axis=-1) + rng.choice([0, 0, 0.7], (gts, 1))
    return {
        "priors": points.astype(dtype),
        "prior_valid": rng.random(len(points)) < 0.9,
        "gt_bboxes": boxes.astype(dtype),
        "gt_labels": rng.integers(0, 80, gts),
        "gt_valid": rng.random(gts) < 0.9,
    }


def _run(target, arrays, knobs=None, mode=Mode.EAGER, counts=COUNTS):
    assigner = FCOSAssigner(**{"regress_ranges": RANGES, **(knobs or {})})

    def assign(**arrays):
        result = assigner.assign(**arrays, num_level_priors=counts)
        assert result.max_overlaps is None
        return result.gt_inds, result.labels

    with target.running(x64=any(x.dtype == np.float64 for x in arrays.values())):
        function = target.compile(assign) if mode is Mode.JIT else assign
        outputs = function(**{name: target.from_numpy(x) for name, x in arrays.items()})
        return [target.to_numpy(x) for x in outputs]


def _check(scene, outputs, knobs=None):
    expected = _read(scene, COUNTS, **(knobs or {}))
    assert outputs[0].tolist() == expected
    assert outputs[1].tolist() == [scene["gt_labels"][code - 1] if code > 0 else -1 for code in expected]


KNOBS = [{}, {"center_sampling": True}, {"center_sampling": True, "center_sample_radius": 0.3}]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("knobs", KNOBS)
def test_random_scenes_are_as_the_rule_reads(knobs, dtype):
    levels = set()
    for seed in range(20):
        scene = _draw(seed, dtype=dtype)
        outputs = _run(NUMPY, scene, knobs)
        _check(scene, outputs, knobs)
        levels |= set(np.repeat(np.arange(3), COUNTS)[outputs[0] > 0].tolist())
    assert levels == {0, 1, 2}


@pytest.mark.parametrize("knobs", KNOBS[:2])
def test_every_library_agrees(target, knobs):
    for seed in range(2):
        scene = _draw(seed)
        _check(scene, _run(target, scene, knobs), knobs)


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_compiled_functions_agree(name):
    target = get_target(name)
    for seed in range(3 if name == "jax" else 1):
        scene = _draw(seed)
        _check(scene, _run(target, scene, KNOBS[1], Mode.JIT), KNOBS[1])


def test_a_padded_batch_gives_what_its_images_give(target):
    images = [_draw(seed, gts=gts) for seed, gts in enumerate((5, 0, 8))]
    batch = {
        "priors": images[0]["priors"],
        "prior_valid": np.stack([image["prior_valid"] for image in images]),
    }
    batch["gt_bboxes"] = np.full((3, 8, 4), np.nan, dtype=np.float32)
    batch["gt_labels"], batch["gt_valid"] = np.full((3, 8), 99), np.zeros((3, 8), dtype=bool)
    for row, image in enumerate(images):
        for name in ("gt_bboxes", "gt_labels", "gt_valid"):
            batch[name][row, : len(image[name])] = image[name]
    outputs = _run(target, batch)
    for row, image in enumerate(images):
        _check(image, [x[row] for x in outputs])


def test_padding_may_hold_any_box():
    scene = _draw(3)
    alone = _run(NUMPY, scene)
    padded = {**scene, "gt_bboxes": np.concatenate([scene["gt_bboxes"], [[0, 0, 90, 90]]]).astype(np.float32)}
    padded["gt_labels"], padded["gt_valid"] = (
        np.append(scene[name], 0) for name in ("gt_labels", "gt_valid")
    )
    padded["gt_valid"] = padded["gt_valid"].astype(bool)
    for got, expected in zip(_run(NUMPY, padded), alone, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", ["numpy", "torch"])
@pytest.mark.parametrize("knobs", KNOBS[:2])
def test_results_do_not_depend_on_the_memory_budget(name, knobs):
    target, images = get_target(name), [_draw(seed, gts=30) for seed in range(2)]
    batch = {key: np.stack([image[key] for image in images]) for key in images[0]}
    whole = _run(target, batch, knobs)
    for row, image in enumerate(images):
        _check(image, [x[row] for x in whole], knobs)
    for n_bytes in (1, 4000, 100_000):
        with memory_budget(n_bytes):
            for got, expected in zip(_run(target, batch, knobs), whole, strict=True):
                np.testing.assert_array_equal(got, expected)


def _assign(points, gts, ranges=((-1, 1000),), counts=None, **knobs):
    points = np.asarray([[*point, 8] for point in points], dtype=np.float32).reshape(-1, 3)
    gts = np.asarray(gts, dtype=np.float32).reshape(-1, 4)
    assigner = FCOSAssigner(regress_ranges=ranges, **knobs)
    return assigner.assign(points, gts, num_level_priors=counts or (len(points),)).gt_inds.tolist()


def test_the_smallest_box_takes_the_point_and_of_equals_the_first():
    large, small, equal = [0, 0, 16, 16], [0, 0, 8, 8], [2, 0, 6, 16]
    assert _assign([(4, 4)], [large, small, equal]) == [2]
    assert _assign([(4, 4)], [large, equal, small]) == [2]
    assert _assign([(12, 12)], [large, small, equal]) == [1]


def test_a_point_on_a_side_is_outside():
    assert _assign([(0, 4), (1, 4), (8, 4), (4, 8)], [[0, 0, 8, 8]]) == [0, 1, 0, 0]


def test_both_limits_of_a_range_are_in_it():
    gt = [[0, 0, 100, 8]]
    for farthest, code in ((79.5, 0), (80, 1), (90, 1), (90.5, 0)):
        assert _assign([(farthest, 4)], gt, ranges=((80, 90),)) == [code]


def test_a_box_belongs_to_two_levels_at_their_common_limit():
    points = [(64, 4), (64, 4)]
    assert _assign(points, [[0, 0, 100, 8]], ranges=((-1, 64), (64, 128)), counts=(1, 1)) == [1, 1]


def test_sampling_about_the_centre_stays_in_the_box():
    gt = [[0, 0, 64, 4]]
    points = [(20, 2), (20.5, 2), (32, 2), (43.5, 2), (44, 2), (32, 5)]
    assert _assign(points, gt, center_sampling=True) == [0, 1, 1, 1, 0, 0]
    assert _assign(points, gt) == [1, 1, 1, 1, 1, 0]


def test_broken_points_and_boxes_match_nothing():
    points = [(np.nan, 4), (4, 4)]
    gts = [[-8, -8, np.inf, 8], [-8, -8, 8, 8]]
    assert _assign(points, gts) == [0, 2]


@pytest.mark.parametrize(("points", "gts"), [(0, 2), (3, 0), (0, 0)])
def test_empty_inputs(target, points, gts):
    arrays = {
        "priors": np.zeros((points, 3), dtype=np.float32),
        "gt_bboxes": np.zeros((gts, 4), dtype=np.float32),
        "gt_labels": np.zeros(gts, dtype=np.int64),
    }
    gt_inds, labels = _run(target, arrays, counts=(points, 0, 0))
    assert (gt_inds.tolist(), labels.tolist()) == ([0] * points, [-1] * points)


def test_the_published_ranges_are_the_default():
    assert FCOSAssigner().regress_ranges == (
        (-1, 64),
        (64, 128),
        (128, 256),
        (256, 512),
        (512, float("inf")),
    )


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"num_level_priors": (2,)}, ValueError),
        ({"num_level_priors": (1, 1, 1)}, ValueError),
        ({"priors": np.zeros((2, 4))}, ValueError),
    ],
)
def test_wrong_calls_are_refused_by_name(wrong, error):
    call = {"priors": np.zeros((2, 3)), "gt_bboxes": np.zeros((1, 4)), "num_level_priors": (1, 1, 0)}
    with pytest.raises(error, match=next(iter(wrong))):
        FCOSAssigner(regress_ranges=RANGES).assign(**{**call, **wrong})


@pytest.mark.parametrize(
    ("knobs", "error"),
    [
        ({"regress_ranges": 64}, TypeError),
        ({"regress_ranges": (64, 128)}, ValueError),
        ({"regress_ranges": ((64, 32),)}, ValueError),
        ({"regress_ranges": (("none", 32),)}, TypeError),
        ({"center_sample_radius": -1}, ValueError),
    ],
)
def test_knobs_out_of_range_are_refused(knobs, error):
    with pytest.raises(error, match=next(iter(knobs))):
        FCOSAssigner(**knobs)

"""RegionAssigner, held against the rule read one ground truth at a time."""

import numpy as np
import pytest

from assigncore import RegionAssigner, memory_budget
from assigncore.conformance import Mode, get_target, load_packed
from assigncore.conformance.reference.regions import guided_anchoring as read_rule
from assigncore.priors import AnchorGenerator

STRIDES = (8, 16, 32, 64)
SCALE = 4
IMAGE = (120, 152)


def _levels(strides=STRIDES):
    generator = AnchorGenerator(strides=strides, ratios=(1.0,), scales=(float(SCALE),))
    sizes = generator.featmap_sizes(IMAGE)
    return {
        "num_level_priors": generator.num_level_priors(sizes),
        "featmap_sizes": tuple(map(tuple, sizes)),
        "anchor_scale": SCALE,
        "anchor_strides": strides,
    }, generator.grid(sizes).priors


def _draw(seed, gts=8, dtype=np.float32, strides=STRIDES):
    """Draw a scene: integer boxes with many ties, and some that are degenerate, inverted or off the image."""
    rng = np.random.default_rng(seed)
    _, priors = _levels(strides)
    corner = rng.integers(-16, 140, (gts, 2))
    sides = 2 ** rng.integers(3, 9, (gts, 2)), rng.integers(-4, 200, (gts, 2))
    far = corner + np.where(rng.random((gts, 1)) < 0.6, *sides)
    off_grid = np.where(rng.random((gts, 1)) < 0.3, rng.random((gts, 4)), 0)
    boxes = np.concatenate([corner, far], axis=-1) + off_grid
    return {
        "priors": priors.astype(dtype),
        "gt_bboxes": boxes.astype(dtype),
        "gt_labels": rng.integers(1, 80, gts),
        "prior_valid": rng.random(len(priors)) < 0.95,
    }


def _read(scene, knobs, border, strides=STRIDES, image=IMAGE):
    static, _ = _levels(strides)
    call = {
        "anchor_scale": SCALE,
        "anchor_strides": strides,
        "featmap_sizes": static["featmap_sizes"],
        "num_level_anchors": static["num_level_priors"],
        "img_shape": image,
        "allowed_border": border,
    }
    inputs = {**scene, "valid_flags": scene["prior_valid"]}
    return read_rule(inputs, knobs, call)


def _run(target, arrays, border, knobs=None, *, strides=STRIDES, image=IMAGE, mode=Mode.EAGER):
    static, _ = _levels(strides)
    assigner = RegionAssigner(**(knobs or {}))

    def assign(**arrays):
        size = {} if "image_shape" in arrays else {"image_shape": image}
        result = assigner.assign(**arrays, **static, **size, allowed_border=border)
        return result.gt_inds, result.labels

    with target.running(x64=any(x.dtype == np.float64 for x in arrays.values())):
        function = target.compile(assign) if mode is Mode.JIT else assign
        outputs = function(**{name: target.from_numpy(x) for name, x in arrays.items()})
        return [target.to_numpy(x) for x in outputs]


NUMPY = get_target("numpy")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("border", [-1, 0, 16])
@pytest.mark.parametrize("ratios", [(0.2, 0.5), (0.5, 0.5), (0.8, 0.4), (0.0, 1.0)])
def test_random_scenes_are_as_the_rule_reads(ratios, border, dtype):
    knobs = dict(zip(("center_ratio", "ignore_ratio"), ratios, strict=True))
    positives = ignored = 0
    for seed in range(25):
        scene = _draw(seed, dtype=dtype)
        gt_inds, labels = _run(NUMPY, scene, border, knobs)
        expected = _read(scene, knobs, border)
        np.testing.assert_array_equal(gt_inds, expected[0], err_msg=f"seed {seed}")
        np.testing.assert_array_equal(labels, expected[1], err_msg=f"seed {seed}")
        positives += (gt_inds > 0).sum()
        ignored += (gt_inds[scene["prior_valid"]] < 0).sum()
    assert positives > 5
    assert ignored > 20


@pytest.mark.parametrize("seed", range(3))
def test_every_library_agrees_on_strides_that_round(target, seed):
    strides = (7, 14, 28)
    scene = _draw(seed, strides=strides)
    expected = _read(scene, {}, 0, strides)
    # PyTorch compiles this for many seconds: once is enough.
    modes = target.modes if seed == 0 or target.library != "torch" else (Mode.EAGER,)
    for mode in modes:
        got = _run(target, scene, 0, strides=strides, mode=mode)
        for array, wanted in zip(got, expected, strict=True):
            np.testing.assert_array_equal(array, wanted, err_msg=str(mode))


def test_a_padded_batch_gives_what_its_images_give(target):
    images = [_draw(seed, gts=gts) for seed, gts in enumerate((5, 0, 8))]
    shapes = np.array([[120, 152], [64, 64], [100, 130]], dtype=np.float32)
    batch = {name: np.stack([image[name] for image in images]) for name in ("priors", "prior_valid")}
    batch["gt_bboxes"] = np.full((3, 8, 4), np.nan, dtype=np.float32)
    batch["gt_labels"] = np.full((3, 8), 99)
    batch["gt_valid"] = np.zeros((3, 8), dtype=bool)
    for row, image in enumerate(images):
        count = len(image["gt_bboxes"])
        batch["gt_bboxes"][row, :count] = image["gt_bboxes"]
        batch["gt_labels"][row, :count] = image["gt_labels"]
        batch["gt_valid"][row, :count] = True
    batch["image_shape"] = shapes
    gt_inds, labels = _run(target, batch, 8)
    for row, image in enumerate(images):
        alone = _run(NUMPY, image, 8, image=tuple(shapes[row].tolist()))
        np.testing.assert_array_equal(gt_inds[row], alone[0])
        np.testing.assert_array_equal(labels[row], alone[1])


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_results_do_not_depend_on_the_memory_budget(name):
    target = get_target(name)
    scene = {**_draw(1, gts=30), "gt_valid": np.arange(30) % 5 > 0}
    batch = {key: np.stack([x, x[::-1]]) if key.startswith("gt") else x for key, x in scene.items()}
    whole = _run(target, batch, 0)
    for n_bytes in (1, 4000, 100_000):
        with memory_budget(n_bytes):
            for got, expected in zip(_run(target, batch, 0), whole, strict=True):
                np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("priors", "gts"), [(0, 2), (3, 0), (0, 0)])
def test_empty_inputs(target, priors, gts):
    with target.running(x64=False):
        zeros = [target.from_numpy(np.zeros((n, 4), dtype=np.float32)) for n in (priors, gts)]
        labels = target.from_numpy(np.zeros(gts, dtype=np.int64))
        result = RegionAssigner().assign(
            *zeros,
            gt_labels=labels,
            num_level_priors=(priors, 0),
            featmap_sizes=((2, 2), (1, 1)),
            anchor_scale=4,
            anchor_strides=(8, 16),
            image_shape=(16, 16),
        )
        assert target.to_numpy(result.gt_inds).tolist() == [0] * priors
        assert target.to_numpy(result.labels).tolist() == [-1] * priors
        assert target.to_numpy(result.max_overlaps).tolist() == [0.0] * priors


def test_the_reading_is_what_the_packages_answer():
    """Hold the reading against every answer of mmdet 3.3.0, and 2.28.2's but for what its fault touches."""
    compared = 0
    for case in load_packed("RegionAssigner"):
        if case.raises is None and 0 not in (len(case.inputs["priors"]), len(case.inputs["gt_bboxes"])):
            gt_inds, labels = read_rule(case.inputs, case.init, case.call)
            np.testing.assert_array_equal(labels, case.expected["labels"], err_msg=case.name)
            np.testing.assert_array_equal(gt_inds, case.expected["gt_inds"], err_msg=case.name)
            compared += 1
    for case in load_packed("RegionAssigner2x"):
        if case.raises is None and len(case.inputs["gt_bboxes"]):
            gt_inds, _ = read_rule(case.inputs, case.init, case.call)
            starts = np.cumsum([0, *case.call["num_level_anchors"]])[:-1]
            untouched = gt_inds != -1
            untouched[np.concatenate([starts, starts + 1])] = False
            np.testing.assert_array_equal(gt_inds[untouched], case.expected["gt_inds"][untouched])
            compared += 1
    assert compared >= 20

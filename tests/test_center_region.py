"""CenterRegionAssigner, held against the rule read one prior and one ground truth at a time."""

from dataclasses import replace

import numpy as np
import pytest

from assigncore import CenterRegionAssigner, memory_budget, shadowed_labels
from assigncore.conformance import Mode, get_target, load_packed

NUMPY = get_target("numpy")
FSAF = {"pos_scale": 0.2, "neg_scale": 0.2}
SHADOWS = {"pos_scale": 0.5, "neg_scale": 1.0, "min_pos_iof": 0.25}


def _scaled(box, scale):
    half, one = box[0].dtype.type(0.5), box[0].dtype.type(scale)
    cx, cy = (box[0] + box[2]) * half, (box[1] + box[3]) * half
    dx, dy = (box[2] - box[0]) * half * one, (box[3] - box[1]) * half * one
    return cx - dx, cy - dy, cx + dx, cy + dy


def _holds(box, point):
    return box[0] < point[0] < box[2] and box[1] < point[1] < box[3]


def _fraction(prior, box):
    zero = prior[0].dtype.type(0)
    width = max(min(prior[2], box[2]) - max(prior[0], box[0]), zero)
    height = max(min(prior[3], box[3]) - max(prior[1], box[1]), zero)
    area = (prior[2] - prior[0]) * (prior[3] - prior[1])
    return width * height / max(area, prior[0].dtype.type(1e-6))


def _read(scene, pos_scale, neg_scale, min_pos_iof=0.01, ignore_gt_scale=0.5, foreground_dominate=False):
    """Give gt_inds, labels, and the list of (prior, class) in shadow, in order."""
    priors, gts, labels = scene["priors"], scene["gt_bboxes"], scene["gt_labels"]
    dtype = priors.dtype.type
    valid = scene.get("gt_valid", np.ones(len(gts), dtype=bool))
    part = scene.get("prior_valid", np.ones(len(priors), dtype=bool))
    gt_inds, outside, beaten = [0] * len(priors), [], []
    for n, prior in enumerate(priors):
        center = ((prior[0] + prior[2]) * dtype(0.5), (prior[1] + prior[3]) * dtype(0.5))
        best, cores = None, []
        for g, gt in enumerate(gts):
            if not (valid[g] and part[n]):
                continue
            core = _fraction(prior, _scaled(gt, pos_scale)) > dtype(min_pos_iof)
            if core and _holds(gt, center):
                cores.append(g)
                area = (gt[2] - gt[0]) * (gt[3] - gt[1])
                if best is None or area <= best:
                    best, gt_inds[n] = area, g + 1
            elif _fraction(prior, _scaled(gt, neg_scale)) > dtype(min_pos_iof):
                outside.append((n, g))
        beaten += [(n, g) for g in cores if g != gt_inds[n] - 1]
        regions = [_scaled(region, ignore_gt_scale) for region in scene.get("ignore_bboxes", ())]
        if not part[n] or any(_holds(region, center) for region in regions):
            gt_inds[n] = -1
    learnt = [labels[code - 1] if code > 0 else -1 for code in gt_inds]
    pairs = outside + beaten
    clashes = [(n, g) for n, g in pairs if gt_inds[n] > 0 and learnt[n] == labels[g]]
    if foreground_dominate:
        pairs = [pair for pair in pairs if pair not in clashes]
    else:
        for n, _ in clashes:
            gt_inds[n], learnt[n] = 0, -1
    return gt_inds, learnt, [(n, labels[g]) for n, g in pairs]


def _draw(seed, priors=60, gts=8, regions=2, dtype=np.float32, classes=3):
    """Draw boxes on a coarse grid, of few sizes so that areas tie, some of them degenerate or inverted."""
    rng = np.random.default_rng(seed)

    def boxes(count, sizes):
        corner = rng.integers(0, 12, (count, 2)) * 4
        return np.concatenate([corner, corner + rng.choice(sizes, (count, 2))], axis=-1).astype(dtype)

    return {
        "priors": boxes(priors, (4, 8, 8, 16)),
        "prior_valid": rng.random(priors) < 0.9,
        "gt_bboxes": boxes(gts, (0, 8, 16, 16, 32, -8)) + rng.choice([0, 0, 0.3], (gts, 1)).astype(dtype),
        "gt_labels": rng.integers(0, classes, gts),
        "gt_valid": rng.random(gts) < 0.9,
        "ignore_bboxes": boxes(regions, (8, 16, 40)),
    }


def _run(target, arrays, knobs, mode=Mode.EAGER):
    assigner = CenterRegionAssigner(**knobs)

    def assign(**arrays):
        result = assigner.assign(**arrays)
        assert result.max_overlaps is None
        return result.gt_inds, result.labels, result.extras["shadow"], result.extras["outranked"]

    with target.running(x64=any(x.dtype == np.float64 for x in arrays.values())):
        function = target.compile(assign) if mode is Mode.JIT else assign
        outputs = function(**{name: target.from_numpy(x) for name, x in arrays.items()})
        return [target.to_numpy(x) for x in outputs]


def _listed(labels, shadow, outranked):
    first, second = np.argwhere(shadow & ~outranked), np.argwhere(outranked)
    return [(n, labels[g]) for n, g in (*first.tolist(), *second.tolist())]


def _check(scene, knobs, outputs):
    gt_inds, learnt, pairs = _read(scene, **knobs)
    assert outputs[0].tolist() == gt_inds
    assert outputs[1].tolist() == learnt
    assert _listed(scene["gt_labels"], *outputs[2:]) == pairs


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dominate", [False, True])
@pytest.mark.parametrize(
    "knobs",
    [
        FSAF,
        SHADOWS,
        {"pos_scale": 1.0, "neg_scale": 0.5, "min_pos_iof": 0.0, "ignore_gt_scale": 1.0},
        {"pos_scale": 0.5, "neg_scale": 0.8, "min_pos_iof": -0.5},
        {"pos_scale": 0.0, "neg_scale": 1.0},
    ],
)
def test_random_scenes_are_as_the_rule_reads(knobs, dominate, dtype):
    knobs = {**knobs, "foreground_dominate": dominate}
    for seed in range(8):
        scene = _draw(seed, dtype=dtype)
        _check(scene, knobs, _run(NUMPY, scene, knobs))


@pytest.mark.parametrize("dominate", [False, True])
def test_every_library_agrees(target, dominate):
    knobs = {**SHADOWS, "foreground_dominate": dominate}
    for seed in range(2):
        scene = _draw(seed)
        _check(scene, knobs, _run(target, scene, knobs))


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_compiled_functions_agree(name):
    target = get_target(name)
    for seed in range(3 if name == "jax" else 1):
        scene = _draw(seed)
        _check(scene, SHADOWS, _run(target, scene, SHADOWS, Mode.JIT))


def test_a_padded_batch_gives_what_its_images_give(target):
    images = [
        _draw(seed, gts=gts, regions=regions) for seed, gts, regions in ((0, 5, 1), (1, 0, 2), (2, 8, 0))
    ]
    batch = {name: np.stack([image[name] for image in images]) for name in ("priors", "prior_valid")}
    batch["gt_bboxes"] = np.full((3, 8, 4), np.nan, dtype=np.float32)
    batch["ignore_bboxes"] = np.full((3, 2, 4), np.inf, dtype=np.float32)
    batch["gt_labels"] = np.zeros((3, 8), dtype=np.int64)
    batch["gt_valid"], batch["ignore_valid"] = np.zeros((3, 8), dtype=bool), np.zeros((3, 2), dtype=bool)
    for row, image in enumerate(images):
        for name in ("gt_bboxes", "gt_labels", "gt_valid", "ignore_bboxes"):
            batch[name][row, : len(image[name])] = image[name]
        batch["ignore_valid"][row, : len(image["ignore_bboxes"])] = True
    outputs = _run(target, batch, SHADOWS)
    for row, image in enumerate(images):
        count = len(image["gt_bboxes"])
        alone = _run(NUMPY, image, SHADOWS)
        np.testing.assert_array_equal(outputs[0][row], alone[0])
        np.testing.assert_array_equal(outputs[1][row], alone[1])
        for got, expected in zip(outputs[2:], alone[2:], strict=True):
            np.testing.assert_array_equal(got[row, :, :count], expected)
            assert not got[row, :, count:].any()


@pytest.mark.parametrize("name", ["numpy", "torch"])
@pytest.mark.parametrize("knobs", [SHADOWS, {**SHADOWS, "min_pos_iof": -0.5}])
def test_results_do_not_depend_on_the_memory_budget(name, knobs):
    target, images = get_target(name), [_draw(seed, priors=300, gts=20, regions=3) for seed in range(2)]
    batch = {key: np.stack([image[key] for image in images]) for key in images[0]}
    whole = _run(target, batch, knobs)
    for n_bytes in (1, 4000, 100_000):
        with memory_budget(n_bytes):
            for got, expected in zip(_run(target, batch, knobs), whole, strict=True):
                np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("priors", "gts"), [(0, 2), (3, 0), (0, 0)])
def test_empty_inputs(target, priors, gts):
    arrays = {
        "priors": np.zeros((priors, 4), dtype=np.float32),
        "gt_bboxes": np.zeros((gts, 4), dtype=np.float32),
        "gt_labels": np.zeros(gts, dtype=np.int64),
        "ignore_bboxes": np.zeros((1, 4), dtype=np.float32),
    }
    gt_inds, labels, shadow, outranked = _run(target, arrays, FSAF)
    assert (gt_inds.tolist(), labels.tolist()) == ([0] * priors, [-1] * priors)
    assert shadow.shape == outranked.shape == (priors, gts)
    assert not shadow.any()


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_the_list_of_shadows_is_the_published_one(name):
    target, cases = get_target(name), load_packed("CenterRegionAssigner")
    cases = cases if name == "numpy" else [case for case in cases if case.name == "shadow_float32"]
    assert cases
    for case in cases:
        names = {"gt_bboxes_ignore": "ignore_bboxes"}
        arrays = {names.get(key, key): target.from_numpy(x) for key, x in case.inputs.items()}
        result = CenterRegionAssigner(**case.init).assign(**arrays)
        listed = target.to_numpy(shadowed_labels(result, arrays["gt_labels"]))
        np.testing.assert_array_equal(listed, case.expected["shadowed_labels"], err_msg=case.name)


@pytest.mark.parametrize("layout", ["C", "F", "sliced"])
def test_the_list_of_shadows_does_not_depend_on_the_layout_in_memory(layout):
    arrays = _draw(3)
    result = CenterRegionAssigner(pos_scale=1.0, neg_scale=1.2).assign(
        arrays["priors"], arrays["gt_bboxes"], gt_labels=arrays["gt_labels"]
    )
    masks = {name: np.array(x, order="C") for name, x in result.extras.items()}
    assert all(mask.any() for mask in masks.values())
    expected = np.argwhere(masks["shadow"] & ~masks["outranked"]).tolist()
    expected += np.argwhere(masks["outranked"]).tolist()
    if layout == "sliced":
        laid = {name: np.repeat(mask, 2, axis=1)[:, ::2] for name, mask in masks.items()}
    else:
        laid = {name: np.array(mask, order=layout) for name, mask in masks.items()}
    listed = shadowed_labels(replace(result, extras=laid), np.arange(len(arrays["gt_bboxes"])))
    assert listed.tolist() == expected

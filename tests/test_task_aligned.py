"""Task-aligned assignment, against a plain reading of its rule, image by image and prior by prior."""

import numpy as np
import pytest

from assigncore import PositiveCIoU, SmoothedIoU, TaskAlignedAssigner, build_assigner, memory_budget
from assigncore.assigners import yolov6, yolov8, yolov10
from assigncore.conformance import get_target
from assigncore.conformance.reference_batched import ciou, iou, smoothed_iou, task_aligned

pytestmark = pytest.mark.compiled_by_jax

RULES = {
    "tood": ({"topk": 4}, iou),
    "tood of many": ({"topk": 13, "alpha": 2, "beta": 3}, iou),
    "tood of scores": ({"topk": 5, "beta": 0}, iou),
    "tood of overlaps": ({"topk": 5, "alpha": 0, "conflicts": "inside"}, iou),
    "yolov6": (
        {
            "topk": 6,
            "topk_inside": True,
            "inside_margin": 1e-9,
            "conflicts": "all",
            "normalized": True,
            "eps": 1e-7,
            "iou_calculator": SmoothedIoU(),
        },
        smoothed_iou,
    ),
    "yolov8": (
        {
            "topk": 5,
            "alpha": 0.5,
            "topk_inside": True,
            "inside_margin": 1e-9,
            "smallest_side": 12.0,
            "conflicts": "inside",
            "normalized": True,
            "iou_calculator": PositiveCIoU(),
        },
        ciou,
    ),
    "one to one": (
        {
            "topk": 7,
            "topk2": 1,
            "topk_inside": True,
            "conflicts": "inside",
            "normalized": True,
            "iou_calculator": PositiveCIoU(),
        },
        ciou,
    ),
    "one to three": ({"topk": 9, "topk2": 3, "topk_inside": True, "conflicts": "all"}, iou),
}


def draw(seed, n_priors=60, n_gts=5, n_classes=3, tied=False, dtype=np.float64):
    """Draw a scene; a tied one has few different boxes and scores, and predictions that miss everything."""
    rng = np.random.default_rng(seed)
    if tied:
        low = rng.integers(0, 5, (n_gts, 2)) * 8.0
        sides = rng.integers(1, 4, (n_gts, 2)) * 8.0
        centers = rng.integers(0, 12, (n_priors, 2)) * 4.0 + 2
        half = np.full((n_priors, 2), 8.0)
        away = rng.integers(0, 3, (n_priors, 1)) * 32.0
        scores = rng.integers(1, 3, (n_priors, n_classes)) / 2
    else:
        low, sides = rng.uniform(0, 40, (n_gts, 2)), rng.uniform(4, 40, (n_gts, 2))
        centers = rng.uniform(0, 64, (n_priors, 2))
        half = rng.uniform(2, 20, (n_priors, 2))
        away = rng.normal(0, 3, (n_priors, 2))
        scores = rng.uniform(0, 1, (n_priors, n_classes))
    middle = centers + away
    inputs = {
        "priors": np.concatenate([centers - 4, centers + 4], axis=-1),
        "gt_bboxes": np.concatenate([low, low + sides], axis=-1),
        "pred_bboxes": np.concatenate([middle - half, middle + half], axis=-1),
        "pred_scores": scores,
    }
    return {name: x.astype(dtype) for name, x in inputs.items()} | {
        "gt_labels": rng.integers(0, n_classes, n_gts)
    }


def read(inputs, rule):
    """Assign by the plain reading."""
    knobs, overlap_of = RULES[rule]
    centers = (inputs["priors"][:, :2] + inputs["priors"][:, 2:]) / 2
    others = (inputs[name] for name in ("gt_bboxes", "pred_bboxes", "pred_scores", "gt_labels"))
    return task_aligned(centers, *others, knobs, overlap_of)


def assign(inputs, rule, **more):
    result = TaskAlignedAssigner(**RULES[rule][0]).assign(**inputs, **more)
    return {
        "gt_inds": result.gt_inds,
        "max_overlaps": result.max_overlaps,
        "assign_metrics": result.extras["assign_metrics"],
    }


def check(got, expected):
    np.testing.assert_array_equal(got["gt_inds"], expected["gt_inds"])
    for name in ("max_overlaps", "assign_metrics"):
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-6, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_it_is_what_the_rule_reads_as(seed, tied, rule):
    inputs = draw(seed, tied=tied)
    check(assign(inputs, rule), read(inputs, rule))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("tied", [False, True])
def test_every_library_gives_the_same(tied, rule, target):
    inputs = draw(3, tied=tied)
    with target.running(x64=True):
        got = assign({name: target.from_numpy(x) for name, x in inputs.items()}, rule)
        check({name: target.to_numpy(x) for name, x in got.items()}, read(inputs, rule))


@pytest.mark.parametrize("rule", ["tood", "yolov6", "one to one"])
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_it_compiles(name, rule):
    target = get_target(name)
    inputs = draw(4, n_priors=40, n_gts=3, dtype=np.float32)

    assigner = TaskAlignedAssigner(**RULES[rule][0])

    def function(**arrays):
        return assigner.assign(**arrays).gt_inds

    with target.running(x64=False):
        arrays = {name: target.from_numpy(x) for name, x in inputs.items()}
        compiled = target.to_numpy(target.compile(function)(**arrays))
    np.testing.assert_array_equal(compiled, assign(inputs, rule)["gt_inds"])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_priors", [1, 3])
def test_fewer_priors_than_are_sought(n_priors, rule):
    inputs = draw(5, n_priors=n_priors)
    inputs["priors"][:, :2] = inputs["gt_bboxes"][0, :2]
    inputs["priors"][:, 2:] = inputs["gt_bboxes"][0, 2:]
    check(assign(inputs, rule), read(inputs, rule))


@pytest.mark.parametrize("rule", RULES)
def test_more_claims_than_priors(rule):
    inputs = draw(6, n_priors=20, n_gts=15)
    check(assign(inputs, rule), read(inputs, rule))


@pytest.mark.parametrize("rule", RULES)
def test_memory_decides_nothing(rule, target):
    inputs = draw(7, n_priors=150, n_gts=9, tied=True)
    with target.running(x64=True):
        arrays = {name: target.from_numpy(x) for name, x in inputs.items()}
        expected = assign(arrays, rule)
        with memory_budget(20_000):
            got = assign(arrays, rule)
        for name, x in expected.items():
            np.testing.assert_array_equal(target.to_numpy(got[name]), target.to_numpy(x), err_msg=name)


@pytest.mark.parametrize("rule", RULES)
def test_a_padded_batch_gives_what_its_images_give(rule, target):
    scenes = [draw(seed, tied=seed % 2 == 0) for seed in range(3)]
    batch = {name: np.stack([scene[name] for scene in scenes]) for name in scenes[0]}
    padding = np.full((3, 2, 4), np.nan)
    batch["gt_bboxes"] = np.concatenate([padding, batch["gt_bboxes"]], axis=1)
    batch["gt_labels"] = np.concatenate([np.full((3, 2), 99), batch["gt_labels"]], axis=1)
    batch["gt_valid"] = np.broadcast_to(np.arange(7) >= 2, (3, 7))
    with target.running(x64=True):
        got = assign({name: target.from_numpy(x) for name, x in batch.items()}, rule)
        got = {name: target.to_numpy(x) for name, x in got.items()}
    for i, scene in enumerate(scenes):
        alone = assign(scene, rule)
        np.testing.assert_array_equal(
            got["gt_inds"][i], np.where(alone["gt_inds"] > 0, alone["gt_inds"] + 2, 0)
        )
        np.testing.assert_allclose(got["assign_metrics"][i], alone["assign_metrics"], rtol=1e-6)


def test_images_may_share_their_priors():
    scenes = [draw(seed) for seed in range(2)]
    batch = {name: np.stack([scene[name] for scene in scenes]) for name in scenes[0]}
    batch["priors"] = scenes[0]["priors"]
    got = assign(batch, "yolov8")["gt_inds"]
    scenes[1]["priors"] = scenes[0]["priors"]
    for i, scene in enumerate(scenes):
        np.testing.assert_array_equal(got[i], assign(scene, "yolov8")["gt_inds"])


def test_points_stand_for_boxes_about_them():
    inputs = draw(8)
    boxes = inputs["priors"]
    points = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, np.full((len(boxes), 1), 8.0)], axis=-1)
    check(assign({**inputs, "priors": points}, "yolov6"), assign(inputs, "yolov6"))


@pytest.mark.parametrize("rule", ["tood", "yolov6", "yolov8", "one to three"])
def test_a_prior_that_takes_no_part_changes_nothing_for_the_others(rule):
    inputs = draw(9, tied=True)
    part = np.arange(60) % 7 != 0
    got = assign({**inputs, "pred_bboxes": np.where(part[:, None], inputs["pred_bboxes"], 5.0)}, rule,
                 prior_valid=part)["gt_inds"]  # fmt: skip
    names = ("priors", "pred_bboxes", "pred_scores")
    rest = {name: x[part] if name in names else x for name, x in inputs.items()}
    np.testing.assert_array_equal(got[part], assign(rest, rule)["gt_inds"])
    assert (got[~part] == -1).all()


@pytest.mark.parametrize("rule", ["tood", "yolov8"])
@pytest.mark.parametrize("broken", ["priors", "pred_bboxes", "pred_scores"])
def test_what_is_broken_matches_nothing(broken, rule):
    inputs = draw(10)
    taken = np.flatnonzero(assign(inputs, rule)["gt_inds"] > 0)[0]
    inputs[broken][taken] = np.nan
    got = assign(inputs, rule)
    assert got["gt_inds"][taken] == 0
    assert got["max_overlaps"][taken] == -1e8
    assert got["assign_metrics"][taken] == 0


def test_a_broken_ground_truth_takes_nothing():
    inputs = draw(11)
    inputs["gt_bboxes"][0, 2] = np.inf
    got = assign(inputs, "yolov6")["gt_inds"]
    assert (got != 1).all()
    assert (got > 1).any()


@pytest.mark.parametrize("rule", ["tood", "one to one"])
@pytest.mark.parametrize("sizes", [{"n_priors": 0}, {"n_gts": 0}, {"n_priors": 0, "n_gts": 0}])
def test_nothing_to_match(sizes, rule, target):
    inputs = draw(12, **sizes)
    with target.running(x64=True):
        got = assign({name: target.from_numpy(x) for name, x in inputs.items()}, rule)
        for x in got.values():
            np.testing.assert_array_equal(target.to_numpy(x), np.zeros(sizes.get("n_priors", 60)))


def test_only_padding_is_no_ground_truth():
    got = assign(draw(13), "yolov8", gt_valid=np.zeros(5, dtype=bool))
    assert not any(x.any() for x in got.values())


def test_equal_predictions_are_taken_first_to_last():
    same = np.array([[0.0, 0.0, 8.0, 8.0]])
    result = TaskAlignedAssigner(topk=2).assign(
        np.repeat(same, 5, axis=0),
        np.concatenate([same, same]),
        pred_bboxes=np.repeat(same, 5, axis=0),
        pred_scores=np.full((5, 1), 0.5),
        gt_labels=np.array([0, 0]),
    )
    assert result.gt_inds.tolist() == [1, 1, 0, 0, 0]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_raised(dtype):
    torch = pytest.importorskip("torch")
    half = {
        name: torch.from_numpy(x).to(getattr(torch, dtype)) if x.dtype.kind == "f" else torch.from_numpy(x)
        for name, x in draw(14).items()
    }
    got = assign(half, "yolov8")
    single = {name: x.float() if x.is_floating_point() else x for name, x in half.items()}
    for name, x in assign(single, "yolov8").items():
        assert torch.equal(got[name], x)
    assert got["assign_metrics"].dtype == torch.float32


def test_results_carry_no_gradient_and_inputs_are_not_written():
    torch = pytest.importorskip("torch")
    inputs = draw(15)
    arrays = {name: torch.from_numpy(x.copy()) for name, x in inputs.items()}
    for name in ("pred_bboxes", "pred_scores"):
        arrays[name].requires_grad_(True)
    for x in assign(arrays, "one to one").values():
        assert not x.requires_grad
    for name, x in inputs.items():
        np.testing.assert_array_equal(arrays[name].detach().numpy(), x)


def test_each_preset_is_the_assigner_its_knobs_build():
    config = {"type": "TaskAlignedAssigner", "iou_calculator": {"type": "PositiveCIoU"}, **RULES["yolov8"][0]}
    config["iou_calculator"] = {"type": "PositiveCIoU"}
    config.update(topk=10, smallest_side=16.0, beta=6.0)
    assert build_assigner(config) == yolov8()
    config = {**RULES["yolov6"][0], "type": "TaskAlignedAssigner", "topk": 13}
    config["iou_calculator"] = {"type": "SmoothedIoU", "eps": 1e-9}
    assert build_assigner(config) == yolov6()


def test_two_heads_take_many_and_one():
    inputs = draw(16, n_priors=400)
    many, one = (head.assign(**inputs) for head in yolov10(smallest_side=8.0))
    assert many.positives_per_gt.max() > 1
    assert one.positives_per_gt.max() == 1
    chosen = one.gt_inds > 0
    np.testing.assert_array_equal(many.gt_inds[chosen], one.gt_inds[chosen])


def test_soft_scores_reach_the_largest_overlap():
    result = yolov8().assign(**draw(17, n_priors=400))
    for gt in range(1, 6):
        own = result.gt_inds == gt
        if own.any():
            largest = result.extras["assign_metrics"][own].max()
            np.testing.assert_allclose(largest, result.max_overlaps[own].max(), rtol=1e-3)


@pytest.mark.parametrize(
    ("knobs", "named"),
    [
        ({"topk": 0}, "topk"),
        ({"topk": 1.5}, "topk"),
        ({"topk": 1, "topk2": 0}, "topk2"),
        ({"topk": 1, "alpha": -1}, "alpha"),
        ({"topk": 1, "inside_margin": -0.1}, "inside_margin"),
        ({"topk": 1, "conflicts": "some"}, "conflicts"),
        ({"topk": 1, "normalized": 1}, "normalized"),
        ({"topk": 1, "eps": float("nan")}, "eps"),
    ],
)
def test_wrong_knobs_are_refused(knobs, named):
    with pytest.raises((TypeError, ValueError), match=named):
        TaskAlignedAssigner(**knobs)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"pred_bboxes": None}, "pred_bboxes"),
        ({"pred_scores": None}, "pred_scores"),
        ({"gt_labels": None}, "gt_labels"),
        ({"pred_scores": np.zeros((60, 0))}, "pred_scores"),
        ({"pred_scores": np.zeros((59, 3))}, "pred_scores"),
        ({"gt_labels": np.zeros(5)}, "gt_labels"),
        ({"priors": np.zeros((60, 5))}, "priors"),
        ({"ignore_bboxes": np.zeros((1, 4))}, "ignore_bboxes"),
    ],
)
def test_wrong_calls_are_refused(change, named):
    with pytest.raises((TypeError, ValueError), match=named):
        TaskAlignedAssigner(topk=3).assign(**{**draw(18), **change})


@pytest.mark.parametrize(("calculator", "plain"), [(SmoothedIoU(), smoothed_iou), (PositiveCIoU(), ciou)])
def test_overlap_calculators(calculator, plain, target):
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 30, (12, 2))
    boxes = np.concatenate([low, low + rng.uniform(0, 20, (12, 2))], axis=-1)
    boxes[0, 2:] = boxes[0, :2]
    with target.running(x64=True):
        got = target.to_numpy(calculator(target.from_numpy(boxes[:5]), target.from_numpy(boxes)))
        own = target.to_numpy(calculator(target.from_numpy(boxes), target.from_numpy(boxes), is_aligned=True))
    np.testing.assert_allclose(got, np.stack([plain(box, boxes) for box in boxes[:5]]), atol=1e-12)
    np.testing.assert_allclose(own, [plain(box, box[None])[0] for box in boxes], atol=1e-12)


def test_overlap_calculators_have_one_mode():
    with pytest.raises(ValueError, match="giou"):
        PositiveCIoU()(np.zeros((1, 4)), np.zeros((1, 4)), mode="giou")
    with pytest.raises(ValueError, match="eps"):
        SmoothedIoU(eps=0)

"""Task-aligned assignment, against a plain reading of its rule, image by image and prior by prior."""

import numpy as np
import pytest

from assigncore import TaskAlignedAssigner, memory_budget
from assigncore.conformance import get_target

from .scenes import RULES, assign, check, draw, read

pytestmark = pytest.mark.compiled_by_jax


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
def test_it_compiles(name, rule, tracing_torch):
    # To machine code where most is asked; the defaults are compiled so with a golden case of masks.
    target = tracing_torch if name == "torch" and rule != "one to one" else get_target(name)
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

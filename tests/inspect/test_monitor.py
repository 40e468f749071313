"""The monitor: its numbers against a count by hand, that it waits for nothing, and what it keeps."""

import json
from itertools import pairwise

import jax
import numpy as np
import pytest
import torch

from assigncore import AssignResult, Monitor
from assigncore.conformance import get_target
from assigncore.inspect.monitor import _Tally

SIDES = np.array([10.0, 40.0, 120.0, 31.0])


def scene(seed, lead=(3,), priors=40):
    """Give codes, boxes of all sizes, labels and which rows are padding."""
    rng = np.random.default_rng(seed)
    gts = 6
    valid = rng.random((*lead, gts)) < 0.8
    codes = rng.integers(-1, gts + 1, (*lead, priors))
    real = np.take_along_axis(
        np.concatenate([np.ones((*lead, 1), bool), valid], axis=-1), np.maximum(codes, 0), -1
    )
    codes = np.where(real, codes, 0)
    corner = rng.uniform(0, 100, (*lead, gts, 2))
    boxes = np.concatenate([corner, corner + rng.choice(SIDES, (*lead, gts, 1))], axis=-1).astype(np.float32)
    return codes, boxes, rng.integers(0, 3, (*lead, gts)), valid


def update(monitor, target, arrays, **options):
    codes, boxes, labels, valid = (target.from_numpy(x) for x in arrays)
    result = AssignResult(codes, None, None, int(arrays[1].shape[-2]))
    monitor.update(result, gt_bboxes=boxes, gt_labels=labels, gt_valid=valid, **options)


def counted_by_hand(scenes, levels=(30, 10)):
    """Count object by object."""
    found = {}

    def add(key, amount):
        found[key] = found.get(key, 0) + int(amount)

    for codes, boxes, labels, valid in scenes:
        for image in range(len(codes)):
            for gt in np.flatnonzero(valid[image]):
                x1, y1, x2, y2 = boxes[image, gt]
                area = (x2 - x1) * (y2 - y1)
                size = "small" if area < 32**2 else "medium" if area < 96**2 else "large"
                positives = np.sum(codes[image] == gt + 1)
                for suffix in ("", f"/{size}", f"/class {labels[image, gt]}"):
                    add(f"objects{suffix}", 1)
                    add(f"positives{suffix}", positives)
                    add(f"without_positives{suffix}", positives == 0)
    ends = np.cumsum((0, *levels))
    codes = np.concatenate([codes for codes, *_ in scenes])
    for level, (a, b) in enumerate(pairwise(ends)):
        found[f"positives_share/level_{level}"] = np.sum(codes[:, a:b] > 0) / np.sum(codes > 0)
        found[f"ignored_share/level_{level}"] = np.mean(codes[:, a:b] < 0)
    return found


def test_every_number_is_what_a_count_by_hand_gives(target):
    scenes = [scene(seed) for seed in range(4)]
    monitor = Monitor(num_level_priors=(30, 10), class_names=[f"class {i}" for i in range(3)])
    for arrays in scenes:
        update(monitor, target, arrays)
    report = monitor.end_epoch()
    for key, value in counted_by_hand(scenes).items():
        assert report[key] == pytest.approx(value), key
    assert report["images"] == 12
    assert report["positives_per_object"] == pytest.approx(report["positives"] / report["objects"])
    assert json.loads(json.dumps(report)) == report
    assert monitor.history == [report]


def test_objects_without_positives_are_listed_by_image_and_row(target):
    codes, boxes, labels, valid = scene(0)
    codes = np.where(codes == 2, 0, codes)
    valid[:] = True
    monitor = Monitor(max_listed=4)
    expected = []
    for ids in (["a", "b", "c"], ["d", "e", "f"]):
        update(monitor, target, (codes, boxes, labels, valid), image_ids=ids)
        expected += [
            (name, int(gt))
            for name, row in zip(ids, codes, strict=True)
            for gt in range(6)
            if gt + 1 not in row
        ]
    report = monitor.end_epoch()
    assert monitor.without_positives == tuple(expected[:4])
    assert report["without_positives"] == len(expected) > 4


def test_images_without_ids_are_numbered(target):
    monitor = Monitor()
    empty = (
        np.zeros((2, 5), int),
        np.ones((2, 1, 4), np.float32),
        np.zeros((2, 1), int),
        np.ones((2, 1), bool),
    )
    for _ in range(2):
        update(monitor, target, empty)
    monitor.end_epoch()
    assert monitor.without_positives == ((0, 0), (1, 0), (2, 0), (3, 0))


def matched(codes, monitor, target, ids):
    codes = np.asarray(codes)
    gts = 3
    update(
        monitor,
        target,
        (
            codes,
            np.ones((*codes.shape[:-1], gts, 4), np.float32),
            np.zeros((*codes.shape[:-1], gts), int),
            np.ones((*codes.shape[:-1], gts), bool),
        ),
        image_ids=ids,
    )


def test_instability_is_counted_image_by_image_whatever_their_order(target):
    monitor = Monitor()
    matched([[1, 2, 3, 0], [0, 1, 2, 3]], monitor, target, ["a", "b"])
    first = monitor.end_epoch()
    assert "instability" not in first
    matched([[0, 1, 2, 3], [1, 2, 0, 3]], monitor, target, ["b", "a"])
    second = monitor.end_epoch()
    # Of a, predictions 2 and 3 changed, and object 2; of b nothing.
    assert second["instability"] == 1.0
    assert second["changed_objects"] == pytest.approx(1 / 6)
    assert second["compared_images"] == 2
    matched([[1, 2, 0, 3]], monitor, target, ["a"])
    assert monitor.end_epoch()["instability"] == 0.0


def test_decoder_layers_are_compared_each_with_itself():
    monitor, target = Monitor(), get_target("numpy")
    matched([[[1, 2, 3]], [[3, 2, 1]]], monitor, target, [7])
    monitor.end_epoch()
    matched([[[1, 2, 3]], [[1, 2, 3]]], monitor, target, [7])
    report = monitor.end_epoch()
    assert report["instability"] == 1.0
    assert (report["compared_images"], report["images"], report["objects"]) == (1, 1, 6)


def test_what_is_tracked_is_bounded_and_stays_tracked():
    monitor, target = Monitor(max_tracked_bytes=2 * 2 * 4), get_target("numpy")
    matched([[1, 2, 3, 0]] * 3, monitor, target, [1, 2, 3])
    monitor.end_epoch()
    matched([[0, 1, 2, 3]] * 3, monitor, target, [3, 2, 1])
    report = monitor.end_epoch()
    assert (report["compared_images"], report["instability"]) == (2, 4.0)
    assert report["images"] == 3


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_pytorch_needs_no_values(lead):
    """On the meta device there are none: whatever read one would fail, as on a GPU it would wait."""
    monitor = Monitor(num_level_priors=(30, 10), num_classes=3, max_tracked_bytes=100)
    for seed in range(2):
        codes, boxes, labels, valid = (torch.from_numpy(x).to("meta") for x in scene(seed, lead))
        result = AssignResult(codes, None, None, 6)
        ids = range(lead[-1] if lead else 1)
        monitor.update(result, gt_bboxes=boxes, gt_labels=labels, gt_valid=valid, image_ids=ids)
    assert repr(monitor).startswith("Monitor(0 epochs, ")


def test_results_of_compiled_functions_are_counted_outside():
    arrays = scene(0)
    monitor = Monitor()

    @jax.jit
    def inside(codes):
        monitor.update(AssignResult(codes, None, None, 6), gt_bboxes=codes[:, :6, None] * jax.numpy.ones(4))
        return codes

    with pytest.raises(TypeError, match="return it from compiled code first"):
        inside(arrays[0])
    result = jax.jit(lambda codes: AssignResult(codes, None, None, 6))(arrays[0])
    monitor.update(result, gt_bboxes=jax.numpy.asarray(arrays[1]))
    assert monitor.end_epoch()["objects"] == 18


def test_counts_go_beyond_32_bits():
    zeros = np.zeros(2, dtype=np.int32)
    tally, each = _Tally(zeros, zeros), np.array([2**31 - 2**20, 3], dtype=np.int32)
    for _ in range(1000):
        tally.add(each)
    assert tally.read(get_target("numpy").backend).tolist() == [1000 * (2**31 - 2**20), 3000]


def test_areas_of_the_caller_tell_the_sizes():
    monitor, (codes, boxes, _, _) = Monitor(), scene(0)
    monitor.update(AssignResult(codes, None, None, 6), gt_bboxes=boxes, gt_areas=np.full((3, 6), 10.0))
    assert monitor.end_epoch()["objects/small"] == 18


def test_a_step_may_have_levels_of_its_own():
    monitor, (codes, boxes, _, _) = Monitor(num_level_priors=(1, 1)), scene(0)
    result = AssignResult(codes, None, None, 6)
    monitor.update(result, gt_bboxes=boxes, num_level_priors=(30, 10))
    monitor.update(result, gt_bboxes=boxes, num_level_priors=(10, 30))
    with pytest.raises(ValueError, match="as many levels as in the epoch's other updates, 2, got 1"):
        monitor.update(result, gt_bboxes=boxes, num_level_priors=(40,))
    assert {"positives_share/level_0", "positives_share/level_1"} <= monitor.end_epoch().keys()


def test_what_does_not_fit_is_named():
    codes, boxes, _, _ = scene(0)
    result = AssignResult(codes, None, None, 6)
    with pytest.raises(ValueError, match=r"gt_bboxes: expected shape \(3, 6, 4\).*got \(3, 5, 4\)"):
        Monitor().update(result, gt_bboxes=boxes[:, :5])
    with pytest.raises(ValueError, match="image_ids: expected 3, one for each image of the batch, got 2"):
        Monitor().update(result, gt_bboxes=boxes, image_ids=[1, 2])
    with pytest.raises(ValueError, match=r"gt_labels: .* got None"):
        Monitor(num_classes=3).update(result, gt_bboxes=boxes)
    with pytest.raises(ValueError, match=r"sum to the 40 priors, got \(3, 4\)"):
        Monitor(num_level_priors=(3, 4)).update(result, gt_bboxes=boxes)
    with pytest.raises(TypeError, match=r"gt_bboxes to .*torch"):
        Monitor().update(result, gt_bboxes=torch.from_numpy(boxes))
    meta = AssignResult(torch.from_numpy(codes).to("meta"), None, None, 6)
    on_meta = torch.from_numpy(boxes).to("meta")
    with pytest.raises(TypeError, match="image_ids: expected ids that the host knows"):
        Monitor().update(meta, gt_bboxes=on_meta, image_ids=torch.arange(3, device="meta"))
    with pytest.raises(RuntimeError, match="expected an update before it"):
        Monitor().end_epoch()
    with pytest.raises(ValueError, match="class_names: expected 3"):
        Monitor(num_classes=3, class_names=["a"])
    monitor = Monitor()
    monitor.update(result, gt_bboxes=boxes)
    with pytest.raises(TypeError, match="as in the epoch's other updates"):
        monitor.update(
            AssignResult(torch.from_numpy(codes), None, None, 6), gt_bboxes=torch.from_numpy(boxes)
        )

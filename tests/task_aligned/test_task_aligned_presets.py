"""The presets of task-aligned assignment, and the overlap calculators they use."""

import numpy as np
import pytest

from assigncore import PositiveCIoU, SmoothedIoU, build_assigner
from assigncore.assigners import yolov6, yolov8, yolov10
from assigncore.conformance.reference.task_aligned import ciou, smoothed_iou

from .scenes import RULES, draw

pytestmark = pytest.mark.compiled_by_jax


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

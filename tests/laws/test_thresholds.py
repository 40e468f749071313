"""Precision: a threshold means the number it is written as, since it is compared in the array's own dtype."""

import numpy as np
import pytest

from assigncore import build_assigner

from .subjects import AVAILABLE

BOXES = ("priors", "gt_bboxes", "gt_valid")
REGIONS = ("ignore_bboxes", "ignore_valid")

TENTHS = [k / 10 for k in range(1, 10)]

# JAX would compile every operation anew for float64.
CASES = [
    pytest.param(target, dtype, id=f"{target.name}-{np.dtype(dtype)}")
    for target in AVAILABLE
    for dtype in (np.float32, np.float64)
    if target.library != "jax" or dtype == np.float32
]
on_targets_in_dtypes = pytest.mark.parametrize(("target", "dtype"), CASES)


def _scene(priors, dtype, gt=(1000, 1000, 1010, 1010), region=(0, 0, 0, 0)):
    """Give nine priors, one ground truth and one ignore region, far away unless given, each with padding beside it."""
    boxes = {
        "priors": np.array(priors),
        "gt_bboxes": np.array([gt, [0, 0, 9, 9]]),
        "ignore_bboxes": np.array([region, [0, 0, 9, 9]]),
    }
    some = np.array([True, False])
    masks = {"gt_valid": some, "ignore_valid": some, "responsible_flags": np.ones(9, dtype=bool)}
    return {**{name: x.astype(dtype) for name, x in boxes.items()}, **masks}


def _codes(target, config, scene, names):
    with target.running(x64=scene["priors"].dtype == np.float64):
        arrays = {name: target.from_numpy(scene[name]) for name in names}
        result = build_assigner(config).assign(**arrays)
        return target.to_numpy(result.gt_inds).tolist()


@on_targets_in_dtypes
@pytest.mark.parametrize("number", [float, np.float64], ids=["python", "numpy"])
def test_thresholds_of_overlap(target, dtype, number):
    scene = _scene([[0, 0, 10, k] for k in range(1, 10)], dtype, gt=(0, 0, 10, 10))
    for i, thr in enumerate(map(number, TENTHS)):
        below, above = i, 8 - i
        both = {"type": "MaxIoUAssigner", "pos_iou_thr": thr, "neg_iou_thr": thr, "match_low_quality": False}
        assert _codes(target, both, scene, BOXES) == [0] * below + [1] * (1 + above)
        pair = {"type": "MaxIoUAssigner", "pos_iou_thr": 0.95, "neg_iou_thr": (thr, number(0.95))}
        assert _codes(target, {**pair, "min_pos_iou": 0.95}, scene, BOXES) == [-1] * below + [0] * (1 + above)
        grid = {"type": "GridAssigner", "pos_iou_thr": thr, "neg_iou_thr": thr, "min_pos_iou": 0.95}
        names = (*BOXES, "responsible_flags")
        assert _codes(target, grid, scene, names) == [0] * (below + 1) + [1] * above


@on_targets_in_dtypes
def test_the_least_overlap_of_a_low_quality_match(target, dtype):
    for k, thr in enumerate(TENTHS, 1):
        scene = _scene([[0, 0, 10, k]] + [[50, 50, 60, 60]] * 8, dtype, gt=(0, 0, 10, 10))
        config = {"type": "MaxIoUAssigner", "pos_iou_thr": 0.95, "neg_iou_thr": 0.95, "min_pos_iou": thr}
        assert _codes(target, config, scene, BOXES) == [1] + [0] * 8


@on_targets_in_dtypes
def test_the_ignored_fraction_of_a_prior(target, dtype):
    rows = [[20 * k, -k, 20 * k + 10, 10 - k] for k in range(1, 10)]
    scene = _scene(rows, dtype, region=(-100, -100, 300, 0))
    for i, thr in enumerate(TENTHS):
        config = {"type": "MaxIoUAssigner", "pos_iou_thr": 0.9, "neg_iou_thr": 0.1, "min_pos_iou": 0.5}
        codes = _codes(target, {**config, "ignore_iof_thr": thr}, scene, BOXES + REGIONS)
        assert codes == [0] * (i + 1) + [-1] * (8 - i)

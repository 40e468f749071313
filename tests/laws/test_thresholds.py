"""Precision: a threshold means the number it is written as, since it is compared in the array's own dtype."""

import numpy as np
import pytest

from assigncore import build_assigner

from .checking import TARGETS
from .scenes import FULL
from .subject import BOXES, REGIONS
from .test_empties import some_scene

TENTHS = [k / 10 for k in range(1, 10)]

# JAX would compile every operation anew for float64.
CASES = [
    pytest.param(target, dtype, id=f"{target.name}-{np.dtype(dtype)}")
    for target in TARGETS
    for dtype in (np.float32, np.float64)
    if target.library != "jax" or dtype == np.float32
]
on_targets_in_dtypes = pytest.mark.parametrize(("target", "dtype"), CASES)


def _scene(priors, dtype, **further):
    """Give a scene of the usual sizes with nine priors that matter and one ground truth far away."""
    scene = some_scene(FULL)
    scene["priors"][:9] = priors
    scene["gt_bboxes"][0] = [1000, 1000, 1010, 1010]
    scene["prior_valid"][:], scene["responsible_flags"][:] = True, True
    scene["gt_valid"][1:], scene["ignore_valid"][1:] = False, False
    scene.update(further)
    return {name: x.astype(dtype) if x.dtype.kind == "f" else x for name, x in scene.items()}


def _codes(target, config, scene, names):
    with target.running(x64=scene["priors"].dtype == np.float64):
        arrays = {name: target.from_numpy(scene[name]) for name in names}
        result = build_assigner(config).assign(**arrays)
        return target.to_numpy(result.gt_inds)[:9].tolist()


@on_targets_in_dtypes
@pytest.mark.parametrize("number", [float, np.float64], ids=["python", "numpy"])
def test_thresholds_of_overlap(target, dtype, number):
    gts = np.zeros((FULL.gts, 4))
    gts[0] = [0, 0, 10, 10]
    scene = _scene([[0, 0, 10, k] for k in range(1, 10)], dtype, gt_bboxes=gts)
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
        gts = np.zeros((FULL.gts, 4))
        gts[0] = [0, 0, 10, 10]
        scene = _scene([[0, 0, 10, k]] + [[50, 50, 60, 60]] * 8, dtype, gt_bboxes=gts)
        config = {"type": "MaxIoUAssigner", "pos_iou_thr": 0.95, "neg_iou_thr": 0.95, "min_pos_iou": thr}
        assert _codes(target, config, scene, BOXES) == [1] + [0] * 8


@on_targets_in_dtypes
def test_the_ignored_fraction_of_a_prior(target, dtype):
    regions = np.zeros((FULL.regions, 4))
    regions[0] = [-100, -100, 300, 0]
    rows = [[20 * k, -k, 20 * k + 10, 10 - k] for k in range(1, 10)]
    scene = _scene(rows, dtype, ignore_bboxes=regions)
    for i, thr in enumerate(TENTHS):
        config = {"type": "MaxIoUAssigner", "pos_iou_thr": 0.9, "neg_iou_thr": 0.1, "min_pos_iou": 0.5}
        codes = _codes(target, {**config, "ignore_iof_thr": thr}, scene, BOXES + REGIONS)
        assert codes == [0] * (i + 1) + [-1] * (8 - i)

"""Overlaps of three-dimensional boxes, from above and of volumes."""

import numpy as np
import pytest

from assigncore import AxisAlignedIoU3D, BEVIoU, MaxIoUAssigner, NearestBEVIoU, RotatedIoU
from assigncore.adapters.mmdet import build_iou_calculator
from assigncore.boxes import pairwise_giou, pairwise_iof, pairwise_iou
from assigncore.conformance import get_target


def turned(n, seed):
    rng = np.random.default_rng(seed)
    return rng.uniform([0, 0, -2, 1, 1, 1, -7], [12, 12, 2, 6, 3, 3, 7], (n, 7))


def test_from_above_heights_do_not_matter():
    a, b = turned(8, 0), turned(9, 1)
    above = [x[:, [0, 1, 3, 4, 6]] for x in (a, b)]
    for mode in ("iou", "iof"):
        np.testing.assert_array_equal(BEVIoU()(a, b, mode=mode), RotatedIoU()(*above, mode=mode))
    camera = [x[:, [0, 2, 1, 3, 5, 4, 6]] * np.array([1, 1, 1, 1, 1, 1, -1]) for x in (a, b)]
    np.testing.assert_allclose(BEVIoU("camera")(*camera), BEVIoU()(a, b), rtol=1e-12)
    np.testing.assert_array_equal(BEVIoU()(a, b[:8], is_aligned=True), BEVIoU()(a, b[:8]).diagonal())


@pytest.mark.parametrize("mode", ["iou", "iof", "giou"])
def test_the_nearest_box_is_turned_by_less_than_an_eighth(mode):
    a, b = turned(8, 0), turned(9, 1)
    flat = []
    for boxes in (a, b):
        rows = []
        for x, y, _, w, h, _, yaw in boxes:
            left = min(yaw % np.pi, np.pi - yaw % np.pi)
            w, h = (h, w) if left > np.pi / 4 else (w, h)
            rows.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        flat.append(np.array(rows))
    pairwise = {"iou": pairwise_iou, "iof": pairwise_iof, "giou": pairwise_giou}[mode]
    np.testing.assert_allclose(NearestBEVIoU()(a, b, mode=mode), pairwise(*flat), rtol=1e-12)
    wider = [np.concatenate([x, x[:, :2]], axis=-1) for x in (a, b)]
    named = build_iou_calculator({"type": "mmdet3d.BboxOverlapsNearest3D", "coordinate": "lidar"})
    np.testing.assert_array_equal(named(*wider, mode=mode), NearestBEVIoU()(a, b, mode=mode))


def test_volumes_overlap_by_their_sides():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 4, (2, 7, 3))
    a, b = np.concatenate([low, low + rng.uniform(1, 4, low.shape)], axis=-1)
    iou, giou = np.empty((2, 7, 7))
    for i, p in enumerate(a):
        for j, q in enumerate(b):
            shared = np.prod(np.clip(np.minimum(p[3:], q[3:]) - np.maximum(p[:3], q[:3]), 0, None))
            union = np.prod(p[3:] - p[:3]) + np.prod(q[3:] - q[:3]) - shared
            around = np.prod(np.maximum(p[3:], q[3:]) - np.minimum(p[:3], q[:3]))
            iou[i, j] = shared / union
            giou[i, j] = iou[i, j] - (around - union) / around
    assert (iou > 0).sum() > 10
    np.testing.assert_allclose(AxisAlignedIoU3D()(a, b), iou, rtol=1e-12)
    np.testing.assert_allclose(AxisAlignedIoU3D()(a, b, mode="giou"), giou, rtol=1e-12)
    with pytest.raises(ValueError, match="mode"):
        AxisAlignedIoU3D()(a, b, mode="iof")


@pytest.mark.parametrize("backend", ["numpy", "torch", "array_api_strict"])
@pytest.mark.parametrize("calculator", [BEVIoU(), NearestBEVIoU()], ids=repr)
def test_anchors_of_three_dimensions_are_assigned(calculator, backend):
    gts = turned(4, 0)
    priors = np.concatenate([gts + 0.05, turned(20, 1)])
    priors[6, 3] = np.nan
    assigner = MaxIoUAssigner(0.6, 0.45, 0.45, iou_calculator=calculator)
    target = get_target(backend)
    result = assigner.assign(target.from_numpy(priors), target.from_numpy(gts))
    gt_inds = target.to_numpy(result.gt_inds)
    assert gt_inds[:4].tolist() == [1, 2, 3, 4]
    assert gt_inds[6] == 0
    with pytest.raises(ValueError, match=r"priors: expected shape \(..., N, 7\)"):
        assigner.assign(target.from_numpy(priors[:, :5]), target.from_numpy(gts))

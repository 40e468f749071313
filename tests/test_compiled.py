"""The assigners by nearest priors under ``torch.compile(fullgraph=True)``, one padded batch each."""

import numpy as np
import pytest
import torch

from assigncore import ATSSAssigner, GridAssigner, PointAssigner, UniformAssigner
from assigncore.priors import AnchorGenerator

GRID = AnchorGenerator(strides=(8, 16, 32), ratios=(1.0,), scales=(4.0,)).grid(((16, 16), (8, 8), (4, 4)))
STRIDES = np.repeat([8, 16, 32], GRID.num_level_priors).astype(np.float32)
POINTS = np.concatenate([(GRID.priors[:, :2] + GRID.priors[:, 2:]) / 2, STRIDES[:, None]], axis=-1)


def batch():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 90, (2, 6, 2))
    gt_bboxes = np.concatenate([low, low + rng.uniform(8, 60, low.shape)], axis=-1).astype(np.float32)
    gt_bboxes[1, 2:] = np.nan
    return {
        "gt_bboxes": gt_bboxes,
        "gt_labels": rng.integers(0, 9, (2, 6)),
        "gt_valid": np.arange(6) < np.array([[6], [2]]),
    }


ATSS = ATSSAssigner(topk=4, ignore_iof_thr=0.5)
REGIONS = {"priors": GRID.priors, "ignore_bboxes": np.array([[10, 10, 50, 60]], dtype=np.float32)}
JITTERED = GRID.priors + np.random.default_rng(1).normal(0, 2, GRID.priors.shape).astype(np.float32)


@pytest.mark.parametrize(
    ("assign", "arrays"),
    [
        (lambda **x: ATSS.assign(**x, num_level_priors=GRID.num_level_priors), REGIONS),
        (PointAssigner(pos_num=4).assign, {"priors": POINTS}),
        (UniformAssigner(0.15, 0.7).assign, {"priors": GRID.priors, "pred_bboxes": JITTERED}),
    ],
    ids=["atss", "point", "uniform"],
)
def test_compiled_is_eager(assign, arrays):
    arrays = {**batch(), **arrays}
    expected = assign(**arrays)
    got = torch.compile(assign, fullgraph=True)(**{name: torch.tensor(x) for name, x in arrays.items()})
    assert (expected.gt_inds > 0).any()
    np.testing.assert_array_equal(got.gt_inds.numpy(), expected.gt_inds)
    np.testing.assert_array_equal(got.labels.numpy(), expected.labels)


def test_a_ground_truth_that_overlaps_nothing_takes_the_first_prior_there_is():
    # At this size PyTorch's compiler once read past the end of the flags among which the first is sought.
    x, y = np.meshgrid(np.arange(8), np.arange(7))
    low = np.stack([x.ravel(), y.ravel()], axis=-1) * np.float32(16)
    arrays = {
        "priors": np.concatenate([low, low + 16], axis=-1),
        "gt_bboxes": np.array([[0, 64, 16, 80], [64, 64, 74, 74], [128, 128, 144, 144]], dtype=np.float32),
        "gt_labels": np.array([3, 4, 5]),
        "responsible_flags": np.zeros(56, dtype=np.bool_),
    }
    assigner = GridAssigner(0.5, 0.5, min_pos_iou=-2.0, gt_max_assign_all=False)
    expected = assigner.assign(**arrays)
    compiled = torch.compile(assigner.assign, fullgraph=True)
    got = compiled(**{name: torch.tensor(x) for name, x in arrays.items()})
    np.testing.assert_array_equal(got.gt_inds.numpy(), expected.gt_inds)
    np.testing.assert_array_equal(got.max_overlaps.numpy(), expected.max_overlaps)

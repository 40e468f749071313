"""Masks at sampled points."""

import numpy as np
import pytest
import torch

from assigncore.costs import point_sample


def test_points_are_read_as_training_reads_them(target):
    rng = np.random.default_rng(0)
    masks = rng.normal(size=(2, 3, 5, 7)).astype(np.float32)
    points = rng.uniform(-0.1, 1.1, (2, 50, 2)).astype(np.float32)
    points[:, :4] = [[0, 0], [1, 1], [0.5, 0.5], [np.nan, 0.5]]
    grid = torch.tensor(points)[:, None] * 2 - 1
    expected = torch.nn.functional.grid_sample(torch.tensor(masks), grid, align_corners=False)[:, :, 0]
    expected[:, :, 3] = np.nan
    with target.running(x64=False):
        brought, at = target.from_numpy(masks), target.from_numpy(points)
        got = target.to_numpy(point_sample(brought, at))
        of_all = target.to_numpy(point_sample(brought, at[1, ...]))
    np.testing.assert_allclose(got, expected, atol=2e-6)
    np.testing.assert_array_equal(of_all[1], got[1])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float64])
def test_points_of_masks_of_any_kind(dtype):
    masks = np.array([[[0, 1], [0, 1]]], dtype=dtype)
    got = point_sample(masks, np.array([[0.5, 0.25]], dtype=np.float32))
    assert got.tolist() == [[0.5]]
    assert got.dtype == (np.float64 if dtype == np.float64 else np.float32)


def test_a_broken_pixel_spoils_only_the_points_it_bears_on():
    masks = np.array([[[np.nan, 1.0, 1.0]]])
    got = point_sample(masks, np.array([[0.4, 0.5], [0.9, 0.5], [2.0, 0.5]]))
    np.testing.assert_allclose(got, [[np.nan, 0.8, 0.0]])

"""Masks at sampled points, and in another size."""

import numpy as np
import pytest
import torch

from assigncore.costs import point_sample, resize_masks


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_points_are_read_as_training_reads_them(padding, target):
    rng = np.random.default_rng(0)
    masks = rng.normal(size=(2, 3, 5, 7)).astype(np.float32)
    points = rng.uniform(-0.1, 1.1, (2, 50, 2)).astype(np.float32)
    points[:, :4] = [[0, 0], [1, 1], [0.5, 0.5], [np.nan, 0.5]]
    grid = torch.tensor(points)[:, None] * 2 - 1
    expected = torch.nn.functional.grid_sample(
        torch.tensor(masks), grid, padding_mode=padding, align_corners=False
    )[:, :, 0]
    expected[:, :, 3] = np.nan
    with target.running(x64=False):
        brought, at = target.from_numpy(masks), target.from_numpy(points)
        got = target.to_numpy(point_sample(brought, at, padding=padding))
        of_all = target.to_numpy(point_sample(brought, at[1, ...], padding=padding))
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


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_the_nearest_pixel_is_the_one_that_training_reads(padding, target):
    rng = np.random.default_rng(1)
    masks = rng.normal(size=(2, 3, 5, 7)).astype(np.float32)
    points = rng.uniform(-0.1, 1.1, (2, 60, 2)).astype(np.float32)
    points[:, :3] = [[0, 0], [1, 1], [np.nan, 0.5]]
    grid = torch.tensor(points)[:, None] * 2 - 1
    expected = torch.nn.functional.grid_sample(
        torch.tensor(masks), grid, mode="nearest", padding_mode=padding, align_corners=False
    )[:, :, 0]
    expected[:, :, 2] = np.nan
    with target.running(x64=False):
        brought, at = target.from_numpy(masks), target.from_numpy(points)
        got = point_sample(brought, at, mode="nearest", padding=padding)
        np.testing.assert_array_equal(target.to_numpy(got), expected)


def test_of_two_equally_near_pixels_the_even_one_is_read():
    masks = np.arange(4.0)[None, None]
    points = np.array([[x, 0.5] for x in (0.25, 0.5, 0.75)])
    assert point_sample(masks, points, mode="nearest").tolist() == [[0.0, 2.0, 2.0]]
    with pytest.raises(ValueError, match=r"mode: .* nearest, got 'cubic'"):
        point_sample(masks, points, mode="cubic")
    with pytest.raises(ValueError, match=r"padding: .* border, got 'reflection'"):
        point_sample(masks, points, padding="reflection")


def test_beyond_the_last_centres_a_point_reads_the_border():
    masks = np.array([[[2.0, 4.0]]])
    points = np.array([[0.0, 0.5], [0.5, 1.0], [9.0, 0.5], [np.inf, 0.5]])
    assert point_sample(masks, points).tolist()[0][:3] == [1.0, 1.5, 0.0]
    np.testing.assert_array_equal(point_sample(masks, points, padding="border"), [[2.0, 3.0, 4.0, np.nan]])


@pytest.mark.parametrize("size", [(5, 7), (3, 2), (11, 5), (1, 40)])
def test_another_size_takes_the_pixels_that_training_takes(size, target):
    masks = np.random.default_rng(0).normal(size=(2, 5, 7)).astype(np.float32)
    expected = torch.nn.functional.interpolate(torch.tensor(masks)[:, None], size=size)[:, 0]
    with target.running(x64=False):
        got = target.to_numpy(resize_masks(target.from_numpy(masks), size))
    np.testing.assert_array_equal(got, expected)


def test_another_size_of_no_masks_and_of_no_pixels():
    assert resize_masks(np.zeros((0, 4, 4), dtype=bool), (2, 3)).shape == (0, 2, 3)
    with pytest.raises(ValueError, match="masks: expected at least one pixel"):
        resize_masks(np.zeros((2, 0, 4)), (2, 2))
    for size in ((0, 2), (2.5, 2)):
        with pytest.raises((ValueError, TypeError), match="size: expected"):
            resize_masks(np.zeros((2, 4, 4)), size)

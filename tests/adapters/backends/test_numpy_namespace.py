"""What the NumPy backend calls in place of array-api-compat gives what that gives."""

from itertools import product

import array_api_compat.numpy as compat
import numpy as np
import pytest

from assigncore import load_backend

XP = load_backend("numpy").xp

NUMBERS = np.random.default_rng(0).integers(-9, 9, (2, 3, 4))


def same(ours, theirs):
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("name", ["all", "any", "max", "min", "sum"])
@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "float32"])
def test_reductions(name, dtype):
    x = NUMBERS.astype(dtype)
    for axis, keepdims in product((None, 0, -1, (0, 2)), (False, True)):
        same(*(np.asarray(getattr(xp, name)(x, axis=axis, keepdims=keepdims)) for xp in (XP, compat)))


@pytest.mark.parametrize("name", ["all", "any", "sum"])
def test_reductions_of_nothing(name):
    same(*(np.asarray(getattr(xp, name)(np.zeros((2, 0)), axis=-1)) for xp in (XP, compat)))
    with pytest.raises(ValueError, match="zero-size"):
        XP.max(np.zeros((2, 0)), axis=-1)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_stack(axis):
    parts = [NUMBERS.astype(np.float32)[..., 0], NUMBERS.astype(np.float64)[..., 1]]
    same(*(xp.stack(parts, axis=axis) for xp in (XP, compat)))


@pytest.mark.parametrize("shape", [(4,), (1, 4), (1, 1, 4), (2, 4), (1, 0), (0, 4)])
def test_take_along_axis(shape):
    x = np.arange(np.prod(shape)).reshape(shape).astype(np.float32)
    for count in {0, min(1, shape[-1]), min(3, shape[-1])}:
        index = np.random.default_rng(1).integers(0, max(1, shape[-1]), (*shape[:-1], count))
        for axis in (-1, len(shape) - 1):
            same(*(xp.take_along_axis(x, index, axis=axis) for xp in (XP, compat)))


def test_take_along_another_axis():
    x, index = NUMBERS[:1, :1], np.array([[[0, 0, 0, 0]]])
    same(*(xp.take_along_axis(x, index, axis=1) for xp in (XP, compat)))

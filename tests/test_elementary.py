"""Elementary functions give equal bits in all libraries of the host."""

import array_api_strict
import numpy as np
import pytest
import torch

import assigncore as ac
from assigncore.backend import get_backend
from assigncore.backend.fast_path import without_numpy_fast_path
from assigncore.numerics import atan, exp, log, log1p, power


def power_of_ten(x):
    return get_backend(x).power_of_ten(x)


def tenths(x):
    return power(x, 0.7)


FUNCTIONS = (atan, exp, log, log1p, tenths, power_of_ten)
REFERENCES = (np.arctan, np.exp, np.log, np.log1p, lambda x: x**0.7, lambda x: 10.0**x)


def arguments(function, dtype=np.float32):
    """Return a hundred thousand numbers at which the function is finite, of many magnitudes."""
    rng = np.random.default_rng(7)
    sizes = np.exp(rng.uniform(-20, 3.5, 100_000))
    sign = 1 if function in (log, log1p, tenths) else rng.choice([-1, 1], sizes.shape)
    return (sizes * sign).astype(dtype)


def all_of(*arrays):
    return [function(x) for function, x in zip(FUNCTIONS, arrays, strict=True)]


def test_libraries_of_the_host_agree_in_every_bit():
    arrays = [arguments(function) for function in FUNCTIONS]
    expected = all_of(*arrays)
    assert all(x.dtype == np.float32 for x in expected)
    tensors = [torch.from_numpy(x) for x in arrays]
    eager = all_of(*tensors)
    compiled = torch.compile(all_of, fullgraph=True)(*tensors)
    strict = all_of(*map(array_api_strict.asarray, arrays))
    for values, *others in zip(expected, eager, compiled, map(np.asarray, strict), strict=True):
        for other in others:
            np.testing.assert_array_equal(np.asarray(other).view(np.int32), values.view(np.int32))


@pytest.mark.parametrize(("function", "reference"), list(zip(FUNCTIONS, REFERENCES, strict=True)))
def test_float32_is_rounded_from_float64_which_stays_as_it_is(function, reference):
    x = arguments(function)
    expected = reference(x.astype(np.float64)).astype(np.float32)
    assert (function(x) != expected).mean() <= 1e-5
    double = arguments(function, np.float64)
    np.testing.assert_array_equal(function(double), reference(double), strict=True)


def test_gradients_pass():
    x = torch.tensor([0.5, 2.0], requires_grad=True)
    exp(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.exp(x.detach()))


@pytest.mark.parametrize("library", ["torch", "strict", "compiled"])
def test_an_assigner_gives_the_bits_of_numpy(library):
    rng = np.random.default_rng(3)
    corner = rng.uniform(0, 60, (40, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(4, 30, corner.shape)], axis=-1).astype(np.float32)
    logits = rng.standard_normal((40, 5)).astype(np.float32)
    inputs = {"pred_bboxes": boxes, "gt_bboxes": boxes[:4] + 1, "pred_logits": logits}
    matcher = ac.HungarianAssigner([{"type": "FocalLossCost"}, {"type": "IoUCost", "iou_mode": "ciou"}])

    def terms(x, labels):
        return matcher.cost_terms(
            x["gt_bboxes"], gt_labels=labels, **{k: x[k] for k in x if k != "gt_bboxes"}
        )

    labels = np.arange(4)
    expected = terms(inputs, labels)
    convert = array_api_strict.asarray if library == "strict" else torch.from_numpy
    call = torch.compile(terms, fullgraph=True) if library == "compiled" else terms
    with without_numpy_fast_path():
        got = call({name: convert(x) for name, x in inputs.items()}, convert(labels))
    for name, values in expected.items():
        np.testing.assert_array_equal(np.asarray(got[name]), values)

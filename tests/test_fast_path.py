"""Which calls NumPy computes for another library, and that these are told by nothing but the time they take."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from assigncore import AssignResult, MaxIoUAssigner
from assigncore.backend.fast_path import numpy_fast_path, without_numpy_fast_path

PRIORS, GTS = torch.rand(5, 4), torch.rand(3, 4)


@dataclass(frozen=True)
class Probe:
    """Tells which library its arrays are of, as the assigners of the package would be asked to compute."""

    __module__ = "assigncore.probe"

    knob: Any = 0.5

    @numpy_fast_path
    def assign(self, priors, gt_bboxes, *, gt_labels=None, image_shape=None):
        own = priors[..., 0] > 2
        extras = {"own": own, "of_numpy": own | isinstance(gt_bboxes, np.ndarray)}
        return AssignResult(own * 0 + 1, priors[..., 0], gt_labels, int(gt_bboxes.shape[-2]), extras)


def is_by_numpy(*arguments, probe=Probe(), **named):
    return bool(probe.assign(*arguments, **named).extras["of_numpy"].all())


def test_tensors_of_the_host_go_to_numpy_and_come_back():
    result = Probe().assign(PRIORS, gt_bboxes=GTS, gt_labels=torch.arange(3), image_shape=(4, 5))
    assert is_by_numpy(PRIORS, GTS)
    assert all(isinstance(x, torch.Tensor) for x in result.tree_flatten()[0])
    torch.testing.assert_close(result.max_overlaps, PRIORS[:, 0], rtol=0, atol=0)
    assert result.labels.tolist() == [0, 1, 2]
    assert result.num_gts == 3


def test_others_are_left_where_they_are():
    with without_numpy_fast_path():
        assert not is_by_numpy(PRIORS, GTS)
    assert is_by_numpy(PRIORS, GTS)


def test_what_numpy_has_no_dtype_for_is_promoted_as_anywhere():
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand((40, 2), generator=generator) * 30
    priors = torch.cat([corner, corner + 8], dim=-1).bfloat16()
    boxes = priors[:6].float() + 0.3
    for first, second in ((priors, boxes), (boxes, priors), (priors, priors[:6])):
        got = MaxIoUAssigner(0.5, 0.4).assign(first, second)
        with without_numpy_fast_path():
            expected = MaxIoUAssigner(0.5, 0.4).assign(first, second)
        assert got.max_overlaps.dtype == expected.max_overlaps.dtype == torch.float32
        assert torch.equal(got.gt_inds, expected.gt_inds)
        assert torch.equal(got.max_overlaps, expected.max_overlaps)
    assert is_by_numpy(priors, boxes)


def test_parts_of_others_get_the_library_they_were_made_for():
    class Own:
        pass

    assert not is_by_numpy(PRIORS, GTS, probe=Probe(knob=Own()))
    assert not is_by_numpy(PRIORS, GTS, probe=Probe(knob=(0.5, Own())))
    assert is_by_numpy(PRIORS, GTS, probe=Probe(knob=(0.5, {"a": 1}, None)))

    class Mine(Probe):
        pass

    assert not is_by_numpy(PRIORS, GTS, probe=Mine())


def test_wrong_calls_are_refused_as_they_came():
    with pytest.raises(TypeError, match="positional argument"):
        Probe().assign(PRIORS, GTS, GTS)
    with pytest.raises(TypeError, match="multiple values for argument 'priors'"):
        Probe().assign(PRIORS, GTS, priors=GTS)
    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        Probe().assign(PRIORS, GTS, other=GTS)
    # Of two libraries: neither is converted.
    assert is_by_numpy(PRIORS, GTS.numpy())
    assert not is_by_numpy(PRIORS.numpy(), GTS)


def test_no_gradient_and_no_write_goes_through():
    priors = PRIORS.clone().requires_grad_()
    result = Probe().assign(priors, GTS)
    assert not result.max_overlaps.requires_grad
    result.gt_inds[:] = 7
    torch.testing.assert_close(priors.detach(), PRIORS, rtol=0, atol=0)


def test_a_compiler_sees_the_library_itself():
    assert not bool(torch.compile(Probe().assign, fullgraph=True)(PRIORS, GTS).extras["of_numpy"].any())

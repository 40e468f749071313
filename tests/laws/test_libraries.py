"""The libraries under the laws, by name: what cannot run here is skipped once, with its reason."""

import pytest
import torch

from assigncore.backend.fast_path import without_numpy_fast_path
from assigncore.conformance import TARGETS as KNOWN

from .checking import TARGETS, assert_same
from .scenes import FULL
from .subjects import SUBJECTS
from .test_empties import some_scene

WHY_NOT = {"cupy": "CuPy needs a CUDA device", "torch:cuda": "PyTorch on CUDA needs a CUDA device"}


@pytest.mark.parametrize("name", [name for name, target in KNOWN.items() if target.has_values])
def test_a_library_that_can_run_is_under_the_laws(name):
    target = KNOWN[name]
    reason = target.unavailable()
    if reason:
        pytest.skip(WHY_NOT.get(name, reason))
    assert target in TARGETS or name == "array_api_strict:device1"
    arguments = SUBJECTS[0].arguments(some_scene(FULL))
    got = SUBJECTS[0].run(target, arguments, eagerly=True)
    assert_same(got, SUBJECTS[0].read(arguments))
    assert (got["gt_inds"] > 0).any()


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_pytorch_gets_of_numpy_what_it_would_compute(subject):
    arguments = subject.arguments(some_scene(FULL, tied=subject.tied))
    tensors = {name: torch.tensor(x) for name, x in arguments.items()}
    got = subject.assign(**tensors)
    with without_numpy_fast_path():
        own = subject.assign(**tensors)
    assert {name: x.dtype for name, x in got.items()} == {name: x.dtype for name, x in own.items()}
    assert_same(
        {name: x.numpy() for name, x in got.items()},
        {name: x.numpy() for name, x in own.items()},
        subject.rtol,
    )

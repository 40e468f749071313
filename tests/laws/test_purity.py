"""Purity: inputs are never written to, results carry no gradient, and the same inputs give the same bits."""

import jax
import numpy as np
import pytest
import torch

from assigncore.conformance import get_target

from .checking import assert_same, for_all, on_every_target, scenes_for
from .scenes import FLOATS, FULL
from .subjects import COMPILED_OFTEN, LEADERS, SUBJECTS
from .test_empties import some_scene


@on_every_target(LEADERS, jax=COMPILED_OFTEN)
def test_inputs_are_not_written_to(subject, target):
    @for_all(target, scenes_for(subject), share=0.1)
    def check(scene):
        arguments = {name: x.copy() for name, x in subject.arguments(scene).items()}
        for x in arguments.values():
            x.setflags(write=False)
        with target.running(x64=False):
            arrays = {name: target.from_numpy(x) for name, x in arguments.items()}
            subject.assign(**arrays)
            for name, x in subject.arguments(scene).items():
                np.testing.assert_array_equal(target.to_numpy(arrays[name]), x, err_msg=name)


@on_every_target(LEADERS)
def test_the_same_inputs_give_the_same_bits(subject, target):
    @for_all(target, scenes_for(subject), share=0.05)
    def check(scene):
        arguments = subject.arguments(scene)
        assert_same(subject.run(target, arguments), subject.run(target, arguments))


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_the_layout_in_memory_decides_nothing(subject):
    arguments = subject.arguments(some_scene(FULL, tied=subject.tied))
    expected = subject.expected(get_target("numpy"), arguments)
    columns_first = {name: np.asfortranarray(x) for name, x in arguments.items()}
    spread = {name: np.repeat(x, 2, axis=0)[::2] for name, x in arguments.items()}
    backwards = {name: np.ascontiguousarray(x[::-1])[::-1] for name, x in arguments.items()}
    for layout in (columns_first, spread, backwards):
        outputs = {name: np.asarray(x) for name, x in subject.assign(**layout).items()}
        assert_same(outputs, expected, subject.rtol)


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_no_gradient_in_pytorch(subject):
    arguments = {name: torch.from_numpy(x) for name, x in subject.arguments(some_scene(FULL)).items()}
    for name in FLOATS:
        if name in arguments:
            arguments[name].requires_grad_()
    for name, x in subject.assign(**arguments).items():
        assert not x.requires_grad, name


@pytest.mark.parametrize("subject", LEADERS, ids=str)
def test_no_gradient_in_jax(subject):
    arguments = {name: jax.numpy.asarray(x) for name, x in subject.arguments(some_scene(FULL)).items()}
    boxes = {name: x for name, x in arguments.items() if name in FLOATS}

    def total(boxes):
        outputs = subject.assign(**{**arguments, **boxes})
        return sum(jax.numpy.sum(x) * 1.0 for x in outputs.values()) + jax.numpy.sum(boxes[subject.first])

    gradients = jax.jit(jax.grad(total))(boxes)
    for name, x in gradients.items():
        expected = np.ones_like(x) if name == subject.first else np.zeros_like(x)
        np.testing.assert_array_equal(x, expected, err_msg=name)

"""What the laws' tests share: which assigners meet which libraries, on how many examples, compared how."""

import numpy as np
import pytest
from hypothesis import given, settings

from assigncore.conformance import available_targets

from .scenes import FULL, any_scenes
from .subjects import COMPILED, SUBJECTS

TARGETS = [target for target in available_targets() if target.name != "array_api_strict:device1"]
"""The libraries that can run here. On a second device the same code runs; laws about placement go there."""

# NumPy is held against the plain readings most; the others repeat the laws at the price of their calls.
EXAMPLES = {"numpy": 60, "numpy:kernels": 25, "torch": 25, "jax": 25}
OTHERS = 8


def on_every_target(subjects=SUBJECTS, *, jax=COMPILED):
    """Parametrize a test with every subject on every library.

    Parameters
    ----------
    subjects : sequence of Subject
        What is tested.
    jax : sequence of Subject
        Which of them stand for all on JAX, where a test with shapes of its own compiles for each.

    Of assigners that read predictions, NumPy runs every subject, and other libraries the first of each.
    """
    cases = [
        pytest.param(subject, target, id=f"{subject}-{target.name}")
        for subject in subjects
        for target in TARGETS
        if target.name == "numpy" or subject in (jax if target.library == "jax" else COMPILED)
    ]
    return pytest.mark.parametrize(("subject", "target"), cases)


on_targets = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
"""Parametrize a test with every library."""


def for_all(target, *strategies, share=1.0):
    """Run the decorated function at once, on as many examples as the target is worth."""
    examples = max(3, round(share * EXAMPLES.get(target.name, OTHERS)))

    def run(check):
        settings(max_examples=examples)(given(*strategies)(check))()

    return run


def assert_same(got, expected, rtol=0.0):
    """Compare outputs bit for bit, or numbers up to `rtol`."""
    assert set(got) == set(expected)
    for name, array in expected.items():
        assert got[name].shape == array.shape, name
        assert np.dtype(got[name].dtype).kind == np.dtype(array.dtype).kind, name
        assert_equal(got[name], array, name, rtol)


def assert_equal(got, expected, name, rtol=0.0):
    """Compare one output bit for bit, or where it is numbers up to `rtol`."""
    if rtol and np.dtype(expected.dtype).kind == "f":
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol, err_msg=name)
    else:
        np.testing.assert_array_equal(got, expected, err_msg=name)


def scenes_for(subject, sizes=FULL):
    """Give scenes of every kind that a subject can be held to the laws on."""
    return any_scenes(sizes, tied=subject.tied)


def stacked(images, lead):
    """Batch the outputs of several images, with the leading dimensions `lead`."""
    batch = {name: np.stack([image[name] for image in images]) for name in images[0]}
    return {name: array.reshape(*lead, *array.shape[1:]) for name, array in batch.items()}

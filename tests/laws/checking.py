"""What the laws' tests share: which assigners meet which libraries, on how many examples, compared how."""

import numpy as np
import pytest
from hypothesis import given, settings

from assigncore.conformance import available_targets

from .subjects import SUBJECTS

TARGETS = [target for target in available_targets() if target.name != "array_api_strict:device1"]
"""The libraries that can run here. On a second device the same code runs; laws about placement go there."""

# NumPy is held against the plain readings most; the others repeat the laws at the price of their calls.
EXAMPLES = {"numpy": 60, "torch": 25, "jax": 25}
OTHERS = 8


def on_every_target(subjects=SUBJECTS, *, jax=SUBJECTS):
    """Parametrize a test with every subject on every library.

    Parameters
    ----------
    subjects : sequence of Subject
        What is tested.
    jax : sequence of Subject
        Which of them stand for all on JAX, where a test with shapes of its own compiles for each.
    """
    cases = [
        pytest.param(subject, target, id=f"{subject}-{target.name}")
        for subject in subjects
        for target in TARGETS
        if subject in jax or target.library != "jax"
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


def assert_same(got, expected):
    """Compare outputs bit for bit."""
    assert set(got) == set(expected)
    for name, array in expected.items():
        assert got[name].shape == array.shape, name
        assert np.dtype(got[name].dtype).kind == np.dtype(array.dtype).kind, name
        np.testing.assert_array_equal(got[name], array, err_msg=name)


def stacked(images, lead):
    """Batch the outputs of several images, with the leading dimensions `lead`."""
    batch = {name: np.stack([image[name] for image in images]) for name in images[0]}
    return {name: array.reshape(*lead, *array.shape[1:]) for name, array in batch.items()}

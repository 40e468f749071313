"""Memory: how much may be taken decides how pairs are cut up, and nothing else."""

import numpy as np
import pytest

from assigncore import memory_budget

from .checking import TARGETS, assert_same
from .scenes import FULL, MASK_SHAPE, predictions
from .subjects import LEADERS, SUBJECTS
from .test_empties import some_scene

READ_BY_HOST = [target for target in TARGETS if target.library in ("numpy", "torch")]
"""Where the host sees the boxes at no cost, pairs that cannot touch are skipped."""

BUDGETS = [1, 1500, 20_000, 2**40]


def crowd(n_priors, n_gts, seed):
    """Give small boxes in rows across an image, as anchors lie, and objects that few of them touch."""
    rng = np.random.default_rng(seed)

    def small(count):
        corner = np.sort(rng.integers(0, 90, count)), rng.integers(0, 90, count)
        corner = np.stack(corner[::-1], axis=-1)
        return np.concatenate([corner, corner + rng.integers(0, 12, (count, 2))], axis=-1).astype(np.float32)

    def mask(count, share):
        return rng.random(count) < share

    priors = small(n_priors)
    return {
        "priors": priors,
        "prior_valid": mask(n_priors, 0.95),
        "approxs": priors[:, None] + rng.integers(-2, 3, (n_priors, FULL.approxs, 4)).astype(np.float32),
        "responsible_flags": mask(n_priors, 0.7),
        "gt_bboxes": rng.permutation(small(n_gts)),
        "gt_labels": rng.integers(0, 9, n_gts),
        "gt_valid": mask(n_gts, 0.9),
        "ignore_bboxes": small(5),
        "ignore_valid": mask(5, 0.8),
        "gt_masks": rng.random((n_gts, *MASK_SHAPE)) < 0.4,
        **predictions(priors, rng, tied=False),
    }


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
@pytest.mark.parametrize("target", [t for t in TARGETS if t.library != "jax"], ids=lambda t: t.name)
def test_results_do_not_depend_on_the_budget(subject, target):
    small = target.library not in ("numpy", "torch")
    arguments = subject.arguments(crowd(30, 6, 0) if small else crowd(300, 30, 0))
    expected = subject.expected(target, arguments)
    for budget in BUDGETS:
        with memory_budget(budget):
            assert_same(subject.run(target, arguments), expected, subject.rtol)


@pytest.mark.parametrize("subject", LEADERS[:1], ids=str)
def test_nor_in_jax(subject):
    [target] = [t for t in TARGETS if t.library == "jax"]
    arguments = subject.arguments(some_scene(FULL))
    with memory_budget(300):
        assert_same(subject.run(target, arguments, eagerly=True), subject.read(arguments))


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
@pytest.mark.parametrize("target", READ_BY_HOST, ids=lambda target: target.name)
def test_a_batch_cut_into_tiles_is_its_images(subject, target):
    images = [subject.arguments(crowd(200, 20, seed)) for seed in range(2)]
    batch = {name: np.stack([image[name] for image in images]) for name in images[0]}
    first = subject.first
    with memory_budget(5_000):
        got = subject.run(target, batch)
        shared = subject.run(target, {**batch, first: images[0][first]})
    for row, image in enumerate(images):
        alone = subject.expected(target, image)
        assert_same({name: x[row] for name, x in got.items()}, alone, subject.rtol)
        mixed = subject.expected(target, {**image, first: images[0][first]})
        assert_same({name: x[row] for name, x in shared.items()}, mixed, subject.rtol)

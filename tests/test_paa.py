"""The mixture of two normal distributions, beside scikit-learn's, and the reassignment that PAA makes by it."""

import warnings

import numpy as np
import pytest

from assigncore import AssignResult, MaxIoUAssigner, reassign_by_losses
from assigncore.conformance import get_target
from assigncore.matching.mixture import two_gaussians


def drawn(seed):
    """Draw losses of two kinds, good ones and others, or all of one kind."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 46))
    good, bad = rng.gamma(2, 0.3, count), rng.normal(rng.uniform(0.5, 4), 0.4, count)
    return np.where(rng.random(count) < rng.choice([0, 0.5, 1]), good, bad)


def fitted(losses):
    """Fit scikit-learn's mixture as PAA does."""
    mixture = pytest.importorskip("sklearn.mixture").GaussianMixture(
        2,
        weights_init=[0.5, 0.5],
        means_init=[[losses.min()], [losses.max()]],
        precisions_init=[[1.0], [1.0]],
        covariance_type="diag",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mixture.fit(losses[:, None])


@pytest.mark.parametrize("seed", range(60))
def test_it_is_the_mixture_of_scikit_learn(seed):
    losses = drawn(seed)
    expected, found = fitted(losses), two_gaussians(losses)
    np.testing.assert_allclose(found.means, expected.means_[:, 0], atol=1e-6)
    np.testing.assert_allclose(found.variances, expected.covariances_[:, 0], atol=1e-6)
    np.testing.assert_allclose(found.weights, expected.weights_, atol=1e-6)
    np.testing.assert_array_equal(found.is_first, expected.predict(losses[:, None]) == 0)
    np.testing.assert_allclose(found.log_density, expected.score_samples(losses[:, None]), atol=1e-6)


def published(codes, losses, num_level_priors, topk):
    """Keep positives by scikit-learn's mixture, an object after the other, as PAA's head does."""
    ends = np.cumsum(num_level_priors)
    kept = []
    for gt in range(1, codes.max() + 1):
        own = []
        for start, end in zip([0, *ends], ends, strict=False):
            level = [n for n in range(start, end) if codes[n] == gt]
            own += sorted(level, key=lambda n: losses[n])[:topk]
        if len(own) < 2:
            continue
        own = np.array(sorted(own, key=lambda n: losses[n]))
        mixture = fitted(losses[own])
        first = mixture.predict(losses[own, None]) == 0
        if first.any():
            density = mixture.score_samples(losses[own, None])[first]
            kept += own[first][: density.argmax() + 1].tolist()
    return np.where(np.isin(np.arange(len(codes)), kept) | (codes < 0), codes, 0)


def assigned(seed, n_gts=5):
    """Draw a generous first assignment, and losses."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, n_gts + 1, 160)
    losses = np.where(rng.random(160) < 0.4, rng.gamma(2, 0.2, 160), rng.normal(3, 0.6, 160))
    return codes, losses


LEVELS = (100, 40, 0, 20)


@pytest.mark.parametrize("seed", range(20))
def test_positives_are_kept_as_pa_as_head_keeps_them(seed):
    codes, losses = assigned(seed)
    codes[codes == 5] = 0
    codes[7] = 5  # A single positive, which is lost.
    result = AssignResult(codes, None, np.where(codes > 0, 1, -1), num_gts=5)
    found = reassign_by_losses(result, losses, num_level_priors=LEVELS, topk=6)
    np.testing.assert_array_equal(found.gt_inds, published(codes, losses, LEVELS, 6))
    np.testing.assert_array_equal(found.labels, np.where(found.gt_inds > 0, 1, -1))
    assert 0 < (found.gt_inds > 0).sum() < (codes > 0).sum()


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "array_api_strict"])
def test_a_batch_on_any_library_compiled_or_not_keeps_what_its_images_keep(library):
    target = get_target(library)
    images = [assigned(seed) for seed in range(3)]
    with target.running(x64=True):
        codes = target.from_numpy(np.stack([codes for codes, _ in images]))
        losses = target.from_numpy(np.stack([losses for _, losses in images]))

        def reassign(codes, losses):
            result = AssignResult(codes, None, None, num_gts=5)
            return reassign_by_losses(result, losses, num_level_priors=LEVELS).gt_inds

        found = target.to_numpy(reassign(codes, losses))
        if library in ("torch", "jax"):
            captured = target.capture(lambda codes, losses: reassign(codes, losses))
            np.testing.assert_array_equal(target.to_numpy(captured(codes=codes, losses=losses)), found)
    for (codes, losses), of_image in zip(images, found, strict=True):
        alone = reassign_by_losses(AssignResult(codes, None, None, 5), losses, num_level_priors=LEVELS)
        np.testing.assert_array_equal(of_image, alone.gt_inds)


def test_what_does_not_count_changes_nothing():
    losses = drawn(3)
    padded = np.concatenate([losses, [0.0, np.nan, np.inf]])
    counts = np.arange(len(padded)) < len(losses)
    alone, beside = two_gaussians(losses), two_gaussians(padded, counts | ~np.isfinite(padded))
    np.testing.assert_array_equal(beside.means, alone.means)
    np.testing.assert_array_equal(beside.is_first, [*alone.is_first, False, False, False])
    none = two_gaussians(losses, np.zeros(len(losses), dtype=bool))
    assert not none.is_first.any()
    assert (none.log_density == -np.inf).all()


def test_nothing_to_reassign():
    empty = MaxIoUAssigner(0.1, 0.1).assign(np.zeros((4, 4)), np.zeros((0, 4)))
    found = reassign_by_losses(empty, np.zeros(4), num_level_priors=(4,))
    assert found.gt_inds.tolist() == [0, 0, 0, 0]
    broken = AssignResult(np.array([1, 1, 1]), None, None, 1)
    assert reassign_by_losses(broken, np.full(3, np.nan), num_level_priors=(3,)).gt_inds.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("losses", "levels", "topk", "words"),
    [
        (np.zeros(3), (4,), 9, "losses: expected shape"),
        (np.zeros(4), (3,), 9, "num_level_priors: expected numbers that sum to the 4 priors"),
        (np.zeros(4, dtype=int), (4,), 9, "losses: expected"),
        (np.zeros(4), (4,), 0, "topk: expected"),
    ],
)
def test_wrong_calls_are_named(losses, levels, topk, words):
    result = AssignResult(np.array([1, 1, 0, 0]), None, None, 1)
    with pytest.raises((TypeError, ValueError), match=words):
        reassign_by_losses(result, losses, num_level_priors=levels, topk=topk)

"""Beneath ``jax.jit`` a scene beyond the budget goes through chunks: the same answers, and memory that is bounded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import assigncore as ac
from assigncore import memory_budget
from assigncore.backend.memory import DEFAULT_MEMORY_BUDGET

N, G, B = 40, 4, 2


def boxes(rng, count, lead=()):
    corner = rng.integers(0, 20, (*lead, count, 2))
    return np.concatenate([corner, corner + rng.integers(-2, 12, corner.shape)], axis=-1).astype(np.float32)


def with_strides(rng, priors):
    strides = 2.0 ** rng.integers(1, 4, (*priors.shape[:-1], 1))
    return np.concatenate([priors[..., :2], strides], axis=-1).astype(np.float32)


CALLS = {
    "max_iou": (ac.MaxIoUAssigner(0.5, 0.4, 0.0, ignore_iof_thr=0.5), ("ignore_bboxes",)),
    "max_iou_first": (ac.MaxIoUAssigner(0.5, 0.4, 0.1, gt_max_assign_all=False), ()),
    "matcher": (ac.Matcher((0.3, 0.5), (0, -1, 1), True), ()),
    "approx_max_iou": (ac.ApproxMaxIoUAssigner(0.5, 0.4, 0.1), ("approxs",)),
    "grid": (ac.GridAssigner(0.5, 0.4, 0.1), ("responsible_flags",)),
    "atss": (ac.ATSSAssigner(5, ignore_iof_thr=0.5), ("ignore_bboxes",)),
    "uniform": (ac.UniformAssigner(0.15, 0.7, match_times=3), ("pred_bboxes",)),
    "point": (ac.PointAssigner(4, 3), ()),
}


@pytest.mark.parametrize(("name", "budget"), [*((name, 8000) for name in CALLS), ("max_iou", 1), ("atss", 1)])
def test_the_answers_are_those_of_all_pairs_at_once(name, budget):
    assigner, takes = CALLS[name]
    static = {"num_level_priors": (N - 12, 10, 2)} if name == "atss" else {}
    compiled = jax.jit(lambda arrays: assigner.assign(**arrays, **static))
    for seed, share in enumerate((0.8, 1.0, 0.0)):
        rng = np.random.default_rng(seed)
        priors = boxes(rng, N)
        extra = {
            "ignore_bboxes": boxes(rng, 2, (B,)),
            "approxs": boxes(rng, 3 * N).reshape(N, 3, 4),
            "responsible_flags": rng.random((B, N)) < 0.5,
            "pred_bboxes": boxes(rng, N, (B,)),
        }
        arrays = {
            "priors": with_strides(rng, priors) if name == "point" else priors,
            "gt_bboxes": boxes(rng, G, (B,)),
            "gt_valid": rng.random((B, G)) < 0.8,
            "prior_valid": rng.random((B, N)) < share,
            **{key: extra[key] for key in takes},
        }
        expected = assigner.assign(**arrays, **static)
        with memory_budget(budget):
            got = compiled({key: jnp.asarray(x) for key, x in arrays.items()})
        for one, other in zip(got.tree_flatten()[0], expected.tree_flatten()[0], strict=True):
            if other is not None:
                np.testing.assert_array_equal(np.asarray(one), other)


@pytest.mark.parametrize("name", ["max_iou", "atss"])
def test_the_memory_of_a_compiled_call_stays_under_the_budget(name, optimising_jax):
    n_priors, n_gts = 200_700, 2000
    static = {"num_level_priors": (n_priors - 20_000, 20_000)} if name == "atss" else {}
    assign = optimising_jax.compile(lambda *given: CALLS[name][0].assign(*given, **static).gt_inds)
    shapes = (jax.ShapeDtypeStruct((n, 4), jnp.float32) for n in (n_priors, n_gts))
    # Of all pairs at once a single array would be 1.6 GB.
    assert assign.lower(*shapes).compile().memory_analysis().temp_size_in_bytes < DEFAULT_MEMORY_BUDGET

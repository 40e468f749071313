"""The same beneath a compiler."""

import jax
import numpy as np
import pytest
import torch

from assigncore import HungarianAssigner

from .scenes import COSTS, MASKS, SIZE, TOPK, detr, draw, of_masks, of_scores, pad


@pytest.mark.parametrize("compiler", ["torch", "jax"])
@pytest.mark.parametrize("knobs", [{}, {"repeat": 2, "groups": 2}, {"nonfinite": "forbid"}], ids=str)
def test_compiled(compiler, knobs):
    arrays = pad(draw(lead=(2,)), 24, 6)
    assigner = HungarianAssigner(COSTS, **knobs)

    def assign(**arrays):
        return assigner.assign(**arrays, image_shape=SIZE)

    expected = assign(**arrays)
    if compiler == "jax":
        got = jax.jit(assign)(**arrays)
    else:
        got = torch.compile(assign, fullgraph=True)(**{name: torch.tensor(x) for name, x in arrays.items()})
    assert (expected.gt_inds > 0).any()
    np.testing.assert_array_equal(np.asarray(got.gt_inds), expected.gt_inds)
    np.testing.assert_array_equal(np.asarray(got.labels), expected.labels)


@pytest.mark.parametrize("assigner", [MASKS, TOPK], ids=["masks", "topk"])
@pytest.mark.parametrize("compiler", ["torch", "jax"])
def test_compiled_masks_and_several_a_ground_truth(compiler, assigner):
    arrays = of_masks(draw(lead=(2,))) if assigner is MASKS else of_scores(draw(lead=(2,)))
    more = {} if assigner is MASKS else {"image_shape": SIZE}

    def assign(**arrays):
        return assigner.assign(**arrays, **more)

    if compiler == "jax":
        got = jax.jit(assign)(**arrays)
    else:
        got = torch.compile(assign, fullgraph=True)(**{name: torch.tensor(x) for name, x in arrays.items()})
    np.testing.assert_array_equal(np.asarray(got.gt_inds), assign(**arrays).gt_inds)


def test_a_jax_matching_can_be_within_a_gradient_and_a_map():
    arrays = {name: jax.numpy.asarray(x) for name, x in draw(lead=(2,)).items()}

    def loss(pred_bboxes):
        result = detr({**arrays, "pred_bboxes": pred_bboxes})
        return jax.numpy.sum(pred_bboxes[..., 0] * result.pos_mask)

    expected = detr(arrays).pos_mask
    np.testing.assert_array_equal(jax.jit(jax.grad(loss))(arrays["pred_bboxes"])[..., 0], expected)
    mapped = jax.vmap(lambda x: detr(x))(arrays)
    np.testing.assert_array_equal(mapped.pos_mask, expected)


@pytest.mark.parametrize("compiler", ["torch", "jax"])
def test_compiled_a_cost_that_is_not_finite_raises_when_it_runs(compiler):
    arrays = draw(lead=(2,))
    arrays["pred_bboxes"][1, 3] = np.nan

    def assign(**arrays):
        return detr(arrays).gt_inds

    # JAX raises an error of its own, which quotes the host's.
    kinds = (ValueError, RuntimeError) if compiler == "jax" else ValueError
    if compiler == "torch":
        arrays = {name: torch.tensor(x) for name, x in arrays.items()}
    compiled = jax.jit(assign) if compiler == "jax" else torch.compile(assign, fullgraph=True)
    with pytest.raises(kinds, match="cost of problem 1, row 3 and column 0: expected a finite number"):
        np.asarray(compiled(**arrays))

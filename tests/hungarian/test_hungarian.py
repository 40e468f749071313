"""The laws every assigner by the matching of least total cost obeys."""

import numpy as np
import pytest
import torch

from assigncore import memory_budget

from .scenes import DETR, MASKS, SIZE, TOPK, detr, draw, each_assigner, masks, of_masks, of_scores, pad, topk


@pytest.mark.parametrize("assign", [detr, topk])
def test_padding_changes_nothing_whatever_it_holds(assign):
    alone, padded = assign(draw()), assign(pad(draw(), 25, 7))
    np.testing.assert_array_equal(padded.gt_inds[:20], alone.gt_inds)
    np.testing.assert_array_equal(padded.labels[:20], alone.labels)
    assert (padded.gt_inds[20:] == -1).all()
    assert (padded.labels[20:] == -1).all()
    for name, x in alone.extras.items():
        np.testing.assert_array_equal(padded.extras[name], np.append(x, np.zeros(5)))


@each_assigner
def test_a_batch_of_layers_and_images_is_each_alone(assign):
    arrays = draw(lead=(3, 2))
    together = assign(arrays)
    assert together.gt_inds.shape == together.labels.shape == (3, 2, 20)
    if assign is masks:
        each = of_masks(arrays)
        one = MASKS.assign(**{name: x[2, 1] for name, x in each.items()})
    else:
        one = assign({name: x[2, 1] for name, x in arrays.items()})
    np.testing.assert_array_equal(together[2, 1].gt_inds, one.gt_inds)
    np.testing.assert_array_equal(together[2, 1].labels, one.labels)


def test_layers_share_the_ground_truth():
    arrays = draw(lead=(3, 2))
    arrays["gt_bboxes"], arrays["gt_labels"] = arrays["gt_bboxes"][0], arrays["gt_labels"][0]
    together = detr(arrays)
    for layer in range(3):
        own = {name: x if name.startswith("gt") else x[layer] for name, x in arrays.items()}
        np.testing.assert_array_equal(together[layer].gt_inds, detr(own).gt_inds)


@each_assigner
@pytest.mark.parametrize(("n", "g"), [(0, 4), (20, 0), (0, 0)])
@pytest.mark.parametrize("lead", [(), (2,), (0,)])
def test_empties(assign, n, g, lead):
    result = assign(draw(n=n, g=g, lead=lead))
    np.testing.assert_array_equal(result.gt_inds, np.zeros((*lead, n)))
    np.testing.assert_array_equal(result.labels, np.full((*lead, n), -1))
    assert result.num_gts == g


@each_assigner
def test_an_image_of_padding_alone_is_background_beside_another(assign):
    arrays = draw(lead=(2,))
    valid = np.array([[True] * 4, [False] * 4])
    result = assign(arrays, gt_valid=valid)
    np.testing.assert_array_equal(result.gt_inds[0], assign(arrays).gt_inds[0])
    assert (result.gt_inds[1] == 0).all()
    assert (assign(arrays, prior_valid=np.zeros(20, dtype=bool)).gt_inds == -1).all()


@each_assigner
def test_each_ground_truth_is_matched_and_no_prediction_twice(assign):
    result = assign(draw(lead=(5,)))
    assert (result.positives_per_gt == (3 if assign is topk else 1)).all()


@each_assigner
def test_in_every_library(assign, target):
    arrays = draw(lead=(2,))
    expected = assign(arrays)
    run = {detr: DETR, masks: MASKS, topk: TOPK}[assign]
    given = {detr: lambda x: x, masks: of_masks, topk: of_scores}[assign](arrays)
    shape = {} if assign is masks else {"image_shape": SIZE}
    with target.running(x64=False):
        got = run.assign(**{name: target.from_numpy(x) for name, x in given.items()}, **shape)
        np.testing.assert_array_equal(target.to_numpy(got.gt_inds), expected.gt_inds)
        np.testing.assert_array_equal(target.to_numpy(got.labels), expected.labels)


def test_results_carry_no_gradient():
    arrays = {name: torch.tensor(x) for name, x in of_scores(draw()).items()}
    arrays["pred_bboxes"].requires_grad_()
    result = TOPK.assign(**arrays, image_shape=SIZE)
    assert not result.max_overlaps.requires_grad
    assert not result.extras["assign_metrics"].requires_grad


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_raised(dtype):
    arrays = {name: torch.tensor(x) for name, x in draw().items()}
    half = {name: x.to(getattr(torch, dtype)) if x.is_floating_point() else x for name, x in arrays.items()}
    raised = {name: x.float() if x.is_floating_point() else x for name, x in half.items()}
    assert torch.equal(detr(half).gt_inds, detr(raised).gt_inds)


@each_assigner
def test_inputs_are_not_written(assign):
    arrays = draw()
    assign(arrays)
    for name, x in draw().items():
        np.testing.assert_array_equal(arrays[name], x)


def test_memory_decides_nothing():
    arrays = draw(n=300, g=9, lead=(2,))
    with memory_budget(1):
        small = detr(arrays)
    np.testing.assert_array_equal(small.gt_inds, detr(arrays).gt_inds)


def test_the_image_shape_of_each_image_as_an_array():
    arrays = draw(lead=(2,))
    result = detr(arrays, image_shape=np.array([SIZE, (40, 30)]))
    for i, shape in enumerate([SIZE, (40, 30)]):
        one = {name: x[i] for name, x in arrays.items()}
        np.testing.assert_array_equal(result[i].gt_inds, detr(one, image_shape=shape).gt_inds)

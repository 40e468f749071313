"""Setting repeated ground truths apart."""

import copy
import pickle

import pytest
import torch

from assigncore.adapters import mmdet
from assigncore.adapters.mmdet.jitter import RepeatJitter

from ..instances import Instances, boxes

TWICE = boxes([10, 10, 90, 70], [40, 30, 80, 95], [10, 10, 90, 70], [10, 10, 90, 70])
CALCULATOR = mmdet.BboxOverlaps2D()


def test_only_repeated_boxes_move_and_not_far():
    moved = RepeatJitter(seed=0)(TWICE, CALCULATOR)
    assert torch.equal(moved[1], TWICE[1])
    assert len(moved.unique(dim=0)) == 4
    assert (CALCULATOR(TWICE, moved, is_aligned=True) >= 0.97).all()
    assert torch.equal(TWICE[0], TWICE[2])


def test_boxes_that_are_all_different_stay():
    assert torch.equal(RepeatJitter(seed=0)(TWICE[:2], CALCULATOR), TWICE[:2])
    assert torch.equal(RepeatJitter(seed=0)(TWICE[:0], CALCULATOR), TWICE[:0])


def test_the_same_seed_moves_alike_and_goes_on_from_call_to_call():
    one, two = RepeatJitter(seed=3), RepeatJitter(seed=3)
    first = one(TWICE, CALCULATOR)
    assert torch.equal(first, two(TWICE, CALCULATOR))
    assert not torch.equal(first, one(TWICE, CALCULATOR))
    assert not torch.equal(first, RepeatJitter(seed=4)(TWICE, CALCULATOR))


def test_a_generator_may_be_handed_in():
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(
        RepeatJitter(generator=generator)(TWICE, CALCULATOR), RepeatJitter(seed=3)(TWICE, CALCULATOR)
    )


def test_without_a_seed_the_global_generator_decides():
    torch.manual_seed(5)
    first = RepeatJitter()(TWICE, CALCULATOR)
    torch.manual_seed(5)
    assert torch.equal(first, RepeatJitter()(TWICE, CALCULATOR))


def test_an_overlap_that_cannot_be_met_takes_the_last_draw():
    moved = RepeatJitter(iou_thr=1.1, perm_range=0.01, seed=0)(TWICE, CALCULATOR)
    assert len(moved.unique(dim=0)) == 4
    # The range shrinks by a thousandth a draw, from a hundredth to half of it at the sixth.
    assert ((moved / TWICE - 1).abs() <= 0.005 + 1e-6).all()


def assign(assigner):
    priors = TWICE[:1] * torch.linspace(0.99, 1.01, 41)[:, None]
    return assigner.assign(
        Instances(priors=priors), Instances(bboxes=TWICE[[0, 2]], labels=torch.tensor([1, 2]))
    )


def test_repeated_ground_truths_share_the_priors_between_them():
    knobs = {"pos_iou_thr": 0.7, "neg_iou_thr": 0.3}
    alone = assign(mmdet.MaxIoUAssigner(**knobs, match_low_quality=False)).gt_inds
    assert set(alone.tolist()) == {1}
    config = {"iou_thr": 0.97, "perm_range": 0.01, "seed": 0}
    apart = assign(mmdet.MaxIoUAssigner(**knobs, perm_repeat_gt_cfg=config)).gt_inds
    assert set(apart.tolist()) == {1, 2}


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_goes_on_as_the_original_does(twin_of):
    assigner = mmdet.MaxIoUAssigner(0.7, 0.3, perm_repeat_gt_cfg={"seed": 0})
    assign(assigner)
    twin = twin_of(assigner)
    assert torch.equal(assign(twin).max_overlaps, assign(assigner).max_overlaps)

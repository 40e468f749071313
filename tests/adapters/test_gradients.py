"""What upstream hands back of the caller's predictions stays attached to them; all else carries no gradient."""

import pytest
import torch
from torch.utils import _pytree as pytree

from assigncore.adapters import mmdet, mmdet2
from assigncore.conformance.goldens.dropins import CALLS, CALLS_2, call_2, call_3

from .golden import cases, tensors
from .instances import Instances
from .test_compiled import CALLS as BATCHED
from .test_meta import fields

ATTACHED = {"UniformAssigner": {"pos_predicted_boxes"}}
"""Outputs that are the caller's own predictions: YOLOF computes its loss of boxes from them."""


def attached(tree):
    """Let real numbers ask for gradients."""
    return pytree.tree_map(
        lambda x: x.requires_grad_() if isinstance(x, torch.Tensor) and x.is_floating_point() else x, tree
    )


def carrying(found):
    return {name for name, x in found.items() if isinstance(x, torch.Tensor) and x.requires_grad}


def some_case(variant):
    """Find a case with ground truths of which some are found."""
    for case in cases(variant):
        if case.raises is None and all(
            len(x) for name, x in case.inputs.items() if name != "gt_bboxes_ignore"
        ):
            return case
    raise AssertionError(variant)


@pytest.mark.filterwarnings("ignore:predictions are given to ATSSAssigner")
@pytest.mark.parametrize("variant", CALLS)
def test_version_3(variant):
    case = some_case(variant)
    assigner = mmdet.build_assigner({"type": variant, **case.init})
    found = fields(call_3(assigner, case, attached(tensors(case)), Instances))
    assert carrying(found) == ATTACHED.get(variant, set())


@pytest.mark.parametrize("variant", CALLS_2)
def test_version_2(variant):
    case = some_case(variant)
    assigner = mmdet2.build_assigner({"type": variant.removesuffix("2x"), **case.init})
    given = attached(tensors(case))
    found = fields(call_2(assigner, case, given))
    if variant == "AscendMaxIoUAssigner":
        # The anchors themselves are handed through.
        found = {name: x for name, x in found.items() if not any(x is own for own in given.values())}
    assert carrying(found) == ATTACHED.get(variant, set())


@pytest.mark.parametrize(("function", "arguments"), BATCHED.values(), ids=BATCHED)
def test_batches(function, arguments):
    given = attached(pytree.tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, arguments))
    found = [x for x in pytree.tree_leaves(function(*given)) if isinstance(x, torch.Tensor)]
    assert not any(x.requires_grad for x in found)


@pytest.mark.parametrize("version", [2, 3])
def test_a_loss_of_boxes_reaches_the_predictions_of_yolof(version):
    case = some_case("UniformAssigner")
    x = tensors(case)
    predictions = x["decoder_priors"].requires_grad_()
    if version == 3:
        result = call_3(mmdet.UniformAssigner(**case.init), case, x, Instances)
    else:
        result = call_2(mmdet2.UniformAssigner(**case.init), case, x)
    found = result.get_extra_property("pos_predicted_boxes")
    loss = (
        (found - result.get_extra_property("target_boxes")).abs()[result.get_extra_property("pos_idx")].sum()
    )
    loss.backward()
    moved = predictions.grad.abs().sum(dim=1) > 0
    assert moved.any()
    with torch.no_grad():
        same = (found[:, None] == predictions[None]).all(dim=-1).any(dim=0)
    assert not (moved & ~same).any()

"""The published answers of MMDetection 2.28 through the adapter: its names and flat signatures.

MMDetection 3 answers eight of the assigners alike, so that their cases are replayed here too.
"""

import numpy as np
import pytest
import torch

from assigncore.adapters import mmdet2
from assigncore.conformance import REPLAYS, compare_case
from assigncore.conformance.goldens.dropins import CALLS_2, call_2

from ..golden import cases, tensors


def outputs(result):
    if isinstance(result, mmdet2.AscendAssignResult):
        found = vars(result)
        # The conformance suite has the masks as booleans, and passes over what is handed through.
        masks = {name: found[name] != 0 for name in ("batch_pos_mask", "batch_neg_mask")}
        assert all(found[name].dtype == torch.int32 for name in masks)
        found = {**found, **masks}
    else:
        found = dict(result.info)
        if hasattr(result, "assign_metrics"):
            found["assign_metrics"] = result.assign_metrics
    return {name: x.numpy() for name, x in found.items() if isinstance(x, torch.Tensor)}


def due(case):
    """What is due; the list of shadows as it is published, not padded."""
    expected = REPLAYS[case.variant].expect(case)
    return case if case.variant == "CenterRegionAssigner" else expected


@pytest.mark.parametrize("variant", CALLS_2)
def test_published_answers(variant):
    faults, some = [], cases(variant)
    for case in some:
        assigner = mmdet2.build_assigner({"type": variant.removesuffix("2x"), **case.init})
        x = tensors(case)
        if case.raises == "AssertionError":
            with pytest.raises(AssertionError):
                call_2(assigner, case, x)
            continue
        outcome = compare_case(due(case), outputs(call_2(assigner, case, x)))
        if not outcome.agreement.agrees:
            faults.append(f"{case}: {outcome.message}")
    assert len(some) >= 6
    assert not faults, "\n".join(faults)


def test_every_published_assigner_is_there():
    assert {variant.removesuffix("2x") for variant in CALLS_2} == set(mmdet2.ASSIGNERS)
    assert len(mmdet2.ASSIGNERS) == 13


def test_the_ascend_result_hands_the_numbers_of_ground_truths_through():
    case = next(case for case in cases("AscendMaxIoUAssigner") if case.raises is None)
    x = tensors(case)
    assigner = mmdet2.AscendMaxIoUAssigner(**case.init)
    assert assigner.assign(**x).batch_num_gts is x["batch_num_gts"]


def without_labels(x):
    return {name: value for name, value in x.items() if name != "gt_labels"}


@pytest.mark.parametrize(
    "variant", ["MaxIoUAssigner", "PointAssigner", "UniformAssigner", "RegionAssigner2x", "ATSSAssigner"]
)
def test_without_labels_the_result_has_none_and_the_same_codes(variant):
    checked = 0
    for case in cases(variant):
        if case.raises is not None or case.init.get("alpha") is not None:
            continue
        assigner = mmdet2.build_assigner({"type": variant.removesuffix("2x"), **case.init})
        result = call_2(assigner, case, without_labels(tensors(case)))
        if variant == "UniformAssigner" and result.max_overlaps is None:
            assert (result.labels == -1).all()
        else:
            assert result.labels is None
        differing = np.count_nonzero(result.gt_inds.numpy() != due(case).expected["gt_inds"])
        assert differing <= case.f64_diff, str(case)
        checked += 1
    assert checked


def test_task_aligned_needs_no_labels_where_nothing_is_predicted():
    nothing, boxes = torch.zeros(0, 4), torch.tensor([[0.0, 0, 9, 9], [2, 2, 5, 5]])
    result = mmdet2.TaskAlignedAssigner(topk=13).assign(torch.zeros(0, 3), nothing, nothing, boxes)
    assert (result.num_gts, result.num_preds, result.labels) == (2, 0, None)


def test_without_labels_there_is_no_list_of_shadows():
    case = cases("CenterRegionAssigner")[0]
    result = mmdet2.CenterRegionAssigner(**case.init).assign(
        *(torch.from_numpy(case.inputs[name].copy()) for name in ("priors", "gt_bboxes"))
    )
    assert result.labels is None
    assert result.info["shadowed_labels"] is None

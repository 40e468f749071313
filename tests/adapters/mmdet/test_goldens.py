"""The published answers of MMDetection 3 through the adapter: its containers, names and signatures."""

import pytest
import torch

from assigncore.adapters import mmdet
from assigncore.conformance import REPLAYS, compare_case
from assigncore.conformance.goldens.dropins import CALLS, call_3

from ..golden import cases, tensors
from ..instances import CONTAINERS

UPSTREAM_ERRORS = {
    "AssertionError": AssertionError,
    "NotImplementedError": NotImplementedError,
    "ValueError": ValueError,
}
"""Of wrong calls. What else upstream raises are its bugs, or what the project has an answer to."""


def outputs(result):
    found = dict(result.info)
    if hasattr(result, "assign_metrics"):
        found["assign_metrics"] = result.assign_metrics
    return {name: x.numpy() for name, x in found.items() if isinstance(x, torch.Tensor)}


def due(case):
    """What is due; the list of shadows as it is published, not padded."""
    expected = REPLAYS[case.variant].expect(case)
    return case if case.variant == "CenterRegionAssigner" else expected


@pytest.mark.filterwarnings("ignore:predictions are given to ATSSAssigner")
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("variant", CALLS)
def test_published_answers(variant, container):
    faults, some = [], cases(variant)
    for case in some:
        assigner = mmdet.build_assigner({"type": variant, **case.init})
        error = UPSTREAM_ERRORS.get(case.raises)
        if error is not None:
            with pytest.raises(error):
                call_3(assigner, case, tensors(case), CONTAINERS[container])
            continue
        got = outputs(call_3(assigner, case, tensors(case), CONTAINERS[container]))
        outcome = compare_case(due(case), got)
        if not outcome.agreement.agrees:
            faults.append(f"{case}: {outcome.message}")
    assert len(some) >= 10
    assert not faults, "\n".join(faults)


def test_published_overlaps():
    faults = []
    for case in cases("BboxOverlaps2D"):
        calculator = mmdet.build_iou_calculator({"type": "BboxOverlaps2D", **case.init})
        x = tensors(case)
        if case.raises is not None:
            with pytest.raises(AssertionError):
                calculator(x["bboxes1"], x["bboxes2"], **case.call)
            continue
        got = calculator(x["bboxes1"], x["bboxes2"], **case.call)
        outcome = compare_case(case, {"overlaps": got.numpy()})
        if not outcome.agreement.agrees:
            faults.append(f"{case}: {outcome.message}")
        if not case.init and x["bboxes1"].shape[-1] == x["bboxes2"].shape[-1] == 4:
            assert torch.equal(mmdet.bbox_overlaps(x["bboxes1"], x["bboxes2"], **case.call), got)
    assert not faults, "\n".join(faults)

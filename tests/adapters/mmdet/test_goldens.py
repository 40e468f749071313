"""The published answers of MMDetection 3 through the adapter: its containers, names and signatures."""

import pytest
import torch

from assigncore.adapters import mmdet
from assigncore.conformance import REPLAYS, compare_case

from ..golden import cases, tensors
from ..instances import CONTAINERS

UPSTREAM_ERRORS = {
    "AssertionError": AssertionError,
    "NotImplementedError": NotImplementedError,
    "ValueError": ValueError,
}
"""Of wrong calls. What else upstream raises are its bugs, or what the project has an answer to."""

PRED = {
    "priors",
    "approxs",
    "responsible_flags",
    "decoder_priors",
    "valid_flags",
    "bboxes",
    "scores",
    "masks",
}
GT = {
    "gt_bboxes": "bboxes",
    "gt_labels": "labels",
    "gt_masks": "masks",
    "positive_maps": "positive_maps",
    "text_token_mask": "text_token_mask",
}


def instances(case, container):
    """Return predictions, ground truths and ignore regions."""
    x = tensors(case)
    pred = container(**{name: x[name] for name in x if name in PRED})
    gt = container(**{GT[name]: x[name] for name in x if name in GT})
    left = set(x) - PRED - set(GT) - {"gt_bboxes_ignore"}
    assert not left
    ignore = container(bboxes=x["gt_bboxes_ignore"]) if "gt_bboxes_ignore" in x else None
    return pred, gt, ignore


def plain(assigner, case, pred, gt, ignore):
    return assigner.assign(pred, gt, ignore, **case.call)


def atss(assigner, case, pred, gt, ignore):
    return assigner.assign(pred, case.call["num_level_priors"], gt, ignore)


def hungarian(assigner, case, pred, gt, ignore):
    return assigner.assign(pred, gt, {"img_shape": tuple(case.call["img_shape"])})


def region(assigner, case, pred, gt, ignore):
    call = dict(case.call)
    img_meta = {"img_shape": tuple(call.pop("img_shape"))}
    return assigner.assign(pred, gt, img_meta, gt_instances_ignore=ignore, **call)


def topk_hungarian(assigner, case, pred, gt, ignore):
    call = dict(case.call)
    img_meta = {"img_shape": tuple(call.pop("img_shape"))}
    return assigner.assign(pred.scores, pred.bboxes, gt.bboxes, gt.labels, img_meta, **call)


CALLS = {
    "ATSSAssigner": atss,
    "ApproxMaxIoUAssigner": plain,
    "CenterRegionAssigner": plain,
    "DynamicSoftLabelAssigner": plain,
    "GridAssigner": plain,
    "HungarianAssigner": hungarian,
    "MaxIoUAssigner": plain,
    "MultiInstanceAssigner": plain,
    "PointAssigner": plain,
    "RegionAssigner": region,
    "SimOTAAssigner": plain,
    "TaskAlignedAssigner": plain,
    "TopkHungarianAssigner": topk_hungarian,
    "UniformAssigner": plain,
}


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
        arguments = instances(case, CONTAINERS[container])
        error = UPSTREAM_ERRORS.get(case.raises)
        if error is not None:
            with pytest.raises(error):
                CALLS[variant](assigner, case, *arguments)
            continue
        got = outputs(CALLS[variant](assigner, case, *arguments))
        outcome = compare_case(due(case), got)
        if not outcome.agreement.agrees:
            faults.append(f"{case}: {outcome.message}")
    assert len(some) >= 10
    assert not faults, "\n".join(faults)


def test_every_published_assigner_is_there():
    assert set(CALLS) == set(mmdet.ASSIGNERS)


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

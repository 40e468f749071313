"""The published answers of MMDetection 2.28 through the adapter: its names and flat signatures.

MMDetection 3 answers eight of the assigners alike, so that their cases are replayed here too.
"""

import numpy as np
import pytest
import torch

from assigncore.adapters import mmdet2
from assigncore.conformance import REPLAYS, compare_case

from ..golden import cases, tensors


def flat(*names):
    """Call with the inputs of these names first, then the ground truths as most assigners take them."""

    def call(assigner, case, x):
        first = [x[name] for name in names]
        labels = {"gt_labels": x["gt_labels"]} if "gt_labels" in x else {}
        return assigner.assign(*first, x["gt_bboxes"], x.get("gt_bboxes_ignore"), **labels, **case.call)

    return call


def approx(assigner, case, x):
    n, a = x["approxs"].shape[:2]
    rows = x["approxs"].reshape(n, 4 * a)
    ignored = x.get("gt_bboxes_ignore")
    return assigner.assign(rows, x["priors"], a, x["gt_bboxes"], ignored, x["gt_labels"])


def grid(assigner, case, x):
    return assigner.assign(x["priors"], x["responsible_flags"], x["gt_bboxes"], x["gt_labels"])


def atss(priors, levels, logits, predictions):
    def call(assigner, case, x):
        return assigner.assign(
            x[priors],
            case.call[levels],
            x["gt_bboxes"],
            x.get("gt_bboxes_ignore"),
            x.get("gt_labels"),
            x.get(logits),
            x.get(predictions),
        )

    return call


def region(assigner, case, x):
    call = dict(case.call)
    counts = call.pop("num_level_anchors")
    img_meta = {"img_shape": (*call.pop("img_shape")[:2], 3)}
    return assigner.assign(
        list(x["priors"].split(counts)),
        list(x["valid_flags"].split(counts)),
        x["gt_bboxes"],
        img_meta,
        call["featmap_sizes"],
        call["anchor_scale"],
        call["anchor_strides"],
        x.get("gt_bboxes_ignore"),
        x.get("gt_labels"),
        call["allowed_border"],
    )


def sim_ota(assigner, case, x):
    return assigner.assign(
        x["pred_scores"], x["priors"], x["decoded_bboxes"], x["gt_bboxes"], x["gt_labels"], **case.call
    )


def hungarian(assigner, case, x):
    img_meta = {"img_shape": tuple(case.call["img_shape"])}
    assert len(img_meta["img_shape"]) == 3
    return assigner.assign(x["bbox_pred"], x["cls_pred"], x["gt_bboxes"], x["gt_labels"], img_meta)


def mask_hungarian(assigner, case, x):
    return assigner.assign(x.get("cls_pred"), x["mask_pred"], x["gt_labels"], x["gt_mask"], {})


def ascend(assigner, case, x):
    return assigner.assign(**x)


CALLS = {
    "ATSSAssigner": atss("priors", "num_level_priors", "scores", "bboxes"),
    "ATSSAssigner2x": atss("bboxes", "num_level_bboxes", "cls_scores", "bbox_preds"),
    "ApproxMaxIoUAssigner": approx,
    "AscendMaxIoUAssigner": ascend,
    "CenterRegionAssigner": flat("priors"),
    "GridAssigner": grid,
    "HungarianAssigner2x": hungarian,
    "MaskHungarianAssigner": mask_hungarian,
    "MaxIoUAssigner": flat("priors"),
    "PointAssigner": flat("priors"),
    "RegionAssigner2x": region,
    "SimOTAAssigner2x": sim_ota,
    "TaskAlignedAssigner": flat("scores", "bboxes", "priors"),
    "UniformAssigner": flat("decoder_priors", "priors"),
}


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


@pytest.mark.parametrize("variant", CALLS)
def test_published_answers(variant):
    faults, some = [], cases(variant)
    for case in some:
        assigner = mmdet2.build_assigner({"type": variant.removesuffix("2x"), **case.init})
        x = tensors(case)
        if case.raises == "AssertionError":
            with pytest.raises(AssertionError):
                CALLS[variant](assigner, case, x)
            continue
        outcome = compare_case(due(case), outputs(CALLS[variant](assigner, case, x)))
        if not outcome.agreement.agrees:
            faults.append(f"{case}: {outcome.message}")
    assert len(some) >= 6
    assert not faults, "\n".join(faults)


def test_every_published_assigner_is_there():
    assert {variant.removesuffix("2x") for variant in CALLS} == set(mmdet2.ASSIGNERS)
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
        result = CALLS[variant](assigner, case, without_labels(tensors(case)))
        assert result.labels is None
        differing = np.count_nonzero(result.gt_inds.numpy() != due(case).expected["gt_inds"])
        assert differing <= case.f64_diff, str(case)
        checked += 1
    assert checked


def test_without_labels_there_is_no_list_of_shadows():
    case = cases("CenterRegionAssigner")[0]
    result = mmdet2.CenterRegionAssigner(**case.init).assign(
        *(torch.from_numpy(case.inputs[name].copy()) for name in ("priors", "gt_bboxes"))
    )
    assert result.labels is None
    assert result.info["shadowed_labels"] is None

"""The matchers of transformers return the published pairs, in the published order, for every golden case."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from assigncore.adapters import transformers
from assigncore.conformance.goldens.calls import Refusal
from assigncore.conformance.goldens.replay_set_matchers import SET_MATCHER_REPLAYS, due_of_set_matcher
from assigncore.conformance.goldens.set_cases import codes_of_pairs, read_set_case

from .golden import cases, tensors

CLASSES = {
    "HFDetr": transformers.HungarianMatcher,
    "HFConditionalDetr": transformers.DeformableDetrHungarianMatcher,
    "HFDabDetr": transformers.DeformableDetrHungarianMatcher,
    "HFDeformableDetr": transformers.DeformableDetrHungarianMatcher,
    "HFGroundingDino": transformers.GroundingDinoHungarianMatcher,
    "HFLwDetr": transformers.LwDetrHungarianMatcher,
    "HFRfDetr": transformers.RfDetrHungarianMatcher,
    "HFMaskFormer": transformers.MaskFormerHungarianMatcher,
    "HFMask2Former": transformers.Mask2FormerHungarianMatcher,
    "HFOneFormer": transformers.OneFormerHungarianMatcher,
    "HFEomt": transformers.EomtHungarianMatcher,
    "HFEomtDinov3": transformers.EomtDinov3HungarianMatcher,
    "HFVideomt": transformers.VideomtHungarianMatcher,
}
"""The others are built from a config."""

CONFIG = {
    "matcher_class_cost": 2, "matcher_bbox_cost": 5, "matcher_giou_cost": 2,
    "use_focal_loss": True, "matcher_alpha": 0.25, "matcher_gamma": 2.0,
}  # fmt: skip
LIKE_DABDETR = {"class_cost": 2, "bbox_cost": 5, "giou_cost": 2}


def build(case):
    if case.variant not in CLASSES:
        return transformers.RTDetrHungarianMatcher(SimpleNamespace(**{**CONFIG, **case.init}))
    usual = LIKE_DABDETR if case.variant in ("HFConditionalDetr", "HFDabDetr") else {}
    if case.call.get("segmentation"):
        return transformers.HungarianMatcher(**case.init)
    return CLASSES[case.variant](**{**usual, **case.init})


def split(x, name, sizes="gt_sizes"):
    return list(torch.split(x[name], x[sizes].tolist()))


def layers_of(case, x):
    """Give the layers in the order in which they are matched, by the names of transformers."""
    read = read_set_case(case)
    layers = []
    for number in range(len(read.logits)):
        layers.append({"logits": torch.from_numpy(read.logits[number].copy())})
        layers[-1]["pred_boxes"] = torch.from_numpy(read.boxes[number].copy())
        if read.masks is not None:
            layers[-1]["pred_masks"] = x["pred_masks"]
        if "label_maps" in x:
            layers[-1]["label_maps"] = split(x, "label_maps", "label_map_sizes")
    return layers


def draw_recorded(monkeypatch, case, x):
    """Let the points be those of the case, or those its seed gives."""
    if "points" in x:
        points = x["points"]
        monkeypatch.setattr(torch, "rand", lambda *shape, **_: points.reshape(shape))
    elif "torch_seed" in case.call:
        torch.manual_seed(case.call["torch_seed"])


def match(case, matcher, x):
    """Return for each layer the pairs of each image."""
    if case.variant in (
        "HFMaskFormer",
        "HFMask2Former",
        "HFOneFormer",
        "HFEomt",
        "HFEomtDinov3",
        "HFVideomt",
    ):
        return [matcher(x["pred_masks"], x["logits"], split(x, "gt_masks"), split(x, "gt_labels"))]
    targets = [
        {"class_labels": labels, "boxes": boxes}
        for labels, boxes in zip(split(x, "gt_labels"), split(x, "gt_bboxes"), strict=True)
    ]
    if case.variant == "HFRfDetr":
        for target, masks in zip(targets, split(x, "gt_masks"), strict=True):
            target["masks"] = masks
    layers, groups = layers_of(case, x), case.call.get("group_detr")
    further = () if groups is None else (groups,)
    if matcher.draws_points:
        return [matcher(layer, targets, *further) for layer in layers]
    with matcher.ahead(layers, targets, *further):
        return [matcher(layer, targets, *further) for layer in layers]


def pairs_in_one(layers):
    flat = [pairs for layer in layers for pairs in layer]
    pred, gt = (torch.cat([pairs[side] for pairs in flat]).numpy() for side in (0, 1))
    return pred, gt, np.array([[len(i) for i, _ in layer] for layer in layers])


@pytest.mark.parametrize("variant", SET_MATCHER_REPLAYS)
def test_published_pairs(variant, monkeypatch):
    for case in cases(variant):
        if case.name.startswith("no_weights"):
            with pytest.raises(ValueError, match="at least one that is not 0"):
                build(case)
            continue
        x, due = tensors(case), due_of_set_matcher(case)
        matcher = build(case)
        with monkeypatch.context() as patch:
            draw_recorded(patch, case, x)
            if isinstance(due, Refusal):
                with pytest.raises(ValueError, match="group_detr"):
                    match(case, matcher, x)
                continue
            layers = match(case, matcher, x)
        if case.name.startswith("float64_points"):
            continue
        pred, gt, sizes = pairs_in_one(layers)
        queries = due.expected["gt_inds"].shape[-1]
        np.testing.assert_array_equal(
            codes_of_pairs(pred, gt, sizes, queries), due.expected["gt_inds"], str(case)
        )
        if "pred" in case.expected and not case.forced and case.name != "zero_size_float32":
            np.testing.assert_array_equal(pred, case.expected["pred"], str(case))
            np.testing.assert_array_equal(gt, case.expected["gt"], str(case))
        if "union_pred" in case.expected:
            united = pairs_in_one([transformers.union_of_layers(None, layers[0], layers[1:])])
            np.testing.assert_array_equal(united[0], case.expected["union_pred"], str(case))
            np.testing.assert_array_equal(united[1], case.expected["union_gt"], str(case))

"""The replays of the set matchers of transformers, all layers and images of a case in one call of the core.

Their drop-ins are for PyTorch alone, so that the calls are translated here; the drop-ins themselves are held
against the same cases by the tests of the adapters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from assigncore.assigners import HungarianAssigner
from assigncore.conformance.goldens.calls import Call, Outputs, Refusal, Replay
from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.goldens.set_cases import SetCase, read_set_case, with_codes
from assigncore.conformance.reference.set_matchers import set_matching
from assigncore.costs import point_sample, resize_masks
from assigncore.matching import union_of_matchings

__all__ = ["SET_MATCHER_REPLAYS", "due_of_set_matcher"]

Array = Any

SIDE = 4096.0
"""Pixels of an image along either axis: boxes are given relative to it, and a power of two rounds nothing."""

NOT_REPRODUCED = ("zero_size_float32",)
"""Cases with a finite cost for what upstream divides 0 by 0: two boxes without an area at one place."""


def _costs(read: SetCase) -> list[dict[str, Any]]:
    focal = {"eps": 1e-8, **read.focal}
    of_class: dict[str, dict[str, Any]] = {
        "softmax": {"type": "ClassificationCost"},
        "focal": {"type": "FocalLossCost", **focal},
        "tokens": {"type": "TokenFocalLossCost", **focal},
    }
    of_mask: dict[str, dict[str, Any]] = {
        "cross entropy": {"type": "CrossEntropyLossCost"},
        "focal": {"type": "FocalLossCost", "binary_input": True, "eps": 0.0},
    }
    terms: dict[str, dict[str, Any]] = {
        "l1": {"type": "BBoxL1Cost", "box_format": "xywh"},
        "class": of_class[read.of_class],
        "giou": {"type": "IoUCost", "iou_mode": "giou"},
        "mask": of_mask[read.of_mask],
        "dice": {"type": "DiceCost", "pred_act": True, "eps": 1.0},
    }
    return [{**terms[name], "weight": weight} for name, weight in read.weights.items()]


def _corners(boxes: Array) -> Array:
    center, half = boxes[..., :2] * SIDE, boxes[..., 2:] * (SIDE / 2)
    return np.concatenate([center - half, center + half], axis=-1)


def _padded(rows: list[Array]) -> Array:
    longest = max(len(part) for part in rows)
    return np.stack([np.pad(part, [(0, longest - len(part))] + [(0, 0)] * (part.ndim - 1)) for part in rows])


def _arrays(read: SetCase) -> dict[str, Array]:
    """Pad the images, and cut off what is in no whole group of predictions."""
    whole = read.grouped or read.logits.shape[2]
    arrays = {
        "pred_logits": read.logits[:, :, :whole],
        "gt_labels": _padded([x["labels"] for x in read.images]),
    }
    if read.boxes is not None:
        arrays["pred_bboxes"] = _corners(read.boxes[:, :, :whole])
        arrays["gt_bboxes"] = _corners(_padded([x["boxes"] for x in read.images]))
    if read.masks is not None and any(term in read.weights for term in ("mask", "dice")):
        arrays["pred_masks"] = read.masks[:, :, :whole]
        arrays["gt_masks"] = _padded([x["masks"] for x in read.images])
        if "points" in read.images[0]:
            arrays["mask_points"] = np.stack([x["points"] for x in read.images])
    if "maps" in read.images[0]:
        arrays["positive_maps"] = _padded([x["maps"] for x in read.images])
        del arrays["gt_labels"]
    arrays["gt_valid"] = _padded([np.ones(len(x["labels"]), dtype=bool) for x in read.images])
    return arrays


def _prepare(case: GoldenCase) -> Call:
    read = read_set_case(case)
    arrays = _arrays(read)
    if "mask_points" in arrays and arrays["mask_points"].shape[1] == 0:
        for name in ("pred_masks", "gt_masks", "mask_points"):
            del arrays[name]
        read = replace(
            read, weights={name: x for name, x in read.weights.items() if name not in ("mask", "dice")}
        )
    assigner = HungarianAssigner(_costs(read), nonfinite="forbid", groups=read.groups)
    of_boxes = read.boxes is not None
    united = case.variant == "HFDeimv2" and case.init.get("use_dense_one_to_one", True)

    def assign(**given: Array) -> Outputs:
        if "mask_points" in given and of_boxes:
            points = given.pop("mask_points")
            masks = point_sample(given["pred_masks"], points)
            of_gts = point_sample(given["gt_masks"], points, mode="nearest")
            given |= {"pred_masks": masks[..., None, :], "gt_masks": of_gts[..., None, :]}
        elif "pred_masks" in given and "mask_points" not in given:
            height, width = given["pred_masks"].shape[-2:]
            given["gt_masks"] = resize_masks(given["gt_masks"], (int(height), int(width)))
        if of_boxes:
            given["image_shape"] = (SIDE, SIDE)
        result = assigner.assign(**given)
        outputs: Outputs = {"gt_inds": result.gt_inds}
        if united:
            outputs["union"] = union_of_matchings(result).gt_inds
        return outputs

    return Call(assign, arrays)


def due_of_set_matcher(case: GoldenCase) -> GoldenCase | Refusal:
    """Expect the package's answer; the sane one where it has none, or matched what costs nothing finite."""
    read = read_set_case(case)
    if read.groups > read.logits.shape[2]:
        return Refusal(mentions=("groups", str(read.groups)))
    sound = case.raises is None and not case.forced and case.name not in NOT_REPRODUCED
    due = (
        with_codes(case)
        if sound
        else replace(case, expected=MappingProxyType({"gt_inds": set_matching(read)}))
    )
    whole = {name: codes[..., : read.grouped] for name, codes in due.expected.items()}
    return replace(due, expected=MappingProxyType(whole))


VARIANTS = (
    "HFConditionalDetr", "HFDFine", "HFDabDetr", "HFDeformableDetr", "HFDeimv2", "HFDetr", "HFEomt",
    "HFEomtDinov3", "HFGroundingDino", "HFLwDetr", "HFMask2Former", "HFMaskFormer", "HFOneFormer", "HFRTDetr",
    "HFRTDetrV2", "HFRfDetr", "HFVideomt",
)  # fmt: skip

SET_MATCHER_REPLAYS: Mapping[str, Replay] = MappingProxyType(
    {variant: Replay(_prepare, due_of_set_matcher, batches=True) for variant in VARIANTS}
)
"""The variants of these matchers. A case is a batch already, of several layers where a loss has them."""

"""The replays of the assigners by the matching of least total cost.

Their drop-ins answer without the core where there is nothing to match, so that no one call of the core is
theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from assigncore.backend import get_backend
from assigncore.conformance.goldens.calls import Call, Outputs, Refusal, Replay
from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.reference.matching import (
    hungarian_answer,
    mask_hungarian_answer,
    topk_matched,
)
from assigncore.registry import build_assigner

__all__ = ["MATCHING_REPLAYS"]

Array = Any

_HUNGARIAN_INPUTS = {
    "bboxes": "pred_bboxes",
    "scores": "pred_logits",
    "masks": "pred_masks",
    "gt_bboxes": "gt_bboxes",
    "gt_labels": "gt_labels",
    "gt_masks": "gt_masks",
    "positive_maps": "positive_maps",
    "text_token_mask": "text_token_mask",
}


def _hungarian(case: GoldenCase) -> Call:
    """Translate the assigner of DETR."""
    assigner = build_assigner({"type": "HungarianAssigner", **case.init})
    image_shape = tuple(case.call["img_shape"])

    def assign(**arrays: Array) -> Outputs:
        result = assigner.assign(**arrays, image_shape=image_shape)
        return {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, "labels": result.labels}

    arrays = {_HUNGARIAN_INPUTS[name]: array for name, array in case.inputs.items()}
    if "text_token_mask" in arrays:
        # Upstream repeats the caption's mask for each ground truth, and reads the first.
        arrays["text_token_mask"] = arrays["text_token_mask"][0]
    return Call(assign, arrays)


def _hungarian_2x(case: GoldenCase) -> Call:
    """Translate its earlier form, whose predictions are centres and sizes from 0 to 1."""
    defaults = {
        "cls_cost": {"type": "ClassificationCost"},
        "reg_cost": {"type": "BBoxL1Cost"},
        "iou_cost": {"type": "IoUCost"},
    }
    assigner = build_assigner(
        {"type": "HungarianAssigner", "match_costs": list({**defaults, **case.init}.values())}
    )
    image_shape = tuple(case.call["img_shape"][:2])
    height, width = image_shape
    bboxes = case.inputs["bbox_pred"]
    center, half = bboxes[:, :2], bboxes[:, 2:] * 0.5
    factor = np.array([width, height, width, height], dtype=bboxes.dtype)

    def assign(**arrays: Array) -> Outputs:
        result = assigner.assign(**arrays, image_shape=image_shape)
        return {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, "labels": result.labels}

    arrays = {
        "gt_bboxes": case.inputs["gt_bboxes"],
        "gt_labels": case.inputs["gt_labels"],
        "pred_bboxes": np.concatenate([center - half, center + half], axis=-1) * factor,
        "pred_logits": case.inputs["cls_pred"],
    }
    return Call(assign, arrays)


_MASK_INPUTS = {
    "mask_pred": "pred_masks",
    "gt_mask": "gt_masks",
    "gt_labels": "gt_labels",
    "cls_pred": "pred_logits",
}


def _mask_hungarian(case: GoldenCase) -> Call:
    """Translate the assigner of MaskFormer; masks that are lists of points become images one pixel high."""
    assigner = build_assigner({"type": "MaskHungarianAssigner", **case.init})

    def assign(**arrays: Array) -> Outputs:
        result = assigner.assign(**arrays)
        return {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, "labels": result.labels}

    arrays = {_MASK_INPUTS[name]: array for name, array in case.inputs.items()}
    for name in ("pred_masks", "gt_masks"):
        if arrays[name].ndim == 2:
            arrays[name] = arrays[name][:, None, :]
    return Call(assign, arrays)


_TOPK_INPUTS = {
    "bboxes": "pred_bboxes",
    "scores": "pred_scores",
    "gt_bboxes": "gt_bboxes",
    "gt_labels": "gt_labels",
}


def _topk_hungarian(case: GoldenCase) -> Call:
    """Translate the assigner of DDQ, whose overlaps and metrics are those of the matched rows alone."""
    call = dict(case.call)
    image_shape = tuple(call.pop("img_shape"))
    assigner = build_assigner({"type": "TopkHungarianAssigner", **case.init, **call})
    matched = topk_matched(case.inputs, case.init)

    def assign(**arrays: Array) -> Outputs:
        result = assigner.assign(**arrays, image_shape=image_shape)
        xp = get_backend(result.gt_inds).xp
        others = xp.astype(result.gt_inds <= 0, result.gt_inds.dtype)
        rows = xp.argsort(others, axis=-1, stable=True)[..., :matched]
        metrics = xp.take_along_axis(result.extras["assign_metrics"], rows, axis=-1)
        n_gts = case.inputs["gt_labels"].shape[0]
        return {
            "gt_inds": result.gt_inds,
            "max_overlaps": xp.take_along_axis(result.max_overlaps, rows, axis=-1) if n_gts else None,
            # Upstream forgets the labels where there are fewer predictions than ground truths.
            "labels": None if n_gts and not matched else result.labels,
            "assign_metrics": metrics,
        }

    return Call(assign, {_TOPK_INPUTS[name]: array for name, array in case.inputs.items()})


def _expect_matching(case: GoldenCase) -> GoldenCase | Refusal:
    """Expect an error that says what is wrong with NaN, and the sane answer where float64 failed upstream."""
    if case.raises is None:
        return case
    if case.raises == "ValueError":
        return Refusal(mentions=("expected a finite",))
    answer = mask_hungarian_answer if case.variant == "MaskHungarianAssigner" else hungarian_answer
    cost, expected = answer(case)
    return replace(
        case,
        expected=MappingProxyType(expected),
        none_outputs=("max_overlaps",),
        cost=cost,
        opt_cost=float(cost[expected["gt_inds"] > 0, expected["gt_inds"][expected["gt_inds"] > 0] - 1].sum()),
    )


MATCHING_REPLAYS: Mapping[str, Replay] = MappingProxyType(
    {
        "HungarianAssigner": Replay(_hungarian, _expect_matching),
        "HungarianAssigner2x": Replay(_hungarian_2x, _expect_matching),
        "MaskHungarianAssigner": Replay(_mask_hungarian, _expect_matching),
        "TopkHungarianAssigner": Replay(_topk_hungarian, _expect_matching),
    }
)
"""The variants of these assigners."""

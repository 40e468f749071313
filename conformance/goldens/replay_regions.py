"""The replays of the assigners by regions of ground truths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from assigncore.backend import get_backend
from assigncore.conformance.goldens.calls import Call, Outputs, Refusal, Replay, answered
from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.reference.regions import guided_anchoring
from assigncore.registry import build_assigner
from assigncore.result import AssignResult

__all__ = ["REGION_REPLAYS"]

Array = Any

_INPUTS = {
    "priors": "priors",
    "valid_flags": "prior_valid",
    "gt_bboxes": "gt_bboxes",
    "gt_labels": "gt_labels",
    "gt_bboxes_ignore": "ignore_bboxes",
}


def _region(case: GoldenCase) -> Call:
    """Translate the assigner of Guided Anchoring, whose upstream call has levels and image by other names."""
    assigner = build_assigner({"type": "RegionAssigner", **case.init})
    static = dict(case.call)
    static["num_level_priors"] = static.pop("num_level_anchors")
    static["image_shape"] = tuple(static.pop("img_shape")[:2])

    def assign(**arrays: Array) -> Outputs:
        result = assigner.assign(**arrays, **static)
        return {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, "labels": result.labels}

    return Call(assign, {_INPUTS[name]: array for name, array in case.inputs.items()})


def _expect_region(case: GoldenCase) -> GoldenCase | Refusal:
    """Expect ignore regions, which the method does not have, to be refused by name."""
    return case if case.raises is None else Refusal(mentions=("ignore_bboxes",))


def _expect_region_2x(case: GoldenCase) -> GoldenCase:
    """Expect the method's own definition where there are ground truths, for mmdet 2.28.2 has two faults.

    It ignores the first anchor or two of each level in place of those next to a ground truth of another
    level, and fails where it should give labels on several levels.
    """
    if not len(case.inputs["gt_bboxes"]):
        return answered(case)
    gt_inds, labels = guided_anchoring(case.inputs, case.init, case.call)
    expected = {"gt_inds": gt_inds} if labels is None else {"gt_inds": gt_inds, "labels": labels}
    return replace(case, expected=MappingProxyType(expected))


def _center_region(case: GoldenCase) -> Call:
    """Translate the assigner of FSAF, with its list of shadows in a form that can be compiled."""
    assigner = build_assigner({"type": "CenterRegionAssigner", **case.init})

    def assign(**arrays: Array) -> Outputs:
        result = assigner.assign(**arrays)
        return {
            "gt_inds": result.gt_inds,
            "max_overlaps": result.max_overlaps,
            "labels": result.labels,
            "shadowed_labels": _padded_list(result, arrays["gt_labels"]),
        }

    return Call(assign, {_INPUTS[name]: array for name, array in case.inputs.items()})


def _padded_list(result: AssignResult, gt_labels: Array) -> Array:
    """List prior and class of the shadows in the published order, then -1 up to the most there could be."""
    backend = get_backend(result.gt_inds)
    xp, device = backend.xp, backend.device_of(result.gt_inds)
    shadow, outranked = result.extras["shadow"], result.extras["outranked"]
    shape, dtype = shadow.shape, result.gt_inds.dtype
    lead, pairs = shape[:-2], shape[-2:]
    if 0 in shape:
        return xp.zeros((*lead, 0, 2), dtype=dtype, device=device)
    listed = xp.reshape(xp.stack([shadow & ~outranked, outranked], axis=-3), (*lead, -1))
    order = xp.argsort(xp.astype(~listed, xp.int32), axis=-1, stable=True)
    prior = xp.arange(pairs[0], dtype=dtype, device=device)[:, None]
    columns = []
    for column in (prior, xp.astype(gt_labels, dtype)[..., None, None, :]):
        both = xp.reshape(xp.broadcast_to(column, (*lead, 2, *pairs)), (*lead, -1))
        columns.append(xp.take_along_axis(xp.where(listed, both, -1), order, axis=-1))
    return xp.stack(columns, axis=-1)


def _expect_center_region(case: GoldenCase) -> GoldenCase:
    """Expect the published list, padded."""
    case = answered(case)
    pairs = case.expected["shadowed_labels"]
    most = 2 * len(case.inputs["priors"]) * len(case.inputs["gt_bboxes"])
    padded = np.full((most, 2), -1, dtype=pairs.dtype)
    padded[: len(pairs)] = pairs
    return replace(case, expected=MappingProxyType({**case.expected, "shadowed_labels": padded}))


REGION_REPLAYS: Mapping[str, Replay] = MappingProxyType(
    {
        "CenterRegionAssigner": Replay(_center_region, _expect_center_region),
        "RegionAssigner": Replay(_region, _expect_region),
        "RegionAssigner2x": Replay(_region, _expect_region_2x),
    }
)
"""The variants of these assigners."""

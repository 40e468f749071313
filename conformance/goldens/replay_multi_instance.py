"""The replay of multi-instance assignment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from assigncore.backend import get_backend
from assigncore.conformance.goldens.calls import Call, Outputs, Replay
from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.reference.image import Image
from assigncore.conformance.reference.multi_instance import multi_instance
from assigncore.registry import build_assigner

__all__ = ["MULTI_INSTANCE_REPLAYS", "published"]

Array = Any

_INPUTS = {
    "priors": "priors",
    "gt_bboxes": "gt_bboxes",
    "gt_labels": "gt_labels",
    "gt_bboxes_ignore": "ignore_bboxes",
}


def _multi_instance(case: GoldenCase) -> Call:
    """Translate the assigner of CrowdDet, whose arrays have the rows first and its own codes.

    Its indices count boxes from 0 whatever was decided, and its labels tell what was: 1 is positive and 0
    background; between the thresholds they are the class + 1 of the box, or -1 of an ignore region.
    """
    assigner = build_assigner({"type": "MultiInstanceAssigner", **case.init})
    n_gts = case.inputs["gt_bboxes"].shape[0]
    n_boxes = n_gts + case.inputs.get("gt_bboxes_ignore", np.empty((0, 4))).shape[0]

    def assign(**arrays: Array) -> Outputs:
        result = assigner.assign(**arrays)
        xp = get_backend(result.gt_inds).xp
        box_inds, classes = result.extras["box_inds"], result.extras["box_labels"]
        between = xp.where(box_inds < n_gts, classes + 1, classes)
        labels = xp.where(result.gt_inds > 0, 1, xp.where(result.gt_inds == 0, 0, between))
        outputs = {"gt_inds": box_inds, "max_overlaps": result.max_overlaps, "labels": labels}
        # Without any box upstream has no rows at all; the core has the priors', all background.
        stop = None if n_boxes else 0
        return {name: xp.matrix_transpose(x)[..., :stop, :] for name, x in outputs.items()}

    return Call(assign, {_INPUTS[name]: array for name, array in case.inputs.items()})


def published(found: Mapping[str, Any], n_gts: int) -> dict[str, Any]:
    """Give outputs by the published names and codes, rows first.

    Parameters
    ----------
    found : mapping of str to numpy.ndarray
        The outputs of the reference implementation.
    n_gts : int
        Number of ground truths.
    """
    box_inds, classes, codes = found["box_inds"], found["box_labels"], found["gt_inds"]
    between = np.where(box_inds < n_gts, classes + 1, classes)
    between = np.where(box_inds < 0, 0, between)
    labels = np.where(codes > 0, 1, np.where(codes == 0, 0, between))
    outputs = {"gt_inds": box_inds, "max_overlaps": found["max_overlaps"], "labels": labels}
    return {name: x.T for name, x in outputs.items()}


def _expect_multi_instance(case: GoldenCase) -> GoldenCase:
    """Expect the rule's own answer where there are fewer boxes than instances, and integer labels.

    Upstream makes floats of them where ignore regions come without labels of their own.
    """
    expected = dict(case.expected)
    if case.raises is not None:
        image = Image({_INPUTS[name]: array for name, array in case.inputs.items()})
        expected = published(multi_instance(image, **case.init), len(case.inputs["gt_bboxes"]))
    expected["labels"] = expected["labels"].astype(np.int64)
    return replace(case, expected=MappingProxyType(expected))


MULTI_INSTANCE_REPLAYS: Mapping[str, Replay] = MappingProxyType(
    {"MultiInstanceAssigner": Replay(_multi_instance, _expect_multi_instance)}
)
"""The variants of this assigner."""

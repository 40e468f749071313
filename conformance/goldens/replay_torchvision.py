"""The replays of torchvision's matchers and of the steps of its detectors, all images of a case in one call.

The drop-ins are for PyTorch alone, so that the calls are translated here; the drop-ins themselves are held
against the same cases by the tests of the adapters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.adapters.torchvision_fcos import TorchvisionFCOS
from assigncore.assigners import Matcher, SSDMatcher, to_torchvision
from assigncore.backend import get_backend
from assigncore.conformance.goldens.calls import Call, Outputs, Refusal, Replay
from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.reference.torchvision import torchvision_matches
from assigncore.result import AssignResult

__all__ = ["TORCHVISION_REPLAYS", "matcher_of"]

Array = Any
AnyArray = NDArray[Any]
Assigner = Matcher | SSDMatcher

KNOBS = {"TVRPN": (0.7, 0.3, True), "TVRetinaNet": (0.5, 0.4, True), "TVRoIHeads": (0.5, 0.5, False)}
"""Both thresholds, and whether low-quality matches are allowed."""


def matcher_of(case: GoldenCase) -> Assigner:
    """Build the core's matcher of a case that has one."""
    init = case.init
    if case.variant in ("TVSSD", "TVSSDMatcher"):
        return SSDMatcher(init.get("threshold", init.get("iou_thresh", 0.5)))
    if case.variant == "TVMatcher":
        return Matcher.from_torchvision(**init)
    high, low, low_quality = KNOBS[case.variant]
    thresholds = init.get("fg_iou_thresh", high), init.get("bg_iou_thresh", low)
    return Matcher.from_torchvision(*thresholds, low_quality)


def _of_matrix(case: GoldenCase) -> Call:
    """Translate the matchers, which are called with a quality matrix."""
    matcher = matcher_of(case)

    def match(quality: Array) -> Outputs:
        return {"matches": to_torchvision(matcher.match(quality))}

    return Call(match, case.inputs)


def _padded(rows: AnyArray, sizes: Sequence[int]) -> AnyArray:
    """Part rows of all images, and pad them to one number: (B, G, ...)."""
    joined = np.zeros((len(sizes), max(sizes), *rows.shape[1:]), dtype=rows.dtype)
    for image, own in zip(joined, np.split(rows, np.cumsum(sizes)[:-1]), strict=True):
        image[: len(own)] = own
    return joined


def _matches(result: AssignResult, _: Mapping[str, Array]) -> Outputs:
    return {"matched_idxs": to_torchvision(result)}


def _of_anchors(result: AssignResult, arrays: Mapping[str, Array]) -> Outputs:
    """Give labels, and the box of the ground truth or else the first; zeros in an image without any."""
    gt_inds, boxes = result.gt_inds, arrays["gt_bboxes"]
    xp = get_backend(gt_inds).xp
    if boxes.shape[1] == 0:
        matched = xp.zeros((*gt_inds.shape, 4), dtype=boxes.dtype)
    else:
        rows = xp.where(gt_inds > 0, gt_inds - 1, 0)[..., None]
        matched = xp.take_along_axis(boxes, xp.broadcast_to(rows, (*gt_inds.shape, 4)), axis=1)
    return {"labels": xp.astype(xp.sign(gt_inds), xp.float32), "matched_gt_boxes": matched}


def _of_proposals(result: AssignResult, _: Mapping[str, Array]) -> Outputs:
    """Give the index of the ground truth or else 0, and the class, 0 for background and -1 for neither."""
    xp = get_backend(result.gt_inds).xp
    labels = xp.where(result.gt_inds > 0, result.labels, result.gt_inds)
    return {"matched_idxs": xp.where(result.gt_inds > 0, result.gt_inds - 1, 0), "labels": labels}


def _of_boxes(
    priors: str, outputs: Callable[[AssignResult, Mapping[str, Array]], Outputs]
) -> Callable[[GoldenCase], Call]:
    """Translate a step that is called with boxes."""

    def prepare(case: GoldenCase) -> Call:
        x, sizes = case.inputs, case.inputs["gt_sizes"].tolist()
        arrays = {
            "priors": x[priors],
            "gt_bboxes": _padded(x["gt_bboxes"], sizes),
            "gt_valid": _padded(np.ones(sum(sizes), dtype=bool), sizes),
        }
        if case.variant == "TVRoIHeads":
            arrays["gt_labels"] = _padded(x["gt_labels"], sizes)
        if case.variant == "TVFCOS":
            fcos = TorchvisionFCOS(center_sample_radius=case.init.get("center_sampling_radius", 1.5))
            levels = tuple(case.call["num_anchors_per_level"])

            def assign_points(priors: Array, **given: Array) -> Outputs:
                return outputs(fcos.assign_anchors(priors, num_level_priors=levels, **given), given)

            return Call(assign_points, arrays)
        matcher = matcher_of(case)

        def assign(priors: Array, **given: Array) -> Outputs:
            return outputs(matcher.assign(priors, **given), given)

        return Call(assign, arrays)

    return prepare


WITHOUT_AREA = ("zero_area_float32",)
"""Cases where torchvision divides 0 by 0 and matches what has no overlap."""


def _expect(case: GoldenCase) -> GoldenCase | Refusal:
    """Expect the package's answer; where it fails, or matches by NaN, what its rule makes of 0."""
    if case.raises == "AssertionError":
        return Refusal(mentions=("low_threshold", "high_threshold"))
    sane = case.raises is not None or case.name in WITHOUT_AREA or case.name.startswith("nan")
    expected = torchvision_matches(case) if sane else dict(case.expected)
    if "matched_gt_boxes_0" in expected:
        images = [expected.pop(f"matched_gt_boxes_{image}") for image in range(len(case.inputs["gt_sizes"]))]
        expected["matched_gt_boxes"] = np.stack(images)
    if "matched_gt_boxes" in expected:
        # Images without ground truths have zeros of float32 whatever the dtype, a promise of the drop-in.
        boxes = expected["matched_gt_boxes"].astype(case.inputs["gt_bboxes"].dtype)
        expected["matched_gt_boxes"] = boxes
    return replace(case, expected=MappingProxyType(expected))


TORCHVISION_REPLAYS: Mapping[str, Replay] = MappingProxyType(
    {
        "TVFCOS": Replay(_of_boxes("anchors", _matches), _expect, batches=True),
        "TVMatcher": Replay(_of_matrix, _expect),
        "TVRPN": Replay(_of_boxes("anchors", _of_anchors), _expect, batches=True),
        "TVRetinaNet": Replay(_of_boxes("anchors", _matches), _expect, batches=True),
        "TVRoIHeads": Replay(_of_boxes("proposals", _of_proposals), _expect, batches=True),
        "TVSSD": Replay(_of_boxes("anchors", _matches), _expect, batches=True),
        "TVSSDMatcher": Replay(_of_matrix, _expect),
    }
)
"""The variants of these matchers and steps."""

"""How a golden case becomes a call of the core, and the core's result the golden's outputs.

The published packages and the core name and type their arguments and outputs differently. All of that is
stated in this module, assigner by assigner; nothing else in the suite knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.adapters.mmdet.thresholds import background_threshold
from assigncore.conformance.goldens.calls import Call, Outputs, Refusal, Replay, answered
from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.goldens.replay_dynamic_k import DYNAMIC_K_REPLAYS
from assigncore.conformance.goldens.replay_matching import MATCHING_REPLAYS
from assigncore.conformance.goldens.replay_multi_instance import MULTI_INSTANCE_REPLAYS
from assigncore.conformance.goldens.replay_nearest import NEAREST_REPLAYS
from assigncore.conformance.goldens.replay_regions import REGION_REPLAYS
from assigncore.conformance.goldens.replay_task_aligned import TASK_ALIGNED_REPLAYS
from assigncore.conformance.reference.image import Image
from assigncore.conformance.reference.thresholds import ascend_max_iou
from assigncore.registry import build_assigner, build_overlap_calculator

__all__ = ["REPLAYS", "Call", "Refusal", "Replay", "ascend_answer"]

Array = Any
AnyArray = NDArray[Any]


def _translate(case: GoldenCase, names: Mapping[str, str]) -> dict[str, AnyArray]:
    """Give a case's inputs by the core's names; one without a name is an error, lest it be left out."""
    arrays = {names[name]: array for name, array in case.inputs.items()}
    if "responsible_flags" in arrays:
        # Upstream casts flags of any dtype; the core asks its caller for booleans.
        arrays["responsible_flags"] = arrays["responsible_flags"].astype(bool)
    return arrays


_SINGLE_IMAGE_INPUTS = {
    "priors": "priors",
    "approxs": "approxs",
    "responsible_flags": "responsible_flags",
    "gt_bboxes": "gt_bboxes",
    "gt_labels": "gt_labels",
    "gt_bboxes_ignore": "ignore_bboxes",
}


def _core_knobs(kind: str, published: Mapping[str, Any]) -> dict[str, Any]:
    """Return the core's knobs of published ones, whose threshold means by its type what it means there."""
    pairs = (tuple, list) if kind == "GridAssigner" else (tuple,)
    threshold = background_threshold(published["neg_iou_thr"], pairs=pairs)
    # How to compute is upstream's knob, not what.
    known = {name: value for name, value in published.items() if name != "gpu_assign_thr"}
    return {**known, "neg_iou_thr": threshold}


def _single_image(kind: str) -> Callable[[GoldenCase], Call]:
    """Translate an assigner that gives ``gt_inds``, ``max_overlaps`` and ``labels`` for one image."""

    def prepare(case: GoldenCase) -> Call:
        assigner = build_assigner({"type": kind, **_core_knobs(kind, case.init)})

        def assign(**arrays: Array) -> Outputs:
            result = assigner.assign(**arrays)
            return {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, "labels": result.labels}

        return Call(assign, _translate(case, _SINGLE_IMAGE_INPUTS))

    return prepare


_ASCEND_INPUTS = {
    "batch_bboxes": "priors",
    "batch_gt_bboxes": "gt_bboxes",
    "batch_gt_labels": "gt_labels",
    "batch_gt_bboxes_ignore": "ignore_bboxes",
    # A mask of the priors that take part, whatever its name says.
    "batch_bboxes_ignore_mask": "prior_valid",
    "batch_num_gts": "num_gts",
}

_ASCEND_OUTPUTS = {
    "pos_mask": "batch_pos_mask",
    "neg_mask": "batch_neg_mask",
    "max_overlaps": "batch_max_overlaps",
    "anchor_gt_indices": "batch_anchor_gt_indes",
    "anchor_gt_labels": "batch_anchor_gt_labels",
}


def _ascend(case: GoldenCase) -> Call:
    """Translate the batched assigner, marking the ground truths beyond an image's number as padding.

    Upstream has no such mask: its padded rows are zero boxes that take part. That they overlap nothing, lose
    every tie to a lower index and may not take a low-quality match is why both ways give the same, and the
    marked way is how the core is meant to be called, with the padding law at work.
    """
    assigner = build_assigner(
        {"type": "AscendMaxIoUAssigner", **_core_knobs("AscendMaxIoUAssigner", case.init)}
    )
    arrays = _translate(case, _ASCEND_INPUTS)
    arrays["gt_valid"] = np.arange(arrays["gt_bboxes"].shape[1]) < arrays.pop("num_gts")[:, None]

    def assign(**arrays: Array) -> Outputs:
        result = assigner.assign(**arrays)
        own = {**result.extras, "max_overlaps": result.max_overlaps}
        return {published: own.get(name) for name, published in _ASCEND_OUTPUTS.items()}

    return Call(assign, arrays)


def ascend_answer(case: GoldenCase) -> dict[str, AnyArray]:
    """Answer a call of ``AscendMaxIoUAssigner`` by the reference implementation, by the published names."""
    arrays, knobs = _ascend(case).arrays, _core_knobs("AscendMaxIoUAssigner", case.init)
    images = [
        ascend_max_iou(Image({name: x[image] for name, x in arrays.items()}), **knobs)
        for image in range(len(arrays["priors"]))
    ]
    return {name: np.stack([image[own] for image in images]) for own, name in _ASCEND_OUTPUTS.items()}


def _expect_ascend(case: GoldenCase) -> GoldenCase:
    """Expect the method's own definition where upstream fails: on ignore regions and on empty inputs."""
    expected = dict(case.expected)
    if case.raises is not None:
        expected = ascend_answer(case)
    # Upstream hands this argument through to its result untouched: there is nothing to compare.
    expected.pop("batch_num_gts", None)
    for mask in ("batch_pos_mask", "batch_neg_mask"):
        # Upstream's masks are 0 and 1 in int32; the core's are booleans.
        expected[mask] = expected[mask].astype(bool)
    return replace(case, expected=MappingProxyType(expected))


def _overlaps(case: GoldenCase) -> Call:
    """Translate the overlap calculator, which is called by position."""
    calculator = build_overlap_calculator({"type": "BboxOverlaps2D", **case.init})
    options = dict(case.call)

    def overlaps(bboxes1: Array, bboxes2: Array) -> Outputs:
        return {"overlaps": calculator(bboxes1, bboxes2, **options)}

    return Call(overlaps, case.inputs)


def _expect_overlaps(case: GoldenCase) -> GoldenCase | Refusal:
    """Expect an unknown mode, the only failure among the cases, to be refused by name."""
    return case if case.raises is None else Refusal(mentions=("mode", str(case.call["mode"])))


REPLAYS: Mapping[str, Replay] = MappingProxyType(
    {
        "ApproxMaxIoUAssigner": Replay(_single_image("ApproxMaxIoUAssigner"), answered),
        "AscendMaxIoUAssigner": Replay(_ascend, _expect_ascend, batches=True),
        "BboxOverlaps2D": Replay(_overlaps, _expect_overlaps, batches=True),
        "GridAssigner": Replay(_single_image("GridAssigner"), answered),
        "MaxIoUAssigner": Replay(_single_image("MaxIoUAssigner"), answered),
        **MULTI_INSTANCE_REPLAYS,
        **DYNAMIC_K_REPLAYS,
        **MATCHING_REPLAYS,
        **NEAREST_REPLAYS,
        **REGION_REPLAYS,
        **TASK_ALIGNED_REPLAYS,
    }
)
"""The variants whose goldens can be replayed. A variant that is not here is reported as not covered yet."""

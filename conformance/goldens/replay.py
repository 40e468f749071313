"""How a golden case becomes a call of the core, and the core's result the golden's outputs.

The published packages and the core name and type their arguments and outputs differently. Where there is a
drop-in for any array library, it translates: see :mod:`assigncore.conformance.goldens.dropins`. Other calls
are translated in the modules of this folder, and nothing else in the suite knows how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from assigncore.boxes.calculators import ProbIoU, RotatedIoU
from assigncore.conformance.goldens.calls import Call, Outputs, Refusal, Replay
from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.goldens.replay_dynamic_k import DYNAMIC_K_REPLAYS
from assigncore.conformance.goldens.replay_matching import MATCHING_REPLAYS
from assigncore.conformance.goldens.replay_mmdet import MMDET_REPLAYS
from assigncore.conformance.goldens.replay_set_matchers import SET_MATCHER_REPLAYS
from assigncore.conformance.goldens.replay_task_aligned import TASK_ALIGNED_REPLAYS
from assigncore.conformance.goldens.replay_torchvision import TORCHVISION_REPLAYS
from assigncore.registry import build_overlap_calculator

__all__ = ["REPLAYS", "Call", "Refusal", "Replay"]

Array = Any


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


def _rotated_iou(case: GoldenCase) -> Call:
    """Translate the exact overlaps of oriented boxes, row by row."""
    calculator = RotatedIoU()

    def overlaps(boxes1: Array, boxes2: Array) -> Outputs:
        return {"iou": calculator(boxes1, boxes2, is_aligned=True)}

    return Call(overlaps, case.inputs)


def _expect_exact(case: GoldenCase) -> GoldenCase:
    """Expect the values that were computed exactly."""
    exact = case.expected["exact_iou"].astype(case.dtype)
    return replace(case, expected=MappingProxyType({"iou": exact}))


def _probiou(case: GoldenCase) -> Call:
    """Translate the probabilistic overlap, of all pairs and row by row."""
    calculator = ProbIoU(**{name: x for name, x in case.call.items() if name == "eps"})
    rows = min(map(len, case.inputs.values()))

    def overlaps(boxes1: Array, boxes2: Array) -> Outputs:
        aligned = calculator(boxes1[:rows, :], boxes2[:rows, :], is_aligned=True)
        return {"pairwise": calculator(boxes1, boxes2), "aligned": aligned[:, None]}

    return Call(overlaps, case.inputs)


def _expect_probiou(case: GoldenCase) -> GoldenCase:
    """Expect the overlaps without the losses' options, none below 0, and not what rounding alone decides."""
    names = () if case.call.get("rounding_decides") else ("pairwise", "aligned")
    found = {name: np.maximum(case.expected[name], 0) for name in names}
    return replace(case, expected=MappingProxyType(found))


REPLAYS: Mapping[str, Replay] = MappingProxyType(
    {
        "BboxOverlaps2D": Replay(_overlaps, _expect_overlaps, batches=True),
        "RotatedIoU": Replay(_rotated_iou, _expect_exact, batches=True),
        "UltraProbIoU": Replay(_probiou, _expect_probiou, batches=True),
        **MMDET_REPLAYS,
        **DYNAMIC_K_REPLAYS,
        **MATCHING_REPLAYS,
        **TASK_ALIGNED_REPLAYS,
        **SET_MATCHER_REPLAYS,
        **TORCHVISION_REPLAYS,
    }
)
"""The variants whose goldens can be replayed. A variant that is not here is reported as not covered yet."""

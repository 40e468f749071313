"""How a golden case becomes a call of the core, and the core's result the golden's outputs.

The published packages and the core name and type their arguments and outputs differently. Where there is a
drop-in for any array library, it translates: see :mod:`assigncore.conformance.goldens.dropins`. Other calls
are translated in the modules of this folder, and nothing else in the suite knows how.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from assigncore.conformance.goldens.calls import Call, Outputs, Refusal, Replay
from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.goldens.replay_dynamic_k import DYNAMIC_K_REPLAYS
from assigncore.conformance.goldens.replay_matching import MATCHING_REPLAYS
from assigncore.conformance.goldens.replay_mmdet import MMDET_REPLAYS
from assigncore.conformance.goldens.replay_task_aligned import TASK_ALIGNED_REPLAYS
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


REPLAYS: Mapping[str, Replay] = MappingProxyType(
    {
        "BboxOverlaps2D": Replay(_overlaps, _expect_overlaps, batches=True),
        **MMDET_REPLAYS,
        **DYNAMIC_K_REPLAYS,
        **MATCHING_REPLAYS,
        **TASK_ALIGNED_REPLAYS,
    }
)
"""The variants whose goldens can be replayed. A variant that is not here is reported as not covered yet."""

"""The conformance suite: proof that every array library gives the same assignment.

Golden cases, recorded from the published packages, are replayed through the array signatures of the core on a
named backend, and each result is held against the answer: ``python -m assigncore.conformance --backend
numpy``.
"""

from assigncore.conformance.backends import TARGETS, Mode, Target, available_targets, get_target
from assigncore.conformance.compare import Agreement, Comparison, compare_case, compare_output
from assigncore.conformance.goldens import GoldenCase, load_folder, load_packed, variants
from assigncore.conformance.replay import REPLAYS, Call, Refusal, Replay
from assigncore.conformance.runner import CaseResult, Cell, Report, replay_case, run_call, run_cell

__all__ = [
    "REPLAYS",
    "TARGETS",
    "Agreement",
    "Call",
    "CaseResult",
    "Cell",
    "Comparison",
    "GoldenCase",
    "Mode",
    "Refusal",
    "Replay",
    "Report",
    "Target",
    "available_targets",
    "compare_case",
    "compare_output",
    "get_target",
    "load_folder",
    "load_packed",
    "replay_case",
    "run_call",
    "run_cell",
    "variants",
]

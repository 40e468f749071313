"""The conformance suite: proof that every array library gives the same assignment.

Golden cases, recorded from the published packages, are replayed on a named backend; generated scenes are held
against NumPy's answers; thirteen laws are checked, and what is declared: ``python -m assigncore.conformance
--backend numpy``. `check` does the like for an assigner of one's own.
"""

from assigncore.conformance.capabilities import CAPABILITIES, Capabilities, Priors, Ties
from assigncore.conformance.goldens.cases import GoldenCase, load_folder, load_packed, variants
from assigncore.conformance.goldens.compare import Comparison, compare_case, compare_output
from assigncore.conformance.goldens.replay import REPLAYS, Call, Refusal, Replay
from assigncore.conformance.goldens.runner import replay_case, run_call, run_cell
from assigncore.conformance.laws import LAWS
from assigncore.conformance.report.report import Report, validate_report
from assigncore.conformance.report.results import Agreement, CaseResult, Cell, Part
from assigncore.conformance.suite import Plan, check, run_plan
from assigncore.conformance.targets.libraries import TARGETS, Mode, Target, available_targets, get_target

__all__ = [
    "CAPABILITIES",
    "LAWS",
    "REPLAYS",
    "TARGETS",
    "Agreement",
    "Call",
    "Capabilities",
    "CaseResult",
    "Cell",
    "Comparison",
    "GoldenCase",
    "Mode",
    "Part",
    "Plan",
    "Priors",
    "Refusal",
    "Replay",
    "Report",
    "Target",
    "Ties",
    "available_targets",
    "check",
    "compare_case",
    "compare_output",
    "get_target",
    "load_folder",
    "load_packed",
    "replay_case",
    "run_call",
    "run_cell",
    "run_plan",
    "validate_report",
    "variants",
]

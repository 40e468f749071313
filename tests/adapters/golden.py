"""The published answers for the adapters, with torch tensors in the published containers."""

from functools import cache
from pathlib import Path

import torch

from assigncore.conformance import REPLAYS, compare_case, load_folder

GOLDENS = Path(__file__).resolve().parents[1] / "data" / "goldens"


@cache
def cases(variant):
    """Return a variant's cases."""
    return load_folder(GOLDENS, variant)


def tensors(case):
    return {name: torch.from_numpy(x.copy()) for name, x in case.inputs.items()}


def check(case, got, due=None):
    """Hold tensors by name against what is due, by default what the conformance suite expects."""
    due = REPLAYS[case.variant].expect(case) if due is None else due
    outcome = compare_case(due, {name: x.numpy() for name, x in got.items()})
    assert outcome.agreement.agrees, f"{case}: {outcome.message}"

"""The published answers for the adapters, with torch tensors in the published containers."""

import os
from pathlib import Path

import torch

from assigncore.conformance import REPLAYS, compare_case, load_folder, load_packed
from assigncore.conformance.goldens import variants

FOLDER = Path(
    os.environ.get("ASSIGNCORE_GOLDENS", Path(__file__).resolve().parents[3] / "shared" / "goldens")
)


def cases(variant):
    """Return a variant's cases: all of them where their folder is at hand, else those in the package."""
    if (FOLDER / variant).is_dir():
        return load_folder(FOLDER, variant)
    return load_packed(variant) if variant in variants() else ()


def tensors(case):
    return {name: torch.from_numpy(x.copy()) for name, x in case.inputs.items()}


def check(case, got, due=None):
    """Hold tensors by name against what is due, by default what the conformance suite expects."""
    due = REPLAYS[case.variant].expect(case) if due is None else due
    outcome = compare_case(due, {name: x.numpy() for name, x in got.items()})
    assert outcome.agreement.agrees, f"{case}: {outcome.message}"

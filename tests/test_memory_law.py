"""The memory law: an assignment's peak stays under a bound, in whatever order the priors come."""

import sys
import tracemalloc
from contextlib import nullcontext
from pathlib import Path

import pytest

from assigncore.adapters.kernels.compiled import without_kernels
from assigncore.registry import build_assigner

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from memory_law import KNOBS, inputs_of

PRIORS, GTS = 40_000, 640
BOUND = 96 * 2**20
"""A single array of float32 numbers of all pairs takes more, and what is computed at once of all pairs six times as much."""

RESULT = {"CenterRegionAssigner": 4 * PRIORS * GTS}
"""Its two extras take a byte a pair each, twice that while they are joined."""


@pytest.mark.parametrize("name", sorted(KNOBS))
@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "shuffled"])
@pytest.mark.parametrize("context", [nullcontext, without_kernels], ids=["kernels", "portable"])
def test_the_peak_is_bounded(name, ordered, context):
    assigner = build_assigner({"type": name, **KNOBS[name]})
    assigner.assign(**inputs_of(name, 100, 2, ordered=True))
    given = inputs_of(name, PRIORS, GTS, ordered=ordered)
    with context():
        tracemalloc.start()
        assigner.assign(**given)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < BOUND + RESULT.get(name, 0), f"{peak / 2**20:.0f} MB"

"""What all tests share: the array libraries as a parameter, and one deterministic Hypothesis profile."""

import os

import pytest
from hypothesis import HealthCheck, settings

# Read when JAX is first imported: two devices of the host, so that placement and mixing can be tested.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")

from assigncore.conformance import TARGETS, get_target

settings.register_profile(
    "laws",
    derandomize=True,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("laws")

WHY_NOT = {
    "cupy": "CuPy needs a CUDA device",
    "torch:cuda": "PyTorch on CUDA needs a CUDA device",
}


@pytest.fixture(scope="session", params=list(TARGETS))
def target(request):
    """Give an array library on a device, or skip where this machine has it not."""
    target = get_target(request.param)
    reason = target.unavailable()
    if reason:
        pytest.skip(WHY_NOT.get(target.name, reason))
    return target

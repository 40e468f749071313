"""What all tests share: the array libraries as a parameter, and one deterministic Hypothesis profile."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

LARGE = 3 * 2**30

# Read when JAX is first imported: two devices of the host, so that placement and mixing can be tested.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")

settings.register_profile(
    "laws",
    derandomize=True,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("laws")


def pytest_configure(config):
    """Let yapf, which mmengine imports, write its grammars before workers start: several at once read half a file."""
    if not hasattr(config, "workerinput"):
        import yapf  # noqa: F401


def pytest_generate_tests(metafunc):
    """Run a test that asks for a `target`, and names none itself, on every library that can run here."""
    named = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "target" not in metafunc.fixturenames or any("target" in names for names in named):
        return
    from assigncore.conformance import available_targets

    compiled = metafunc.definition.get_closest_marker("compiled_by_jax") is not None
    targets = [target for target in available_targets() if not (compiled and target.library == "jax")]
    metafunc.parametrize("target", targets, ids=lambda target: target.name)


@pytest.fixture(autouse=True, scope="module")
def bounded_memory():
    """Forget what JAX has compiled when a worker has grown large: the code of all tests takes gigabytes."""
    yield
    if "jax" in sys.modules and resident_bytes() > LARGE:
        sys.modules["jax"].clear_caches()


def resident_bytes():
    """Tell how much memory the process holds; 0 where the system does not say."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if pages.exists() else 0

"""What all tests share: the array libraries as a parameter, and one deterministic Hypothesis profile, a small annotation file."""

import abc
import contextlib
import copy
import gc
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

LARGE, WORTHWHILE = 3 * 2**30, 2**28
"""Bytes that a worker may hold before garbage is collected, and that it grows by before it is again."""

# Read when JAX is first imported: two devices of the host, so that placement and mixing can be tested.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")

# Read when JAX is first imported: most of its time is compiling, which takes a third of it so. What XLA optimises away,
# fusing and contraction above all, rounds otherwise: `optimising_jax` is what users have.
OPTIMISED_BY_XLA = {
    "xla_backend_optimization_level": (0, 3),
    "xla_llvm_disable_expensive_passes": (True, False),
    "xla_cpu_use_fusion_emitters": (False, True),
    "xla_cpu_parallel_codegen_split_count": (1, 32),
}
os.environ.setdefault(
    "XLA_FLAGS", " ".join(f"--{name}={here}".lower() for name, (here, _) in OPTIMISED_BY_XLA.items())
)

# Read when PyTorch and NumPy are first imported: on small scenes several threads wait for each other longer than they
# work, and workers have a core each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Read when PyTorch's compiler is first imported: workers have a core each, and processes that compile beside them would
# first have to import PyTorch.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

# Two sizes of images, one without objects, one crowd region, objects of all three size classes.
DOCUMENT = {
    "images": [
        {"id": 7, "width": 320, "height": 240, "file_name": "a.png"},
        {"id": 3, "width": 240, "height": 320, "file_name": "b.png"},
        {"id": 5, "width": 320, "height": 240, "file_name": "c.png"},
    ],
    "annotations": [
        {"id": 11, "image_id": 3, "category_id": 9, "bbox": [20, 30, 130, 140], "area": 18200, "iscrowd": 0},
        {"id": 12, "image_id": 7, "category_id": 4, "bbox": [100, 100, 40, 50], "area": 2000, "iscrowd": 0},
        {"id": 13, "image_id": 7, "category_id": 9, "bbox": [5, 8, 6, 7], "area": 42, "iscrowd": 0},
        {"id": 14, "image_id": 7, "category_id": 4, "bbox": [200, 20, 100, 180], "area": 9000, "iscrowd": 1},
        {"id": 15, "image_id": 3, "category_id": 4, "bbox": [200, 280, 60, 60]},
    ],
    "categories": [{"id": 9, "name": "zebra"}, {"id": 4, "name": "ape"}],
}

settings.register_profile(
    "laws",
    derandomize=True,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("laws")


def pytest_configure(config):
    """Prepare what all workers share, before they start and inherit the environment."""
    # As often as it comes by default, the collector would walk through all that is imported again and again.
    gc.set_threshold(50_000, 20, 20)
    look_types_up_in_array_api_strict()
    if hasattr(config, "workerinput"):
        return
    # yapf, which mmengine imports, writes its grammars when it is first imported: several at once read half a file.
    with contextlib.suppress(ModuleNotFoundError):
        import yapf  # noqa: F401

    share_what_jax_compiles(config)


def look_types_up_in_array_api_strict():
    """Give the strict library's checks the same answers by a look-up: they take more than half of its time."""
    try:
        from array_api_strict import _array_object, _dtypes
    except ModuleNotFoundError:
        return

    # Before Python 3.12, `isinstance` goes through a protocol's attributes each time; a class remembers types.
    class Index(metaclass=abc.ABCMeta):  # noqa: B024
        @classmethod
        def __subclasshook__(cls, kind):
            return hasattr(kind, "__index__")

    def equal(self, other, compare=_dtypes.DType.__eq__):
        if type(other) is _dtypes.DType:
            return self._np_dtype == other._np_dtype
        return compare(self, other)

    _array_object.SupportsIndex = Index
    # One by one, they are compared with the dtype of every array that is made.
    _array_object._all_dtypes = frozenset(_dtypes._all_dtypes)
    _dtypes.DType.__eq__ = equal


def share_what_jax_compiles(config):
    """Let a worker, and what it starts, load what another has compiled: most of JAX's time is compiling.

    The folder is the run's own, so that no run depends on an earlier one.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = tempfile.mkdtemp(prefix="assigncore-compiled-")
    settings_of_jax = {
        "JAX_COMPILATION_CACHE_DIR": folder,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    os.environ.update(settings_of_jax)

    def remove():
        for name in settings_of_jax:
            os.environ.pop(name, None)
        shutil.rmtree(folder, ignore_errors=True)

    config.add_cleanup(remove)


def pytest_collection_finish():
    """Let Python's garbage collector leave alone what lives as long as the run: the tests, and what they import."""
    gc.collect()
    gc.freeze()


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
def bounded_memory(collect_at):
    """Collect garbage when a worker has grown large, and forget what JAX has compiled: all of it takes gigabytes.

    And again only when it has grown by as much as is worth the second that it takes.
    """
    yield
    if resident_bytes() < collect_at["bytes"]:
        return
    gc.collect()
    if "jax" in sys.modules and resident_bytes() > LARGE:
        sys.modules["jax"].clear_caches()
    collect_at["bytes"] = max(LARGE, resident_bytes() + WORTHWHILE)


@pytest.fixture(scope="session")
def collect_at():
    """Remember how large a worker may become until garbage is collected."""
    return {"bytes": LARGE}


def resident_bytes():
    """Tell how much memory the process holds; 0 where the system does not say."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if pages.exists() else 0


@pytest.fixture(scope="session")
def optimising_jax():
    """Give JAX as a target whose compiled calls are optimised as those of users are."""
    jax = pytest.importorskip("jax")
    from assigncore.conformance import get_target

    class OptimisingJax(type(get_target("jax"))):
        def compile(self, function):
            options = {name: default for name, (_, default) in OPTIMISED_BY_XLA.items()}
            return jax.jit(function, compiler_options=options)

    return OptimisingJax(**vars(get_target("jax")))


@pytest.fixture(scope="session")
def tracing_torch():
    """Give PyTorch as a target whose compiled calls are one graph each, run operation by operation."""
    torch = pytest.importorskip("torch")
    from assigncore.conformance import get_target

    class TracingTorch(type(get_target("torch"))):
        def compile(self, function):
            torch.compiler.reset()
            return torch.compile(function, fullgraph=True, backend="eager")

    return TracingTorch(**vars(get_target("torch")))


@pytest.fixture
def document():
    """Give a COCO document to change at will."""
    return copy.deepcopy(DOCUMENT)


@pytest.fixture
def write(tmp_path):
    """Write a document, or any text, to a file."""

    def write(content, name="annotations.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write

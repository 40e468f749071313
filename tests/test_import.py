"""What importing the package brings along."""

import subprocess
import sys

import pytest

HEAVY = (
    "torch", "jax", "cupy", "scipy", "matplotlib", "click", "rich", "array_api_strict", "assigncore.adapters.backends.numpy",
)  # fmt: skip


def loaded_after(statement):
    code = f"import sys; {statement}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_the_package_imports_no_framework_and_no_extra():
    assert loaded_after("import assigncore") == []


def test_numpy_arrays_bring_in_their_own_adapter_alone():
    # numba, where it is installed, brings SciPy in.
    statement = (
        "import sys; sys.modules['numba'] = None; import numpy as np, assigncore; "
        "assigncore.MaxIoUAssigner(0.5, 0.4).assign(np.zeros((3, 4)), np.zeros((2, 4)))"
    )
    assert loaded_after(statement) == ["assigncore.adapters.backends.numpy"]


def test_the_first_call_of_all_may_be_compiled():
    code = (
        "import torch, assigncore\n"
        "assigner = assigncore.MaxIoUAssigner(0.5, 0.4)\n"
        "boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0]])\n"
        "print(torch.compile(assigner.assign, fullgraph=True, backend='eager')(boxes, boxes).gt_inds.tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[1]"
    assert "lru_cache" not in done.stderr


def test_the_package_lists_its_public_names_alone():
    import assigncore

    listed = dir(assigncore)
    assert set(assigncore.__all__) < set(listed)
    rooms = set(listed) - set(assigncore.__all__) - {"__version__"}
    assert rooms == {"boxes", "costs", "datasets", "matching", "plot", "priors"}
    for name in listed:
        assert getattr(assigncore, name) is not None
    with pytest.raises(AttributeError, match="module 'assigncore' has no attribute 'nothing'"):
        assigncore.nothing  # noqa: B018

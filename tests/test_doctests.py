"""Every example in a docstring of the package runs."""

import doctest
import importlib
import importlib.util
import pkgutil

import pytest

import assigncore
import assigncore.adapters
import assigncore.conformance

MODULES = sorted(
    {
        module.name
        for package in (assigncore, assigncore.adapters, assigncore.conformance)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        # Importing one of the latter two changes the registry of a framework, which need not be there.
        if not module.name.endswith(("__main__", ".in_mmdet", ".in_mmyolo", ".in_visdet"))
    }
)


def test_the_modules_are_found():
    assert {"assigncore.boxes", "assigncore.adapters.backends.torch", "assigncore.assigners.atss"} <= set(
        MODULES
    )


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    if name == "assigncore.adapters.backends.cupy" and importlib.util.find_spec("cupy") is None:
        pytest.skip("CuPy, which needs a CUDA device, is not installed")
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0

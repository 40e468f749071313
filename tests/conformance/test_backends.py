import sys
from types import SimpleNamespace

import numpy as np
import pytest

from assigncore.conformance import TARGETS, Mode, available_targets, get_target
from assigncore.conformance.targets import cuda as module_devices
from assigncore.conformance.targets import target as targets

HERE = available_targets()
DTYPES = ("float32", "float64", "int64", "uint8", "bool")


@pytest.mark.parametrize("target", HERE, ids=lambda target: target.name)
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_go_in_and_come_out_with_their_dtype(target, dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    with target.running(x64=True):
        there = target.from_numpy(array)
        assert not isinstance(there, np.ndarray) or target.library == "numpy"
        back = target.to_numpy(there)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("target", HERE, ids=lambda target: target.name)
def test_empty_arrays_keep_their_shape(target):
    array = np.zeros((2, 0, 4), dtype=np.float32)
    with target.running(x64=False):
        assert target.to_numpy(target.from_numpy(array)).shape == (2, 0, 4)


def test_arrays_land_on_the_named_device():
    target = get_target("array_api_strict:device1")
    device = target.module.Device("device1")
    assert target.from_numpy(np.zeros(3)).device == device
    assert get_target("array_api_strict").from_numpy(np.zeros(3)).device != device


def test_strict_flags_hold_during_a_run_and_are_restored_after_it():
    import array_api_strict as strict

    target, before = get_target("array_api_strict"), strict.get_array_api_strict_flags()
    with target.running(x64=False):
        array = target.from_numpy(np.arange(3))
        with pytest.raises(RuntimeError):
            strict.nonzero(array)
        with pytest.raises(RuntimeError):
            array[array > 1]
    assert strict.get_array_api_strict_flags() == before

    def fail_inside():
        with target.running(x64=False):
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert strict.get_array_api_strict_flags() == before


def test_jax_has_float64_only_where_it_is_asked_for():
    target = get_target("jax")
    array = np.zeros(3)
    with target.running(x64=True):
        assert target.to_numpy(target.from_numpy(array)).dtype == np.float64
    with target.running(x64=False):
        assert target.to_numpy(target.from_numpy(array)).dtype == np.float32


@pytest.mark.parametrize(
    "target", [t for t in HERE if Mode.JIT not in t.modes], ids=lambda target: target.name
)
def test_a_library_without_a_compiler_says_so(target):
    with pytest.raises(NotImplementedError):
        target.compile(lambda x: x)


def test_targets_are_found_by_name_and_by_alias():
    for name, target in TARGETS.items():
        assert get_target(name) is target
    assert get_target("torch:cpu") is TARGETS["torch"]


def test_an_unknown_target_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"'torh' is not known.*did you mean 'torch'"):
        get_target("torh")
    with pytest.raises(ValueError, match="expected one of numpy, numpy:kernels, torch"):
        get_target("qqq")


def test_what_cannot_run_here_gives_its_reason():
    import torch

    target = get_target("torch:cuda")
    assert bool(target.unavailable()) is not torch.cuda.is_available()
    missing = type(target)("nothing", "assigncore_no_such_library")
    assert "assigncore_no_such_library" in missing.unavailable()


def test_an_available_target_has_a_version():
    for target in HERE:
        assert target.unavailable() == ""
        assert target.version[0].isdigit()


def fake_torch(*, available):
    cuda = SimpleNamespace(is_available=lambda: available)
    return SimpleNamespace(cuda=cuda, __version__="2.13.0+cpu")


def fake_cupy(count):
    def ask():
        if isinstance(count, Exception):
            raise count
        return count

    return SimpleNamespace(
        cuda=SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=ask, CUDARuntimeError=OSError))
    )


@pytest.mark.parametrize(
    ("name", "module", "devices", "reason"),
    [
        ("torch:cuda", fake_torch(available=True), 1, ""),
        # ROCm: PyTorch calls its devices so, and there is no driver of CUDA.
        ("torch:cuda", fake_torch(available=True), 0, ""),
        ("torch:cuda", fake_torch(available=False), 0, "no CUDA device"),
        ("torch:cuda", fake_torch(available=False), 1, "torch 2.13.0+cpu cannot use the CUDA device"),
        ("torch:cuda", None, 0, "no CUDA device"),
        ("torch", None, 0, "torch cannot be imported: import of torch halted; None in sys.modules"),
        ("cupy:cuda", None, 0, "no CUDA device"),
        ("cupy:cuda", None, 1, "cupy cannot be imported: import of cupy halted; None in sys.modules"),
        ("cupy:cuda", fake_cupy(1), 1, ""),
        ("cupy:cuda", fake_cupy(0), 0, "no CUDA device"),
        ("cupy:cuda", fake_cupy(0), 1, "cupy finds no CUDA device"),
        ("cupy:cuda", fake_cupy(OSError("old driver")), 1, "cupy cannot use the CUDA device: old driver"),
    ],
)
def test_a_missing_device_is_told_from_a_missing_library(name, module, devices, reason, monkeypatch):
    target = get_target(name)
    monkeypatch.setitem(sys.modules, target.library, module)
    monkeypatch.setattr(targets, "cuda_devices", lambda: devices)
    assert target.unavailable() == reason


class Driver:
    """Answers as the CUDA driver does, with a status and through pointers."""

    def __init__(self, status, value):
        self.status, self.value = status, value

    def cuInit(self, _):  # noqa: N802
        return 0

    def __getattr__(self, question):
        def answer(pointer):
            pointer._obj.value = self.value
            return self.status

        return answer


def test_the_driver_is_asked(monkeypatch):
    for driver, devices, version in (
        (None, 0, ""),
        (Driver(0, 2), 2, "0.0"),
        (Driver(100, 2), 0, ""),
        (Driver(0, 12040), 12040, "12.4"),
    ):
        monkeypatch.setattr(module_devices, "_load", lambda driver=driver: driver)
        module_devices.cuda_devices.cache_clear()
        assert (module_devices.cuda_devices(), module_devices.cuda_driver()) == (devices, version)
    module_devices.cuda_devices.cache_clear()

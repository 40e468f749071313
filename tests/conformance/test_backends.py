import numpy as np
import pytest

from assigncore.conformance import TARGETS, Mode, available_targets, get_target

HERE = available_targets()
DTYPES = ("float32", "float64", "int64", "uint8", "bool")


@pytest.mark.parametrize("target", HERE, ids=lambda target: target.name)
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_go_in_and_come_out_with_their_dtype(target, dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    with target.running(x64=True):
        there = target.from_numpy(array)
        assert not isinstance(there, np.ndarray) or target.name == "numpy"
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
    with pytest.raises(ValueError, match="expected one of numpy, torch"):
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

"""Each adapter's primitives agree with the portable ones; libraries are found by their arrays."""

import os
import pickle
import subprocess
import sys
from importlib.metadata import entry_points
from unittest import mock

import array_api_strict
import jax
import ml_dtypes
import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from assigncore.backend import ArrayBackend, get_backend, load_backend
from assigncore.backend import lookup as module
from assigncore.backend.memory import memory_budget

NATIVE = ("numpy", "torch", "jax")


@pytest.fixture(params=NATIVE)
def native(request):
    return load_backend(request.param)


@pytest.fixture
def portable(native):
    return ArrayBackend(native.xp)


def tied(seed, shape, dtype=np.float32):
    """Draw from so few values that most of them tie, negative zeros among them."""
    values = np.random.default_rng(seed).integers(-2, 3, shape).astype(dtype)
    return np.where((values == 0) & (np.random.default_rng(seed + 1).random(shape) < 0.5), -values, values)


def check_same(native, got, expected):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(native.to_numpy(a), native.to_numpy(b))


@pytest.mark.parametrize("axis", [-1, -2, 0])
@pytest.mark.parametrize("shape", [(2, 5, 7), (1, 1, 1), (3, 40, 2)])
def test_max_and_argmax(native, portable, shape, axis):
    for seed in range(5):
        x = native.from_numpy(tied(seed, shape))
        check_same(native, native.max_and_argmax(x, axis), portable.max_and_argmax(x, axis))


def test_max_and_argmax_with_nan(native, portable):
    x = native.from_numpy(np.array([[1.0, 2.0], [np.nan, 0.0], [np.nan, 2.0]], dtype=np.float32))
    for axis in (0, 1):
        check_same(native, native.max_and_argmax(x, axis), portable.max_and_argmax(x, axis))


@pytest.mark.parametrize("k", [0, 1, 3, 9, 20])
@pytest.mark.parametrize("shape", [(2, 3, 9), (1, 1, 1), (4, 200)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_k_smallest(native, portable, shape, k, dtype):
    with jax.enable_x64(dtype == np.float64):
        for seed in range(5):
            x = tied(seed, shape, dtype)
            x = native.from_numpy(np.where(x == 2, np.inf, x).astype(dtype))
            check_same(native, native.k_smallest(x, k), portable.k_smallest(x, k))


def test_k_smallest_tells_neighbouring_floats_apart(native, portable):
    x = np.nextafter(np.float32(1), np.float32(2) * np.arange(-20, 20, dtype=np.float32)[::-1])
    x = native.from_numpy(np.concatenate([x, -x, x * 1e-38]))
    check_same(native, native.k_smallest(x, 17), portable.k_smallest(x, 17))


@pytest.mark.parametrize("fill", [0, -1e8])
def test_scatter_max(native, portable, fill):
    rng = np.random.default_rng(0)
    for rows, entries, size in ((2, 30, 7), (1, 1, 1), (3, 0, 4), (0, 3, 4), (2, 5, 0)):
        index = native.from_numpy(rng.integers(0, max(size, 1), (rows, entries if size else 0)))
        for values in (rng.normal(size=index.shape).astype(np.float32), rng.integers(0, 9, index.shape)):
            given = native.from_numpy(values)
            got, expected = (b.scatter_max(index, given, size, fill=fill) for b in (native, portable))
            check_same(native, [got], [expected])


def test_what_was_there_before_stays_where_all_that_is_scattered_is_less(native, portable):
    index = native.from_numpy(np.array([[1, 1], [0, 1]]))
    for values in (np.array([[-1.0, -2.0], [-3.0, 4.0]], dtype=np.float32), np.array([[-1, -2], [-3, 4]])):
        for backend in (native, portable):
            got = native.to_numpy(backend.scatter_max(index, native.from_numpy(values), 2))
            np.testing.assert_array_equal(got, [[0, 0], [0, 4]])


def test_count(native, portable):
    rng = np.random.default_rng(0)
    for rows, entries, size in ((2, 300, 7), (1, 1, 1), (3, 0, 4), (2, 5, 0)):
        index = native.from_numpy(rng.integers(-2, size + 2, (rows, entries)))
        check_same(native, [native.count(index, size)], [portable.count(index, size)])


def test_running_sum_adds_from_the_first_to_the_last(native, portable):
    rng = np.random.default_rng(0)
    for shape in ((2, 3, 45), (1, 1), (0, 4)):
        x = native.from_numpy((10.0 ** rng.integers(-8, 8, shape)).astype(np.float32))
        check_same(native, [native.running_sum(x)], [portable.running_sum(x)])


def test_numbers_are_repeated(native, portable):
    like = native.from_numpy(np.zeros(2, dtype=np.float32))
    for counts in (None, (1, 1, 1), (0, 3, 2), (0, 0, 0)):
        got, expected = (backend.numbers((0.1, 2, -3), like, counts) for backend in (native, portable))
        assert got.dtype == like.dtype
        check_same(native, [got], [expected])


def test_what_is_kept_is_of_the_shape_that_mask_and_values_have_together(native, portable):
    rng = np.random.default_rng(0)
    for values in (tied(0, (2, 5)), rng.integers(0, 9, (2, 5)), tied(0, (1, 5, 3))):
        for likelihood in (0, 0.5, 1):
            mask = rng.random((2, 5) if values.ndim == 2 else (2, 5, 1)) < likelihood
            mask, x = native.from_numpy(mask), native.from_numpy(values)
            got, expected = (native.to_numpy(backend.keep(mask, x, -1)) for backend in (native, portable))
            assert got.dtype == expected.dtype
            np.testing.assert_array_equal(np.broadcast_to(got, expected.shape), expected)


def test_blocks_do_not_matter_to_the_portable_scatter(native, portable):
    rng = np.random.default_rng(0)
    index, values = (native.from_numpy(rng.integers(0, 50, (2, 80))) for _ in range(2))
    whole = portable.scatter_max(index, values, 50)
    with memory_budget(1):
        check_same(native, [portable.scatter_max(index, values, 50)], [whole])


@pytest.mark.parametrize("dtype", [bool, np.int32, np.float32, np.float16])
def test_to_numpy_undoes_from_numpy(native, dtype):
    x = np.array([[0, 1, 2], [3, 0, 5]]).astype(dtype)
    back = native.to_numpy(native.from_numpy(x))
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, x)


def test_read_only_arrays_are_not_shared_writably(native):
    x = np.arange(3.0, dtype=np.float32)
    x.setflags(write=False)
    np.testing.assert_array_equal(native.to_numpy(native.from_numpy(x)), x)


def test_a_library_without_an_adapter_gets_the_portable_primitives():
    strict = get_backend(array_api_strict.asarray([1.0]))
    assert type(strict) is ArrayBackend
    assert load_backend("array_api_strict") is strict
    assert not strict.reads_host(array_api_strict.asarray([1.0]))
    with pytest.raises(NotImplementedError, match="array_api_strict has no compiler"):
        strict.compile(abs)


def test_arrays_find_their_library():
    assert get_backend(np.zeros(1)) is load_backend("numpy")
    assert get_backend(torch.zeros(1)) is load_backend("torch")
    assert get_backend(torch.nn.Parameter(torch.zeros(1))) is load_backend("torch")
    assert get_backend(jax.numpy.zeros(1)) is load_backend("jax")


@pytest.mark.parametrize("x", [[1.0], 1.0, None, "boxes"])
def test_what_is_no_array_is_refused_by_name(x):
    with pytest.raises(TypeError, match=f"priors: expected an array.*{type(x).__name__}"):
        get_backend(x, "priors")


def test_an_unknown_backend_is_answered_with_the_known_ones():
    with pytest.raises(ModuleNotFoundError, match=r"'nosuch'.*cupy, jax, numpy, torch"):
        load_backend("nosuch")


def test_a_missing_library_is_answered_with_what_to_install():
    code = (
        "import sys; sys.modules['cupy'] = None; import assigncore\n"
        "try: assigncore.load_backend('cupy')\n"
        "except ModuleNotFoundError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "assigncore[cupy-cuda12x]"' in done.stdout


def test_a_third_party_registers_its_own(monkeypatch):
    class Own(ArrayBackend):
        name = "array_api_strict"

        def __init__(self):
            super().__init__(array_api_strict)

    class Point:
        name = "array_api_strict"

        def load(self):
            return Own

    registered = {**module._registered(), "array_api_strict": Point()}
    monkeypatch.setattr(module, "_entry_points", registered)
    monkeypatch.setattr(module, "_by_namespace", {})
    monkeypatch.setattr(module, "_portable_by_type", {})
    assert type(get_backend(array_api_strict.asarray([1.0]))) is Own


def test_the_entry_points_are_the_adapters_by_their_own_names():
    points = {point.name: point for point in entry_points(group="assigncore.backends")}
    assert {"numpy", "torch", "jax", "cupy"} <= set(points)
    for name in NATIVE:
        backend = points[name].load()
        assert issubclass(backend, ArrayBackend)
        assert backend.name == name


def test_the_library_of_a_known_type_is_not_searched_for(monkeypatch):
    arrays = [
        np.zeros(1),
        torch.zeros(1),
        torch.nn.Parameter(torch.zeros(1)),
        array_api_strict.zeros(1),
    ]
    expected = [get_backend(x) for x in arrays]
    monkeypatch.setattr(module.array_api_compat, "array_namespace", None)
    assert [get_backend(x) for x in arrays] == expected


class Labelled(np.ndarray):
    """A subclass, whose type no adapter has listed."""


def test_a_subclass_belongs_to_the_library_of_its_class():
    assert get_backend(np.zeros(1).view(Labelled)) is load_backend("numpy")


def test_a_package_with_an_entry_point_brings_its_own_adapter(tmp_path):
    (tmp_path / "own.py").write_text(
        "import array_api_strict\n"
        "from assigncore.backend import ArrayBackend\n"
        "class Own(ArrayBackend):\n"
        "    name = 'array_api_strict'\n"
        "    def __init__(self):\n"
        "        super().__init__(array_api_strict)\n"
    )
    info = tmp_path / "own-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[assigncore.backends]\narray_api_strict = own:Own\n")
    code = (
        "import array_api_strict as xp, assigncore\n"
        "boxes = xp.asarray([[0.0, 0.0, 8.0, 8.0]])\n"
        "print(assigncore.get_backend(boxes), assigncore.load_backend('array_api_strict'))\n"
        "print(assigncore.MaxIoUAssigner(0.5, 0.4).assign(boxes, boxes).to_numpy().gt_inds)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines() == ["Own(array_api_strict) Own(array_api_strict)", "[1]"]


@pytest.mark.parametrize("shape", [(), (1,), (0, 4), (2, 3, 4)], ids=str)
def test_shapes_survive_the_way_there_and_back(target, shape):
    x = np.ones(shape, dtype=np.float32)
    there = target.from_numpy(x)
    assert tuple(there.shape) == shape
    assert target.to_numpy(there).shape == shape


def test_bfloat16_comes_back_as_float32_where_numpy_lacks_it():
    back = load_backend("torch").to_numpy(torch.tensor([1.5, -2.0], dtype=torch.bfloat16))
    assert back.dtype == np.float32
    assert back.tolist() == [1.5, -2.0]
    assert load_backend("jax").to_numpy(jax.numpy.asarray([1.5], dtype="bfloat16")).astype(
        float
    ).tolist() == [1.5]


def test_bfloat16_counts_as_real_floating_everywhere():
    for x in (
        np.zeros(1, dtype=ml_dtypes.bfloat16),
        torch.zeros(1).bfloat16(),
        jax.numpy.zeros(1, "bfloat16"),
    ):
        assert get_backend(x).is_dtype(x.dtype, "real floating")
        assert not get_backend(x).is_dtype(x.dtype, "integral")


def test_a_compiler_at_work_is_noticed():
    seen = []

    def look(x):
        seen.append(load_backend("jax").is_traced(x))
        return x

    x = jax.numpy.zeros(1)
    look(x)
    jax.jit(look)(x)
    assert seen == [False, True]
    assert load_backend("jax").device_of(x) == jax.devices()[0]
    assert not load_backend("torch").is_traced(torch.zeros(1))
    traced = torch.compile(lambda x: x + load_backend("torch").is_traced(x), fullgraph=True, backend="eager")
    assert traced(torch.zeros(1)).tolist() == [1.0]


class Divisions(TorchDispatchMode):
    """Remembers in what dtype is divided."""

    def __init__(self):
        super().__init__()
        self.dtypes = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        if function.overloadpacket is torch.ops.aten.div:
            self.dtypes.append(arguments[0].dtype)
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
@pytest.mark.parametrize("traced", [False, True])
def test_kernels_that_a_compiler_makes_for_cuda_divide_in_double(device, traced):
    """Triton divides float32 numbers approximately, and MPS has no float64."""
    backend = load_backend("torch")
    noticed = mock.patch.object(type(backend), "is_traced", return_value=traced)
    with noticed, FakeTensorMode(), Divisions() as seen:
        x = torch.empty(3, device=device)
        assert backend.quotient(x, x).dtype == torch.float32
    assert seen.dtypes == [torch.float64 if device == "cuda" and traced else torch.float32]


def test_a_quotient_by_way_of_double_is_rounded_to_the_nearest():
    rng = np.random.default_rng(0)
    x, y = (rng.integers(1, 2**24, 1_000_000).astype(np.float32) for _ in range(2))
    np.testing.assert_array_equal((x.astype(np.float64) / y).astype(np.float32), x / y)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_functions_compile(name):
    backend = load_backend(name)
    double = backend.compile(lambda x: x + x)
    assert backend.to_numpy(double(backend.from_numpy(np.ones(3, dtype=np.float32)))).tolist() == [2, 2, 2]


def test_rows_with_fewer_finite_values_than_are_sought_name_no_place_twice(target):
    x = np.array([[-1, np.inf, np.inf, np.inf], [np.inf, np.inf, 3, -np.inf]], dtype=np.float32)
    with target.running(x64=False):
        values, index = target.backend.k_smallest(target.from_numpy(x), 3)
        values, index = target.to_numpy(values), target.to_numpy(index)
    np.testing.assert_array_equal(values, [[-1, np.inf, np.inf], [-np.inf, 3, np.inf]])
    np.testing.assert_array_equal(index, [[0, 1, 2], [3, 2, 0]])


def test_another_process_finds_the_same_backend():
    backend = load_backend("numpy")
    assert pickle.loads(pickle.dumps(backend)) is backend

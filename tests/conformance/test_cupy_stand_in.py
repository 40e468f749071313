"""What CuPy's documentation says it does otherwise than NumPy changes no answer: shown on a strict stand-in."""

import importlib
import sys

import numpy as np
import pytest

from assigncore import load_backend
from assigncore.conformance import CAPABILITIES, REPLAYS, Mode, get_target, run_cell
from assigncore.conformance.goldens import variants
from assigncore.conformance.laws import LAWS, run_laws
from assigncore.conformance.matrix import Matrix
from assigncore.conformance.recipes import recipe_of
from assigncore.conformance.scene_kinds import draw_scenes

from ..adapters.golden import cases
from .cupy_stand_in import Waits, installed

VERSIONS = (13, 14)


@pytest.fixture(scope="module", params=VERSIONS)
def cupy(request):
    with installed(request.param) as module:
        yield module


@pytest.fixture(scope="module")
def newest():
    with installed(14) as module:
        yield module


@pytest.mark.parametrize("mode", [Mode.EAGER, Mode.BATCHED])
@pytest.mark.parametrize("variant", variants())
def test_golden_cases(cupy, variant, mode):
    some = cases(variant)
    cell = run_cell(variant, some, get_target("cupy"), mode, limit=1e6)
    assert not cell.failures, "\n".join(f"{result.case}: {result.message}" for result in cell.failures)
    assert len(cell.results) == (0 if mode is Mode.BATCHED and REPLAYS[variant].batches else len(some))


@pytest.mark.parametrize("name", CAPABILITIES)
def test_laws(cupy, name):
    # Between the versions it is what decides a dtype that differs.
    laws = LAWS if cupy.__version__.startswith("14") else ("codes", "ties", "precision", "padding")
    cell = run_laws(recipe_of(name), get_target("cupy"), laws=laws, limit=1e6)
    assert not cell.failures, "\n".join(f"{result.case}: {result.message}" for result in cell.failures)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(CAPABILITIES.keys() - {"SinkhornAssigner"}))
def test_generated_scenes(newest, name, dtype):
    cell = Matrix(recipe_of(name), limit=1e6).run_cell(
        get_target("cupy"), Mode.BATCHED, dtype, list(draw_scenes(13, 0))
    )
    assert not cell.not_run
    assert not cell.failures, "\n".join(f"{result.case}: {result.message}" for result in cell.failures)


def test_what_is_no_array_of_cupy_is_refused(cupy):
    x, host = cupy.ones(3), np.ones(3)
    assert not isinstance(x, np.ndarray)
    for mix in (lambda: np.asarray(x), lambda: x + host, lambda: host + x, lambda: cupy.maximum(x, host),
                lambda: cupy.where(host > 0, x, x), lambda: x[np.zeros(1, dtype=int)]):  # fmt: skip
        with pytest.raises(TypeError):
            mix()
    with pytest.raises(ValueError, match="Unsupported dtype"):
        cupy.asarray(["boxes"])
    assert (np.add(x, x) == 2).get().all()
    assert x.__dlpack_device__() == (2, 0)
    assert x.device == cupy.cuda.Device(0) != "cuda"


def test_a_wait_is_an_error(cupy):
    x = cupy.arange(4)
    for wait in (lambda: bool(x.all()), lambda: int(x[0]), lambda: float(x[0]), lambda: [1, 2, 3][x[0]],
                 lambda: x.sum().item(), lambda: x[x > 1], lambda: cupy.nonzero(x), lambda: cupy.unique(x),
                 lambda: 1 in x, lambda: cupy.allclose(x, x)):  # fmt: skip
        with pytest.raises(Waits):
            wait()


def test_results_are_arrays_also_without_dimensions(cupy):
    x = cupy.arange(4.0)
    for found in (x.sum(), cupy.max(x), x[1], x[1] == 1.0, cupy.argmax(x), cupy.all(x > 0)):
        assert isinstance(found, cupy.ndarray)
        assert found.shape == ()


def test_indices_wrap_around_and_doubles_are_refused(cupy):
    x = cupy.arange(4)
    assert x[cupy.asarray([1, 5, -1])].get().tolist() == [1, 1, 3]
    assert cupy.take_along_axis(x, cupy.asarray([6]), axis=0).get().tolist() == [2]
    rows = cupy.arange(6).reshape(2, 3)
    assert rows[:, None, cupy.asarray([4])].get().tolist() == [[[1]], [[4]]]
    with pytest.raises(AssertionError, match="undefined"):
        x[cupy.asarray([1, 1])] = cupy.asarray([7, 8])
    x[cupy.asarray([1, 1])] = 7
    assert x.get().tolist() == [0, 7, 2, 3]


def test_what_is_scattered_is_restricted(cupy):
    newest = cupy.__version__.startswith("14")
    place = cupy.asarray([0])
    for dtype in ("float16", "int16", "bool", *(() if newest else ("int64",))):
        with pytest.raises(TypeError, match=r"`maximum.at` only supports"):
            cupy.maximum.at(cupy.zeros(1, dtype=dtype), place, cupy.ones(1, dtype=dtype))
    with pytest.raises(TypeError, match=r"`multiply.at` only supports other functions"):
        cupy.multiply.at(cupy.zeros(1), place, cupy.ones(1))
    x = cupy.zeros(1)
    cupy.maximum.at(x, place, cupy.asarray([1 + 2.0**-40]))
    assert x.get()[0] == 1.0
    cupy.maximum.at(x, place, cupy.asarray([np.nan]))
    assert x.get()[0] == 1.0
    counts = cupy.zeros(2, dtype="int64")
    cupy.add.at(counts, cupy.asarray([1, 1]), 1)
    assert counts.get().tolist() == [0, 2]


def test_float32_has_no_subnormal_numbers_where_it_is_computed(cupy):
    tiny = cupy.asarray(np.array([1e-40, -1e-40], dtype=np.float32))
    assert (tiny.get() != 0).all()
    assert ((tiny + 0) == 0).get().all()
    assert ((cupy.asarray([1e-320]) + 0).get() != 0).all()


def test_sorting_is_stable_and_has_no_other_kind(cupy):
    x = cupy.asarray([1.0, 0.0] * 20)
    assert cupy.argsort(x).get().tolist() == [*range(1, 40, 2), *range(0, 40, 2)]
    with pytest.raises(ValueError, match="kind can only be None or 'stable'"):
        cupy.argsort(x, kind="quicksort")


def test_scalars_of_numpy_decide_the_dtype_from_version_14_on(cupy):
    x = cupy.ones(1, dtype="float32")
    assert (x + 1.0).dtype == np.float32
    assert (x + np.float64(1)).dtype == (np.float64 if cupy.__version__.startswith("14") else np.float32)
    assert (x + cupy.asarray(1.0)).dtype == np.float64


def failures(name, laws, **patches):
    adapter = importlib.import_module("assigncore.adapters.cupy").CupyBackend
    with pytest.MonkeyPatch.context() as patch:
        for method, function in patches.items():
            patch.setattr(adapter, method, function)
        cell = run_laws(recipe_of(name), get_target("cupy"), laws=laws, limit=1e6)
    return {result.case: result.message for result in cell.failures}


def test_a_scatter_by_cupys_own_maximum_is_caught(cupy):
    """As the adapter once had it."""

    def scatter_max(self, index, values, size, *, fill=0):
        made = cupy.full((index.shape[0], size), fill, dtype=values.dtype)
        cupy.maximum.at(made, (cupy.arange(index.shape[0])[:, None], index), values)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(load_backend("cupy")), "scatter_max", scatter_max)
        cell = Matrix(recipe_of("TaskAlignedAssigner"), limit=1e6).run_cell(
            get_target("cupy"), Mode.EAGER, "float64", list(draw_scenes(13, 0))
        )
    assert cell.failures


def test_a_wait_or_a_mixture_in_an_adapter_is_caught(cupy):
    def waiting(self, x, bound, *, own=False):
        return cupy.maximum(x, bound) if bool((x > bound).all()) else x

    def mixing(self, x, bound, *, own=False):
        return cupy.maximum(x, np.full(x.shape, bound, dtype=x.dtype))

    assert "a value is read on the host" in failures("MaxIoUAssigner", ["codes"], at_least=waiting)["codes"]
    assert "Unsupported type" in failures("MaxIoUAssigner", ["codes"], at_least=mixing)["codes"]


def test_nothing_of_it_stays():
    before = sys.modules.get("cupy"), get_target("cupy").unavailable()
    with installed(14) as module:
        assert load_backend("cupy").xp.ndarray is module.ndarray
    assert sys.modules.get("cupy") is not module
    assert before == (sys.modules.get("cupy"), get_target("cupy").unavailable())

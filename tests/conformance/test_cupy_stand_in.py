"""CuPy without a GPU: the golden cases and the laws on a stand-in, and what the stand-in would catch."""

import importlib
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import array_api_compat
import numpy as np
import pytest

from assigncore import ATSSAssigner, load_backend
from assigncore.adapters.backends.numpy import NumpyBackend
from assigncore.backend import ArrayBackend, lookup
from assigncore.backend.memory import memory_budget
from assigncore.conformance import Mode, get_target, run_cell
from assigncore.conformance.goldens.cases import variants_of_folder
from assigncore.conformance.goldens.replay import REPLAYS
from assigncore.conformance.laws import LAWS, run_laws
from assigncore.conformance.laws.promises import run_backend_promises
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.recipes import recipe_of
from assigncore.conformance.targets.libraries import CupyTarget
from assigncore.registry import ASSIGNERS

from ..adapters import golden
from ..adapters.golden import GOLDENS
from .cupy_stand_in import VERSIONS, Array, Device, SynchronisationError, installed

LAW_THIS_TARGET_CANNOT_SHOW = "static"
"""It has neither a compiler nor arrays without values; the tests count what it copies to the host."""


class StandInTarget(CupyTarget):
    """CuPy's target, on the stand-in."""

    def unavailable(self):
        return ""

    def elsewhere(self, array):
        with Device(1):
            return self.module.asarray(array)


def target_of_cupy():
    known = get_target("cupy")
    return StandInTarget(known.name, known.library, None, known.modes, known.dtypes, known.subnormals)


@pytest.fixture(scope="module", params=VERSIONS)
def cupy(request):
    with installed(request.param) as module:
        yield module


@pytest.fixture
def modern(cupy):
    return cupy.ndarray.is_modern


@pytest.fixture
def place(cupy):
    return target_of_cupy()


@pytest.mark.parametrize("mode", [Mode.EAGER, Mode.BATCHED], ids=str)
@pytest.mark.parametrize("variant", [name for name in variants_of_folder(GOLDENS) if name in REPLAYS])
def test_golden_cases(place, variant, mode):
    cases = golden.cases(variant)
    cell = run_cell(variant, cases, place, mode)
    assert cell.failures == ()
    in_batches = mode is Mode.BATCHED and REPLAYS[variant].batches
    assert (len(cell.results), bool(cell.not_run)) == (0 if in_batches else len(cases), in_batches)


@pytest.mark.parametrize("name", ASSIGNERS.names())
def test_laws(place, modern, name):
    cell = run_laws(recipe_of(name), place, thorough=modern)
    assert cell.failures == ()
    not_shown = {result.case for result in cell.results if not result.agreement.agrees or result.message}
    assert not_shown <= {LAW_THIS_TARGET_CANNOT_SHOW, "batch", "padding"}
    assert len(cell.results) == len(LAWS)


def test_the_backend_keeps_its_promises(place):
    assert run_backend_promises(place).failures == ()


@pytest.mark.parametrize("name", ASSIGNERS.names())
@pytest.mark.parametrize("images", [None, 2])
def test_no_assigner_copies_to_the_host_but_to_match_there(place, name, images):
    recipe, scene = recipe_of(name), draw_scene("crowd-0-2")
    arrays = {key: x if images is None else np.stack([x] * images) for key, x in recipe.arrays(scene).items()}
    assign = recipe.call(recipe.statics(scene))
    native = {key: place.in_dtype(x, "float32") if x.dtype.kind == "f" else place.from_numpy(x)
              for key, x in arrays.items()}  # fmt: skip
    before = Array.transfers
    assign(**native)
    assert Array.transfers - before == int(recipe.capabilities.host)


class SecondDevice(StandInTarget):
    """The stand-in with another current device."""

    @contextmanager
    def running(self, *, x64):
        with Device(1):
            yield

    def elsewhere(self, array):
        with Device(0):
            return self.module.asarray(array)


@pytest.mark.parametrize("name", ASSIGNERS.names())
def test_results_are_on_the_current_device_where_the_inputs_are(cupy, name):
    assert run_laws(recipe_of(name), SecondDevice("cupy:1", "cupy"), laws=["namespace"]).failures == ()


SIZES = ((2, 30, 7), (1, 1, 1), (3, 0, 4), (0, 3, 4), (2, 0, 0), (1, 300, 3))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int32", "int64", "uint8"])
def test_scattering_agrees_with_the_portable_version(cupy, place, dtype):
    rng = np.random.default_rng(0)
    for rows, entries, size in SIZES:
        index = rng.integers(0, max(size, 1), (rows, entries))
        values = np.rint(rng.normal(size=index.shape) * 3)
        values = (abs(values) if dtype == "uint8" else values).astype(dtype)
        if np.dtype(dtype).kind == "f":
            special = (np.inf, -np.inf, np.pi, -np.pi, 1e-3)
            values = np.where(rng.random(values.shape) < 0.3, rng.choice(special, values.shape), values)
            values = values.astype(dtype)
        for fill in (0, 5):
            native = load_backend("cupy").scatter_max(
                *map(place.from_numpy, (index, values)), size, fill=fill
            )
            expected = ArrayBackend(load_backend("numpy").xp).scatter_max(index, values, size, fill=fill)
            np.testing.assert_array_equal(place.to_numpy(native), expected)
            assert native.dtype == dtype


def test_scattering_tells_large_unsigned_integers_from_negative_ones(place):
    values, index = np.array([[2**31, 5, 2**32 - 1]], dtype=np.uint32), np.array([[0, 0, 1]])
    got = load_backend("cupy").scatter_max(*map(place.from_numpy, (index, values)), 3)
    np.testing.assert_array_equal(place.to_numpy(got), [[2**31, 2**32 - 1, 0]])


def test_scattering_keeps_nan_and_neighbouring_float64_apart(place):
    values = np.array([[1.0, np.nextafter(1, 2), np.nan, 7, -np.inf]])
    index = np.array([[0, 0, 1, 1, 2]])
    got = load_backend("cupy").scatter_max(*map(place.from_numpy, (index, values)), 4, fill=-np.inf)
    np.testing.assert_array_equal(place.to_numpy(got), [[np.nextafter(1, 2), np.nan, -np.inf, -np.inf]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_other_primitives_agree_with_numpys(cupy, place, dtype):
    backend, of_numpy, rng = load_backend("cupy"), NumpyBackend(), np.random.default_rng(0)
    x = rng.integers(-2, 3, (2, 5, 9)).astype(dtype)
    numbers = np.arange(5)[None, :, None]
    calls = {
        "max_and_argmax": lambda b, x, _: b.max_and_argmax(x, -1),
        "k_smallest": lambda b, x, _: b.k_smallest(x, 4),
        "first_largest": lambda b, x, n: b.first_largest(x, n),
        "at_least": lambda b, x, _: (b.at_least(x, 0.5),),
        "count": lambda b, _, n: (b.count(n[..., 0], 3),),
        "l1_distance": lambda b, x, _: (b.l1_distance(x[..., :4], x[..., 4:8]),),
        "surely_all": lambda b, x, _: (b.keep(x > 0, x, 7.0),),
    }
    for name, call in calls.items():
        got = call(backend, place.from_numpy(x), place.from_numpy(numbers))
        for one, other in zip(got, call(of_numpy, x, numbers), strict=True):
            np.testing.assert_array_equal(place.to_numpy(one), other, err_msg=name)


def test_everything_is_as_before_where_the_stand_in_was_taken_out():
    def state():
        modules = {name: module for name, module in sys.modules.items() if "cupy" in name}
        found = {name: getattr(array_api_compat, name) for name in vars(array_api_compat) if "cupy" in name}
        return modules, found, dict(lookup._by_namespace), dict(lookup._by_type)

    before = state()
    for version in VERSIONS:
        with installed(version) as module:
            x = module.asarray([1.0])
            assert lookup.get_backend(x) is load_backend("cupy")
            assert lookup.get_backend(x).xp.__name__ == "array_api_compat.cupy"
            assert state() != before
        assert state() == before


# What would have broken the project, and did or might: each fault is planted, and caught by its name.


def test_float64_scattered_by_cupys_own_maximum_is_caught(cupy, place, modern):
    def rounding(index, values, size, *, fill=0):
        out = cupy.full((index.shape[0], size), fill, dtype=values.dtype)
        cupy.maximum.at(out, (cupy.arange(index.shape[0])[:, None], index), values)
        return out

    with mock.patch.object(load_backend("cupy"), "scatter_max", rounding):
        cells = {
            name: run_cell(name, golden.cases(name), place) for name in ("ATSSAssigner", "PointAssigner")
        }
    for name, cell in cells.items():
        dtypes = {case.dtype for case in golden.cases(name) if case.name in {r.case for r in cell.failures}}
        if modern:
            assert dtypes == {"float64"}
        else:
            assert "scatter only supports int32" in cell.failures[0].message


def altered(change):
    """Give the assigner in which a function of the namespace and the boxes is applied to these first."""
    kind = type("Altered", (Altered,), {"altered": staticmethod(change)})
    return recipe_of(kind(**recipe_of("ATSSAssigner").capabilities.knobs))


@dataclass(frozen=True)
class Altered(ATSSAssigner):
    """An assigner in which something is wrong."""

    def assign(self, priors, gt_bboxes, *, gt_labels=None, gt_valid=None, prior_valid=None, ignore_bboxes=None,
               ignore_valid=None, num_level_priors):  # fmt: skip
        changed = self.altered(load_backend("cupy").xp, gt_bboxes)
        return super().assign(
            priors, changed, gt_labels=gt_labels, gt_valid=gt_valid, prior_valid=prior_valid,
            ignore_bboxes=ignore_bboxes, ignore_valid=ignore_valid, num_level_priors=num_level_priors,
        )  # fmt: skip


def changes_nothing(xp, x):
    return x


def branches(xp, x):
    return abs(x) if xp.all(x >= 0) else x


def reads_a_number(xp, x):
    return x * float(xp.max(x)) / float(xp.max(x))


def indexes_by_a_mask(xp, x):
    x[x < 0] = 0
    return x


def mixes_numpy_in(xp, x):
    return x + np.zeros(4, dtype=np.float32)


def mixes_numpy_in_from_the_left(xp, x):
    return np.zeros(4, dtype=np.float32) + x


def lets_numpy_read(xp, x):
    return xp.asarray(np.asarray(x))


def raises_the_precision(xp, x):
    return x * np.float64(1)


def takes_the_sign(xp, x):
    return x * abs(xp.sign(x))


def clips(xp, x):
    return xp.clip(x, 0.0, 1e4)


def cuts_by_a_value(xp, x):
    return x[..., : xp.sum(xp.ones(x.shape[-1])), :]


FAULTS = {
    branches: "SynchronisationError",
    reads_a_number: "SynchronisationError",
    indexes_by_a_mask: "SynchronisationError",
    # array-api-compat mends both for CuPy by masks.
    takes_the_sign: "SynchronisationError",
    clips: "SynchronisationError",
    mixes_numpy_in: "Unsupported type",
    mixes_numpy_in_from_the_left: "Unsupported type",
    lets_numpy_read: "Implicit conversion",
    cuts_by_a_value: "slice indices must be integers",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_an_assigner_that_would_break_on_cupy_is_caught(place, fault):
    laws = ("codes", "memory")
    assert run_laws(altered(changes_nothing), place, laws=laws).failures == ()
    cell = run_laws(altered(fault), place, laws=laws)
    assert len(cell.failures) == len(laws)
    assert all(FAULTS[fault] in failure.message for failure in cell.failures)


def test_a_scalar_of_numpy_that_raises_the_precision_is_caught_on_14(place, modern):
    cell = run_laws(
        altered(raises_the_precision), place, laws=("precision",), reference=recipe_of("ATSSAssigner")
    )
    assert bool(cell.failures) is modern
    assert all("float64" in failure.message for failure in cell.failures)


def test_a_backend_that_takes_the_device_for_the_host_is_caught(place):
    with mock.patch.object(load_backend("cupy"), "reads_host", return_value=True), memory_budget(2**24):
        cell = run_laws(recipe_of("MaxIoUAssigner"), place, laws=("codes",))
    assert "SynchronisationError" in cell.failures[0].message


# The stand-in itself: each difference from NumPy that it imitates.


def test_an_array_is_none_of_numpys_and_does_not_become_one_by_itself(cupy):
    x = cupy.arange(3)
    assert not isinstance(x, np.ndarray)
    for convert in (
        np.asarray,
        np.array,
        np.from_dlpack,
        lambda x: np.maximum(x, 1),
        lambda x: np.zeros(3) - x,
    ):
        with pytest.raises((TypeError, BufferError)):
            convert(x)
    np.testing.assert_array_equal(cupy.asnumpy(x), [0, 1, 2])


def test_only_arrays_of_its_own_and_scalars_are_computed_with(cupy):
    x = cupy.arange(3)
    for other in (np.arange(3), [0, 1, 2], "1", None):
        for call in (cupy.add, cupy.maximum, cupy.equal, lambda a, b: a * b, lambda a, b: b + a):
            with pytest.raises(TypeError):
                call(x, other)
    for call in (cupy.sum, cupy.argsort, cupy.broadcast_to, lambda y: cupy.concatenate([x, y]),
                 lambda y: cupy.take(y, x, axis=0), lambda y: cupy.where(y, x, x)):  # fmt: skip
        with pytest.raises((TypeError, AttributeError)):
            call(np.arange(3))
    np.testing.assert_array_equal((np.int64(2) * x).get(), [0, 2, 4])


def test_reductions_and_comparisons_give_arrays_and_no_scalars(cupy):
    x = cupy.arange(6).reshape(2, 3)
    found = (cupy.sum(x), x.max(), cupy.argmax(x), cupy.any(x > 3), cupy.sum(x) == 15, x[1, 2], -cupy.min(x))
    assert {type(y) for y in found} == {cupy.ndarray}
    assert {y.shape for y in found} == {()}
    with pytest.raises(TypeError):
        cupy.max(x, initial=0)


def test_what_waits_for_the_device_is_an_error(cupy):
    x = cupy.arange(3)
    for ask in (bool, int, float, complex, str, lambda y: y.item(), lambda y: y.tolist(), "{:.1f}".format,
                cupy.nonzero, cupy.where, lambda y: x[x > y], lambda y: x.__setitem__(x > y, 0),
                lambda y: cupy.zeros((y, 2)), lambda y: cupy.arange(y)):  # fmt: skip
        with pytest.raises(SynchronisationError):
            ask(cupy.sum(x))
    with pytest.raises(TypeError):
        range(3)[cupy.sum(x)]


def test_indices_out_of_bounds_wrap_but_for_numbers_and_empty_axes(cupy):
    x = cupy.arange(3)
    assert x[cupy.asarray([1, 3, -4, 7])].get().tolist() == [1, 0, 2, 1]
    assert cupy.take(x, cupy.asarray([5]), axis=0).get().tolist() == [2]
    assert cupy.take_along_axis(x[None], cupy.asarray([[4, 2]]), -1).get().tolist() == [[1, 2]]
    x[cupy.asarray([4])] = 10
    assert x.get().tolist() == [0, 10, 2]
    with pytest.raises(IndexError):
        x[3]
    with pytest.raises(IndexError):
        cupy.zeros((2, 0))[:, cupy.asarray([0])]
    with pytest.raises(IndexError):
        x[cupy.asarray([1.0])]


def test_of_values_written_to_one_place_another_stays_than_numpys(cupy):
    x = cupy.zeros(2)
    x[cupy.asarray([0, 1, 0])] = cupy.asarray([5.0, 6.0, 7.0])
    assert x.get().tolist() == [5, 6]


def test_sorting_is_stable_and_takes_no_other_kind(cupy):
    x = cupy.asarray([2, 1, 2, 1])
    assert cupy.argsort(x, kind="stable").get().tolist() == [1, 3, 0, 2]
    for call in (cupy.sort, cupy.argsort):
        with pytest.raises(ValueError, match="kind can only be None or 'stable'"):
            call(x, kind="quicksort")


def test_few_ufuncs_scatter_and_few_dtypes_are_scattered(cupy, modern):
    indices = cupy.asarray([0, 1, 4])
    for dtype, expected in (("uint32", [9, 7, 1]), ("float32", [9, 7, 1])):
        x = cupy.ones(3, dtype=dtype)
        cupy.maximum.at(x, indices, cupy.asarray([9, 0, 7], dtype=dtype))
        assert x.get().tolist() == expected
    x = cupy.zeros(2, dtype="float64")
    cupy.maximum.at(x, cupy.asarray([0, 1, 1]), cupy.asarray([0.1, np.nan, 2.0]))
    assert x.get().tolist() == [float(np.float32(0.1)), 2]
    for dtype in ("float16", "int8", *(() if modern else ("int64",))):
        with pytest.raises(TypeError, match="scatter only supports"):
            cupy.maximum.at(cupy.ones(3, dtype=dtype), indices, cupy.ones(3, dtype=dtype))
    with pytest.raises(NotImplementedError):
        cupy.multiply.at(x, indices, x)


def test_a_device_is_an_object_and_arrays_live_on_the_current_one(cupy):
    x = cupy.arange(3)
    assert (x.device, x.device.id) == (cupy.cuda.Device(0), 0)
    with pytest.raises(TypeError, match="unhashable"):
        hash(x.device)
    with cupy.cuda.Device(1):
        y = cupy.asarray(x)
        assert (y.device.id, (y + 1).device.id) == (1, 1)
        with pytest.raises(ValueError, match="same as the current device"):
            x + 1
    assert array_api_compat.to_device(y, x.device).device == x.device
    assert isinstance(array_api_compat.to_device(y, "cpu"), np.ndarray)
    assert not hasattr(x, "to_device")
    with pytest.raises(ValueError, match="same as the current device"):
        x + y


def test_dlpack_hands_over_memory_of_a_device_or_a_copy_on_the_host(cupy):
    x = cupy.arange(3)
    assert x.__dlpack_device__() == (2, 0)
    assert cupy.from_dlpack(x) is x
    with pytest.raises(BufferError):
        np.from_dlpack(x)
    np.testing.assert_array_equal(np.from_dlpack(x, device="cpu"), [0, 1, 2])
    with pytest.raises(RuntimeError, match="CUDA"):
        cupy.from_dlpack(np.arange(3))


PROMOTED = [
    # dtype, scalar, and what comes of both in CuPy 13 and in 14
    ("float32", 0.1, "float32", "float32"),
    ("float32", np.float64(0.1), "float32", "float64"),
    ("float32", 1e300, "float64", "float32"),
    ("float16", 1e5, "float32", "float16"),
    ("float32", float("inf"), "float32", "float32"),
    ("int32", 0.5, "float64", "float64"),
    ("int64", 3, "int64", "int64"),
    ("int8", 300, "int16", OverflowError),
    ("uint8", -1, "int16", OverflowError),
    ("int8", np.int64(3), "int8", "int64"),
    ("bool", 1, "int64", "int64"),
    ("uint32", np.uint32(2**31), "uint32", "uint32"),
]


@pytest.mark.parametrize(("dtype", "scalar", "of_13", "of_14"), PROMOTED)
def test_scalars_are_promoted_as_by_the_numpy_that_a_version_follows(
    cupy, modern, dtype, scalar, of_13, of_14
):
    x, due = cupy.ones(2, dtype=dtype), of_14 if modern else of_13
    for call in (lambda: x * scalar, lambda: cupy.where(x > 0, x, scalar), lambda: scalar + x):
        if isinstance(due, type):
            with pytest.raises(due):
                call()
        else:
            assert call().dtype == due


def test_an_array_without_dimensions_is_promoted_as_any_other(cupy):
    assert (cupy.ones(2, dtype="float32") * cupy.sum(cupy.ones(3))).dtype == "float64"


def test_subnormal_numbers_are_zero_in_float32_alone(cupy):
    tiny = np.array([1e-40, -1e-40, 1e-3], dtype=np.float32)
    x = cupy.asarray(tiny)
    assert x.copy().astype("float32").get().tolist() == tiny.tolist()
    assert (x * 1).get().tolist() == [0, 0, tiny[2]]
    assert (cupy.asarray(np.float32([1e-30])) * np.float32(1e-12)).get().tolist() == [0]
    assert (x > 0).get().tolist() == [False, False, True]
    assert np.signbit((-x).get()).tolist() == [True, False, True]
    assert (cupy.asarray([1e-310]) * 1).get().tolist() == [1e-310]
    assert (cupy.asarray(np.float16([6e-8])) * 1).get().tolist() == np.float16([6e-8]).tolist()
    assert cupy.asarray([1e-40]).astype("float32").get().tolist() == [0]


def test_real_numbers_become_the_nearest_integers_that_there_are(cupy):
    x = cupy.asarray(np.array([-1, np.inf, -np.inf, 2.7], dtype=np.float32))
    assert x.astype("uint32").get().tolist() == [0, 2**32 - 1, 0, 2]
    assert x.astype("int32").get().tolist() == [-1, 2**31 - 1, -(2**31), 2]


def test_objects_and_strings_are_no_elements(cupy):
    for values in (np.array([None]), np.array(["a"]), [object()]):
        with pytest.raises(ValueError, match="Unsupported dtype"):
            cupy.asarray(values)


def test_a_version_has_the_names_of_its_own(cupy, modern):
    assert hasattr(cupy, "concat") is modern
    assert hasattr(cupy, "isdtype") is modern
    assert not hasattr(cupy, "unstack")
    compat = importlib.import_module("array_api_compat.cupy")
    assert compat.concat([compat.zeros(2), compat.ones(1)]).get().tolist() == [0, 0, 1]

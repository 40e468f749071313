"""A strict stand-in for CuPy, computed by NumPy: where CuPy differs from NumPy it differs too, or refuses.

Sources are cited where a difference is imitated:

- [D] "Differences between CuPy and NumPy", docs.cupy.dev/en/stable/user_guide/difference.html
- [I] "Interoperability", docs.cupy.dev/en/stable/user_guide/interoperability.html
- [P] "Performance Best Practices", docs.cupy.dev/en/stable/user_guide/performance.html, on what synchronises
- [S] `cupy.sort` and `cupy.argsort`, docs.cupy.dev/en/stable/reference/sorting.html
- [U] "Universal functions", docs.cupy.dev/en/stable/reference/ufunc.html, and `cupyx.scatter_max` beside it
- [V] "Upgrade Guide", docs.cupy.dev/en/stable/upgrade.html, on version 14
- [seen] on CuPy 14.2 with an H100, by the project's GPU kit
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from types import ModuleType

import numpy as np
import torch

__all__ = ["installed"]


class Waits(AssertionError):  # noqa: N818
    """The host reads a value: allowed by CuPy, at the cost of a wait for the device [P]. Here it is refused."""


class Device:
    """A device: an object that is entered, not a string."""

    def __init__(self, device=None):
        self.id = device.id if isinstance(device, Device) else int(device or 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self):
        return hash(self.id)

    def __repr__(self):
        return f"<CUDA Device {self.id}>"


@contextlib.contextmanager
def flushing(given):
    """Take numbers below the least normal one for 0, as kernels of float32 do [seen]; not those of float64.

    It is a mode of the processor, which PyTorch can set for the thread.
    """
    dtypes = {x.dtype for x in given if isinstance(x, np.ndarray | np.generic) and x.dtype.kind == "f"}
    if dtypes != {np.dtype(np.float32)}:
        yield
        return
    assert torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


class ndarray:  # noqa: N801
    """An array on the device. It is no `numpy.ndarray`, and nothing turns it into one unasked [I]."""

    __array_priority__ = 100
    __hash__ = None
    version = 14

    def __init__(self, host):
        self._host = host if isinstance(host, np.ndarray) else np.asarray(host)
        if self._host.dtype.kind not in "biufc":
            raise ValueError(f"Unsupported dtype {self._host.dtype}")

    shape = property(lambda self: self._host.shape)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    dtype = property(lambda self: self._host.dtype)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    T = property(lambda self: ndarray(self._host.T))
    mT = property(lambda self: ndarray(self._host.mT))  # noqa: N815
    device = property(lambda _: Device(0))

    def __array__(self, *_, **__):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array "
            "explicitly."
        )  # [I]

    def __array_ufunc__(self, ufunc, method, *arguments, **options):
        """Let NumPy's function on arrays of the device be CuPy's of the same name [I]."""
        if method != "__call__":
            return NotImplemented
        return getattr(sys.modules["cupy"], ufunc.__name__)(*arguments, **options)

    def __array_function__(self, function, types, arguments, options):
        own = getattr(sys.modules["cupy"], function.__name__, None)
        return NotImplemented if own is None else own(*arguments, **options)

    def __dlpack_device__(self):
        return (2, 0)  # kDLCUDA [I]

    def __dlpack__(self, **_):
        raise BufferError("there is no memory of a device here")

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (ndarray(row) for row in self._host)

    def __repr__(self):
        return f"cupy:{self._host!r}"

    def _wait(self, *_, **__):
        raise Waits("a value is read on the host")

    __bool__ = __int__ = __float__ = __index__ = __complex__ = __contains__ = item = tolist = _wait

    def get(self):
        return self._host.copy()

    def astype(self, dtype, copy=True):
        return ndarray(self._host.astype(dtype, copy=copy))

    def view(self, dtype=None):
        return ndarray(self._host.view(dtype))

    def copy(self, order="C"):
        return ndarray(self._host.copy(order))

    def reshape(self, *shape, order="C"):
        return ndarray(self._host.reshape(*shape, order=order))

    def transpose(self, *axes):
        return ndarray(self._host.transpose(*axes))

    def fill(self, value):
        self._host.fill(host_of(value))

    def __getitem__(self, key):
        return ndarray(self._host[self._key(key)[0]])

    def __setitem__(self, key, value):
        key, places = self._key(key)
        value = host_of(value)
        if places and np.ndim(value):
            # Which of several values a place gets is undefined [D].
            where = np.arange(self.size).reshape(self.shape)[key]
            if len(np.unique(where)) < where.size:
                raise AssertionError("several values are put into one place: which one stays is undefined")
        self._host[key] = value

    def _key(self, key):
        """Give the index for NumPy, and whether there are arrays of integers in it."""
        parts = key if isinstance(key, tuple) else (key,)
        for part in parts:
            if isinstance(part, np.ndarray | list):
                raise TypeError(f"Unsupported type {type(part)} in an index")
            if isinstance(part, ndarray) and part.dtype == bool:
                raise Waits("a boolean index: how many are true is read on the host")
        own = [part._host if isinstance(part, ndarray) else part for part in parts]
        places = [part for part in own if isinstance(part, np.ndarray)]
        if places:
            axis = 0
            for number, part in enumerate(own):
                if part is None:
                    continue
                if part is Ellipsis:
                    axis = self.ndim - sum(x is not None for x in own[number + 1 :])
                    continue
                if isinstance(part, np.ndarray) and self.shape[axis]:
                    # Indices beyond the end wrap around in place of an error [D].
                    own[number] = part % self.shape[axis]
                axis += 1
        return (tuple(own) if isinstance(key, tuple) else own[0]), bool(places)


def host_of(x):
    """Give what NumPy computes with: arrays of the device alone, and scalars."""
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")  # [I]
    if isinstance(x, np.generic) and ndarray.version < 14 and not isinstance(x, np.bool_):
        # Until version 14 scalars of NumPy did not decide the dtype, and now they do [V].
        return x.item()
    if isinstance(x, tuple | list):
        return type(x)(host_of(y) for y in x)
    return x


def device_of(x):
    """Give what CuPy returns: arrays, those without dimensions among them, never scalars [D]."""
    if isinstance(x, np.ndarray | np.generic):
        return ndarray(x)
    if isinstance(x, tuple | list) and any(isinstance(y, np.ndarray | np.generic) for y in x):
        return type(x)(map(device_of, x)) if type(x) in (tuple, list) else tuple(map(device_of, x))
    return x


def own(function, *, computes=False):
    """Make a function of NumPy one of arrays of the device."""

    def call(*arguments, **options):
        out = options.pop("out", None)
        given = [host_of(x) for x in arguments]
        named = {name: host_of(x) for name, x in options.items()}
        # A device has no flags of floating point, and warns of nothing.
        with np.errstate(all="ignore"), flushing(given) if computes else contextlib.nullcontext():
            found = function(*given, **named)
        if out is None:
            return device_of(found)
        out._host[...] = found
        return out

    call.__name__ = call.__qualname__ = getattr(function, "__name__", "call")
    return call


class ufunc:  # noqa: N801
    """A universal function; few have `at`, and for few dtypes [U]."""

    def __init__(self, function):
        self.__name__ = function.__name__
        self._function = function
        self._call = own(function, computes=True)

    def __call__(self, *arguments, **options):
        return self._call(*arguments, **options)

    def at(self, x, index, values):
        dtypes = {
            "add": "int32 int64 float16 float32 float64 uint32 uint64",
            "maximum": "int32 float32 float64 uint32 uint64",
            "minimum": "int32 float32 float64 uint32 uint64",
        }.get(self.__name__, "")
        if ndarray.version >= 14 and dtypes and self.__name__ != "add":
            dtypes += " int64"
        if x.dtype.name not in dtypes.split():
            raise TypeError(
                f"`{self.__name__}.at` only supports {dtypes or 'other functions'}, got {x.dtype}"
            )
        values = host_of(values)
        if self.__name__ == "add":
            np.add.at(x._host, x._key(index)[0], values)
            return
        if x.dtype == np.float64:
            # The maximum is taken in float32, which passes over NaN [seen].
            values = values.astype(np.float32).astype(np.float64)
        function = {"maximum": np.fmax, "minimum": np.fmin}[self.__name__]
        function.at(x._host, x._key(index)[0], values)


WAITING = ("nonzero", "argwhere", "flatnonzero", "unique", "extract", "compress", "array_equal", "allclose",
           "unique_all", "unique_counts", "unique_inverse", "unique_values", "trim_zeros")  # fmt: skip
"""Functions whose shapes or answers are values [P]."""

PLAIN = ("dtype", "issubdtype", "finfo", "iinfo", "promote_types", "newaxis", "inf", "nan", "pi", "e",
         "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "intp",
         "float16", "float32", "float64", "complex64", "complex128", "integer", "floating", "signedinteger",
         "unsignedinteger", "inexact", "number", "bool", "generic", "complexfloating",
         "broadcast_shapes")  # fmt: skip

OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
COMPARISONS = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal",
               "ne": "not_equal"}  # fmt: skip
METHODS = ("all", "any", "argmax", "argmin", "argsort", "clip", "cumsum", "max", "mean", "min", "prod", "ravel",
           "repeat", "squeeze", "std", "sum", "swapaxes", "take", "var")  # fmt: skip


def _waits(name):
    def call(*_, **__):
        raise Waits(f"cupy.{name}: the host waits for what the device finds")

    return call


def _sorting(function):
    """Sort stably, and know no other kind [S]."""

    def call(x, axis=-1, kind=None):
        if kind not in (None, "stable"):
            raise ValueError("kind can only be None or 'stable'")
        return device_of(function(host_of(x), axis=axis, kind="stable"))

    return call


def _asarray(x, dtype=None, copy=None, **_):
    """Bring what lies on the host to the device, which is asked for here."""
    if isinstance(x, tuple | list):
        x = [host_of(y) for y in x]
    host = x._host if isinstance(x, ndarray) else np.asarray(x)
    made = np.array(host, dtype=dtype, copy=True if copy or not isinstance(x, ndarray) else None)
    if isinstance(x, ndarray) and made is host:
        return x
    return ndarray(made)


def _empty(shape, dtype=float, **_):
    """Give memory that nobody has cleared."""
    host = np.empty(shape, dtype=dtype)
    host.fill(np.nan if host.dtype.kind in "fc" else 1)
    return ndarray(host)


def _take_along_axis(x, indices, axis):
    if indices.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    if x.ndim != indices.ndim:
        raise ValueError("`indices` and `a` must have the same number of dimensions")
    size = x.shape[axis]
    places = host_of(indices) % size if size else host_of(indices)
    return ndarray(np.take_along_axis(host_of(x), places, axis=axis))


def _take(x, indices, axis=None, **_):
    places = host_of(indices)
    size = x.size if axis is None else x.shape[axis]
    return ndarray(np.take(host_of(x), places % size if size else places, axis=axis))


def _result_type(*given):
    return np.result_type(*[x.dtype if isinstance(x, ndarray) else host_of(x) for x in given])


def _module():
    """Put the modules together."""
    cupy = ModuleType("cupy")
    names = {}
    for name in dir(np):
        thing = getattr(np, name)
        if name.startswith("_") or isinstance(thing, type | ModuleType):
            continue
        if isinstance(thing, np.ufunc):
            names[name] = ufunc(thing)
        elif callable(thing):
            names[name] = _waits(name) if name in WAITING else own(thing)
    sums = ("sum", "prod", "mean", "std", "var", "cumsum", "cumprod", "dot", "einsum", "tensordot")
    names.update({name: own(getattr(np, name), computes=True) for name in sums})
    names.update({name: getattr(np, name) for name in PLAIN})
    names.update(
        asarray=_asarray, array=_asarray, ascontiguousarray=_asarray, empty=_empty, asnumpy=lambda x: x.get(),
        empty_like=lambda x, dtype=None, **_: _empty(x.shape, dtype or x.dtype), take=_take,
        take_along_axis=_take_along_axis, result_type=_result_type, sort=_sorting(np.sort),
        argsort=_sorting(np.argsort), ndarray=ndarray, ufunc=ufunc,
    )  # fmt: skip
    cupy.__dict__.update(names, __all__=sorted(names), __path__=[])
    runtime = ModuleType("cupy.cuda.runtime")
    runtime.__dict__.update(
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda _: {"name": b"stand-in"},
        CUDARuntimeError=type("CUDARuntimeError", (RuntimeError,), {}),
    )
    cuda = ModuleType("cupy.cuda")
    cuda.__dict__.update(Device=Device, runtime=runtime, Stream=type("Stream", (), {}), __path__=[])
    device = ModuleType("cupy.cuda.device")
    device.Device = Device
    cuda.device = device
    modules = {"cupy": cupy, "cupy.cuda": cuda, "cupy.cuda.device": device}
    for name in ("linalg", "fft"):
        part = ModuleType(f"cupy.{name}")
        theirs = getattr(np, name)
        there = [x for x in dir(theirs) if callable(getattr(theirs, x)) and not x.startswith("_")]
        part.__dict__.update({x: own(getattr(theirs, x)) for x in there})
        modules[f"cupy.{name}"] = part
        setattr(cupy, name, part)
    cupy.cuda = cuda
    return modules


def _binary(name):
    return lambda x, y: NotImplemented if y is None else getattr(sys.modules["cupy"], name)(x, y)


def _reflected(name):
    return lambda x, y: getattr(sys.modules["cupy"], name)(y, x)


def _in_place(name):
    def call(x, y):
        found = getattr(sys.modules["cupy"], name)(x, y)
        np.copyto(x._host, found._host, casting="same_kind")
        return x

    return call


for short, full in OPERATORS.items():
    setattr(ndarray, f"__{short}__", _binary(full))
    setattr(ndarray, f"__r{short}__", _reflected(full))
    setattr(ndarray, f"__i{short}__", _in_place(full))
for short, full in COMPARISONS.items():
    setattr(ndarray, f"__{short}__", _binary(full))
for short, full in {"neg": "negative", "abs": "absolute", "invert": "invert"}.items():
    setattr(ndarray, f"__{short}__", lambda x, full=full: getattr(sys.modules["cupy"], full)(x))
for method in METHODS:
    setattr(
        ndarray,
        method,
        lambda x, *given, method=method, **named: getattr(sys.modules["cupy"], method)(x, *given, **named),
    )


def _ours(name):
    return name.partition(".")[0] == "cupy" or name.startswith(
        ("array_api_compat.cupy", "assigncore.adapters.cupy")
    )


@contextlib.contextmanager
def installed(version):
    """Let `cupy` be the stand-in, of version 13 or 14, until the context ends."""
    backend = importlib.import_module("assigncore.backend")
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if _ours(name)}
    known, types = dict(backend._by_namespace), dict(backend._by_type)
    for name in [name for name in backend._by_namespace if name == "cupy"]:
        del backend._by_namespace[name]
    modules = _module()
    modules["cupy"].__version__ = {13: "13.6.0", 14: "14.2.0"}[version]
    ndarray.version = version
    sys.modules.update(modules)
    try:
        yield modules["cupy"]
    finally:
        for name in [name for name in sys.modules if _ours(name)]:
            del sys.modules[name]
        sys.modules.update(kept)
        for cache, before in ((backend._by_namespace, known), (backend._by_type, types)):
            cache.clear()
            cache.update(before)
        for package, name in (("array_api_compat", "cupy"), ("assigncore.adapters", "cupy")):
            vars(sys.modules[package]).pop(name, None) if package in sys.modules else None

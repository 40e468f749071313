"""A stand-in for CuPy where there is no GPU: NumPy underneath, and CuPy's behaviour where the two differ.

What is imitated is what CuPy 13 and 14 document, or what was seen on CuPy 14.2; each place says which. Pages are
those below https://docs.cupy.dev/en/latest/. A name that is not here is not served, so that code which asks for
it fails.

The host never waits: what CuPy answers by waiting for the device is an error here, but for the explicit copies
`get` and `asnumpy`, which are counted.
"""

import sys
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType

import array_api_compat
import numpy as np

import assigncore.adapters
from assigncore.backend import lookup

VERSIONS = ("13.6.0", "14.2.0")

DTYPES = "?bBhHiIlLqQefdFD"
"""What arrays hold, in the order in which a ufunc tries its loops."""


class SynchronisationError(RuntimeError):
    """The host would have waited for the device."""


# user_guide/difference.html, "Universal Functions only work with CuPy array or scalar".
SCALARS = (bool, int, float, complex, np.generic)


SMALLEST_NORMAL = np.finfo(np.float32).tiny


def flushed(x):
    """Take subnormal float32 for zero: seen on CuPy 14.2, which compiles its kernels with -ftz=true."""
    if x.dtype.char != "f" or x.size == 0:
        return x
    magnitude = np.abs(x)
    tiny = (magnitude < SMALLEST_NORMAL) & (magnitude > 0)
    return np.where(tiny, np.copysign(np.float32(0), x), x) if np.count_nonzero(tiny) else x


def converted(x, dtype):
    """Cast as a device does: user_guide/difference.html, "Cast behavior from float to integer"."""
    dtype = supported(dtype)
    if x.dtype == dtype:
        return x.copy()
    if x.dtype.kind == "f" and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        with np.errstate(invalid="ignore"):
            inside = np.where(np.isnan(x) | (x >= limits.max) | (x <= limits.min), 0, x).astype(dtype)
        return np.where(x >= limits.max, limits.max, np.where(x <= limits.min, limits.min, inside))
    with np.errstate(over="ignore", invalid="ignore"):
        return flushed(flushed(x).astype(dtype))


def supported(dtype):
    """Refuse objects and strings: user_guide/difference.html, "Data types"."""
    dtype = np.dtype(dtype)
    if dtype.char not in DTYPES:
        raise ValueError(f"Unsupported dtype {dtype}")
    return dtype


class Device:
    """A CUDA device, of which there are two: reference/generated/cupy.cuda.Device.html."""

    current = 0

    def __init__(self, device=None):
        self.id = Device.current if device is None else getattr(device, "id", device)
        if self.id not in (0, 1):
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self._outer = []

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    # Seen on CuPy 14.2: devices are compared, and cannot be hashed.
    __hash__ = None

    def __enter__(self):
        self._outer.append(Device.current)
        Device.current = self.id
        return self

    def __exit__(self, *error):
        Device.current = self._outer.pop()

    def __repr__(self):
        return f"<CUDA Device {self.id}>"


class Array:
    """Values on a device; `ndarray` of a stand-in is a subclass of its own."""

    # user_guide/interoperability.html, "NumPy": CuPy lets NumPy's functions take its arrays, but none of NumPy's
    # beside them. Here NumPy's functions are refused: nothing of this project may count on them.
    __array_ufunc__ = None
    __array_priority__ = 100
    __hash__ = None
    is_modern = True
    transfers = 0
    """Copies to the host."""

    def __init__(self, values, place=None):
        supported(values.dtype)
        self._values = values
        self._place = Device.current if place is None else place

    def _here(self):
        """Give the values, where the device is the current one.

        user_guide/basic.html, "Current Device": to compute with an array of another device is an error.
        """
        if self._place != Device.current:
            raise ValueError(
                f"Array device must be same as the current device: array device = {self._place} "
                f"while current = {Device.current}"
            )
        return self._values

    shape = property(lambda self: self._values.shape)
    dtype = property(lambda self: self._values.dtype)
    ndim = property(lambda self: self._values.ndim)
    size = property(lambda self: self._values.size)
    itemsize = property(lambda self: self._values.itemsize)
    nbytes = property(lambda self: self._values.nbytes)
    # reference/generated/cupy.ndarray.html: an object with an `id`, whose type is `cupy.cuda.Device`.
    device = property(lambda self: Device(self._place))
    T = property(lambda self: type(self)(self._here().T))

    def __repr__(self):
        return f"<{type(self).__name__} {self.dtype}{self.shape} on {self.device}>"

    # reference/generated/cupy.ndarray.html#cupy.ndarray.get: the host reads values by explicit copies. What does
    # without, seen on CuPy 14.2: "Implicit conversion to a NumPy array is not allowed."
    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def get(self):
        Array.transfers += 1
        return self._values.copy()

    # user_guide/difference.html, "Zero-dimensional array": to make a number of an array is to wait for the
    # device. CuPy does so when it is asked; nothing of this project may ask.
    def _wait(self, *_):
        raise SynchronisationError("a value is read on the host: it waits for the device")

    __bool__ = __int__ = __float__ = __complex__ = item = tolist = __format__ = __str__ = _wait

    def __len__(self):
        if self.ndim == 0:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    # user_guide/interoperability.html, "DLPack data exchange protocol": the arrays are of a CUDA device, whose
    # type is 2. A copy on the host, whose type is 1, is made where it is asked for.
    def __dlpack_device__(self):
        return 2, self._place

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        if dl_device != (1, 0) or copy is False:
            raise BufferError("there is no memory of CUDA to hand over")
        return self.get().__dlpack__(max_version=max_version)

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if casting is not None or subok is not None:
            # reference/generated/cupy.ndarray.html#cupy.ndarray.astype
            raise TypeError("casting and subok are not supported yet")
        values = self._here()
        return self if not copy and values.dtype == dtype else type(self)(converted(values, dtype))

    def view(self, dtype=None):
        return type(self)(self._here().view(dtype))

    def copy(self, order="C"):
        return type(self)(self._here().copy(order))

    def reshape(self, *shape):
        return type(self)(self._here().reshape(*shape))

    def ravel(self):
        return self.reshape(-1)

    def fill(self, value):
        self[...] = value

    def __getitem__(self, key):
        return type(self)(np.asarray(self._here()[self._wrapped(key)]))

    def __setitem__(self, key, value):
        values, key = self._here(), self._wrapped(key)
        if not isinstance(value, Array):
            value = type(self)(np.asarray(plain_scalar(value)).astype(self.dtype))
        given = converted(value._here(), self.dtype)
        if not any(isinstance(part, np.ndarray) for part in key):
            values[key] = given
            return
        # user_guide/difference.html, "Duplicate values in indices": which value stays is not defined. NumPy's is
        # the last one; this is the first.
        places = np.arange(self.size).reshape(self.shape)[key]
        given = np.broadcast_to(given, places.shape)
        values.flat[places.reshape(-1)[::-1]] = given.reshape(-1)[::-1]

    def _wrapped(self, key):
        """Give NumPy's spelling of a key, with every integer array wrapped to its axis.

        user_guide/difference.html, "Out-of-bounds indices". A mask says by its values how many there are, for
        which the host waits: the warning of reference/generated/cupy.extract.html.
        """
        parts = [index_part(part) for part in (key if isinstance(key, tuple) else (key,))]
        used = sum(part is not None and part is not Ellipsis for part in parts)
        if not any(part is Ellipsis for part in parts):
            parts.append(Ellipsis)
        axis, wrapped = 0, []
        for part in parts:
            if isinstance(part, np.ndarray):
                if self.shape[axis] == 0 and part.size:
                    raise IndexError("cannot do a non-empty take from an empty axes.")
                part = part % self.shape[axis] if part.size else part.astype(np.int64)
            wrapped.append(part)
            axis += self.ndim - used if part is Ellipsis else part is not None
        return tuple(wrapped)


def index_part(part):
    """Give a part of a key as NumPy takes it."""
    if part is None or part is Ellipsis or isinstance(part, slice):
        return part
    if isinstance(part, Array):
        part = part._here()
    elif isinstance(part, list | np.ndarray):
        # reference/generated/cupy.ndarray.html#cupy.ndarray.__getitem__: indices may come from the host.
        part = np.asarray(part, dtype=np.int64 if len(part) == 0 else None)
    elif not isinstance(part, bool | np.bool_):
        return int(part)
    if np.asarray(part).dtype == np.bool_:
        raise SynchronisationError(
            "a mask tells by its values how many there are: the host waits for the device"
        )
    if part.dtype.kind not in "iu":
        raise IndexError("arrays used as indices must be of integer or boolean type.")
    return part


def plain_scalar(x):
    """Refuse what is no scalar: user_guide/difference.html, "Universal Functions only work with ..."."""
    if not isinstance(x, SCALARS):
        raise TypeError(f"Unsupported type {type(x)}")
    return x


def operands(ndarray, arguments):
    """Give what NumPy is to compute with: values of arrays, and scalars promoted as the version does."""
    given = [x._here() if isinstance(x, ndarray) else plain_scalar(x) for x in arguments]
    if ndarray.is_modern:
        # upgrade.html, "CuPy v14", "NumPy 2 related changes": NumPy's scalars count as arrays do; Python's have
        # no dtype of their own, and must fit.
        return given
    arrays = [x.dtype for x in given if isinstance(x, np.ndarray)]
    if not arrays:
        return given
    common = np.result_type(*arrays)
    return [x if isinstance(x, np.ndarray) else by_value(x, common) for x in given]


def by_value(x, common):
    """Give a scalar the dtype that it has beside arrays by the rules of NumPy 1.26.

    CuPy 13 follows them: upgrade.html, "CuPy v13", "NumPy/SciPy Baseline API Update". A scalar, NumPy's too, counts
    by its value where its kind is not above the arrays'; where that does not fit their dtype, a larger one comes.
    """
    return np.asarray(x).astype(dtype_by_value(x, common))[()]


@lru_cache(typed=True)
def dtype_by_value(x, common):
    own = np.asarray(x).dtype
    order = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}
    if order[own.kind] > order[common.kind]:
        return own
    for char in DTYPES:
        dtype = np.dtype(char)
        if np.can_cast(common, dtype) and holds(dtype, x):
            return dtype
    raise TypeError(f"{x!r} fits no dtype beside {common}")


def holds(dtype, x):
    if dtype.kind == "b":
        return isinstance(x, bool | np.bool_)
    if dtype.kind in "iu":
        return float(x) == int(x) and np.iinfo(dtype).min <= int(x) <= np.iinfo(dtype).max
    return not np.isfinite(x) or abs(x) <= float(np.finfo(dtype).max)


class Ufunc:
    """A universal function: reference/ufunc.html."""

    def __init__(self, ndarray, numpy_function):
        self.ndarray, self.function, self.name = ndarray, numpy_function, f"cupy_{numpy_function.__name__}"

    def __call__(self, *arguments, out=None, dtype=None):
        ins = [flushed(x) if isinstance(x, np.ndarray) else x for x in operands(self.ndarray, arguments)]
        with np.errstate(all="ignore"):
            result = flushed(np.asarray(self.function(*ins, dtype=dtype)))
        if out is None:
            return self.ndarray(result)
        if not np.can_cast(result.dtype, out.dtype, "same_kind"):
            raise TypeError(f"output (dtype: {out.dtype}) cannot be cast from {result.dtype}")
        out._here()[...] = result
        return out

    def at(self, array, indices, values):
        """Scatter: reference/ufunc.html, "Methods", which names the few that can, and cupyx.scatter_max."""
        if self.function not in (np.add, np.maximum, np.minimum):
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        # reference/generated/cupyx.scatter_add.html lists them, without int64. Seen on CuPy 14.2: int64 too.
        takes = ["int32", "float32", "float64", "uint32", "uint64", *["int64"][: self.ndarray.is_modern]]
        if array.dtype.name not in takes:
            raise TypeError(f"scatter only supports {', '.join(takes)} as data type")
        target, key = array._here(), array._wrapped(indices)
        given = converted(values._here(), array.dtype)
        if self.function is np.add or target.dtype.kind != "f":
            self.function.at(target, key, given)
            return
        # Seen on CuPy 14.2: what is scattered is rounded to float32, also into float64, and NaN is passed over.
        narrow, given = (flushed(x.astype(np.float32)) for x in (target, given))
        hit = np.zeros(target.shape, dtype=bool)
        {np.maximum: np.fmax, np.minimum: np.fmin}[self.function].at(narrow, key, given)
        hit[key] = True
        target[hit] = narrow[hit]


UFUNCS = (
    "absolute", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
    "bitwise_and", "bitwise_or", "bitwise_xor", "ceil", "copysign", "cos", "cosh", "divide", "equal", "exp",
    "expm1", "floor", "floor_divide", "fmax", "fmin", "greater", "greater_equal", "hypot", "invert",
    "isfinite", "isinf", "isnan", "left_shift", "less", "less_equal", "log", "log10", "log1p", "log2",
    "logaddexp", "logical_and", "logical_not", "logical_or", "logical_xor", "maximum", "minimum",
    "multiply", "negative", "nextafter", "not_equal", "positive", "power", "remainder", "right_shift",
    "rint", "sign", "signbit", "sin", "sinh", "sqrt", "square", "subtract", "tan", "tanh", "true_divide",
    "trunc",
)  # fmt: skip
REDUCTIONS = (
    "all", "amax", "amin", "any", "argmax", "argmin", "count_nonzero", "cumprod", "cumsum", "max", "mean",
    "min", "prod", "std", "sum", "var",
)  # fmt: skip
OTHERS = (
    "broadcast_arrays", "broadcast_to", "concatenate", "empty_like", "expand_dims", "flip", "full_like",
    "isin", "matmul", "moveaxis", "ones_like", "repeat", "reshape", "roll", "squeeze", "stack", "swapaxes",
    "tensordot", "tile", "transpose", "zeros_like",
)  # fmt: skip
CREATIONS = (
    "arange", "empty", "eye", "full", "linspace", "ones", "zeros",
)  # fmt: skip
NOT_OF_ARRAYS = (
    "bool_", "broadcast_shapes", "complex64", "complex128", "dtype", "finfo", "float16", "float32",
    "float64", "floating", "iinfo", "inf", "int8", "int16", "int32", "int64", "integer", "intp",
    "issubdtype", "nan", "newaxis", "number", "pi", "complexfloating", "signedinteger", "uint8", "uint16",
    "uint32", "uint64", "unsignedinteger",
)  # fmt: skip
# reference/array_api.html: the names of the array API standard came with 14, as in NumPy 2.
NEW_NAMES = {"abs": "absolute", "concat": "concatenate", "permute_dims": "transpose", "pow": "power"}


def arrays_function(ndarray, numpy_function):
    """Let a function of NumPy take arrays of the stand-in, alone or in a sequence, and no others."""

    def inside(x):
        if isinstance(x, ndarray):
            return x._here()
        if isinstance(x, np.ndarray):
            raise TypeError(f"Unsupported type {type(x)}")
        return type(x)(map(inside, x)) if type(x) in (list, tuple) else x

    def outside(x):
        if isinstance(x, tuple | list):
            return type(x)(map(outside, x))
        # user_guide/difference.html, "Zero-dimensional array": a reduction gives an array, never a scalar.
        return ndarray(np.asarray(x)) if isinstance(x, np.ndarray | np.generic) else x

    def function(*arguments, **named):
        if named.keys() & {"initial", "where"}:
            # reference/generated/cupy.max.html: reductions have neither.
            raise TypeError(f"{numpy_function.__name__}() got an unexpected keyword argument")
        if not any(map(holds_array, (*arguments, *named.values()))):
            raise TypeError(f"{numpy_function.__name__}: expected arrays of CuPy, got {arguments}")
        with np.errstate(all="ignore"):
            return outside(
                numpy_function(*map(inside, arguments), **{name: inside(x) for name, x in named.items()})
            )

    function.__name__ = numpy_function.__name__
    return function


def holds_array(x):
    return isinstance(x, Array) or (type(x) in (list, tuple) and any(map(holds_array, x)))


def creation(ndarray, numpy_function):
    def create(*arguments, **named):
        if any(map(holds_array, (*arguments, *named.values()))):
            raise SynchronisationError("the host reads a shape or a number of the device")
        return ndarray(numpy_function(*arguments, **named))

    return create


def make_ndarray(version):
    """Make the array class of a version, with its operators."""
    ndarray = type("ndarray", (Array,), {"__module__": "cupy", "is_modern": int(version.split(".")[0]) >= 14})
    binary = {
        "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
        "mod": "remainder", "pow": "power", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
        "lshift": "left_shift", "rshift": "right_shift",
    }  # fmt: skip
    for name, long_name in binary.items():
        ufunc = Ufunc(ndarray, getattr(np, long_name))
        setattr(ndarray, f"__{name}__", lambda self, other, ufunc=ufunc: ufunc(self, other))
        setattr(ndarray, f"__r{name}__", lambda self, other, ufunc=ufunc: ufunc(other, self))
        setattr(ndarray, f"__i{name}__", lambda self, other, ufunc=ufunc: ufunc(self, other, out=self))
    for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
        short = {"equal": "eq", "not_equal": "ne"}.get(name, name[0] + ("e" if "_" in name else "t"))
        ufunc = Ufunc(ndarray, getattr(np, name))
        setattr(ndarray, f"__{short}__", lambda self, other, ufunc=ufunc: ufunc(self, other))
    for name, long_name in {
        "neg": "negative",
        "pos": "positive",
        "abs": "absolute",
        "invert": "invert",
    }.items():
        ufunc = Ufunc(ndarray, getattr(np, long_name))
        setattr(ndarray, f"__{name}__", lambda self, ufunc=ufunc: ufunc(self))
    matmul = arrays_function(ndarray, np.matmul)
    ndarray.__matmul__ = lambda self, other: matmul(self, other)
    for name in (*REDUCTIONS, "squeeze", "transpose", "swapaxes"):
        if name not in ("amax", "amin", "count_nonzero"):
            method = arrays_function(ndarray, getattr(np, name))
            setattr(
                ndarray, name, lambda self, *others, method=method, **named: method(self, *others, **named)
            )
    return ndarray


def make_cupy(version):
    """Make the modules of a version: `cupy` and what belongs to it."""
    cupy = ModuleType("cupy")
    ndarray = make_ndarray(version)
    served = {name: Ufunc(ndarray, getattr(np, name)) for name in UFUNCS}
    served |= {name: arrays_function(ndarray, getattr(np, name)) for name in (*REDUCTIONS, *OTHERS)}
    served |= {name: creation(ndarray, getattr(np, name)) for name in CREATIONS}
    served |= {name: getattr(np, name) for name in NOT_OF_ARRAYS}
    served |= functions_of(ndarray)
    served["abs"] = served["absolute"]
    served["round"] = served["rint"]
    if ndarray.is_modern:
        served |= {name: served[old] for name, old in NEW_NAMES.items()}
        served |= {"isdtype": np.isdtype, "bool": np.bool_}
    vars(cupy).update(served, ndarray=ndarray, ufunc=Ufunc, __version__=version)

    modules = {
        name: ModuleType(name) for name in ("cupy.cuda", "cupy.cuda.device", "cupy.linalg", "cupy.fft")
    }
    cupy.cuda, cupy.linalg, cupy.fft = modules["cupy.cuda"], modules["cupy.linalg"], modules["cupy.fft"]
    cupy.linalg.lstsq = None
    cupy.cuda.device, cupy.cuda.Device = modules["cupy.cuda.device"], Device
    cupy.cuda.device.Device = Device
    cupy.cuda.runtime = ModuleType("cupy.cuda.runtime")
    cupy.cuda.runtime.getDeviceCount = lambda: 2
    cupy.cuda.runtime.CUDARuntimeError = RuntimeError
    return {"cupy": cupy, **modules}


def functions_of(ndarray):
    """Give the functions that differ from NumPy's in more than their arrays."""

    def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0):
        if isinstance(obj, ndarray):
            # user_guide/basic.html, "Move arrays to a device": onto the current device, from any other.
            moved = obj if obj._place == Device.current else ndarray(obj._values.copy())
            cast = moved if dtype is None else moved.astype(dtype, copy=False)
            return cast.copy() if copy and cast is obj else cast
        if holds_array(obj):
            raise TypeError("a sequence of arrays is stacked, not converted")
        host = np.array(obj, dtype=dtype, ndmin=ndmin)
        supported(host.dtype)
        return ndarray(host)

    def asarray(a, dtype=None, order=None):
        return array(a, dtype, copy=False)

    def asnumpy(a, stream=None, order="C"):
        return a.get() if isinstance(a, ndarray) else np.asarray(a)

    def where(condition, x=None, y=None):
        if x is None or y is None:
            nonzero(condition)
        if not isinstance(condition, ndarray):
            raise TypeError(f"Unsupported type {type(condition)}")
        kept, (x, y) = condition.astype(np.bool_, copy=False), operands(ndarray, (x, y))
        # A scalar that does not fit is an error: NumPy's own `where` lets it pass.
        common = np.result_type(x, y)
        with np.errstate(over="ignore"):
            x, y = (one if isinstance(one, np.ndarray) else np.asarray(one, dtype=common) for one in (x, y))
        return ndarray(np.where(kept._here(), x, y))

    def nonzero(a):
        """Wait for the device: the warning of reference/generated/cupy.nonzero.html."""
        raise SynchronisationError("how many are not zero decides a shape: the host waits for the device")

    def take(a, indices, axis=None, out=None):
        if not isinstance(a, ndarray):
            raise TypeError(f"Unsupported type {type(a)}")
        flat = a.ravel() if axis is None else a
        return flat[(slice(None),) * (0 if axis is None else axis % a.ndim) + (indices,)]

    def take_along_axis(a, indices, axis):
        """Take by an index of arrays, which wraps: reference/generated/cupy.take_along_axis.html."""
        if indices.dtype.kind not in "iu":
            raise IndexError("`indices` must be an integer array")
        if a.ndim != indices.ndim:
            raise ValueError("`indices` and `a` must have the same number of dimensions")
        rows = [ndarray(np.arange(n).reshape((-1,) + (1,) * (a.ndim - i - 1))) for i, n in enumerate(a.shape)]
        rows[axis % a.ndim] = indices
        return a[tuple(rows)]

    def stable(kind):
        """Refuse any other: reference/generated/cupy.argsort.html."""
        if kind not in (None, "stable"):
            raise ValueError("kind can only be None or 'stable'")

    def argsort(a, axis=-1, kind=None):
        stable(kind)
        return ndarray(np.argsort(a._here(), axis=axis, kind="stable"))

    def sort(a, axis=-1, kind=None):
        stable(kind)
        return ndarray(np.sort(a._here(), axis=axis, kind="stable"))

    def searchsorted(a, v, side="left", sorter=None):
        if not isinstance(a, ndarray) or not isinstance(v, ndarray):
            # reference/generated/cupy.searchsorted.html
            raise NotImplementedError("Only ndarrays are supported")
        return ndarray(np.asarray(np.searchsorted(a._here(), v._here(), side)))

    def meshgrid(*arrays, indexing="xy"):
        if any(x.ndim != 1 for x in arrays):
            # reference/generated/cupy.meshgrid.html
            raise ValueError("input has to be 1d")
        return [ndarray(x) for x in np.meshgrid(*(x._here() for x in arrays), indexing=indexing)]

    def result_type(*arguments):
        return np.result_type(*(x.dtype if isinstance(x, ndarray) else x for x in arguments))

    def from_dlpack(array):
        if array.__dlpack_device__()[0] != 2:
            # user_guide/interoperability.html: what is exchanged is the memory of a device.
            raise RuntimeError(
                "CuPy is built against CUDA, different from the backend that backs the incoming tensor"
            )
        return array

    return {name: x for name, x in locals().items() if name not in ("ndarray", "stable")}


@contextmanager
def installed(version):
    """Put a fresh stand-in in CuPy's place; at the end everything is as before.

    A class of its own each time, because array-api-compat and assigncore remember what they found by class.
    """
    ours = ("cupy", "cupyx", "array_api_compat.cupy", "assigncore.adapters.backends.cupy")

    def take_out():
        names = [
            name for name in sys.modules if any(name == own or name.startswith(f"{own}.") for own in ours)
        ]
        return {name: sys.modules.pop(name) for name in names}

    registries = (vars(array_api_compat), vars(assigncore.adapters), lookup._by_namespace)
    kept = take_out(), [registry.pop("cupy", None) for registry in registries]
    modules = make_cupy(version)
    sys.modules.update(modules)
    try:
        yield modules["cupy"]
    finally:
        take_out()
        sys.modules.update(kept[0])
        for registry, entry in zip(registries, kept[1], strict=True):
            registry.pop("cupy", None)
            if entry is not None:
                registry["cupy"] = entry
        lookup._by_type.pop(modules["cupy"].ndarray, None)

"""A tiny array library: a class of its own around NumPy arrays, in a namespace of the array API standard."""

import numpy as np

__version__ = "0.1"
__array_api_version__ = "2024.12"


class Array:
    """An array that shares no type with any other library."""

    def __init__(self, data):
        self.data = np.asarray(data)

    def __array_namespace__(self, *, api_version=None):
        """Return this module."""
        import tiny_arrays

        return tiny_arrays

    def __getattr__(self, name):
        """Look up shape, ndim, size and dtype."""
        if name not in ("shape", "ndim", "size", "dtype"):
            raise AttributeError(name)
        return getattr(self.data, name)

    @property
    def device(self):
        """The only device."""
        return "cpu"

    @property
    def mT(self):  # noqa: N802
        """The transposed matrices."""
        return Array(np.swapaxes(self.data, -1, -2))

    def to_device(self, device, /, *, stream=None):
        """Return the array, which can be nowhere else."""
        return self

    def __getitem__(self, key):
        return Array(self.data[_bare(key)])

    def __dlpack__(self, **options):
        return self.data.copy().__dlpack__(**options)

    def __dlpack_device__(self):
        return self.data.__dlpack_device__()

    def __bool__(self):
        return bool(self.data)

    def __float__(self):
        return float(self.data)

    def __int__(self):
        return int(self.data)

    def __index__(self):
        return int(self.data)

    def __repr__(self):
        return f"Array({self.data!r})"


def _bare(value):
    """Take the NumPy arrays out of a value."""
    if isinstance(value, Array):
        return value.data
    if isinstance(value, tuple | list):
        return type(value)(_bare(entry) for entry in value)
    return value


def _wrapped(value):
    """Put NumPy arrays into arrays of this library."""
    if isinstance(value, np.ndarray | np.generic):
        return Array(value)
    return tuple(_wrapped(entry) for entry in value) if isinstance(value, tuple | list) else value


def _function(function):
    def call(*arguments, **options):
        bare = {name: _bare(value) for name, value in options.items() if name != "device"}
        return _wrapped(function(*_bare(arguments), **bare))

    return call


def _operator(name):
    def operate(self, *others):
        return _wrapped(getattr(self.data, name)(*_bare(others)))

    return operate


_BINARY = "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"
_OTHERS = "neg", "pos", "abs", "invert", "lt", "le", "gt", "ge", "eq", "ne"
for _name in (*_BINARY, *(f"r{name}" for name in _BINARY), *_OTHERS):
    setattr(Array, f"__{_name}__", _operator(f"__{_name}__"))

bool = np.bool_
int8, int16, int32, int64 = (np.dtype(f"int{bits}") for bits in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64))
float32, float64 = np.dtype("float32"), np.dtype("float64")
complex64, complex128 = np.dtype("complex64"), np.dtype("complex128")
inf, nan, pi, e, newaxis = np.inf, np.nan, np.pi, np.e, None


def __getattr__(name):
    """Make any other function of the standard from NumPy's of the same name."""
    function = getattr(np, name, None)
    if name.startswith("_") or not callable(function):
        raise AttributeError(f"module 'tiny_arrays' has no attribute {name!r}")
    return _function(function)


def isdtype(dtype, kind):
    """Tell whether a dtype is of a kind."""
    return np.isdtype(dtype, kind)


def result_type(*values):
    """Return the dtype of a combination."""
    return np.result_type(*_bare(values))


def can_cast(from_, to):
    """Tell whether a cast is safe."""
    return np.can_cast(_bare(from_), to)


def finfo(dtype):
    """Return the limits of a real floating dtype."""
    return np.finfo(_bare(dtype))


def iinfo(dtype):
    """Return the limits of an integer dtype."""
    return np.iinfo(_bare(dtype))


def from_dlpack(x, **_options):
    """Take an array of another library."""
    return Array(np.from_dlpack(x))


class __array_namespace_info__:  # noqa: N801
    """What the standard asks a namespace about itself."""

    def default_device(self):
        """Return the only device."""
        return "cpu"

    def devices(self):
        """Return all devices."""
        return ["cpu"]

    def dtypes(self, *, device=None, kind=None):
        """Return the dtypes of a kind, or all, by name."""
        return np.__array_namespace_info__().dtypes(device=device, kind=kind)

    def capabilities(self):
        """Return what is there."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 32}

    def default_dtypes(self, *, device=None):
        """Return the default dtypes."""
        return {
            "real floating": float64,
            "complex floating": complex128,
            "integral": int64,
            "indexing": int64,
        }

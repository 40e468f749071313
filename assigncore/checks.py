"""Checks of what a caller hands in. They read types, shapes, dtypes and devices, and no value but labels."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import accumulate, chain
from numbers import Real
from typing import Any

import numpy as np

from assigncore.backend import Array, ArrayBackend, get_backend

__all__ = [
    "broadcast_lead",
    "check_choice",
    "check_class_masks",
    "check_dtype",
    "check_featmap_sizes",
    "check_image_shape",
    "check_knob",
    "check_labels",
    "check_levels",
    "check_names",
    "check_numbers",
    "check_positive",
    "check_shape",
    "check_strides",
    "check_switches",
    "common_backend",
    "common_lead",
    "host_array",
    "plain",
    "plain_knobs",
    "raise_precision",
    "several",
    "spread",
]

LARGEST = sys.float_info.max
"""An integer beyond it is no more finite than infinity is."""

LARGEST_INDEX = 2**63 - 1
"""What arrays can count to."""

_KINDS = {
    "real floating": "real floating numbers",
    "integral": "integers",
    "bool": "booleans",
}

_EMPTY_DTYPES = {"real floating": np.float64, "integral": np.int64, "bool": np.bool_}


def common_backend(arrays: Mapping[str, Array]) -> ArrayBackend:
    """Return the one backend that all `arrays`, named by their arguments, belong to.

    Raises
    ------
    TypeError
        If a value is no array, or two of them come from different libraries.
    ValueError
        If two of them live on different devices.
    """
    (first, x), *rest = arrays.items()
    backend = _backend_of(first, x)
    device = None if backend.is_traced(x) else backend.device_of(x)
    for name, y in rest:
        other = _backend_of(name, y)
        if other is not backend:
            raise TypeError(
                f"{first} belongs to {backend.xp.__name__} and {name} to {other.xp.__name__}; "
                "expected arrays of one library"
            )
        if device is None or backend.is_traced(y):
            continue
        if backend.device_of(y) != device:
            raise ValueError(
                f"{first} is on device {device} and {name} on {backend.device_of(y)}; "
                "expected arrays on one device"
            )
    return backend


def _backend_of(name: str, x: Array) -> ArrayBackend:
    backend = get_backend(x, name)
    unfit = backend.unfit(x)
    if unfit:
        raise TypeError(f"{name}: expected a plain array, got {unfit}")
    return backend


def check_shape(name: str, x: Array, expected: str, *tail: int | None) -> None:
    """Check the trailing dimensions of `x`; None stands for any length, `expected` is for the message.

    Raises
    ------
    ValueError
        If there are too few dimensions, or one of the trailing ones has another length.
    """
    shape = tuple(x.shape)
    actual = shape[len(shape) - len(tail) :]
    if len(shape) < len(tail) or any(
        want is not None and have != want for want, have in zip(tail, actual, strict=True)
    ):
        raise ValueError(f"{name}: expected shape {expected}, got {shape}")


def check_dtype(name: str, x: Array, backend: ArrayBackend, *kinds: str) -> None:
    """Check that the dtype of `x` is of one of some kinds of the standard's ``isdtype``.

    Raises
    ------
    TypeError
        If it is not.
    """
    if not any(backend.is_dtype(x.dtype, kind) for kind in kinds):
        raise TypeError(
            f"{name}: expected {' or '.join(_KINDS[kind] for kind in kinds)}, got dtype {x.dtype}"
        )


def spread(
    name: str, x: Array, backend: ArrayBackend, lead: tuple[int, ...], tail: tuple[int, ...], *kinds: str
) -> Array:
    """Return an array that belongs to a result, its leading dimensions broadcast to those of the result.

    Parameters
    ----------
    name : str
        Of the argument.
    x : array (..., *tail)
        What is given for each row of the result.
    backend : ArrayBackend
        The library of the result.
    lead, tail : tuple of int
        The result's leading dimensions, and those that `x` must have after them.
    *kinds : str
        Of dtype, as :func:`check_dtype` knows them.

    Raises
    ------
    TypeError
        If its dtype is of another kind.
    ValueError
        If its shape does not fit.
    """
    check_dtype(name, x, backend, *kinds)
    shape, wanted = tuple(x.shape), (*lead, *tail)
    own = shape[: len(shape) - len(tail)]
    broadcasts = all(n in (1, wide) for n, wide in zip(reversed(own), reversed(lead), strict=False))
    if not len(tail) <= len(shape) <= len(wanted) or shape[len(own) :] != tail or not broadcasts:
        raise ValueError(f"{name}: expected shape {wanted}, or one that broadcasts to it, got {shape}")
    return backend.xp.broadcast_to(x, wanted)


def host_array(name: str, x: Any, *kinds: str) -> np.ndarray[Any, Any]:
    """Return an array of any library, or lists of numbers, in NumPy's memory; on a device this waits for it.

    Raises
    ------
    TypeError
        If it is neither, or its dtype is of none of the `kinds`.
    """
    if isinstance(x, list | tuple):
        try:
            x = np.asarray(x)
        except ValueError:
            raise TypeError(f"{name}: expected an array or lists of equal lengths, got {x!r}") from None
        # Lists of nothing are of no kind.
        x = x if x.size else x.astype(_EMPTY_DTYPES[kinds[0]])
    backend = _backend_of(name, x)
    check_dtype(name, x, backend, *kinds)
    return backend.to_numpy(x)


def check_levels(num_level_priors: Sequence[int], num_priors: int | None = None) -> tuple[slice, ...]:
    """Return the slice of the priors that each level is.

    Raises
    ------
    TypeError
        If the numbers are no sequence of integers.
    ValueError
        If one is negative, or they do not sum to the number of priors, where that is given.
    """
    try:
        numbers = [int(n) for n in num_level_priors if n == int(n)]
        complete = len(numbers) == len(num_level_priors)
    except (TypeError, ValueError, OverflowError):
        complete = False
    if not complete:
        raise TypeError(f"num_level_priors: expected a sequence of integers, got {num_level_priors!r}")
    if any(n < 0 for n in numbers):
        raise ValueError(f"num_level_priors: expected numbers of at least 0, got {tuple(numbers)}")
    if num_priors is not None and sum(numbers) != num_priors:
        raise ValueError(
            f"num_level_priors: expected numbers that sum to the {num_priors} priors, got {tuple(numbers)}, "
            f"which sum to {sum(numbers)}"
        )
    ends = list(accumulate(numbers))
    return tuple(slice(end - n, end) for n, end in zip(numbers, ends, strict=True))


def check_featmap_sizes(
    sizes: Any, levels: int | None = None, *, at_least: int = 0
) -> tuple[tuple[int, int], ...]:
    """Check that feature map sizes are a pair (rows, columns) of integers for each level.

    Raises
    ------
    TypeError
        If they are no sequence, or a side is no integer.
    ValueError
        If they are no pairs, not as many as levels, where that is given, or a side is too small.
    """
    if not isinstance(sizes, tuple | list):
        raise TypeError(f"featmap_sizes: expected a pair (rows, columns) for each level, got {sizes!r}")
    if levels is not None and len(sizes) != levels:
        raise ValueError(f"featmap_sizes: expected {levels}, one for each level, got {len(sizes)}: {sizes!r}")
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in sizes):
        raise ValueError(f"featmap_sizes: expected a pair (rows, columns) for each level, got {sizes!r}")
    for side in chain(*sizes):
        check_knob("featmap_sizes", side, at_least=at_least, integer=True)
    return tuple((rows, columns) for rows, columns in sizes)


def check_strides(name: str, strides: Any, levels: int) -> tuple[float, ...]:
    """Check that strides are a number above 0 for each level.

    Raises
    ------
    TypeError
        If they are no sequence of numbers.
    ValueError
        If they are not as many as levels, or one is not finite or not above 0.
    """
    if not isinstance(strides, tuple | list):
        raise TypeError(f"{name}: expected a number for each level, got {strides!r}")
    if len(strides) != levels:
        raise ValueError(f"{name}: expected {levels}, one for each level, got {len(strides)}: {strides!r}")
    for stride in strides:
        check_positive(name, stride)
    return tuple(strides)


def check_positive(name: str, value: Any) -> None:
    """Check that an argument is a finite number above 0.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is not finite, or not above 0.
    """
    check_knob(name, value)
    if value <= 0:
        raise ValueError(f"{name}: expected a positive number, got {value!r}")


def check_image_shape(image_shape: Any, *, above: float | None = None) -> tuple[float, float]:
    """Check that the shape of an image is its height and width, finite and at least 0, or above a limit.

    Raises
    ------
    TypeError
        If it holds no numbers.
    ValueError
        If they are not two, or one is not finite, or too small.
    """
    sides = tuple(image_shape) if isinstance(image_shape, tuple | list | np.ndarray) else ()
    if not sides or not all(isinstance(side, Real) and not isinstance(side, bool) for side in sides):
        raise TypeError(f"image_shape: expected two numbers, height and width, got {image_shape!r}")
    if len(sides) != 2 or not all(
        (side >= 0 if above is None else side > above) and side <= LARGEST for side in sides
    ):
        limit = "of at least 0" if above is None else f"above {above:g}"
        raise ValueError(
            f"image_shape: expected two finite numbers {limit}, height and width, got {image_shape!r}"
        )
    return sides


def check_labels(backend: ArrayBackend, gt_labels: Array, gt_valid: Array, n_classes: int) -> Array:
    """Return which valid ground truths have one of the classes.

    Where the host can read values at no cost, a label that is none of them is an error; elsewhere its ground
    truth takes no part.

    Parameters
    ----------
    backend : ArrayBackend
        The library.
    gt_labels, gt_valid : array (B or 1, G)
        Labels, and whether a ground truth takes part.
    n_classes : int
        Number of classes, C: labels are from 0 to C - 1.

    Raises
    ------
    ValueError
        It names the first image, ground truth and label, and the number of classes.
    """
    known = (gt_labels >= 0) & (gt_labels < n_classes)
    if backend.surely_all(known):
        return gt_valid
    if backend.reads_host(gt_labels) and not backend.surely_all(known | ~gt_valid):
        labels, wrong = (backend.to_numpy(x) for x in (gt_labels, gt_valid & ~known))
        image, gt = np.argwhere(wrong)[0]
        label = int(np.broadcast_to(labels, wrong.shape)[image, gt])
        where = f"image {image}, ground truth {gt}" if len(wrong) > 1 else f"ground truth {gt}"
        counted = "; are labels counted from 1?" if label == n_classes else ""
        raise ValueError(
            f"gt_labels: expected 0 to {n_classes - 1}, since there are {n_classes} classes, got {label} "
            f"for {where}{counted}"
        )
    return gt_valid & known


def check_class_masks(backend: ArrayBackend, gt_classes: Array, gt_valid: Array) -> Array:
    """Return which ground truths have a class, (B or 1, G), of masks (B or 1, G, C).

    Where the host can read values at no cost, a valid one without any is an error.
    """
    known = backend.xp.any(gt_classes, axis=-1)
    if backend.reads_host(gt_classes) and not backend.surely_all(known | ~gt_valid):
        image, gt = np.argwhere(backend.to_numpy(gt_valid & ~known))[0]
        where = f"image {image}, ground truth {gt}" if len(gt_valid) > 1 else f"ground truth {gt}"
        raise ValueError(f"gt_labels: expected at least one class of each ground truth, got none for {where}")
    return known


def plain(value: Any) -> Any:
    """Return a knob as Python's own: numbers and switches of NumPy and other subclasses, lists as tuples.

    Anything else, arrays among it, is returned as it is.
    """
    if isinstance(value, np.generic):
        # Extended precision has no Python number of its own.
        value = float(value) if isinstance(value, np.longdouble) else value.item()
    if isinstance(value, tuple | list):
        return tuple(map(plain, value))
    for kind in (int, float):
        if isinstance(value, kind) and not isinstance(value, bool):
            return kind(value)
    return value


def plain_knobs(knobs: Any) -> None:
    """Make the knobs of a frozen dataclass plain, so that they compare, hash and are written as JSON."""
    for knob in fields(knobs):
        object.__setattr__(knobs, knob.name, plain(getattr(knobs, knob.name)))


def check_knob(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    integer: bool = False,
) -> None:
    """Check that a knob is a finite number, an integer where it must be, and within its bounds.

    Raises
    ------
    TypeError
        If it is no number of the right kind.
    ValueError
        If it is not finite, below `at_least`, or above `at_most`.
    """
    number = value if type(value) in (int, float) else plain(value)
    wanted = "an integer" if integer else "a number"
    if isinstance(number, bool) or not isinstance(number, int if integer else (int, float)):
        raise TypeError(f"{name}: expected {wanted}, got {value!r}")
    if integer and abs(number) > LARGEST_INDEX:
        raise ValueError(f"{name}: expected an integer of at most 64 bits, got {shortened(number)}")
    if not integer and not abs(number) <= LARGEST:
        raise ValueError(f"{name}: expected a finite number, got {shortened(value)}")
    if at_least is not None and number < at_least:
        raise ValueError(f"{name}: expected at least {at_least}, got {value!r}")
    if at_most is not None and number > at_most:
        raise ValueError(f"{name}: expected at most {at_most}, got {value!r}")


def check_numbers(name: str, values: Any, *, at_least: float | None = None, pair: bool = False) -> None:
    """Check that a knob is a tuple of such numbers: of two if it is a `pair`, else of at least one.

    Raises
    ------
    TypeError
        If it is no tuple, of another length, or holds what is no number.
    ValueError
        If one is not finite, or below `at_least`.
    """
    if not isinstance(values, tuple) or not values or (pair and len(values) != 2):
        wanted = "two numbers" if pair else "numbers, at least one"
        raise TypeError(f"{name}: expected {wanted}, got {values!r}")
    for value in values:
        check_knob(name, value, at_least=at_least)


def several(name: str, given: Any, *kinds: type, expected: str) -> tuple[Any, ...]:
    """Take an argument of one value or several of some kinds, which are called `expected`, for several.

    Raises
    ------
    TypeError
        If it is anything else, or one of them is.
    """
    if isinstance(given, kinds):
        return (given,)
    values = tuple(given) if isinstance(given, Iterable) else (given,)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise TypeError(f"{name}: expected {expected}, got {value!r}")
    return values


def shortened(value: Any) -> str:
    """Write a value for an error; Python refuses to write integers of thousands of digits."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"an integer of {value.bit_length():,} bits"
    return repr(value)


def check_names(name: str, names: Any, count: int | None = None) -> tuple[str, ...]:
    """Return names as a tuple; check that they are text, and as many as there are to be.

    Raises
    ------
    TypeError
        If they are no sequence of texts.
    ValueError
        If there are more or fewer.
    """
    is_one = isinstance(names, str) or not isinstance(names, Sequence)
    if is_one or not all(isinstance(each, str) for each in names):
        raise TypeError(f"{name}: expected a sequence of texts, got {names!r}")
    if count is not None and len(names) != count:
        raise ValueError(f"{name}: expected {count}, got {len(names)}: {', '.join(names)}")
    return tuple(names)


def check_choice(name: str, value: Any, choices: Sequence[str], when: str = "") -> None:
    """Check that a knob is one of a few strings; `when` says in which case, for the error.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}{when}, got {value!r}")


def check_switches(knobs: Any) -> None:
    """Check that the plain knobs of a dataclass that are true or false by default are so by value.

    Raises
    ------
    TypeError
        If one is anything else, such as the string "no", which Python takes for true.
    """
    for knob in fields(knobs):
        value = getattr(knobs, knob.name)
        if isinstance(knob.default, bool) and not isinstance(value, bool):
            raise TypeError(f"{knob.name}: expected True or False, got {value!r}")


def broadcast_lead(arrays: Mapping[str, tuple[Array, int]]) -> tuple[int, ...]:
    """Return the leading shape that all arrays broadcast to.

    Parameters
    ----------
    arrays : mapping of str to (array, int)
        Arrays by argument name, each with the number of its trailing dimensions, which do not broadcast.

    Raises
    ------
    ValueError
        If the leading dimensions do not broadcast.
    """
    return common_lead({name: tuple(x.shape)[: x.ndim - tail] for name, (x, tail) in arrays.items()})


def common_lead(leads: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape that leading shapes, by argument name, broadcast to.

    Raises
    ------
    ValueError
        If they do not broadcast.
    """
    rank = max(map(len, leads.values()))
    shape: list[int] = []
    for axis in range(-rank, 0):
        lengths = {lead[axis] for lead in leads.values() if len(lead) >= -axis} - {1}
        if len(lengths) > 1:
            listed = ", ".join(f"{name} {lead}" for name, lead in leads.items())
            raise ValueError(f"leading dimensions do not broadcast: {listed}")
        shape.append(lengths.pop() if lengths else 1)
    return tuple(shape)


def raise_precision(backend: ArrayBackend, *arrays: Array) -> tuple[Array, ...]:
    """Return the arrays in their common dtype, or in float32 where that one is narrower."""
    xp = backend.xp
    dtype = xp.result_type(xp.float32, *(x.dtype for x in arrays))
    return tuple(x if x.dtype == dtype else xp.astype(x, dtype) for x in arrays)

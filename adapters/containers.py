"""Reading what detection frameworks hand over: instances with attributes, and boxes in one form or another.

Nothing here knows a framework. Instances are any object with the attributes that are read, boxes are arrays
or objects that hold one in ``tensor``.
"""

from __future__ import annotations

from math import prod
from typing import Any

from assigncore.backend import Array, get_backend

__all__ = [
    "array_of",
    "as_integers",
    "as_real_like",
    "boxes_of",
    "flat_masks",
    "optional",
    "points_of",
    "required",
]

BOX_COLUMNS = 4


def required(instances: Any, name: str, of: str) -> Any:
    """Return an attribute of instances.

    Parameters
    ----------
    instances : object
        Any object with attributes, such as an ``InstanceData``.
    name : str
        The attribute.
    of : str
        What the instances are, for the error.

    Raises
    ------
    AttributeError
        If it is missing or None.
    """
    value = getattr(instances, name, None)
    if value is None:
        raise AttributeError(f"{of}.{name}: expected an array, got none")
    return value


def optional(instances: Any, name: str) -> Any:
    """Return an attribute of instances, or None where there is none, or no instances."""
    return None if instances is None else getattr(instances, name, None)


def array_of(x: Any) -> Array:
    """Return the array of boxes or masks that may be an object with ``tensor``."""
    return getattr(x, "tensor", x)


def boxes_of(x: Any) -> Array:
    """Return boxes (..., N, 4) of boxes in any form: an object with ``tensor``, with scores behind, or empty.

    Examples
    --------
    >>> import numpy as np
    >>> boxes_of(np.ones((2, 5))).shape
    (2, 4)
    >>> boxes_of(np.ones(0)).shape
    (0, 4)
    """
    boxes = array_of(x)
    if boxes.shape[-1] == 0:
        lead = tuple(boxes.shape[:-1]) or (0,)
        return get_backend(boxes, "boxes").xp.reshape(boxes, (0,) * len(lead) + (BOX_COLUMNS,))
    return boxes if boxes.shape[-1] <= BOX_COLUMNS else boxes[..., :BOX_COLUMNS]


def points_of(x: Any, like: Array) -> Array:
    """Return points with their strides in the dtype of `like` where they are whole numbers."""
    return as_real_like(array_of(x), like)


def as_real_like(x: Array, like: Array) -> Array:
    """Return numbers in the dtype of `like`, unless they are real already."""
    backend = get_backend(x)
    return x if backend.is_dtype(x.dtype, "real floating") else backend.xp.astype(x, like.dtype)


def as_integers(x: Array | None) -> Array | None:
    """Return labels as integers, which frameworks also accept as whole real numbers."""
    if x is None:
        return None
    backend = get_backend(x, "labels")
    return x if backend.is_dtype(x.dtype, "integral") else backend.xp.astype(x, backend.integer_dtype(x))


def flat_masks(x: Any) -> Array:
    """Return masks (N, ...) of any further dimensions as images one pixel high, (N, 1, P)."""
    masks = array_of(x)
    return get_backend(masks, "masks").xp.reshape(masks, (masks.shape[0], 1, prod(masks.shape[1:])))

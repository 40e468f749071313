"""Small, medium and large objects, as COCO's evaluation has them."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["SIZE_CLASSES", "SIZE_LIMITS", "size_index"]

SIZE_CLASSES = ("small", "medium", "large")

SIZE_LIMITS = (32.0**2, 96.0**2)
"""Areas in square pixels: small below the first, large from the second on."""


def size_index(areas: Any) -> Any:
    """Give the size class of areas in square pixels, as an index into ``SIZE_CLASSES``.

    Examples
    --------
    >>> size_index(np.asarray([1023.0, 1024.0, 9216.0])).tolist()
    [0, 1, 2]
    """
    return np.searchsorted(np.asarray(SIZE_LIMITS), areas, side="right")

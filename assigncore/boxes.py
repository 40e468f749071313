"""Geometry of boxes, over any array library.

A box is ``x1, y1, x2, y2`` in pixels, with no extra pixel added to its sides, unless a function says
otherwise. Pairwise functions take ``(..., M, 4)`` and ``(..., N, 4)`` and return ``(..., M, N)``; aligned
ones take two arrays of one shape and return a value for each row. Leading dimensions broadcast.

Every function checks its arguments and raises half precision to float32 before it computes, conversions
included. Results are differentiable where the library differentiates.
"""

from __future__ import annotations

from assigncore import box_formulas
from assigncore.aligned_overlaps import aligned_ciou, aligned_diou, aligned_giou, aligned_iof, aligned_iou
from assigncore.backend import Array, ArrayBackend, get_backend
from assigncore.box_checks import checked_arrays
from assigncore.checks import check_knob
from assigncore.coordinates import columns, drop_broken
from assigncore.pairwise_overlaps import (
    pairwise_ciou,
    pairwise_diou,
    pairwise_giou,
    pairwise_iof,
    pairwise_iou,
)

__all__ = [
    "aligned_ciou",
    "aligned_diou",
    "aligned_giou",
    "aligned_iof",
    "aligned_iou",
    "box_area",
    "box_centers",
    "cxcywh_to_xyxy",
    "pairwise_ciou",
    "pairwise_diou",
    "pairwise_giou",
    "pairwise_iof",
    "pairwise_iou",
    "pairwise_l1",
    "points_in_boxes",
    "xywh_to_xyxy",
    "xyxy_to_cxcywh",
]


def box_area(boxes: Array) -> Array:
    """Compute the areas of boxes.

    Parameters
    ----------
    boxes : array (..., 4)
        Boxes x1, y1, x2, y2 in pixels: (..., N, 4), or a single one.

    Returns
    -------
    array (...)
        Square pixels, in the dtype of `boxes`, at least float32.

    Raises
    ------
    TypeError
        If `boxes` is no array of real floating numbers.
    ValueError
        If its last dimension is not 4.

    Notes
    -----
    A box inverted along one axis has a negative area, one inverted along both a positive one. NaN and
    infinite coordinates go through the arithmetic.

    Examples
    --------
    >>> import numpy as np
    >>> box_area(np.array([[0.0, 0.0, 4.0, 5.0], [3.0, 3.0, 3.0, 3.0]]))
    array([20.,  0.])
    """
    (boxes,) = checked_arrays(boxes=(boxes, (4,)))
    return box_formulas.box_area(boxes)


def box_centers(boxes: Array) -> Array:
    """Compute the centres of boxes.

    Parameters
    ----------
    boxes : array (..., 4)
        Boxes x1, y1, x2, y2 in pixels: (..., N, 4), or a single one.

    Returns
    -------
    array (..., 2)
        x, y in pixels, in the dtype of `boxes`, at least float32.

    Raises
    ------
    TypeError, ValueError
        As :func:`box_area` does.

    Examples
    --------
    >>> import numpy as np
    >>> box_centers(np.array([[0.0, 0.0, 4.0, 5.0]]))
    array([[2. , 2.5]])
    """
    (boxes,) = checked_arrays(boxes=(boxes, (4,)))
    return box_formulas.box_centers(boxes)


def xyxy_to_cxcywh(boxes: Array) -> Array:
    """Turn corners into centre and size.

    Parameters
    ----------
    boxes : array (..., 4)
        x1, y1, x2, y2, in pixels or any other unit: (..., N, 4), or a single box.

    Returns
    -------
    array (..., 4)
        cx, cy, w, h in the same unit, in the dtype of `boxes`, at least float32.

    Raises
    ------
    TypeError, ValueError
        As :func:`box_area` does.

    Examples
    --------
    >>> import numpy as np
    >>> xyxy_to_cxcywh(np.array([[0.0, 0.0, 4.0, 6.0]]))
    array([[2., 3., 4., 6.]])
    """
    (boxes,) = checked_arrays(boxes=(boxes, (4,)))
    return box_formulas.xyxy_to_cxcywh(boxes)


def cxcywh_to_xyxy(boxes: Array) -> Array:
    """Turn centre and size, as DETR predicts boxes, into corners.

    Parameters
    ----------
    boxes : array (..., 4)
        cx, cy, w, h, in pixels or any other unit: (..., N, 4), or a single box.

    Returns
    -------
    array (..., 4)
        x1, y1, x2, y2 in the same unit, in the dtype of `boxes`, at least float32.

    Raises
    ------
    TypeError, ValueError
        As :func:`box_area` does.

    Examples
    --------
    >>> import numpy as np
    >>> cxcywh_to_xyxy(np.array([[2.0, 3.0, 4.0, 6.0]]))
    array([[0., 0., 4., 6.]])
    """
    (boxes,) = checked_arrays(boxes=(boxes, (4,)))
    return box_formulas.cxcywh_to_xyxy(boxes)


def xywh_to_xyxy(boxes: Array) -> Array:
    """Turn corner and size, as COCO writes boxes, into corners.

    Parameters
    ----------
    boxes : array (..., 4)
        x, y, w, h, in pixels or any other unit: (..., N, 4), or a single box.

    Returns
    -------
    array (..., 4)
        x1, y1, x2, y2 in the same unit, in the dtype of `boxes`, at least float32.

    Raises
    ------
    TypeError, ValueError
        As :func:`box_area` does.

    Examples
    --------
    >>> import numpy as np
    >>> xywh_to_xyxy(np.array([[1.0, 2.0, 4.0, 6.0]]))
    array([[1., 2., 5., 8.]])
    """
    (boxes,) = checked_arrays(boxes=(boxes, (4,)))
    return box_formulas.xywh_to_xyxy(boxes)


def pairwise_l1(a: Array, b: Array) -> Array:
    """Sum the absolute differences of the columns of each row with each.

    Parameters
    ----------
    a, b : array (..., M, D) and (..., N, D)
        Rows of D numbers, at least one, in any unit; leading dimensions broadcast.

    Returns
    -------
    array (..., M, N)
        Distances in the same unit, in the common dtype, at least float32. Empty where there are no rows.

    Raises
    ------
    TypeError
        If an input is no array of real floating numbers, or they are of different libraries.
    ValueError
        If a shape does not fit, or the arrays are on different devices.

    Notes
    -----
    The columns are added from the first to the last, so the bits are the same in every library. A row with a
    NaN has no distance but NaN.

    Examples
    --------
    >>> import numpy as np
    >>> pairwise_l1(np.array([[0.0, 0.0]]), np.array([[3.0, -4.0], [0.0, 1.0]]))
    array([[7., 1.]])
    """
    a, b = checked_arrays(a=(a, ("M", "D")), b=(b, ("N", "D")))
    if a.shape[-1] != b.shape[-1] or a.shape[-1] == 0:
        raise ValueError(
            f"a, b: expected equally many columns, at least one, got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    # The portable version, since an adapter's may work on the host's memory, where there are no gradients.
    return ArrayBackend.l1_distance(get_backend(a, "a"), a, b)


def points_in_boxes(points: Array, boxes: Array, *, margin: float = 0.0) -> Array:
    """Tell which points lie strictly inside which boxes.

    Parameters
    ----------
    points : array (..., N, 2)
        x, y in pixels; of points that have a stride, ``points[..., :2]``.
    boxes : array (..., G, 4)
        Boxes x1, y1, x2, y2 in pixels; leading dimensions broadcast.
    margin : float, default 0.0
        How far inside, in pixels: the least distance to a side must be greater.

    Returns
    -------
    array (..., G, N) of bool
        Boxes first, as in every pairwise array of the core. Empty where there are no points or boxes.

    Raises
    ------
    TypeError
        If an input is no array of real floating numbers, they are of different libraries, or `margin` is no
        number.
    ValueError
        If a shape does not fit, the arrays are on different devices, or `margin` is not finite.

    Notes
    -----
    A point on a side is outside with a margin of 0. No point is inside a box with a NaN or infinite
    coordinate, nor is a point that has one inside any.

    Examples
    --------
    >>> import numpy as np
    >>> points_in_boxes(np.array([[1.0, 1.0], [4.0, 1.0]]), np.array([[0.0, 0.0, 4.0, 4.0]]))
    array([[ True, False]])
    """
    check_knob("margin", margin)
    points, boxes = checked_arrays(points=(points, ("N", 2)), boxes=(boxes, ("G", 4)))
    boxes, whole = drop_broken(boxes)
    x1, y1, x2, y2 = (c[..., :, None] for c in columns(boxes))
    x, y = points[..., None, :, 0], points[..., None, :, 1]
    inside = (x - x1 > margin) & (y - y1 > margin) & (x2 - x > margin) & (y2 - y > margin)
    return inside & whole[..., :, None]

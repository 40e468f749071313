"""The overlaps of boxes row by row, for :mod:`assigncore.boxes`."""

from __future__ import annotations

from assigncore.backend import Array
from assigncore.box_checks import checked_overlaps

__all__ = ["aligned_ciou", "aligned_diou", "aligned_giou", "aligned_iof", "aligned_iou"]


def aligned_iou(a: Array, b: Array) -> Array:
    """Compute the intersection over union of the boxes of each row.

    Parameters
    ----------
    a, b : array (..., N, 4)
        Boxes x1, y1, x2, y2 in pixels, equally many; leading dimensions broadcast.

    Returns
    -------
    array (..., N)
        From 0 to 1, in the common dtype, at least float32. Empty where there are no boxes.

    Raises
    ------
    TypeError
        If the boxes are not arrays of real floating numbers and of one library.
    ValueError
        If a shape does not fit, the numbers of boxes differ, or the boxes are on different devices.

    Notes
    -----
    The numbers are those of :func:`assigncore.boxes.pairwise_iou`, empty and broken boxes included.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 4.0, 4.0], [8.0, 8.0, 9.0, 9.0]])
    >>> aligned_iou(boxes, np.array([[0.0, 0.0, 4.0, 2.0], [8.0, 8.0, 9.0, 9.0]]))
    array([0.5, 1. ])
    """
    return checked_overlaps(a, b, "iou", is_aligned=True)


def aligned_iof(a: Array, b: Array) -> Array:
    """Compute the fraction of the `a` of each row that its `b` covers: intersection over foreground.

    Parameters
    ----------
    a, b : array (..., N, 4)
        Boxes x1, y1, x2, y2 in pixels, equally many; leading dimensions broadcast. `a` is the foreground.

    Returns
    -------
    array (..., N)
        From 0 to 1, in the common dtype, at least float32. Empty where there are no boxes.

    Raises
    ------
    TypeError, ValueError
        As :func:`aligned_iou` does.

    Notes
    -----
    The numbers are those of :func:`assigncore.boxes.pairwise_iof`, empty and broken boxes included.

    Examples
    --------
    >>> import numpy as np
    >>> small, large = np.array([[1.0, 1.0, 3.0, 3.0]]), np.array([[0.0, 0.0, 4.0, 4.0]])
    >>> aligned_iof(small, large), aligned_iof(large, small)
    (array([1.]), array([0.25]))
    """
    return checked_overlaps(a, b, "iof", is_aligned=True)


def aligned_giou(a: Array, b: Array) -> Array:
    """Compute the generalised IoU of the boxes of each row.

    Parameters
    ----------
    a, b : array (..., N, 4)
        Boxes x1, y1, x2, y2 in pixels, equally many; leading dimensions broadcast.

    Returns
    -------
    array (..., N)
        From -1 to 1 unless a box is inverted, in the common dtype, at least float32. Empty where there are no
        boxes.

    Raises
    ------
    TypeError, ValueError
        As :func:`aligned_iou` does.

    Notes
    -----
    The numbers are those of :func:`assigncore.boxes.pairwise_giou`, empty and broken boxes included. In a
    library that differentiates they carry gradients: ``1 - aligned_giou(pred, target)`` is the loss.

    References
    ----------
    Rezatofighi et al., "Generalized Intersection over Union", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 4.0]])
    >>> aligned_giou(boxes, np.array([[0.0, 0.0, 4.0, 2.0], [4.0, 4.0, 8.0, 8.0]]))
    array([ 0.5, -0.5])
    """
    return checked_overlaps(a, b, "giou", is_aligned=True)


def aligned_diou(a: Array, b: Array) -> Array:
    """Compute the distance IoU of the boxes of each row.

    Parameters
    ----------
    a, b : array (..., N, 4)
        Boxes x1, y1, x2, y2 in pixels, equally many; leading dimensions broadcast.

    Returns
    -------
    array (..., N)
        From -1 to 1 unless a box is inverted, in the common dtype, at least float32. Empty where there are no
        boxes.

    Raises
    ------
    TypeError, ValueError
        As :func:`aligned_iou` does.

    Notes
    -----
    The numbers are those of :func:`assigncore.boxes.pairwise_diou`, empty and broken boxes included, and
    carry gradients in a library that differentiates.

    References
    ----------
    Zheng et al., "Distance-IoU Loss", 2020.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 4.0]])
    >>> aligned_diou(boxes, np.array([[0.0, 0.0, 4.0, 2.0], [4.0, 4.0, 8.0, 8.0]])).round(3)
    array([ 0.469, -0.25 ])
    """
    return checked_overlaps(a, b, "diou", is_aligned=True)


def aligned_ciou(a: Array, b: Array) -> Array:
    """Compute the complete IoU of the boxes of each row.

    Parameters
    ----------
    a, b : array (..., N, 4)
        Boxes x1, y1, x2, y2 in pixels, equally many; leading dimensions broadcast.

    Returns
    -------
    array (..., N)
        At most 1, in the common dtype, at least float32. Empty where there are no boxes.

    Raises
    ------
    TypeError, ValueError
        As :func:`aligned_iou` does.

    Notes
    -----
    The numbers are those of :func:`assigncore.boxes.pairwise_ciou`, empty and broken boxes included, and
    carry gradients in a library that differentiates.

    References
    ----------
    Zheng et al., "Distance-IoU Loss", 2020.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 4.0]])
    >>> aligned_ciou(boxes, np.array([[0.0, 0.0, 4.0, 2.0], [4.0, 4.0, 8.0, 8.0]])).round(3)
    array([ 0.466, -0.25 ])
    """
    return checked_overlaps(a, b, "ciou", is_aligned=True)

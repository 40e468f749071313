"""The overlaps of each box with each, for :mod:`assigncore.boxes`."""

from __future__ import annotations

from assigncore.backend import Array
from assigncore.box_checks import checked_overlaps

__all__ = ["pairwise_ciou", "pairwise_diou", "pairwise_giou", "pairwise_iof", "pairwise_iou"]


def pairwise_iou(a: Array, b: Array) -> Array:
    """Compute the intersection over union of each box with each.

    Parameters
    ----------
    a, b : array (..., M, 4) and (..., N, 4)
        Boxes x1, y1, x2, y2 in pixels; leading dimensions broadcast.

    Returns
    -------
    array (..., M, N)
        From 0 to 1, in the common dtype, at least float32. Empty where there are no boxes.

    Raises
    ------
    TypeError
        If the boxes are not arrays of real floating numbers and of one library.
    ValueError
        If a shape does not fit, or the boxes are on different devices.

    Notes
    -----
    The union has a floor of 1e-6 square pixels, so two empty boxes at one place have IoU 0. A box with a NaN
    or infinite coordinate counts as an empty one at the origin.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 4.0, 2.0], [9.0, 9.0, 10.0, 10.0]])
    >>> pairwise_iou(np.array([[0.0, 0.0, 4.0, 4.0]]), boxes)
    array([[0.5, 0. ]])
    """
    return checked_overlaps(a, b, "iou", is_aligned=False)


def pairwise_iof(a: Array, b: Array) -> Array:
    """Compute the fraction of each `a` that each `b` covers: intersection over foreground.

    Parameters
    ----------
    a, b : array (..., M, 4) and (..., N, 4)
        Boxes x1, y1, x2, y2 in pixels; leading dimensions broadcast. `a` is the foreground.

    Returns
    -------
    array (..., M, N)
        From 0 to 1, in the common dtype, at least float32. Empty where there are no boxes.

    Raises
    ------
    TypeError, ValueError
        As :func:`pairwise_iou` does.

    Notes
    -----
    The foreground's area has a floor of 1e-6 square pixels, so nothing covers an empty box. A box with a NaN
    or infinite coordinate counts as an empty one at the origin.

    Examples
    --------
    >>> import numpy as np
    >>> small, large = np.array([[1.0, 1.0, 3.0, 3.0]]), np.array([[0.0, 0.0, 4.0, 4.0]])
    >>> pairwise_iof(small, large), pairwise_iof(large, small)
    (array([[1.]]), array([[0.25]]))
    """
    return checked_overlaps(a, b, "iof", is_aligned=False)


def pairwise_giou(a: Array, b: Array) -> Array:
    """Compute the generalised IoU of each box with each.

    Parameters
    ----------
    a, b : array (..., M, 4) and (..., N, 4)
        Boxes x1, y1, x2, y2 in pixels; leading dimensions broadcast.

    Returns
    -------
    array (..., M, N)
        From -1 to 1 unless a box is inverted, in the common dtype, at least float32. Empty where there are no
        boxes.

    Raises
    ------
    TypeError, ValueError
        As :func:`pairwise_iou` does.

    Notes
    -----
    The IoU, less the share of the smallest box around both that neither covers; so boxes apart have negative
    values, the lower the farther. Unions and enclosing areas have a floor of 1e-6 square pixels. A box with
    a NaN or infinite coordinate counts as an empty one at the origin.

    References
    ----------
    Rezatofighi et al., "Generalized Intersection over Union", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 4.0, 2.0], [4.0, 4.0, 8.0, 8.0]])
    >>> pairwise_giou(np.array([[0.0, 0.0, 4.0, 4.0]]), boxes)
    array([[ 0.5, -0.5]])
    """
    return checked_overlaps(a, b, "giou", is_aligned=False)


def pairwise_diou(a: Array, b: Array) -> Array:
    """Compute the distance IoU of each box with each.

    Parameters
    ----------
    a, b : array (..., M, 4) and (..., N, 4)
        Boxes x1, y1, x2, y2 in pixels; leading dimensions broadcast.

    Returns
    -------
    array (..., M, N)
        From -1 to 1 unless a box is inverted, in the common dtype, at least float32. Empty where there are no
        boxes.

    Raises
    ------
    TypeError, ValueError
        As :func:`pairwise_iou` does.

    Notes
    -----
    The IoU, less the squared distance of the centres by the squared diagonal of the smallest box around both.
    As in its authors' code 1e-7 is added to each divisor, so a box has slightly less than 1 with itself. A
    box with a NaN or infinite coordinate counts as an empty one at the origin.

    References
    ----------
    Zheng et al., "Distance-IoU Loss", 2020.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 4.0, 2.0], [4.0, 4.0, 8.0, 8.0]])
    >>> pairwise_diou(np.array([[0.0, 0.0, 4.0, 4.0]]), boxes).round(3)
    array([[ 0.469, -0.25 ]])
    """
    return checked_overlaps(a, b, "diou", is_aligned=False)


def pairwise_ciou(a: Array, b: Array) -> Array:
    """Compute the complete IoU of each box with each.

    Parameters
    ----------
    a, b : array (..., M, 4) and (..., N, 4)
        Boxes x1, y1, x2, y2 in pixels; leading dimensions broadcast.

    Returns
    -------
    array (..., M, N)
        At most 1, in the common dtype, at least float32. Empty where there are no boxes.

    Raises
    ------
    TypeError, ValueError
        As :func:`pairwise_iou` does.

    Notes
    -----
    The distance IoU of :func:`pairwise_diou`, less a penalty for another aspect ratio. It takes an arc
    tangent, whose last bits differ between libraries. A box with a NaN or infinite coordinate counts as an
    empty one at the origin.

    References
    ----------
    Zheng et al., "Distance-IoU Loss", 2020.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 4.0, 2.0], [4.0, 4.0, 8.0, 8.0]])
    >>> pairwise_ciou(np.array([[0.0, 0.0, 4.0, 4.0]]), boxes).round(3)
    array([[ 0.466, -0.25 ]])
    """
    return checked_overlaps(a, b, "ciou", is_aligned=False)

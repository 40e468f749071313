"""The public geometry of boxes, which checks its arguments: see :mod:`assigncore.boxes`."""

from __future__ import annotations

from assigncore.backend import Array, ArrayBackend, get_backend
from assigncore.boxes import formulas, oriented
from assigncore.boxes.formulas import ORIENTED, Mode, drop_nonfinite, exact_overlaps
from assigncore.boxes.oriented import CONVENTIONS, Convention
from assigncore.checks import (
    broadcast_lead,
    check_choice,
    check_dtype,
    check_knob,
    check_shape,
    common_backend,
    raise_precision,
)

__all__ = [
    "aligned_ciou",
    "aligned_diou",
    "aligned_giou",
    "aligned_iof",
    "aligned_iou",
    "box_area",
    "box_centers",
    "checked_arrays",
    "checked_overlaps",
    "corners_to_xywhr",
    "cxcywh_to_xyxy",
    "normalize_angles",
    "pairwise_ciou",
    "pairwise_diou",
    "pairwise_giou",
    "pairwise_iof",
    "pairwise_iou",
    "pairwise_l1",
    "points_in_boxes",
    "xywh_to_xyxy",
    "xywhr_to_corners",
    "xywhr_to_xyxy",
    "xyxy_to_cxcywh",
    "xyxy_to_xywhr",
]


def checked_arrays(**arrays: tuple[Array, tuple[int | str, ...]]) -> tuple[Array, ...]:
    """Check arrays by the names of their arguments, and bring them to their computing dtype.

    Parameters
    ----------
    **arrays : (array, tuple of int or str)
        Each with its trailing dimensions: a number is the length, a name stands for any length.

    Returns
    -------
    tuple of array
        In their common dtype, at least float32.

    Raises
    ------
    TypeError
        If one is no array, or not of real floating numbers, or they are of different libraries.
    ValueError
        If a shape does not fit, the leading dimensions do not broadcast, or devices differ.
    """
    backend = common_backend({name: x for name, (x, _) in arrays.items()})
    for name, (x, tail) in arrays.items():
        expected = ", ".join(("...", *map(str, tail)))
        check_shape(name, x, f"({expected})", *(side if isinstance(side, int) else None for side in tail))
        check_dtype(name, x, backend, "real floating")
    broadcast_lead({name: (x, len(tail)) for name, (x, tail) in arrays.items()})
    return raise_precision(backend, *(x for x, _ in arrays.values()))


def checked_overlaps(a: Array, b: Array, mode: Mode, *, is_aligned: bool) -> Array:
    """Check two sets of boxes (..., M, 4) and (..., N, 4), drop those not finite, compute their overlaps."""
    a, b = checked_arrays(a=(a, ("M", 4)), b=(b, ("N", 4)))
    if is_aligned and a.shape[-2] != b.shape[-2]:
        raise ValueError(f"b: expected {a.shape[-2]} rows, as many as a, got {b.shape[-2]}")
    (a, _), (b, _) = drop_nonfinite(a), drop_nonfinite(b)
    return exact_overlaps(a, b, mode, is_aligned=is_aligned)


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
    return formulas.box_area(boxes)


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
    return formulas.box_centers(boxes)


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
    return formulas.xyxy_to_cxcywh(boxes)


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
    return formulas.cxcywh_to_xyxy(boxes)


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
    return formulas.xywh_to_xyxy(boxes)


def xyxy_to_xywhr(boxes: Array) -> Array:
    """Turn axis-aligned boxes into oriented ones, of angle 0.

    Parameters
    ----------
    boxes : array (..., 4)
        x1, y1, x2, y2, in pixels or any other unit: (..., N, 4), or a single box.

    Returns
    -------
    array (..., 5)
        cx, cy, w, h in the same unit and the angle 0, in the dtype of `boxes`, at least float32.

    Raises
    ------
    TypeError, ValueError
        As :func:`box_area` does.

    Examples
    --------
    >>> import numpy as np
    >>> xyxy_to_xywhr(np.array([[0.0, 0.0, 4.0, 6.0]]))
    array([[2., 3., 4., 6., 0.]])
    """
    (boxes,) = checked_arrays(boxes=(boxes, (4,)))
    xp = get_backend(boxes, "boxes").xp
    rows = formulas.xyxy_to_cxcywh(boxes)
    return xp.concat([rows, xp.zeros_like(rows[..., :1])], axis=-1)


def xywhr_to_xyxy(boxes: Array) -> Array:
    """Find the smallest axis-aligned boxes around oriented ones.

    Parameters
    ----------
    boxes : array (..., 5)
        cx, cy, w, h in pixels or any other unit, and the angle in radians. A negative side counts as 0.

    Returns
    -------
    array (..., 4)
        x1, y1, x2, y2 in the same unit, in the dtype of `boxes`, at least float32.

    Raises
    ------
    TypeError, ValueError
        If `boxes` is no array of real floating numbers, or its last dimension is not 5.

    Examples
    --------
    >>> import numpy as np
    >>> xywhr_to_xyxy(np.array([[4.0, 4.0, 8.0, 2.0, np.pi / 2]])).round(6)
    array([[3., 0., 5., 8.]])
    """
    (boxes,) = checked_arrays(boxes=(boxes, (5,)))
    return oriented.enclosing(boxes)


def xywhr_to_corners(boxes: Array) -> Array:
    """Turn oriented boxes into their corners.

    Parameters
    ----------
    boxes : array (..., 5)
        cx, cy, w, h in pixels or any other unit, and the angle in radians. A negative side counts as 0.

    Returns
    -------
    array (..., 4, 2)
        x, y in the same unit, in the dtype of `boxes`, at least float32: of a box of angle 0 the corner with
        the smallest x and y, then on along its side w.

    Raises
    ------
    TypeError, ValueError
        If `boxes` is no array of real floating numbers, or its last dimension is not 5.

    Examples
    --------
    >>> import numpy as np
    >>> xywhr_to_corners(np.array([4.0, 4.0, 8.0, 2.0, 0.0])).tolist()
    [[0.0, 3.0], [8.0, 3.0], [8.0, 5.0], [0.0, 5.0]]
    """
    (boxes,) = checked_arrays(boxes=(boxes, (5,)))
    return oriented.corners_of(boxes)


def corners_to_xywhr(corners: Array) -> Array:
    """Find the smallest oriented box around four corners each, as DOTA and YOLO-OBB label objects.

    Parameters
    ----------
    corners : array (..., 4, 2)
        x, y in pixels or any other unit, in any order.

    Returns
    -------
    array (..., 5)
        cx, cy, w, h in the same unit and the angle in radians, in the dtype of `corners`, at least float32.

    Raises
    ------
    TypeError, ValueError
        If `corners` is no array of real floating numbers, or its last dimensions are not 4 and 2.

    Notes
    -----
    Corners that are no rectangle's get the box around them of the least area. The side w is along any of the
    box's axes: :func:`normalize_angles` makes it the longer one.

    Examples
    --------
    >>> import numpy as np
    >>> corners_to_xywhr(np.array([[0.0, 3.0], [8.0, 3.0], [8.0, 5.0], [0.0, 5.0]]))
    array([4., 4., 8., 2., 0.])
    """
    (corners,) = checked_arrays(corners=(corners, (4, 2)))
    return oriented.corners_to_xywhr(corners)


def normalize_angles(boxes: Array, convention: Convention = "le90") -> Array:
    """Describe oriented boxes by the sides and angles that a convention allows.

    Parameters
    ----------
    boxes : array (..., 5)
        cx, cy, w, h in pixels or any other unit, and the angle in radians, whichever it is.
    convention : {"le90", "le135", "oc"}, default "le90"
        ``"le90"``: w is the longer side, and the angle from -90 to below 90 degrees. ``"le135"``: w is the
        longer side, and the angle from -45 to below 135 degrees. ``"oc"``: the angle is from -90 to below 0
        degrees, whichever side is longer, as OpenCV before 4.5.1 had it.

    Returns
    -------
    array (..., 5)
        The same boxes, in the dtype of `boxes`, at least float32. Of a square, w counts as the shorter side.

    Raises
    ------
    TypeError, ValueError
        If `boxes` is no array of real floating numbers, its last dimension is not 5, or there is no such
        convention.

    Notes
    -----
    Overlaps do not depend on it; targets of a regression do. These are the conventions of mmrotate. Its first
    versions had the angle of ``"oc"`` above 0 and up to 90 degrees, with the sides swapped.

    Examples
    --------
    >>> import numpy as np
    >>> box = np.array([4.0, 4.0, 2.0, 8.0, 0.5])
    >>> [normalize_angles(box, name)[2:].round(3).tolist() for name in ("le90", "le135", "oc")]
    [[8.0, 2.0, -1.071], [8.0, 2.0, 2.071], [8.0, 2.0, -1.071]]
    """
    check_choice("convention", convention, CONVENTIONS)
    (boxes,) = checked_arrays(boxes=(boxes, (5,)))
    return oriented.normalized_angles(boxes, convention)


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
    boxes : array (..., G, 4) or (..., G, 5)
        Boxes x1, y1, x2, y2 in pixels, or oriented ones; leading dimensions broadcast.
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
    points, boxes = checked_arrays(points=(points, ("N", 2)), boxes=(boxes, ("G", "4 or 5")))
    if int(boxes.shape[-1]) not in (4, ORIENTED):
        raise ValueError(f"boxes: expected shape (..., G, 4) or (..., G, 5), got {tuple(boxes.shape)}")
    boxes, finite = drop_nonfinite(boxes)
    found = formulas.inside(points[..., None, :, :], boxes[..., :, None, :], margin=margin)
    return found & finite[..., :, None]


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
    The numbers are those of :func:`assigncore.boxes.pairwise_iou`, empty and non-finite boxes included.

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
    The numbers are those of :func:`assigncore.boxes.pairwise_iof`, empty and non-finite boxes included.

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
    The numbers are those of :func:`assigncore.boxes.pairwise_giou`, empty and non-finite boxes included. In a
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
    The numbers are those of :func:`assigncore.boxes.pairwise_diou`, empty and non-finite boxes included, and
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
    The numbers are those of :func:`assigncore.boxes.pairwise_ciou`, empty and non-finite boxes included, and
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

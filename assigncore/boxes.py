"""Geometry of boxes, over any array library.

A box is ``x1, y1, x2, y2`` in pixels, with no extra pixel added to its sides, unless a function says
otherwise. Pairwise functions take ``(..., M, 4)`` and ``(..., N, 4)`` and return ``(..., M, N)``; aligned
ones take two arrays of one shape and return a value for each row. Leading dimensions broadcast.
"""

from __future__ import annotations

from assigncore.backend import Array, get_backend
from assigncore.checks import check_dtype, check_shape, common_backend, raise_precision
from assigncore.coordinates import columns, drop_broken, rounded_product
from assigncore.overlap_formulas import Mode, overlaps_of_checked

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
    """Return the areas of boxes (..., N, 4) in square pixels, (..., N).

    A box inverted along one axis has a negative area, one inverted along both a positive one.

    Examples
    --------
    >>> import numpy as np
    >>> float(box_area(np.array([0.0, 0.0, 4.0, 5.0])))
    20.0
    """
    x1, y1, x2, y2 = columns(boxes)
    return rounded_product(x2 - x1, y2 - y1)


def box_centers(boxes: Array) -> Array:
    """Return the centres x, y of boxes (..., N, 4) in pixels, (..., N, 2)."""
    return (boxes[..., :2] + boxes[..., 2:4]) * 0.5


def xyxy_to_cxcywh(boxes: Array) -> Array:
    """Turn corners x1, y1, x2, y2 into centre and size cx, cy, w, h, (..., N, 4).

    Examples
    --------
    >>> import numpy as np
    >>> xyxy_to_cxcywh(np.array([[0.0, 0.0, 4.0, 6.0]])).tolist()
    [[2.0, 3.0, 4.0, 6.0]]
    """
    xp = get_backend(boxes, "boxes").xp
    return xp.concat([box_centers(boxes), boxes[..., 2:4] - boxes[..., :2]], axis=-1)


def cxcywh_to_xyxy(boxes: Array) -> Array:
    """Turn centre and size cx, cy, w, h into corners x1, y1, x2, y2, (..., N, 4)."""
    xp = get_backend(boxes, "boxes").xp
    half = boxes[..., 2:4] * 0.5
    return xp.concat([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def xywh_to_xyxy(boxes: Array) -> Array:
    """Turn corner and size x, y, w, h, as COCO writes boxes, into corners x1, y1, x2, y2, (..., N, 4)."""
    xp = get_backend(boxes, "boxes").xp
    return xp.concat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:4]], axis=-1)


def _overlaps(a: Array, b: Array, mode: Mode, *, is_aligned: bool) -> Array:
    """Check, raise half precision, drop broken boxes, compute."""
    backend = common_backend({"a": a, "b": b})
    for name, x in (("a", a), ("b", b)):
        check_shape(name, x, "(..., N, 4)", None, 4)
        check_dtype(name, x, backend, "real floating")
    if is_aligned and a.shape[-2] != b.shape[-2]:
        raise ValueError(f"b: expected {a.shape[-2]} rows, as many as a, got {b.shape[-2]}")
    a, b = raise_precision(backend, a, b)
    (a, _), (b, _) = drop_broken(a), drop_broken(b)
    return overlaps_of_checked(a, b, mode, is_aligned=is_aligned)


def pairwise_iou(a: Array, b: Array) -> Array:
    """Compute intersection over union of each box with each, (..., M, 4) and (..., N, 4) to (..., M, N).

    Notes
    -----
    The union has a floor of 1e-6, so two empty boxes at one place have IoU 0. A box with a NaN or infinite
    coordinate counts as an empty one.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 4.0, 2.0], [9.0, 9.0, 10.0, 10.0]])
    >>> pairwise_iou(np.array([[0.0, 0.0, 4.0, 4.0]]), boxes)
    array([[0.5, 0. ]])
    """
    return _overlaps(a, b, "iou", is_aligned=False)


def pairwise_iof(a: Array, b: Array) -> Array:
    """Compute the fraction of each `a` that each `b` covers, (..., M, N): intersection over foreground."""
    return _overlaps(a, b, "iof", is_aligned=False)


def pairwise_giou(a: Array, b: Array) -> Array:
    """Compute generalised IoU (Rezatofighi et al., 2019) of each box with each, (..., M, N)."""
    return _overlaps(a, b, "giou", is_aligned=False)


def pairwise_diou(a: Array, b: Array) -> Array:
    """Compute distance IoU (Zheng et al., 2020) of each box with each, (..., M, N)."""
    return _overlaps(a, b, "diou", is_aligned=False)


def pairwise_ciou(a: Array, b: Array) -> Array:
    """Compute complete IoU (Zheng et al., 2020) of each box with each, (..., M, N)."""
    return _overlaps(a, b, "ciou", is_aligned=False)


def aligned_iou(a: Array, b: Array) -> Array:
    """Compute intersection over union row by row, (..., N, 4) twice to (..., N)."""
    return _overlaps(a, b, "iou", is_aligned=True)


def aligned_iof(a: Array, b: Array) -> Array:
    """Compute the fraction of `a` that `b` covers row by row, (..., N)."""
    return _overlaps(a, b, "iof", is_aligned=True)


def aligned_giou(a: Array, b: Array) -> Array:
    """Compute generalised IoU row by row, (..., N)."""
    return _overlaps(a, b, "giou", is_aligned=True)


def aligned_diou(a: Array, b: Array) -> Array:
    """Compute distance IoU row by row, (..., N)."""
    return _overlaps(a, b, "diou", is_aligned=True)


def aligned_ciou(a: Array, b: Array) -> Array:
    """Compute complete IoU row by row, (..., N)."""
    return _overlaps(a, b, "ciou", is_aligned=True)


def pairwise_l1(a: Array, b: Array) -> Array:
    """Sum the absolute differences of columns, (..., M, D) and (..., N, D) to (..., M, N), left to right."""
    return get_backend(a, "a").l1_distance(a, b)


def points_in_boxes(points: Array, boxes: Array, *, margin: float = 0.0) -> Array:
    """Tell which points lie strictly inside which boxes.

    Parameters
    ----------
    points : array (..., N, 2)
        x, y in pixels; further columns are passed over.
    boxes : array (..., G, 4)
        Boxes.
    margin : float, default 0.0
        How far inside, in pixels: the least distance to a side must be greater.

    Returns
    -------
    array (..., G, N) of bool
        Boxes first, as in every pairwise array of the core.

    Examples
    --------
    >>> import numpy as np
    >>> points_in_boxes(np.array([[1.0, 1.0], [4.0, 1.0]]), np.array([[0.0, 0.0, 4.0, 4.0]]))
    array([[ True, False]])
    """
    x1, y1, x2, y2 = (c[..., :, None] for c in columns(boxes))
    x, y = points[..., None, :, 0], points[..., None, :, 1]
    return (x - x1 > margin) & (y - y1 > margin) & (x2 - x > margin) & (y2 - y > margin)

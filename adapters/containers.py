"""Reading what detection frameworks hand over: instances with attributes, and boxes in one form or another.

Nothing here knows a framework. Instances are any object with the attributes that are read, boxes are arrays
or objects that hold one in ``tensor``.
"""

from __future__ import annotations

from math import prod
from typing import Any

from assigncore.backend import Array, get_backend

__all__ = [
    "BOX_COLUMNS",
    "POINT_COLUMNS",
    "array_of",
    "as_integers",
    "as_many_as_predictions",
    "as_real_like",
    "boxes_of",
    "every_column",
    "flat_masks",
    "labels_of",
    "optional",
    "points_of",
    "required",
]

BOX_COLUMNS = 4

POINT_COLUMNS = 3
"""Of a point with one stride."""


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


def boxes_of(x: Any, columns: int = BOX_COLUMNS) -> Array:
    """Return boxes (..., N, 4) of boxes in any form: an object with ``tensor``, with scores behind, or empty.

    Or of other `columns` than 4.

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
        return get_backend(boxes, "boxes").xp.reshape(boxes, (0,) * len(lead) + (columns,))
    return boxes if boxes.shape[-1] <= columns else boxes[..., :columns]


def every_column(x: Any) -> Array:
    """Return boxes (..., N, D) with all their columns; (0, 4) where empty without columns."""
    boxes = array_of(x)
    return boxes if boxes.shape[-1] else boxes_of(boxes)


def points_of(x: Any, like: Array, columns: int = BOX_COLUMNS) -> Array:
    """Return points with their strides in the dtype of `like` where they are whole numbers, or empty."""
    points = as_real_like(array_of(x), like)
    if points.shape[-1] == 0:
        return get_backend(points, "points").xp.reshape(points, (0, columns))
    return points


def labels_of(
    labels: Any, gt_bboxes: Array, *, needed: bool = False, predicted: Array | None = None
) -> Array | None:
    """Return labels as integers.

    Without ground truths there are none, in whatever shape and dtype nothing has come, or None.

    Parameters
    ----------
    labels : array (G,) or None
        Classes.
    gt_bboxes : array (G, 4)
        The boxes of the same ground truths.
    needed : bool, default False
        Whether the assigner asks for labels, so that there must be an array.
    predicted : array (N, 4), optional
        What is assigned: where there is none, labels are 0 that may then be missing.
    """
    unread = labels is None and predicted is not None and 0 in predicted.shape
    if not (unread or 0 in gt_bboxes.shape) or (labels is None and not needed):
        return as_integers(labels)
    backend = get_backend(gt_bboxes)
    return backend.xp.zeros(
        gt_bboxes.shape[:1], dtype=backend.integer_dtype(gt_bboxes), device=backend.device_of(gt_bboxes)
    )


def as_many_as_predictions(
    priors: Array, gt_bboxes: Array, **predictions: Array
) -> tuple[Array, dict[str, Array]]:
    """Let priors and predictions fit where there is nothing to assign, so that all of them are background.

    Frameworks hand over what they have left then: predictions flattened otherwise, of all images, or none.
    As many priors are background as there are predicted boxes, as published. Where there are ground truths,
    priors and predictions, all is returned as it is.

    Parameters
    ----------
    priors : array (N, 4)
        Priors, boxes or points with two strides.
    gt_bboxes : array (G, 4)
        Ground truths.
    **predictions : array
        By the core's names, ``pred_bboxes`` among them.
    """
    boxes = predictions["pred_bboxes"]
    if 0 not in (*gt_bboxes.shape, *priors.shape, *boxes.shape):
        return priors, predictions
    n, backend = int(boxes.shape[0]), get_backend(boxes)

    def fitted(x: Array, width: int) -> Array:
        if tuple(x.shape) == (n, width):
            return x
        return backend.xp.zeros((n, width), dtype=x.dtype, device=backend.device_of(x))

    others = {name: fitted(x, max(1, int(x.shape[-1]))) for name, x in predictions.items()}
    form = int(gt_bboxes.shape[-1])
    return fitted(priors, BOX_COLUMNS), {**others, "pred_bboxes": fitted(boxes, form)}


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

"""Overlaps by the names and signatures of MMDetection, of every version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast

from assigncore.adapters.containers import array_of, boxes_of
from assigncore.backend import Array, get_backend
from assigncore.boxes import calculators as core
from assigncore.boxes import calculators_3d as solid
from assigncore.boxes.formulas import (
    EPS,
    ORIENTED,
    Mode,
    drop_nonfinite,
    enclosing_boxes,
    overlaps_of_checked,
    pairwise_overlaps,
)
from assigncore.checks import raise_precision

__all__ = [
    "AxisAlignedBboxOverlaps3D",
    "BboxOverlaps2D",
    "BboxOverlaps2D_GLIP",
    "BboxOverlapsNearest3D",
    "FakeRBboxOverlaps2D",
    "RBbox2HBboxOverlaps2D",
    "RBboxOverlaps2D",
    "bbox_overlaps",
]


def bbox_overlaps(
    bboxes1: Any, bboxes2: Any, mode: str = "iou", is_aligned: bool = False, eps: float = EPS
) -> Array:
    """Compute the overlaps of boxes, each with each or row by row.

    Parameters
    ----------
    bboxes1, bboxes2 : tensor (..., M, 4) and (..., N, 4), or boxes with ``tensor``
        Boxes x1, y1, x2, y2; no dimensions at all where empty.
    mode : {"iou", "iof", "giou"}, default "iou"
        Which overlap; of ``"iof"`` the first is the foreground.
    is_aligned : bool, default False
        Row by row: M equals N.
    eps : float, default 1e-6
        Floor of the union.

    Returns
    -------
    tensor (..., M, N), or (..., N) where `is_aligned`
        Gradients pass.

    Raises
    ------
    AssertionError
        If the mode is unknown, a last dimension is none of 0 and 4, leading dimensions differ, or aligned
        boxes are not equally many.

    Examples
    --------
    >>> import torch
    >>> boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]])
    >>> bbox_overlaps(boxes, boxes)
    tensor([[1.0000, 0.5000],
            [0.5000, 1.0000]])
    """
    b1, b2 = _checked(bboxes1, bboxes2, mode, is_aligned, columns=(0, 4))
    b1, b2 = raise_precision(get_backend(b1, "bboxes1"), b1, b2)
    (b1, _), (b2, _) = drop_nonfinite(b1), drop_nonfinite(b2)
    if eps == EPS and not is_aligned:
        return pairwise_overlaps(b1, b2, cast("Mode", mode))
    return overlaps_of_checked(b1, b2, cast("Mode", mode), is_aligned=is_aligned, eps=float(eps))


def _checked(
    bboxes1: Any, bboxes2: Any, mode: str, is_aligned: bool, columns: tuple[int, ...]
) -> tuple[Array, Array]:
    """Return boxes (..., N, 4), or fail as upstream asserts."""
    if mode not in core.PUBLISHED_MODES:
        raise AssertionError(f"mode: expected one of {', '.join(core.PUBLISHED_MODES)}, got {mode!r}")
    b1, b2 = array_of(bboxes1), array_of(bboxes2)
    for name, x in (("bboxes1", b1), ("bboxes2", b2)):
        if x.shape[-1] not in columns:
            expected = " or ".join(str(n) for n in columns)
            raise AssertionError(f"{name}: expected {expected} columns, got shape {tuple(x.shape)}")
    b1, b2 = boxes_of(b1), boxes_of(b2)
    if tuple(b1.shape[:-2]) != tuple(b2.shape[:-2]):
        raise AssertionError(
            f"expected equal leading dimensions, got shapes {tuple(b1.shape)} and {tuple(b2.shape)}"
        )
    if is_aligned and b1.shape[-2] != b2.shape[-2]:
        raise AssertionError(f"aligned boxes: expected equally many, got {b1.shape[-2]} and {b2.shape[-2]}")
    return b1, b2


@dataclass(frozen=True)
class BboxOverlaps2D(core.BboxOverlaps2D):
    """The overlap calculator that configs call by this name.

    Parameters
    ----------
    scale : float, default 1.0
        Divisor of the coordinates in half precision.
    dtype : str, optional
        ``"fp16"``: every operation is rounded to half precision.

    Examples
    --------
    >>> BboxOverlaps2D()
    BboxOverlaps2D(scale=1.0, dtype=None)
    """

    def __call__(self, bboxes1: Any, bboxes2: Any, mode: str = "iou", is_aligned: bool = False) -> Array:
        """Compute the overlaps as :func:`bbox_overlaps` does; a fifth column, a score, is dropped.

        Raises
        ------
        AssertionError
            As of :func:`bbox_overlaps`, but boxes may have 5 columns.
        """
        b1, b2 = _checked(bboxes1, bboxes2, mode, is_aligned, columns=(0, 4, 5))
        return super().__call__(b1, b2, mode, is_aligned)


@dataclass(frozen=True)
class BboxOverlaps2D_GLIP(BboxOverlaps2D):  # noqa: N801
    """IoU of boxes whose last row and column of pixels belong to them, as GLIP is trained.

    Parameters
    ----------
    scale, dtype
        As of :class:`BboxOverlaps2D`, without effect.

    Notes
    -----
    Mode and alignment are without effect, as published: it is always the IoU of each with each.
    """

    @property
    def zero_when_disjoint(self) -> bool:
        """Boxes less than a pixel apart share some."""
        return False

    def __call__(self, bboxes1: Any, bboxes2: Any, mode: str = "iou", is_aligned: bool = False) -> Array:
        """Compute the IoU of each box (..., M, 4) with each (..., N, 4)."""
        b1, b2 = boxes_of(bboxes1), boxes_of(bboxes2)
        b1, b2 = raise_precision(get_backend(b1, "bboxes1"), b1, b2)
        return self.of_checked(b1, b2)

    def of_checked(self, b1: Array, b2: Array, mode: str = "iou", is_aligned: bool = False) -> Array:
        """Compute as a call does, for boxes known to be of one dtype and four columns."""
        return overlaps_of_checked(_with_last_pixel(b1), _with_last_pixel(b2), "iou")


def _with_last_pixel(boxes: Array) -> Array:
    xp = get_backend(boxes).xp
    return xp.concat([boxes[..., :2], boxes[..., 2:] + 1.0], axis=-1)


@dataclass(frozen=True)
class RBboxOverlaps2D(core.RotatedIoU):
    """The overlap of oriented boxes that MMRotate's configs call by this name.

    Parameters
    ----------
    min_side : float, default 1e-3
        Sides that are shorter count as this long, in pixels, as published.

    Examples
    --------
    >>> import torch
    >>> boxes = torch.tensor([[4.0, 4.0, 8.0, 2.0, 0.0], [4.0, 4.0, 2.0, 8.0, 1.5707964]])
    >>> RBboxOverlaps2D()(boxes, boxes).round(decimals=4)
    tensor([[1., 1.],
            [1., 1.]])
    """

    min_side: float = 1e-3

    def __call__(self, bboxes1: Any, bboxes2: Any, mode: str = "iou", is_aligned: bool = False) -> Array:
        """Compute the overlaps of boxes (..., M, 5) and (..., N, 5); a sixth column, a score, is dropped."""
        b1, b2 = boxes_of(bboxes1, ORIENTED), boxes_of(bboxes2, ORIENTED)
        return super().__call__(b1, b2, mode, is_aligned)


@dataclass(frozen=True)
class RBbox2HBboxOverlaps2D(BboxOverlaps2D):
    """The overlap of the smallest axis-aligned boxes around oriented ones, as Oriented R-CNN assigns anchors.

    Parameters
    ----------
    scale, dtype
        As of :class:`BboxOverlaps2D`.

    Notes
    -----
    Boxes of five columns are oriented, others are axis-aligned, on either side.

    Examples
    --------
    >>> import torch
    >>> box, anchor = torch.tensor([[4.0, 4.0, 8.0, 2.0, 0.0]]), torch.tensor([[0.0, 3.0, 8.0, 7.0]])
    >>> RBbox2HBboxOverlaps2D()(box, anchor)
    tensor([[0.5000]])
    """

    columns: ClassVar[None] = None  # type: ignore[assignment]

    def __call__(self, bboxes1: Any, bboxes2: Any, mode: str = "iou", is_aligned: bool = False) -> Array:
        """Compute the overlaps of boxes (..., M, 4 or 5) and (..., N, 4 or 5)."""
        b1, b2 = (enclosing_boxes(boxes_of(x, ORIENTED)) for x in (bboxes1, bboxes2))
        return super().__call__(b1, b2, mode, is_aligned)

    def of_checked(self, b1: Array, b2: Array, mode: str = "iou", is_aligned: bool = False) -> Array:
        """Compute as a call does, for boxes known to be finite and of one dtype."""
        return super().of_checked(enclosing_boxes(b1), enclosing_boxes(b2), mode, is_aligned)


class FakeRBboxOverlaps2D(RBbox2HBboxOverlaps2D):
    """The same by another name of MMRotate's, where both sides are oriented."""


@dataclass(frozen=True)
class BboxOverlapsNearest3D(solid.NearestBEVIoU):
    """The overlap from above that MMDetection3D's configs call by this name; columns beyond 7 are dropped.

    Parameters
    ----------
    coordinate : {"lidar", "depth", "camera"}, default "lidar"
        In which axes boxes are.
    """

    def __call__(self, bboxes1: Any, bboxes2: Any, mode: str = "iou", is_aligned: bool = False) -> Array:
        """Compute the overlaps of boxes (..., M, 7 or more) and (..., N, 7 or more)."""
        return super().__call__(boxes_of(bboxes1, 7), boxes_of(bboxes2, 7), mode, is_aligned)


@dataclass(frozen=True)
class AxisAlignedBboxOverlaps3D(solid.AxisAlignedIoU3D):
    """The overlap of axis-aligned volumes that MMDetection3D's configs call by this name."""

    def __call__(self, bboxes1: Any, bboxes2: Any, mode: str = "iou", is_aligned: bool = False) -> Array:
        """Compute the overlaps of boxes (..., M, 6) and (..., N, 6)."""
        return super().__call__(boxes_of(bboxes1, 6), boxes_of(bboxes2, 6), mode, is_aligned)

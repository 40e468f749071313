"""The overlaps by which YOLO detectors compare predictions with ground truths, as calculators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from assigncore.backend import Array
from assigncore.checks import (
    broadcast_lead,
    check_dtype,
    check_knob,
    check_shape,
    common_backend,
    raise_precision,
)
from assigncore.coordinates import at_least, drop_broken
from assigncore.overlap_formulas import overlaps_of_checked
from assigncore.registry import OVERLAP_CALCULATORS, Configured

__all__ = ["PositiveCIoU", "SmoothedIoU"]


class _OneMode(Configured):
    """A calculator of one kind of overlap, whatever it is called by: checks, then `of_checked`."""

    zero_when_disjoint = True
    columns: ClassVar[int] = 4

    def __call__(self, b1: Array, b2: Array, mode: str = "iou", is_aligned: bool = False) -> Array:
        """Compute the overlaps of two sets of boxes.

        Parameters
        ----------
        b1, b2 : array (..., M, 4) and (..., N, 4)
            Boxes in pixels. With `is_aligned`, M equals N.
        mode : {"iou"}, default "iou"
            There is no other.
        is_aligned : bool, default False
            Pair row with row in place of each with each.

        Returns
        -------
        array (..., M, N), or (..., N) where `is_aligned`
            The overlaps. A box with a NaN or infinite coordinate counts as an empty one.

        Raises
        ------
        ValueError
            If the mode is another or the shapes do not fit.
        TypeError
            If the boxes are not real floating numbers or not of one library.
        """
        backend = common_backend({"b1": b1, "b2": b2})
        for name, x in (("b1", b1), ("b2", b2)):
            check_shape(name, x, "(..., N, 4)", None, 4)
            check_dtype(name, x, backend, "real floating")
        if is_aligned:
            check_shape("b2", b2, f"(..., {b1.shape[-2]}, 4)", b1.shape[-2], 4)
        broadcast_lead({"b1": (b1, 2), "b2": (b2, 2)})
        b1, b2 = raise_precision(backend, b1, b2)
        (b1, _), (b2, _) = drop_broken(b1), drop_broken(b2)
        return self.of_checked(b1, b2, mode, is_aligned)

    def of_checked(self, b1: Array, b2: Array, mode: str = "iou", is_aligned: bool = False) -> Array:
        """Compute as a call does, for boxes known to be finite, of one dtype and four columns."""
        if mode != "iou":
            raise ValueError(f"mode: {type(self).__name__} knows 'iou' alone, got {mode!r}")
        return self._overlaps(b1, b2, is_aligned)

    def _overlaps(self, b1: Array, b2: Array, is_aligned: bool) -> Array:
        raise NotImplementedError


@OVERLAP_CALCULATORS.register
@dataclass(frozen=True)
class SmoothedIoU(_OneMode):
    """Intersection over union with a small number added to the union, as YOLOv6 compares predictions.

    Parameters
    ----------
    eps : float, default 1e-9
        What is added to the union, in square pixels. A negative area counts as 0.

    Raises
    ------
    TypeError, ValueError
        If `eps` is no finite number, or not positive.

    Notes
    -----
    Empty boxes overlap nothing. The only mode is ``"iou"``; how to call it says `__call__`.

    References
    ----------
    Li et al., "YOLOv6: A Single-Stage Object Detection Framework for Industrial Applications", 2022.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]])
    >>> SmoothedIoU(eps=16.0)(boxes, boxes).round(3)
    array([[0.5  , 0.25 ],
           [0.25 , 0.333]])
    """

    eps: float = 1e-9

    def _check_knobs(self) -> None:
        check_knob("eps", self.eps)
        if self.eps <= 0:
            raise ValueError(f"eps: expected a positive number, got {self.eps!r}")

    def _overlaps(self, b1: Array, b2: Array, is_aligned: bool) -> Array:
        return overlaps_of_checked(b1, b2, "iou", is_aligned=is_aligned, eps=float(self.eps), eps_added=True)


@OVERLAP_CALCULATORS.register
@dataclass(frozen=True)
class PositiveCIoU(_OneMode):
    """Complete IoU, and 0 where its penalties exceed it, as YOLOv8 compares predictions.

    It has no knobs; how to call it says `__call__`.

    Notes
    -----
    The numbers are those of :func:`assigncore.boxes.pairwise_ciou`, and 0 in place of negative ones; so
    boxes that share no area, empty ones too, have 0. The only mode is ``"iou"``.

    References
    ----------
    Zheng et al., "Distance-IoU Loss", 2020.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0], [4.0, 4.0, 8.0, 8.0]])
    >>> PositiveCIoU()(boxes[:1], boxes).round(3)
    array([[1.   , 0.466, 0.   ]])
    """

    def _overlaps(self, b1: Array, b2: Array, is_aligned: bool) -> Array:
        return at_least(overlaps_of_checked(b1, b2, "ciou", is_aligned=is_aligned), 0.0)

"""Overlap calculators: how much two boxes have in common, as an assigner's knob."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from assigncore.backend import Array, get_backend
from assigncore.boxes.formulas import BoxOverlap, Mode, drop_broken, exact_overlaps, overlaps_of_checked
from assigncore.checks import (
    broadcast_lead,
    check_dtype,
    check_knob,
    check_shape,
    common_backend,
    raise_precision,
)
from assigncore.numerics import at_least, divided
from assigncore.registry import OVERLAP_CALCULATORS, Configured

__all__ = [
    "BboxOverlaps2D",
    "OverlapCalculator",
    "PositiveCIoU",
    "SmoothedIoU",
    "box_columns",
    "measure_of",
    "round_to_half",
    "zero_when_disjoint",
]

PUBLISHED_MODES: tuple[Mode, ...] = ("iou", "iof", "giou")

HALF_EPS = 17 * 2.0**-24
"""1e-6 in half precision."""

HALF_MAX = 65504.0
HALF_DIGITS = 11
HALF_EXPONENTS = range(-14, 16)


@runtime_checkable
class OverlapCalculator(Protocol):
    """What an assigner asks of an overlap calculator.

    Any callable of this form will do. One that has a true attribute ``zero_when_disjoint`` promises overlaps
    that are never negative, and 0 for boxes that share no area; pairs that cannot touch are then skipped.
    Where an assigner compares boxes by their overlap alone, a calculator gets every column the caller
    passes, such as the five of oriented boxes, unless it has an attribute ``columns``, the one number of
    columns it takes.
    """

    def __call__(self, b1: Array, b2: Array, mode: str = "iou") -> Array:
        """Return the overlaps (..., M, N) of boxes (..., M, 4) with boxes (..., N, 4)."""


@OVERLAP_CALCULATORS.register
@dataclass(frozen=True)
class BboxOverlaps2D(Configured):
    """Overlaps of axis-aligned boxes, as published detectors compute them.

    Parameters
    ----------
    scale : float, default 1.0
        Divisor of the coordinates in half precision, to keep areas within its range. No effect otherwise.
    dtype : str, optional
        ``"fp16"``: every operation is rounded to half precision. Anything else: the inputs' own, at least
        float32.

    Notes
    -----
    The union, or the foreground's area, has a floor of 1e-6 square pixels: empty boxes overlap nothing.
    In half precision an area above 65504 ``scale**2`` is infinite, and its overlap is 0 or NaN, as
    published; a half-precision result is returned in the computing dtype.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]])
    >>> BboxOverlaps2D()(boxes, boxes, mode="iof")
    array([[1. , 0.5],
           [1. , 1. ]])
    """

    scale: float = 1.0
    dtype: str | None = None
    columns: ClassVar[int] = 4

    def _check_knobs(self) -> None:
        check_knob("scale", self.scale)
        if self.scale <= 0:
            raise ValueError(f"scale: expected a positive number, got {self.scale!r}")

    @property
    def zero_when_disjoint(self) -> bool:
        """Whether pairs that share no area are 0 by the formula; in half precision they may be NaN."""
        return self.dtype != "fp16"

    def __call__(self, b1: Array, b2: Array, mode: str = "iou", is_aligned: bool = False) -> Array:
        """Compute the overlaps of two sets of boxes.

        Parameters
        ----------
        b1, b2 : array (..., M, 4) and (..., N, 4)
            Boxes in pixels; a fifth column, a score, is dropped. With `is_aligned`, M equals N.
        mode : {"iou", "iof", "giou"}, default "iou"
            For ``"iof"``, `b1` is the foreground.
        is_aligned : bool, default False
            Pair row with row in place of each with each.

        Returns
        -------
        array (..., M, N), or (..., N) where `is_aligned`
            The overlaps. A box with a NaN or infinite coordinate counts as an empty one.

        Raises
        ------
        ValueError
            If the mode is unknown or the shapes do not fit.
        TypeError
            If the boxes are not real floating numbers or not of one library.
        """
        backend = common_backend({"b1": b1, "b2": b2})
        for name, x in (("b1", b1), ("b2", b2)):
            if x.ndim < 2 or x.shape[-1] not in (4, 5):
                raise ValueError(f"{name}: expected shape (..., N, 4) or (..., N, 5), got {tuple(x.shape)}")
            check_dtype(name, x, backend, "real floating")
        if is_aligned:
            check_shape("b2", b2, f"(..., {b1.shape[-2]}, 4)", b1.shape[-2], None)
        broadcast_lead({"b1": (b1, 2), "b2": (b2, 2)})
        b1, b2 = raise_precision(backend, b1[..., :4], b2[..., :4])
        (b1, _), (b2, _) = drop_broken(b1), drop_broken(b2)
        return self.of_checked(b1, b2, mode, is_aligned)

    def of_checked(self, b1: Array, b2: Array, mode: str = "iou", is_aligned: bool = False) -> Array:
        """Compute as a call does, for boxes known to be finite, of one dtype and four columns."""
        if mode not in PUBLISHED_MODES:
            raise ValueError(f"mode: expected one of {', '.join(PUBLISHED_MODES)}, got {mode!r}")
        if self.dtype != "fp16":
            return exact_overlaps(b1, b2, mode, is_aligned=is_aligned)
        b1, b2 = (round_to_half(divided(b, self.scale)) for b in (b1, b2))
        return overlaps_of_checked(b1, b2, mode, is_aligned=is_aligned, eps=HALF_EPS, rounded=round_to_half)


def round_to_half(x: Array) -> Array:
    """Round to the nearest half-precision value, ties to even, keeping the dtype of `x`.

    Libraries and compilers differ in where they round half-precision intermediates, and some have no half
    precision at all. Adding and subtracting a power of two that is 2**11 times the value's own unit rounds
    it the same way everywhere. One operation in float32 or wider, then this, is one operation in half.

    Parameters
    ----------
    x : array of float32 or float64
        Any shape.

    Returns
    -------
    array
        Same shape and dtype; infinite beyond 65504.

    Examples
    --------
    >>> import numpy as np
    >>> round_to_half(np.asarray([0.1, 65519.0, 65520.0], dtype=np.float32)).tolist()
    [0.0999755859375, 65504.0, inf]
    """
    backend = get_backend(x)
    xp = backend.xp
    device = backend.device_of(x)
    # Made on the device: copying a table to it would wait for it.
    steps = xp.arange(len(HALF_EXPONENTS), device=device)
    twos = xp.full(len(HALF_EXPONENTS), 2.0, dtype=x.dtype, device=device)
    powers = xp.cumulative_prod(xp.where(steps == 0, 2.0 ** HALF_EXPONENTS[0], twos))
    digits_of_dtype = 53 if x.dtype == xp.float64 else 24
    shift = 1.5 * 2.0 ** (digits_of_dtype - HALF_DIGITS)
    flat = xp.reshape(x, (-1,))
    exponent = xp.searchsorted(powers, xp.abs(flat), side="right")
    at = xp.where(exponent > 0, exponent - 1, 0)
    magic = xp.take(powers * shift, at, axis=0)
    rounded = (flat + magic) - magic
    beyond = xp.abs(rounded) > HALF_MAX
    infinite = xp.copysign(xp.full_like(flat, float("inf")), flat)
    return xp.reshape(xp.where(beyond, infinite, rounded), x.shape)


def measure_of(calculator: Any, mode: Mode, *, of_prior: bool = False) -> Callable[[Array, Array], Array]:
    """Return the function of ground truths and priors that computes one mode of a calculator, without checks.

    With `of_prior`, the foreground of mode ``"iof"`` is the prior, else the ground truth. What the function
    returns is (..., G, N) either way.
    """
    # A subclass may name its arguments otherwise, but computes the same where it leaves this method alone.
    is_exact = getattr(type(calculator), "of_checked", None) is BboxOverlaps2D.of_checked
    if is_exact and calculator.dtype != "fp16":
        return BoxOverlap(mode, of_prior)
    compute = getattr(calculator, "of_checked", calculator)
    if not of_prior:
        return lambda gt_bboxes, priors: compute(gt_bboxes, priors, mode=mode)
    return lambda gt_bboxes, priors: get_backend(priors, "priors").xp.matrix_transpose(
        compute(priors, gt_bboxes, mode=mode)
    )


def box_columns(calculator: Any) -> tuple[int | str, int | str]:
    """Return how many columns priors and ground truths have: what a calculator takes, or a name for any."""
    columns = getattr(calculator, "columns", None)
    return ("D", "D of ground truths") if columns is None else (columns, columns)


def zero_when_disjoint(calculator: Any) -> bool:
    """Whether a calculator promises 0 for boxes that share no area, and never less."""
    return bool(getattr(calculator, "zero_when_disjoint", False))


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

"""Overlap calculators: how much two boxes have in common, as an assigner's knob."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol, runtime_checkable

from assigncore.backend import Array, get_backend
from assigncore.boxes.formulas import (
    ORIENTED,
    BoxOverlap,
    Mode,
    drop_nonfinite,
    exact_overlaps,
    overlaps_of_checked,
)
from assigncore.boxes.gaussians import GaussianSimilarity, NormalizedWasserstein, ReceptiveField
from assigncore.boxes.oriented import (
    RotatedOverlap,
    gaussian_kl,
    gaussian_wasserstein,
    gaussians_of,
    of_pairs,
    probiou,
    rotated_overlaps,
    similarity,
)
from assigncore.checks import (
    broadcast_lead,
    check_choice,
    check_dtype,
    check_knob,
    check_positive,
    check_shape,
    common_backend,
    raise_precision,
)
from assigncore.numerics import at_least, divided
from assigncore.registry import OVERLAP_CALCULATORS, Configured

__all__ = [
    "GWD",
    "KLD",
    "NWD",
    "RFD",
    "BboxOverlaps2D",
    "CheckedCalculator",
    "OverlapCalculator",
    "PositiveCIoU",
    "ProbIoU",
    "RotatedIoU",
    "SmoothedIoU",
    "box_columns",
    "columns_in_plane",
    "columns_of_boxes",
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
        check_positive("scale", self.scale)

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
        (b1, _), (b2, _) = drop_nonfinite(b1), drop_nonfinite(b2)
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

    Raises
    ------
    ValueError
        If the calculator says that it does not know the mode.
    """
    known = getattr(calculator, "modes", (mode,))
    if mode not in known:
        told, kind = " and ".join(map(repr, known)), type(calculator).__name__
        raise ValueError(
            f"iou_calculator: expected one that knows the mode {mode!r}, got {kind}, which knows {told}"
        )
    # A subclass may name its arguments otherwise, but computes the same where it leaves this method alone.
    own = getattr(type(calculator), "of_checked", None)
    if own is BboxOverlaps2D.of_checked and calculator.dtype != "fp16":
        return BoxOverlap(mode, of_prior)
    if own is RotatedIoU.of_checked and mode in ("iou", "iof"):
        return RotatedOverlap(mode, of_prior, float(calculator.min_side))
    if own is _OfGaussians.of_checked and not of_prior:
        measure: GaussianSimilarity = calculator.measure
        return measure
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


def columns_of_boxes(calculator: Any) -> int:
    """Return how many columns the boxes of a calculator have: 4 if not said."""
    return int(getattr(calculator, "columns", None) or 4)


def columns_in_plane(calculator: Any) -> int:
    """Return how many columns boxes have whose centres, sides or insides an assigner reads too.

    Raises
    ------
    ValueError
        If they are no boxes in the plane, so that nothing is known of their centres.
    """
    found = columns_of_boxes(calculator)
    if found not in (4, ORIENTED):
        kind = type(calculator).__name__
        raise ValueError(
            "iou_calculator: expected one of boxes in the plane, of 4 or 5 columns, since their centres or "
            f"sides are read too, got {kind} of boxes of {found} columns"
        )
    return found


def zero_when_disjoint(calculator: Any) -> bool:
    """Whether a calculator promises 0 for boxes that share no area, and never less."""
    return bool(getattr(calculator, "zero_when_disjoint", False))


class CheckedCalculator(Configured):
    """A calculator that checks its boxes, then computes: of one kind of overlap, unless it has more modes."""

    zero_when_disjoint: ClassVar[bool] = True
    columns: ClassVar[int] = 4
    modes: ClassVar[tuple[str, ...]] = ("iou",)

    def __call__(self, b1: Array, b2: Array, mode: str = "iou", is_aligned: bool = False) -> Array:
        """Compute the overlaps of two sets of boxes.

        Parameters
        ----------
        b1, b2 : array (..., M, D) and (..., N, D)
            Boxes in pixels, of as many columns D as the calculator takes: `columns`. With `is_aligned`, M
            equals N.
        mode : str, default "iou"
            One of `modes`; of ``"iof"``, `b1` is the foreground.
        is_aligned : bool, default False
            Pair row with row in place of each with each.

        Returns
        -------
        array (..., M, N), or (..., N) where `is_aligned`
            The overlaps. A box with a NaN or infinite coordinate overlaps nothing.

        Raises
        ------
        ValueError
            If the mode is another or the shapes do not fit.
        TypeError
            If the boxes are not real floating numbers or not of one library.
        """
        backend = common_backend({"b1": b1, "b2": b2})
        for name, x in (("b1", b1), ("b2", b2)):
            check_shape(name, x, f"(..., N, {self.columns})", None, self.columns)
            check_dtype(name, x, backend, "real floating")
        if is_aligned:
            expected = f"(..., {b1.shape[-2]}, {self.columns})"
            check_shape("b2", b2, expected, b1.shape[-2], self.columns)
        broadcast_lead({"b1": (b1, 2), "b2": (b2, 2)})
        b1, b2 = raise_precision(backend, b1, b2)
        (b1, finite1), (b2, finite2) = drop_nonfinite(b1), drop_nonfinite(b2)
        overlaps = self.of_checked(b1, b2, mode, is_aligned)
        if self.zero_when_disjoint:
            return overlaps
        finite = finite1 & finite2 if is_aligned else finite1[..., :, None] & finite2[..., None, :]
        return backend.keep(finite, overlaps, 0.0)

    def of_checked(self, b1: Array, b2: Array, mode: str = "iou", is_aligned: bool = False) -> Array:
        """Compute as a call does, for boxes known to be finite, of one dtype and the right columns."""
        if mode not in self.modes:
            known = " and ".join(map(repr, self.modes))
            raise ValueError(f"mode: {type(self).__name__} knows {known} alone, got {mode!r}")
        return self._overlaps(b1, b2, mode, is_aligned)

    def _overlaps(self, b1: Array, b2: Array, mode: str, is_aligned: bool) -> Array:
        formula = self._formula(mode)
        return formula(b1, b2) if is_aligned else of_pairs(formula, b1, b2)

    def _formula(self, mode: str) -> Callable[[Array, Array], Array]:
        """Return the formula of a mode: of boxes that broadcast, (..., D) and (..., D), to (...)."""
        raise NotImplementedError


@OVERLAP_CALCULATORS.register
@dataclass(frozen=True)
class SmoothedIoU(CheckedCalculator):
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
        check_positive("eps", self.eps)

    def _overlaps(self, b1: Array, b2: Array, mode: str, is_aligned: bool) -> Array:
        return overlaps_of_checked(b1, b2, "iou", is_aligned=is_aligned, eps=float(self.eps), eps_added=True)


@OVERLAP_CALCULATORS.register
@dataclass(frozen=True)
class PositiveCIoU(CheckedCalculator):
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

    def _overlaps(self, b1: Array, b2: Array, mode: str, is_aligned: bool) -> Array:
        return at_least(overlaps_of_checked(b1, b2, "ciou", is_aligned=is_aligned), 0.0)


@OVERLAP_CALCULATORS.register
@dataclass(frozen=True)
class RotatedIoU(CheckedCalculator):
    """Exact overlaps of oriented boxes, intersection over union or over foreground.

    Boxes are cx, cy, w, h and the angle in radians: see :mod:`assigncore.boxes`. How to call it says
    `__call__`.

    Parameters
    ----------
    min_side : float, default 0.0
        Sides that are shorter count as this long, in pixels; mmrotate's calculator sets 1e-3.

    Raises
    ------
    TypeError, ValueError
        If `min_side` is no finite number, or negative.

    Notes
    -----
    The modes are ``"iou"`` and ``"iof"``. The intersection is computed by Green's theorem, in which nothing
    depends on whether sides coincide: within 1e-14 of the exact value in float64 and 1e-6 in float32, for
    equal and nearly equal boxes too. A box without area overlaps nothing; a negative side counts as 0.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[4.0, 4.0, 8.0, 2.0, 0.0], [4.0, 4.0, 8.0, 2.0, np.pi / 2]])
    >>> RotatedIoU()(boxes, boxes).round(4)
    array([[1.    , 0.1429],
           [0.1429, 1.    ]])
    """

    min_side: float = 0.0
    columns: ClassVar[int] = ORIENTED
    modes: ClassVar[tuple[str, ...]] = ("iou", "iof")

    def _check_knobs(self) -> None:
        check_knob("min_side", self.min_side, at_least=0)

    @property
    def zero_when_disjoint(self) -> bool:  # type: ignore[override]
        """Whether a box without area overlaps nothing: it is how rows that do not count are left out."""
        return self.min_side == 0

    def of_checked(self, b1: Array, b2: Array, mode: str = "iou", is_aligned: bool = False) -> Array:
        """Compute as a call does, for boxes known to be finite, of one dtype and the right columns."""
        if is_aligned or mode not in self.modes:
            return super().of_checked(b1, b2, mode, is_aligned)
        return RotatedOverlap(mode, min_side=float(self.min_side))(b1, b2)  # type: ignore[arg-type]

    def _formula(self, mode: str) -> Callable[[Array, Array], Array]:
        return partial(rotated_overlaps, mode=mode, min_side=float(self.min_side))  # type: ignore[arg-type]


@OVERLAP_CALCULATORS.register
@dataclass(frozen=True)
class ProbIoU(CheckedCalculator):
    """Probabilistic IoU of oriented boxes, as YOLOv8-OBB and its successors compare predictions.

    One minus the Hellinger distance of the normal distributions that have the boxes' centres, axes and
    variances: a twelfth of each side's square. Boxes are cx, cy, w, h and the angle in radians: see
    :mod:`assigncore.boxes`. How to call it says `__call__`.

    Parameters
    ----------
    eps : float, default 1e-7
        Added to divisors and beneath roots, and the least distance, as published.

    Raises
    ------
    TypeError, ValueError
        If `eps` is no finite number, or not positive.

    Notes
    -----
    Equal boxes have 0.9995, not 1, and all squares of one size and centre are equal. A box without area is
    a narrower distribution, no empty one, so it may overlap others, as published. The only mode is ``"iou"``.

    References
    ----------
    Llerena et al., "Gaussian Bounding Boxes and Probabilistic Intersection-over-Union for Object Detection",
    2021.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[4.0, 4.0, 8.0, 2.0, 0.0], [4.0, 4.0, 8.0, 2.0, np.pi / 2]])
    >>> ProbIoU()(boxes, boxes).round(4)
    array([[0.9996, 0.2724],
           [0.2724, 0.9996]])
    """

    eps: float = 1e-7
    columns: ClassVar[int] = ORIENTED
    zero_when_disjoint: ClassVar[bool] = False

    def _check_knobs(self) -> None:
        check_positive("eps", self.eps)

    def _formula(self, mode: str) -> Callable[[Array, Array], Array]:
        return partial(probiou, eps=float(self.eps))


class _Gaussian(CheckedCalculator):
    """A similarity of the distributions of oriented boxes whose standard deviations are half the sides."""

    tau: float
    function: str
    columns: ClassVar[int] = ORIENTED
    zero_when_disjoint: ClassVar[bool] = False

    def _check_knobs(self) -> None:
        check_knob("tau", self.tau, at_least=1)
        check_choice("function", self.function, ("log1p", "sqrt"))

    def _formula(self, mode: str) -> Callable[[Array, Array], Array]:
        def similar(b1: Array, b2: Array) -> Array:
            distance = self._distance(b1, b2)
            return similarity(distance, float(self.tau), self.function)

        return similar

    def _distance(self, b1: Array, b2: Array) -> Array:
        raise NotImplementedError


@OVERLAP_CALCULATORS.register
@dataclass(frozen=True)
class GWD(_Gaussian):
    """Similarity of oriented boxes by the Gaussian Wasserstein distance: ``1 / (tau + f(d**2))``.

    Boxes are cx, cy, w, h and the angle in radians: see :mod:`assigncore.boxes`. How to call it says
    `__call__`.

    Parameters
    ----------
    tau : float, default 1.0
        At least 1; equal boxes have the similarity 1 / tau.
    function : {"log1p", "sqrt"}, default "log1p"
        By which squared distances are bent: f.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    Notes
    -----
    One minus this is the loss of the paper. The distance is in pixels, so the similarity depends on the
    scale. The only mode is ``"iou"``.

    References
    ----------
    Yang et al., "Rethinking Rotated Object Detection with Gaussian Wasserstein Distance Loss", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[4.0, 4.0, 8.0, 2.0, 0.0], [4.0, 7.0, 8.0, 2.0, 0.0]])
    >>> GWD()(boxes[:1], boxes).round(4)
    array([[1.    , 0.3028]])
    """

    tau: float = 1.0
    function: str = "log1p"

    def _distance(self, b1: Array, b2: Array) -> Array:
        return gaussian_wasserstein(gaussians_of(b1, 0.25), gaussians_of(b2, 0.25))


KLD_EPS = 1e-7
"""Floor of the determinants that are divided by, in pixels to the power of four."""


@OVERLAP_CALCULATORS.register
@dataclass(frozen=True)
class KLD(_Gaussian):
    """Similarity of oriented boxes by the Kullback-Leibler divergence: ``1 / (tau + f(D))``.

    The divergence is that of the distribution of `b1` from that of `b2`, which is not symmetric, but is the
    same at any scale. Boxes are cx, cy, w, h and the angle in radians: see :mod:`assigncore.boxes`. How to
    call it says `__call__`.

    Parameters
    ----------
    tau : float, default 1.0
        At least 1; equal boxes have the similarity 1 / tau.
    function : {"log1p", "sqrt"}, default "log1p"
        By which divergences are bent: f.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    Notes
    -----
    One minus this is the loss of the paper. The only mode is ``"iou"``.

    References
    ----------
    Yang et al., "Learning High-Precision Bounding Box for Rotated Object Detection via Kullback-Leibler
    Divergence", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[4.0, 4.0, 8.0, 2.0, 0.0], [8.0, 8.0, 16.0, 4.0, 0.0]])
    >>> KLD()(boxes[:1], boxes[:1] + np.array([1.0, 0, 0, 0, 0])).round(4)
    array([[0.9701]])
    >>> bool(np.isclose(KLD()(boxes[:1], boxes[1:]), KLD()(10 * boxes[:1], 10 * boxes[1:])).all())
    True
    """

    tau: float = 1.0
    function: str = "log1p"

    def _distance(self, b1: Array, b2: Array) -> Array:
        return gaussian_kl(gaussians_of(b1, 0.25), gaussians_of(b2, 0.25), KLD_EPS)


class _OfGaussians(CheckedCalculator):
    """A similarity of axis-aligned boxes as normal distributions, which a backend may know."""

    zero_when_disjoint: ClassVar[bool] = False

    @property
    def measure(self) -> GaussianSimilarity:
        raise NotImplementedError

    def of_checked(self, b1: Array, b2: Array, mode: str = "iou", is_aligned: bool = False) -> Array:
        """Compute as a call does, for boxes known to be finite, of one dtype and the right columns."""
        if is_aligned or mode not in self.modes:
            return super().of_checked(b1, b2, mode, is_aligned)
        return self.measure(b1, b2)

    def _formula(self, mode: str) -> Callable[[Array, Array], Array]:
        return self.measure.of_rows


@OVERLAP_CALCULATORS.register
@dataclass(frozen=True)
class NWD(_OfGaussians):
    """Normalised Gaussian Wasserstein distance of axis-aligned boxes, for small objects.

    Boxes are x1, y1, x2, y2. One that moves by a pixel loses as much wherever it is: unlike the IoU, which is
    0 from some distance on and for a small box drops at once. How to call it says `__call__`.

    Parameters
    ----------
    constant : float, default 12.7
        The distance in pixels at which the value is 1/e, about the mean size of the data set's objects; 12.7
        is that of AI-TOD.

    Raises
    ------
    TypeError, ValueError
        If `constant` is no finite number, or not positive.

    Notes
    -----
    The value is ``exp(-d / constant)``, d the root of the centres' squared distance plus a quarter of the
    squared differences of the sides. Boxes without area have one too. The only mode is ``"iou"``.

    References
    ----------
    Xu et al., "Detecting Tiny Objects in Aerial Images: A Normalized Wasserstein Distance and A New
    Benchmark", 2022.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 4.0, 4.0], [3.0, 4.0, 7.0, 8.0]])
    >>> NWD(constant=10.0)(boxes[:1], boxes).round(4)
    array([[1.    , 0.6065]])
    """

    constant: float = 12.7

    def _check_knobs(self) -> None:
        check_positive("constant", self.constant)

    @property
    def measure(self) -> GaussianSimilarity:
        """The formula."""
        return NormalizedWasserstein(float(self.constant))


@OVERLAP_CALCULATORS.register
@dataclass(frozen=True)
class RFD(_OfGaussians):
    """Receptive-field distance of axis-aligned boxes, for small objects: ``1 / (1 + D)``.

    D is the Kullback-Leibler divergence of the normal distribution that stands for a prior's receptive field
    from that of an object. Boxes are x1, y1, x2, y2, the second ones' centred squares as wide as the field;
    both have half their sides for standard deviations. How to call it says `__call__`.

    Parameters
    ----------
    decay : float, default 1.0
        The receptive fields' sides are so many times as long: the effective field is smaller than the
        theoretical.

    Raises
    ------
    TypeError, ValueError
        If `decay` is no finite number, or not positive.

    Notes
    -----
    A prior that is far from an object, or of another size, has little, but never nothing. A side counts as
    1e-6 pixels at least. The only mode is ``"iou"``.

    References
    ----------
    Xu et al., "RFLA: Gaussian Receptive Field based Label Assignment for Tiny Object Detection", 2022.

    Examples
    --------
    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 8.0, 8.0], [4.0, 0.0, 12.0, 8.0], [0.0, 0.0, 16.0, 16.0]])
    >>> RFD()(boxes[:1], boxes).round(4)
    array([[1.    , 0.6667, 0.2767]])
    """

    decay: float = 1.0

    def _check_knobs(self) -> None:
        check_positive("decay", self.decay)

    @property
    def measure(self) -> GaussianSimilarity:
        """The formula."""
        return ReceptiveField(float(self.decay))

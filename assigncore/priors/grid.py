"""What every grid of priors shares: strides, feature map sizes, order, and the cells an image reaches."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import array_api_compat.numpy as default_namespace

from assigncore.backend import Array, get_backend
from assigncore.checks import (
    LARGEST,
    check_featmap_sizes,
    check_image_shape,
    check_knob,
    check_levels,
    check_switches,
    plain_knobs,
    shortened,
)

__all__ = []

Size: TypeAlias = tuple[int, int]

MAX_STRIDE = 2**31 - 1
"""Pixels; no image is so large."""


@dataclass(frozen=True, eq=False)
class PriorGrid:
    """The priors of all feature levels, finest level first.

    Attributes
    ----------
    priors : array, shape (N, 4) or (N, 3)
        Anchors as x1 y1 x2 y2, or points as x y stride or x y stride_x stride_y, all in pixels.
    num_level_priors : tuple of int
        Number of priors of each level; sums to N.
    strides : tuple of (int, int)
        Stride of each level in pixels, (x, y).
    featmap_sizes : tuple of (int, int)
        Rows and columns of each level's feature map.

    Notes
    -----
    A level whose feature map has no cell has no priors; a grid of no cells at all has ``priors`` (0, 4) or
    (0, 3). Two grids are never equal by ``==``: compare their arrays.

    Examples
    --------
    >>> from assigncore.priors import PointGenerator
    >>> grid = PointGenerator(strides=(8, 16)).grid([(1, 2), (1, 1)])
    >>> grid.priors.tolist()
    [[4.0, 4.0, 8.0], [12.0, 4.0, 8.0], [8.0, 8.0, 16.0]]
    >>> grid.num_level_priors, grid.level_index().tolist()
    ((2, 1), [0, 0, 1])
    """

    priors: Array
    num_level_priors: tuple[int, ...]
    strides: tuple[Size, ...]
    featmap_sizes: tuple[Size, ...]

    def __repr__(self) -> str:
        """Say how many there are on each level, not where each is."""
        priors, levels = self.priors, zip(self.strides, self.num_level_priors, strict=True)
        each = ", ".join(f"{n:,} at stride {x if x == y else f'{x}x{y}'}" for (x, y), n in levels)
        return f"PriorGrid({tuple(priors.shape)} {priors.dtype}: {each})"

    def level_index(self) -> Array:
        """Give the level of every prior, shape (N,), in the priors' namespace and on their device."""
        backend = get_backend(self.priors, "priors")
        return level_index(self.num_level_priors, xp=backend.xp, device=backend.device_of(self.priors))


@dataclass(frozen=True)
class PriorGenerator(ABC):
    """Lay priors over feature levels; what they are is a subclass's choice.

    Priors come level by level, in each level row by row (y, then x), in each cell in the order of the base
    priors. A further kind of prior needs `num_base_priors` and one method that lays out one level.

    Parameters
    ----------
    strides : sequence of int or (int, int)
        Pixels between neighbouring cells of each level; a pair is (x, y).
    """

    strides: Sequence[int | Size]

    def __post_init__(self) -> None:
        """Refuse knobs that describe no grid."""
        plain_knobs(self)
        check_switches(self)
        check_sequence("strides", self.strides)
        pairs = [s if isinstance(s, tuple | list) else (s, s) for s in self.strides]
        if any(len(p) != 2 or not all(type(s) is int and 0 < s <= MAX_STRIDE for s in p) for p in pairs):
            raise ValueError(
                f"strides: expected one positive int or pair of them for each level, got {self.strides!r}"
            )

    @property
    def stride_pairs(self) -> tuple[Size, ...]:
        """Strides of each level as (x, y)."""
        return tuple((s, s) if isinstance(s, int) else (s[0], s[1]) for s in self.strides)

    @property
    @abstractmethod
    def num_base_priors(self) -> tuple[int, ...]:
        """Number of priors in one cell, of each level."""

    @abstractmethod
    def _level(self, level: int, size: Size, xp: Any, dtype: Any, device: Any) -> Array:
        """Lay out one level of a feature map of size (rows, columns), priors of one cell together."""

    def featmap_sizes(self, image_shape: tuple[float, float]) -> tuple[Size, ...]:
        """Size (rows, columns) of every level's feature map for a padded image.

        Parameters
        ----------
        image_shape : (int, int)
            Height and width of the padded image in pixels.

        Returns
        -------
        tuple of (int, int)
            Height and width divided by the stride, rounded up.

        Raises
        ------
        TypeError, ValueError
            If `image_shape` is no pair of finite numbers of at least 0.

        Examples
        --------
        >>> from assigncore.priors import PointGenerator
        >>> PointGenerator(strides=(8, 16)).featmap_sizes((100, 64))
        ((13, 8), (7, 4))
        """
        height, width = check_image_shape(image_shape)
        return tuple((int(-(-height // y)), int(-(-width // x))) for x, y in self.stride_pairs)

    def num_level_priors(self, featmap_sizes: Sequence[Size]) -> tuple[int, ...]:
        """Count the priors of every level.

        Parameters
        ----------
        featmap_sizes : sequence of (int, int)
            Rows and columns of each level's feature map.

        Returns
        -------
        tuple of int

        Raises
        ------
        ValueError
            If there is not one size of two non-negative ints for each stride.
        """
        featmap_sizes = check_featmap_sizes(featmap_sizes, len(self.strides))
        return tuple(h * w * n for (h, w), n in zip(featmap_sizes, self.num_base_priors, strict=True))

    def grid(
        self,
        featmap_sizes: Sequence[Size],
        *,
        xp: Any = default_namespace,
        dtype: Any = None,
        device: Any = None,
    ) -> PriorGrid:
        """Lay the priors over every cell of every level.

        Parameters
        ----------
        featmap_sizes : sequence of (int, int)
            Rows and columns of each level's feature map. A size of 0 gives that level no priors.
        xp : array namespace
            Library that makes the arrays. Default NumPy.
        dtype : dtype
            Floating dtype of the priors, default ``xp.float32``. Coordinates are computed in float32 or
            better and rounded to it last.
        device : device
            Where the arrays live, default the library's default.

        Returns
        -------
        PriorGrid

        Raises
        ------
        ValueError
            If there is not one size of two non-negative ints for each stride.
        TypeError
            If ``dtype`` is not a real floating dtype.

        Examples
        --------
        >>> from assigncore.priors import AnchorGenerator
        >>> grid = AnchorGenerator(strides=(16,), ratios=(1.0,), scales=(2.0,)).grid([(1, 2)])
        >>> grid.priors.tolist()
        [[-16.0, -16.0, 16.0, 16.0], [0.0, -16.0, 32.0, 16.0]]
        """
        xp = compat(xp)
        dtype = xp.float32 if dtype is None else dtype
        if not xp.isdtype(dtype, "real floating"):
            raise TypeError(f"dtype: expected a real floating dtype, got {dtype!r}")
        counts = self.num_level_priors(featmap_sizes)
        computing = dtype if dtype == xp.float64 else xp.float32
        levels = [self._level(i, size, xp, computing, device) for i, size in enumerate(featmap_sizes)]
        sizes = tuple((h, w) for h, w in featmap_sizes)
        return PriorGrid(
            xp.astype(xp.concat(levels, axis=0), dtype, copy=False), counts, self.stride_pairs, sizes
        )

    def for_image(
        self,
        image_shape: Size,
        *,
        size_divisor: int = 1,
        xp: Any = default_namespace,
        dtype: Any = None,
        device: Any = None,
    ) -> PriorGrid:
        """Lay the priors over the feature maps that an image of some size has.

        Parameters
        ----------
        image_shape : (int, int)
            Height and width of the image in pixels.
        size_divisor : int, default 1
            The image is padded to multiples of this first, as detectors do, most by 32.
        xp, dtype, device
            As in `grid`.

        Returns
        -------
        PriorGrid

        Raises
        ------
        TypeError, ValueError
            If `image_shape` is no pair of finite numbers of at least 0, or `size_divisor` no integer of at
            least 1.

        Examples
        --------
        >>> from assigncore.priors import PointGenerator
        >>> PointGenerator(strides=(8, 16)).for_image((60, 100), size_divisor=32)
        PriorGrid((160, 3) float32: 128 at stride 8, 32 at stride 16)
        """
        check_knob("size_divisor", size_divisor, at_least=1, integer=True)
        height, width = (-(-side // size_divisor) * size_divisor for side in check_image_shape(image_shape))
        return self.grid(self.featmap_sizes((height, width)), xp=xp, dtype=dtype, device=device)

    def valid_flags(
        self,
        featmap_sizes: Sequence[Size],
        image_shape: Size,
        *,
        xp: Any = default_namespace,
        device: Any = None,
    ) -> Array:
        """Tell which priors sit in a cell that an image reaches, when its batch is padded to a larger size.

        Parameters
        ----------
        featmap_sizes : sequence of (int, int)
            Rows and columns of each level's feature map, of the whole batch.
        image_shape : (int, int)
            Height and width in pixels of this image.
        xp, device
            As in `grid`.

        Returns
        -------
        array of bool, shape (N,)
            True where the cell lies inside the image's own feature map.

        Examples
        --------
        >>> from assigncore.priors import PointGenerator
        >>> PointGenerator(strides=(8,)).valid_flags([(2, 2)], (9, 8)).tolist()
        [True, False, True, False]
        """
        xp = compat(xp)
        featmap_sizes = check_featmap_sizes(featmap_sizes, len(self.strides))
        levels = []
        own = self.featmap_sizes(image_shape)
        for (h, w), (rows, columns), n in zip(featmap_sizes, own, self.num_base_priors, strict=True):
            inside_y = xp.arange(h, device=device)[:, None, None] < rows
            inside_x = xp.arange(w, device=device)[None, :, None] < columns
            levels.append(xp.reshape(xp.broadcast_to(inside_y & inside_x, (h, w, n)), (-1,)))
        return xp.concat(levels, axis=0)


def level_index(num_level_priors: Sequence[int], *, xp: Any = default_namespace, device: Any = None) -> Array:
    """Give the level of every prior.

    Parameters
    ----------
    num_level_priors : sequence of int
        Number of priors of each level.
    xp, device
        Library and device of the result. Default NumPy.

    Returns
    -------
    array of int, shape (sum of num_level_priors,)

    Raises
    ------
    TypeError, ValueError
        If there is no level, or the numbers are no integers of at least 0.

    Examples
    --------
    >>> level_index((3, 1)).tolist()
    [0, 0, 0, 1]
    """
    levels = check_levels(num_level_priors)
    if not levels:
        raise ValueError("num_level_priors: expected at least one level, got none")
    xp = compat(xp)
    integers = xp.asarray(0, device=device).dtype
    numbers = [(level.stop - level.start, i) for i, level in enumerate(levels)]
    return xp.concat([xp.full((n,), i, dtype=integers, device=device) for n, i in numbers], axis=0)


def compat(xp: Any) -> Any:
    """Wrap a library given by its bare module, so that it has the standard's names."""
    return get_backend(xp.empty(0), "xp").xp


def check_sequence(name: str, value: Any) -> None:
    """Check that a knob is a non-empty tuple or list."""
    if not isinstance(value, tuple | list):
        raise TypeError(f"{name}: expected a tuple or list, got {value!r}")
    if not value:
        raise ValueError(f"{name}: expected at least one entry, got {value!r}")


def check_number(name: str, value: Any, *, above: float = -math.inf) -> None:
    """Check that a knob is a finite number above a limit."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    if not (above < value and abs(value) <= LARGEST):
        limit = "" if above == -math.inf else f" above {above:g}"
        raise ValueError(f"{name}: expected a finite number{limit}, got {shortened(value)}")


def cells(size: Size, strides: Size, offset: float, xp: Any, dtype: Any, device: Any) -> tuple[Array, Array]:
    """Give x and y of every cell, row by row, a fraction of the stride from its top left corner."""
    x = (xp.arange(size[1], dtype=dtype, device=device) + offset) * strides[0]
    y = (xp.arange(size[0], dtype=dtype, device=device) + offset) * strides[1]
    grid_y, grid_x = xp.meshgrid(y, x, indexing="ij")
    return xp.reshape(grid_x, (-1,)), xp.reshape(grid_y, (-1,))

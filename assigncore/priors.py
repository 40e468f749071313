"""Priors: grids of anchors and points over the levels of a feature pyramid.

A generator is a frozen set of knobs; what it lays out depends on the feature map sizes alone, so the shapes
are known before any array exists and the grids may be built inside a compiled function. The few irrational
numbers (square roots of ratios, fractional octaves) are computed once in double precision and rounded once,
so every array library gets the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assigncore.backend import Array, get_backend
from assigncore.prior_grid import (
    PriorGenerator,
    PriorGrid,
    Size,
    check_number,
    check_sequence,
    level_index,
)

__all__ = ["AnchorGenerator", "PointGenerator", "PriorGenerator", "PriorGrid", "inside_image", "level_index"]


@dataclass(frozen=True)
class AnchorGenerator(PriorGenerator):
    """Anchor boxes of given scales and aspect ratios, centred in or at the corner of every cell.

    An anchor of scale s and ratio r (height over width) on a level of base size b is ``b * s / sqrt(r)``
    wide and ``b * s * sqrt(r)`` high. In one cell the anchors come ratio by ratio, each with all its scales.

    Parameters
    ----------
    strides : sequence of int or (int, int)
        Pixels between neighbouring cells of each level; a pair is (x, y).
    ratios : sequence of float
        Height over width.
    scales : sequence of float, optional
        Anchor sizes as multiples of the base size. Give either these or the two octave knobs.
    octave_base_scale : float, optional
        Smallest scale; with ``scales_per_octave`` n the scales are
        ``octave_base_scale * 2 ** (i / n)`` for i = 0 .. n - 1.
    scales_per_octave : int, optional
        Number of scales in an octave.
    base_sizes : sequence of float, optional
        Base size of each level in pixels. Default: the smaller stride of the level.
    center_offset : float
        Centre of a cell's anchors as a fraction of the stride. Default 0: on the cell's top left corner.

    Raises
    ------
    TypeError, ValueError
        If a knob is missing, given twice, of a wrong type, not positive, or has not one entry a level where
        it must.

    References
    ----------
    Ren et al., "Faster R-CNN" (2015); Lin et al., "Feature Pyramid Networks for Object Detection" (2017);
    Lin et al., "Focal Loss for Dense Object Detection" (2017) for octaves.

    Examples
    --------
    >>> retinanet = AnchorGenerator(
    ...     strides=(8, 16, 32, 64, 128), ratios=(0.5, 1.0, 2.0), octave_base_scale=4.0, scales_per_octave=3
    ... )
    >>> retinanet.num_base_priors
    (9, 9, 9, 9, 9)
    >>> retinanet.grid(retinanet.featmap_sizes((800, 1344))).priors.shape
    (201600, 4)
    """

    ratios: Sequence[float]
    scales: Sequence[float] | None = None
    octave_base_scale: float | None = None
    scales_per_octave: int | None = None
    base_sizes: Sequence[float] | None = None
    center_offset: float = 0.0

    def __post_init__(self) -> None:
        """Refuse knobs that describe no grid."""
        super().__post_init__()
        octaves = (self.octave_base_scale, self.scales_per_octave)
        if self.scales is None and None in octaves:
            raise ValueError("scales: give scales, or both octave_base_scale and scales_per_octave")
        if self.scales is not None and octaves != (None, None):
            raise ValueError("scales: give scales, or octave_base_scale and scales_per_octave; got both")
        for name in ("ratios", "scales", "base_sizes"):
            values = getattr(self, name)
            if values is not None or name == "ratios":
                check_sequence(name, values)
                for value in values:
                    check_number(name, value, above=0)
        if self.base_sizes is not None and len(self.base_sizes) != len(self.strides):
            raise ValueError(
                f"base_sizes: expected {len(self.strides)}, one for each stride, got {self.base_sizes!r}"
            )
        if self.scales is None:
            check_number("octave_base_scale", self.octave_base_scale, above=0)
            if type(self.scales_per_octave) is not int or self.scales_per_octave < 1:
                raise ValueError(
                    f"scales_per_octave: expected an int above 0, got {self.scales_per_octave!r}"
                )
        check_number("center_offset", self.center_offset)

    @property
    def all_scales(self) -> tuple[float, ...]:
        """Scales, spelled out where octaves were given."""
        if self.octave_base_scale is None or self.scales_per_octave is None:
            return tuple(float(s) for s in self.scales or ())
        n = self.scales_per_octave
        return tuple(self.octave_base_scale * 2.0 ** (i / n) for i in range(n))

    @property
    def num_base_priors(self) -> tuple[int, ...]:
        """Number of anchors in one cell, of each level."""
        return (len(self.ratios) * len(self.all_scales),) * len(self.strides)

    def base_anchors(self, level: int) -> tuple[tuple[float, float, float, float], ...]:
        """Give the anchors of a level's first cell as x1 y1 x2 y2.

        Examples
        --------
        >>> AnchorGenerator(strides=(16,), ratios=(0.25, 1.0), scales=(1.0,)).base_anchors(0)
        ((-16.0, -4.0, 16.0, 4.0), (-8.0, -8.0, 8.0, 8.0))
        """
        stride_x, stride_y = self.stride_pairs[level]
        base = min(stride_x, stride_y) if self.base_sizes is None else self.base_sizes[level]
        x, y = self.center_offset * stride_x, self.center_offset * stride_y
        anchors = []
        for ratio in self.ratios:
            for scale in self.all_scales:
                half_w, half_h = base * scale / math.sqrt(ratio) / 2, base * scale * math.sqrt(ratio) / 2
                anchors.append((x - half_w, y - half_h, x + half_w, y + half_h))
        return tuple(anchors)

    def _level(self, level: int, size: Size, xp: Any, dtype: Any, device: Any) -> Array:
        base = xp.asarray(self.base_anchors(level), dtype=dtype, device=device)
        x, y = _cells(size, self.stride_pairs[level], 0.0, xp, dtype, device)
        shifts = xp.stack([x, y, x, y], axis=-1)
        return xp.reshape(shifts[:, None, :] + base[None, :, :], (-1, 4))


@dataclass(frozen=True)
class PointGenerator(PriorGenerator):
    """One point in every cell, as anchor-free detectors use.

    Parameters
    ----------
    strides : sequence of int or (int, int)
        Pixels between neighbouring cells of each level; a pair is (x, y).
    offset : float
        Position in the cell as a fraction of the stride. Default 0.5: the cell's centre.
    stride_xy : bool
        Give points as x y stride_x stride_y instead of x y stride. Default False.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type, a stride is not positive, or a pair differs without ``stride_xy``.

    References
    ----------
    Tian et al., "FCOS" (2019); Yang et al., "RepPoints" (2019).

    Examples
    --------
    >>> PointGenerator(strides=(8,)).grid([(1, 2)]).priors.tolist()
    [[4.0, 4.0, 8.0], [12.0, 4.0, 8.0]]
    """

    offset: float = 0.5
    stride_xy: bool = False

    def __post_init__(self) -> None:
        """Refuse knobs that describe no grid."""
        super().__post_init__()
        check_number("offset", self.offset)
        if not self.stride_xy and any(x != y for x, y in self.stride_pairs):
            raise ValueError(f"strides: pairs that differ need stride_xy=True, got {self.strides!r}")

    @property
    def num_base_priors(self) -> tuple[int, ...]:
        """One point in a cell, on every level."""
        return (1,) * len(self.strides)

    def _level(self, level: int, size: Size, xp: Any, dtype: Any, device: Any) -> Array:
        strides = self.stride_pairs[level]
        x, y = _cells(size, strides, self.offset, xp, dtype, device)
        columns = strides if self.stride_xy else strides[:1]
        return xp.stack([x, y, *(xp.full_like(x, float(s)) for s in columns)], axis=-1)


def inside_image(anchors: Array, image_shape: Any, *, allowed_border: float = 0.0) -> Array:
    """Tell which anchors lie inside the image, give or take a border.

    Parameters
    ----------
    anchors : array, shape (..., N, 4)
        Boxes x1 y1 x2 y2 in pixels.
    image_shape : (float, float) or array, shape (..., 2)
        Height and width of the image without padding; an array gives one for each image of a batch.
    allowed_border : float
        Pixels that an anchor may reach over the image's edge. Default 0. A negative value (by convention -1)
        asks for no test: every anchor passes.

    Returns
    -------
    array of bool, shape (..., N)
        ``x1, y1 >= -border``, ``x2 < width + border`` and ``y2 < height + border``.

    Raises
    ------
    ValueError
        If the shapes are others.

    References
    ----------
    Ren et al., "Faster R-CNN" (2015), section 3.3: anchors that cross the border take no part in training.

    Examples
    --------
    >>> import numpy as np
    >>> inside_image(np.asarray([[0.0, 0.0, 7.0, 7.0], [4.0, 4.0, 12.0, 7.0]]), (8, 10)).tolist()
    [True, False]
    """
    backend = get_backend(anchors, "anchors")
    xp = backend.xp
    shape = xp.asarray(image_shape, dtype=anchors.dtype, device=backend.device_of(anchors))
    if anchors.shape[-1:] != (4,) or shape.shape[-1:] != (2,):
        raise ValueError(
            f"anchors, image_shape: expected shapes (..., N, 4) and (..., 2), "
            f"got {tuple(anchors.shape)} and {tuple(shape.shape)}"
        )
    height, width = shape[..., 0, None] + allowed_border, shape[..., 1, None] + allowed_border
    inside = (anchors[..., 0] >= -allowed_border) & (anchors[..., 1] >= -allowed_border)
    inside = inside & (anchors[..., 2] < width) & (anchors[..., 3] < height)
    return inside if allowed_border >= 0 else xp.ones_like(inside)


def _cells(size: Size, strides: Size, offset: float, xp: Any, dtype: Any, device: Any) -> tuple[Array, Array]:
    """Give x and y of every cell, row by row, a fraction of the stride from its top left corner."""
    x = (xp.arange(size[1], dtype=dtype, device=device) + offset) * strides[0]
    y = (xp.arange(size[0], dtype=dtype, device=device) + offset) * strides[1]
    grid_y, grid_x = xp.meshgrid(y, x, indexing="ij")
    return xp.reshape(grid_x, (-1,)), xp.reshape(grid_y, (-1,))

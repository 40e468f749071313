"""Anchors: boxes of fixed shapes in every cell of every feature level."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from assigncore.backend import Array
from assigncore.checks import check_knob
from assigncore.priors.grid import PriorGenerator, Size, cells, check_number, check_sequence

__all__ = ["AnchorGenerator", "BoxGenerator", "SSDAnchorGenerator"]

MAX_SCALES = 1000
"""In an octave; neighbours are a part in a thousand apart then."""

Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class BoxGenerator(PriorGenerator):
    """Lay boxes, the same ones in every cell of a level; which ones is a subclass's choice.

    Parameters
    ----------
    strides : sequence of int or (int, int)
        Pixels between neighbouring cells of each level; a pair is (x, y).
    """

    @abstractmethod
    def base_anchors(self, level: int) -> tuple[Box, ...]:
        """Give the anchors of a level's first cell as x1 y1 x2 y2."""

    @property
    def num_base_priors(self) -> tuple[int, ...]:
        """Number of anchors in one cell, of each level."""
        return tuple(len(self.base_anchors(level)) for level in range(len(self.strides)))

    def _level(self, level: int, size: Size, xp: Any, dtype: Any, device: Any) -> Array:
        base = xp.asarray(self.base_anchors(level), dtype=dtype, device=device)
        x, y = cells(size, self.stride_pairs[level], 0.0, xp, dtype, device)
        # Not by broadcasting: sums of four numbers each are several times as slow.
        shifts = xp.repeat(xp.stack([x, y, x, y], axis=-1), int(base.shape[0]), axis=0)
        return shifts + xp.tile(base, (int(x.shape[0]), 1))


@dataclass(frozen=True)
class AnchorGenerator(BoxGenerator):
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
            check_knob(
                "scales_per_octave", self.scales_per_octave, at_least=1, at_most=MAX_SCALES, integer=True
            )
        check_number("center_offset", self.center_offset)

    @property
    def all_scales(self) -> tuple[float, ...]:
        """Scales, spelled out where octaves were given."""
        if self.octave_base_scale is None or self.scales_per_octave is None:
            return tuple(float(s) for s in self.scales or ())
        n = self.scales_per_octave
        return tuple(self.octave_base_scale * 2.0 ** (i / n) for i in range(n))

    def base_anchors(self, level: int) -> tuple[Box, ...]:
        """Give the anchors of a level's first cell as x1 y1 x2 y2.

        Examples
        --------
        >>> AnchorGenerator(strides=(16,), ratios=(0.25, 1.0), scales=(1.0,)).base_anchors(0)
        ((-16.0, -4.0, 16.0, 4.0), (-8.0, -8.0, 8.0, 8.0))
        """
        stride_x, stride_y = self.stride_pairs[level]
        base = min(stride_x, stride_y) if self.base_sizes is None else self.base_sizes[level]
        x, y = self.center_offset * stride_x, self.center_offset * stride_y
        shapes = [(base * scale, ratio) for ratio in self.ratios for scale in self.all_scales]
        return tuple(_box_about(x, y, side, ratio) for side, ratio in shapes)


@dataclass(frozen=True)
class SSDAnchorGenerator(BoxGenerator):
    """Default boxes of SSD: their sizes are given in pixels, level by level, for images of one size.

    In one cell come a square of the level's smaller size, a square whose side is the geometric mean of both
    sizes, and of each ratio r a box r times as wide as high and one r times as high as wide, of the smaller
    square's area. All are centred in the cell.

    Parameters
    ----------
    strides : sequence of int or (int, int)
        Pixels between neighbouring cells of each level; a pair is (x, y).
    min_sizes : sequence of float
        Smaller size of each level in pixels.
    max_sizes : sequence of float
        Larger size of each level in pixels.
    ratios : sequence of sequence of float
        Aspect ratios of each level beside 1, each of which stands for its inverse too.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type, not positive, or has not one entry a level.

    References
    ----------
    Liu et al., "SSD: Single Shot MultiBox Detector" (2016).

    Examples
    --------
    >>> ssd = SSDAnchorGenerator(
    ...     strides=(8, 16, 32, 64, 100, 300),
    ...     min_sizes=(30, 60, 111, 162, 213, 264),
    ...     max_sizes=(60, 111, 162, 213, 264, 315),
    ...     ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    ... )
    >>> ssd.featmap_sizes((300, 300))
    ((38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1))
    >>> sum(ssd.num_level_priors(ssd.featmap_sizes((300, 300))))
    8732
    """

    min_sizes: Sequence[float]
    max_sizes: Sequence[float]
    ratios: Sequence[Sequence[float]]

    def __post_init__(self) -> None:
        """Refuse knobs that describe no grid."""
        super().__post_init__()
        for name in ("min_sizes", "max_sizes", "ratios"):
            values = getattr(self, name)
            check_sequence(name, values)
            if len(values) != len(self.strides):
                raise ValueError(f"{name}: expected {len(self.strides)}, one for each stride, got {values!r}")
            for value in values:
                if name != "ratios":
                    check_number(name, value, above=0)
                elif not isinstance(value, tuple | list):
                    raise TypeError(f"ratios: expected a tuple or list for each level, got {value!r}")
                else:
                    for ratio in value:
                        check_number(name, ratio, above=0)

    def base_anchors(self, level: int) -> tuple[Box, ...]:
        """Give the anchors of a level's first cell as x1 y1 x2 y2.

        Examples
        --------
        >>> SSDAnchorGenerator((8,), min_sizes=(4,), max_sizes=(16,), ratios=((4,),)).base_anchors(0)
        ((2.0, 2.0, 6.0, 6.0), (0.0, 0.0, 8.0, 8.0), (0.0, 3.0, 8.0, 5.0), (3.0, 0.0, 5.0, 8.0))
        """
        x, y = (stride / 2 for stride in self.stride_pairs[level])
        small, large = self.min_sizes[level], self.max_sizes[level]
        shapes = [(small, 1.0), (math.sqrt(small * large), 1.0)]
        for ratio in self.ratios[level]:
            shapes += [(small, 1 / ratio), (small, ratio)]
        return tuple(_box_about(x, y, side, ratio) for side, ratio in shapes)


def _box_about(x: float, y: float, side: float, ratio: float) -> Box:
    """Give the box about a point that is `ratio` times as high as wide and has a square's area."""
    half_w, half_h = side / math.sqrt(ratio) / 2, side * math.sqrt(ratio) / 2
    return (x - half_w, y - half_h, x + half_w, y + half_h)

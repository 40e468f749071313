"""The feature maps of the levels: what is given of them, and boxes measured in their cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assigncore.backend import Array, get_backend
from assigncore.box_formulas import box_area
from assigncore.checks import check_knob
from assigncore.coordinates import at_least, rounded_product
from assigncore.scene import Scene

__all__ = [
    "Grid",
    "central_cells",
    "check_grids",
    "check_positive",
    "level_of_size",
    "made_on_device",
    "size_of_image",
]


@dataclass(frozen=True)
class Grid:
    """The cells of a level: their stride in pixels, and how many there are."""

    stride: float
    height: int
    width: int


def check_grids(count: int, sizes: Sequence[Sequence[int]], strides: Sequence[float]) -> list[Grid]:
    """Check what is given of `count` levels: feature map sizes (height, width), and strides.

    Raises
    ------
    TypeError
        If one is no sequence, or a number of a wrong kind is in it.
    ValueError
        If one has not an entry a level, a size is no pair or negative, or a stride is not positive.
    """
    for name, given in (("featmap_sizes", sizes), ("anchor_strides", strides)):
        if not isinstance(given, (tuple, list)):
            raise TypeError(f"{name}: expected a sequence with an entry a level, got {type(given).__name__}")
        if len(given) != count or count == 0:
            raise ValueError(
                f"{name}: expected an entry for each of the {count} levels of num_level_priors, got {given!r}"
            )
    for stride in strides:
        check_positive("anchor_strides", stride)
    for size in sizes:
        if not isinstance(size, (tuple, list)) or len(size) != 2:
            raise ValueError(f"featmap_sizes: expected (height, width) of each level, got {size!r}")
        for length in size:
            check_knob("featmap_sizes", length, at_least=0, integer=True)
    return [Grid(float(stride), *size) for stride, size in zip(strides, sizes, strict=True)]


def check_positive(name: str, value: Any) -> None:
    """Check that an argument is a finite number above 0.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is not finite, or not above 0.
    """
    check_knob(name, value)
    if value <= 0:
        raise ValueError(f"{name}: expected a positive number, got {value!r}")


def size_of_image(scene: Scene, image_shape: Sequence[float]) -> Array:
    """Return height and width in pixels as an array (2,).

    Raises
    ------
    TypeError
        If one is no number.
    ValueError
        If they are not two, or one is negative or not finite.
    """
    if len(image_shape) != 2:
        raise ValueError(f"image_shape: expected (height, width), got {image_shape!r}")
    for length in image_shape:
        check_knob("image_shape", length, at_least=0)
    return made_on_device(scene, image_shape)


def made_on_device(scene: Scene, values: Sequence[float], repeats: Sequence[int] | None = None) -> Array:
    """Return numbers, each repeated as often as said, as an array; copying them there would wait for it."""
    xp, device = scene.xp, scene.backend.device_of(scene.priors)
    counts = [1] * len(values) if repeats is None else repeats
    parts = [
        xp.full((count,), value, dtype=scene.priors.dtype, device=device)
        for value, count in zip(values, counts, strict=True)
    ]
    return xp.concat(parts, axis=0)


def level_of_size(scene: Scene, side: float, count: int) -> Array:
    """Return the level of each ground truth, (B, G): the one whose square of `side` * 2**level it is nearest.

    By comparison of areas, which are exact where logarithms differ from library to library.
    """
    xp, area = scene.xp, box_area(scene.gt_bboxes)
    level = xp.zeros_like(area, dtype=scene.backend.integer_dtype(area))
    for index in range(1, count):
        level = xp.where(area >= side**2 * 2.0 ** (2 * index - 1), index, level)
    return level


def central_cells(cells: Array, ratio: float, limits: Array) -> Array:
    """Return the central `ratio` of boxes (B, L, G, 4) in whole cells, within the `limits` (L, 1, 2)."""
    xp, edge = get_backend(cells).xp, (1 - ratio) / 2
    near, far = cells[..., :2], cells[..., 2:4]
    sides = [
        xp.round(rounded_product(a, 1 - edge) + rounded_product(b, edge))
        for a, b in ((near, far), (far, near))
    ]
    return xp.concat([xp.minimum(at_least(side, 0.0), limits) for side in sides], axis=-1)

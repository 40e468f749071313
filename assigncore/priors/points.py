"""Points in the cells of a grid, and which priors lie inside the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from assigncore.backend import Array, get_backend
from assigncore.boxes.formulas import within_image
from assigncore.boxes.geometry import checked_arrays
from assigncore.checks import check_image_shape, check_knob, common_backend
from assigncore.priors.grid import PriorGenerator, Size, cells, check_number

__all__ = ["PointGenerator", "inside_image"]


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
        x, y = cells(size, strides, self.offset, xp, dtype, device)
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
    TypeError
        If `anchors` is no array of real floating numbers, `image_shape` neither a pair of numbers nor an
        array of numbers and the same library, or the border no number.
    ValueError
        If a shape does not fit, the leading dimensions do not broadcast, devices differ, or the border or a
        side of the pair is not finite.

    References
    ----------
    Ren et al., "Faster R-CNN" (2015), section 3.3: anchors that cross the border take no part in training.

    Examples
    --------
    >>> import numpy as np
    >>> inside_image(np.asarray([[0.0, 0.0, 7.0, 7.0], [4.0, 4.0, 12.0, 7.0]]), (8, 10)).tolist()
    [True, False]
    """
    check_knob("allowed_border", allowed_border)
    if isinstance(image_shape, tuple | list):
        (anchors,) = checked_arrays(anchors=(anchors, ("N", 4)))
        height, width = check_image_shape(image_shape)
    else:
        backend = common_backend({"anchors": anchors, "image_shape": image_shape})
        if backend.is_dtype(image_shape.dtype, "integral"):
            image_shape = backend.xp.astype(image_shape, backend.xp.float32)
        anchors, shape = checked_arrays(anchors=(anchors, ("N", 4)), image_shape=(image_shape, (2,)))
        height, width = shape[..., 0, None], shape[..., 1, None]
    inside = within_image(anchors, height, width, allowed_border)
    return inside if allowed_border >= 0 else get_backend(anchors).xp.ones_like(inside)

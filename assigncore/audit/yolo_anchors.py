"""The anchors of a YOLO: widths and heights of their own on each level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assigncore.backend import Array
from assigncore.priors import BoxGenerator
from assigncore.priors.grid import Size, check_number, check_sequence


@dataclass(frozen=True)
class YOLOAnchorGenerator(BoxGenerator):
    """Anchors of given widths and heights, centred in every cell, a map of cells for each anchor.

    On a level the priors come as its feature map (anchor, row, column) holds them.

    Parameters
    ----------
    strides : sequence of int
        Pixels between neighbouring cells of each level.
    base_sizes : sequence of sequence of (float, float)
        Widths and heights in pixels of the anchors of each level, equally many on all.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type, or not positive, or levels differ in their number of anchors.

    References
    ----------
    Redmon and Farhadi, "YOLOv3: An Incremental Improvement" (2018).

    Examples
    --------
    >>> YOLOAnchorGenerator((8,), base_sizes=(((4, 6), (2, 2)),)).grid([(1, 2)]).priors.tolist()[1:3]
    [[10.0, 1.0, 14.0, 7.0], [3.0, 3.0, 5.0, 5.0]]
    """

    base_sizes: Sequence[Sequence[tuple[float, float]]]

    def __post_init__(self) -> None:
        """Refuse knobs that describe no grid."""
        super().__post_init__()
        check_sequence("base_sizes", self.base_sizes)
        for shapes in self.base_sizes:
            check_sequence("base_sizes", shapes)
            for shape in shapes:
                check_sequence("base_sizes", shape)
                for side in shape:
                    check_number("base_sizes", side, above=0)
        counts = {len(shapes) for shapes in self.base_sizes}
        pairs = all(len(shape) == 2 for shapes in self.base_sizes for shape in shapes)
        if len(self.base_sizes) != len(self.strides) or len(counts) != 1 or not pairs:
            raise ValueError(
                f"base_sizes: expected equally many widths and heights for each of {len(self.strides)} "
                f"strides, got {self.base_sizes!r}"
            )

    def base_anchors(self, level: int) -> tuple[tuple[float, float, float, float], ...]:
        """Give the anchors of a level's first cell as x1 y1 x2 y2."""
        x, y = (stride / 2 for stride in self.stride_pairs[level])
        return tuple((x - w / 2, y - h / 2, x + w / 2, y + h / 2) for w, h in self.base_sizes[level])

    def _level(self, level: int, size: Size, xp: Any, dtype: Any, device: Any) -> Array:
        by_cell = xp.reshape(
            super()._level(level, size, xp, dtype, device),
            (size[0] * size[1], len(self.base_sizes[level]), 4),
        )
        return xp.reshape(xp.permute_dims(by_cell, (1, 0, 2)), (-1, 4))

"""Boxes as masks, for assigners that compare masks: annotations and predictions hold none here."""

from __future__ import annotations

from typing import Any

import numpy as np

GRID = 112
"""Cells each way: 12,544, as many as the points at which Mask2Former compares masks."""

HOW = (
    f"masks are missing, so objects and predictions are compared by their boxes, drawn as masks of "
    f"{GRID} x {GRID} cells over the image, each cell as full as the box covers it"
)


def box_masks(boxes: Any, image_shapes: Any, cells: int = GRID) -> Any:
    """Draw boxes as masks on a grid over each image.

    Parameters
    ----------
    boxes : NumPy array, shape (B, n, 4)
        x1 y1 x2 y2 in pixels.
    image_shapes : NumPy array, shape (B, 2)
        Height and width.
    cells : int
        Rows and columns of the grid.

    Returns
    -------
    NumPy array, shape (B, n, cells, cells), float32
        The share of each cell that the box covers, from 0 to 1.

    Examples
    --------
    >>> box_masks(np.asarray([[[0, 0, 3, 4]]]), np.asarray([[4, 4]]), cells=2)[0, 0].tolist()
    [[1.0, 0.5], [1.0, 0.5]]
    """
    height, width = (np.asarray(image_shapes, dtype=np.float64)[:, i, None] for i in (0, 1))
    across = _shares(boxes[..., 0] / width * cells, boxes[..., 2] / width * cells, cells)
    down = _shares(boxes[..., 1] / height * cells, boxes[..., 3] / height * cells, cells)
    return down[..., :, None] * across[..., None, :]


def _shares(low: Any, high: Any, cells: int) -> Any:
    """Give the share of each unit cell between `low` and `high`, shape (B, n, cells)."""
    start = np.arange(cells)
    shares = np.minimum(high[..., None], start + 1) - np.maximum(low[..., None], start)
    return np.clip(shares, 0, 1).astype(np.float32)

"""Inputs that look like training: a detector's priors over one image size, and boxes of many sizes on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from assigncore.priors import AnchorGenerator, PriorGrid

__all__ = ["IMAGE", "NUM_CLASSES", "STRIDES", "draw_boxes", "jitter", "retinanet_anchors", "square_anchors"]

Floats = np.ndarray[Any, np.dtype[np.float32]]

IMAGE = (800, 1333)
"""Height and width in pixels of an image as detectors train on it."""

NUM_CLASSES = 80

STRIDES = (8, 16, 32, 64, 128)
"""Pixels between neighbouring cells of each of the levels that detectors without P2 use."""

SMALLEST_SIDE, LARGEST_SIDE = 16.0, 512.0


def retinanet_anchors(image: tuple[int, int]) -> PriorGrid:
    """Lay RetinaNet's nine anchors a cell over five levels, (N, 4): N = 200,700 at 800 x 1333."""
    anchors = AnchorGenerator(
        strides=STRIDES, ratios=(0.5, 1.0, 2.0), octave_base_scale=4.0, scales_per_octave=3
    )
    return anchors.grid(anchors.featmap_sizes(image))


def square_anchors(
    image: tuple[int, int],
    *,
    scale: float = 1.0,
    scales: Sequence[float] | None = None,
    strides: Sequence[int] = STRIDES,
) -> PriorGrid:
    """Lay squares of `scale` strides, or one of each of `scales`, in every cell.

    One a cell of the five levels of `STRIDES` are 22,300 at 800 x 1333.
    """
    anchors = AnchorGenerator(strides=strides, ratios=(1.0,), scales=scales or (scale,))
    return anchors.grid(anchors.featmap_sizes(image))


def jitter(rng: np.random.Generator, boxes: Floats, amount: float) -> Floats:
    """Move the sides of boxes (..., 4), one by one, by up to a fraction of the box's own."""
    sides = boxes[..., 2:] - boxes[..., :2]
    moves = rng.uniform(-amount, amount, boxes.shape) * np.concatenate([sides, sides], axis=-1)
    return (boxes + moves).astype(np.float32)


def draw_boxes(
    rng: np.random.Generator, image: tuple[int, int], images: int, boxes: int
) -> tuple[Floats, np.ndarray[Any, Any]]:
    """Draw ground truths (B, G, 4) and their classes (B, G).

    Widths and heights are log-uniform from 16 to 512 pixels, one by one, and centres uniform over the image,
    as a mix of COCO's small, medium and large objects; what sticks out of the image is cut off.
    """
    height, width = image
    sides = np.exp(rng.uniform(np.log(SMALLEST_SIDE), np.log(LARGEST_SIDE), (images, boxes, 2)))
    centres = rng.uniform(0.0, 1.0, (images, boxes, 2)) * (width, height)
    corners = np.concatenate([centres - sides / 2, centres + sides / 2], axis=-1)
    drawn = np.clip(corners, 0.0, (width, height, width, height)).astype(np.float32)
    return drawn, rng.integers(0, NUM_CLASSES, (images, boxes))

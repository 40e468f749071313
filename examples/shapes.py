"""Pictures of boxes, discs and crosses on a noisy ground, drawn anew for every batch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SIZE = 64
"""Height and width of a picture in pixels."""

CLASSES = ("box", "disc", "cross")

MOST_OBJECTS = 4


class Batch(NamedTuple):
    """Pictures and their objects, padded to `MOST_OBJECTS`.

    Attributes
    ----------
    images : array (B, 3, SIZE, SIZE) of float32
    gt_bboxes : array (B, MOST_OBJECTS, 4) of float32
        x1, y1, x2, y2 in pixels.
    gt_labels : array (B, MOST_OBJECTS) of int64
    gt_valid : array (B, MOST_OBJECTS) of bool
        False where a row is padding.
    ids : array (B,) of int64
        Numbers of the pictures.
    """

    images: Any
    gt_bboxes: Any
    gt_labels: Any
    gt_valid: Any
    ids: Any


def draw(rng: np.random.Generator, count: int, first: int = 0) -> Batch:
    """Draw a batch of pictures with one to `MOST_OBJECTS` objects each, and number them from `first` on."""
    shape = (count, MOST_OBJECTS)
    images = rng.normal(0, 0.1, (count, 3, SIZE, SIZE)).astype(np.float32)
    side = rng.uniform(10, 36, (*shape, 2))
    corner = rng.uniform(0, SIZE - side)
    boxes = np.concatenate([corner, corner + side], axis=-1).round().astype(np.float32)
    labels = rng.integers(0, len(CLASSES), shape)
    valid = np.arange(MOST_OBJECTS) < rng.integers(1, MOST_OBJECTS + 1, (count, 1))
    for image, obj in np.argwhere(valid):
        color = rng.uniform(0.4, 1.0, (3, 1)).astype(np.float32)
        images[image][:, _mask(boxes[image, obj], CLASSES[labels[image, obj]])] = color
    return Batch(images, boxes, labels, valid, first + np.arange(count))


def _mask(box: NDArray[np.float32], kind: str) -> NDArray[np.bool_]:
    """Tell which pixels an object covers, (SIZE, SIZE)."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    x1, y1, x2, y2 = box
    across, down = (x - (x1 + x2) / 2) / (x2 - x1) * 2, (y - (y1 + y2) / 2) / (y2 - y1) * 2
    inside = (np.abs(across) < 1) & (np.abs(down) < 1)
    if kind == "disc":
        inside &= across**2 + down**2 < 1
    if kind == "cross":
        inside &= np.minimum(np.abs(across), np.abs(down)) < 1 / 3
    return inside

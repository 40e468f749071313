"""Images as a detector sees them in training: resized, padded, and put into batches of one size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assigncore.audit.errors import AuditError
from assigncore.boxes import corners_to_xywhr, xywhr_to_corners, xyxy_to_xywhr
from assigncore.datasets import Annotations, Dataset, Image

# Rows are padded to multiples of this, so that a library which compiles for each new shape meets few of them.
ROW_MULTIPLE = 16
SIZE_DIVISOR = 32
LONGEST_EDGE = 100_000


@dataclass(frozen=True)
class ImageScale:
    """How images are resized and padded.

    Parameters
    ----------
    long_edge, short_edge : int or None
        The image grows or shrinks, its aspect ratio kept, as far as both limits allow. None: it keeps its
        size.
    size_divisor : int
        Height and width are padded to multiples of this. Default 32.

    References
    ----------
    Lin et al., "Feature Pyramid Networks for Object Detection" (2017): short edge 800 pixels; with the long
    edge at most 1333 this became the usual training size.
    """

    long_edge: int | None = 1333
    short_edge: int | None = 800
    size_divisor: int = SIZE_DIVISOR

    def frame(self, image: Image) -> Frame:
        """Resize and pad one image."""
        factor = 1.0
        if self.long_edge is not None and self.short_edge is not None:
            long_edge, short_edge = max(image.width, image.height), min(image.width, image.height)
            factor = min(self.long_edge / long_edge, self.short_edge / short_edge)
        width, height = max(1, int(image.width * factor + 0.5)), max(1, int(image.height * factor + 0.5))
        d = self.size_divisor
        return Frame(image, (height, width), (-(-height // d) * d, -(-width // d) * d))

    def __str__(self) -> str:
        """Say it in a few words."""
        return "original size" if self.long_edge is None else f"scaled to {self.long_edge}x{self.short_edge}"


@dataclass(frozen=True)
class ExactSize:
    """Every image becomes as wide and high as this, whatever its aspect ratio, without padding.

    References
    ----------
    Liu et al., "SSD: Single Shot MultiBox Detector" (2016), whose feature maps need one size.
    """

    width: int
    height: int

    def frame(self, image: Image) -> Frame:
        """Resize one image."""
        return Frame(image, (self.height, self.width), (self.height, self.width))

    def __str__(self) -> str:
        """Say it in a few words."""
        return f"resized to exactly {self.width}x{self.height}, aspect ratio not kept"


def parse_scale(text: Any, option: str, size_divisor: int = SIZE_DIVISOR) -> ImageScale | ExactSize:
    """Read ``1333x800`` (limits of the edges), ``300x300!`` (exact), or ``original`` (no resizing).

    Parameters
    ----------
    text : str
    option : str
        What to call it in the error.
    size_divisor : int
        As in `ImageScale`; an exact size is not padded.

    Examples
    --------
    >>> parse_scale("1333x800", "--image-scale")
    ImageScale(long_edge=1333, short_edge=800, size_divisor=32)
    >>> parse_scale("300x200!", "--image-scale")
    ExactSize(width=300, height=200)
    """
    lower = text.lower() if isinstance(text, str) else ""
    if lower == "original":
        return ImageScale(None, None, size_divisor)
    edges = lower.removesuffix("!").split("x")
    if len(edges) != 2 or not all(e.isascii() and e.isdigit() and 0 < int(e) <= LONGEST_EDGE for e in edges):
        raise AuditError(
            f"{option}: expected two edges like 1333x800, an exact size like '300x300!', or 'original', "
            f"got {text!r}"
        )
    first, second = map(int, edges)
    if lower.endswith("!"):
        return ExactSize(first, second)
    return ImageScale(max(first, second), min(first, second), size_divisor)


@dataclass(frozen=True)
class Frame:
    """One image at training size: (height, width) of its pixels and with padding."""

    image: Image
    shape: tuple[int, int]
    padded: tuple[int, int]

    def boxes(self, annotations: Annotations) -> Any:
        """Boxes of annotations at training size, shape (n, 4), float32."""
        return self.scale(annotations.bboxes)

    def outlines(self, annotations: Annotations) -> Any:
        """Boxes at training size as they are drawn: oriented, shape (n, 5), where the format has such."""
        return self.boxes(annotations) if annotations.oriented is None else self.turn(annotations.oriented)

    def oriented(self, annotations: Annotations) -> Any:
        """Oriented boxes of annotations at training size, shape (n, 5); upright where there are no others."""
        found = annotations.oriented
        return xyxy_to_xywhr(self.boxes(annotations)) if found is None else self.turn(found)

    def keypoints(self, annotations: Annotations) -> Any:
        """Keypoints x, y, visibility at training size, shape (n, K, 3), float32; None: there are none."""
        found = annotations.keypoints
        if found is None:
            return None
        return np.concatenate([self.scale_points(found[..., :2]), found[..., 2:]], axis=-1).astype(np.float32)

    def scale_points(self, points: Any) -> Any:
        """Bring points x y, shape (..., 2), from original pixels to training size, float32."""
        height, width = self.shape
        factors = np.asarray([width / self.image.width, height / self.image.height])
        return (points * factors).astype(np.float32)

    def turn(self, oriented: Any) -> Any:
        """Bring oriented boxes, shape (n, 5), from original pixels to training size, float32."""
        height, width = self.shape
        factors = np.asarray([width / self.image.width, height / self.image.height])
        return corners_to_xywhr(xywhr_to_corners(oriented) * factors).astype(np.float32)

    def scale(self, boxes: Any) -> Any:
        """Bring boxes x1 y1 x2 y2, shape (n, 4), from original pixels to training size, float32."""
        height, width = self.shape
        x, y = width / self.image.width, height / self.image.height
        return (boxes * np.asarray([x, y, x, y])).astype(np.float32)


@dataclass(frozen=True)
class Batch:
    """Images of one padded size with their objects, padded to the same number.

    Attributes
    ----------
    frames : tuple of Frame
    objects : tuple of Annotations
        Objects of each image, in the order of their ground-truth indices.
    gt_bboxes, gt_labels, gt_valid : NumPy arrays, shapes (B, G, 4), (B, G), (B, G)
    ignore_bboxes, ignore_valid : NumPy arrays, shapes (B, I, 4), (B, I)
        Crowd regions.
    """

    frames: tuple[Frame, ...]
    objects: tuple[Annotations, ...]
    gt_bboxes: Any
    gt_labels: Any
    gt_valid: Any
    ignore_bboxes: Any
    ignore_valid: Any

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width that all images of the batch share."""
        return self.frames[0].padded

    @property
    def image_shapes(self) -> Any:
        """Height and width of each image's pixels, shape (B, 2), float32."""
        return np.asarray([f.shape for f in self.frames], dtype=np.float32)

    @property
    def gt_oriented(self) -> Any:
        """Oriented boxes of the objects, shape (B, G, 5)."""
        boxes = np.zeros((*self.gt_valid.shape, 5), dtype=np.float32)
        for row, frame, objects in zip(boxes, self.frames, self.objects, strict=True):
            row[: len(objects)] = frame.oriented(objects)
        return boxes

    def gt_keypoints(self, count: int) -> Any:
        """Keypoints x, y, visibility of the objects, shape (B, G, K, 3); of unknown ones none is visible."""
        keypoints = np.zeros((*self.gt_valid.shape, count, 3), dtype=np.float32)
        for row, frame, objects in zip(keypoints, self.frames, self.objects, strict=True):
            found = frame.keypoints(objects)
            if found is not None:
                row[: len(objects)] = found
        return keypoints


def make_batch(dataset: Dataset, frames: Sequence[Frame]) -> Batch:
    """Collect the objects and crowd regions of some images of one padded size."""
    objects = tuple(dataset.objects(f.image) for f in frames)
    gt_bboxes, gt_valid = pad_boxes([f.boxes(o) for f, o in zip(frames, objects, strict=True)])
    ignore_bboxes, ignore_valid = pad_boxes([f.boxes(dataset.crowds(f.image)) for f in frames])
    gt_labels = np.zeros(gt_valid.shape, dtype=np.int64)
    for row, found in zip(gt_labels, objects, strict=True):
        row[: len(found)] = found.labels
    return Batch(tuple(frames), objects, gt_bboxes, gt_labels, gt_valid, ignore_bboxes, ignore_valid)


def make_batches(dataset: Dataset, frames: Sequence[Frame], batch_size: int) -> Iterator[Batch]:
    """Group images by padded size, alike numbers of objects together, so that little is padding."""
    groups: dict[tuple[int, int], list[Frame]] = {}
    for frame in frames:
        groups.setdefault(frame.padded, []).append(frame)
    for group in groups.values():
        group.sort(key=lambda f: len(dataset.objects(f.image)))
        for start in range(0, len(group), batch_size):
            yield make_batch(dataset, group[start : start + batch_size])


def pad_boxes(rows: Sequence[Any]) -> tuple[Any, Any]:
    """Stack box arrays of different lengths to (B, n, 4); the flags (B, n) tell which rows are real."""
    longest = -(-max(map(len, rows)) // ROW_MULTIPLE) * ROW_MULTIPLE
    boxes = np.zeros((len(rows), longest, 4), dtype=np.float32)
    valid = np.zeros((len(rows), longest), dtype=bool)
    for i, row in enumerate(rows):
        boxes[i, : len(row)] = row
        valid[i, : len(row)] = True
    return boxes, valid

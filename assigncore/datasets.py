"""Annotation files as data sets: COCO's format, and a small sample that comes with the package."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from assigncore.inspect.display import plural

__all__ = [
    "AnnotatedImage",
    "Annotation",
    "Dataset",
    "Image",
    "InputFileError",
    "Skipped",
    "read_coco",
    "sample_dataset",
]

SAMPLE = "neon_trees.json"

# Sums of decimal fractions miss the image's edge by less than this; it is not worth calling a box clipped.
EDGE_TOLERANCE = 0.01


class InputFileError(ValueError):
    """A file that cannot be used, said in one line that names it and what was expected."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


@dataclass(frozen=True, slots=True)
class Image:
    """One image of the data set; sizes in pixels."""

    id: int | str
    width: int
    height: int
    file_name: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotated object: box x1 y1 x2 y2 clipped to its image, area in square pixels as COCO counts it."""

    id: int | str
    image_id: int | str
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float
    crowd: bool


@dataclass(frozen=True, slots=True)
class Skipped:
    """An annotation that cannot be used, and why."""

    annotation_id: int | str | None
    index: int
    reason: str

    def __str__(self) -> str:
        """Say it in one line."""
        name = f"at index {self.index}" if self.annotation_id is None else f"{self.annotation_id}"
        return f"annotation {name}: {self.reason}"


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedImage:
    """One image's annotations as NumPy arrays, in the form that assigners take.

    Attributes
    ----------
    image : Image
        Its id, size in pixels and file name.
    gt_bboxes : array (G, 4) of float32
        Objects, boxes x1 y1 x2 y2 in pixels.
    gt_labels : array (G,) of int64
        Classes counted from 0: indices into ``Dataset.class_names``.
    ignore_bboxes : array (I, 4) of float32
        Crowd regions, boxes x1 y1 x2 y2 in pixels.
    """

    image: Image
    gt_bboxes: Any
    gt_labels: Any
    ignore_bboxes: Any

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.height, self.image.width

    def __repr__(self) -> str:
        """Say what there is, not every box."""
        counts = f"{plural(len(self.gt_bboxes), 'object')}, {plural(len(self.ignore_bboxes), 'crowd region')}"
        return f"AnnotatedImage({self.image.file_name}, {self.image.width}x{self.image.height}, {counts})"


@dataclass(frozen=True)
class Dataset(Sequence[AnnotatedImage]):
    """The images of an annotation file, a sequence of :class:`AnnotatedImage`.

    Attributes
    ----------
    source : str
        Path of the file, or the name of the bundled sample.
    images : tuple of Image
        In the file's order.
    annotations : mapping of image id to tuple of Annotation
        Usable annotations in the file's order, crowd ones included.
    categories : mapping of category id to name
        In the file's order, which is also the order of the class labels; then any that only annotations use.
    skipped : tuple of Skipped
        Broken annotations.
    num_clipped : int
        Boxes that reached over their image's edge and were cut there.
    """

    source: str
    images: tuple[Image, ...]
    annotations: dict[int | str, tuple[Annotation, ...]]
    categories: dict[int, str]
    skipped: tuple[Skipped, ...]
    num_clipped: int

    @cached_property
    def labels(self) -> dict[int, int]:
        """Class label of each category, counted from 0 as detectors do."""
        return {category: label for label, category in enumerate(self.categories)}

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class label."""
        return tuple(self.categories.values())

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: Any) -> Any:
        """Give one image's annotations as arrays, or several images' as a tuple."""
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        image = self.images[index]
        objects = self.objects(image)
        labels = np.asarray([self.labels[a.category_id] for a in objects], dtype=np.int64)
        return AnnotatedImage(image, _boxes(objects), labels, _boxes(self.crowds(image)))

    def __repr__(self) -> str:
        """Say what there is, not every annotation."""
        objects = sum(len(self.objects(image)) for image in self.images)
        return (
            f"Dataset({self.source}: {len(self.images):,} images, {objects:,} objects, "
            f"{len(self.categories):,} classes)"
        )

    def part(self, start: int, end: int) -> Dataset:
        """Give the images from `start` to before `end`, with their annotations and all categories."""
        images = self.images[start:end]
        annotations = {image.id: self.annotations.get(image.id, ()) for image in images}
        return replace(self, images=images, annotations=annotations, skipped=(), num_clipped=0)

    def objects(self, image: Image) -> tuple[Annotation, ...]:
        """Annotations of an image that want positives: all but the crowd regions."""
        return tuple(a for a in self.annotations.get(image.id, ()) if not a.crowd)

    def crowds(self, image: Image) -> tuple[Annotation, ...]:
        """Crowd regions of an image."""
        return tuple(a for a in self.annotations.get(image.id, ()) if a.crowd)


def read_json(path: Path) -> Any:
    """Read a JSON file, or say in one line why that cannot be done."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputFileError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputFileError(f"{path}: is a folder, expected a JSON file") from None
    except UnicodeDecodeError:
        raise InputFileError(f"{path}: is not text, expected a JSON file") from None
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from None
    if not text.strip():
        raise InputFileError(f"{path}: is empty, expected a JSON file")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"{path}: is not valid JSON: {error}") from None


def read_coco(path: str | os.PathLike[str], *, source: str | None = None) -> Dataset:
    """Read and check a COCO annotation file.

    Parameters
    ----------
    path : str or path
        JSON file with lists ``images`` (id, width, height) and ``annotations`` (id, image_id, category_id,
        bbox as x y width height in pixels; optional area, iscrowd), and optionally ``categories``.
    source : str, optional
        What to call the file in reports. Default: the path.

    Returns
    -------
    Dataset
        A sequence: ``dataset[0].gt_bboxes``, ``gt_labels`` and ``ignore_bboxes`` are what an assigner takes.

    Raises
    ------
    InputFileError
        If the file cannot be read, is not COCO, has an image without id or size, or has no usable annotation
        of an object, crowd regions not counted.

    Notes
    -----
    A broken annotation (a missing field, an unknown image, an id seen before, a box that is not four finite
    numbers, has no extent or lies outside its image) is left out and listed in ``skipped``. A box that
    reaches over the edge is clipped, as detectors do when they resize; one without ``area`` gets its box's.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> document = {
    ...     "images": [{"id": 1, "width": 64, "height": 48, "file_name": "a.png"}],
    ...     "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [4, 8, 16, 10]}],
    ...     "categories": [{"id": 7, "name": "kite"}],
    ... }
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "annotations.json"
    ...     _ = path.write_text(json.dumps(document))
    ...     dataset = read_coco(path)
    >>> dataset.class_names, dataset[0]
    (('kite',), AnnotatedImage(a.png, 64x48, 1 object, 0 crowd regions))
    >>> dataset[0].gt_bboxes, dataset[0].gt_labels
    (array([[ 4.,  8., 20., 18.]], dtype=float32), array([0]))
    """
    path = Path(path)
    document = read_json(path)
    if not isinstance(document, dict) or not all(
        isinstance(document.get(k), list) for k in ("images", "annotations")
    ):
        raise InputFileError(
            f"{path}: is not a COCO annotation file: expected an object with the lists 'images' and "
            f"'annotations', got {_describe(document)}"
        )
    images = _read_images(path, document["images"])
    categories = _read_categories(path, document.get("categories", []))
    annotations: dict[int | str, list[Annotation]] = {image_id: [] for image_id in images}
    skipped: list[Skipped] = []
    seen: set[int | str] = set()
    num_clipped = 0
    for index, entry in enumerate(document["annotations"]):
        read = _read_annotation(entry, images, seen)
        if isinstance(read, str):
            found = entry.get("id") if isinstance(entry, dict) else None
            skipped.append(Skipped(found if is_id(found) else None, index, read))
            continue
        annotation, clipped = read
        seen.add(annotation.id)
        num_clipped += clipped
        annotations[annotation.image_id].append(annotation)
        categories.setdefault(annotation.category_id, str(annotation.category_id))
    if not seen:
        why = "the list 'annotations' is empty, there is nothing to read"
        if skipped:
            why = f"none of the {len(skipped)} annotations can be used, the first is {skipped[0]}"
        raise InputFileError(f"{path}: {why}")
    dataset = Dataset(
        source or str(path),
        tuple(images.values()),
        {image_id: tuple(found) for image_id, found in annotations.items()},
        categories,
        tuple(skipped),
        num_clipped,
    )
    if not any(map(dataset.objects, dataset.images)):
        why = f"annotations: expected objects, got nothing but crowd regions ({len(seen)} with iscrowd 1)"
        if skipped:
            why += f"; {len(skipped)} more cannot be used, the first is {skipped[0]}"
        raise InputFileError(f"{path}: {why}")
    return dataset


def sample_dataset() -> Dataset:
    """Read the data set that comes with the package: 951 tree crowns in four aerial images, without pixels.

    Returns
    -------
    Dataset
        Boxes drawn by hand over images of 400 x 400 to 2299 x 2472 pixels, of one class.

    References
    ----------
    Weinstein et al., "DeepForest" (2020), MIT licence.

    Examples
    --------
    >>> [len(image.gt_bboxes) for image in sample_dataset()]
    [574, 279, 61, 37]
    """
    with as_file(files("assigncore") / "data" / SAMPLE) as path:
        return read_coco(path, source=f"bundled sample {SAMPLE} (DeepForest, Weinstein et al. 2020, MIT)")


def _boxes(annotations: Sequence[Annotation]) -> Any:
    """Boxes of annotations, shape (n, 4), float32."""
    return np.asarray([a.bbox for a in annotations], dtype=np.float32).reshape(-1, 4)


def _read_images(path: Path, entries: Sequence[Any]) -> dict[int | str, Image]:
    images: dict[int | str, Image] = {}
    for index, entry in enumerate(entries):
        found: Any = entry.get("id") if isinstance(entry, dict) else None
        if not is_id(found):
            raise InputFileError(f"{path}: image at index {index}: expected an object with an 'id'")
        if found in images:
            raise InputFileError(f"{path}: image {found}: another image has the same id")
        for side in ("width", "height"):
            value = entry.get(side)
            if not is_number(value) or value < 1 or value != int(value):
                got = f"got {value!r}" if side in entry else "the field is missing"
                raise InputFileError(
                    f"{path}: image {found}: expected {side} as a whole number above 0, {got}"
                )
        name = entry.get("file_name")
        images[found] = Image(
            found, int(entry["width"]), int(entry["height"]), name if isinstance(name, str) else str(found)
        )
    if not images:
        raise InputFileError(f"{path}: the list 'images' is empty, there is nothing to read")
    return images


def _read_categories(path: Path, entries: Any) -> dict[int, str]:
    if not isinstance(entries, list):
        raise InputFileError(f"{path}: expected 'categories' as a list, got {_describe(entries)}")
    return {
        entry["id"]: str(entry.get("name", entry["id"]))
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("id"), int)
    }


def _read_annotation(
    entry: Any, images: dict[int | str, Image], seen: set[int | str]
) -> tuple[Annotation, bool] | str:
    """Read one annotation and tell whether it was clipped, or say what is wrong with it."""
    if not isinstance(entry, dict):
        return f"expected an object, got {_describe(entry)}"
    for name in ("id", "image_id", "category_id", "bbox"):
        if name not in entry:
            return f"the field '{name}' is missing"
    if not is_id(entry["id"]) or entry["id"] in seen:
        return "another annotation has the same id" if is_id(entry["id"]) else f"id {entry['id']!r} is no id"
    image = images.get(entry["image_id"]) if is_id(entry["image_id"]) else None
    if image is None:
        return f"there is no image {entry['image_id']!r}"
    if not isinstance(entry["category_id"], int):
        return f"category_id: expected an integer, got {entry['category_id']!r}"
    box = entry["bbox"]
    if not isinstance(box, list) or len(box) != 4 or not all(is_number(v) for v in box):
        return f"bbox: expected four finite numbers x y width height, got {box!r}"
    x, y, width, height = (float(v) for v in box)
    if width <= 0 or height <= 0:
        return f"bbox: expected width and height above 0, got {box!r}"
    right, bottom = x + width, y + height
    clipped = (max(x, 0.0), max(y, 0.0), min(right, float(image.width)), min(bottom, float(image.height)))
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        return f"bbox: {box!r} lies outside its image of {image.width} x {image.height} pixels"
    area = entry.get("area", width * height)
    if not is_number(area) or area < 0:
        return f"area: expected a finite number of at least 0, got {area!r}"
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        return f"iscrowd: expected 0 or 1, got {crowd!r}"
    annotation = Annotation(entry["id"], image.id, entry["category_id"], clipped, float(area), bool(crowd))
    moved = max(abs(a - b) for a, b in zip(clipped, (x, y, right, bottom), strict=True))
    return annotation, moved > EDGE_TOLERANCE


def is_id(value: Any) -> bool:
    """Tell whether a value can be an id: a whole number or a name."""
    return isinstance(value, int | str) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        keys = ", ".join(repr(k) for k in list(value)[:6])
        return f"an object with {keys}" if keys else "an empty object"
    return {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )

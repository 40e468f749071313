"""Reading COCO results: a detector's boxes, what is broken among them, and of which images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from assigncore.audit.errors import AuditError
from assigncore.audit.suspicions import suspect
from assigncore.datasets import Dataset, Image
from assigncore.datasets.files import (
    as_id,
    id_of_other_type,
    is_coordinate,
    is_id,
    is_number,
    read_json,
    wrong_coordinates,
)
from assigncore.inspect.display import plural

MAX_NAMED = 10


@dataclass(frozen=True, slots=True)
class Detections:
    """A detector's boxes over one image, best score first, equal scores in the file's order.

    Attributes
    ----------
    boxes : NumPy array, shape (n, 4)
        x1 y1 x2 y2 in pixels.
    scores : NumPy array, shape (n,)
    labels : NumPy array of int, shape (n,)
        Class labels of the data set, -1 for a category that it does not have.
    oriented : NumPy array, shape (n, 5), or None
        Oriented boxes cx, cy, w, h, angle. None: they are upright.
    keypoints : NumPy array, shape (n, K, 2), or None
        x, y in pixels. None: there are none.
    """

    boxes: Any
    scores: Any
    labels: Any
    oriented: Any = None
    keypoints: Any = None

    @classmethod
    def ordered(
        cls, boxes: Any, scores: Any, labels: Any, oriented: Any = None, keypoints: Any = None
    ) -> Detections:
        """Put the best scores first."""
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        scores = np.asarray(scores, dtype=np.float64).reshape(-1)
        labels = np.asarray(labels, dtype=np.int64).reshape(-1)
        order = np.argsort(-scores, kind="stable")
        return cls(boxes, scores, labels, oriented, keypoints).take(order)

    def take(self, rows: Any) -> Detections:
        """Give some rows: indices, or a mask."""
        columns = (self.boxes, self.scores, self.labels, self.oriented, self.keypoints)
        return Detections(*(None if x is None else x[rows] for x in columns))

    def __len__(self) -> int:
        """Count the boxes."""
        return len(self.scores)


@dataclass(frozen=True)
class Results:
    """What a results file holds for the images of a data set.

    Attributes
    ----------
    path : Path
    categories : tuple
        Ids of the data set's categories, which labels count.
    detections : mapping of image id to Detections
        In original pixels; only images that have any.
    broken : tuple of str
        What is wrong with the entries that cannot be read, in the file's order.
    unknown_images : mapping of image id to int
        Number of entries of each image that the data set does not have.
    suspicions : tuple of str
        What boxes or classes seem to mean instead of what they should.
    """

    path: Path
    categories: tuple[int | str, ...]
    detections: Mapping[int | str, Detections]
    broken: tuple[str, ...]
    unknown_images: Mapping[int | str, int]
    suspicions: tuple[str, ...] = ()

    @property
    def num_used(self) -> int:
        """Entries of the data set's images that can be read."""
        return sum(map(len, self.detections.values()))

    @property
    def num_unusable(self) -> int:
        """All other entries."""
        return len(self.broken) + sum(self.unknown_images.values())

    def of(self, image: Image) -> Detections:
        """Give the detections of an image; none if the file has none."""
        return self.detections.get(image.id, Detections.ordered([], [], []))

    def part(self, images: Iterable[Image]) -> Results:
        """Give the detections of some images alone."""
        wanted = [image.id for image in images]
        kept = {i: self.detections[i] for i in wanted if i in self.detections}
        return replace(self, detections=kept, broken=(), unknown_images={})

    def of_part(self, dataset: Dataset) -> Results:
        """Give what belongs to a part of the data set: its images, and its categories alone."""
        if len(dataset.categories) == len(self.categories):
            kept = self.part(dataset.images).detections
        else:
            relabel = np.asarray([*(dataset.labels.get(c, -1) for c in self.categories), -1])
            kept = {}
            for image_id, found in self.part(dataset.images).detections.items():
                labels = relabel[found.labels]
                kept[image_id] = replace(found, labels=labels).take(labels >= 0)
        return replace(self, categories=tuple(dataset.categories), detections=kept)

    def warnings(self) -> list[str]:
        """Say what is not used, a line for each broken entry and one for all unknown images."""
        lines = [f"{self.path}: {reason}; skipped" for reason in self.broken[:MAX_NAMED]]
        if len(self.broken) > MAX_NAMED:
            more = plural(len(self.broken) - MAX_NAMED, "more broken entry", "more broken entries")
            lines.append(f"{self.path}: {more} skipped")
        if self.unknown_images:
            names = ", ".join(str(image_id) for image_id in list(self.unknown_images)[:MAX_NAMED])
            others = len(self.unknown_images) - MAX_NAMED
            count = plural(sum(self.unknown_images.values()), "entry", "entries")
            lines.append(
                f"{self.path}: {count} of images that the annotations do not list, not used: {names}"
                + (f" and {others:,} more" if others > 0 else "")
            )
        return [*lines, *(f"{self.path}: {suspicion}" for suspicion in self.suspicions)]


def load_results(option: str, path: Path, dataset: Dataset, *, with_classes: bool = False) -> Results:
    """Read a COCO results file: a list of objects with image_id, bbox (x y width height) and score.

    And keypoints (x y score of each) where every entry has as many.

    Parameters
    ----------
    option : str
        What to call it in errors.
    path : Path
    dataset : Dataset
        Whose images and categories the entries are of.
    with_classes : bool
        Whether each entry must name a category of the data set, and its score be a probability.

    Raises
    ------
    AuditError
        If the file cannot be read, is no such list, or has no usable box for the data set's images.
    """
    document = read_json(path)
    if not isinstance(document, list) or not document:
        got = ", got an empty one" if document == [] else ""
        raise AuditError(
            f"{option} {path}: expected a COCO results file, a list of boxes with image_id and score{got}"
        )
    index_of = dataset.index_of
    found: dict[int | str, list[tuple[tuple[float, ...], float, int]]] = {}
    poses: dict[int | str, list[Any]] = {}
    broken: list[str] = []
    unknown: dict[int | str, int] = {}
    sample: list[tuple[int, tuple[float, ...], float, Any]] = []
    for index, entry in enumerate(document):
        read = _read_entry(entry, dataset, with_classes)
        image_id: Any = as_id(entry.get("image_id")) if isinstance(entry, dict) else None
        if not isinstance(read, Broken) and image_id not in index_of:
            unknown[image_id] = unknown.get(image_id, 0) + 1
            continue
        if isinstance(read, Broken):
            broken.append(f"entry at index {index}: {read.reason}")
        else:
            found.setdefault(image_id, []).append(read)
            poses.setdefault(image_id, []).append(entry.get("keypoints"))
        if not isinstance(read, Broken) or read.has_box:
            category = as_id(entry.get("category_id"))
            category = category if is_id(category) else None
            sample.append((index_of[image_id], tuple(entry["bbox"]), entry["score"], category))
    suspicions = suspect(sample, dataset, with_classes=with_classes)
    for image_id in unknown:
        if (other := id_of_other_type(image_id, index_of)) is not None:
            suspicions.append(f"image_id {image_id!r} is not {other!r}, which the annotations have")
            break
    if not found:
        first = "; ".join([f"; the first: {broken[0]}" if broken else "", *suspicions])
        if unknown:
            theirs, ours = (", ".join(map(repr, list(ids)[:3])) for ids in (unknown, index_of))
            first = f": the first are of the images {theirs}, this run has {ours}{first}"
        entries = plural(len(document), "entry", "entries")
        raise AuditError(f"{option} {path}: none of {entries} is a box of an image of this run{first}")
    keypoints = _keypoints_of(poses)
    detections = {}
    for image_id, read_entries in found.items():
        boxes, scores, labels = zip(*read_entries, strict=True)
        own = keypoints.get(image_id)
        detections[image_id] = Detections.ordered(boxes, scores, labels, keypoints=own)
    return Results(path, tuple(dataset.categories), detections, tuple(broken), unknown, tuple(suspicions))


def _keypoints_of(poses: Mapping[int | str, list[Any]]) -> dict[int | str, Any]:
    """Give the keypoints of each image's entries, (n, K, 2), if every entry has x, y, score of as many."""
    every = [pose for of_image in poses.values() for pose in of_image]
    sizes = {len(pose) if isinstance(pose, list) and all(map(is_coordinate, pose)) else 0 for pose in every}
    if len(sizes) != 1 or (size := sizes.pop()) == 0 or size % 3:
        return {}
    return {
        image_id: np.asarray(of_image, dtype=np.float64).reshape(len(of_image), -1, 3)[..., :2]
        for image_id, of_image in poses.items()
    }


@dataclass(frozen=True)
class Broken:
    """Why an entry cannot be read, and whether there is a box and a score in it all the same."""

    reason: str
    has_box: bool = False


def _read_entry(
    entry: Any, dataset: Dataset, with_classes: bool
) -> tuple[tuple[float, ...], float, int] | Broken:
    """Read box, score and label of an entry, or say what is wrong with it."""
    if not isinstance(entry, dict):
        return Broken("expected an object with image_id, bbox and score")
    for name in ("image_id", "bbox", "score", *(("category_id",) if with_classes else ())):
        if name not in entry:
            return Broken(f"the field '{name}' is missing")
    if not is_id(as_id(entry["image_id"])):
        return Broken(f"image_id: expected a number or a name, got {entry['image_id']!r}")
    box, score, category = entry["bbox"], entry["score"], as_id(entry.get("category_id"))
    expected = "four finite numbers x y width height"
    if not isinstance(box, list) or len(box) != 4:
        return Broken(f"bbox: expected {expected}, got {box!r}")
    if wrong := wrong_coordinates(box, expected):
        return Broken(f"bbox: {wrong}")
    x, y, width, height = map(float, box)
    if width < 0 or height < 0:
        return Broken(f"bbox: expected width and height of at least 0, got {box!r}")
    if not is_number(score) or (with_classes and not 0 <= score <= 1):
        wanted = "a probability from 0 to 1" if with_classes else "a finite number"
        return Broken(f"score: expected {wanted}, got {score!r}")
    label = dataset.labels.get(category, -1) if is_id(category) else -1
    if with_classes and label < 0:
        known = as_id(entry["image_id"]) in dataset.index_of
        return Broken(f"there is no category {category!r}", has_box=known)
    return (x, y, x + width, y + height), float(score), label

"""YOLO's label files: a text file for each image, a line for each object, in fractions of the image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from assigncore.boxes import corners_to_xywhr
from assigncore.datasets.dataset import Dataset, Image, Rows, Skipped, make_dataset
from assigncore.datasets.files import (
    IMAGE_SUFFIXES,
    ImageFiles,
    InputFileError,
    as_id,
    decode_text,
    describe,
    ids_of_files,
    image_size,
    read_text,
)
from assigncore.datasets.masks import polygon_box
from assigncore.inspect.display import plural

SPLITS = ("train", "val", "test")

NAME_FILES = ("classes.txt", "obj.names", "labels.txt")
"""Where tools that write no YAML file leave the names of the classes."""

MAX_CLASSES = 1_000_000

MAX_KEYPOINTS = 10_000

CORNERS = 8
"""Coordinates of an oriented box."""

SLACK = 0.01
"""Fractions may miss 0 and 1 by rounding."""


@dataclass(frozen=True)
class Pair:
    """An image and where its labels are: the file of the former is None where only labels are there."""

    name: str
    image: Path | None
    labels: Path


def is_root(folder: Path) -> bool:
    """Tell whether a folder looks like one of this format."""
    if next(folder.glob("*.y*ml"), None) is not None:
        return True
    labels = folder / "labels" if (folder / "labels").is_dir() else folder
    return any(p.name not in NAME_FILES for p in labels.rglob("*.txt"))


def read(path: Path, source: str, images: ImageFiles | None, split: str | None) -> Dataset:
    """Read a data set by its ``data.yaml``, or a folder of images and labels; see `read_dataset`."""
    described = _find_description(path)
    names: dict[int | str, str] = {}
    shape, notices = None, []
    if described is not None:
        config = _read_yaml(described)
        names, shape = _read_names(described, config), _read_keypoint_shape(described, config)
        split, entries = _choose_split(described, config, split)
        notices.append(f"the split {split!r} of {described.name} is read")
        pairs = _pair(_images_of(described, config, entries))
    else:
        names = _read_class_list(path)
        pairs = _pair_folder(path, split)
    if not pairs:
        raise InputFileError(f"{path}: expected images with label files, found none")
    return _read_labels(path, source, pairs, names, shape, images, notices)


def _find_description(path: Path) -> Path | None:
    """Find the YAML file of a data set, if it has one."""
    if path.is_file():
        return path
    found = sorted(path.glob("*.y*ml"))
    chosen = [p for p in found if p.stem == "data"] or found
    if len(chosen) > 1:
        named = ", ".join(p.name for p in chosen[:5])
        raise InputFileError(f"{path}: expected one YAML file, found {named}: give the path of one")
    return chosen[0] if chosen else None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        yaml = import_module("yaml")
    except ModuleNotFoundError:
        raise InputFileError(
            f'{path}: YAML needs the package PyYAML, which is not installed: pip install "assigncore[audit]"'
        ) from None
    text = read_text(path, "a YAML file")[0]
    try:
        config = yaml.safe_load(text)
    except Exception as error:  # Besides its own, whatever the values that a file tags lead it to.
        raise InputFileError(f"{path}: is not valid YAML: {error}") from None
    if not isinstance(config, dict):
        raise InputFileError(
            f"{path}: expected an object with 'names' and 'train', 'val' or 'test', got {describe(config)}"
        )
    return config


def _read_names(path: Path, config: dict[str, Any]) -> dict[int | str, str]:
    """Read the names of the classes by number."""
    names, count = config.get("names"), as_id(config.get("nc"))
    if isinstance(names, list):
        names = dict(enumerate(names))
    elif names is None and type(count) is int and 0 < count <= MAX_CLASSES:
        names = {i: i for i in range(count)}
    if not isinstance(names, dict) or not names or not all(type(as_id(key)) is int for key in names):
        raise InputFileError(
            f"{path}: names: expected a list of the classes' names, or names by number, got {describe(names)}"
        )
    return {as_id(key): str(names[key]) for key in sorted(names)}


def _read_keypoint_shape(path: Path, config: dict[str, Any]) -> tuple[int, int] | None:
    """Read how many keypoints an object has, and whether each has a visibility: 3 numbers in place of 2."""
    shape = config.get("kpt_shape")
    if shape is None:
        return None
    numbers = [as_id(value) for value in shape] if isinstance(shape, list) else []
    if (
        len(numbers) != 2
        or not all(type(n) is int for n in numbers)
        or not 1 <= numbers[0] <= MAX_KEYPOINTS
        or numbers[1] not in (2, 3)
    ):
        raise InputFileError(
            f"{path}: kpt_shape: expected the number of keypoints and 2 or 3 numbers of each, got {shape!r}"
        )
    return numbers[0], numbers[1]


def _read_class_list(root: Path) -> dict[int | str, str]:
    """Read the names that stand beside the labels of a folder without YAML file, one a line."""
    for place in (root, root / "labels"):
        for name in NAME_FILES:
            if (place / name).is_file():
                lines = read_text(place / name, "names of classes")[0].splitlines()
                return dict(enumerate(line.strip() for line in lines if line.strip()))
    return {}


def _choose_split(path: Path, config: dict[str, Any], split: str | None) -> tuple[str, list[str]]:
    """Choose the split, the first of train, val, test that there is if none is named, and its entries."""
    for name in SPLITS if split is None else (split,):
        value: Any = config.get(name)
        values = [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str) and v]
        if values:
            return name, values
    has = ", ".join(name for name in SPLITS if config.get(name)) or "none"
    wanted = "one of the splits train, val, test" if split is None else f"the split {split!r}"
    raise InputFileError(f"{path}: expected {wanted}, a folder or a list of images; it has {has}")


def _images_of(path: Path, config: dict[str, Any], entries: Sequence[str]) -> list[Path]:
    """List the images of a split."""
    root = config.get("path")
    bases = [path.parent] if not isinstance(root, str) else [path.parent / root, path.parent, Path(root)]
    images: list[Path] = []
    for entry in entries:
        # Exporters write paths as Windows does, and from a folder within the data set's as if from this one.
        plain = entry.replace("\\", "/")
        places = [base / e for base in bases for e in (entry, plain, plain.lstrip("./"))]
        place = next((p for p in places if p.exists()), None)
        if place is None:
            raise InputFileError(f"{path}: the images {entry!r} are not there: there is no {places[0]}")
        images += _images_in(place)
    return list(dict.fromkeys(images))


def _images_in(place: Path) -> list[Path]:
    """List the images in a folder, or of a list in a text file."""
    if place.is_dir():
        found = (Path(folder, name) for folder, _, names in os.walk(place) for name in names)
        return sorted(p for p in found if p.suffix.lower() in IMAGE_SUFFIXES)
    if place.suffix.lower() in IMAGE_SUFFIXES:
        return [place]
    lines = read_text(place, "a list of images")[0].splitlines()
    return [place.parent / line.strip().replace("\\", "/") for line in lines if line.strip()]


def _pair(images: Sequence[Path]) -> list[Pair]:
    """Pair images with their labels: in ``labels`` where the path has ``images``, else beside them."""
    return [Pair(image.name, image, _labels_of(image)) for image in images]


def _labels_of(image: Path) -> Path:
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            return Path(*parts).with_suffix(".txt")
    return image.with_suffix(".txt")


def _pair_folder(root: Path, split: str | None) -> list[Pair]:
    """Pair the images of a folder with labels, where no file describes it; else take the labels alone."""
    if root.name == "labels" and (root.parent / "images").is_dir():
        root = root.parent

    def part(folder: Path) -> Path:
        if split is not None and not (folder / split).is_dir():
            raise InputFileError(f"{root}: expected the split {split!r} as a folder in {folder.name}")
        return folder if split is None else folder / split

    pairs = _pair(_images_in(part(root / "images" if (root / "images").is_dir() else root)))
    if pairs:
        return pairs
    labels = part(root / "labels" if (root / "labels").is_dir() else root)
    return [Pair(p.stem, None, p) for p in sorted(labels.rglob("*.txt")) if p.name not in NAME_FILES]


def _read_labels(
    path: Path,
    source: str,
    pairs: Sequence[Pair],
    names: dict[int | str, str],
    shape: tuple[int, int] | None,
    files: ImageFiles | None,
    notices: list[str],
) -> Dataset:
    """Read the sizes of all images and the lines of all label files."""
    root = path if path.is_dir() else path.parent
    folder = None
    if pairs[0].image is not None:
        folder = Path(os.path.commonpath([os.path.dirname(str(p.image)) for p in pairs]))
    named = [str(p.image.relative_to(folder)) if p.image and folder else p.name for p in pairs]
    listed = bool(names)
    images: list[Image] = []
    rows, label_files, skipped = Rows(), [], []
    corners: list[list[float]] = []
    keypoints: list[Any] = []
    counts = Counter[str]()
    for pair, name, image_id in zip(pairs, named, ids_of_files(named), strict=True):
        shown = os.path.relpath(pair.labels, root)
        try:
            width, height = _size(pair, files)
        except OSError as error:
            skipped.append(Skipped(None, None, str(error), name))
            continue
        index, seen = len(images), set()
        try:
            lines = _lines(pair.labels)
        except InputFileError as error:
            skipped.append(Skipped(None, None, str(error).removeprefix(f"{pair.labels}: "), shown))
            continue
        images.append(Image(image_id, width, height, name))
        label_files.append(shown)
        counts["without labels"] += lines is None
        for number, line in enumerate(lines or (), start=1):
            if not (parts := line.split()):
                continue
            read = _read_line(parts, width, height, names if listed else None, shape)
            if isinstance(read, str):
                skipped.append(Skipped(None, number, read, shown, "line"))
                continue
            if line in seen:
                counts["twice"] += 1
                continue
            seen.add(line)
            label, box = read
            if shape is not None:
                keypoints.append(_keypoints_of(parts[5:], width, height, shape))
            counts["polygons"] += shape is None and len(parts) > 5
            if shape is None and len(parts) == 1 + CORNERS:
                counts["four corners"] += 1
                sides = [width, height] * (CORNERS // 2)
                corners.append([float(x) * side for x, side in zip(parts[1:], sides, strict=True)])
            if not listed:
                names.setdefault(label, str(label))
            rows.add(index, box, label, number)
    if not images:
        raise InputFileError(
            f"{path}: none of {plural(len(pairs), 'image')} can be used, the first is {skipped[0]}"
        )
    if counts["without labels"] == len(images):
        raise InputFileError(
            f"{path}: none of {plural(len(images), 'image')} has a label file: there is no {pairs[0].labels}"
        )
    if not listed:
        names = dict(sorted(names.items()))
    label_of = {category: label for label, category in enumerate(names)}
    rows.labels = [label_of[label] for label in rows.labels]
    if counts["without labels"]:
        what = plural(counts["without labels"], "image has", "images have")
        notices.append(f"{what} no label file, so no object")
    if shape is not None:
        rows.keypoints = np.asarray(keypoints, dtype=np.float64).reshape(-1, shape[0], 3)
    elif counts["four corners"] and counts["four corners"] == counts["polygons"] == len(rows.labels):
        rows.oriented = corners_to_xywhr(np.asarray(corners).reshape(-1, 4, 2))
        rows.areas = rows.oriented[:, 2] * rows.oriented[:, 3]
        notices.append(
            "every object has exactly four corners, so these are oriented boxes; "
            "where upright ones are asked for, those around them are taken"
        )
    elif counts["polygons"]:
        what = plural(counts["polygons"], "object is a polygon", "objects are polygons")
        notices.append(f"{what}: the boxes around them are taken")
    return make_dataset(
        source,
        "yolo",
        images,
        names,
        rows,
        noun="line",
        skipped=skipped,
        notices=notices,
        files=label_files,
        dropped={"it stands twice": counts["twice"]} if counts["twice"] else {},
        image_folder=folder,
    )


def _size(pair: Pair, files: ImageFiles | None) -> tuple[int, int]:
    """Read the size of an image from its file, or raise an OSError that says why that cannot be done."""
    if pair.image is None:
        if files is None:
            raise OSError("there is no image file to take the size from; --images DIR says where they are")
        return files.size(pair.name)
    try:
        return image_size(pair.image)
    except FileNotFoundError:
        if files is not None:
            return files.size(pair.name)
        raise OSError("there is no such image file") from None
    except OSError as error:
        raise OSError(error.strerror or str(error)) from None


def _lines(path: Path) -> list[str] | None:
    """Read the lines of a label file; None where there is none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from None
    return decode_text(path, data, "labels")[0].splitlines() if data.strip() else []


def _read_line(
    parts: Sequence[str],
    width: int,
    height: int,
    names: dict[int | str, str] | None,
    shape: tuple[int, int] | None,
) -> tuple[int, tuple[float, ...]] | str:
    """Read class and box x1 y1 x2 y2 in pixels of a line, or say what is wrong with it."""
    try:
        kind, *values = map(float, parts)
    except ValueError:
        return f"expected numbers, got {' '.join(parts[:6])!r}"
    if not kind.is_integer() or kind < 0 or (names is not None and kind not in names):
        wanted = "a class number" if names is None else _classes_of(names)
        return f"expected {wanted}, got {parts[0]}"
    count = len(values)
    if shape is not None and count not in (4, 4 + shape[0] * shape[1]):
        each = f"{shape[0]} keypoints of {shape[1]} numbers"
        return f"expected class, x, y, width, height and {each}, got {plural(count + 1, 'number')}"
    if count == 5 and shape is None:
        return "expected class, x, y, width, height, got a sixth number: is it the score of a detection?"
    if count < 4 or (count > 4 and count % 2 and shape is None):
        return (
            f"expected class, x, y, width, height, or class and corners x y of a polygon, got "
            f"{plural(count + 1, 'number')}"
        )
    if count == 4 or shape is not None:
        x, y, w, h = values[:4]
        fractions: tuple[float, ...] = (x, y, w, h)
        box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    else:
        fractions = tuple(values)
        around = polygon_box(values)
        if around is None:
            return f"expected finite numbers, got {' '.join(parts[:9])!r}"
        box = around
    if not all(-SLACK <= value <= 1 + SLACK for value in fractions):
        return f"expected fractions of the image from 0 to 1, got {' '.join(parts[1:9])}"
    x1, y1, x2, y2 = box
    return int(kind), (x1 * width, y1 * height, x2 * width, y2 * height)


def _classes_of(names: dict[int | str, str]) -> str:
    """Say which classes there are; names by number need not be of all from 0 on."""
    last = len(names) - 1
    if last in names and 0 in names:
        return f"a class from 0 to {last}"
    few = [str(number) for number in names][:10]
    return f"one of the classes {', '.join(few)}{' ...' if len(names) > len(few) else ''}"


def _keypoints_of(parts: Sequence[str], width: int, height: int, shape: tuple[int, int]) -> Any:
    """Give x, y in pixels and visibility of an object's keypoints, (K, 3), from what stands behind its box.

    Nothing may: then none is labelled. Without visibilities, one that is not labelled has a negative number.
    """
    count, each = shape
    if not parts:
        return np.zeros((count, 3))
    found = np.asarray(parts, dtype=np.float64).reshape(count, each)
    seen = found[:, 2] if each == 3 else np.all(found >= 0, axis=1).astype(float)
    seen = np.where(np.all(np.isfinite(found[:, :2]), axis=1), seen, 0)
    return np.where(seen[:, None] != 0, np.column_stack([found[:, :2] * [width, height], seen]), 0)

"""COCO's JSON, and LVIS's, which is the same with more said of images and categories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from assigncore.datasets.dataset import Dataset, Image, Rows, Skipped, make_dataset, own_ids, plain_id
from assigncore.datasets.files import (
    MAX_SIDE,
    ImageFiles,
    InputFileError,
    as_id,
    compare_sizes,
    decode_text,
    describe,
    id_of_other_type,
    is_coordinate,
    is_id,
    is_number,
    is_side,
    parse_json,
    read_bytes,
    wrong_coordinates,
)
from assigncore.datasets.masks import segmentation_box
from assigncore.inspect.display import plural

IMAGE_FIELDS = ("id", "width", "height", "file_name", "coco_url")
ANNOTATION_FIELDS = (
    *("id", "image_id", "category_id", "bbox", "area", "iscrowd", "ignore", "rotation", "keypoints"),
)
REQUIRED = ("image_id", "category_id", "bbox")


def read(path: Path, source: str, images: ImageFiles | None) -> Dataset:
    """Read a COCO or LVIS file; see `read_dataset`."""
    data = read_bytes(path, "a JSON file")
    encoding, document = None, _parse_quickly(data)
    if document is None:
        text, encoding = decode_text(path, data, "a JSON file")
        document = parse_json(path, text)
    del data
    if not isinstance(document, dict) or not all(
        isinstance(document.get(k), list) for k in ("images", "annotations")
    ):
        raise InputFileError(f"{path}: is not a COCO annotation file: {_what_is_wrong(document)}")
    entries = document["annotations"]
    if not document["images"]:
        raise InputFileError(f"{path}: the list 'images' is empty, there is nothing to read")
    found, broken = _read_images(path, document["images"], images)
    if not entries:
        raise InputFileError(f"{path}: the list 'annotations' is empty, there is nothing to read")
    notices: list[str] = []
    categories = _read_categories(path, document.get("categories"), notices)
    rows, skipped, said = _read_annotations(entries, found, categories, {b.annotation_id for b in broken})
    notices += said
    if images is not None:
        notices += compare_sizes(images, found)
    if encoding is not None:
        notices.insert(0, f"the file is {encoding.upper()} text and was read as such")
    return make_dataset(
        source,
        "lvis" if _is_lvis(document) else "coco",
        found,
        categories,
        rows,
        noun="index",
        skipped=[*broken, *skipped],
        notices=notices,
        as_written="x y width height",
        image_folder=None if images is None else images.folder,
    )


@cache
def _quick_decoder() -> Callable[[bytes], Any] | None:
    """Make what reads nothing but the fields that are needed, into less memory than dictionaries take."""
    try:
        msgspec = import_module("msgspec")
    except ModuleNotFoundError:
        return None

    def record(name: str, fields: Sequence[str], **typed: Any) -> Any:
        kinds = {**dict.fromkeys(fields, Any), **typed}
        return msgspec.defstruct(name, [(field, kind, None) for field, kind in kinds.items()], gc=False)

    attributes = record("Attributes", ["rotation"])
    annotation: Any = record("Annotation", ANNOTATION_FIELDS, attributes=attributes | None)
    image: Any = record("Image", IMAGE_FIELDS)
    document = record("Document", ["categories"], images=list[image], annotations=list[annotation])
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(document).decode
    return decode


def _parse_quickly(data: bytes) -> dict[str, Any] | None:
    """Parse a usual COCO file; None where it is not, which is for a patient parser to name.

    Python's own takes what is not JSON but written by Python, such as NaN, and tells wrong types apart.
    """
    decode = _quick_decoder()
    if decode is None:
        return None
    try:
        document = decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        # msgspec's errors are ValueErrors.
        return None
    if not isinstance(document.images, list) or not isinstance(document.annotations, list):
        return None
    if None in map(attrgetter("bbox"), document.annotations):
        # Something may have to be read from segmentations, which were passed over.
        return None
    return {name: getattr(document, name) for name in ("images", "annotations", "categories")}


def _column(entries: Sequence[Any], name: str) -> list[Any]:
    """Take one field of all entries, None where it is missing."""
    if hasattr(entries[0], name):
        return list(map(attrgetter(name), entries))
    return [entry.get(name) if isinstance(entry, dict) else None for entry in entries]


def _field(entry: Any, name: str) -> Any:
    return entry.get(name) if isinstance(entry, dict) else getattr(entry, name, None)


def _what_is_wrong(document: Any) -> str:
    """Say what a document that is no COCO file is instead."""
    expected = "expected an object with the lists 'images' and 'annotations'"
    if isinstance(document, dict):
        for name in ("annotations", "images"):
            value = document.get(name)
            if isinstance(value, dict):
                entries = plural(len(value), "entry", "entries")
                return f"{name!r} is an object of {entries} by key, expected a list of them"
            if name in document and not isinstance(value, list):
                return f"{name!r} is {describe(value)}, expected a list"
    first = document[0] if isinstance(document, list) and document else None
    if isinstance(first, dict) and "score" in first and "image_id" in first:
        return f"{expected}, got a list of detections: is this what --predictions wants?"
    return f"{expected}, got {describe(document)}"


def _is_lvis(document: Mapping[str, Any]) -> bool:
    """Tell LVIS's file by what it says of its categories."""
    categories = document.get("categories")
    first = categories[0] if isinstance(categories, list) and categories else None
    return isinstance(first, dict) and {"frequency", "synset"} <= set(first)


def _read_images(
    path: Path, entries: Sequence[Any], files: ImageFiles | None
) -> tuple[list[Image], list[Skipped]]:
    images: dict[int | str, Image] = {}
    broken: list[Skipped] = []
    for index, entry in enumerate(entries):
        found, *size = (_field(entry, name) for name in ("id", "width", "height"))
        found = as_id(found)
        if not is_id(found):
            raise InputFileError(f"{path}: image at index {index}: expected an object with an 'id'")
        if found in images:
            raise InputFileError(f"{path}: image {found}: another image has the same id")
        name = _file_name(entry, found)
        if not all(map(is_side, size)):
            if files is None:
                raise InputFileError(f"{path}: image {found}: {_wrong_size(*size)}")
            try:
                size = list(files.size(name))
            except OSError as error:
                broken.append(Skipped(found, None, f"{_wrong_size(*size)}; {error}", f"image {found}"))
                continue
        images[found] = Image(found, int(size[0]), int(size[1]), name)
    if not images:
        raise InputFileError(
            f"{path}: none of {plural(len(entries), 'image')} can be used, the first is {broken[0]}"
        )
    return list(images.values()), broken


def _wrong_size(width: Any, height: Any) -> str:
    side, value = ("height", height) if is_side(width) else ("width", width)
    got = "the field is missing" if value is None else f"got {value!r}"
    return f"expected {side} as a whole number above 0, {got} (--images DIR takes sizes from the files)"


def _file_name(entry: Any, found: int | str) -> str:
    """Name an image's file; LVIS gives an address that ends in folder and name."""
    name = _field(entry, "file_name")
    if isinstance(name, str) and name:
        return name
    address = _field(entry, "coco_url")
    return "/".join(address.split("/")[-2:]) if isinstance(address, str) and address else str(found)


def _read_categories(path: Path, entries: Any, notices: list[str]) -> dict[int | str, str]:
    if entries is None:
        return {}
    if not isinstance(entries, list):
        raise InputFileError(f"{path}: expected 'categories' as a list, got {describe(entries)}")
    categories: dict[int | str, str] = {}
    for entry in entries:
        found: Any = as_id(entry.get("id")) if isinstance(entry, dict) else None
        if is_id(found) and found not in categories:
            name = entry.get("name")
            categories[found] = str(found if name is None else name)
    if len(categories) < len(entries):
        count = plural(len(entries) - len(categories), "entry", "entries")
        notices.append(f"not used: {count} of 'categories' without an own id")
    return categories


def _read_annotations(
    entries: Sequence[Any], images: Sequence[Image], categories: dict[int | str, str], broken: set[Any]
) -> tuple[Rows, list[Skipped], list[str]]:
    """Read the columns of all annotations, and say what is wrong with those that cannot be read.

    Categories that only annotations use are added.
    """
    reasons: dict[int, str] = {}
    if isinstance(entries[0], dict) or not hasattr(entries[0], "bbox"):
        for i, entry in enumerate(entries):
            if not isinstance(entry, dict):
                reasons[i] = f"expected an object, got {describe(entry)}"
    columns = {name: _column(entries, name) for name in ANNOTATION_FIELDS}
    boxes, notices = columns["bbox"], []
    if None in boxes:
        boxes, count = _boxes_of_segmentations(entries, boxes)
        if count:
            what = plural(count, "annotation has", "annotations have")
            notices.append(f"{what} no 'bbox'; the box is that of the segmentation")
    for name in REQUIRED:
        column = boxes if name == "bbox" else columns[name]
        if None in column:
            for i, value in enumerate(column):
                if value is None:
                    reasons.setdefault(i, f"the field {name!r} is missing or null")
    image_index = _find_images(columns["image_id"], images, broken, reasons)
    labels = _find_categories(columns["category_id"], categories, reasons, notices)
    _check_boxes(boxes, reasons)
    areas = _read_areas(columns["area"], reasons)
    crowd = _read_crowds(columns["iscrowd"], reasons)
    ids, repeated = own_ids([value if type(value) is int else _read_id(value) for value in columns["id"]])
    skipped = [Skipped(plain_id(ids, i), i, reason) for i, reason in sorted(reasons.items())]
    if repeated:
        notices.append(
            f"{repeated:,} annotations share their ids with others, and are called by their index in the file"
        )
    notices += _about_rotation(entries, columns["rotation"])
    kept: Any = np.ones(len(entries), dtype=bool)
    kept[list(reasons)] = False
    chosen = np.nonzero(kept)[0]
    usable = boxes if len(chosen) == len(boxes) else [boxes[i] for i in chosen]
    flat = np.fromiter(chain.from_iterable(usable), dtype=np.float64, count=4 * len(usable)).reshape(-1, 4)
    flat[:, 2:] += flat[:, :2]
    rows = Rows(
        image_index=image_index[chosen],
        boxes=flat,
        labels=labels[chosen],
        positions=chosen,
        crowd=crowd[chosen],
        ignore=np.asarray(list(map(bool, columns["ignore"])))[chosen],
        areas=areas[chosen],
        ids=ids[chosen],
        keypoints=_read_keypoints(columns["keypoints"], chosen, notices),
    )
    return rows, skipped, notices


def _read_id(value: Any) -> int | str | None:
    """Read an annotation's id; none is needed, so what cannot be one is none."""
    value = as_id(value)
    return value if is_id(value) else None


def _find_images(
    ids: Sequence[Any], images: Sequence[Image], broken: set[Any], reasons: dict[int, str]
) -> Any:
    """Find each annotation's image, shape (A,), -1 where there is none."""
    index_of = {image.id: i for i, image in enumerate(images)}
    ids = _read_ids(ids)
    index = np.asarray([index_of.get(value, -1) for value in ids], dtype=np.int64)
    for i in np.nonzero(index < 0)[0].tolist():
        value = ids[i]
        why = f"there is no image {value!r}"
        if value in broken:
            why = f"its image {value!r} cannot be used"
        elif (other := id_of_other_type(value, index_of)) is not None:
            why += f"; there is {other!r}, which is not the same"
        reasons.setdefault(i, why)
    return index


def _read_ids(values: Sequence[Any]) -> Sequence[Any]:
    """Read ids of images or categories, each hashable."""
    if set(map(type, values)) <= {int, str}:
        return values
    values = [as_id(value) for value in values]
    return [value if is_id(value) else _NotAnId(value) for value in values]


@dataclass(frozen=True, eq=False)
class _NotAnId:
    """Stands for a value that can be no id, and may be no key of a dictionary either."""

    value: Any

    def __repr__(self) -> str:
        return repr(self.value)


def _find_categories(
    ids: Sequence[Any], categories: dict[int | str, str], reasons: dict[int, str], notices: list[str]
) -> Any:
    """Find each annotation's class label, shape (A,), and add the categories that are not listed."""
    listed = len(categories)
    label_of: dict[int | str, int] = {category: label for label, category in enumerate(categories)}
    ids = _read_ids(ids)
    found = [label_of.get(value, -1) for value in ids]
    unlisted = [i for i, label in enumerate(found) if label < 0]
    for i in unlisted:
        value = ids[i]
        if isinstance(value, _NotAnId) or (isinstance(value, str) and listed):
            other = id_of_other_type(value, label_of)
            hint = "" if other is None else f"; there is {other!r}, which is not the same"
            reasons.setdefault(i, f"category_id: expected an id of 'categories', got {value!r}{hint}")
        elif i not in reasons:
            categories.setdefault(value, str(value))
            found[i] = label_of.setdefault(value, len(label_of))
    if listed and len(categories) > listed:
        names = ", ".join(str(category) for category in list(categories)[listed:][:10])
        what = plural(sum(found[i] >= 0 for i in unlisted), "annotation is", "annotations are")
        notices.append(f"{what} of categories that 'categories' does not list: {names}")
    return np.asarray(found, dtype=np.int64)


def _boxes_of_segmentations(entries: Sequence[Any], boxes: Sequence[Any]) -> tuple[list[Any], int]:
    """Fill in boxes x y width height that are missing, and count them."""
    filled, count = list(boxes), 0
    for i, box in enumerate(boxes):
        found = segmentation_box(_field(entries[i], "segmentation")) if box is None else None
        if found is not None:
            filled[i] = [found[0], found[1], found[2] - found[0], found[3] - found[1]]
            count += 1
    return filled, count


def _check_boxes(boxes: Sequence[Any], reasons: dict[int, str]) -> None:
    """Say what is wrong with boxes that are not four finite numbers."""
    if all(type(box) is list and len(box) == 4 for box in boxes):
        flat = list(chain.from_iterable(boxes))
        if set(map(type, flat)) <= {int, float}:
            try:
                if np.all(np.abs(np.asarray(flat, dtype=np.float64)) <= MAX_SIDE):
                    return
            except OverflowError:
                pass
    expected = "four finite numbers x y width height"
    for i, box in enumerate(boxes):
        if not isinstance(box, list) or len(box) not in (4, 5):
            reasons.setdefault(i, f"bbox: expected {expected}, got {box!r}")
        elif wrong := wrong_coordinates(box, expected):
            reasons.setdefault(i, f"bbox: {wrong}")
        elif len(box) == 5:
            reasons.setdefault(
                i,
                f"bbox: five numbers are an oriented box; expected the four of an upright one, got {box!r}",
            )


def _read_areas(values: Sequence[Any], reasons: dict[int, str]) -> Any:
    """Read the areas, shape (A,), NaN where there is none."""
    if set(map(type, values)) <= {int, float, type(None)}:
        try:
            areas = np.asarray([np.nan if value is None else value for value in values], dtype=np.float64)
            if not np.any(areas < 0) and not np.any(np.isinf(areas)) and not any(v != v for v in values):
                return areas
        except OverflowError:
            pass
    areas = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        if value is None:
            continue
        if not is_number(value) or value < 0:
            reasons.setdefault(i, f"area: expected a finite number of at least 0, got {value!r}")
        else:
            areas[i] = value
    return areas


def _read_crowds(values: Sequence[Any], reasons: dict[int, str]) -> Any:
    """Read the flags, shape (A,), false where there is none."""
    if not set(map(type, values)) <= {int, bool, type(None)} or not set(values) <= {0, 1, None}:
        for i, value in enumerate(values):
            if not (value is None or isinstance(value, bool) or (is_number(value) and value in (0, 1))):
                reasons.setdefault(i, f"iscrowd: expected 0 or 1, got {value!r}")
    return np.asarray([value == 1 for value in values], dtype=bool)


def _read_keypoints(values: Sequence[Any], chosen: Any, notices: list[str]) -> Any:
    """Read the keypoints of the annotations that are used, (A, K, 3); None where there are none.

    Where categories have different numbers of them, the rest is not labelled.
    """
    if not any(values):
        return None
    rows = [values[i] or [] for i in chosen]
    sound = [isinstance(row, list) and len(row) % 3 == 0 and all(map(is_coordinate, row)) for row in rows]
    most = max((len(row) // 3 for row, good in zip(rows, sound, strict=True) if good), default=0)
    if not all(sound):
        what = plural(sound.count(False), "annotation has", "annotations have")
        notices.append(f"{what} 'keypoints' that are no list of x, y, visibility of each; they are not used")
    if most == 0:
        return None
    keypoints = np.zeros((len(rows), most, 3))
    for own, row, good in zip(keypoints, rows, sound, strict=True):
        if good:
            own[: len(row) // 3] = np.asarray(row, dtype=np.float64).reshape(-1, 3)
    return keypoints


def _about_rotation(entries: Sequence[Any], rotations: Sequence[Any]) -> list[str]:
    """Say that boxes are turned, where they are: as COCO's extensions write it, and in CVAT's attributes."""
    if not any(rotations):
        rotations = [None if a is None else _field(a, "rotation") for a in _column(entries, "attributes")]
    count = sum(is_number(value) and value != 0 for value in rotations if value is not None)
    if not count:
        return []
    what = plural(count, "annotation has", "annotations have")
    return [f"{what} a rotation, which is not used: the box is taken as it stands, upright"]

"""CrowdHuman's odgt: a line of JSON for each image, which says nothing of its size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from assigncore.datasets.dataset import Dataset, Image, Rows, Skipped, make_dataset
from assigncore.datasets.files import (
    ImageFiles,
    InputFileError,
    describe,
    is_id,
    is_side,
    read_text,
    wrong_coordinates,
)
from assigncore.inspect.display import plural

IMAGE_FOLDERS = ("Images", "images")


def read(path: Path, source: str, files: ImageFiles | None) -> Dataset:
    """Read an odgt file: the whole bodies ``fbox``, and what is masked or ignored as crowds."""
    text, _ = read_text(path, "a CrowdHuman file, a line of JSON for each image")
    if files is None:
        places = (base / name for base in (path.parent, path.parent.parent) for name in IMAGE_FOLDERS)
        folder = next((place for place in places if place.is_dir()), None)
        files = None if folder is None else ImageFiles(folder)
    images: dict[str, Image] = {}
    rows, skipped = Rows(), []
    lines = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
    for number, line in lines:
        where = f"line {number}"
        try:
            name, width, height, boxes = _read_line(line, files)
        except (ValueError, OSError, RecursionError) as error:
            skipped.append(Skipped(None, None, str(error), where))
            continue
        if name in images:
            skipped.append(Skipped(None, None, f"another line has the image {name!r}", where))
            continue
        index = len(images)
        images[name] = Image(name, width, height, f"{name}.jpg")
        for position, entry in enumerate(boxes, start=1):
            try:
                box, crowd = _read_box(entry)
            except ValueError as error:
                skipped.append(Skipped(None, position, str(error), where, "object"))
                continue
            rows.add(index, box, 0, position, crowd=crowd)
    if not images:
        raise InputFileError(
            f"{path}: none of {plural(len(lines), 'line')} can be used, the first is {skipped[0]}"
        )
    notices = ["objects are the whole bodies ('fbox'); masked and ignored ones are regions to ignore"]
    return make_dataset(
        source,
        "crowdhuman",
        list(images.values()),
        {1: "person"},
        rows,
        noun="object",
        skipped=skipped,
        notices=notices,
        files=list(images),
        as_written="x y width height",
        image_folder=None if files is None else files.folder,
    )


def _read_line(line: str, files: ImageFiles | None) -> tuple[str, int, int, list[Any]]:
    """Read an image's name, size and boxes, or say what is wrong."""
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise ValueError(f"is not valid JSON: {error}") from None
    name = entry.get("ID") if isinstance(entry, dict) else None
    if not is_id(name) or not isinstance(entry.get("gtboxes"), list):
        raise ValueError(f"expected an object with 'ID' and the list 'gtboxes', got {describe(entry)}")
    size = entry.get("width"), entry.get("height")
    if all(map(is_side, size)):
        return str(name), int(size[0]), int(size[1]), entry["gtboxes"]
    if files is None:
        raise ValueError(
            f"the format does not tell the size of image {name!r}: --images DIR takes it from the files"
        )
    return str(name), *files.size(f"{name}.jpg"), entry["gtboxes"]


def _read_box(entry: Any) -> tuple[tuple[float, float, float, float], bool]:
    """Read the box of a whole body, x1 y1 x2 y2, and whether it is to be ignored."""
    if not isinstance(entry, dict):
        raise ValueError(f"expected an object, got {describe(entry)}")
    box = entry.get("fbox")
    expected = "four finite numbers x y width height"
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"fbox: expected {expected}, got {box!r}")
    if wrong := wrong_coordinates(box, expected):
        raise ValueError(f"fbox: {wrong}")
    extra = entry.get("extra")
    ignored = isinstance(extra, dict) and extra.get("ignore") == 1
    x, y, width, height = map(float, box)
    return (x, y, x + width, y + height), ignored or entry.get("tag") != "person"

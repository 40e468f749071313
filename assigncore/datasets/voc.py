"""Pascal VOC's XML: a file for each image."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from assigncore.datasets.dataset import Dataset, Image, Rows, Skipped, make_dataset
from assigncore.datasets.files import (
    ImageFiles,
    InputFileError,
    compare_sizes,
    ids_of_files,
    is_coordinate,
    is_side,
    read_bytes,
    read_text,
)
from assigncore.inspect.display import plural

IMAGE_FOLDERS = ("JPEGImages", "images", "Images")


def is_root(folder: Path) -> bool:
    """Tell whether a folder looks like one of this format."""
    return any(next(place.glob("*.xml"), None) is not None for place in (folder / "Annotations", folder))


def read(path: Path, source: str, images: ImageFiles | None, split: str | None) -> Dataset:
    """Read a file, or all files of a folder or of a split in ``ImageSets/Main``; see `read_dataset`."""
    root = path if path.is_dir() else path.parent
    if root.name == "Annotations":
        root = root.parent
    paths = [path] if path.is_file() else _list_files(root, path, split)
    folder = next((root / name for name in IMAGE_FOLDERS if (root / name).is_dir()), None)
    files = images or (None if folder is None else ImageFiles(folder))
    rows, kinds = Rows(), []
    found: list[Image] = []
    names: list[str] = []
    skipped: list[Skipped] = []
    for file in paths:
        shown = os.path.relpath(file, root)
        try:
            image, tree = _read_file(file, files)
        except (ValueError, OSError, ElementTree.ParseError) as error:
            skipped.append(Skipped(None, None, _why(file, error), shown))
            continue
        for number, entry in enumerate(tree.iter("object"), start=1):
            try:
                kind, box, hard = _read_object(entry)
            except ValueError as error:
                skipped.append(Skipped(None, number, str(error), shown, "object"))
                continue
            kinds.append(kind)
            rows.add(len(found), box, 0, number, crowd=hard)
        found.append(image)
        names.append(shown)
    if not found:
        raise InputFileError(
            f"{path}: none of {plural(len(paths), 'file')} can be used, the first is {skipped[0]}"
        )
    pictures = [image.file_name for image in found]
    ids = ids_of_files(pictures if len(set(pictures)) == len(pictures) else names)
    found = [replace(image, id=id) for id, image in zip(ids, found, strict=True)]
    categories = sorted(set(kinds))
    label_of = {name: label for label, name in enumerate(categories)}
    rows.labels = [label_of[name] for name in kinds]
    notices = []
    if any(rows.crowd):
        notices.append("objects marked as difficult are regions to ignore, as crowds are")
    # VOC counts pixels from 1 and means the last one too: a box from 1 to the width is the whole image.
    if rows.boxes and min(min(box[:2]) for box in rows.boxes) >= 1:
        rows.boxes = [(x1 - 1, y1 - 1, x2, y2) for x1, y1, x2, y2 in rows.boxes]
    elif rows.boxes:
        notices.append("there are coordinates below 1, so pixels are counted from 0, not from 1 as VOC does")
    if files is not None:
        notices += compare_sizes(files, found)
    return make_dataset(
        source,
        "voc",
        found,
        {label: name for name, label in label_of.items()},
        rows,
        noun="object",
        skipped=skipped,
        notices=notices,
        files=names,
        image_folder=files.folder if files is not None else None,
    )


def _list_files(root: Path, given: Path, split: str | None) -> list[Path]:
    """List the XML files of a data set, or of one of its splits."""
    folder = root / "Annotations" if (root / "Annotations").is_dir() else given
    if split is None:
        paths = sorted(folder.glob("*.xml"))
        if not paths:
            raise InputFileError(f"{given}: expected XML files, found none")
        return paths
    listed = root / "ImageSets" / "Main" / f"{split}.txt"
    lines = read_text(listed, "a list of images")[0].split("\n")
    return [folder / f"{line.split()[0]}.xml" for line in lines if line.strip()]


def _why(file: Path, error: Exception) -> str:
    if isinstance(error, ElementTree.ParseError):
        return f"is not valid XML: {error}"
    return str(error).removeprefix(f"{file}: ")


def _read_file(file: Path, files: ImageFiles | None) -> tuple[Image, ElementTree.Element]:
    """Read one image's file: its name and size, and the tree with its objects."""
    data = read_bytes(file, "an XML file")
    if not data.strip():
        raise InputFileError(f"{file}: is empty, expected an XML file")
    tree = _parse(data)
    if tree.tag != "annotation":
        raise InputFileError(f"{file}: expected an <annotation>, got a <{tree.tag}>")
    name = (tree.findtext("filename") or "").strip() or file.stem
    size = [_number(tree.findtext(f"size/{side}")) for side in ("width", "height")]
    if all(map(is_side, size)):
        width, height = (int(value) for value in size if value is not None)
    elif files is not None:
        width, height = files.size(name)
    else:
        raise InputFileError(
            f"{file}: expected width and height above 0 in <size>, got {size} "
            "(--images DIR takes sizes from the files)"
        )
    return Image(0, width, height, name), tree


def _parse(data: bytes) -> ElementTree.Element:
    """Parse XML in whatever encoding it declares; the parser itself knows none of several bytes."""
    declared = re.match(rb"\s*<\?xml[^>]*encoding=[\"']([\w.-]+)[\"'][^>]*\?>", data)
    try:
        return ElementTree.fromstring(data)
    except (ValueError, LookupError, ElementTree.ParseError):
        if declared is None:
            raise
    try:
        return ElementTree.fromstring(data[declared.end() :].decode(declared[1].decode("ascii")))
    except LookupError:
        raise ValueError(
            f"declares the encoding {declared[1].decode('ascii')!r}, which is not known"
        ) from None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _read_object(entry: ElementTree.Element) -> tuple[str, Sequence[float], bool]:
    """Read class, box as it stands and whether it is difficult, or say what is wrong."""
    name = (entry.findtext("name") or "").strip()
    if not name:
        raise ValueError("the <name> is missing")
    outline = entry.find("bndbox")
    if outline is None and entry.find("robndbox") is not None:
        raise ValueError("<robndbox> is an oriented box; expected an upright <bndbox>")
    bounds = {child.tag: child.text for child in (() if outline is None else outline)}
    sides = [bounds.get(side) for side in ("xmin", "ymin", "xmax", "ymax")]
    box = [_number(side) for side in sides]
    if not all(map(is_coordinate, box)):
        raise ValueError(
            f"bndbox: expected the numbers xmin ymin xmax ymax, got {', '.join(map(str, sides))}"
        )
    hard = (entry.findtext("difficult") or "").strip() == "1"
    return name, [value for value in box if value is not None], hard

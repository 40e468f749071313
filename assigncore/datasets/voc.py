"""Pascal VOC's XML: a file for each image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from assigncore.datasets.dataset import Dataset, Image, Rows, Skipped, make_dataset
from assigncore.datasets.files import (
    ImageFiles,
    InputFileError,
    compare_sizes,
    ids_of_files,
    read_bytes,
    read_text,
)

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
    found: list[tuple[Path, Image, ElementTree.Element]] = []
    skipped: list[Skipped] = []
    for file in paths:
        shown = os.path.relpath(file, root)
        try:
            found.append((file, *_read_file(file, files)))
        except (InputFileError, OSError, ElementTree.ParseError) as error:
            skipped.append(Skipped(None, None, _why(file, error), shown))
    if not found:
        raise InputFileError(f"{path}: none of the {len(paths)} files can be used, the first is {skipped[0]}")
    names = [image.file_name for _, image, _ in found]
    ids = ids_of_files(names if len(set(names)) == len(names) else [str(file) for file, _, _ in found])
    pictures = [
        Image(id, image.width, image.height, image.file_name)
        for id, (_, image, _) in zip(ids, found, strict=True)
    ]
    shown_files = [os.path.relpath(file, root) for file, _, _ in found]
    rows, kinds = Rows(), []
    for index, ((_, _, tree), shown) in enumerate(zip(found, shown_files, strict=True)):
        for number, entry in enumerate(tree.iter("object"), start=1):
            try:
                name, box, hard = _read_object(entry)
            except ValueError as error:
                skipped.append(Skipped(None, number, str(error), shown, "object"))
                continue
            kinds.append(name)
            rows.add(index, box, 0, number, crowd=hard)
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
        notices += compare_sizes(files, pictures)
    return make_dataset(
        source,
        "voc",
        pictures,
        {label: name for name, label in label_of.items()},
        rows,
        noun="object",
        skipped=skipped,
        notices=notices,
        files=shown_files,
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
    tree = ElementTree.fromstring(data)
    if tree.tag != "annotation":
        raise InputFileError(f"{file}: expected an <annotation>, got a <{tree.tag}>")
    name = (tree.findtext("filename") or "").strip() or file.stem
    size = [_number(tree.findtext(f"size/{side}")) for side in ("width", "height")]
    if all(value is not None and value >= 1 and value.is_integer() for value in size):
        width, height = (int(value) for value in size if value is not None)
    elif files is not None:
        width, height = files.size(name)
    else:
        raise InputFileError(
            f"{file}: expected width and height above 0 in <size>, got {size} "
            "(--images DIR takes sizes from the files)"
        )
    return Image(0, width, height, name), tree


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
    if entry.find("bndbox") is None and entry.find("robndbox") is not None:
        raise ValueError("<robndbox> is an oriented box; expected an upright <bndbox>")
    sides = [entry.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    box = [_number(side) for side in sides]
    if any(value is None or abs(value) == float("inf") or value != value for value in box):
        raise ValueError(
            f"bndbox: expected the numbers xmin ymin xmax ymax, got {', '.join(map(str, sides))}"
        )
    hard = (entry.findtext("difficult") or "").strip() == "1"
    return name, [value for value in box if value is not None], hard

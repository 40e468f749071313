"""DOTA's label files: a text file for each image, a line of four corners and a class for each object."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from assigncore.boxes import corners_to_xywhr
from assigncore.datasets.dataset import Dataset, Image, Rows, Skipped, make_dataset
from assigncore.datasets.files import ImageFiles, InputFileError, ids_of_files, read_text
from assigncore.datasets.masks import polygon_box
from assigncore.inspect.display import plural

LABEL_FOLDERS = ("labelTxt", "labelTxt-v1.0", "labelTxt-v1.5", "labelTxt-v2.0", "annfiles")

IMAGE_FOLDERS = ("images", "JPEGImages")

HEADERS = ("imagesource", "gsd", "acquisition dates")
"""What the first lines of a file may begin with, before a colon."""

CORNERS = 8


def is_root(folder: Path) -> bool:
    """Tell whether a folder looks like one of this format."""
    return any((folder / name).is_dir() for name in LABEL_FOLDERS)


def read(path: Path, source: str, images: ImageFiles | None) -> Dataset:
    """Read a folder of label files, or the one above it; see `read_dataset`."""
    root = path if path.is_dir() else path.parent
    labels = next((root / name for name in LABEL_FOLDERS if (root / name).is_dir()), root)
    root = root.parent if labels == root and root.name in LABEL_FOLDERS else root
    paths = [path] if path.is_file() else sorted(labels.glob("*.txt"))
    if not paths:
        raise InputFileError(f"{path}: expected label files, found none")
    folder = next((root / name for name in IMAGE_FOLDERS if (root / name).is_dir()), None)
    files = images or (None if folder is None else ImageFiles(folder))
    if files is None:
        raise InputFileError(
            f"{path}: there are no images to take sizes from; --images DIR says where they are"
        )
    pictures: list[Image] = []
    shown_files, skipped = [], []
    rows, names, corners = Rows(), [], []
    hard = 0
    for file, image_id in zip(paths, ids_of_files([file.stem for file in paths]), strict=True):
        shown = os.path.relpath(file, root)
        try:
            lines = read_text(file, "labels")[0].splitlines() if file.stat().st_size else []
            width, height = files.size(file.stem)
        except (InputFileError, OSError) as error:
            skipped.append(Skipped(None, None, str(error).removeprefix(f"{file}: "), shown))
            continue
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.partition(":")[0].strip().lower() in HEADERS:
                continue
            found = _read_line(line.split())
            if isinstance(found, str):
                skipped.append(Skipped(None, number, found, shown, "line"))
                continue
            name, points, is_hard = found
            hard += is_hard
            names.append(name)
            corners.append(points)
            rows.add(len(pictures), polygon_box(points) or (0.0,) * 4, 0, number)
        pictures.append(Image(image_id, width, height, file.stem))
        shown_files.append(shown)
    if not pictures:
        raise InputFileError(
            f"{path}: none of {plural(len(paths), 'file')} can be used, the first is {skipped[0]}"
        )
    categories = sorted(set(names))
    label_of = {name: label for label, name in enumerate(categories)}
    rows.labels = [label_of[name] for name in names]
    rows.oriented = corners_to_xywhr(np.asarray(corners, dtype=np.float64).reshape(-1, 4, 2))
    rows.areas = rows.oriented[:, 2] * rows.oriented[:, 3]
    notices = ["boxes are oriented; where upright ones are asked for, those around them are taken"]
    if hard:
        notices.append(
            f"{plural(hard, 'object is', 'objects are')} marked as difficult, and objects as others"
        )
    return make_dataset(
        source,
        "dota",
        pictures,
        {label: name for name, label in label_of.items()},
        rows,
        noun="line",
        skipped=skipped,
        notices=notices,
        files=shown_files,
        image_folder=files.folder,
    )


def _read_line(parts: Sequence[str]) -> tuple[str, list[float], bool] | str:
    """Read class, corners and difficulty of a line, or say what is wrong with it."""
    if len(parts) not in (CORNERS + 1, CORNERS + 2):
        return f"expected four corners x y, a class and a difficulty, got {plural(len(parts), 'word')}"
    try:
        points = [float(part) for part in parts[:CORNERS]]
    except ValueError:
        return f"expected numbers, got {' '.join(parts[:CORNERS])!r}"
    if polygon_box(points) is None:
        return f"expected finite numbers of pixels, got {' '.join(parts[:CORNERS])!r}"
    return parts[CORNERS], points, parts[CORNERS + 1 :] not in ([], ["0"])

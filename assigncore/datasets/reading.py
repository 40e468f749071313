"""Which format a path holds, and the data set in it."""

from __future__ import annotations

import os
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from assigncore.datasets import coco, crowdhuman, dota, voc, yolo
from assigncore.datasets.dataset import Dataset
from assigncore.datasets.files import ImageFiles, InputFileError

SAMPLE = "neon_trees.json"

Format: TypeAlias = Literal["coco", "lvis", "yolo", "voc", "crowdhuman", "dota"]
"""A format of annotations, by its name."""

FORMATS: tuple[Format, ...] = get_args(Format)
"""All of them."""


def read_dataset(
    path: str | os.PathLike[str],
    format: Format | None = None,
    *,
    images: str | os.PathLike[str] | None = None,
    split: str | None = None,
    source: str | None = None,
) -> Dataset:
    """Read and check annotations.

    Parameters
    ----------
    path : str or path
        A COCO or LVIS file (JSON; it may be packed by gzip), a YOLO ``data.yaml`` or a folder with images and
        labels, a folder of Pascal VOC's XML files or the one above it, a CrowdHuman file (odgt), or a folder
        of DOTA's label files or the one above it.
    format : {"coco", "lvis", "yolo", "voc", "crowdhuman", "dota"}, optional
        What it is. Default: what it looks like.
    images : str or path, optional
        Folder of the image files, from which sizes are taken that the annotations do not tell. Default: for
        YOLO, VOC, CrowdHuman and DOTA where they usually are.
    split : str, optional
        YOLO: which of the splits in ``data.yaml``; default ``train``, or the first there is. VOC: which list
        in ``ImageSets/Main``; default: all files.
    source : str, optional
        What to call it in reports. Default: the path.

    Returns
    -------
    Dataset
        A sequence: ``dataset[0].gt_bboxes``, ``gt_labels`` and ``ignore_bboxes`` are what an assigner takes;
        for one of oriented boxes ``gt_oriented``, which those of DOTA and of YOLO-OBB have; for one of
        keypoints ``gt_keypoints``, which those of COCO and of YOLO-pose may have.

    Raises
    ------
    InputFileError
        If it cannot be read, is of no such format, has an image without size, or no usable object, crowd
        regions not counted.
    ValueError
        If there is no such format or no folder `images`, or `split` is given for a format without splits.
    TypeError
        If `path` or `images` is no path.

    Notes
    -----
    What is broken (a missing field, an unknown image, a box that is not four finite numbers, has no extent or
    lies outside its image; a whole file among several) is left out and listed in ``skipped``. A box that
    reaches over the edge is clipped, as detectors do when they resize. What data loaders leave out of
    training is counted in ``dropped``: ``ignore: 1``, an area of 0, a side below 1 pixel.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "a.xml").write_text(
    ...         "<annotation><filename>a.jpg</filename><size><width>64</width><height>48</height></size>"
    ...         "<object><name>kite</name><bndbox><xmin>5</xmin><ymin>9</ymin><xmax>20</xmax><ymax>18</ymax>"
    ...         "</bndbox></object></annotation>"
    ...     )
    ...     dataset = read_dataset(folder, source="kites")
    >>> dataset.format, dataset
    ('voc', Dataset(kites: 1 image, 1 object, 1 class))
    >>> dataset[0].gt_bboxes
    array([[ 4.,  8., 20., 18.]], dtype=float32)
    """
    if format is not None and format not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {format!r}")
    path, images = as_path("path", path), None if images is None else as_path("images", images)
    try:
        return _read(path, format, images, split, source)
    except OSError as error:
        # Of folders that may not be looked into, names that are too long, disks that fail.
        raise InputFileError(f"{path}: cannot be read: {error.strerror or error}") from None


def as_path(name: str, value: Any) -> Path:
    """Take an argument for a path.

    Raises
    ------
    TypeError, ValueError
        If it cannot be one.
    """
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name}: expected a path, got {type(value).__name__}")
    text = os.fspath(value)
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError(f"{name}: expected a path, got {value!r}")
    return Path(text)


def _read(
    path: Path, format: Format | None, images: Path | None, split: str | None, source: str | None
) -> Dataset:
    """Read what `read_dataset` says."""
    if format is None:
        path, format = find_format(path)
    elif path.is_dir() and format in ("coco", "lvis", "crowdhuman"):
        path = _only_file(path, (".odgt",) if format == "crowdhuman" else (".json", ".json.gz"))
    elif not path.exists():
        raise InputFileError(f"{path}: no such file or folder")
    named = str(path) if source is None else source
    if images is not None and not images.is_dir():
        raise ValueError(f"images {images}: no such folder")
    folder = None if images is None else ImageFiles(images)
    if split is not None and format not in ("yolo", "voc"):
        raise ValueError(f"split: {format} has no splits: give the file of the one, got {split!r}")
    if format in ("coco", "lvis"):
        return coco.read(path, named, folder)
    if format == "crowdhuman":
        return crowdhuman.read(path, named, folder)
    if format == "dota":
        return dota.read(path, named, folder)
    if format == "yolo":
        return yolo.read(path, named, folder, split)
    return voc.read(path, named, folder, split)


def read_coco(path: str | os.PathLike[str], *, source: str | None = None) -> Dataset:
    """Read and check a COCO annotation file; `read_dataset` reads other formats too.

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
        As `read_dataset` gives it.

    Raises
    ------
    InputFileError
        As for `read_dataset`.

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
    return read_dataset(path, "coco", source=source)


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


def find_format(path: Path) -> tuple[Path, Format]:
    """Tell the format of a path by its name and what is in it, and which file of a folder holds it.

    Raises
    ------
    InputFileError
        If there is nothing, or several files could be meant.
    """
    if path.is_dir():
        return _format_of_folder(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    last = next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")
    if last in (".yaml", ".yml"):
        return path, "yolo"
    if last == ".xml":
        return path, "voc"
    if last in (".odgt", ".jsonl", ".ndjson"):
        return path, "crowdhuman"
    # Whatever else it is called: COCO's reader says what it misses.
    return path, "coco"


def _format_of_folder(folder: Path) -> tuple[Path, Format]:
    if voc.is_root(folder):
        return folder, "voc"
    if dota.is_root(folder):
        return folder, "dota"
    for place in (folder, folder / "annotations"):
        if not place.is_dir():
            continue
        if found := _files(place, (".odgt",)):
            return _only(folder, found), "crowdhuman"
        if found := _files(place, (".json", ".json.gz")):
            return _only(folder, found), "coco"
    if yolo.is_root(folder):
        return folder, "yolo"
    raise InputFileError(
        f"{folder}: is a folder of no format that is known: expected one of YOLO (data.yaml, or images and "
        "labels), of Pascal VOC (XML files, or Annotations), of DOTA (labelTxt), or with a COCO or "
        "CrowdHuman file"
    )


def _only_file(folder: Path, suffixes: tuple[str, ...]) -> Path:
    """Find the one file of a format in a folder."""
    found = _files(folder, suffixes) or _files(folder / "annotations", suffixes)
    if not found:
        raise InputFileError(f"{folder}: is a folder without {' or '.join(suffixes)} files")
    return _only(folder, found)


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return sorted(p for p in folder.glob("*") if p.name.lower().endswith(suffixes)) if folder.is_dir() else []


def _only(folder: Path, found: list[Path]) -> Path:
    if len(found) > 1:
        shown = ", ".join(str(p.relative_to(folder)) for p in found[:6]) + (" ..." if len(found) > 6 else "")
        raise InputFileError(
            f"{folder}: is a folder of several annotation files, {shown}: give the path of one"
        )
    return found[0]

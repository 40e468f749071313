"""Files as people have them: packed, in other encodings, broken; and the sizes of image files."""

from __future__ import annotations

import codecs
import gzip
import json
import struct
import sys
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Protocol

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".jp2", ".ppm", ".pgm")

MAX_SIDE = 2**31 - 1
"""No image is so wide or high, and no coordinate of a box so far away."""

MOST_COMPARED = 5000
"""Images whose sizes are compared with their files'."""

ARCHIVES = {b"PK\x03\x04": "a zip archive", b"BZh": "packed by bzip2", b"\xfd7zXZ": "packed by xz"}
ARCHIVES |= {b"\x28\xb5\x2f\xfd": "packed by zstd", b"7z\xbc\xaf": "a 7z archive"}

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    # Before UTF-16's, which it begins with.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class InputFileError(ValueError):
    """A file that cannot be used, said in one line that names it and what was expected."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def read_bytes(path: Path, expected: str) -> bytes:
    """Read a file, unpacked where gzip has packed it, or say in one line why that cannot be done."""
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
    except FileNotFoundError:
        raise InputFileError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputFileError(f"{path}: is a folder, expected {expected}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputFileError(f"{path}: is cut off or broken: gzip cannot unpack it") from None
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    for magic, kind in ARCHIVES.items():
        if data.startswith(magic):
            raise InputFileError(f"{path}: is {kind}, expected {expected}, plain or packed by gzip")
    return data


def read_text(path: Path, expected: str) -> tuple[str, str | None]:
    """Read a text file; see `decode_text`."""
    return decode_text(path, read_bytes(path, expected), expected)


def decode_text(path: Path, data: bytes, expected: str) -> tuple[str, str | None]:
    """Make text of a file's bytes.

    Returns
    -------
    text : str
    encoding : str or None
        None: UTF-8, as usual.

    Raises
    ------
    InputFileError
        If there is none, or it is in an encoding that nothing in it names.
    """
    if not data.strip(b" \t\r\n\x00"):
        raise InputFileError(f"{path}: is empty, expected {expected}")
    encoding = next((e for mark, e in BYTE_ORDER_MARKS.items() if data.startswith(mark)), None)
    if encoding is None and b"\x00" in data[:4]:
        # JSON and YAML begin with ASCII, so the zeros tell; an unmarked UTF-16 as Windows' tools write it.
        encoding = json.detect_encoding(data)
    try:
        text = data.decode(encoding or "utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InputFileError(_not_decoded(path, data, encoding or "utf-8", error, expected)) from None
    return text, None if encoding in (None, "utf-8") else encoding


def _not_decoded(path: Path, data: bytes, encoding: str, error: UnicodeDecodeError, expected: str) -> str:
    """Say which encoding it is not, and which it may be."""
    name = encoding.upper()
    printable = sum(byte >= 32 or byte in b"\t\r\n" for byte in data[:4096])
    if encoding != "utf-8" or printable < 0.95 * len(data[:4096]):
        return f"{path}: is not text, expected {expected}"
    around = data[max(0, error.start - 12) : error.start + 12].decode("cp1252", errors="replace")
    return (
        f"{path}: is not {name} text: byte 0x{data[error.start]:02x} at offset {error.start:,}; "
        f"as Windows-1252 (Latin-1) it reads {around!r}. Save it as UTF-8: iconv -f WINDOWS-1252 -t UTF-8"
    )


def read_json(path: Path, decode: Callable[[str], Any] = json.loads) -> Any:
    """Read a JSON file, or say in one line why that cannot be done.

    Parameters
    ----------
    path : Path
    decode : callable
        What reads the text.
    """
    return parse_json(path, read_text(path, "a JSON file")[0], decode)


def parse_json(path: Path, text: str, decode: Callable[[str], Any] = json.loads) -> Any:
    """Read JSON from text; `path` is named in errors."""
    try:
        return decode(text)
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"{path}: is not valid JSON: {error}") from None


def is_id(value: Any) -> bool:
    """Tell whether a value can be an id: a whole number or a name."""
    return isinstance(value, int | str) and not isinstance(value, bool)


def as_id(value: Any) -> Any:
    """Take 1.0 for 1; anything else is as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def id_of_other_type(value: Any, known: Mapping[int | str, Any]) -> int | str | None:
    """Find the id that a value would be as text in place of a number, or as a number in place of text."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and int(value) in known else None
    return str(value) if is_id(value) and str(value) in known else None


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_side(value: Any) -> bool:
    """Tell whether a value can be the width or height of an image, in pixels."""
    return is_number(value) and 1 <= value <= MAX_SIDE and value == int(value)


def is_coordinate(value: Any) -> bool:
    """Tell whether a value can say where something is in an image, or near one, in pixels."""
    return is_number(value) and abs(value) <= MAX_SIDE


def wrong_coordinates(values: Sequence[Any], expected: str) -> str:
    """Say what is wrong with what should be coordinates in pixels, as `expected` calls them; else nothing."""
    if all(map(is_coordinate, values)):
        return ""
    if not all(map(is_number, values)):
        return f"expected {expected}, got {values!r}"
    return f"expected pixels of an image, up to {MAX_SIDE:,}, got {values!r}"


def describe(value: Any) -> str:
    """Call a value of a document by its kind."""
    if isinstance(value, dict):
        keys = ", ".join(repr(k) for k in list(value)[:6])
        return f"an object with {keys}" if keys else "an empty object"
    return {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )


def ids_of_files(paths: Sequence[str]) -> list[int | str]:
    """Name images by their files, as detectors' results do: ``000139.jpg`` is 139, ``cat.jpg`` is ``cat``.

    Where two would be called alike, all are called by their whole paths.

    Examples
    --------
    >>> ids_of_files(["a/000139.jpg", "a/cat.jpg"]), ids_of_files(["a/1.jpg", "b/1.jpg"])
    ([139, 'cat'], ['a/1.jpg', 'b/1.jpg'])
    """
    stems = [path.replace("\\", "/").rpartition("/")[2].rpartition(".") for path in paths]
    names = [stem or suffix for stem, _, suffix in stems]
    ids: list[int | str] = [int(name) if name.isascii() and name.isdigit() else name for name in names]
    return ids if len(set(ids)) == len(ids) else list(paths)


def image_size(path: Path) -> tuple[int, int]:
    """Read an image's width and height from the head of its file, turned as its EXIF orientation says.

    Raises
    ------
    OSError
        If it cannot be read, or is no image that is known.
    """
    width, height = _written_size(path)
    if not (is_side(width) and is_side(height)):
        raise OSError("has no pixels" if width < 1 or height < 1 else "is a broken image")
    return width, height


def _written_size(path: Path) -> tuple[int, int]:
    """Read what an image file says of its size."""
    with path.open("rb") as file:
        head = file.read(26)
        if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR" and len(head) >= 24:
            # Only JPEG is ever turned by EXIF in practice.
            return struct.unpack(">II", head[16:24])
        if head.startswith(b"\xff\xd8"):
            file.seek(2)
            return _jpeg_size(file)
    return _size_by_pillow(path)


def _jpeg_size(file: BinaryIO) -> tuple[int, int]:
    """Walk through a JPEG's segments to the one that holds its size."""
    turned = False
    while True:
        marker = file.read(1)
        if marker != b"\xff":
            raise OSError("is a broken JPEG file")
        while marker == b"\xff":
            marker = file.read(1)
        code = marker[0] if marker else 0xD9
        if code == 0x01 or 0xD0 <= code <= 0xD8:
            continue
        length = int.from_bytes(file.read(2)) - 2
        if code in (0xD9, 0xDA) or length < 0:
            raise OSError("is a broken JPEG file")
        if code == 0xE1:
            turned = _exif_turns(file.read(length)) or turned
        elif 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            frame = file.read(5)
            if len(frame) < 5:
                raise OSError("is a broken JPEG file")
            height, width = struct.unpack(">HH", frame[1:])
            return (height, width) if turned else (width, height)
        else:
            file.seek(length, 1)


def _exif_turns(segment: bytes) -> bool:
    """Tell whether the EXIF orientation swaps width and height."""
    if not segment.startswith(b"Exif\x00\x00"):
        return False
    tiff = segment[6:]
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return False
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for i in range(count):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * i)
            if tag == 0x0112:
                return bool(5 <= value <= 8)
    except struct.error:
        return False
    return False


def _size_by_pillow(path: Path) -> tuple[int, int]:
    """Ask Pillow, which knows all other formats."""
    try:
        pillow = import_module("PIL.Image")
    except ModuleNotFoundError:
        raise OSError(
            'is neither PNG nor JPEG; other images need Pillow: pip install "assigncore[audit]"'
        ) from None
    try:
        # It warns of what is broken beside the size, and of large images, of which no pixel is read here.
        with warnings.catch_warnings(action="ignore"), pillow.open(path) as image:
            width, height = image.size
            turned = 5 <= image.getexif().get(0x0112, 1) <= 8
    except OSError:
        raise OSError("is no image that is known") from None
    except Exception:  # Its readers raise whatever a broken file leads them to.
        raise OSError("is a broken image") from None
    return (height, width) if turned else (width, height)


class ImageFiles:
    """The image files in a folder, found by name, wherever in it they are.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_name: dict[str, Path] | None = None

    def find(self, name: str) -> Path | None:
        """Find an image by the path or name that the annotations call it by, or None."""
        name = name.replace("\\", "/")
        base = name.rpartition("/")[2]
        for path in (self.folder / name, self.folder / base):
            try:
                if path.is_file():
                    return path
            except (OSError, ValueError):
                # Names too long for a file, or with a zero byte.
                continue
        if self._by_name is None:
            self._by_name = {}
            for path in sorted(self.folder.rglob("*")):
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    self._by_name.setdefault(path.name, path)
                    self._by_name.setdefault(path.stem, path)
        return self._by_name.get(base)

    def size(self, name: str) -> tuple[int, int]:
        """Give the width and height of an image.

        Raises
        ------
        OSError
            If there is none, or it cannot be read.
        """
        path = self.find(name)
        if path is None:
            raise OSError(f"there is no {name!r} in {self.folder}")
        try:
            return image_size(path)
        except OSError as error:
            raise OSError(f"{path} {error.strerror or error}") from None


class Sized(Protocol):
    """An image whose size the annotations tell."""

    @property
    def file_name(self) -> str:
        """Its file."""

    @property
    def width(self) -> int:
        """In pixels."""

    @property
    def height(self) -> int:
        """In pixels."""


def compare_sizes(files: ImageFiles, images: Sequence[Sized]) -> list[str]:
    """Say whether images have other sizes than the annotations tell, in a sentence or none.

    Of many images so many are looked at as take a second, spread over all.
    """
    step = -(-len(images) // MOST_COMPARED)
    there, other = 0, []
    for image in images[::step]:
        try:
            size = files.size(image.file_name)
        except OSError:
            continue
        there += 1
        if size != (image.width, image.height):
            other.append(
                f"{image.file_name} has {size[0]} x {size[1]} pixels, not {image.width} x {image.height}"
            )
    if not there:
        return [f"there is none of the images in {files.folder}"]
    if not other:
        return []
    return [
        f"{len(other):,} of {there:,} image files that were looked at are of another size than is annotated "
        f"(turned as their EXIF orientation says): {other[0]}"
    ]

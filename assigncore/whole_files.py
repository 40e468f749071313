"""Files that are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

__all__ = ["whole_file", "write_whole"]


@contextmanager
def whole_file(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file to write, beside its place; it is put there when all is written.

    Whoever reads meanwhile, and whoever comes after a crash, finds the old file or the new one, and never a
    part of it. Of two that write at once the later one stays. A pipe or a device is written as it is.

    Parameters
    ----------
    path : str or path
        Its folder must exist. Through a symbolic link the file that it leads to is replaced.
    mode : {"w", "wb"}
        Text, which is UTF-8, or bytes.

    Yields
    ------
    file
        What to write to.

    Raises
    ------
    OSError
        If it cannot be written; what stood at `path` stays.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "report.txt"
    ...     with whole_file(path) as file:
    ...         _ = file.write("all of it")
    ...         before = path.exists()
    ...     before, path.read_text(), len(os.listdir(folder))
    (False, 'all of it', 1)
    """
    place = Path(os.path.realpath(path))
    # JSON may hold halves of surrogate pairs, which no file of text can: they become escapes.
    encoding, errors = (None, None) if "b" in mode else ("utf-8", "backslashreplace")
    if place.exists() and not place.is_file():
        with open(place, mode, encoding=encoding, errors=errors) as file:
            yield file
        return
    # Hidden, short whatever the name is, and of nobody else.
    beside = place.parent / f".{secrets.token_hex(8)}.part"
    try:
        with open(beside, mode.replace("w", "x"), encoding=encoding, errors=errors) as file:
            yield file
        os.replace(beside, place)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file of some text or bytes as :func:`whole_file` does.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "report.txt"
    ...     write_whole(path, "all of it")
    ...     path.read_text()
    'all of it'
    """
    with whole_file(path, "w" if isinstance(content, str) else "wb") as file:
        file.write(content)

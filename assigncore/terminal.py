"""Text for a terminal or a pipe, which may not know every character and may be closed at any time."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

__all__ = ["HeldOutput", "OutputError", "write_text"]

PLAIN = str.maketrans(
    {"▁": ".", "▂": ":", "▃": "-", "▄": "=", "▅": "+", "▆": "*", "▇": "%", "█": "#", "…": "~", "×": "x"}
)
"""Characters of ASCII, as wide, for those of ours that an encoding may lack."""


class HeldOutput(io.StringIO):
    """Text for standard output that is held until all of it is there; Rich takes it for the terminal."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of standard output."""
        return getattr(sys.stdout, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Tell whether standard output is a terminal."""
        return sys.stdout is not None and sys.stdout.isatty()

    def write_out(self) -> None:
        """Write all of it to standard output; see `write_text`."""
        write_text(self.getvalue())


class OutputError(Exception):
    """Standard output took no more, said in one line."""


def write_text(text: str) -> None:
    """Write text to standard output, what its encoding lacks as near as it can be.

    Raises
    ------
    OutputError
        If it is closed, or the disk beneath it is full. Nothing further is written to it.
    """
    stream = sys.stdout
    if stream is None:
        raise OutputError("standard output cannot be written: it is closed")
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(PLAIN).encode(encoding, "replace").decode(encoding)
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        _write_nowhere()
        raise OutputError(f"standard output cannot be written: {error.strerror or error}") from None


def _write_nowhere() -> None:
    """Turn standard output away, since Python writes at its end what a buffer still holds, and complains."""
    with suppress(OSError, ValueError, io.UnsupportedOperation):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)

"""One compact, deterministic file that holds many golden cases.

An archive is an ordinary ``.npz`` file. Its member ``index.json`` lists the cases: each has the case's own
``meta`` and, per array, ``[dtype, shape, offset]``. The other members, one a dtype, hold the elements of all
arrays of that dtype end to end; an array that occurs twice is stored once. A thousand small files become one,
and NumPy alone can read it, whichever of the zip format's compressions it has.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from assigncore.whole_files import write_whole

__all__ = ["Compression", "RawCase", "pack_bytes", "read_archive", "write_archive"]

FORMAT_VERSION = 1
"""Version of the layout; an archive of another version is refused."""

_INDEX = "index.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_CREATED_ON_UNIX = 3

AnyArray = NDArray[Any]


@dataclass(frozen=True, eq=False)
class RawCase:
    """A golden case as it is stored: its description and its arrays, uninterpreted.

    Parameters
    ----------
    meta : mapping
        The case's description, as decoded from JSON.
    arrays : mapping of str to numpy.ndarray
        ``in_<name>``, ``out_<name>`` and ``stable_<name>`` arrays.
    """

    meta: Mapping[str, Any]
    arrays: Mapping[str, AnyArray]


class Compression(IntEnum):
    """How the members of an archive are compressed."""

    DEFLATE = zipfile.ZIP_DEFLATED
    """Quick to read."""

    LZMA = zipfile.ZIP_LZMA
    """As xz compresses: a third smaller."""


def _member(name: str, compression: Compression) -> zipfile.ZipInfo:
    """Describe a zip member without anything that varies between runs or platforms."""
    info = zipfile.ZipInfo(name, date_time=_EPOCH)
    info.compress_type = compression.value
    info.create_system = _CREATED_ON_UNIX
    info.external_attr = 0o644 << 16
    return info


def _npy_bytes(array: AnyArray) -> bytes:
    buffer = BytesIO()
    np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def pack_bytes(cases: Iterable[RawCase], compression: Compression = Compression.DEFLATE) -> bytes:
    """Lay cases out as one archive.

    Parameters
    ----------
    cases : iterable of RawCase
        In the order in which they shall be read back.
    compression : Compression, default Compression.DEFLATE
        Of the archive's members.

    Returns
    -------
    bytes
        The archive. The same cases give the same bytes (with the same compression library).

    Raises
    ------
    TypeError
        An array's dtype cannot be stored without pickling.

    Examples
    --------
    >>> import numpy as np
    >>> case = RawCase({"case": "one"}, {"in_priors": np.zeros((2, 4))})
    >>> pack_bytes([case]) == pack_bytes([case])
    True
    """
    pools: dict[str, list[AnyArray]] = {}
    lengths: dict[str, int] = {}
    offsets: dict[tuple[str, bytes], int] = {}
    entries = []
    for case in cases:
        spans: dict[str, tuple[str, list[int], int]] = {}
        for name in sorted(case.arrays):
            array = case.arrays[name]
            if array.dtype.kind not in "biuf":
                raise TypeError(
                    f"array {name!r} has dtype {array.dtype}; expected a boolean, integer or real one"
                )
            little_endian = array.dtype.newbyteorder("<")
            flat = np.ascontiguousarray(array, dtype=little_endian).reshape(-1)
            dtype = array.dtype.name
            key = (dtype, flat.tobytes())
            if key not in offsets:
                offsets[key] = lengths.get(dtype, 0)
                lengths[dtype] = offsets[key] + flat.size
                pools.setdefault(dtype, []).append(flat)
            spans[name] = (dtype, list(array.shape), offsets[key])
        entries.append({"meta": dict(case.meta), "arrays": spans})
    index = json.dumps({"format": FORMAT_VERSION, "cases": entries}, sort_keys=True, separators=(",", ":"))
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(_member(_INDEX, compression), index, compresslevel=9)
        for dtype in sorted(pools):
            data = _npy_bytes(np.concatenate(pools[dtype]))
            archive.writestr(_member(f"{dtype}.npy", compression), data, compresslevel=9)
    return buffer.getvalue()


def _same_content(first: bytes, second: bytes) -> bool:
    """Tell whether two archives hold the same members, however they were compressed."""
    try:
        with zipfile.ZipFile(BytesIO(first)) as one, zipfile.ZipFile(BytesIO(second)) as other:
            names = one.namelist()
            return names == other.namelist() and all(one.read(name) == other.read(name) for name in names)
    except zipfile.BadZipFile:
        return False


def write_archive(
    path: Path, cases: Iterable[RawCase], compression: Compression = Compression.DEFLATE
) -> bool:
    """Write cases to a file, unless it holds exactly them already.

    A file with the same content is left alone, because compression libraries differ in the bytes they make
    and a repeated packing must not show up as a change.

    Parameters
    ----------
    path : pathlib.Path
        File to write.
    cases : iterable of RawCase
        Cases, in order.
    compression : Compression, default Compression.DEFLATE
        Of the archive's members, where it is written.

    Returns
    -------
    bool
        Whether the file was written.
    """
    data = pack_bytes(cases, compression)
    if path.exists() and _same_content(path.read_bytes(), data):
        return False
    write_whole(path, data)
    return True


def read_archive(file: IO[bytes]) -> list[RawCase]:
    """Read the cases of an archive.

    Parameters
    ----------
    file : binary file
        Open for reading.

    Returns
    -------
    list of RawCase
        In the order in which they were packed; the arrays are read-only.

    Raises
    ------
    ValueError
        The file is not an archive of this layout.
    """
    with np.load(file, allow_pickle=False) as archive:
        if _INDEX not in archive.files:
            raise ValueError(f"not an archive of golden cases: it has no member {_INDEX!r}")
        index = json.loads(archive[_INDEX])
        if index.get("format") != FORMAT_VERSION:
            raise ValueError(f"archive format {index.get('format')!r}; expected {FORMAT_VERSION}")
        pools = {name: archive[name] for name in archive.files if name != _INDEX}
    for pool in pools.values():
        pool.setflags(write=False)

    def array(dtype: str, shape: list[int], offset: int) -> AnyArray:
        span: AnyArray = pools[dtype][offset : offset + math.prod(shape)]
        return span.reshape(shape)

    return [
        RawCase(entry["meta"], {name: array(*span) for name, span in entry["arrays"].items()})
        for entry in index["cases"]
    ]

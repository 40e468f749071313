"""The golden cases: inputs, and what the published packages answered.

`load_packed` reads the cases that come with the package, `load_folder` those of a folder, packed or
of one file a case.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.goldens.archive import RawCase, read_archive

__all__ = [
    "GoldenCase",
    "load_folder",
    "load_packed",
    "read_archives",
    "read_folder",
    "variants",
    "variants_of_folder",
]

AnyArray = NDArray[Any]
_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class GoldenCase:
    """One call of one published assigner: its arguments and its answer.

    Parameters
    ----------
    variant : str
        The assigner whose behaviour the case shows, ``"MaxIoUAssigner"`` say. A name that ends in ``2x`` has
        the behaviour of mmdet 2.28.2 where that differs.
    name : str
        The case's name, unique within its variant.
    source : str
        Package and version that computed the answer.
    dtype : str
        Floating dtype of the inputs.
    init : mapping
        Constructor arguments; tuples are tuples again.
    call : mapping
        Further arguments of the call.
    inputs : mapping of str to numpy.ndarray
        Input arrays by the package's argument names.
    expected : mapping of str to numpy.ndarray
        The answer to reproduce: the output with every tie broken by the lowest index where the package left a
        tie to chance, else the package's own output.
    none_outputs : tuple of str
        Outputs that are None.
    raises : str or None
        Name of the exception the package raised instead of an answer.
    tied_entries : int
        Entries of the package's own output that an unspecified tie decided.
    f64_diff : int
        Entries that change when the same float32 inputs are computed in float64: rounding decides them.
    opt_cost : float, tuple of float or None
        Total cost of the optimal matching, for the assigners that solve one; of each, for those that solve
        several.
    cost : numpy.ndarray, tuple of numpy.ndarray or None
        The matching's cost matrix (N, G), or each one's, where they were small enough to be kept.
    forced : int
        Pairs whose cost is not finite that the package matched for want of others.

    Notes
    -----
    All arrays are read-only.
    """

    variant: str
    name: str
    source: str
    dtype: str
    init: Mapping[str, Any]
    call: Mapping[str, Any]
    inputs: Mapping[str, AnyArray]
    expected: Mapping[str, AnyArray]
    none_outputs: tuple[str, ...] = ()
    raises: str | None = None
    tied_entries: int = 0
    f64_diff: int = 0
    opt_cost: float | tuple[float, ...] | None = None
    cost: AnyArray | tuple[AnyArray, ...] | None = field(default=None, repr=False)
    forced: int = 0

    def __str__(self) -> str:
        return f"{self.variant}/{self.name}"

    def __getstate__(self) -> dict[str, Any]:
        """Give what a process can be sent: a read-only mapping is none of it."""
        return {key: dict(x) if isinstance(x, MappingProxyType) else x for key, x in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make all that was sent read-only again."""
        for key, value in state.items():
            several = (
                value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
            )
            for array in several:
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False
            object.__setattr__(self, key, MappingProxyType(value) if isinstance(value, dict) else value)


def _revive(value: Any) -> Any:
    """Undo the JSON spelling of tuples, ``{"__tuple__": [...]}``, at any depth."""
    if isinstance(value, dict):
        if set(value) == {"__tuple__"}:
            return tuple(_revive(item) for item in value["__tuple__"])
        return {key: _revive(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_revive(item) for item in value]
    return value


def _with_prefix(arrays: Mapping[str, AnyArray], prefix: str) -> dict[str, AnyArray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


_REQUIRED = ("assigner", "case", "impl", "dtype", "init", "call", "none_outputs", "raises")


def _interpret(raw: RawCase) -> GoldenCase:
    meta = raw.meta
    missing = [key for key in _REQUIRED if key not in meta]
    if missing:
        raise ValueError(f"golden case {meta.get('case')!r}: its description lacks {', '.join(missing)}")
    expected = _with_prefix(raw.arrays, "out_") | _with_prefix(raw.arrays, "stable_")
    flat = expected.pop("cost", None)
    expected.pop("opt_cost", None)
    opt_cost = meta.get("opt_cost")
    cost: AnyArray | tuple[AnyArray, ...] | None = flat
    if isinstance(opt_cost, list):
        opt_cost = tuple(opt_cost)
        cost = None if flat is None else _split(flat, meta["cost_shapes"])
    return GoldenCase(
        variant=meta["assigner"],
        name=meta["case"],
        source=meta["impl"],
        dtype=meta["dtype"],
        init=MappingProxyType(_revive(meta["init"])),
        call=MappingProxyType(_revive(meta["call"])),
        inputs=MappingProxyType(_with_prefix(raw.arrays, "in_")),
        expected=MappingProxyType(expected),
        none_outputs=tuple(meta["none_outputs"]),
        raises=meta["raises"],
        tied_entries=meta.get("stable_diff") or 0,
        f64_diff=meta.get("f64_diff") or 0,
        opt_cost=opt_cost,
        cost=cost,
        forced=meta.get("forced_invalid") or 0,
    )


def _split(flat: AnyArray, shapes: Sequence[Sequence[int]]) -> tuple[AnyArray, ...]:
    """Cut matrices out of their elements, which lie one after the other."""
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    return tuple(part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True))


def _data() -> Traversable:
    return resources.files("assigncore.conformance.goldens") / "data"


@cache
def variants() -> tuple[str, ...]:
    """Name every variant that has an archive in the package, in alphabetical order.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> "MaxIoUAssigner" in variants()
    True
    """
    names = (entry.name for entry in _data().iterdir())
    return tuple(sorted(name.removesuffix(".npz") for name in names if name.endswith(".npz")))


def load_packed(variant: str) -> tuple[GoldenCase, ...]:
    """Load the cases of a variant that come with the package.

    Parameters
    ----------
    variant : str
        One of `variants`.

    Returns
    -------
    tuple of GoldenCase
        In alphabetical order. Empty for a variant all of whose cases are too large to be shipped.

    Raises
    ------
    ValueError
        There is no such variant.

    Examples
    --------
    >>> len(load_packed("MaxIoUAssigner"))
    54
    """
    if variant not in variants():
        raise ValueError(f"variant {variant!r} is not known; expected one of {', '.join(variants())}")
    with (_data() / f"{variant}.npz").open("rb") as file:
        return tuple(_interpret(raw) for raw in read_archive(file))


def read_folder(folder: Path, *, max_bytes: int | None = None) -> list[RawCase]:
    """Read the golden files of one variant's folder, uninterpreted.

    Parameters
    ----------
    folder : pathlib.Path
        Holds one ``.npz`` file a case.
    max_bytes : int, optional
        Skip files larger than this.

    Returns
    -------
    list of RawCase
        In alphabetical order of the file names.

    Raises
    ------
    ValueError
        A file is not a golden case.
    """
    cases = []
    for path in sorted(folder.glob("*.npz")):
        if max_bytes is not None and path.stat().st_size > max_bytes:
            continue
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            meta = json.loads(str(arrays.pop("meta")))
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is not a golden case: {error}") from error
        for array in arrays.values():
            array.setflags(write=False)
        cases.append(RawCase(meta, arrays))
    return cases


def _archives(folder: Path) -> dict[str, list[Path]]:
    """Find the archives of a folder, by variant: ``<variant>.npz``, or ``<variant>.1.npz`` and so on."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.npz")):
        found.setdefault(path.name.partition(".")[0], []).append(path)
    return found


def read_archives(folder: Path, variant: str) -> list[RawCase]:
    """Read a variant's cases from the archives of a folder, uninterpreted.

    Parameters
    ----------
    folder : pathlib.Path
        Holds a variant's cases in ``<variant>.npz``, or in ``<variant>.1.npz`` and so on.
    variant : str
        Name of the variant.

    Returns
    -------
    list of RawCase
        In the order in which they were packed; empty where the folder has no archive of the variant.

    Raises
    ------
    ValueError
        A file is not an archive of golden cases.
    """
    cases: list[RawCase] = []
    for path in _archives(folder).get(variant, []):
        try:
            with path.open("rb") as file:
                cases += read_archive(file)
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is not an archive of golden cases: {error}") from error
    return cases


def variants_of_folder(folder: Path) -> tuple[str, ...]:
    """Name every variant that a folder has golden cases of, in alphabetical order.

    Parameters
    ----------
    folder : pathlib.Path
        Holds, for each variant, a folder of one ``.npz`` file a case, or archives.

    Returns
    -------
    tuple of str
    """
    return tuple(sorted({path.name for path in folder.iterdir() if path.is_dir()} | set(_archives(folder))))


def load_folder(folder: Path, variant: str) -> tuple[GoldenCase, ...]:
    """Load every case of a variant from a folder of golden cases.

    Parameters
    ----------
    folder : pathlib.Path
        Holds, for each variant, a folder of one ``.npz`` file a case, or archives.
    variant : str
        One of `variants_of_folder`.

    Returns
    -------
    tuple of GoldenCase
        In alphabetical order.

    Raises
    ------
    FileNotFoundError
        The folder has no such variant.
    ValueError
        A file is not what its name says.
    """
    if variant not in variants_of_folder(folder):
        raise FileNotFoundError(f"no golden cases of {variant} in {folder}")
    own = folder / variant
    return tuple(map(_interpret, read_folder(own) if own.is_dir() else read_archives(folder, variant)))

"""Pack folders of golden files into archives: those that come with the package, or those of the tests.

A maintainer's tool: ``python -m assigncore.conformance.goldens.pack FOLDER... [--into DATA] [--whole]``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from assigncore.conformance.goldens.archive import Compression, RawCase, pack_bytes, write_archive
from assigncore.conformance.goldens.cases import read_folder

__all__ = ["MAX_ARCHIVE_BYTES", "MAX_CASE_BYTES", "main", "pack_folders", "pack_whole"]

MAX_CASE_BYTES = 16 * 1024
"""Size of the largest golden file that is shipped."""

MAX_ARCHIVE_BYTES = 1_000_000
"""Size of the largest archive of the tests; more cases than fit are shared among several."""


def _cases(folders: Sequence[Path], max_bytes: int | None = None) -> Iterator[tuple[str, list[RawCase]]]:
    """Read variant by variant what the folders hold between them, in alphabetical order."""
    found = [path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_dir()]
    if not found:
        raise FileNotFoundError(f"no folders of golden cases in {', '.join(map(str, folders))}")
    for variant in sorted({path.name for path in found}):
        own = sorted(path for path in found if path.name == variant)
        cases = [case for path in own for case in read_folder(path, max_bytes=max_bytes)]
        yield variant, sorted(cases, key=lambda case: str(case.meta["case"]))


def pack_folders(folders: Sequence[Path], into: Path) -> dict[str, int]:
    """Pack the small cases of folders of golden files, one archive a variant, for the package.

    Parameters
    ----------
    folders : sequence of pathlib.Path
        Each holds one folder a variant, one ``.npz`` file a case. Files larger than `MAX_CASE_BYTES` are
        left out.
    into : pathlib.Path
        Existing folder for the archives, ``<variant>.npz``. A variant without a small enough case gets an
        archive without cases, so that it is still known.

    Returns
    -------
    dict of str to int
        Number of cases packed, by variant.

    Raises
    ------
    FileNotFoundError
        The folders hold no variant.
    """
    counts = {}
    for variant, cases in _cases(folders, MAX_CASE_BYTES):
        write_archive(into / f"{variant}.npz", cases)
        counts[variant] = len(cases)
    return counts


def pack_whole(folders: Sequence[Path], into: Path) -> dict[str, int]:
    """Pack all cases of folders of golden files as small as they get, for the tests.

    Parameters
    ----------
    folders : sequence of pathlib.Path
        Each holds one folder a variant, one ``.npz`` file a case.
    into : pathlib.Path
        Existing folder for the archives: ``<variant>.npz``, or ``<variant>.1.npz`` and so on where one
        would be larger than `MAX_ARCHIVE_BYTES`.

    Returns
    -------
    dict of str to int
        Number of cases packed, by variant.

    Raises
    ------
    FileNotFoundError
        The folders hold no variant.
    """
    counts = {}
    for variant, cases in _cases(folders):
        shares = _shares(cases)
        for number, share in enumerate(shares, 1):
            name = f"{variant}.npz" if len(shares) == 1 else f"{variant}.{number}.npz"
            write_archive(into / name, share, Compression.LZMA)
        counts[variant] = len(cases)
    return counts


def _shares(cases: list[RawCase]) -> list[list[RawCase]]:
    """Halve the cases until each share fits an archive."""
    if len(cases) < 2 or len(pack_bytes(cases, Compression.LZMA)) <= MAX_ARCHIVE_BYTES:
        return [cases]
    middle = len(cases) // 2
    return [*_shares(cases[:middle]), *_shares(cases[middle:])]


def main(arguments: list[str] | None = None) -> int:
    """Run the tool.

    Parameters
    ----------
    arguments : list of str, optional
        Command-line arguments; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, or 2 when the folder holds no golden cases.
    """
    parser = argparse.ArgumentParser(
        prog="python -m assigncore.conformance.goldens.pack", description=__doc__
    )
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="holds one folder a variant, one .npz file a case",
    )
    parser.add_argument("--into", type=Path, help="where archives go; default: the package's data")
    parser.add_argument(
        "--whole", action="store_true", help="all cases, as the tests have them; needs --into"
    )
    options = parser.parse_args(arguments)
    if options.whole and options.into is None:
        parser.error("--whole needs --into: the package has the small cases alone")
    into = options.into or Path(__file__).parent / "data"
    try:
        counts = (pack_whole if options.whole else pack_folders)(options.folders, into)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for variant, count in counts.items():
        print(f"{count:4d}  {variant}")
    print(f"{sum(counts.values()):4d}  cases in {into}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

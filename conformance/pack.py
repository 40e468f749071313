"""Pack a folder of golden files into the archives that come with the package.

A maintainer's tool: ``python -m assigncore.conformance.pack FOLDER [--into DATA]``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from assigncore.conformance.archive import write_archive
from assigncore.conformance.goldens import read_folder

__all__ = ["MAX_CASE_BYTES", "main", "pack_folder"]

MAX_CASE_BYTES = 16 * 1024
"""Size of the largest golden file that is shipped."""


def pack_folder(folder: Path, into: Path) -> dict[str, int]:
    """Pack every variant of a folder of golden files, one archive a variant.

    Parameters
    ----------
    folder : pathlib.Path
        Holds one folder a variant, one ``.npz`` file a case. Files larger than `MAX_CASE_BYTES` are left out.
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
        The folder holds no variant.
    """
    variants = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not variants:
        raise FileNotFoundError(f"no folders of golden cases in {folder}")
    counts = {}
    for variant in variants:
        cases = read_folder(variant, max_bytes=MAX_CASE_BYTES)
        write_archive(into / f"{variant.name}.npz", cases)
        counts[variant.name] = len(cases)
    return counts


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
    parser = argparse.ArgumentParser(prog="python -m assigncore.conformance.pack", description=__doc__)
    parser.add_argument("folder", type=Path, help="holds one folder a variant, one .npz file a case")
    parser.add_argument("--into", type=Path, default=Path(__file__).parent / "data", help="where archives go")
    options = parser.parse_args(arguments)
    try:
        counts = pack_folder(options.folder, options.into)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for variant, count in counts.items():
        print(
            f"{count:4d}  {(options.into / variant).with_suffix('.npz').stat().st_size:8d} bytes  {variant}"
        )
    print(f"{sum(counts.values()):4d}  cases in {options.into}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Run the suite: ``python -m assigncore.conformance``."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line, or say in one line which package it lacks.

    Returns
    -------
    int
        Exit status.
    """
    try:
        from assigncore.conformance.cli import run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"click", "rich"}:
            raise
        print(f'error: {missing} is not installed: pip install "assigncore[conformance]"', file=sys.stderr)
        return 2
    return run()


if __name__ == "__main__":
    sys.exit(main())

"""The `assigncore` command."""

from __future__ import annotations

import importlib
import sys

EXTRA = ("click", "rich", "matplotlib")


def main() -> None:
    """Run the command line; what it needs beyond the library itself is imported here and not before."""
    if sys.argv[1:2] == ["conformance"]:
        # A command of its own, which needs other packages, and which the core knows by name only.
        sys.argv.pop(1)
        sys.exit(importlib.import_module("assigncore.conformance.__main__").main())
    try:
        from assigncore.audit.command import cli
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA:
            raise
        sys.exit(_complain(package))
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted\n")
        sys.exit(130)
    cli.epilog = "`assigncore conformance` proves that every array library gives the same assignment."
    cli()


def _complain(package: str) -> int:
    hint = 'pip install "assigncore[audit]"'
    sys.stderr.write(f"Error: the command line needs the package {package}, which is not installed: {hint}\n")
    return 2

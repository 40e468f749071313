"""Where the packages lie that have a folder of their own, and how they are made importable.

Two of them have the same name, and MMCV comes without its compiled operations: see ``operations.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
WHEELS = HERE.parent / "build" / "clients"

FOLDERS = {
    "mmdet": ("mmdet",),
    "mmdet2": ("mmdet2",),
    "mmyolo": ("mmdet", "mmyolo"),
    "mmrotate": ("mmdet2", "mmrotate"),
    "mmrotate1": ("mmdet", "mmrotate1"),
}
"""The folders each framework is imported from. MMRotate's configs are read, it is not imported."""

CONFIGS = {
    "mmdet": WHEELS / "mmdet" / "mmdet" / ".mim" / "configs",
    "mmdet2": WHEELS / "mmdet2" / "mmdet" / ".mim" / "configs",
    "mmyolo": WHEELS / "mmyolo" / "mmyolo" / ".mim" / "configs",
    "mmrotate": WHEELS / "mmrotate" / "mmrotate" / ".mim" / "configs",
    "mmrotate1": WHEELS / "mmrotate1" / "mmrotate" / ".mim" / "configs",
}
"""The folder of each framework's own config files."""


def reach(framework: str) -> None:
    """Let a framework be found."""
    sys.path[:0] = [str(WHEELS / folder) for folder in FOLDERS[framework]]


def use(framework: str) -> None:
    """Let a framework be imported, with what stands in for the compiled operations."""
    reach(framework)
    import operations

    operations.stand_in()

"""Executes the notebooks: writes their outputs anew, or tells what is not the same.

`make notebooks` calls it. Pictures are not compared, nor are the outputs of a cell with the tag `varies`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

__all__ = ["NOTEBOOKS", "differences", "execute", "read", "write"]

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"

NOTEBOOKS = tuple(sorted(FOLDER.glob("*.ipynb")))

METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
"""Of every notebook: no versions, which would differ from machine to machine."""

VARIES = "varies"
SECONDS = 120


def read(path: Path) -> NotebookNode:
    """Read a notebook."""
    return nbformat.read(path, as_version=4)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook with the same bytes for the same contents."""
    path.write_text(nbformat.writes(notebook, sort_keys=True) + "\n", encoding="utf-8")


def execute(notebook: NotebookNode) -> NotebookNode:
    """Execute a copy of a notebook in a process of its own, and return it with its outputs.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises.
    """
    executed = deepcopy(notebook)
    # One thread and no device, so that neither their number nor a driver's message is in an output.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    NotebookClient(
        executed, timeout=SECONDS, kernel_name="python3", record_timing=False,
        resources={"metadata": {"path": str(FOLDER)}},
    ).execute()  # fmt: skip
    executed.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(executed.cells):
        cell.id = f"cell-{number}"
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
    return executed


def joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join what was printed to one stream in several pieces, which come as the kernel's buffer has it."""
    whole: list[NotebookNode] = []
    for output in outputs:
        before = whole[-1] if whole else None
        if before and output.output_type == before.output_type == "stream" and output.name == before.name:
            before.text += output.text
        else:
            whole.append(output)
    return whole


def differences(committed: NotebookNode, executed: NotebookNode) -> Iterator[str]:
    """Tell which cells give another text than is committed.

    Parameters
    ----------
    committed, executed : NotebookNode
        The same notebook as it was read, and as :func:`execute` returned it.

    Yields
    ------
    str
        The cell, what it gave and what is committed.
    """
    for number, (old, new) in enumerate(zip(committed.cells, executed.cells, strict=True)):
        if new.cell_type != "code" or VARIES in new.metadata.get("tags", ()):
            continue
        expected, got = texts(old), texts(new)
        if got != expected:
            yield f"cell {number}: got {got!r}, expected {expected!r}"


def texts(cell: NotebookNode) -> list[str]:
    """Give the text of a cell's outputs; of a picture that there is one."""
    told = []
    for output in cell.outputs:
        if output.output_type == "stream":
            told.append(output.text)
        elif any(kind.startswith("image/") for kind in output.get("data", {})):
            told.append("a picture")
        else:
            told.append(output.get("data", {}).get("text/plain", ""))
    return told


def main() -> int:
    """Write the outputs of all notebooks, or of those that are named, anew."""
    named = {Path(name).stem for name in sys.argv[1:]}
    for path in NOTEBOOKS:
        if not named or path.stem in named:
            write(execute(read(path)), path)
            print(path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())

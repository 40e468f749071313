"""Executes the notebooks: writes their outputs anew, or tells what is not the same.

`make notebooks` calls it. Pictures are not compared, nor are the outputs of a cell with the tag `varies`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from itertools import count
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

__all__ = ["NOTEBOOKS", "differences", "execute", "kernel", "read", "write"]

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

FORGET = """
import gc, sys
if "torch" in sys.modules:
    sys.modules["torch"].compiler.reset()
%reset -f
import gc
gc.collect()
del gc
"""
"""What a kernel executes before each notebook: what an earlier one has left is gone, and told of here."""

VARIES = "varies"
SECONDS = 120


def read(path: Path) -> NotebookNode:
    """Read a notebook."""
    return nbformat.read(path, as_version=4)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook with the same bytes for the same contents."""
    path.write_text(nbformat.writes(notebook, sort_keys=True) + "\n", encoding="utf-8")


@contextmanager
def kernel() -> Iterator[AsyncKernelManager]:
    """Start a kernel that executes several notebooks, one after the other."""
    # One thread and no device, so that neither their number nor a driver's message is in an output.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    manager = AsyncKernelManager(kernel_name="python3")
    run_sync(manager.start_kernel)(cwd=str(FOLDER))
    try:
        yield manager
    finally:
        run_sync(manager.shutdown_kernel)(now=True)


def execute(notebook: NotebookNode, kernel: AsyncKernelManager) -> NotebookNode:
    """Execute a copy of a notebook in a kernel that first forgets all, and return it with its outputs.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises.
    """
    executed = deepcopy(notebook)
    executed.cells.insert(0, new_code_cell(FORGET))
    client = NotebookClient(executed, km=kernel, timeout=SECONDS, record_timing=False)
    try:
        client.execute()
    finally:
        # It is closed where the client starts the kernel itself, and left open otherwise.
        if client.kc is not None:
            client.kc.stop_channels()
    del executed.cells[0]
    executed.metadata = nbformat.from_dict(METADATA)
    counts = count(1)
    for number, cell in enumerate(executed.cells):
        cell.id = f"cell-{number}"
        if cell.cell_type == "code":
            cell.execution_count = next(counts)
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
    with kernel() as running:
        for path in NOTEBOOKS:
            if not named or path.stem in named:
                write(execute(read(path), running), path)
                print(path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())

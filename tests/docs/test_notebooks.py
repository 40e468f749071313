"""The notebooks run, give the text that is committed, and stay small."""

import importlib
import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST = 300_000


@pytest.fixture(scope="module")
def executing():
    sys.path.insert(0, str(ROOT / "docs" / "website"))
    yield importlib.import_module("execute_notebooks")
    sys.path.remove(str(ROOT / "docs" / "website"))


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 2


@pytest.fixture(scope="module")
def kernel(executing):
    with executing.kernel() as running:
        yield running


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_the_committed_text(executing, kernel, path):
    committed = executing.read(path)
    executed = executing.execute(committed, kernel)
    assert list(executing.differences(committed, executed)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_holds_nothing_of_the_machine(path):
    assert path.stat().st_size < LARGEST
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.language_info == {"name": "python"}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not any(output.get("name") == "stderr" for cell in code for output in cell.outputs)


def test_every_notebook_is_listed():
    text = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\((\w+\.ipynb)\)", text)) == {path.name for path in NOTEBOOKS}


def test_another_text_is_a_difference_and_a_picture_or_what_varies_is_none(executing):
    def notebook(text, picture, time):
        v4 = nbformat.v4
        shown = [v4.new_output("display_data", {"image/png": picture, "text/plain": picture})]
        return v4.new_notebook(
            cells=[
                v4.new_markdown_cell("A heading"),
                v4.new_code_cell("a", outputs=[v4.new_output("stream", text=text)]),
                v4.new_code_cell("b", outputs=shown),
                v4.new_code_cell(
                    "c", outputs=[v4.new_output("stream", text=time)], metadata={"tags": ["varies"]}
                ),
            ]
        )

    committed = notebook("1", "a", "2 ms")
    assert list(executing.differences(committed, notebook("1", "b", "3 ms"))) == []
    assert list(executing.differences(committed, notebook("2", "a", "2 ms"))) == [
        "cell 1: got ['2'], expected ['1']"
    ]


def test_what_is_printed_in_pieces_is_joined(executing):
    pieces = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in ("a", "b")]
    assert [output.text for output in executing.joined(pieces)] == ["ab"]

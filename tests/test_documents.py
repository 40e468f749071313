"""The Python in the documents runs: all of the README's, and what stands on its own in the other pages."""

import ast
import builtins
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(path):
    return BLOCK.findall(path.read_text(encoding="utf-8"))


def libraries_of(code):
    """Return what a block imports, by the names of the libraries."""
    nodes = list(ast.walk(ast.parse(code)))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    return {module.partition(".")[0] for module in modules}


def stands_alone(code):
    """Tell whether a block makes every name it reads, and imports nothing that need not be here."""
    nodes = list(ast.walk(ast.parse(code)))
    made = {
        alias.asname or alias.name.partition(".")[0]
        for node in nodes
        for alias in getattr(node, "names", ())
        if isinstance(alias, ast.alias)
    }
    made |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    made |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    names = [node for node in nodes if isinstance(node, ast.Name)]
    made |= {node.id for node in names if isinstance(node.ctx, ast.Store)}
    known = {node.id for node in names} <= made | set(dir(builtins))
    return known and all(map(importlib.util.find_spec, libraries_of(code)))


PAGES = [
    pytest.param(code, id=f"{path.relative_to(ROOT)}-{i}")
    for path in sorted((ROOT / "docs").rglob("*.md"))
    for i, code in enumerate(blocks(path))
    if stands_alone(code)
]


def test_the_readme_runs_from_its_first_block_to_its_last(capsys):
    namespace = {}
    code = blocks(ROOT / "README.md")
    assert len(code) >= 2
    for block in code:
        exec(block, namespace)
    assert capsys.readouterr().out.startswith("[1 0 0] [ 4 -1 -1]")


GUIDE = sorted((ROOT / "docs" / "guide").glob("*.md"))
PRINTED = re.compile(r"^```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", GUIDE, ids=lambda page: page.stem)
def test_a_page_of_the_guide_runs_and_prints_what_it_shows(page, capsys):
    namespace = {"__name__": "page"}
    for block in blocks(page):
        if all(map(importlib.util.find_spec, libraries_of(block))):
            exec(block, namespace)
    printed = capsys.readouterr().out
    for shown in PRINTED.findall(page.read_text(encoding="utf-8")):
        assert shown in printed


@pytest.mark.parametrize("code", PAGES)
def test_a_block_that_stands_alone_runs(code):
    exec(code, {"__name__": "page"})


def test_what_stands_alone_is_told():
    assert PAGES
    assert stands_alone("import numpy as np\nprint([np.sum(x) for x in ([1], [2])])")
    assert not stands_alone("model.matcher = 1")
    assert not stands_alone("import no_such_library")

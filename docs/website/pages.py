"""Lays the site's sources out: the written pages under the site's names, then what is made of docstrings."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from assigner_pages import write_assigner_pages
from markdown_links import pointed
from reference import write_reference

__all__ = ["lay_out", "with_links", "written_pages"]

ROOT = Path(__file__).resolve().parents[2]

HOME = "docs/README.md"

PICTURES = "docs/pictures/"

ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/README.md": "examples/index.md",
    "tests/data/goldens/README.md": "golden-cases.md",
    "notebooks/README.md": "notebooks/index.md",
    HOME: "index.md",
}
"""Pages that have another name on the site than in the repository, or that lie outside `docs`."""

NAVIGATION = {
    "Guide": (
        "guide/assignment",
        "guide/batches",
        "guide/compiling",
        "guide/explanations",
        "guide/small_objects",
        "guide/oriented_boxes",
        "guide/set_predictors",
        "guide/errors",
    ),
    "How to": (
        "coming_from/README",
        "audit",
        "audit_at_scale",
        "monitoring",
        "examples/index",
        "notebooks/index",
    ),
    "Reference": ("assigners/index", "reference/index", "support", "ties"),
    "Evidence": ("conformance", "golden-cases", "published_configs", "benchmarks", "gpu", "clients"),
    "Project": ("architecture", "contributing", "changelog"),
}
"""What the side of each page lists, by heading."""

CHILDREN = {
    "coming_from/README.md": "coming_from/*",
    "examples/index.md": "examples/*_detector",
    "notebooks/index.md": "notebooks/*",
}
"""Pages beneath others, by a pattern."""


def written_pages() -> dict[str, str]:
    """Give the site's name of each written page by its path in the repository."""
    pages = {
        f"docs/{path.relative_to(ROOT / 'docs').as_posix()}": path.relative_to(ROOT / "docs").as_posix()
        for path in (ROOT / "docs").rglob("*.md")
    }
    notebooks = {
        f"notebooks/{path.name}": f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")
    }
    examples = {
        f"examples/{path.name}": f"examples/{path.stem}.md"
        for path in (ROOT / "examples").glob("*_detector.py")
    }
    return {**pages, **notebooks, **examples, **ELSEWHERE}


def lay_out(stage: Path) -> None:
    """Make the folder that Sphinx reads.

    Parameters
    ----------
    stage : Path
        Where it shall be, with nothing in it.
    """
    pages = written_pages()
    for source, name in pages.items():
        target = stage / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.endswith(".ipynb"):
            shutil.copy(ROOT / source, target)
            continue
        text = (ROOT / source).read_text(encoding="utf-8")
        target.write_text(on_site(source, text, pages), encoding="utf-8")
    shutil.copytree(ROOT / "docs" / "pictures", stage / "pictures")
    write_assigner_pages(stage / "assigners")
    write_reference(stage / "reference")


def on_site(source: str, text: str, pages: Mapping[str, str]) -> str:
    """Give a page's text as the site has it."""
    name = pages[source]
    if source.endswith(".py"):
        return f"# {PurePosixPath(source).name}\n\n```python\n{text}```\n"
    text = with_links(source, text, pages)
    if source == HOME:
        trees = (
            f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(names) + "\n```"
            for caption, names in NAVIGATION.items()
        )
        return "\n\n".join((text, *trees)) + "\n"
    if name in CHILDREN:
        return f"{text}\n```{{toctree}}\n:hidden:\n:glob:\n\n/{CHILDREN[name]}\n```\n"
    return text


def with_links(source: str, text: str, pages: Mapping[str, str]) -> str:
    """Point the relative links of a page at the site's pages and pictures.

    Parameters
    ----------
    source : str
        The page's path in the repository.
    text : str
        Its Markdown.
    pages : mapping of str to str
        As :func:`written_pages` gives them.

    Raises
    ------
    ValueError
        If a link leads to nothing that the site has.
    """
    here, place = PurePosixPath(source).parent, PurePosixPath(pages[source]).parent.as_posix()

    def on_the_site(target: str, picture: bool) -> str:
        path = normpath((here / target).as_posix())
        if picture and path.startswith(PICTURES):
            return relpath(path.removeprefix("docs/"), place)
        if path not in pages:
            raise ValueError(f"{source}: the link {target} leads to no page of the site and to no picture")
        return relpath(pages[path], place)

    return pointed(text, on_the_site)

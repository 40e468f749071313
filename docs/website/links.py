"""Checks the built pages: every link leads to a page or an anchor, and nothing is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["faults"]

LOADED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "link": "href"}
"""What a browser fetches by itself: the attribute by the tag."""

NO_FETCH = {"canonical", "alternate", "prev", "next", "search", "index", "author", "license"}
"""Relations of a `link` that a browser does not fetch."""


@dataclass
class Page(HTMLParser):
    """The links and anchors of one page."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take up what a tag names and where it leads."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif given.get(LOADED.get(tag, "")) and not NO_FETCH & set(given.get("rel", "").split()):
            self.loaded.append(given[LOADED[tag]])


def faults(folder: Path) -> Iterator[str]:
    """Say what is wrong with the links below a folder of pages.

    Parameters
    ----------
    folder : Path
        The built site.

    Yields
    ------
    str
        The page, the link, and what is wrong with it.
    """
    pages = {path.resolve(): read(path) for path in sorted(folder.rglob("*.html"))}
    for path, page in pages.items():
        where = path.relative_to(folder.resolve())
        for link in page.links:
            fault = fault_of(path, link, pages)
            if fault:
                yield f"{where}: {link}: {fault}"
        for link in page.loaded:
            if urlsplit(link).netloc:
                yield f"{where}: {link}: is fetched from elsewhere"
            elif not link.startswith("data:") and not target_of(path, link).exists():
                yield f"{where}: {link}: no such file"
    for path in sorted(folder.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        if "url(http" in text or "url(//" in text or "@import url" in text:
            yield f"{path.relative_to(folder)}: fetches something from elsewhere"


def read(path: Path) -> Page:
    """Read a page."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def target_of(path: Path, link: str) -> Path:
    """Give the file that a relative link of a page leads to."""
    name = unquote(urlsplit(link).path)
    return (path.parent / name).resolve() if name else path


def fault_of(path: Path, link: str, pages: dict[Path, Page]) -> str:
    """Say what is wrong with one link of a page; nothing where it is right."""
    parts = urlsplit(link)
    if parts.scheme in ("http", "https"):
        return "" if "." in parts.netloc and " " not in link else "no well-formed address"
    if parts.scheme:
        return (
            "" if parts.scheme == "mailto" else f"expected http, https or a relative link, got {parts.scheme}"
        )
    target = target_of(path, link)
    if not target.exists():
        return "no such page"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return "no such anchor"
    return ""

"""The relative links of a Markdown page: pointed elsewhere, here for the page that PyPI shows.

`python docs/website/markdown_links.py https://HOST/OWNER/NAME v0.1.0` rewrites the README of a checkout that
is about to be packed: PyPI has the page alone, so its links and its picture have to lead to the repository.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["for_pypi", "pointed"]

README = Path(__file__).resolve().parents[2] / "README.md"

LINK = re.compile(r"(?P<picture>!?)(?P<text>\[[^\]]*\])\((?P<target>[^()\s#]+)(?P<anchor>#[^()\s]*)?\)")
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def pointed(text: str, elsewhere: Callable[[str, bool], str]) -> str:
    """Point the relative links of a page elsewhere.

    Parameters
    ----------
    text : str
        The page's Markdown. Blocks of code are left as they are, and so are addresses.
    elsewhere : callable
        Takes a link's target, and whether it is a picture; returns where it shall lead.
    """

    def link(match: re.Match[str]) -> str:
        if re.match(r"[a-z]+:", match["target"]):
            return match[0]
        target = elsewhere(match["target"], bool(match["picture"]))
        return f"{match['picture']}{match['text']}({target}{match['anchor'] or ''})"

    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [LINK.sub(link, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join((*parts, LINK.sub(link, text[end:])))


def for_pypi(text: str, repository: str, version: str) -> str:
    """Point the links of a page at the top of the repository at a version of it on the web.

    Examples
    --------
    >>> for_pypi("![a](b.png) [c](d.md#e)", "https://example.org/us/it", "v1")
    '![a](https://example.org/us/it/raw/v1/b.png) [c](https://example.org/us/it/blob/v1/d.md#e)'
    """
    return pointed(
        text, lambda target, picture: f"{repository}/{'raw' if picture else 'blob'}/{version}/{target}"
    )


if __name__ == "__main__":
    README.write_text(for_pypi(README.read_text(encoding="utf-8"), *sys.argv[1:]), encoding="utf-8")

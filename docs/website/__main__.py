"""Builds the site: `python docs/website --out FOLDER`, which `make docs` calls. Needs no network."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from links import faults
from pages import lay_out
from sphinx.cmd.build import build_main

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Lay the sources out, let Sphinx build them with warnings as errors, and check every link."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE.parents[1] / "build" / "website")
    out = parser.parse_args().out.resolve()
    source, html, doctrees = out / "source", out / "html", out / "doctrees"
    # Nothing is kept of an earlier build, or a link to a page that is gone would seem right.
    for folder in (source, html, doctrees):
        shutil.rmtree(folder, ignore_errors=True)
    lay_out(source)
    options = ["-W", "--keep-going", "-q", "-b", "html", "-d", str(doctrees), "-c", str(HERE)]
    code = build_main([*options, str(source), str(html)])
    wrong = list(faults(html)) if code == 0 else []
    print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
    if code == 0 and not wrong:
        print(f"{len(list(html.rglob('*.html')))} pages: {html / 'index.html'}")
    return code or int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

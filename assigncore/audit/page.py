"""The report as one page of HTML, which needs no network and runs no text of the data."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assigncore.audit.advice import Advice
from assigncore.audit.notes import about_data, remarks, scale_used
from assigncore.audit.runs import Run
from assigncore.audit.statistics import SizeRow, worst_images
from assigncore.audit.what_if import Outcome, WhatIf
from assigncore.boxes import xywhr_to_corners
from assigncore.inspect.display import cell_text, plural
from assigncore.inspect.object_sizes import SIZE_CLASSES

if TYPE_CHECKING:
    from assigncore.audit.audit import Audit

__all__ = ["make_page"]

MAX_IMAGES = 100
"""Images of all runs together that are shown, those where most objects go without."""

MAX_LISTED = 40
"""Objects of an image that are listed, those without positives first."""

KEYPOINT_SHARE, KEYPOINT_PIXELS = 0.05, (2.0, 8.0)
"""Diameter of a keypoint's dot as a share of its object, and the smallest and the largest in image pixels."""

MAX_DRAWN = 600
"""Objects of an image that are drawn."""

MAX_CATEGORIES = 2000
MAX_NAME = 80
"""Characters of a name that are shown."""

LONG = 40
"""Characters from which a cell is wide, and a narrow screen scrolls."""

MAX_SENTENCE = 600
"""Characters of a sentence that may hold names."""

MAX_PICTURES = 8_000_000
"""Bytes of pictures that are embedded."""

# Controls, surrogates, and what turns the direction of a text round for what follows it.
UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

SHARE = re.compile(r"[+-]?[\d,.]+%?")

STYLE = """
:root { color-scheme: light dark; --line: #8886; --loud: #c2187f; --good: #2a7d4f; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 72rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; } h3 { font-size: 1.05rem; }
h1, h2, h3, p, li, summary, td, th { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .4rem 0 1.2rem; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td, th { overflow-wrap: normal; } td.text { overflow-wrap: anywhere; min-width: 5rem; }
td.long { overflow-wrap: anywhere; min-width: 15rem; }
.loud { color: var(--loud); } .good { color: var(--good); } .quiet { opacity: .75; }
img { max-width: 100%; height: auto; background: #fff; }
svg { max-width: 100%; max-height: 70vh; height: auto; border: 1px solid var(--line); display: block; }
rect, polygon { fill: none; stroke: var(--good); vector-effect: non-scaling-stroke; stroke-width: 1; }
.without { stroke: var(--loud); }
rect.without, polygon.without { stroke-width: 2; }
path { stroke: var(--good); stroke-linecap: round; }
path.without { stroke: var(--loud); }
pre { overflow-x: auto; padding: .6rem; border: 1px solid var(--line); }
nav { position: sticky; top: 0; background: Canvas; padding: .5rem 0; border-bottom: 1px solid var(--line);
  display: flex; flex-wrap: wrap; gap: .5rem 1rem; z-index: 1; }
select { font: inherit; max-width: 60vw; }
details { border-top: 1px solid var(--line); padding: .4rem 0; }
.off { display: none; }
@media (max-width: 40rem) {
  body { font-size: 14px; padding: .6rem; }
  table { font-size: 12.5px; } th, td { padding: .15rem .3rem; }
}
"""

SCRIPT = """
const size = document.getElementById("size"), category = document.getElementById("category");
function apply() {
  for (const one of document.querySelectorAll("[data-s]")) {
    const off = (size.value && one.dataset.s !== size.value)
      || (category.value && one.dataset.c !== category.value);
    one.classList.toggle("off", Boolean(off));
  }
  for (const image of document.querySelectorAll("details.image")) {
    image.classList.toggle("off", !image.querySelector("[data-s]:not(.off)"));
  }
}
size.addEventListener("change", apply);
category.addEventListener("change", apply);
apply();
"""


def make_page(audit: Audit, pictures: Sequence[Sequence[Path]] = ()) -> str:
    """Write everything that was found as one page.

    Parameters
    ----------
    audit : Audit
    pictures : sequence of sequence of Path
        The pictures of each run, PNG files, which are embedded as far as there is room.

    Returns
    -------
    str
        HTML. All text of the data is escaped, long names are cut, and nothing of it stands in a script; the
        page's policy lets no other script run and nothing be fetched. Its size does not grow with the data
        set: the images where most objects go without are shown, and their objects.
    """
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    room = [MAX_PICTURES]
    objects = plural(len(audit.dataset.all_objects), "object")
    said = [f'<span class="loud">{text}</span>' if loud else text for text, loud in remarks(audit)]
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Audit of {_plain(audit.dataset.source)}</title><style>{STYLE}</style></head><body>",
        f"<h1>What label assigners make of {_name(audit.dataset.source)}</h1>",
        f"<p>{plural(len(audit.dataset.images), 'image')}, {objects}, "
        f"{'; '.join([plural(len(audit.dataset.all_crowds), 'crowd region'), scale_used(audit), *said])}</p>",
        *(f"<p>Note (data): {_name(notice, MAX_SENTENCE)}</p>" for notice in about_data(audit.dataset)),
        _filters(audit),
    ]
    if len(audit.runs) > 1:
        parts.append(_side_by_side(audit.runs))
    each = max(1, MAX_IMAGES // len(audit.runs))
    for number, run in enumerate(audit.runs):
        own = pictures[number] if number < len(pictures) else ()
        parts += _run_section(number, run, own, room, each, named=len(audit.runs) > 1)
    parts.append(f"<script>{SCRIPT}</script></body></html>\n")
    return "\n".join(parts)


def _filters(audit: Audit) -> str:
    """Give what chooses size class and category, and the links to the runs."""
    sizes = "".join(f'<option value="{i}">{name}</option>' for i, name in enumerate(SIZE_CLASSES))
    used = np.unique(audit.runs[0].findings.objects.label).tolist()[:MAX_CATEGORIES]
    names = audit.dataset.class_names
    categories = "".join(f'<option value="{label}">{_plain(names[label])}</option>' for label in used)
    links = " ".join(f'<a href="#run-{i}">{_name(run.name)}</a>' for i, run in enumerate(audit.runs))
    return (
        f'<nav><label>Size <select id="size"><option value="">all</option>{sizes}</select></label>'
        f'<label>Category <select id="category"><option value="">all</option>{categories}</select></label>'
        f"{links if len(audit.runs) > 1 else ''}</nav>"
    )


def _side_by_side(runs: Sequence[Run]) -> str:
    sizes = [row for row in runs[0].statistics.sizes if row.objects]
    keep = [i for i, row in enumerate(runs[0].statistics.sizes) if row.objects]
    heads = ["assigner", *(f"{row.name}: {row.objects:,}" for row in sizes)]
    rows = []
    for run in runs:
        cells = []
        for i in keep:
            row = run.statistics.sizes[i]
            cells.append(f"{row.mean_positives or 0:,.1f}, {row.share_without or 0:.1%}")
        rows.append([run.name, *cells])
    return _table("Mean positives of an object, and share of objects without any", heads, rows)


def _run_section(
    number: int, run: Run, pictures: Sequence[Path], room: list[int], most: int, *, named: bool
) -> Iterator[str]:
    statistics = run.statistics
    yield f'<section id="run-{number}"><h2>{_name(run.name)}</h2>'
    yield f'<p class="quiet">{_name(run.plan.settings.source, MAX_SENTENCE)}</p>'
    for note in run.notes:
        yield f"<p>Note: {_name(note, MAX_SENTENCE)}</p>"
    yield _sizes_table("Positives of each object, by COCO size class", "size class", statistics.sizes)
    if len(run.categories) > 1:
        rows = sorted(run.categories, key=lambda row: -row.without)[:MAX_CATEGORIES]
        yield _sizes_table("Positives of each object, by category", "category", rows)
    if statistics.reasons:
        reasons = [(row.name, row.objects, *row.objects_by_size) for row in statistics.reasons]
        heads = ("reason", "objects", *SIZE_CLASSES)
        yield _table("Why objects have no positives", heads, reasons, longest=MAX_SENTENCE)
    levels = [
        (row.name, row.priors, row.positives, _percent(row.share_of_positives), row.objects)
        for row in statistics.levels
    ]
    yield _table(
        "Positives by feature level", ("level", "priors", "positives", "share", "objects served"), levels
    )
    priors = [(name, count) for name, count in asdict(statistics.priors).items() if count]
    yield _table("What became of the priors", ("", "priors"), priors)
    if run.variations is not None:
        yield _what_ifs("With other knobs", run.variations.today, run.variations.what_ifs)
    if run.advice is not None:
        yield from _advice(run, run.advice, named=named)
    yield from _pictures(pictures, room)
    yield from _images(run, most)
    yield "</section>"


def _sizes_table(title: str, first: str, rows: Sequence[SizeRow]) -> str:
    heads = (first, "objects", "mean", "median", "without any", "share")
    cells = [
        (
            row.name,
            row.objects,
            row.mean_positives,
            row.median_positives,
            row.without,
            _percent(row.share_without),
        )
        for row in rows
    ]
    return _table(title, heads, cells)


def _advice(run: Run, advice: Advice, *, named: bool) -> Iterator[str]:
    yield "<h3>What leaves objects out, and what to change</h3><ul>"
    yield from (f"<li>{_name(cause, MAX_SENTENCE)}</li>" for cause in advice.causes)
    yield "</ul>"
    if advice.steps:
        before, after = advice.today, advice.outcome
        options = run.advised_options(named=named)
        yield (
            f'<p>Advised: <strong class="good">{plural(after.without, "object")} without positives in place '
            f"of {before.without:,}</strong>, by adding</p><pre>{escape(options)}</pre>"
            f"<p>or as a file for <code>--config</code>:</p><pre>{escape(advice.config)}</pre>"
        )
    yield _what_ifs(
        f"What other knobs would do, on {plural(advice.images, 'image')}", advice.today, advice.what_ifs
    )


def _what_ifs(title: str, today: Outcome, what_ifs: Sequence[WhatIf]) -> str:
    def cells(name: str, outcome: Outcome | None) -> list[Any]:
        if outcome is None:
            return [name, None, None, None, None, None]
        change = outcome.without - today.without
        return [
            name,
            outcome.priors / outcome.objects if outcome.objects else None,
            outcome.mean_positives,
            outcome.mean_best_overlap,
            outcome.without,
            f"{change:+,}" if change else "",
        ]

    rows = [cells("as it is", today)]
    for one in what_ifs:
        text = " ".join((f"{one.name}:" if one.name else "", *one.overrides)).strip()
        rows.append(cells(f"{text} (not possible: {one.error})" if one.error else text, one.outcome))
    heads = ("change", "priors an object", "mean positives", "best IoU", "without any", "change")
    return _table(title, heads, rows, longest=MAX_SENTENCE)


def _pictures(pictures: Sequence[Path], room: list[int]) -> Iterator[str]:
    """Embed pictures as far as there is room."""
    for path in pictures:
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if len(data) * 4 // 3 > room[0]:
            continue
        room[0] -= len(data) * 4 // 3
        encoded = base64.b64encode(data).decode()
        what = path.stem.replace("_", " ")
        yield f'<p><img alt="{_plain(what)}" loading="lazy" src="data:image/png;base64,{encoded}"></p>'


def _images(run: Run, most: int) -> Iterator[str]:
    """Draw the images where most objects go without, and list their objects."""
    rows = run.findings.objects
    totals, count = rows.totals, len(run.dataset.images)
    order, without, objects = worst_images([rows], count)
    shown = [i for i in order[:most].tolist() if without[i]]
    if not shown:
        yield '<p class="good">Every object has at least one positive.</p>'
        return
    yield f"<h3>The {plural(len(shown), 'image')} where most objects go without</h3>"
    starts = np.searchsorted(rows.image, np.arange(count + 1))
    for rank, i in enumerate(shown):
        image = run.dataset.images[i]
        own = np.arange(starts[i], starts[i + 1])
        own = own[np.argsort(totals[own], kind="stable")]
        yield (
            f'<details class="image"{" open" if rank == 0 else ""}><summary>{_name(image.file_name)}: '
            f'<span class="loud">{without[i]:,} of {plural(int(objects[i]), "object")}</span></summary>'
        )
        yield _drawing(run, i, own[:MAX_DRAWN])
        yield _objects(run, own[:MAX_LISTED].tolist(), len(own))
        yield "</details>"


def _drawing(run: Run, image: int, own: Any) -> str:
    """Draw boxes over an image that is left blank."""
    rows, found = run.findings.objects, run.dataset.images[image]
    drawn = run.dataset.all_objects.take(run.dataset.object_starts[image] + rows.index[own])
    shapes = map(_rectangle, drawn.bboxes.tolist())
    if drawn.oriented is not None:
        shapes = map(_polygon, xywhr_to_corners(drawn.oriented).tolist())
    poses = [""] * len(own) if drawn.keypoints is None else map(_dots, drawn.keypoints, drawn.bboxes)
    parts = []
    for row, *outlines in reversed(list(zip(own.tolist(), shapes, poses, strict=True))):
        kind = "" if rows.totals[row] else ' class="without"'
        attributes = f'{kind} data-s="{rows.size[row]}" data-c="{rows.label[row]}"'
        parts += [f"<{shape}{attributes}/>" for shape in outlines if shape]
    return (
        f'<svg role="img" aria-label="objects, those without positives in magenta" '
        f'viewBox="0 0 {found.width} {found.height}" width="{found.width}">{"".join(parts)}</svg>'
    )


def _rectangle(box: Sequence[float]) -> str:
    x1, y1, x2, y2 = box
    return f'rect x="{x1:.5g}" y="{y1:.5g}" width="{x2 - x1:.5g}" height="{y2 - y1:.5g}"'


def _polygon(corners: Sequence[Sequence[float]]) -> str:
    points = " ".join(f"{x:.5g},{y:.5g}" for x, y in corners)
    return f'polygon points="{points}"'


def _dots(pose: Any, box: Any) -> str:
    """Draw the labelled keypoints x, y, visibility (K, 3) of an object as dots; nothing without any."""
    points = pose[pose[:, 2] != 0, :2].tolist()
    if not points:
        return ""
    least, most = KEYPOINT_PIXELS
    width = min(max(KEYPOINT_SHARE * float(np.max(box[2:] - box[:2])), least), most)
    return f'path d="{"".join(f"M{x:.5g} {y:.5g}h0" for x, y in points)}" stroke-width="{width:.2g}"'


def _objects(run: Run, own: Sequence[int], count: int) -> str:
    rows, names, every = run.findings.objects, run.dataset.class_names, run.dataset.all_objects
    heads = ("object", "category", "size px", "positives", "best IoU", "level", "reason")
    parts = [f"<th{_class(head in NUMBERS)}>{head}</th>" for head in heads]
    lines = [f"<tr>{''.join(parts)}</tr>"]
    for row in own:
        annotation = run.annotation(row)
        x1, y1, x2, y2 = annotation.bbox
        width, height = x2 - x1, y2 - y1
        if every.oriented is not None:
            place = run.dataset.object_starts[rows.image[row]] + rows.index[row]
            width, height = every.oriented[place, 2:4].tolist()
        level = int(rows.level[row])
        cells = (
            str(annotation.id),
            names[int(rows.label[row])],
            f"{width:.4g} x {height:.4g}",
            int(rows.totals[row]),
            None if rows.best_overlaps is None else float(rows.best_overlaps[row]),
            run.level_names[level] if level >= 0 else "",
        )
        reason = _cell(run.reason(row), MAX_SENTENCE)
        attributes = f'data-s="{rows.size[row]}" data-c="{rows.label[row]}"'
        lines.append(f"<tr {attributes}>{''.join(map(_cell, cells))}{reason}</tr>")
    more = f'<p class="quiet">and {count - len(own):,} more</p>' if count > len(own) else ""
    return f'<div class="wide"><table>{"".join(lines)}</table></div>{more}'


NUMBERS = ("positives", "best IoU")


def _table(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[Any]], *, longest: int = MAX_NAME
) -> str:
    """Write a table; numbers stand to the right."""
    numeric = [any(_is_number(row[i]) for row in rows) for i in range(len(heads))]
    head = "".join(f"<th{_class(n)}>{_name(x)}</th>" for x, n in zip(heads, numeric, strict=True))
    body = "".join(f"<tr>{''.join(_cell(x, longest) for x in row)}</tr>" for row in rows)
    return f'<h3>{_name(title)}</h3><div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _cell(value: Any, longest: int = MAX_NAME) -> str:
    if _is_number(value):
        return f'<td class="number">{escape(cell_text(value))}</td>'
    text = cell_text(value)
    return f'<td class="{"long" if len(text) > LONG else "text"}">{_name(text, longest)}</td>'


def _class(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or (
        isinstance(value, str) and bool(re.fullmatch(r"[+-]?[\d,.]+%?", value))
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _name(text: str, longest: int = MAX_NAME) -> str:
    """Write a text of the data, without effect on the direction of what follows."""
    return f"<bdi>{_plain(text, longest)}</bdi>"


def _plain(text: str, longest: int = MAX_NAME) -> str:
    """Cut and escape a text of the data, for an attribute or where no elements may stand."""
    shown = UNSHOWN.sub("\ufffd", text)
    return escape(shown if len(shown) <= longest else shown[: longest - 1] + "…")

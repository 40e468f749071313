"""The report as one self-contained page: the matrix, and for each cell what fails or nearly ties."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.report.page_style import STYLE
from assigncore.conformance.report.pictures import Exhibit, find_exhibit
from assigncore.conformance.report.report import Report
from assigncore.conformance.report.results import Agreement, CaseResult, Cell, Part
from assigncore.conformance.targets.libraries import Mode
from assigncore.whole_files import write_whole

__all__ = ["render_page", "write_page"]

Goldens = Mapping[str, tuple[GoldenCase, ...]]

_GROUPS = 12
"""Groups of cases of a cell that are shown; cases with one message are a group."""

_OPENED = 8
"""Cells with failures that are open at first: a page on which everything fails stays a page."""

_LEVELS = {
    Agreement.IDENTICAL: ("=", "identical", "equal to the bit"),
    Agreement.CLOSE: ("≈", "close", "integers equal, real numbers within the tolerance"),
    Agreement.NEAR_TIE: ("~", "near tie", "rounding decides; the margin is listed"),
    Agreement.EQUIVALENT: ("≡", "equivalent", "another matching of the same total cost"),
    Agreement.DIFFERENT: ("≠", "different", "another answer, or a rule that does not hold"),
    Agreement.ERROR: ("!", "error", "no answer"),
    Agreement.HANG: ("∞", "hang", "no answer within the time limit"),
    Agreement.NOT_RUN: ("–", "not run", "for the reason below"),
}

_TITLES = {
    Part.GOLDENS: "Golden cases",
    Part.GENERATED: "Generated cases",
    Part.LAWS: "Laws",
    Part.PROMISES: "Declarations",
    Part.GUARANTEES: "Guarantees on a CUDA device",
}


def _badge(level: Agreement, text: str = "") -> str:
    glyph, name, _ = _LEVELS[level]
    return f'<span class="badge {level.name.lower()}">{glyph} {html.escape(text or name)}</span>'


@dataclass
class _Details:
    """What is told of single cases, and the inputs they refer to, each of which the page holds once."""

    goldens: Goldens
    exhibits: dict[str, Exhibit] = field(default_factory=dict)
    opened: int = 0

    def of(self, cell: Cell, key: str) -> str:
        """Tell the cases of a cell that a reader should know of."""
        told = [result for result in cell.results if result.agreement >= Agreement.NEAR_TIE]
        if not told:
            return ""
        told.sort(key=lambda result: (-result.agreement, result.message))
        groups = [list(group) for _, group in groupby(told, key=lambda r: (r.agreement, r.message))]
        opens = bool(cell.failures) and self.opened < _OPENED
        self.opened += opens
        where = " ".join(filter(None, (cell.variant, "on", cell.target, cell.mode.value, cell.dtype)))
        rest = ", ".join(map(_named, (result for group in groups[_GROUPS:] for result in group)))
        return (
            f'<details id="{key}"{" open" if opens else ""}><summary>{_badge(cell.worst)} '
            f"{html.escape(where)}: {len(told)} of {len(cell.results)} cases</summary>"
            + "".join(self._group(cell, group) for group in groups[:_GROUPS])
            + (f"<p>Further: {rest}.</p>" if rest else "")
            + "</details>"
        )

    def _group(self, cell: Cell, group: Sequence[CaseResult]) -> str:
        first = group[0]
        exhibit = find_exhibit(cell, first, self.goldens)
        picture = link = ""
        if exhibit is not None:
            self.exhibits[exhibit.key] = exhibit
            picture = f'<svg class="small" viewBox="-4 -4 108 108"><use href="#{exhibit.key}-picture"/></svg>'
            link = f' <a href="#{exhibit.key}">inputs</a>'
        names = ", ".join(map(_named, group))
        return (
            f'<div class="case">{picture}<div><p>{_badge(first.agreement)} <b>{names}</b>{link}</p>'
            f"<pre>{html.escape(first.message)}</pre></div></div>"
        )

    def inputs(self) -> str:
        """Show all inputs that were referred to."""
        if not self.exhibits:
            return ""
        entries = []
        for key, exhibit in self.exhibits.items():
            name, note = html.escape(exhibit.name), html.escape(exhibit.note)
            entries.append(
                f'<figure id="{key}">{exhibit.picture()}<figcaption><b>{name}</b><br>{note}<br>'
                f"{exhibit.link()}</figcaption></figure>"
            )
        return (
            "<h2>Inputs</h2><p>Boxes are ground truths, with the number that <code>gt_inds</code> gives "
            "them; dashed ones are padding. Dots are the centres of priors.</p>"
            f'<div class="inputs">{"".join(entries)}</div>'
        )


def _named(result: CaseResult) -> str:
    margin = "" if result.margin is None else f" (margin {result.margin:g} units in the last place)"
    return html.escape(result.case) + margin


def _summed(cells: Sequence[Cell], link: str = "", *, idle: bool = False) -> str:
    """Give the entry for cells that share a place in a table, which is idle where it has no other answer."""
    run = [cell for cell in cells if not cell.not_run and cell.results]
    if not run:
        why = html.escape("; ".join(dict.fromkeys(cell.not_run or "no case" for cell in cells)))
        return f'<td class="not_run" title="{why}">{f"not run: {why}" if idle else "–"}</td>'
    worst = max(cell.worst for cell in run)
    counts = {level: sum(cell.count(level) for cell in run) for level in _LEVELS}
    compared = sum(counts.values()) - counts[Agreement.NOT_RUN]
    passed = sum(count for level, count in counts.items() if level.agrees) - counts[Agreement.NOT_RUN]
    title = "; ".join(f"{count} {_LEVELS[level][1]}" for level, count in counts.items() if count)
    text = f"{_LEVELS[worst][0]} {passed}/{compared}"
    shown = f'<a href="#{link}">{text}</a>' if link else text
    return f'<td class="{worst.name.lower()}" title="{title}">{shown}</td>'


def _rows(
    cells: Sequence[Cell], columns: Iterable[tuple[str, ...]], depth: int, links: Mapping[int, str]
) -> str:
    """Give a row for each assigner; a column is the first `depth` of target, mode and dtype."""
    places: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        place = (cell.target, cell.mode.value, cell.dtype)[:depth]
        places.setdefault((cell.variant, *place), []).append(cell)
    rows, idle = [], all(cell.not_run for cell in cells)
    for variant in dict.fromkeys(cell.variant for cell in cells):
        entries = []
        for column in columns:
            own = places.get((variant, *column), [])
            link = next((links[id(cell)] for cell in own if id(cell) in links), "")
            entries.append(_summed(own, link, idle=idle))
        rows.append(f"<tr><th>{html.escape(variant)}</th>{''.join(entries)}</tr>")
    return "".join(rows)


def _header(columns: Sequence[tuple[str, ...]], depth: int) -> str:
    """Give one row for targets, one for modes and one for dtypes, neighbours joined."""
    rows = []
    for level in range(depth):
        entries = []
        for prefix, group in groupby(columns, key=lambda column: column[: level + 1]):
            name = html.escape(prefix[-1]).replace(" ", "<br>", 1)
            entries.append(f'<th colspan="{len(list(group))}">{name}</th>')
        corner = f'<th rowspan="{depth}">assigner</th>' if level == 0 else ""
        rows.append(f"<tr>{corner}{''.join(entries)}</tr>")
    return "".join(rows)


def _table(cells: Sequence[Cell], depth: int, links: Mapping[int, str]) -> str:
    # What was run nowhere is told at the end; a table of nothing else shows what it would hold.
    shown = [cell for cell in cells if not cell.not_run] or cells
    targets, modes = list(dict.fromkeys(cell.target for cell in shown)), list(Mode)
    ordered = sorted(shown, key=lambda cell: (targets.index(cell.target), modes.index(cell.mode)))
    columns = list(dict.fromkeys((c.target, c.mode.value, c.dtype)[:depth] for c in ordered))
    return (
        f'<div class="wide"><table><thead>{_header(columns, depth)}</thead>'
        f"<tbody>{_rows(cells, columns, depth, links)}</tbody></table></div>"
    )


def _legend(report: Report) -> str:
    counts = {level: sum(cell.count(level) for cell in report.cells) for level in _LEVELS}
    items = "".join(
        f"<li>{_badge(level)} <b>{counts[level]}</b> {meaning}</li>"
        for level, (_, _, meaning) in _LEVELS.items()
    )
    return f'<ul class="legend">{items}</ul>'


def _not_run(cells: Iterable[Cell]) -> str:
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    for cell in cells:
        if cell.not_run:
            reasons.setdefault((cell.target, cell.not_run), {})[cell.mode.value] = None
    items = "".join(
        f"<li>{html.escape(target)} {', '.join(modes)}: not run: {html.escape(reason)}</li>"
        for (target, reason), modes in reasons.items()
    )
    return f"<h2>Not run</h2><ul>{items}</ul>" if items else ""


def _backends(report: Report) -> str:
    heads = ("backend", "library", "version", "device", "model", "driver")
    rows = (
        (name, *(described.get(head, "") for head in heads[1:]))
        for name, described in report.backends.items()
    )
    body = "".join("<tr>" + "".join(f"<td>{html.escape(x)}</td>" for x in row) + "</tr>" for row in rows)
    head = "".join(f"<th>{head}</th>" for head in heads)
    return f'<div class="wide"><table class="text"><tr>{head}</tr>{body}</table></div>'


def render_page(report: Report, goldens: Goldens | None = None) -> str:
    """Write the page, in HTML that needs no network.

    Parameters
    ----------
    report : Report
        What a run found.
    goldens : mapping of str to tuple of GoldenCase, optional
        The golden cases that were run, whose inputs are shown where they fail.

    Returns
    -------
    str
    """
    data = report.to_json()
    details = _Details(goldens or {})
    links: dict[int, str] = {}
    parts = []
    for part in Part:
        cells = [cell for cell in report.cells if cell.part is part]
        told = []
        for number, cell in enumerate(cells):
            key = f"{part.value}-{number}"
            if text := details.of(cell, key):
                links[id(cell)] = key
                told.append(text)
        if cells:
            depth = 3 if any(cell.dtype for cell in cells) else 2
            parts.append(f"<h2>{_TITLES[part]}</h2>{_table(cells, depth, links)}{''.join(told)}")
    overview = _table(report.cells, 1, {}) if report.cells else ""
    verdict = "Every backend agrees" if report.agrees else "Something disagrees"
    verdict = verdict if report.compared else "Nothing was run"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Conformance</title>'
        f"<style>{STYLE}</style><h1>{verdict}</h1>"
        f"<p>assigncore {data['project']}, {data['compared']} cases, seed {data['seed']}, "
        f"{data['duration_s']:.0f} s; {html.escape(data['platform'])}, Python {data['python']}.</p>"
        f"{_backends(report)}{_legend(report)}<h2>All parts</h2>{overview}"
        f"{''.join(parts)}{_not_run(report.cells)}{details.inputs()}</html>\n"
    )


def write_page(report: Report, path: Path, goldens: Goldens | None = None) -> None:
    """Write the page to a file.

    Parameters
    ----------
    report : Report
        What a run found.
    path : pathlib.Path
        The file.
    goldens : mapping of str to tuple of GoldenCase, optional
        The golden cases that were run, whose inputs are shown where they fail.
    """
    write_whole(path, render_page(report, goldens))

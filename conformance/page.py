"""The report as one self-contained page: the matrix, and for each cell what fails or nearly ties."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from assigncore.conformance.compare import Agreement
from assigncore.conformance.regressions import load_regressions
from assigncore.conformance.report import Report
from assigncore.conformance.runner import CaseResult, Cell, Part
from assigncore.conformance.scene_kinds import draw_scene
from assigncore.conformance.scenes import Scene

__all__ = ["render_page", "write_page"]

_STYLE = """
:root{color-scheme:light dark;--line:#8886}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:90rem;padding:0 1rem}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:13px}
th,td{border:1px solid var(--line);padding:.2rem .5rem;text-align:right;white-space:nowrap}
th:first-child{text-align:left;position:sticky;left:0;background:Canvas}
.identical,.close{background:#2e7d3222}.near_tie,.equivalent{background:#f9a82544}
.different,.error,.hang{background:#c6282855;font-weight:600}.not_run{color:GrayText}
details{border-top:1px solid var(--line);padding:.4rem 0}summary{cursor:pointer}
.case{display:flex;gap:1rem;flex-wrap:wrap;margin:.6rem 0}
.case pre{white-space:pre-wrap;max-width:60rem;margin:0}
svg{width:16rem;height:16rem;border:1px solid var(--line);background:Canvas}
"""

_SHOWN = 12
"""Cases of a cell that are shown with their scenes; the others are named."""

_SYMBOLS = {
    Agreement.NOT_RUN: "not run", Agreement.IDENTICAL: "identical", Agreement.CLOSE: "close",
    Agreement.NEAR_TIE: "near tie", Agreement.EQUIVALENT: "equivalent", Agreement.DIFFERENT: "different",
    Agreement.ERROR: "error", Agreement.HANG: "hang",
}  # fmt: skip


def _scene(name: str) -> Scene | None:
    for regression in load_regressions():
        if regression.scene.name == name:
            return regression.scene
    try:
        return draw_scene(name)
    except ValueError:
        return None


def _download(scene: Scene) -> str:
    """Give the scene's inputs as a link that holds them."""
    data = {
        "name": scene.name,
        "levels": [[level.height, level.width, level.stride] for level in scene.levels],
        "arrays": {name: x.tolist() for name, x in scene.arrays.items()},
    }
    coded = base64.b64encode(json.dumps(data).encode()).decode()
    return f'<a download="{scene.name}.json" href="data:application/json;base64,{coded}">inputs</a>'


def _picture(scene: Scene) -> str:
    """Draw ground truths over the priors' centres, as far as their numbers can be drawn."""
    boxes, priors = scene.arrays["gt_bboxes"], scene.arrays["priors"]
    finite = [x[np.all(np.isfinite(x), axis=-1)] for x in (boxes, priors)]
    everything = np.concatenate(finite).reshape(-1, 2)
    if not len(everything):
        return ""
    low, high = everything.min(axis=0), everything.max(axis=0)
    side = float(max(*(high - low), np.finfo(float).tiny))
    shapes = []
    for x1, y1, x2, y2 in (finite[1].reshape(-1, 2, 2) - low).reshape(-1, 4) / side * 100:
        shapes.append(f'<circle cx="{(x1 + x2) / 2:.2f}" cy="{(y1 + y2) / 2:.2f}" r=".7" fill="GrayText"/>')
    for number, box in enumerate((finite[0].reshape(-1, 2, 2) - low).reshape(-1, 4) / side * 100):
        (x1, x2), (y1, y2) = sorted(box[::2]), sorted(box[1::2])
        shapes.append(
            f'<rect x="{x1:.2f}" y="{y1:.2f}" width="{x2 - x1:.2f}" height="{y2 - y1:.2f}" fill="none" '
            f'stroke="hsl({number * 47 % 360} 70% 50%)" stroke-width=".8"/>'
        )
    return f'<svg viewBox="-2 -2 104 104" role="img" aria-label="{scene.name}">{"".join(shapes)}</svg>'


def _case(result: CaseResult) -> str:
    scene = _scene(result.case)
    picture, link = ("", "") if scene is None else (_picture(scene), _download(scene))
    margin = "" if result.margin is None else f" margin {result.margin:g} units in the last place;"
    text = html.escape(result.message)
    return (
        f'<div class="case">{picture}<div><b>{html.escape(result.case)}</b> '
        f"{_SYMBOLS[result.agreement]};{margin} {link}<pre>{text}</pre></div></div>"
    )


def _details(cell: Cell) -> str:
    told = [r for r in cell.results if r.agreement >= Agreement.NEAR_TIE]
    if not told:
        return ""
    told.sort(key=lambda result: -result.agreement)
    more = ", ".join(html.escape(result.case) for result in told[_SHOWN:])
    where = html.escape(f"{cell.part.value}: {cell.variant} on {cell.target}, {cell.mode.value} {cell.dtype}")
    opened = " open" if cell.failures else ""
    return (
        f'<details{opened}><summary><span class="{cell.worst.name.lower()}">{_SYMBOLS[cell.worst]}</span> '
        f"{where}: {len(told)} of {len(cell.results)}</summary>"
        + "".join(_case(result) for result in told[:_SHOWN])
        + (f"<p>And {more}.</p>" if more else "")
        + "</details>"
    )


def _table(cells: Sequence[Cell]) -> str:
    columns = list(dict.fromkeys((cell.target, cell.mode, cell.dtype) for cell in cells))
    by_place = {(cell.variant, cell.target, cell.mode, cell.dtype): cell for cell in cells}
    head = "".join(f"<th>{html.escape(t)}<br>{m.value}<br>{html.escape(d)}</th>" for t, m, d in columns)
    rows = []
    for variant in dict.fromkeys(cell.variant for cell in cells):
        entries = (_entry(by_place.get((variant, *column))) for column in columns)
        rows.append(f"<tr><th>{html.escape(variant)}</th>{''.join(entries)}</tr>")
    return f'<div class="wide"><table><tr><th>assigner</th>{head}</tr>{"".join(rows)}</table></div>'


def _entry(cell: Cell | None) -> str:
    if cell is None:
        return "<td></td>"
    if cell.not_run or not cell.results:
        return f'<td class="not_run" title="{html.escape(cell.not_run or "no case")}">not run</td>'
    counts = "; ".join(f"{cell.count(level)} {name}" for level, name in _SYMBOLS.items() if cell.count(level))
    worst = cell.worst.name.lower()
    compared = len(cell.results) - cell.count(Agreement.NOT_RUN)
    text = f"{_SYMBOLS[cell.worst]} {cell.passed - cell.count(Agreement.NOT_RUN)}/{compared}"
    return f'<td class="{worst}" title="{counts}">{text}</td>'


def _reasons(cells: Iterable[Cell]) -> str:
    reasons = dict.fromkeys(
        f"{cell.target} {cell.mode.value}: {cell.not_run}" for cell in cells if cell.not_run
    )
    items = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
    return f"<h2>Not run</h2><ul>{items}</ul>" if items else ""


def render_page(report: Report) -> str:
    """Write the page, in HTML that needs no network.

    Parameters
    ----------
    report : Report
        What a run found.

    Returns
    -------
    str
    """
    data = report.to_json()
    verdict = "Every backend agrees" if report.agrees else "Something disagrees"
    backends = "".join(
        f"<li>{html.escape(', '.join((name, *filter(None, described.values()))))}</li>"
        for name, described in report.backends.items()
    )
    parts = []
    for part in Part:
        cells = [cell for cell in report.cells if cell.part is part]
        if cells:
            parts.append(f"<h2>{part.value.capitalize()}</h2>{_table(cells)}")
            parts.append("".join(_details(cell) for cell in cells))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Conformance</title>'
        f"<style>{_STYLE}</style><h1>{verdict}</h1>"
        f"<p>assigncore {data['project']}, {data['compared']} cases, seed {data['seed']}, "
        f"{data['duration_s']:.0f} s; {html.escape(data['platform'])}, Python {data['python']}.</p>"
        f"<ul>{backends}</ul>{''.join(parts)}{_reasons(report.cells)}</html>\n"
    )


def write_page(report: Report, path: Path) -> None:
    """Write the page to a file."""
    path.write_text(render_page(report), encoding="utf-8")

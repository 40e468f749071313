"""The report on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from assigncore.audit.audit import Audit
from assigncore.audit.inputs import what_is_compared
from assigncore.audit.matched import POOR
from assigncore.audit.notes import about_data, remarks, scale_used
from assigncore.audit.report import unmatched_rows
from assigncore.audit.runs import Run
from assigncore.audit.statistics import OverlapHistogram, PriorCounts, ReasonRow, SizeRow
from assigncore.audit.what_if import Outcome, Variations, WhatIf
from assigncore.inspect.display import plural, shown
from assigncore.inspect.object_sizes import SIZE_CLASSES

LOUD = "bold magenta"
MAX_UNMATCHED = 8
MAX_CATEGORIES = 10
MAX_NOTICE = 500
MAX_LINE = 2000
BARS = " ▁▂▃▄▅▆▇█"


def print_audit(console: Console, audit: Audit) -> None:
    """Print the data set's line, then one assigner in full or several side by side."""
    runs = audit.runs
    console.print(_headline(audit))
    for notice in about_data(audit.dataset):
        console.print(Text(f"Note (data): {shown(notice, MAX_NOTICE)}", style="yellow"))
    if len(runs) > 1:
        console.print(comparison(runs, audit.images_done))
        console.print(_notes(runs))
    else:
        console.print(details(runs[0]))
    for run in runs:
        if run.variations is not None:
            console.print(variations_table(run.name, run.variations))
        if run.advice is not None:
            console.print(advice_text(run, named=len(runs) > 1))


def details(run: Run) -> RenderableType:
    """Everything about one assigner."""
    statistics = run.statistics
    parts: list[RenderableType] = [
        Text.assemble((shown(run.plan.name), "bold"), f"  {shown(run.plan.settings.source, MAX_NOTICE)}"),
        _notes([run]),
        _sizes_table("Positives of each object, by COCO size class", "size class", statistics.sizes),
        _levels_table(run),
        _split_table(statistics.priors),
    ]
    if statistics.overlaps is not None:
        parts.append(_overlap_table(statistics.overlaps, what_is_compared(run.plan)))
    if statistics.matched is not None:
        parts.append(_matched_table([run]))
    if len(run.categories) > 1:
        parts.append(_categories_table(run.categories))
    if statistics.reasons:
        parts.append(_reasons_table(statistics.reasons))
    parts.append(_unmatched_table(run))
    return Group(*parts)


def comparison(runs: Sequence[Run], images: int) -> RenderableType:
    """Several assigners side by side, one in a row."""
    title = "Mean positives of an object, and share of objects without any"
    objects = _table(title, "assigner", wrap=True)
    columns: list[list[Text]] = []
    for i, row in enumerate(runs[0].statistics.sizes):
        if row.objects:
            objects.add_column(f"{row.name}\n{row.objects:,}", justify="right", no_wrap=True)
            columns.append(_means_and_shares([run.statistics.sizes[i] for run in runs]))
    title = "What became of the priors, and objects' mean best IoU with any"
    priors = _table(title, "assigner", wrap=True)
    for name in ("an image", "positive", "negative", "ignored", "best IoU"):
        priors.add_column(name, justify="right", no_wrap=True)
    for run, cells in zip(runs, zip(*columns, strict=True), strict=True):
        objects.add_row(Text(shown(run.plan.name)), *cells)
        counts, overlaps = run.statistics.priors, run.statistics.overlaps
        shares = (counts.positive, counts.negative, counts.ignored + counts.excluded)
        priors.add_row(
            Text(shown(run.plan.name)),
            f"{counts.total / images:,.0f}",
            *(f"{n / counts.total:.2%}" if counts.total else "-" for n in shares),
            "-" if overlaps is None else f"{overlaps.mean:.3f}",
        )
    predicting = [run for run in runs if run.statistics.matched is not None]
    return Group(objects, priors, *([_matched_table(predicting)] if predicting else []))


def variations_table(name: str, variations: Variations) -> RenderableType:
    """Tell what every variation of a setting gives."""
    title = f"{shown(name)} with other knobs, on {plural(variations.images, 'image')}"
    return _what_ifs_table(title, variations.today, variations.what_ifs)


def advice_text(run: Run, *, named: bool) -> RenderableType:
    """Say what leaves objects out, what changes would do, and what is advised.

    With `named` the options say which assigner they are for, as several need.
    """
    advice = run.advice
    assert advice is not None
    title = f"What other knobs of {shown(run.name)} would do, on {plural(advice.images, 'image')}"
    parts: list[RenderableType] = [
        *(
            Padding(Text(f"- {shown(cause, MAX_NOTICE)}"), (1 if i == 0 else 0, 0, 0, 0))
            for i, cause in enumerate(advice.causes)
        ),
        _what_ifs_table(title, advice.today, advice.what_ifs),
    ]
    if not advice.steps:
        without = advice.today.without
        text = "No object goes without positives: nothing has to change."
        if without:
            text = f"Nothing that was tried helps the {plural(without, 'object')} without positives much."
        return Group(*parts, Padding(Text(text, style="bold"), (1, 0)))
    before, after = advice.today, advice.outcome
    names = "; ".join(advice.step_names)
    parts.append(
        Padding(
            Text.assemble(
                (f"Advice for {shown(run.name)}: {names}.", "bold"),
                f"\nIt leaves {plural(after.without, 'object')} without positives in place of "
                f"{before.without:,}, "
                f"and gives {after.mean_positives:.1f} positives an object in place of "
                f"{before.mean_positives:.1f}. To follow it:",
            ),
            (1, 0, 0, 0),
        )
    )
    options = Text(run.advised_options(named=named), style="cyan", overflow="fold")
    parts.append(Padding(options, (0, 0, 1, 2)))
    return Group(*parts)


def _what_ifs_table(title: str, today: Outcome, what_ifs: Sequence[WhatIf]) -> Table:
    table = _table(title, "change", wrap=True)
    for name in ("priors\neach", "positives\neach", "best\nIoU", "without\nany", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row("as it is", *_outcome_cells(today), "", style="bold")
    table.add_section()
    for one in what_ifs:
        change = Text(shown(" ".join(one.overrides), MAX_NOTICE))
        if one.name:
            change = Text.assemble(one.name, "\n", (str(change), "dim"))
        if one.outcome is None:
            table.add_row(change, *("-",) * 5)
            continue
        more = one.outcome.without - today.without
        style = "green" if more < 0 else LOUD if more > 0 else ""
        table.add_row(change, *_outcome_cells(one.outcome), Text(f"{more:+,}" if more else "0", style=style))
    errors = list(dict.fromkeys(one.error for one in what_ifs if one.error))
    if errors:
        lines = "\n".join(f"not possible: {shown(error, MAX_NOTICE)}" for error in errors)
        table.caption = Text(lines, style="table.caption")
    return table


def _outcome_cells(outcome: Outcome) -> tuple[str, ...]:
    return (
        f"{outcome.priors / outcome.objects:,.0f}" if outcome.objects else "-",
        f"{outcome.mean_positives:,.1f}",
        "-" if outcome.mean_best_overlap is None else f"{outcome.mean_best_overlap:.3f}",
        f"{outcome.without:,}",
    )


def _headline(audit: Audit) -> Text:
    dataset, settings = audit.dataset, audit.settings
    backend = settings.backend.name + ("" if settings.device is None else f" ({settings.device})")
    crowds = len(dataset.all_crowds)
    counts = f"{plural(len(dataset.images), 'image')}, {plural(len(dataset.all_objects), 'object')}"
    counts += f", {plural(crowds, 'crowd region')}" if crowds else ""
    size = f"{scale_used(audit)}, on {backend}"
    text = Text.assemble((shown(dataset.source, MAX_NOTICE), "bold"), f"\n{counts}; {size}")
    for remark, is_loud in remarks(audit):
        text.append(f"; {remark}", style=LOUD if is_loud else None)
    return text


def _notes(runs: Sequence[Run]) -> RenderableType:
    """Every note once, with the assigners it is about."""
    about: dict[str, list[str]] = {}
    for run in runs:
        for note in run.notes:
            about.setdefault(shown(note, MAX_LINE), []).append(shown(run.plan.name))
    return Group(
        *(Text(f"Note ({', '.join(names)}): {note}", style="yellow") for note, names in about.items())
    )


def _categories_table(rows: Sequence[SizeRow]) -> Table:
    worst = sorted(rows, key=lambda row: -row.without)[:MAX_CATEGORIES]
    table = _sizes_table("Positives of each object, by category", "category", worst)
    if len(rows) > len(worst):
        table.caption = f"and {len(rows) - len(worst):,} more, with fewer objects without any"
    return table


def _reasons_table(rows: Sequence[ReasonRow]) -> Table:
    table = _table("Why objects have no positives", "reason", wrap=True)
    for name in ("objects", *SIZE_CLASSES):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(Text(row.name), f"{row.objects:,}", *(f"{n:,}" for n in row.objects_by_size))
    return table


def _sizes_table(title: str, first: str, rows: Sequence[SizeRow]) -> Table:
    table = _table(title, first)
    for name in ("objects", "mean", "median", "without any"):
        table.add_column(name, justify="right")
    for row in rows:
        if row.name == "all":
            table.add_section()
        table.add_row(
            Text(shown(row.name)),
            f"{row.objects:,}",
            _number(row.mean_positives),
            _number(row.median_positives),
            _without(row),
            style="bold" if row.name == "all" else None,
        )
    return table


def _levels_table(run: Run) -> Table:
    table = _table("Positives by feature level", "level")
    for name in ("priors", "positives", "share", "objects served"):
        table.add_column(name, justify="right")
    for row in run.statistics.levels:
        share = "-" if row.share_of_positives is None else f"{row.share_of_positives:.1%}"
        table.add_row(row.name, f"{row.priors:,}", f"{row.positives:,}", share, f"{row.objects:,}")
    return table


def _split_table(priors: PriorCounts) -> Table:
    table = _table("What became of the priors", "")
    for name in ("priors", "share", "for each positive"):
        table.add_column(name, justify="right")
    for name in ("positive", "negative", "ignored", "excluded"):
        count = getattr(priors, name)
        if name == "excluded" and not count:
            continue
        share = f"{count / priors.total:.2%}" if priors.total else "-"
        each = f"{count / priors.positive:,.1f}" if priors.positive else "-"
        table.add_row(name, f"{count:,}", share, each)
    return table


def _overlap_table(histogram: OverlapHistogram, what: str) -> Table:
    title = (
        f"Best IoU of each object with any {what} (mean {histogram.mean:.3f}, median {histogram.median:.3f})"
    )
    table = _table(title, "IoU from")
    fine = [sum(column) for column in zip(*histogram.counts, strict=True)]
    counts = [fine[i] + fine[i + 1] for i in range(0, len(fine), 2)]
    for i in range(len(counts)):
        table.add_column(f"{i / 10:.1f}", justify="right")
    top = max(counts)
    table.add_row("objects", *(str(c) for c in counts))
    table.add_row("", *(BARS[-(-c * (len(BARS) - 1) // top)] * 3 for c in counts), style="cyan")
    return table


def _matched_table(runs: Sequence[Run]) -> Table:
    """Tell how good the predictions are that learn from objects, an assigner in a row."""
    table = _table("IoU of objects with their predictions", "assigner", wrap=True)
    for name in ("objects", "mean", "median", f"below {POOR:g}"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in runs:
        matched = run.statistics.matched
        assert matched is not None
        share = matched.share_poor
        table.add_row(
            Text(shown(run.plan.name)),
            f"{matched.objects:,}",
            *("-" if x is None else f"{x:.3f}" for x in (matched.mean, matched.median)),
            "-" if share is None else f"{matched.poor:,} ({share:.1%})",
        )
    return table


def _unmatched_table(run: Run) -> RenderableType:
    rows = unmatched_rows(run)
    if not rows:
        return Padding(Text("Every object has at least one positive.", style="green"), (1, 0))
    table = _table(f"Objects without any positive: {len(rows):,}", "image", title_style=LOUD)
    for name in ("annotation", "category", "size px", "in training", "best IoU"):
        table.add_column(name, justify="left" if name == "category" else "right", overflow="ellipsis")
    for row in rows[:MAX_UNMATCHED]:
        overlap = row["best_overlap"]
        table.add_row(
            Text(shown(str(row["image_id"]))),
            Text(shown(str(row["annotation_id"]))),
            Text(shown(row["category"])),
            f"{row['width']:g} x {row['height']:g}",
            f"{row['training_width']:.0f} x {row['training_height']:.0f}",
            "-" if overlap is None else f"{overlap:.3f}",
        )
    if len(rows) > MAX_UNMATCHED:
        table.caption = f"and {len(rows) - MAX_UNMATCHED:,} more; --out DIR lists all in report.json"
    return table


def _table(title: str, first: str, *, wrap: bool = False, title_style: str = "bold") -> Table:
    """Make a table; where it is too wide its first column is broken if `wrap`, else the others are."""
    # As text, since brackets in a name would be markup.
    heading = Text(f"\n{title}", style=title_style)
    table = Table(title=heading, title_justify="left", caption_justify="left")
    table.add_column(first, no_wrap=not wrap, overflow="fold" if wrap else "ellipsis")
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _means_and_shares(rows: Sequence[SizeRow]) -> list[Text]:
    """Format one size class for all assigners, both numbers below one another."""
    means = [_short(row.mean_positives) for row in rows]
    shares = ["-" if row.share_without is None else f"{_short(100 * row.share_without)}%" for row in rows]
    wide, wider = max(map(len, means)), max(map(len, shares))
    styles = [LOUD if row.without else "green" for row in rows]
    return [
        Text.assemble(f"{mean:>{wide}} ", (f"{share:>{wider}}", style))
        for mean, share, style in zip(means, shares, styles, strict=True)
    ]


def _short(value: float | None) -> str:
    """Write a number with one decimal below 100 and none above."""
    return "-" if value is None else f"{value:,.0f}" if round(value, 1) >= 100 else f"{value:.1f}"


def _without(row: SizeRow) -> Text:
    if row.share_without is None:
        return Text("-")
    return Text(f"{row.without:,} ({row.share_without:.1%})", style=LOUD if row.without else "green")

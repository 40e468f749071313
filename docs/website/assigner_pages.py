"""Writes a page for every registered assigner from its docstring, and shows what it decides in a figure."""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from pprint import pformat
from textwrap import indent

import numpy as np
from figures import Drawn, by_cell, save

from assigncore import ASSIGNERS
from assigncore.conformance.capabilities import CAPABILITIES

__all__ = ["on_the_page", "sections", "write_assigner_pages"]

HEADING = re.compile(r"^(?P<title>[A-Z][A-Za-z ]+)\n-{3,}$", re.MULTILINE)

SHOWN = ("", "Notes", "References", "Examples")
"""Sections of a class's docstring that have headings of the page's own; the first is what precedes all."""

LEGEND = (
    "Coloured: assigned to the object of that colour, whose box is dashed. Grey: background. Pink: ignored; "
    "the dotted pink box, where there is one, is an ignore region."
)

EMPTINESS = (
    "With no priors, no ground truths or no valid one there is a result, never an error: nothing is "
    "assigned. An invalid prior is ignored, and padding changes nothing for the others. A box that is not "
    "finite matches nothing. Where equal values compete, the lowest index wins unless the rule says "
    "otherwise: see :doc:`/ties`."
)


def sections(docstring: str | None) -> dict[str, str]:
    """Split a docstring in numpydoc's style by its sections' names; what precedes all has the empty name."""
    text = inspect.cleandoc(docstring or "")
    found = list(HEADING.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    split = {"": text[: found[0].start()] if found else text}
    split |= {match["title"]: text[match.end() : end] for match, end in zip(found, ends, strict=True)}
    return {title: body.strip() for title, body in split.items()}


def on_the_page(name: str, lines: Sequence[str]) -> list[str]:
    """Leave out of a docstring what the page of the assigner shows elsewhere.

    Parameters
    ----------
    name : str
        What is documented, as ``assigncore.ATSSAssigner`` or ``assigncore.ATSSAssigner.assign``.
    lines : sequence of str
        Of its docstring.
    """
    _, _, path = name.partition("assigncore.")
    owner, _, member = path.partition(".")
    if owner not in ASSIGNERS.names() or member not in ("", "assign"):
        return list(lines)
    hidden = ("Notes",) if member else SHOWN
    kept = [
        f"{title}\n{'-' * len(title)}\n{body}\n" if title else f"{body}\n"
        for title, body in sections("\n".join(lines)).items()
        if title not in hidden
    ]
    return "\n".join(kept).split("\n")


def write_assigner_pages(folder: Path) -> list[str]:
    """Write the pages, their figures and the list of all, and return the assigners' names."""
    figures = folder / "figures"
    figures.mkdir(parents=True)
    names = list(ASSIGNERS.names())
    for name in names:
        (folder / f"{name}.rst").write_text(page(name, save(name, figures)), encoding="utf-8")
    (folder / "index.rst").write_text(index(names), encoding="utf-8")
    return names


def page(name: str, drawn: Drawn) -> str:
    """Give the page of an assigner.

    Raises
    ------
    AssertionError
        If its docstring lacks a section, or its example does not give what it says.
    """
    cls = ASSIGNERS.get(name)
    parts, call = sections(cls.__doc__), sections(cls.assign.__doc__)
    for title in ("Examples", "References"):
        assert parts.get(title), f"{name}: the docstring has no section {title}"
    failed, _ = doctest.testmod(inspect.getmodule(cls), report=True)
    assert failed == 0, f"{name}: an example of its module does not give what it says"
    rule, _, more = parts[""].partition("\n\n")
    notes = [text for text in (parts.get("Notes"), call.get("Notes")) if text]
    return "\n\n".join(
        (
            heading(name, "="),
            ".. currentmodule:: assigncore",
            f".. rst-class:: rule\n\n   {one_line(rule)}",
            more,
            *(figure(name, ground) for ground in ("light", "dark")),
            what_it_shows(drawn),
            heading("At a glance", "-"),
            facts(name, drawn),
            heading("Knobs and call", "-"),
            f".. autoclass:: assigncore.{name}\n   :members: assign, to_config\n   :inherited-members:",
            heading("Ties and emptiness", "-"),
            *notes,
            EMPTINESS,
            heading("Example", "-"),
            parts["Examples"],
            heading("Papers", "-"),
            parts["References"],
            "",
        )
    )


def heading(text: str, line: str) -> str:
    """Give a heading in reStructuredText."""
    return f"{text}\n{line * len(text)}"


def one_line(text: str) -> str:
    """Join the lines of a paragraph."""
    return " ".join(text.split())


def figure(name: str, ground: str) -> str:
    """Show the figure for light or dark ground."""
    alternative = f"What {name} decides on a scene with three objects"
    return f".. image:: figures/{name}-{ground}.svg\n   :class: only-{ground} figure\n   :alt: {alternative}"


def what_it_shows(drawn: Drawn) -> str:
    """Say what the figure shows, and with which knobs."""
    codes = drawn.result.gt_inds
    counts = ", ".join(str(int(np.sum(codes == i + 1))) for i in range(len(drawn.scene.arrays["gt_bboxes"])))
    rows = (
        f"a dot for each of {codes.shape[-1]} priors on three levels"
        if by_cell(drawn.recipe)
        else f"{codes.shape[-1]} boxes in no grid"
    )
    given = indent(pformat(dict(drawn.config), width=76, sort_dicts=False), "    ")
    build = indent(f"build_assigner(\n{given}\n)", "   ")
    return (
        f"An image of 128 x 128 pixels with three objects, {rows}. {LEGEND} The objects got {counts} "
        f"positives, from\n\n.. code-block:: python\n\n{build}"
    )


def facts(name: str, drawn: Drawn) -> str:
    """Give a table of what is declared of an assigner."""
    promise = CAPABILITIES[name]
    takes = "priors" in drawn.recipe.parameters
    predictions = [f"``{each}``" for each in drawn.recipe.parameters if each.startswith("pred_")]
    rows = {
        "priors": str(promise.priors) if takes else "none: it matches predictions",
        "reads predictions": ", ".join(predictions) or "no",
        "ignore regions": "yes, ``ignore_bboxes``" if promise.ignores else "no",
        "ties": str(promise.ties),
        "host": "one transfer for a batch" if promise.host else "never waited for",
        "modes": ", ".join(mode.value for mode in promise.modes),
    }
    body = "\n".join(f"   * - {key}\n     - {value}" for key, value in rows.items())
    return f".. list-table::\n   :class: facts\n   :widths: auto\n   :stub-columns: 1\n\n{body}"


def index(names: Sequence[str]) -> str:
    """Give the list of all assigners with their rules, and the way to their pages."""
    rules = {name: one_line(sections(ASSIGNERS.get(name).__doc__)[""].partition("\n\n")[0]) for name in names}
    rows = "\n".join(f"   * - :doc:`{name}`\n     - {rule}" for name, rule in rules.items())
    return "\n\n".join(
        (
            heading("Assigners", "="),
            ".. currentmodule:: assigncore",
            "A page for each: what it decides, drawn from its own answer; its knobs; how ties fall and what "
            "is empty; the paper. Every one is a frozen set of knobs with a method ``assign``, built by its "
            "name with :func:`assigncore.build_assigner` or by its class.",
            ".. list-table::\n   :widths: auto\n   :header-rows: 1\n",
            f"   * - assigner\n     - rule\n{rows}",
            ".. toctree::\n   :hidden:\n\n" + "\n".join(f"   {name}" for name in names),
            "",
        )
    )

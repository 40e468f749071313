"""What-ifs: a setting with some knobs changed, and what that changes for the objects without positives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, TypeAlias

import numpy as np

from assigncore.audit.config import Override, Plan, change_plan
from assigncore.audit.errors import AuditError
from assigncore.audit.statistics import Findings
from assigncore.inspect.object_sizes import SIZE_CLASSES

__all__ = [
    "Evaluate",
    "Outcome",
    "Proposed",
    "Variations",
    "WhatIf",
    "as_override",
    "outcome_of",
    "read_variations",
    "try_changes",
    "try_variations",
]

MAX_VARIATIONS = 200

Evaluate: TypeAlias = Callable[[Sequence[Plan]], Sequence[Findings]]
"""Runs plans over the images that what-ifs are tried on."""

Proposed: TypeAlias = tuple[str, tuple[str, ...]]
"""What is changed, in words and as `--set` takes it."""


@dataclass(frozen=True)
class Outcome:
    """What a setting gives the objects, in few numbers.

    Attributes
    ----------
    objects : int
    without : int
        Objects without any positive.
    without_by_size : tuple of int
        The same by COCO's size classes.
    mean_positives : float
        Of an object.
    mean_best_overlap : float or None
        Of an object with any prior or prediction. None: there are no boxes to compare.
    priors : int
        Of all images.
    """

    objects: int
    without: int
    without_by_size: tuple[int, ...]
    mean_positives: float
    mean_best_overlap: float | None
    priors: int


@dataclass(frozen=True)
class WhatIf:
    """One change of a setting, and what came of it.

    Attributes
    ----------
    name : str
        What is changed, in words; empty where the overrides say it.
    overrides : tuple of str
        The change as `--set` takes it.
    outcome : Outcome or None
        None where the setting cannot be built or run so.
    error : str
        Why it cannot.
    """

    name: str
    overrides: tuple[str, ...]
    outcome: Outcome | None
    error: str = ""


@dataclass(frozen=True)
class Variations:
    """A setting as it is, and with knobs varied.

    Attributes
    ----------
    images : int
        Images that it was run on.
    today : Outcome
        As it is.
    what_ifs : tuple of WhatIf
        Every variation.
    """

    images: int
    today: Outcome
    what_ifs: tuple[WhatIf, ...]


def outcome_of(findings: Findings) -> Outcome:
    """Summarize a run."""
    objects = findings.objects
    without = objects.totals == 0
    overlaps = objects.best_overlaps
    return Outcome(
        len(without),
        int(np.sum(without)),
        tuple(int(np.sum(without & (objects.size == i))) for i in range(len(SIZE_CLASSES))),
        float(np.mean(objects.totals)) if len(without) else 0.0,
        None if overlaps is None or not len(overlaps) else float(np.mean(overlaps, dtype=np.float64)),
        findings.priors.total,
    )


def try_changes(plan: Plan, changes: Sequence[Proposed], evaluate: Evaluate) -> list[WhatIf]:
    """Run a plan with each of some changes made; one that it refuses is told, not raised."""
    built: dict[int, Plan] = {}
    errors: dict[int, str] = {}
    for i, (_, overrides) in enumerate(changes):
        try:
            built[i] = change_plan(plan, overrides)
        except AuditError as error:
            errors[i] = str(error)
    found: dict[int, Outcome] = {}
    try:
        found = {i: outcome_of(x) for i, x in zip(built, evaluate(tuple(built.values())), strict=True)}
    except AuditError:
        # One of them is refused by what it would be run on: which one shows alone.
        for i, one in built.items():
            try:
                found[i] = outcome_of(evaluate((one,))[0])
            except AuditError as error:
                errors[i] = str(error)
    return [
        WhatIf(name, overrides, found.get(i), errors.get(i, ""))
        for i, (name, overrides) in enumerate(changes)
    ]


def try_variations(plan: Plan, variations: Iterable[Sequence[str]], evaluate: Evaluate) -> tuple[WhatIf, ...]:
    """Run a plan in every variation that is meant for it, as `read_variations` gives them."""
    return tuple(try_changes(plan, [("", own) for own in _meant_for(plan, variations)], evaluate))


def _meant_for(plan: Plan, variations: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """Keep of each variation what is for a plan, each once."""
    meant: dict[tuple[str, ...], None] = {}
    for overrides in variations:
        parsed = [Override.parse(text, "--vary") for text in overrides]
        own = tuple(each.without_plan() for each in parsed if each.plan in (None, plan.settings.name))
        if own:
            meant[own] = None
    return list(meant)


def read_variations(texts: Sequence[str], plans: Sequence[Plan]) -> tuple[tuple[str, ...], ...]:
    """Read ``--vary [NAME:]KEY=VALUE,VALUE,...``; of several, every combination.

    Parameters
    ----------
    texts : sequence of str
        As given on the command line.
    plans : sequence of Plan
        What is run.

    Returns
    -------
    tuple of tuple of str
        The overrides of each combination, as ``--set`` takes them.

    Raises
    ------
    AuditError
        If one is no key with values, is for an assigner that is not run or cannot be built so, or there are
        too many.

    Examples
    --------
    >>> read_variations(["priors.scales=[4],[8]"], [])
    (('priors.scales=[4]',), ('priors.scales=[8]',))
    """
    choices = []
    for text in texts:
        key, separator, values = text.partition("=")
        override = Override.parse(text, "--vary")
        if override.plan is not None and override.plan not in [plan.settings.name for plan in plans]:
            raise AuditError(f"--vary {text}: no assigner of this run is called {override.plan!r}")
        found = _split_values(values)
        if not separator or not found:
            raise AuditError(f"--vary: expected KEY=VALUE,VALUE,..., got {text!r}")
        choices.append([f"{key}={value}" for value in found])
    if choices and prod(map(len, choices)) > MAX_VARIATIONS:
        raise AuditError(
            f"--vary: expected at most {MAX_VARIATIONS} combinations, got {prod(map(len, choices)):,}"
        )
    variations = tuple(product(*choices)) if choices else ()
    for plan in plans:
        for own in _meant_for(plan, variations):
            try:
                change_plan(plan, own)
            except AuditError as error:
                raise AuditError(f"--vary {' '.join(own)}: {error}") from None
    return variations


def _split_values(text: str) -> list[str]:
    """Cut at the commas that stand outside of brackets and quotes."""
    values, depth, quoted, start = [], 0, False, 0
    for i, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif not quoted and character in "[{":
            depth += 1
        elif not quoted and character in "]}":
            depth -= 1
        elif character == "," and not quoted and depth == 0:
            values.append(text[start:i])
            start = i + 1
    return [value.strip() for value in (*values, text[start:]) if value.strip()]


def as_override(key: str, value: Any) -> str:
    """Write an override as `--set` reads it.

    Examples
    --------
    >>> as_override("priors.scales", (4.0, 8.0))
    'priors.scales=[4,8]'
    """
    return f"{key}={json.dumps(_short(value), separators=(',', ':'))}"


def _short(value: Any) -> Any:
    """Write whole numbers without a fraction, mappings and sequences as JSON has them."""
    if isinstance(value, tuple | list):
        return [_short(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value

"""The thirteen laws by name, each a check of any assigner on any target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType

from assigncore.conformance import laws_answers, laws_conduct
from assigncore.conformance.backends import Mode, Target
from assigncore.conformance.bench import Bench, NotApplicable, run_checks
from assigncore.conformance.deadline import LIMIT
from assigncore.conformance.recipes import Recipe
from assigncore.conformance.runner import Cell, Part

__all__ = ["LAWS", "run_laws"]

LAWS: Mapping[str, Callable[[Bench], None]] = MappingProxyType(
    {
        "codes": laws_answers.codes,
        "ties": laws_answers.ties,
        "precision": laws_answers.precision,
        "empty": laws_answers.empty,
        "padding": laws_answers.padding,
        "batch": laws_answers.batch,
        "namespace": laws_conduct.namespace,
        "purity": laws_conduct.purity,
        "static": laws_conduct.static,
        "broken_numbers": laws_answers.broken_numbers,
        "ignore": laws_conduct.ignore,
        "wrong_calls": laws_conduct.wrong_calls,
        "memory": laws_conduct.memory,
    }
)
"""The laws in their order; the first line of a check's docstring states its law."""


def run_laws(
    recipe: Recipe,
    target: Target,
    *,
    laws: Iterable[str] = tuple(LAWS),
    reference: Recipe | None = None,
    limit: float = LIMIT,
    after_case: Callable[[], object] | None = None,
) -> Cell:
    """Check the laws of one assigner on one target.

    Parameters
    ----------
    recipe : Recipe
        The assigner.
    target : Target
        Where it runs.
    laws : iterable of str, optional
        Names of `LAWS`; all by default.
    reference : Recipe, optional
        What answers are held against, on NumPy; the assigner itself by default.
    limit : float, default 300
        Seconds a law may take.
    after_case : callable, optional
        Called when a law is done.

    Returns
    -------
    Cell
        A case is called as its law.

    Examples
    --------
    >>> from assigncore.conformance.backends import get_target
    >>> from assigncore.conformance.recipes import recipe_of
    >>> cell = run_laws(recipe_of("PointAssigner"), get_target("numpy"), laws=["codes", "ties"])
    >>> [(result.case, result.agreement.name) for result in cell.results]
    [('codes', 'IDENTICAL'), ('ties', 'IDENTICAL')]
    """
    reason = target.unavailable()
    bench = Bench(recipe, reference or recipe, target)
    checks = {name: partial(_hold, name, bench) for name in laws}
    results = () if reason else run_checks(checks, limit, after_case)
    return Cell(recipe.name, target.name, Mode.EAGER, results, reason, Part.LAWS)


def _hold(law: str, bench: Bench) -> None:
    if law != "static" and (reason := bench.target.incomparable()):
        raise NotApplicable(reason)
    LAWS[law](bench)

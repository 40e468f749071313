"""The thirteen laws by name, each a check of any assigner on any target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType

from assigncore.conformance.laws import answers, conduct
from assigncore.conformance.laws.bench import Bench, NotApplicable, run_checks
from assigncore.conformance.report.results import Cell, Part
from assigncore.conformance.scenes.recipes import Recipe
from assigncore.conformance.targets.deadline import LIMIT
from assigncore.conformance.targets.libraries import Mode, Target

__all__ = ["LAWS", "run_laws"]

LAWS: Mapping[str, Callable[[Bench], None]] = MappingProxyType(
    {
        "codes": answers.codes,
        "ties": answers.ties,
        "precision": answers.precision,
        "empty": answers.empty,
        "padding": answers.padding,
        "batch": answers.batch,
        "namespace": conduct.namespace,
        "purity": conduct.purity,
        "static": conduct.static,
        "broken_numbers": answers.broken_numbers,
        "ignore": conduct.ignore,
        "wrong_calls": conduct.wrong_calls,
        "memory": conduct.memory,
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
    >>> from assigncore.conformance.targets.libraries import get_target
    >>> from assigncore.conformance.scenes.recipes import recipe_of
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

"""The thirteen laws by name, each a check of any assigner on any target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from assigncore.conformance.laws.batch import batch
from assigncore.conformance.laws.bench import Bench, NotApplicable, run_checks
from assigncore.conformance.laws.broken_numbers import broken_numbers
from assigncore.conformance.laws.codes import codes
from assigncore.conformance.laws.empty import empty
from assigncore.conformance.laws.ignore import ignore
from assigncore.conformance.laws.memory import memory
from assigncore.conformance.laws.namespace import namespace
from assigncore.conformance.laws.padding import padding
from assigncore.conformance.laws.precision import precision
from assigncore.conformance.laws.purity import purity
from assigncore.conformance.laws.static import static
from assigncore.conformance.laws.ties import ties
from assigncore.conformance.laws.wrong_calls import wrong_calls
from assigncore.conformance.report.results import Cell, Part
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.recipes import Recipe
from assigncore.conformance.scenes.scene import Scene
from assigncore.conformance.targets.deadline import LIMIT
from assigncore.conformance.targets.libraries import Mode, Target

__all__ = ["LAWS", "Law", "run_laws"]


@dataclass(frozen=True)
class Law:
    """A law: a check of an assigner on a target, and the scenes on which the suite makes it.

    Parameters
    ----------
    check : callable
        Takes a `Bench` and scenes, any there are; raises `Broken` where the law is.
    scenes : tuple of str
        Names of scenes, for `draw_scene`.
    """

    check: Callable[[Bench, Sequence[Scene]], None]
    scenes: tuple[str, ...]

    def __call__(self, bench: Bench) -> None:
        """Check the law on its scenes."""
        self.check(bench, [draw_scene(name) for name in self.scenes])


LAWS: Mapping[str, Law] = MappingProxyType(
    {
        "codes": Law(codes, ("fpn-0-0", "ties-0-1", "crowd-0-2", "non_finite-0-3")),
        "ties": Law(ties, ("ties-0-0", "ties-0-1", "ties-0-2", "apart-0-3")),
        "precision": Law(precision, ("fpn-0-1", "half-0-0")),
        "empty": Law(empty, ("fpn-0-0",)),
        "padding": Law(
            padding, ("fpn-1-0", "crowd-1-1", "ties-1-2", "real-1-3", "non_finite-1-4", "points-1-5")
        ),
        "batch": Law(batch, ("fpn-2-0", "ties-2-1", "crowd-2-2", "degenerate-2-3", "real-2-4", "half-2-5")),
        "namespace": Law(namespace, ("fpn-4-0",)),
        "purity": Law(purity, ("fpn-5-0", "non_finite-5-1")),
        "static": Law(static, ("fpn-6-0", "fpn-6-1", "ties-6-2")),
        "broken_numbers": Law(broken_numbers, ("non_finite-3-0", "non_finite-3-1")),
        "ignore": Law(ignore, ("crowd-7-0", "crowd-7-1", "crowd-7-2", "crowd-7-3")),
        "wrong_calls": Law(wrong_calls, ("fpn-8-0",)),
        "memory": Law(memory, ("ties-9-1", "fpn-9-0", "crowd-9-2")),
    }
)
"""The laws in their order; the first line of a check's docstring states its law."""


def run_laws(
    recipe: Recipe,
    target: Target,
    *,
    laws: Iterable[str] = tuple(LAWS),
    reference: Recipe | None = None,
    thorough: bool | None = None,
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
    thorough : bool, optional
        Whether to check, too, what is common to all assigners and takes a shape of its own. By default not
        where a library compiles for seconds for each.
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
    if thorough is None:
        thorough = not target.compiles_operations
    bench = Bench(recipe, reference or recipe, target, thorough)
    checks = {name: partial(_hold, name, bench) for name in laws}
    results = () if reason else run_checks(checks, limit, after_case)
    return Cell(recipe.name, target.name, Mode.EAGER, results, reason, Part.LAWS)


def _hold(law: str, bench: Bench) -> None:
    if law != "static" and (reason := bench.target.incomparable()):
        raise NotApplicable(reason)
    LAWS[law](bench)

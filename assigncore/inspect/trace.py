"""What the steps of an assigner say of pairs, recorded while somebody asks why.

An assigner names its steps by :func:`condition`, :func:`contest` and :func:`mark`, which do nothing while
nobody looks; under compilers nobody does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any

import numpy as np

from assigncore.backend.lookup import Array, get_backend

__all__ = [
    "Condition",
    "Contest",
    "Mark",
    "Matching",
    "Round",
    "Trace",
    "begin",
    "condition",
    "contest",
    "costs",
    "is_recording",
    "mark",
    "matching",
    "next_round",
    "recorded",
]

AnyArray = np.ndarray[Any, Any]

Said = Array | Callable[[int], Array]


class OfPairs:
    """What is said of every pair (G, N), kept as it was given: not all pairs need be held.

    Parameters
    ----------
    given : array (G, N), or (G, K) with `index`, or callable
        The values; lengths of 1 broadcast. A callable returns those of a ground truth, (N,).
    index : array (G, K) of integers, optional
        The priors listed of each ground truth. Of one that is listed twice the larger value counts.
    shape : (int, int)
        G and N.
    fill : bool or float
        What is said of pairs that are not listed.
    """

    def __init__(
        self,
        given: Any,
        index: AnyArray | None,
        shape: tuple[int, int],
        fill: float,
    ) -> None:
        self._given: Any = given
        self._index: Any = index
        self._shape, self._fill = shape, fill
        self.is_of_gts = index is None and not callable(given) and shape[1] > 0 and given.shape[-1:] == (1,)
        """Whether it is the same for all priors."""
        if index is not None:
            self._index, self._given = np.broadcast_arrays(index, self._given)
        elif not callable(given):
            self._given = np.broadcast_to(given, shape)

    def __getstate__(self) -> dict[str, Any]:
        """Say of all pairs what a function would say when asked: functions are not pickled."""
        state = dict(self.__dict__)
        if callable(self._given) and 0 not in self._shape:
            state["_given"] = np.stack([self.row(gt) for gt in range(self._shape[0])])
        return state

    def row(self, gt: int) -> AnyArray:
        """Return what is said of a ground truth and all priors, (N,)."""
        if callable(self._given):
            return np.asarray(self._given(gt))
        if self._index is None:
            return np.asarray(self._given[gt])
        given = self._given[gt]
        row = np.full(self._shape[1], self._fill, dtype=given.dtype)
        (np.logical_or if given.dtype == bool else np.fmax).at(row, self._index[gt], given)
        return row

    def at(self, gt: int, prior: int) -> Any:
        """Return what is said of one pair."""
        if callable(self._given) or self._index is None:
            return self.row(gt)[prior]
        here = self._given[gt][self._index[gt] == prior]
        return here.max() if len(here) else self._fill


@dataclass(frozen=True, eq=False)
class Condition:
    """A condition that pairs fulfil or not.

    Attributes
    ----------
    name : str
        The condition, as a sentence says it of a prior: "overlap at least 0.5".
    holds : OfPairs of bool
        Whether a pair fulfils it.
    value, limit : OfPairs, optional
        What was compared, and with what; NaN where nothing was.
    otherwise : int, optional
        Of a condition on who won the prior: the code of a prior whose winner fails. None: no say.
    """

    name: str
    holds: OfPairs
    value: OfPairs | None = None
    limit: OfPairs | None = None
    otherwise: int | None = None


@dataclass(frozen=True, eq=False)
class Contest:
    """How a prior that several ground truths claim is given to one of them.

    Attributes
    ----------
    name : str
        By what: "largest overlap".
    by : OfPairs
        The values compared, of which the largest wins; NaN where there is none.
    among_all : bool
        Whether ground truths that do not claim the prior compete too.
    last : bool
        Whether the last of equals wins, else the first.
    """

    name: str
    by: OfPairs
    among_all: bool = False
    last: bool = False


@dataclass(eq=False)
class Round:
    """Conditions on pairs, who wins what several claim, and conditions on the winners.

    A later round's winners take priors from those of earlier ones.
    """

    name: str
    conditions: list[Condition] = field(default_factory=list)
    contest: Contest | None = None
    verdicts: list[Condition] = field(default_factory=list)
    won: tuple[AnyArray, AnyArray] | None = None
    """What :meth:`Trace.winners` has found."""


@dataclass(frozen=True, eq=False)
class Mark:
    """What is true of priors (N,) whatever the ground truths, and the code it gives them.

    Attributes
    ----------
    name : str
        What is true of them.
    mask : array (N,) of bool
        Of which priors.
    code : int
        0 or -1.
    holds : {"unless taken", "over all", "always"}
        Whether a winner takes the prior all the same; or not; or it is so even where the image has no valid
        ground truth, which otherwise makes background of all.
    value : array (N,), optional
        What was looked at.
    """

    name: str
    mask: AnyArray
    code: int
    holds: str = "unless taken"
    value: AnyArray | None = None


@dataclass(frozen=True, eq=False)
class Matching:
    """A matching of all pairs at once, which no condition on a pair decides.

    Attributes
    ----------
    costs : array (G, N)
        What pairs cost; infinite where a pair cannot be.
    solve : callable
        Maps costs (G, N) to the ground truth of each prediction (N,), -1 where it has none.
    """

    costs: AnyArray
    solve: Callable[[AnyArray], AnyArray]


@dataclass(eq=False)
class Trace:
    """All that was recorded of one image, in the order of the steps.

    Attributes
    ----------
    shape : tuple of int
        Numbers of ground truths and of what is assigned to them: G, N.
    gt_valid : array (G,) of bool
        False where a ground truth is padding or non-finite.
    priors : array (N,) of integers, optional
        The priors that are assigned, where the method lists some, once or more each. Not given: all.
    rounds, marks : list
        What was said.
    matching : Matching, optional
        Of a method that decides about all pairs at once.
    terms : mapping of str to array (G, N)
        What pairs cost, term by term, where costs decide.
    force : callable, optional
        Says by how much the total cost rises where a ground truth must have a prior.
    """

    shape: tuple[int, int] = (0, 0)
    gt_valid: AnyArray | None = None
    priors: AnyArray | None = None
    rounds: list[Round] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    matching: Matching | None = None
    terms: Mapping[str, AnyArray] = field(default_factory=dict)
    force: Callable[[int, int], float] | None = None

    def codes(self) -> AnyArray:
        """Work out from what was recorded, and nothing else, the code of each prior, (N,)."""
        codes = np.zeros(self.shape[1], dtype=np.int64)
        self._apply("unless taken", codes)
        if self.matching is not None:
            codes = self.matching.solve(self.matching.costs) + 1
        for one in self.rounds:
            self._play(one, codes)
        self._apply("over all", codes)
        if self.gt_valid is None or not self.gt_valid.any():
            codes[:] = 0
        self._apply("always", codes)
        return codes

    def _apply(self, holds: str, codes: AnyArray) -> None:
        for one in self.marks:
            if one.holds == holds:
                codes[one.mask] = one.code

    def claims(self, of: Round, gt: int) -> AnyArray:
        """Return which priors fulfil all conditions of a round with a ground truth, (N,)."""
        claims = np.full(self.shape[1], self.gt_valid is None or bool(self.gt_valid[gt]))
        for one in of.conditions:
            claims &= one.holds.row(gt)
        return claims

    def winners(self, of: Round) -> tuple[AnyArray, AnyArray]:
        """Return who wins each prior in a round, -1 where nobody does, and how many claim it, (N,) each."""
        if of.won is not None:
            return of.won
        n_gts, n_priors = self.shape
        times, sole, won = np.zeros(n_priors, dtype=np.int64), *np.full((2, n_priors), -1)
        best = np.full(n_priors, -np.inf)
        for gt in range(n_gts):
            claims = self.claims(of, gt)
            times += claims
            sole[claims & (sole < 0)] = gt
            if of.contest is None or (self.gt_valid is not None and not self.gt_valid[gt]):
                continue
            by = of.contest.by.row(gt).astype(np.float64)
            by = np.where(np.isnan(by), -np.inf, by)
            competes = np.ones(n_priors, dtype=bool) if of.contest.among_all else claims
            better = competes & ((by >= best) if of.contest.last else (by > best) | (won < 0))
            won[better], best[better] = gt, by[better]
        of.won = np.where((times > 1) & (won >= 0), won, sole), times
        return of.won

    def _play(self, one: Round, codes: AnyArray) -> None:
        winner, _ = self.winners(one)
        positive = winner >= 0
        for verdict in one.verdicts:
            holds = self._of_winners(verdict.holds, winner)
            if verdict.otherwise is not None:
                codes[positive & ~holds] = verdict.otherwise
            positive &= holds
        codes[positive] = winner[positive] + 1

    def _of_winners(self, holds: OfPairs, winner: AnyArray) -> AnyArray:
        found = np.zeros(self.shape[1], dtype=bool)
        for gt in np.unique(winner[winner >= 0]):
            own = winner == gt
            found[own] = holds.row(int(gt))[own]
        return found


# Names of the module: a compiler cannot trace a context variable. Calls of other threads are not recorded.
_trace: Trace | None = None
_thread = 0


@contextmanager
def recorded() -> Iterator[Trace]:
    """Record what the assigners that this thread calls say, one image at a time, until the context ends.

    Raises
    ------
    RuntimeError
        If somebody records already.
    """
    global _trace, _thread
    if _trace is not None:
        raise RuntimeError("an explanation is being made already; make one after the other")
    _trace, _thread = Trace(), get_ident()
    try:
        yield _trace
    finally:
        _trace = None


def is_recording() -> bool:
    """Tell whether what a step says is recorded, and worth computing for that alone."""
    return _trace is not None and _thread == get_ident()


def begin(shape: tuple[int, int], gt_valid: Array, priors: Array | None = None) -> None:
    """Say what is assigned, as :class:`Trace` has it: `gt_valid` (1, G), and maybe `priors` (1, N)."""
    if is_recording() and _trace is not None:
        if gt_valid.shape[0] != 1:
            raise ValueError(f"one image is explained at a time, got a batch of {int(gt_valid.shape[0])}")
        _trace.shape, _trace.gt_valid = shape, _host(gt_valid)[0]
        _trace.priors = None if priors is None else _host(priors)[0]


def next_round(name: str) -> None:
    """Begin a round of claims, whose winners take priors from those of earlier ones."""
    if is_recording() and _trace is not None:
        _trace.rounds.append(Round(name))


def condition(
    name: str,
    holds: Said,
    *,
    index: Array | None = None,
    value: Said | None = None,
    limit: Any = None,
    otherwise: int | None = None,
) -> None:
    """Name a condition on pairs.

    Parameters
    ----------
    name : str
        The condition, as a sentence says it of a prior.
    holds : array (1, G, N) of bool, or (1, G, K) with `index`, or callable
        Whether a pair fulfils it; pairs that are not listed do not. Lengths of 1 broadcast. A callable
        returns what holds of a ground truth, (N,), where all pairs at once would be too much.
    index : array (1, G, K) of integers, optional
        The priors listed of each ground truth.
    value : array or callable, optional
        What is compared, of the same pairs.
    limit : number or array, optional
        With what.
    otherwise : int, optional
        After a contest: the code of a prior whose winner fails.
    """
    if is_recording() and _trace is not None:
        found = Condition(
            name,
            _of_pairs(holds, index, False),
            None if value is None else _of_pairs(value, index, np.nan),
            None if limit is None else _of_pairs(limit, index, np.nan),
            otherwise,
        )
        _current().append(found)


def contest(
    name: str, *, by: Said, index: Array | None = None, among_all: bool = False, last: bool = False
) -> None:
    """Say by what a prior that several ground truths claim is given to one.

    Parameters
    ----------
    name : str
        By what: "largest overlap".
    by : array (1, G, N), or (1, G, K) with `index`, or callable
        The values, of which the largest wins.
    index : array (1, G, K) of integers, optional
        The priors listed of each ground truth.
    among_all : bool, default False
        Whether ground truths compete that do not claim the prior.
    last : bool, default False
        Whether the last of equals wins.
    """
    if is_recording() and _trace is not None:
        rounds = _trace.rounds or [Round("")]
        _trace.rounds = rounds
        rounds[-1].contest = Contest(name, _of_pairs(by, index, np.nan), among_all, last)


def costs(terms: Mapping[str, Array], force: Callable[[int, int], Array]) -> None:
    """Say what pairs cost where all are weighed against each other: terms by name, each (1, G, N).

    `force` maps a ground truth and a prior to what the total cost rises by where the one must have the other.
    """
    if is_recording() and _trace is not None:
        _trace.terms = {name: np.broadcast_to(_host(x)[0], _trace.shape) for name, x in terms.items()}
        _trace.force = lambda gt, prior: float(_host(force(gt, prior)).reshape(-1)[0])


def matching(terms: Callable[[], Mapping[str, Array]], costs: Array, solve: Callable[[Array], Array]) -> None:
    """Say that a matching decides, of costs (1, N, G) that `solve` maps to ground truths (1, N) from 0.

    `terms` gives what the costs are the sum of, by name, each (1, N, G).
    """
    if is_recording() and _trace is not None:
        backend, device = get_backend(costs), get_backend(costs).device_of(costs)

        def solved(of_gts: AnyArray) -> AnyArray:
            problem = backend.from_numpy(np.ascontiguousarray(of_gts.T)[None], device)
            return np.asarray(backend.to_numpy(solve(problem))[0])

        _trace.terms = {name: backend.to_numpy(term)[0].T for name, term in terms().items()}
        _trace.matching = Matching(backend.to_numpy(costs)[0].T, solved)


def mark(
    name: str, mask: Array, code: int, *, holds: str = "unless taken", value: Array | None = None
) -> Array:
    """Say of priors (1, N) what gives them a code, as :class:`Mark` has it, and return `mask`."""
    if is_recording() and _trace is not None:
        of_priors, compared = _host(mask)[0], None if value is None else _host(value)[0]
        if _trace.priors is not None and len(of_priors) != _trace.shape[1]:
            of_priors = of_priors[_trace.priors]
        _trace.marks.append(Mark(name, of_priors, code, holds, compared))
    return mask


def _current() -> list[Condition]:
    """Return the list of conditions that a further one belongs to."""
    assert _trace is not None
    if not _trace.rounds:
        _trace.rounds.append(Round(""))
    last = _trace.rounds[-1]
    return last.conditions if last.contest is None else last.verdicts


def _host(x: Any) -> AnyArray:
    return get_backend(x).to_numpy(x) if hasattr(x, "shape") else np.asarray(x)[None]


def _of_pairs(x: Any, index: Array | None, fill: float) -> OfPairs:
    assert _trace is not None
    places = None if index is None else _host(index)[0]
    if callable(x):
        return OfPairs(lambda gt: _host(x(gt)), None, _trace.shape, fill)
    given = _host(x)
    return OfPairs(given if given.ndim < 3 else given[0], places, _trace.shape, fill)

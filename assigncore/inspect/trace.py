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
    "is_recording",
    "mark",
    "matching",
    "next_round",
    "recorded",
]

AnyArray = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Condition:
    """A condition that pairs fulfil or not.

    Attributes
    ----------
    name : str
        The condition, as a sentence says it of a prior: "overlap at least 0.5".
    holds : array (G, N) of bool
        Whether a pair fulfils it.
    value, limit : array (G, N), optional
        What was compared, and with what; NaN where nothing was.
    otherwise : int, optional
        Of a condition on who won the prior: the code of a prior whose winner fails. None: no say.
    """

    name: str
    holds: AnyArray
    value: AnyArray | None = None
    limit: AnyArray | None = None
    otherwise: int | None = None


@dataclass(frozen=True, eq=False)
class Contest:
    """How a prior that several ground truths claim is given to one of them.

    Attributes
    ----------
    name : str
        By what: "largest overlap".
    by : array (G, N)
        The values compared, of which the largest wins; NaN where there is none.
    among_all : bool
        Whether ground truths that do not claim the prior compete too.
    last : bool
        Whether the last of equals wins, else the first.
    """

    name: str
    by: AnyArray
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
    terms : mapping of str to array (G, N)
        What pairs cost, term by term, each weighted.
    costs : array (G, N)
        Their sum; infinite where a pair cannot be.
    solve : callable
        Maps costs (G, N) to the ground truth of each prediction (N,), -1 where it has none.
    """

    terms: Mapping[str, AnyArray]
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
        False where a ground truth is padding or broken.
    priors : array (N,) of integers, optional
        The priors that are assigned, where the method lists some, once or more each. Not given: all.
    rounds, marks : list
        What was said.
    matching : Matching, optional
        Of a method that decides about all pairs at once.
    """

    shape: tuple[int, int] = (0, 0)
    gt_valid: AnyArray | None = None
    priors: AnyArray | None = None
    rounds: list[Round] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    matching: Matching | None = None

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

    def claims(self, of: Round) -> AnyArray:
        """Return which pairs fulfil all conditions of a round, (G, N)."""
        claims = np.ones(self.shape, dtype=bool)
        for one in of.conditions:
            claims &= one.holds
        return claims

    def winners(self, of: Round) -> AnyArray:
        """Return which ground truth wins each prior in a round, (N,), -1 where none does."""
        claims = self.claims(of)
        times = claims.sum(axis=0)
        winner = np.where(times > 0, claims.argmax(axis=0), -1)
        if of.contest is None or not (times > 1).any():
            return winner
        competes = claims
        if of.contest.among_all and self.gt_valid is not None:
            competes = np.broadcast_to(self.gt_valid[:, None], self.shape)
        by = np.where(competes & ~np.isnan(of.contest.by), of.contest.by, -np.inf)
        best = competes & (by == np.where(competes, by, -np.inf).max(axis=0))
        n_gts = self.shape[0]
        won = n_gts - 1 - best[::-1].argmax(axis=0) if of.contest.last else best.argmax(axis=0)
        return np.where(times > 1, won, winner)

    def _play(self, one: Round, codes: AnyArray) -> None:
        winner = self.winners(one)
        won = winner >= 0
        priors = np.arange(self.shape[1])
        positive = won.copy()
        for verdict in one.verdicts:
            holds = np.broadcast_to(verdict.holds, self.shape)[winner, priors]
            failed = positive & ~holds
            if verdict.otherwise is not None:
                codes[failed] = verdict.otherwise
            positive &= holds
        codes[positive] = winner[positive] + 1


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
        _trace.shape, _trace.gt_valid = shape, _host(gt_valid)[0]
        _trace.priors = None if priors is None else _host(priors)[0]


def next_round(name: str) -> None:
    """Begin a round of claims, whose winners take priors from those of earlier ones."""
    if is_recording() and _trace is not None:
        _trace.rounds.append(Round(name))


def condition(
    name: str,
    holds: Array,
    *,
    index: Array | None = None,
    value: Array | None = None,
    limit: Any = None,
    otherwise: int | None = None,
) -> Array:
    """Name a condition on pairs, and return `holds`.

    Parameters
    ----------
    name : str
        The condition, as a sentence says it of a prior.
    holds : array (1, G, N) of bool, or (1, G, K) with `index`
        Whether a pair fulfils it; pairs that are not listed do not. Lengths of 1 broadcast.
    index : array (1, G, K) of integers, optional
        The priors listed of each ground truth.
    value : array, optional
        What is compared, of the same pairs.
    limit : number or array, optional
        With what.
    otherwise : int, optional
        After a contest: the code of a prior whose winner fails.
    """
    if is_recording() and _trace is not None:
        shape = _trace.shape
        found = Condition(
            name,
            _dense(holds, index, shape, False).astype(bool),
            None if value is None else _dense(value, index, shape, np.nan),
            None if limit is None else _dense(limit, index, shape, np.nan),
            otherwise,
        )
        _current().append(found)
    return holds


def contest(
    name: str, *, by: Array, index: Array | None = None, among_all: bool = False, last: bool = False
) -> None:
    """Say by what a prior that several ground truths claim is given to one.

    Parameters
    ----------
    name : str
        By what: "largest overlap".
    by : array (1, G, N), or (1, G, K) with `index`
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
        rounds[-1].contest = Contest(name, _dense(by, index, _trace.shape, np.nan), among_all, last)


def matching(terms: Callable[[], Mapping[str, Array]], costs: Array, solve: Callable[[Array], Array]) -> None:
    """Say that a matching decides, of costs (1, N, G) that `solve` maps to ground truths (1, N) from 0.

    `terms` gives what the costs are the sum of, by name, each (1, N, G).
    """
    if is_recording() and _trace is not None:
        backend, device = get_backend(costs), get_backend(costs).device_of(costs)

        def solved(of_gts: AnyArray) -> AnyArray:
            problem = backend.from_numpy(np.ascontiguousarray(of_gts.T)[None], device)
            return np.asarray(backend.to_numpy(solve(problem))[0])

        each = {name: backend.to_numpy(term)[0].T for name, term in terms().items()}
        _trace.matching = Matching(each, backend.to_numpy(costs)[0].T, solved)


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


def _dense(x: Any, index: Array | None, shape: tuple[int, int], fill: Any) -> AnyArray:
    """Bring what is said of pairs to all pairs (G, N)."""
    given = _host(x)
    given = given if given.ndim < 3 else given[0]
    if index is None:
        return np.broadcast_to(given, shape)
    rows = np.arange(shape[0])[:, None]
    rows, places, given = np.broadcast_arrays(rows, _host(index)[0], given)
    dense = np.full(shape, fill, dtype=np.result_type(given.dtype, np.asarray(fill).dtype))
    if given.dtype == bool:
        # A prior that is listed twice fulfils what one of its entries does.
        np.logical_or.at(dense, (rows, places), given)
    else:
        dense[rows, places] = given
    return dense

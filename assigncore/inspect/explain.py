"""Why a ground truth has the priors it has, and a prior its ground truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from math import prod
from operator import index
from types import MappingProxyType
from typing import Any

import numpy as np

from assigncore.backend.fast_path import without_numpy_fast_path
from assigncore.backend.lookup import Array, get_backend
from assigncore.backend.threads import DIMENSIONS as SHARED_DIMENSIONS
from assigncore.checks import check_knob, shortened
from assigncore.inspect.display import Table, html_page, plural
from assigncore.inspect.trace import Condition, Round, Trace, recorded

__all__ = ["Explanation", "PairReason", "UnnamedStepsError", "explain"]

AnyArray = np.ndarray[Any, Any]

Compared = tuple[float | None, float | None]
"""What was compared, and with what."""

FARTHEST = np.iinfo(np.int64).max
"""More steps than any assigner has."""

FEWEST_ROWS = 3
"""Priors that are listed where none came farther than the rest."""

MOST_ROWS = 12
"""Pairs that are listed of what is asked about, those that came farthest first."""

DIMENSIONS: Mapping[str, int] = MappingProxyType(
    {
        **SHARED_DIMENSIONS,
        "approxs": 3, "base_sizes": 3, "gt_areas": 1, "gt_keypoints": 3, "ignore_labels": 1, "image_shape": 1,
        "mask_points": 2, "mask_prototypes": 3, "mask_scale": 1, "positive_maps": 2, "pred_coefficients": 2,
        "pred_keypoints": 3, "pred_masks": 3, "pred_objectness": 1, "pred_visibility": 2,
        "responsible_flags": 1, "text_token_mask": 1,
    }
)  # fmt: skip
"""Dimensions of one image's part of each input."""


class UnnamedStepsError(ValueError):
    """An assigner was asked why, and does not name its steps, or not all of them."""


@dataclass(frozen=True)
class PairReason:
    """What became of a pair of a ground truth and a prior, and by which of the assigner's steps.

    Attributes
    ----------
    gt, prior : int
        The pair, from 0.
    outcome : {"positive", "failed", "lost", "overruled", "ignored"}
        Whether the ground truth has the prior; failed a condition; fulfilled all and lost the prior to
        another one; had it until a later rule gave it away; or could not have it since it is ignored.
    step : str
        The condition that failed, or by what the prior was won or lost.
    value, limit : float, optional
        What was compared, and with what.
    winner : int, optional
        The ground truth that has the prior instead.
    passed : int
        How many conditions the pair fulfilled before.
    rule : str
        The rule of the assigner that came farthest, where it has several.
    """

    gt: int
    prior: int
    outcome: str
    step: str
    value: float | None = None
    limit: float | None = None
    winner: int | None = None
    passed: int = 0
    rule: str = ""

    def __str__(self) -> str:
        compared = _compared(self.value, self.limit)
        if self.outcome == "positive":
            return f"positive: {self.step}{compared}"
        if self.outcome == "failed":
            return f"fails: {self.step}{compared}"
        if self.outcome == "lost":
            return f"lost to ground truth {self.winner}, which has {self.step}{compared}"
        if self.outcome == "ignored":
            return f"ignored: {self.step}"
        return f"won: {self.step}{compared}, then given to ground truth {self.winner}"


def _compared(value: float | None, limit: float | None) -> str:
    known = [None if x is None or np.isnan(x) else x for x in (value, limit)]
    if known[0] is None:
        return ""
    return f" ({known[0]:.4g}" + (")" if known[1] is None else f" against {known[1]:.4g})")


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why an assigner decided about one image as it did.

    It prints what was asked for, and shows it as a table in a notebook. Whatever was asked, every pair can be
    looked up. It can be copied; and pickled, but for one of a matching or a transport, which is solved anew
    to tell what another pair would cost.

    Attributes
    ----------
    result : AssignResult
        Of the one image, in NumPy's arrays; of a drop-in, whatever it returns.
    name : str
        Of the assigner's class.
    gts, priors : tuple of int
        What was asked about.
    trace : Trace
        What the assigner's steps said, which all of this is read from.
    """

    result: Any
    name: str
    gts: tuple[int, ...]
    priors: tuple[int, ...]
    trace: Trace

    @cached_property
    def implied_codes(self) -> AnyArray:
        """The code of each prior, or of what else is assigned, worked out from the reasons alone, (N,)."""
        return self.trace.codes()

    @property
    def codes(self) -> AnyArray:
        """What the result says of each prior, or of what else is assigned, (N,): equal to `implied_codes`."""
        outputs = getattr(self.result, "extras", {})
        codes = outputs.get("candidate_gt_inds", self.result.gt_inds)
        return np.asarray(codes).reshape(-1)

    @property
    def _won(self) -> list[tuple[AnyArray, AnyArray]]:
        return [self.trace.winners(one) for one in self.trace.rounds]

    def pair(self, gt: int, prior: int) -> PairReason:
        """Say what became of a pair.

        Parameters
        ----------
        gt : int
            A ground truth, from 0.
        prior : int
            A prior, from 0; of YOLOv7 a candidate, and of MultiInstance one of the places of a prior.

        Returns
        -------
        PairReason
            By the rule under which the pair came farthest.
        """
        self._check_gt(gt)
        self._check_prior(prior)
        if self.trace.gt_valid is not None and not self.trace.gt_valid[gt]:
            return PairReason(gt, prior, "failed", "a ground truth that is neither padding nor non-finite")
        if self.trace.matching is not None:
            return self._matched_reason(gt, prior)
        reasons = [self._reason(number, gt, prior) for number in range(len(self.trace.rounds))]
        if not reasons:
            return PairReason(gt, prior, "failed", "anything to compare")
        return min(reasons, key=_order)

    def _check_gt(self, gt: int) -> None:
        check_index("gt", gt, self.trace.shape[0])

    def _check_prior(self, prior: int) -> None:
        check_index("prior", prior, self.trace.shape[1])

    def _reason(self, number: int, gt: int, prior: int) -> PairReason:
        """Say what became of a pair in a round."""
        one, (winners, times) = self.trace.rounds[number], self._won[number]

        def because(
            outcome: str, step: str, passed: int, compared: Compared = (None, None), winner: int | None = None
        ) -> PairReason:
            return PairReason(gt, prior, outcome, step, *compared, winner, passed, one.name)

        has = int(winners[prior])
        if has != gt:
            for passed, each in enumerate(one.conditions):
                if not each.holds.at(gt, prior):
                    return because("failed", each.name, passed, _at(each, gt, prior))
            if one.contest is None:
                return because("lost", "the lower index", len(one.conditions), winner=has)
            compared = _number(one.contest.by.at(has, prior)), _number(one.contest.by.at(gt, prior))
            return because("lost", one.contest.name, len(one.conditions), compared, has)
        passed = len(one.conditions) + 1
        for each in one.verdicts:
            if not each.holds.at(gt, prior):
                return because("failed", each.name, passed, _at(each, gt, prior))
            passed += 1
        step, compared = self._decisive(one, gt, prior, contested=int(times[prior]) != 1)
        code = int(self.implied_codes[prior])
        if code == gt + 1:
            return because("positive", step, passed, compared)
        if code <= 0:
            return because("failed", self.why_code(prior), passed)
        return because("overruled", step, passed, compared, code - 1)

    def _decisive(self, one: Round, gt: int, prior: int, *, contested: bool) -> tuple[str, Compared]:
        """Return by what a ground truth has a prior: the contest, or the last condition that compared."""
        if contested and one.contest is not None:
            return f"{one.contest.name} of several", (_number(one.contest.by.at(gt, prior)), None)
        steps = [*one.conditions, *one.verdicts]
        last = next((each for each in reversed(steps) if each.value is not None), steps[-1])
        return last.name, _at(last, gt, prior)

    def _matched_reason(self, gt: int, prior: int) -> PairReason:
        matching = self.trace.matching
        assert matching is not None
        code, cost = int(self.implied_codes[prior]), _number(matching.costs[gt, prior])
        if code == gt + 1:
            return PairReason(gt, prior, "positive", "part of the matching of least total cost", cost)
        if cost is None or not np.isfinite(cost):
            return PairReason(gt, prior, "failed", "a pair that may be matched")
        if code > 0:
            return PairReason(gt, prior, "lost", "the prediction in the matching", cost, winner=code - 1)
        return PairReason(gt, prior, "failed", "part of the matching", cost)

    def cost_terms(self, gt: int, prior: int) -> dict[str, float]:
        """Return what a pair costs, term by term, where costs of all pairs are matched; else nothing."""
        self._check_gt(gt)
        self._check_prior(prior)
        return {name: float(x[gt, prior]) for name, x in self.trace.terms.items()}

    def forced(self, gt: int, prior: int) -> float:
        """Solve again with a pair forced, and return by how much that raises the total cost.

        Parameters
        ----------
        gt, prior : int
            The pair.

        Returns
        -------
        float
            0 for a pair of a matching of least cost; infinity for one that may not be matched. A greedy
            matching and an entropic plan can become cheaper.

        Raises
        ------
        ValueError
            If the assigner does not weigh all pairs against each other.
        """
        self._check_gt(gt)
        self._check_prior(prior)
        matching = self.trace.matching
        if matching is None and self.trace.force is not None:
            return self.trace.force(gt, prior)
        if matching is None:
            raise ValueError(f"{self.name} decides pair by pair: see pair(gt, prior)")
        if not np.isfinite(matching.costs[gt, prior]):
            return float("inf")
        finite = matching.costs[np.isfinite(matching.costs)].astype(np.float64)
        changed = matching.costs.copy()
        # So much cheaper than all others together that any solver takes it.
        changed[gt, prior] = finite.min() - (np.abs(finite).max() + 1) * 4 * min(self.trace.shape)
        before, after = (_total(matching.costs, matching.solve(x)) for x in (matching.costs, changed))
        return after - before

    def funnel(self, gt: int) -> list[tuple[str, int]]:
        """Count the priors of a ground truth that are left after each step, by the step's name."""
        self._check_gt(gt)
        steps: list[tuple[str, int]] = []
        for one, (winners, _) in zip(self.trace.rounds, self._won, strict=True):
            left = np.ones(self.trace.shape[1], dtype=bool)
            prefix = f"{one.name}: " if one.name else ""
            for each in one.conditions:
                left &= each.holds.row(gt)
                steps.append((prefix + each.name + _compared_once(each, gt), int(left.sum())))
            if one.contest is not None:
                left = winners == gt
                steps.append((f"{prefix}won, where several claim it, by {one.contest.name}", int(left.sum())))
            for each in one.verdicts:
                left &= each.holds.row(gt)
                steps.append((prefix + each.name, int(left.sum())))
        steps.append(("positive", int((self.implied_codes == gt + 1).sum())))
        return steps

    def of_gt(self, gt: int, most: int = MOST_ROWS) -> list[PairReason]:
        """Return the reasons of the priors that came farther with a ground truth than the rest.

        Positive ones first; where none came farther, those of the first few.
        """
        self._check_gt(gt)
        check_knob("most", most, at_least=0, integer=True)
        if self.trace.matching is not None:
            costs = self.trace.matching.costs[gt]
            order = np.lexsort((np.arange(len(costs)), costs, self.implied_codes != gt + 1))
        else:
            progress = self._progress(gt)
            order = np.lexsort((np.arange(len(progress)), self._distance(gt), -progress))
            came_farther = order[progress[order] > progress.min(initial=FARTHEST)]
            order = came_farther if len(came_farther) else order[:FEWEST_ROWS]
        return [self.pair(gt, int(prior)) for prior in order[:most]]

    def why_none(self, gt: int) -> PairReason:
        """Say in one reason why a ground truth has no prior: what became of the one that came nearest.

        Parameters
        ----------
        gt : int
            A ground truth without any, from 0.

        Returns
        -------
        PairReason
            The condition that none of its priors fulfils; or who has its best one. Of several rules the last,
            which is the least strict, if the ground truth fails it whatever the prior; else one under which
            a prior was lost to another.

        Notes
        -----
        Only what the steps say of this ground truth is read, and the result: much quicker than `pair`.
        """
        self._check_gt(gt)
        if self.trace.gt_valid is not None and not self.trace.gt_valid[gt]:
            return PairReason(gt, -1, "failed", "a ground truth that is neither padding nor non-finite")
        if self.trace.matching is not None:
            valid = self.trace.gt_valid
            n_gts = self.trace.shape[0] if valid is None else int(valid.sum())
            few = n_gts > self.trace.shape[1]
            step = "a prediction for every ground truth" if few else "part of the matching"
            return PairReason(gt, -1, "failed", step, *((self.trace.shape[1], n_gts) if few else ()))
        if not self.trace.rounds or not self.trace.shape[1]:
            return PairReason(gt, -1, "failed", "anything to compare")
        last = self.trace.rounds[-1]
        if any(each.holds.is_of_gts and not each.holds.at(gt, 0) for each in last.conditions):
            return self._nearest(last, gt)
        reasons = [self._nearest(one, gt) for one in reversed(self.trace.rounds)]
        return max(reasons, key=lambda reason: reason.outcome != "failed")

    def _nearest(self, one: Round, gt: int) -> PairReason:
        """Say what became of the prior that came nearest to a ground truth without any, in a round."""
        left = np.ones(self.trace.shape[1], dtype=bool)
        for passed, each in enumerate(one.conditions):
            is_of_gts = each.holds.is_of_gts
            if is_of_gts and each.holds.at(gt, 0):
                continue
            holds = None if is_of_gts else left & each.holds.row(gt)
            if holds is None or not holds.any():
                prior = 0 if is_of_gts else _closest(each, gt, left)
                return PairReason(
                    gt, prior, "failed", each.name, *_at(each, gt, prior), None, passed, one.name
                )
            left = holds
        compared = [each.value for each in one.verdicts if each.value is not None]
        if one.contest is not None:
            compared.append(one.contest.by)
        near = compared[0].row(gt) if compared else None
        prior = int(np.argmax(left if near is None else np.where(left & ~np.isnan(near), near, -np.inf)))
        has = int(self.codes[prior]) - 1
        own = None if one.contest is None else _number(one.contest.by.at(gt, prior))
        passed = len(one.conditions)
        for each in one.verdicts:
            value, limit = _at(each, gt, prior)
            too_little = value is not None and limit is not None and value < limit
            if too_little or (has < 0 and not each.holds.at(gt, prior)):
                return PairReason(gt, prior, "failed", each.name, value, limit, None, passed, one.name)
        if has < 0:
            found = [x.name for x in self.trace.marks if x.mask[prior] and x.code == has + 1]
            step = found[-1] if found else "won by another, which could not keep it"
            return PairReason(gt, prior, "ignored" if has == -2 else "failed", step, None, None, None, passed)
        theirs = None if one.contest is None else _number(one.contest.by.at(has, prior))
        name = "the lower index" if one.contest is None else one.contest.name
        beaten = own is None or theirs is None or theirs >= own
        outcome = "lost" if beaten else "overruled"
        return PairReason(gt, prior, outcome, name, theirs if beaten else own, own, has, passed, one.name)

    def of_prior(self, prior: int) -> list[PairReason]:
        """Return the reasons of all ground truths about a prior, those that came farthest first."""
        self._check_prior(prior)
        return sorted((self.pair(gt, prior) for gt in range(self.trace.shape[0])), key=_order)

    def why_code(self, prior: int) -> str:
        """Say why a prior that no ground truth has is background or ignored."""
        self._check_prior(prior)
        code = int(self.implied_codes[prior])
        if code > 0:
            return f"assigned to ground truth {code - 1}"
        word = "ignored" if code < 0 else "background"
        for one in reversed(self.trace.marks):
            if one.mask[prior] and one.code == code:
                value = None if one.value is None else _number(one.value[prior])
                return f"{word}: {one.name}{_compared(value, None)}"
        for played, (winners, _) in zip(self.trace.rounds, self._won, strict=True):
            gt = int(winners[prior])
            for each in played.verdicts:
                if gt >= 0 and each.otherwise == code and not each.holds.at(gt, prior):
                    return f"{word}: ground truth {gt} has it, and fails: {each.name}"
        return f"{word}: no ground truth has it"

    def _progress(self, gt: int) -> AnyArray:
        """Count the steps that each prior passed with a ground truth, (N,); more than all where it has it."""
        progress = np.zeros(self.trace.shape[1], dtype=np.int64)
        for one, (winners, _) in zip(self.trace.rounds, self._won, strict=True):
            passed, alive = np.zeros_like(progress), np.ones(len(progress), dtype=bool)
            for each in one.conditions:
                alive &= each.holds.row(gt)
                passed += alive
            alive = winners == gt
            for each in one.verdicts:
                passed += alive
                alive = alive & each.holds.row(gt)
            progress = np.maximum(progress, passed + alive)
        return np.where(self.implied_codes == gt + 1, FARTHEST, progress)

    def _distance(self, gt: int) -> AnyArray:
        """Return how far the last thing compared is from its limit, (N,): what orders the equally far."""
        steps = [each for one in self.trace.rounds for each in (*one.conditions, *one.verdicts)]
        for each in reversed(steps):
            if each.value is not None and each.limit is not None:
                with np.errstate(invalid="ignore"):
                    apart = np.abs(each.value.row(gt).astype(np.float64) - each.limit.row(gt))
                return np.asarray(np.nan_to_num(apart, nan=np.inf))
        return np.zeros(self.trace.shape[1])

    def _sections(self) -> list[_Section]:
        """Return title, steps and rows of everything that was asked about."""
        sections: list[_Section] = []
        for gt in self.gts:
            positives = int((self.implied_codes == gt + 1).sum())
            invalid = self.trace.gt_valid is not None and not self.trace.gt_valid[gt]
            note = ": padding, or a box with a non-finite number" if invalid else ""
            count = f"{plural(positives, 'positive')} of {self.trace.shape[1]:,}"
            title = f"ground truth {gt} of {self.name}: {count}{note}"
            reasons = [(f"prior {self._prior(each.prior)}", each) for each in self.of_gt(gt)]
            sections.append((title, self.funnel(gt), [self._row(name, each) for name, each in reasons]))
        for prior in self.priors:
            title = f"prior {self._prior(prior)} of {self.name}: {self.why_code(prior)}"
            of_all = self.of_prior(prior)
            rows = [self._row(f"ground truth {each.gt}", each) for each in of_all[:MOST_ROWS]]
            if len(of_all) > MOST_ROWS:
                rows.append((f"{len(of_all) - MOST_ROWS} more", "", ""))
            sections.append((title, [], rows))
        if not sections:
            codes = self.implied_codes
            counts = [(codes > 0).sum(), (codes == 0).sum(), (codes < 0).sum()]
            words = ("positive", "background", "ignored")
            text = ", ".join(f"{n:,} {word}" for n, word in zip(counts, words, strict=True))
            sections.append((f"{self.name}: {text}; ask for gt=... or prior=...", [], []))
        return sections

    def _prior(self, place: int) -> str:
        priors = self.trace.priors
        return str(place) if priors is None else f"{int(priors[place])} (entry {place})"

    def _row(self, name: str, reason: PairReason) -> tuple[str, str, str]:
        terms = self.cost_terms(reason.gt, reason.prior)
        return name, str(reason), ", ".join(f"{name} {value:.4g}" for name, value in terms.items())

    def __str__(self) -> str:
        lines = []
        for title, steps, rows in self._sections():
            lines.append(title)
            lines += [f"  {count:>9,}  {name}" for name, count in steps]
            width = max((len(row[0]) for row in rows), default=0)
            for name, reason, terms in rows:
                lines.append(f"  {name:<{width}}  {reason}{f'  ({terms})' if terms else ''}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = []
        for title, steps, rows in self._sections():
            tables: list[Table] = [[("step", "priors left"), *steps]] if steps else []
            if rows:
                # Only matchings have a column of costs.
                columns = 3 if any(terms for _, _, terms in rows) else 2
                tables.append([row[:columns] for row in [("", "reason", "cost"), *rows]])
            parts.append(html_page(title, *tables))
        return "".join(parts)


_Section = tuple[str, list[tuple[str, int]], list[tuple[str, str, str]]]
"""What is shown of a ground truth or a prior: a title, steps with counts, and rows of three columns."""

_OUTCOMES = ("positive", "overruled", "lost", "failed")


def _order(reason: PairReason) -> tuple[bool, int, int, int]:
    """Return what sorts reasons: positive ones, then those that came farthest."""
    return reason.outcome != "positive", -reason.passed, _OUTCOMES.index(reason.outcome), reason.gt


def _at(each: Condition, gt: int, prior: int) -> Compared:
    value, limit = (None if x is None else _number(x.at(gt, prior)) for x in (each.value, each.limit))
    return value, limit


def _closest(each: Condition, gt: int, among: AnyArray) -> int:
    """Return the prior, among some, for which what is compared is closest to its limit; else the first."""
    if each.value is None or each.limit is None:
        return int(np.argmax(among))
    with np.errstate(invalid="ignore"):
        apart = np.abs(each.value.row(gt).astype(np.float64) - each.limit.row(gt))
    return int(np.argmin(np.where(among & ~np.isnan(apart), apart, np.inf)))


def _compared_once(each: Condition, gt: int) -> str:
    """Return what was compared of a ground truth, if it is the same for all priors."""
    if each.value is None or not each.value.is_of_gts:
        return ""
    return _compared(*_at(each, gt, 0))


def _number(x: Any) -> float | None:
    return None if x is None or np.isnan(x) else float(x)


def _total(costs: AnyArray, matched: AnyArray) -> float:
    prior = np.flatnonzero(matched >= 0)
    return float(costs[matched[prior], prior].astype(np.float64).sum())


def explain(
    assigner: Any,
    *arguments: Any,
    gt: int | Iterable[int] | None = None,
    prior: int | Iterable[int] | None = None,
    image: int | Sequence[int] | None = None,
    **named: Any,
) -> Explanation:
    """Say why: assign one image again, and record what each of the assigner's steps says of every pair.

    Parameters
    ----------
    assigner : object
        An assigner of this package, a drop-in for a framework's, or one of your own that names its steps
        (:mod:`assigncore.inspect.trace`).
    *arguments, **named
        What its ``assign`` takes, or its call.
    gt : int or iterable of int, optional
        Ground truths to ask about, from 0.
    prior : int or iterable of int, optional
        Priors to ask about, from 0.
    image : int or sequence of int, optional
        Which image of a batch, an index for each leading dimension. Not needed of a single one.

    Returns
    -------
    Explanation
        Prints well; ``pair(gt, prior)`` looks up any pair, ``funnel(gt)`` counts what each step leaves.

    Raises
    ------
    IndexError
        If there is no such image, ground truth or prior, as the explanation's methods say too.
    UnnamedStepsError
        If the assigner does not name its steps, or what they say does not imply its result: no explanation is
        given that is not the whole one.
    TypeError, ValueError
        As ``assign`` raises; or if the image of a batch is not said.

    Notes
    -----
    The reasons are the assigner's own: nothing is decided a second time. FCOS and the assigners by regions
    hold all pairs of the image at once. Arrays may be of any library and device. NumPy assigns them, which by
    the laws gives what their own library gives, but for near ties of float32 functions on devices.

    Examples
    --------
    >>> import numpy as np
    >>> import assigncore
    >>> priors = np.array([[0, 0, 10, 10], [0, 0, 10, 12], [40, 40, 50, 50]], dtype=np.float32)
    >>> gt_bboxes = np.array([[0, 0, 10, 20]], dtype=np.float32)
    >>> assigner = assigncore.MaxIoUAssigner(0.7, 0.3, match_low_quality=False)
    >>> assigncore.explain(assigner, priors, gt_bboxes, prior=1)
    prior 1 of MaxIoUAssigner: ignored: best overlap not among those of background (0.6)
      ground truth 0  fails: overlap at least pos_iou_thr (0.6 against 0.7)
    """
    call = assigner.assign if hasattr(assigner, "assign") else getattr(assigner, "forward", assigner)
    if not callable(call):
        raise TypeError(f"assigner: expected an assigner, got {type(assigner).__name__}")
    bound = signature(call).bind(*arguments, **named).arguments
    inputs = _of_image(bound, image)
    with without_numpy_fast_path(), recorded() as trace, np.errstate(all="ignore"):
        result = assigner.assign(**inputs) if hasattr(assigner, "assign") else assigner(**inputs)
    n_gts, n_priors = trace.shape
    gts, priors = _indices("gt", gt, n_gts), _indices("prior", prior, n_priors)
    explanation = Explanation(result, type(assigner).__name__, gts, priors, trace)
    _check_completeness(explanation)
    return explanation


def _check_completeness(explanation: Explanation) -> None:
    """Refuse to give reasons that imply another result than the assigner's."""
    trace, name = explanation.trace, explanation.name
    if trace.matching is None and not any(one.conditions or one.verdicts for one in trace.rounds):
        if hasattr(explanation.result, "gt_inds") and not (explanation.codes > 0).any():
            return
        raise UnnamedStepsError(f"{name} does not name its steps, so nothing says why")
    if not hasattr(explanation.result, "gt_inds") or len(explanation.codes) != trace.shape[1]:
        return
    wrong = np.flatnonzero(explanation.implied_codes != explanation.codes)
    if len(wrong):
        raise UnnamedStepsError(
            f"{name} does not name all of its steps: what they say implies another result for {len(wrong)} "
            f"priors, the first of them {wrong[0]}"
        )


def _indices(name: str, asked: Any, count: int) -> tuple[int, ...]:
    """Return the indices below a count that are asked for: one, several or none."""
    if asked is None:
        return ()
    indices = _integers(name, asked)
    for place in indices:
        check_index(name, place, count)
    return indices


def check_index(name: str, place: Any, count: int) -> None:
    """Check that something is an index from 0 to below a count."""
    if isinstance(place, bool) or not hasattr(place, "__index__"):
        raise TypeError(f"{name}: expected an integer, got {place!r}")
    if not 0 <= index(place) < count:
        raise IndexError(
            f"{name}: expected {f'0 to {count - 1}' if count else 'none'}, got {shortened(place)}"
        )


def _integers(name: str, asked: Any) -> tuple[int, ...]:
    several = (asked,) if hasattr(asked, "__index__") else asked
    try:
        found = tuple(several)
        return tuple(map(index, found))
    except TypeError:
        raise TypeError(f"{name}: expected an integer or several, got {asked!r}") from None


def _of_image(inputs: Mapping[str, Any], image: int | Sequence[int] | None) -> dict[str, Any]:
    """Cut the inputs to one image, in NumPy's arrays; those of a drop-in are left as they are."""
    arrays = {name: x for name, x in inputs.items() if hasattr(x, "shape") and hasattr(x, "dtype")}
    unknown = [name for name in arrays if name not in DIMENSIONS]
    if unknown and image is not None:
        raise ValueError(f"image: expected None, since {unknown[0]} is of no known shape: give one image's")
    if unknown:
        return dict(inputs)
    leads = {name: _lead(name, x) for name, x in arrays.items()}
    try:
        lead = np.broadcast_shapes(*leads.values())
    except ValueError:
        # The assigner says which of them do not fit.
        return dict(inputs)
    of_batch = _image_index(image, lead)
    cut: dict[str, Any] = {}
    for name, x in arrays.items():
        own = of_batch[len(of_batch) - len(leads[name]) :]
        place = tuple(0 if length == 1 else i for i, length in zip(own, leads[name], strict=True))
        cut[name] = get_backend(x, name).to_numpy(x)[place]
    return {**inputs, **cut}


def _lead(name: str, x: Array) -> tuple[int, ...]:
    shape = tuple(int(n) for n in x.shape)
    return shape[: len(shape) - DIMENSIONS[name]]


def _image_index(image: int | Sequence[int] | None, lead: tuple[int, ...]) -> tuple[int, ...]:
    if image is None:
        if prod(lead) != 1:
            raise ValueError(f"image: expected which image of the batch {lead} is meant, got None")
        return (0,) * len(lead)
    place = _integers("image", image)
    if len(place) != len(lead) or not all(0 <= i < n for i, n in zip(place, lead, strict=True)):
        raise IndexError(f"image: expected an index into the batch {lead}, got {image!r}")
    return place

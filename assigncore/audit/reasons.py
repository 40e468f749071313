"""Why objects have no positives: what the assigner's steps say of them, in one reason each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from assigncore.assigners import CenterRegionAssigner
from assigncore.audit.frames import Batch
from assigncore.audit.inputs import ground_truth_boxes, places
from assigncore.audit.layouts import Laid
from assigncore.backend import Array, ArrayBackend
from assigncore.backend.fast_path import without_numpy_fast_path
from assigncore.inspect.explain import DIMENSIONS, Explanation
from assigncore.inspect.trace import recorded

if TYPE_CHECKING:
    from assigncore.audit.config import Plan

__all__ = ["Reason", "ReasonKind", "explain_image", "find_reasons", "reason_text"]


# These decide about each prior alone, and hold all pairs while their steps are read.
EACH_PRIOR_ALONE = (CenterRegionAssigner,)

# What steps say is recorded for one thread at a time.
_one_at_a_time = Lock()


@dataclass(frozen=True, order=True)
class ReasonKind:
    """What reasons have in common.

    Attributes
    ----------
    outcome : {"failed", "ignored", "lost", "overruled"}
        As in `assigncore.PairReason`.
    step : str
        The assigner's step that decided, in its words.
    """

    outcome: str
    step: str

    def __str__(self) -> str:
        """Say it of many objects."""
        if self.outcome == "failed":
            return f"no prior: {self.step}"
        if self.outcome == "ignored":
            return f"its priors are ignored: {self.step}"
        return f"lost to another object: {self.step}"


@dataclass(frozen=True)
class Reason:
    """Why an object has no positives.

    Attributes
    ----------
    kind : ReasonKind
    value, limit : float
        What was compared for the prior that came nearest, and with what; NaN where nothing was.
    rival : int
        Index of the object of the same image that has this prior instead, -1 where none.
    """

    kind: ReasonKind
    value: float
    limit: float
    rival: int


def find_reasons(explained: Explanation, objects: Sequence[int]) -> Mapping[int, Reason]:
    """Read why some objects of an image have no positives: nothing of a method that names no steps."""
    if not explained.trace.rounds and explained.trace.matching is None:
        return {}
    found = {}
    for index in objects:
        pair = explained.why_none(index)
        value, limit = (np.nan if x is None else float(x) for x in (pair.value, pair.limit))
        rival = -1 if pair.winner is None else pair.winner
        found[index] = Reason(ReasonKind(pair.outcome, pair.step), value, limit, rival)
    return found


def explain_image(
    plan: Plan,
    laid: Laid,
    batch: Batch,
    arrays: Mapping[str, Array],
    static: Mapping[str, Any],
    backend: ArrayBackend,
    image: int,
    objects: Sequence[int] | None = None,
) -> Explanation:
    """Assign one image of a batch alone, and record its steps: of all objects, or of some alone.

    Steps are computed as they are read, by most methods, so it takes about as long as assigning the image
    does. NumPy assigns, whatever the backend.
    """

    def cut(name: str, x: Array) -> Any:
        host = x if isinstance(x, np.ndarray) else backend.to_numpy(x)
        batched = host.ndim > DIMENSIONS[name]
        own = host[min(image, len(host) - 1)] if batched else host
        # Padding would be most of what the steps say.
        return own[: len(batch.objects[image])] if name.startswith("gt_") else own

    given = {**places(plan, laid.priors, ground_truth_boxes(plan, batch)), **arrays}
    alone = {name: cut(name, x) for name, x in given.items()}
    if objects is not None and isinstance(plan.assigner, EACH_PRIOR_ALONE):
        alone = _near(alone, objects)
    with _one_at_a_time, without_numpy_fast_path(), recorded() as trace, np.errstate(all="ignore"):
        result = plan.assigner.assign(**alone, **static)
    return Explanation(result, type(plan.assigner).__name__, (), (), trace)


def _near(inputs: dict[str, Any], objects: Sequence[int]) -> dict[str, Any]:
    """Keep the priors that touch one of some objects; the first one in any case."""
    priors, gt_bboxes = inputs["priors"], inputs["gt_bboxes"][list(objects)]
    touch = np.zeros(len(priors), dtype=bool)
    touch[:1] = True
    for box in gt_bboxes:
        touch |= np.all((priors[:, :2] <= box[2:]) & (priors[:, 2:] >= box[:2]), axis=1)
    return {name: x[touch] if name in ("priors", "prior_valid") else x for name, x in inputs.items()}


def reason_text(kind: ReasonKind, value: float, limit: float, rival: str) -> str:
    """Say a reason in a line; `rival` names the object that has the prior instead.

    Examples
    --------
    >>> reason_text(ReasonKind("failed", "overlap at least pos_iou_thr"), 0.31, 0.5, "")
    'no prior: overlap at least pos_iou_thr (0.31, limit 0.5)'
    >>> reason_text(ReasonKind("lost", "the largest overlap"), 0.75, 0.5, "17")
    'lost to object 17: the largest overlap (0.75 against 0.5)'
    """
    has_value, has_limit = not np.isnan(value), not np.isnan(limit)
    if kind.outcome in ("lost", "overruled"):
        compared = f" ({value:.4g} against {limit:.4g})" if has_value and has_limit and value != limit else ""
        return f"lost to object {rival}: {kind.step}{compared}"
    compared = f" ({value:.4g}" + (f", limit {limit:.4g})" if has_limit else ")") if has_value else ""
    return f"{kind}{compared}"

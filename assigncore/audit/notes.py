"""What a reader must know to read an assigner's numbers right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assigncore.audit import dense, masks
from assigncore.audit.assigning import Settings, spreads_predictions
from assigncore.audit.config import Plan
from assigncore.audit.inputs import (
    compared_boxes,
    compares_masks,
    reads_predictions,
    uses_crowds,
)
from assigncore.audit.predictions import Predictor
from assigncore.audit.proposals import Proposals
from assigncore.audit.queries import Queries
from assigncore.audit.statistics import PriorCounts
from assigncore.datasets import Dataset
from assigncore.inspect.display import plural

if TYPE_CHECKING:
    from assigncore.audit.audit import Audit

MANY_IGNORED = 0.5
"""Share of ignored priors from which on it is said."""


def scale_used(audit: Audit) -> str:
    """Say what images are scaled to, in all runs together."""
    used = {run.scale for run in audit.runs}
    if audit.scale in used:
        return str(audit.scale)
    return str(*used) if len(used) == 1 else "image scales as noted"


def remarks(audit: Audit) -> list[tuple[str, bool]]:
    """Say what became of images and annotations besides, in few words, and whether that is alarming."""
    dataset = audit.dataset
    found = []
    if not audit.is_complete:
        done = plural(audit.images_done, "image")
        found.append((f"interrupted after {done}, which all below is about", True))
    if dataset.num_clipped:
        found.append((f"{plural(dataset.num_clipped, 'box', 'boxes')} cut at the edge", False))
    if dataset.dropped:
        found.append(
            (f"{plural(sum(dataset.dropped.values()), 'object')} left out as data loaders do", False)
        )
    files = sum(skipped.index is None for skipped in dataset.skipped)
    for count, what in ((files, "broken file"), (len(dataset.skipped) - files, "broken annotation")):
        if count:
            found.append((f"{plural(count, what)} skipped", True))
    return found


def about_data(dataset: Dataset) -> list[str]:
    """Say what a reader must know of the data to read the numbers right."""
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in dataset.dropped.items())
    left_out = f"as data loaders do, objects are left out where {reasons}"
    return [*dataset.notices, *([left_out] if reasons else [])]


def collect_notes(plan: Plan, dataset: Dataset, settings: Settings) -> tuple[str, ...]:
    """Collect the sentences, those about what is counted first."""
    notes = []
    if isinstance(plan.priors, Proposals):
        notes.append(plan.priors.describe(settings.proposals, settings.seed))
    notes += _about_predictions(plan, dataset, settings)
    if plan.scale is not None:
        notes.append(f"image scale: {plan.scale}; --image-scale does not reach it")
    if plan.settings.note is not None:
        notes.append(plan.settings.note)
    compared = compared_boxes(plan)
    if compared == "predictions":
        notes.append("best IoU is that of an object with any predicted box")
    if compared is None:
        notes.append("priors are points or places, whose shapes say nothing: there is no best IoU")
    crowds = len(dataset.all_crowds)
    if crowds and not uses_crowds(plan):
        thr = getattr(plan.assigner, "ignore_iof_thr", None)
        why = (
            f"ignore_iof_thr is {thr:g}, try --set ignore_iof_thr=0.5"
            if thr is not None
            else "it has no use for them"
        )
        regions = "the crowd region changes" if crowds == 1 else f"the {crowds:,} crowd regions change"
        notes.append(f"{regions} nothing: {why}")
    return tuple(notes)


def about_counts(plan: Plan, priors: PriorCounts) -> tuple[str, ...]:
    """Say where most of the priors learn nothing."""
    if priors.ignored <= MANY_IGNORED * priors.total:
        return ()
    share = priors.ignored / priors.total
    note = f"{share:.0%} of the priors are ignored: they learn nothing, not even background"
    bounds = getattr(plan.assigner, "neg_iou_thr", None)
    if isinstance(bounds, tuple):
        low, high = bounds
        note += f"; by neg_iou_thr only those with a best IoU from {low:g} to {high:g} are background"
    return (note,)


def _about_predictions(plan: Plan, dataset: Dataset, settings: Settings) -> list[str]:
    """Say what is predicted, and how that was made of what is known."""
    if not reads_predictions(plan):
        return []
    predictor = Predictor(dataset, settings.predictions, settings.seed)
    if isinstance(plan.priors, Queries):
        notes = [predictor.describe(), plan.priors.describe(settings.seed)]
        return [*notes, masks.HOW] if compares_masks(plan) else notes
    if spreads_predictions(plan, settings):
        return [predictor.describe(), dense.HOW]
    return [
        "before training there are no predictions, so every prior is taken for its own: both kinds of "
        "candidates are the same priors; later an object can get up to twice as many positives"
    ]

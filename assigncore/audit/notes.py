"""What a reader must know to read an assigner's numbers right."""

from __future__ import annotations

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

MANY_IGNORED = 0.5
"""Share of ignored priors from which on it is said."""


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

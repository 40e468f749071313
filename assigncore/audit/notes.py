"""What a reader must know to read an assigner's numbers right."""

from __future__ import annotations

from assigncore.audit.coco import Dataset
from assigncore.audit.config import Plan
from assigncore.audit.inputs import compares_shapes, predicts_priors, uses_crowds
from assigncore.audit.proposals import Proposals
from assigncore.audit.run import Settings


def collect_notes(plan: Plan, dataset: Dataset, settings: Settings) -> tuple[str, ...]:
    """Collect the sentences, those about what is counted first."""
    notes = []
    if isinstance(plan.priors, Proposals):
        notes.append(plan.priors.describe(settings.proposals, settings.seed))
    if predicts_priors(plan):
        notes.append(
            "before training there are no predictions, so every prior is taken for its own: both kinds of "
            "candidates are the same priors; later an object can get up to twice as many positives"
        )
    if plan.scale is not None:
        notes.append(f"image scale: {plan.scale}; --image-scale does not reach it")
    if plan.settings.note is not None:
        notes.append(plan.settings.note)
    if not compares_shapes(plan):
        notes.append("priors are points or places, whose shapes say nothing: there is no best IoU")
    crowds = sum(len(dataset.crowds(image)) for image in dataset.images)
    if crowds and not uses_crowds(plan):
        thr = getattr(plan.assigner, "ignore_iof_thr", None)
        why = (
            f"ignore_iof_thr is {thr:g}, try --set ignore_iof_thr=0.5"
            if thr is not None
            else "it has no use for them"
        )
        notes.append(f"the {crowds:,} crowd regions change nothing: {why}")
    return tuple(notes)

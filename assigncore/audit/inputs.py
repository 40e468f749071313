"""What an assigner is given: annotations, priors and predictions, picked by the names in its signature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from assigncore.assigners import (
    CenterRegionAssigner,
    RegionAssigner,
)
from assigncore.audit.config import Plan
from assigncore.audit.errors import AuditError
from assigncore.audit.frames import Batch
from assigncore.audit.layouts import Laid, Predicted
from assigncore.audit.masks import box_masks
from assigncore.audit.predictions import as_logits, as_softmax_logits
from assigncore.audit.proposals import Proposals
from assigncore.audit.queries import Queries
from assigncore.audit.yolo_anchors import YOLOAnchorGenerator
from assigncore.backend import Array, ArrayBackend
from assigncore.boxes import xyxy_to_xywhr
from assigncore.boxes.calculators import columns_of_boxes
from assigncore.boxes.formulas import ORIENTED
from assigncore.costs import ClassificationCost, MatchCost, needed_inputs
from assigncore.priors import BoxGenerator

# To these methods an anchor is a place: they learn its shape, or regress from its centre.
PLACING = (CenterRegionAssigner, RegionAssigner)

PLACES = ("priors", "gt_bboxes")

# To these a class's logit stands for a softmax over the classes and none; to others for a sigmoid.
SOFTMAX_COSTS = (ClassificationCost,)


def gather_inputs(
    plan: Plan, batch: Batch, laid: Laid, backend: ArrayBackend, device: Any
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Pick what the assigner's signature names.

    Where the priors come without predictions and a method must have boxes, every prior predicts its own.

    Returns
    -------
    arrays : dict of str to array
        On the backend's device.
    static : dict
        What does not depend on the images' content, hashable.

    Raises
    ------
    AuditError
        If the signature requires what there is not, or cannot leave out what must be left out.
    """
    takes, kind = plan.parameters, type(plan.assigner).__name__
    if not getattr(plan.assigner, "decides_by_classes", True):
        # The label of every prior would be looked up, which nobody reads here.
        takes = {name: parameter for name, parameter in takes.items() if name != "gt_labels"}
    host = {"gt_labels": batch.gt_labels, "gt_valid": batch.gt_valid, "image_shape": batch.image_shapes}
    if batch.ignore_valid.any():
        regions = batch.ignore_bboxes
        regions = xyxy_to_xywhr(regions) if compares_oriented(plan) else regions
        host |= {"ignore_bboxes": regions, "ignore_valid": batch.ignore_valid}
    if laid.predicted is not None:
        host |= _predictions(plan, batch, laid.predicted)
    if isinstance(plan.priors, YOLOAnchorGenerator):
        host["base_sizes"] = np.asarray(plan.priors.base_sizes, dtype=np.float32)
    arrays = {name: backend.from_numpy(array, device) for name, array in host.items() if name in takes}
    if laid.valid is not None:
        arrays["prior_valid"] = laid.valid
    if laid.approxs is not None:
        arrays["approxs"] = laid.approxs
    if laid.predicted is None and _must_have(plan, "pred_bboxes"):
        arrays["pred_bboxes"] = laid.priors
    static = {name: value for name, value in laid.static.items() if name in takes}
    for name in takes:
        given = name in PLACES or name in arrays or name in static
        if _must_have(plan, name) and not given:
            raise AuditError(
                f"{plan.name}: {kind} needs {name!r}, which annotations, priors and predictions do not give"
            )
    for name in ("gt_valid", *arrays):
        if name not in takes:
            raise AuditError(f"{plan.name}: {kind} takes no {name!r}, so nothing can be left out for it")
    return arrays, static


def places(plan: Plan, priors: Array, gt_bboxes: Array) -> dict[str, Array]:
    """Name the boxes that the assigner is given; one that matches queries knows no priors."""
    given = zip(PLACES, (priors, gt_bboxes), strict=True)
    return {name: array for name, array in given if name in plan.parameters}


def reads_predictions(plan: Plan) -> bool:
    """Tell whether the method with its knobs looks at predictions."""
    if isinstance(plan.priors, Queries) or any(
        name.startswith("pred_") and _must_have(plan, name) for name in plan.parameters
    ):
        return True
    return "pred_logits" in plan.parameters and getattr(plan.assigner, "alpha", None) is not None


def predicts_own_priors(plan: Plan) -> bool:
    """Tell whether, where no predictions are given, the priors can stand in: boxes are all that is read."""
    names = [name for name in plan.parameters if name.startswith("pred_")]
    return names == ["pred_bboxes"] and _must_have(plan, "pred_bboxes")


def compares_masks(plan: Plan) -> bool:
    """Tell whether the method compares masks."""
    return "pred_masks" in needed_inputs(_costs(plan))


def compares_oriented(plan: Plan) -> bool:
    """Tell whether the method compares oriented boxes."""
    return columns_of_boxes(getattr(plan.assigner, "iou_calculator", None)) == ORIENTED


def compared_keypoints(plan: Plan) -> int:
    """Count the keypoints that the method compares; 0 where it compares none."""
    return len(getattr(plan.assigner, "sigmas", None) or ())


def ground_truth_boxes(plan: Plan, batch: Batch) -> Any:
    """Give the objects' boxes in the form that the method compares, (B, G, 4) or (B, G, 5)."""
    return batch.gt_oriented if compares_oriented(plan) else batch.gt_bboxes


def has_outlines(plan: Plan) -> bool:
    """Tell whether the priors' shapes say something, so that they are worth drawing."""
    return isinstance(plan.priors, Queries) or compared_boxes(plan) == "priors"


def compared_boxes(plan: Plan) -> Literal["priors", "predictions"] | None:
    """Tell which boxes the method compares objects with, if any."""
    if reads_predictions(plan) and not predicts_own_priors(plan):
        return "predictions"
    shapes = isinstance(plan.priors, Proposals | BoxGenerator) and not isinstance(plan.assigner, PLACING)
    return "priors" if shapes else None


def what_is_compared(plan: Plan) -> str:
    """Call the boxes that the method compares objects with."""
    return "predicted box" if compared_boxes(plan) == "predictions" else "prior"


def uses_crowds(plan: Plan) -> bool:
    """Tell whether the plan's method and knobs leave crowd regions out of training."""
    return "ignore_bboxes" in plan.parameters and getattr(plan.assigner, "ignore_iof_thr", 1) > 0


def _predictions(plan: Plan, batch: Batch, predicted: Predicted) -> dict[str, Any]:
    """Name the predictions as assigners do; scores as logits only where they are wanted."""
    boxes = predicted.oriented if compares_oriented(plan) else predicted.boxes
    found = {"pred_bboxes": boxes, "pred_scores": predicted.scores}
    if "pred_logits" in plan.parameters:
        softmax = any(isinstance(cost, SOFTMAX_COSTS) for cost in _costs(plan))
        found["pred_logits"] = (as_softmax_logits if softmax else as_logits)(predicted.scores)
    if "pred_objectness" in plan.parameters:
        # Results hold the product of both; the class's factor is taken for all of it.
        found["pred_objectness"] = as_logits(np.ones_like(predicted.scores[..., 0]))
    if count := compared_keypoints(plan):
        found |= {"pred_keypoints": predicted.keypoints, "gt_keypoints": batch.gt_keypoints(count)}
    if compares_masks(plan):
        found["pred_masks"] = as_logits(box_masks(predicted.boxes, batch.image_shapes))
        found["gt_masks"] = box_masks(batch.gt_bboxes, batch.image_shapes)
    return found


def _costs(plan: Plan) -> Sequence[MatchCost]:
    """Give the costs that a matching sums; other assigners have none."""
    return getattr(plan.assigner, "match_costs", ())


def _must_have(plan: Plan, name: str) -> bool:
    parameter = plan.parameters.get(name)
    return parameter is not None and parameter.default is parameter.empty

"""What an assigner is given: annotations and priors, picked by the names in its signature."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from assigncore.assigners import CenterRegionAssigner, RegionAssigner
from assigncore.audit.config import Plan
from assigncore.audit.errors import AuditError
from assigncore.audit.frames import Batch
from assigncore.audit.layouts import Laid
from assigncore.audit.proposals import Proposals
from assigncore.backend import Array, ArrayBackend
from assigncore.priors import BoxGenerator

# To these methods an anchor is a place: they learn its shape, or regress from its centre.
PLACING = (CenterRegionAssigner, RegionAssigner)


def gather_inputs(
    plan: Plan, batch: Batch, laid: Laid, backend: ArrayBackend, device: Any
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Pick what the assigner's signature names.

    Predictions there are none before training: where a method must have them, every prior is its own.

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
    takes, kind = _parameters(plan), type(plan.assigner).__name__
    host = {"gt_labels": batch.gt_labels, "gt_valid": batch.gt_valid, "image_shape": batch.image_shapes}
    if batch.ignore_valid.any():
        host |= {"ignore_bboxes": batch.ignore_bboxes, "ignore_valid": batch.ignore_valid}
    arrays = {name: backend.from_numpy(array, device) for name, array in host.items() if name in takes}
    if laid.valid is not None:
        arrays["prior_valid"] = laid.valid
    if laid.approxs is not None:
        arrays["approxs"] = laid.approxs
    if predicts_priors(plan):
        arrays["pred_bboxes"] = laid.priors
    static = {name: value for name, value in laid.static.items() if name in takes}
    for name, parameter in list(takes.items())[2:]:
        if parameter.default is parameter.empty and name not in arrays and name not in static:
            raise AuditError(f"{plan.name}: {kind} needs {name!r}, which annotations and priors do not give")
    for name in ("gt_valid", *arrays):
        if name not in takes:
            raise AuditError(f"{plan.name}: {kind} takes no {name!r}, so nothing can be left out for it")
    return arrays, static


def predicts_priors(plan: Plan) -> bool:
    """Tell whether the method must have predicted boxes, for which the priors stand in."""
    parameter = _parameters(plan).get("pred_bboxes")
    return parameter is not None and parameter.default is parameter.empty


def compares_shapes(plan: Plan) -> bool:
    """Tell whether it says something how well the priors' shapes fit the objects."""
    return isinstance(plan.priors, Proposals | BoxGenerator) and not isinstance(plan.assigner, PLACING)


def uses_crowds(plan: Plan) -> bool:
    """Tell whether the plan's method and knobs leave crowd regions out of training."""
    return "ignore_bboxes" in _parameters(plan) and getattr(plan.assigner, "ignore_iof_thr", 1) > 0


def _parameters(plan: Plan) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(plan.assigner.assign).parameters

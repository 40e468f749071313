"""What each assigner and each backend promises, declared once.

The suite's expectations, its skips and the table in ``docs/support.md`` are read from here. A promise that is
not kept, and an ability that is not promised, are failures of the suite: see
:mod:`assigncore.conformance.laws.promises`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from assigncore.conformance.targets.libraries import Mode
from assigncore.registry import ASSIGNERS

__all__ = ["CAPABILITIES", "Capabilities", "Priors", "Ties", "capabilities_of", "undeclared"]

DTYPES = ("float32", "float64", "float16", "bfloat16")
"""The dtypes that every assigner takes, where the backend has them."""


class Priors(StrEnum):
    """What the rows of `priors` are."""

    BOXES = "boxes"
    """x1, y1, x2, y2."""
    POINTS = "points"
    """x, y, stride."""
    STRIDED = "strided points"
    """x, y, stride_x, stride_y."""


class Ties(StrEnum):
    """What is promised where equal values compete."""

    FIRST = "lowest index"
    """The lowest index wins, of priors and of ground truths."""
    LATER = "lowest index, later ground truth for its best priors"
    """As above, but of the ground truths that take their best priors whatever the overlap, the last wins."""
    COST = "least total cost"
    """Which of several cheapest matchings is given is the solver's choice."""


@dataclass(frozen=True)
class Capabilities:
    """What one assigner promises.

    Parameters
    ----------
    knobs : mapping
        Knobs under which the suite runs it: the required ones, and those that make a rule worth testing.
    priors : Priors, default Priors.BOXES
        What its priors are; without meaning where it has none.
    reads : tuple of str
        Optional arguments it is to be given, beyond masks, labels and ignore regions.
    ties : Ties, default Ties.FIRST
        What it promises of ties.
    host : bool, default False
        Whether the host takes part, with one transfer there and one back for a whole batch.
    ignores : bool, default False
        Whether its method has ignore regions.
    no_label : int, default -1
        The label of a prior that is not positive, in an image that has ground truths.
    repeats : bool, default False
        Whether its outputs depend on how often a ground truth is there, so that a copy of one changes them.
    by_prior_too : bool, default False
        Whether a prior can be positive by its own box, whatever its prediction.
    progress : tuple of str
        Outputs that tell how the computation went, not what was decided. Rounding decides them, so they are
        not compared.
    modes : tuple of Mode
        How it can be run, where the backend can.
    dtypes : tuple of str
        The dtypes it takes, where the backend has them.
    """

    knobs: Mapping[str, Any] = field(default_factory=dict)
    priors: Priors = Priors.BOXES
    reads: tuple[str, ...] = ()
    ties: Ties = Ties.FIRST
    host: bool = False
    ignores: bool = False
    no_label: int = -1
    repeats: bool = False
    by_prior_too: bool = False
    progress: tuple[str, ...] = ()
    modes: tuple[Mode, ...] = tuple(Mode)
    dtypes: tuple[str, ...] = DTYPES


_IOU = {"pos_iou_thr": 0.5, "neg_iou_thr": 0.4, "min_pos_iou": 0.1}
_COSTS = (
    {"type": "FocalLossCost", "weight": 2.0},
    {"type": "BBoxL1Cost", "weight": 5.0},
    {"type": "IoUCost", "weight": 2.0},
)
_BOXES_AND_LOGITS = ("gt_bboxes", "pred_bboxes", "pred_logits", "image_shape")
_MAX_IOU = Capabilities({**_IOU, "ignore_iof_thr": 0.5}, ties=Ties.LATER, ignores=True)

CAPABILITIES: Mapping[str, Capabilities] = MappingProxyType(
    {
        "ATSSAssigner": Capabilities({"topk": 4, "ignore_iof_thr": 0.5}, ignores=True),
        "ApproxMaxIoUAssigner": _MAX_IOU,
        "AscendMaxIoUAssigner": _MAX_IOU,
        "CenterRegionAssigner": Capabilities(
            {"pos_scale": 0.5, "neg_scale": 0.8}, ignores=True, repeats=True
        ),
        "DynamicSoftLabelAssigner": Capabilities({}, Priors.STRIDED),
        "FCOSAssigner": Capabilities(
            {"regress_ranges": ((-1, 16), (16, 32), (32, float("inf")))}, Priors.POINTS
        ),
        "GreedyMatcher": Capabilities(
            {"match_costs": _COSTS}, reads=_BOXES_AND_LOGITS, repeats=True
        ),
        "GridAssigner": Capabilities(_IOU, ties=Ties.LATER),
        "HungarianAssigner": Capabilities(
            {"match_costs": _COSTS, "nonfinite": "forbid"},
            reads=_BOXES_AND_LOGITS, ties=Ties.COST, host=True, repeats=True,
        ),
        "MaskHungarianAssigner": Capabilities(
            {
                "cls_cost": {"type": "FocalLossCost", "weight": 2.0},
                "mask_cost": {"type": "CrossEntropyLossCost", "weight": 5.0},
                "dice_cost": {"type": "DiceCost", "pred_act": True},
                "nonfinite": "forbid",
            },
            reads=("pred_logits",), ties=Ties.COST, host=True, repeats=True,
        ),
        "Matcher": Capabilities(
            {"thresholds": (0.3, 0.5), "labels": (0, -1, 1), "allow_low_quality_matches": True}
        ),
        "MaxIoUAssigner": _MAX_IOU,
        "MultiInstanceAssigner": Capabilities(
            {"append_boxes": False, "pos_iou_thr": 0.4, "neg_iou_thr": 0.3}, ignores=True, repeats=True
        ),
        "PointAssigner": Capabilities({}, Priors.POINTS),
        "RegionAssigner": Capabilities(
            {"center_ratio": 0.6, "ignore_ratio": 0.9}, no_label=0, ties=Ties.LATER
        ),
        "SSDMatcher": Capabilities({}, ties=Ties.LATER),
        "SimOTAAssigner": Capabilities({}, Priors.STRIDED),
        "SinkhornAssigner": Capabilities(
            {}, Priors.STRIDED, repeats=True, progress=("iterations", "marginal_error")
        ),
        "TaskAlignedAssigner": Capabilities({"topk": 5}),
        "TopkHungarianAssigner": Capabilities(
            {"topk": 3, "nonfinite": "forbid"}, ties=Ties.COST, host=True, repeats=True
        ),
        "UniformAssigner": Capabilities(
            {"pos_ignore_thr": 0.15, "neg_ignore_thr": 0.7}, ties=Ties.LATER, by_prior_too=True
        ),
        "YOLOv7Assigner": Capabilities({}),
    }
)  # fmt: skip
"""The promises of each registered assigner."""


def capabilities_of(assigner: Any) -> Capabilities:
    """Find what an assigner promises.

    Parameters
    ----------
    assigner : object
        A built assigner. Where its class is not declared here, it may carry an attribute ``capabilities``.

    Returns
    -------
    Capabilities
        With the assigner's own knobs. Nothing but the defaults where nothing is declared.

    Examples
    --------
    >>> from assigncore import build_assigner
    >>> capabilities_of(build_assigner({"type": "PointAssigner"})).priors
    <Priors.POINTS: 'points'>
    """
    own = getattr(assigner, "capabilities", None)
    if isinstance(own, Capabilities):
        return own
    for kind in type(assigner).__mro__:
        if kind.__name__ in CAPABILITIES:
            return CAPABILITIES[kind.__name__]
    return Capabilities({knob.name: getattr(assigner, knob.name) for knob in fields(assigner) if knob.init})


def undeclared() -> tuple[str, ...]:
    """List the registered assigners that promise nothing.

    Examples
    --------
    >>> undeclared()
    ()
    """
    return tuple(name for name in ASSIGNERS.names() if name not in CAPABILITIES)

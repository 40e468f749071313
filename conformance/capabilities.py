"""What each assigner and each backend promises, declared once.

The suite's expectations, its skips and the table in ``docs/support.md`` are read from here. A promise that is
not kept, and an ability that is not promised, are failures of the suite: see
:mod:`assigncore.conformance.laws.promises`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from assigncore.conformance.reference import nearest, regions, thresholds
from assigncore.conformance.reference.image import Outputs
from assigncore.conformance.reference.multi_instance import multi_instance
from assigncore.conformance.reference.receptive_fields import rfla
from assigncore.conformance.targets.target import Mode
from assigncore.registry import ASSIGNERS

__all__ = [
    "CAPABILITIES",
    "Capabilities",
    "Holds",
    "Priors",
    "Rounding",
    "Ties",
    "capabilities_of",
    "undeclared",
]

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
    IN_TURN = "lowest index, later ground truth wherever several take a prior"
    """As above, but ground truths take their priors in turn, and the last one to take a prior keeps it."""
    COST = "least total cost"
    """Which of several cheapest matchings is given is the solver's choice."""


class Rounding(StrEnum):
    """What rounding may change where numbers lie elsewhere in memory, in a batch or behind padding."""

    NOTHING = "nothing"
    """Outputs are equal to the bit."""
    NUMBERS = "real outputs"
    """Real outputs are close, since exponentials or sums have a part in them; decisions are equal."""
    TIES = "real outputs, and decisions where values tie"
    """As above, and where values tie on purpose, sums of many numbers decide."""


class Holds(StrEnum):
    """What an output holds, so that a law that moves rows about knows what must move with them."""

    CODES = "-1, 0 or the index of a ground truth + 1, a prior"
    INDICES = "the index of a ground truth, a prior"
    LOOKED_UP = "what is looked up by such an index, a prior"
    BOXES = "the index of a ground truth, or that of an ignore region + G, a prior"
    VALUES = "anything else, a prior"
    PAIRS = "a value for each prior and ground truth (N, G)"
    OF_GTS = "a row for each ground truth (G, ...)"
    IN_TURN = "rows for all ground truths in turn, several times (K * G, ...)"


_HOLDS = {"gt_inds": Holds.CODES, "max_overlaps": Holds.VALUES, "labels": Holds.VALUES}
_BY_PRIOR = (Holds.CODES, Holds.INDICES, Holds.LOOKED_UP, Holds.BOXES, Holds.VALUES)


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
    needs : tuple of str
        Arguments that its signature calls optional, and that it cannot do without.
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
    by_label : bool, default False
        Whether labels have a part in its codes, though it does without them.
    ignores_alone : bool, default False
        Whether its ignore regions count in an image without ground truths too.
    counts_broken : tuple of str
        Kinds of rows that count, where it is asked how many there are, even if their numbers are not finite:
        ``"N"`` priors, ``"G"`` ground truths.
    rule : callable, optional
        Its reference implementation: takes an :class:`~assigncore.conformance.reference.image.Image` and
        knobs, and gives the outputs to the bit. Not given where rounding is by no rule that can be read.
    rounding : Rounding, default Rounding.NOTHING
        What rounding may change.
    outputs : mapping of str to Holds
        What its outputs hold beside the codes, overlaps and labels of each prior, or in place of them. One
        that is not here is compared only where no row has moved.
    where : mapping of str to str
        Outputs of which nothing is promised but where another one, of booleans, is true.
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
    needs: tuple[str, ...] = ()
    ties: Ties = Ties.FIRST
    host: bool = False
    ignores: bool = False
    no_label: int = -1
    repeats: bool = False
    by_prior_too: bool = False
    by_label: bool = False
    ignores_alone: bool = False
    counts_broken: tuple[str, ...] = ()
    rule: Callable[..., Outputs] | None = None
    rounding: Rounding = Rounding.NOTHING
    outputs: Mapping[str, Holds] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    progress: tuple[str, ...] = ()
    modes: tuple[Mode, ...] = tuple(Mode)
    dtypes: tuple[str, ...] = DTYPES

    def holds(self, name: str) -> Holds | None:
        """Tell what an output holds; None where it is not declared."""
        return self.outputs.get(name, _HOLDS.get(name))

    def has_row_per_prior(self, name: str) -> bool:
        """Tell whether an output is declared to hold a value for each prior along its last axis."""
        return self.holds(name) in _BY_PRIOR


_IOU = {"pos_iou_thr": 0.5, "neg_iou_thr": 0.4, "min_pos_iou": 0.1}
_COSTS = (
    {"type": "FocalLossCost", "weight": 2.0},
    {"type": "BBoxL1Cost", "weight": 5.0},
    {"type": "IoUCost", "weight": 2.0},
)
_MATCHED = ("gt_bboxes", "gt_labels", "pred_bboxes", "pred_logits")
_SPARED = {"ignore_iof_thr": 0.5}
_METRICS = {"assign_metrics": Holds.VALUES}

CAPABILITIES: Mapping[str, Capabilities] = MappingProxyType(
    {
        "ATSSAssigner": Capabilities(
            {"topk": 4, "ignore_iof_thr": 0.5}, ignores=True, rule=nearest.atss
        ),
        "ApproxMaxIoUAssigner": Capabilities(
            {**_IOU, "ignore_iof_thr": 0.5}, ties=Ties.LATER, ignores=True, rule=thresholds.approx_max_iou
        ),
        "AscendMaxIoUAssigner": Capabilities(
            {**_IOU, "ignore_iof_thr": 0.5}, ties=Ties.LATER, ignores=True, rule=thresholds.ascend_max_iou,
            outputs={
                "pos_mask": Holds.VALUES, "neg_mask": Holds.VALUES, "anchor_gt_indices": Holds.INDICES,
                "anchor_gt_labels": Holds.LOOKED_UP,
            },
        ),
        "CenterRegionAssigner": Capabilities(
            {"pos_scale": 0.5, "neg_scale": 0.8}, ignores=True, by_label=True, repeats=True,
            ignores_alone=True, rule=regions.center_region,
            outputs={"shadow": Holds.PAIRS, "outranked": Holds.PAIRS},
        ),
        "DynamicSoftLabelAssigner": Capabilities(
            _SPARED, Priors.STRIDED, ignores=True, ignores_alone=True, rounding=Rounding.NUMBERS
        ),
        "FCOSAssigner": Capabilities(
            {"regress_ranges": ((-1, 16), (16, 32), (32, float("inf"))), **_SPARED}, Priors.POINTS,
            ignores=True, ignores_alone=True, rule=regions.fcos,
        ),
        "GreedyMatcher": Capabilities(
            {"match_costs": _COSTS, **_SPARED},
            reads=("image_shape",), needs=_MATCHED, repeats=True, rounding=Rounding.TIES,
            ignores=True, ignores_alone=True,
        ),
        "GridAssigner": Capabilities(_IOU, ties=Ties.LATER, rule=thresholds.grid),
        "HungarianAssigner": Capabilities(
            {"match_costs": _COSTS, "nonfinite": "forbid", **_SPARED},
            reads=("image_shape",), needs=_MATCHED, ties=Ties.COST, host=True, repeats=True,
            rounding=Rounding.TIES, ignores=True, ignores_alone=True,
        ),
        "MaskHungarianAssigner": Capabilities(
            {
                "cls_cost": {"type": "FocalLossCost", "weight": 2.0},
                "mask_cost": {"type": "CrossEntropyLossCost", "weight": 5.0},
                "dice_cost": {"type": "DiceCost", "pred_act": True},
                "nonfinite": "forbid",
            },
            reads=("pred_logits",), needs=("gt_labels",), ties=Ties.COST, host=True, repeats=True,
            rounding=Rounding.TIES,
        ),
        "Matcher": Capabilities(
            {"thresholds": (0.3, 0.5), "labels": (0, -1, 1), "allow_low_quality_matches": True},
            rule=thresholds.matcher, outputs={"best_gt": Holds.INDICES},
        ),
        "MaxIoUAssigner": Capabilities(
            {**_IOU, "ignore_iof_thr": 0.5}, ties=Ties.LATER, ignores=True, rule=thresholds.max_iou
        ),
        "MultiInstanceAssigner": Capabilities(
            {"append_boxes": False, "pos_iou_thr": 0.4, "neg_iou_thr": 0.3}, ignores=True, repeats=True,
            ignores_alone=True, rule=multi_instance,
            outputs={"box_inds": Holds.BOXES, "box_labels": Holds.LOOKED_UP},
        ),
        "PointAssigner": Capabilities({}, Priors.POINTS, rule=nearest.point),
        "RFLAAssigner": Capabilities(
            _SPARED, ties=Ties.IN_TURN, ignores=True, ignores_alone=True, rule=rfla,
            rounding=Rounding.NUMBERS,
        ),
        "RegionAssigner": Capabilities(
            {"center_ratio": 0.6, "ignore_ratio": 0.9}, no_label=0, ties=Ties.LATER, rule=regions.region
        ),
        "SSDMatcher": Capabilities({}, ties=Ties.LATER, rule=thresholds.ssd_matcher),
        "SimOTAAssigner": Capabilities(
            _SPARED, Priors.STRIDED, ignores=True, ignores_alone=True, rounding=Rounding.NUMBERS
        ),
        "SinkhornAssigner": Capabilities(
            {}, Priors.STRIDED, repeats=True, rounding=Rounding.TIES, counts_broken=("N",),
            outputs={"supply": Holds.OF_GTS}, progress=("iterations", "marginal_error"),
        ),
        "TaskAlignedAssigner": Capabilities(
            {"topk": 5, **_SPARED}, ignores=True, ignores_alone=True, rounding=Rounding.NUMBERS,
            outputs=_METRICS,
        ),
        "TopkHungarianAssigner": Capabilities(
            {"topk": 3, "nonfinite": "forbid", **_SPARED}, ties=Ties.COST, host=True, repeats=True,
            ignores=True, ignores_alone=True, rounding=Rounding.TIES, counts_broken=("N", "G"),
            outputs=_METRICS,
        ),
        "UniformAssigner": Capabilities(
            {"pos_ignore_thr": 0.15, "neg_ignore_thr": 0.7}, ties=Ties.IN_TURN, by_prior_too=True,
            rule=nearest.uniform,
            outputs={
                "max_overlaps": Holds.OF_GTS, "pos_idx": Holds.IN_TURN,
                "pos_predicted_boxes": Holds.IN_TURN, "target_boxes": Holds.IN_TURN,
            },
            where=dict.fromkeys(("pos_predicted_boxes", "target_boxes", "pos_prior"), "pos_idx"),
        ),
        "YOLOv7Assigner": Capabilities(
            _SPARED, ignores=True, ignores_alone=True, rounding=Rounding.NUMBERS
        ),
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

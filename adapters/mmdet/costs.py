"""The match costs of MMDetection 3, called with instances."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, lru_cache
from typing import Any, ClassVar, cast

from assigncore import costs as core
from assigncore.adapters.errors import also_assertion
from assigncore.adapters.mmdet.building import build_from
from assigncore.adapters.mmdet.inputs import cost_inputs
from assigncore.backend import Array

__all__ = [
    "COSTS",
    "BBoxL1Cost",
    "BinaryFocalLossCost",
    "ClassificationCost",
    "CrossEntropyLossCost",
    "DiceCost",
    "FocalLossCost",
    "IoUCost",
    "build_match_cost",
]


class CostKnobs:
    """The knobs of a match cost as MMDetection names them; a subclass says which cost of the core it is."""

    core_class: ClassVar[type[core.MatchCost]]

    def core(self) -> core.MatchCost:
        """Return the core's cost of these knobs."""
        own: Any = type(self)
        knobs = {name: getattr(self, name) for name in _shared_knobs(own, self.core_class)}
        try:
            return cast("core.MatchCost", _built(self.core_class, **knobs))
        except TypeError:
            # What cannot be hashed is no number: the cost says of which knob.
            return self.core_class(**knobs)


@cache
def _shared_knobs(own: Any, core_class: Any) -> list[str]:
    known = {field.name for field in fields(core_class)}
    return [field.name for field in fields(own) if field.name in known]


@lru_cache(maxsize=256, typed=True)
def _built(core_class: Any, **knobs: Any) -> Any:
    return core_class(**knobs)


class InstanceCost(CostKnobs):
    """A match cost that reads instances."""

    def __call__(self, pred_instances: Any, gt_instances: Any, img_meta: Any = None, **kwargs: Any) -> Array:
        """Compute the weighted cost of each prediction with each ground truth.

        Parameters
        ----------
        pred_instances : object with ``bboxes``, ``scores`` (logits) or ``masks``, as the cost reads
            Predictions.
        gt_instances : object with ``bboxes``, ``labels`` or ``masks``, as the cost reads
            Ground truths.
        img_meta : mapping, optional
            Its ``img_shape`` is height and width.

        Returns
        -------
        tensor (N, G)
        """
        cost = self.core()
        return cost(**cost_inputs(cost.needs, pred_instances, gt_instances, img_meta))


@dataclass(eq=False)
class ClassificationCost(InstanceCost):
    """The negative probability of the ground truth's class: :class:`assigncore.costs.ClassificationCost`."""

    weight: float = 1
    core_class = core.ClassificationCost


@dataclass(eq=False)
class FocalLossCost(InstanceCost):
    """The focal loss of classes or of masks: :class:`assigncore.costs.FocalLossCost`."""

    alpha: float = core.FocalLossCost.alpha
    gamma: float = core.FocalLossCost.gamma
    eps: float = core.FocalLossCost.eps
    binary_input: bool = core.FocalLossCost.binary_input
    weight: float = core.FocalLossCost.weight
    core_class = core.FocalLossCost


@dataclass(eq=False)
class BinaryFocalLossCost(FocalLossCost):
    """The focal loss of a caption's tokens: :class:`assigncore.costs.BinaryFocalLossCost`."""

    core_class = core.BinaryFocalLossCost  # type: ignore[assignment]


def check_box_format(box_format: str) -> None:
    """Fail as upstream asserts."""
    if box_format not in ("xyxy", "xywh"):
        raise ValueError(f"box_format: expected xyxy or xywh, got {box_format!r}")


@dataclass(eq=False)
class BBoxL1Cost(InstanceCost):
    """The distance of boxes relative to the image: :class:`assigncore.costs.BBoxL1Cost`."""

    box_format: str = core.BBoxL1Cost.box_format
    weight: float = core.BBoxL1Cost.weight
    core_class = core.BBoxL1Cost

    @also_assertion
    def __post_init__(self) -> None:
        check_box_format(self.box_format)


@dataclass(eq=False)
class IoUCost(InstanceCost):
    """The negative overlap: :class:`assigncore.costs.IoUCost`."""

    iou_mode: str = core.IoUCost.iou_mode
    weight: float = core.IoUCost.weight
    core_class = core.IoUCost


@dataclass(eq=False)
class DiceCost(InstanceCost):
    """How little masks have in common: :class:`assigncore.costs.DiceCost`."""

    pred_act: bool = core.DiceCost.pred_act
    eps: float = core.DiceCost.eps
    naive_dice: bool = core.DiceCost.naive_dice
    weight: float = core.DiceCost.weight
    core_class = core.DiceCost


@dataclass(eq=False)
class CrossEntropyLossCost(InstanceCost):
    """The cross entropy of masks: :class:`assigncore.costs.CrossEntropyLossCost`."""

    use_sigmoid: bool = core.CrossEntropyLossCost.use_sigmoid
    weight: float = core.CrossEntropyLossCost.weight
    core_class = core.CrossEntropyLossCost

    def core(self) -> core.MatchCost:
        """Return the core's cost.

        Raises
        ------
        NotImplementedError
            Without `use_sigmoid`.
        """
        if not self.use_sigmoid:
            raise NotImplementedError("use_sigmoid: the form without is not implemented")
        return super().core()


COSTS: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        BBoxL1Cost,
        BinaryFocalLossCost,
        ClassificationCost,
        CrossEntropyLossCost,
        DiceCost,
        FocalLossCost,
        IoUCost,
    )
}
"""By the names of configs."""


def build_match_cost(config: Any) -> Any:
    """Build a match cost from a config mapping; one that is built already passes through."""
    return build_from(COSTS, config, "match cost")

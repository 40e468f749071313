"""The constructor knobs of assigners in every version of MMDetection, and the core's assigner of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar

import assigncore
from assigncore.adapters.containers import boxes_of, every_column
from assigncore.adapters.errors import also_assertion
from assigncore.adapters.mmdet.building import build_from
from assigncore.adapters.mmdet.overlaps import BboxOverlaps2D, BboxOverlaps2D_GLIP
from assigncore.adapters.mmdet.thresholds import background_threshold

__all__ = [
    "CALCULATORS",
    "ATSSKnobs",
    "CenterRegionKnobs",
    "GridKnobs",
    "Knobs",
    "MaxIoUKnobs",
    "PointKnobs",
    "RegionKnobs",
    "TaskAlignedKnobs",
    "UniformKnobs",
    "build_iou_calculator",
]

CALCULATORS: dict[str, type[Any]] = {cls.__name__: cls for cls in (BboxOverlaps2D, BboxOverlaps2D_GLIP)}
"""By the names of configs."""


def build_iou_calculator(config: Any) -> Any:
    """Build an overlap calculator from a config mapping; one that is built already passes through."""
    return build_from(CALCULATORS, config, "overlap calculator")


class Knobs:
    """An assigner's knobs as MMDetection names them; a subclass says which assigner of the core it is.

    They can be changed after construction, as Dynamic R-CNN does: each call assigns by what they are then.
    The core's assigner is built once for the same knobs, which lets a compiler follow the calls.
    """

    core_class: ClassVar[type[Any]]
    usual_options: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Options of the core that are arguments of ``assign``, as most calls have them."""
    iou_calculator: Any

    @also_assertion
    def __post_init__(self) -> None:
        if isinstance(getattr(self, "iou_calculator", None), Mapping):
            self.iou_calculator = build_iou_calculator(self.iou_calculator)
        self._cores: dict[tuple[Any, ...], Any] = {}
        self.core(**self.usual_options)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if not name.startswith("_"):
            self._cores = {}

    def boxes_of(self, x: Any) -> Any:
        """Return boxes with the columns the calculator takes: for one of the user's own, every one."""
        return boxes_of(x) if hasattr(self.iou_calculator, "columns") else every_column(x)

    def core(self, **options: Any) -> Any:
        """Return the core's assigner of these knobs, and of further `options` of the core."""
        key = tuple(options.items())
        found = self._cores.get(key)
        if found is None:
            found = self._cores[key] = self.build(**options)
        return found

    def build(self, **options: Any) -> Any:
        """Build the core's assigner."""
        return self.core_class(**self.core_knobs(), **options)

    def core_knobs(self) -> dict[str, Any]:
        """Return the knobs that are the core's too, by name."""
        known = {each.name for each in fields(self.core_class)}
        own = [each.name for each in fields(self)]  # type: ignore[arg-type]
        return {name: getattr(self, name) for name in own if name in known}


@dataclass(eq=False)
class MaxIoUKnobs(Knobs):
    """Of :class:`assigncore.MaxIoUAssigner`."""

    pos_iou_thr: float
    neg_iou_thr: float | tuple[float, float]
    min_pos_iou: float = 0.0
    gt_max_assign_all: bool = True
    ignore_iof_thr: float = -1
    ignore_wrt_candidates: bool = True
    match_low_quality: bool = True
    gpu_assign_thr: float = -1
    iou_calculator: Any = field(default_factory=BboxOverlaps2D)
    core_class: ClassVar[type[Any]] = assigncore.MaxIoUAssigner

    def core_knobs(self) -> dict[str, Any]:
        """Return the knobs that are the core's too, with the threshold read by its type as upstream."""
        return {**super().core_knobs(), "neg_iou_thr": background_threshold(self.neg_iou_thr)}


@dataclass(eq=False)
class ATSSKnobs(Knobs):
    """Of :class:`assigncore.ATSSAssigner`."""

    topk: int
    alpha: float | None = None
    iou_calculator: Any = field(default_factory=BboxOverlaps2D)
    ignore_iof_thr: float = -1
    core_class = assigncore.ATSSAssigner

    def check_predictions(self, logits: Any, bboxes: Any) -> None:
        """Fail as upstream asserts where `alpha` asks for predictions and there are none."""
        if self.alpha is not None and (logits is None or bboxes is None):
            raise AssertionError(
                f"alpha={self.alpha}: expected scores and boxes of the predictions, got None"
            )


@dataclass(eq=False)
class CenterRegionKnobs(Knobs):
    """Of :class:`assigncore.CenterRegionAssigner`."""

    pos_scale: float
    neg_scale: float
    min_pos_iof: float = 1e-2
    ignore_gt_scale: float = 0.5
    foreground_dominate: bool = False
    iou_calculator: Any = field(default_factory=BboxOverlaps2D)
    core_class = assigncore.CenterRegionAssigner


@dataclass(eq=False)
class GridKnobs(Knobs):
    """Of :class:`assigncore.GridAssigner`."""

    pos_iou_thr: float
    neg_iou_thr: float | tuple[float, float]
    min_pos_iou: float = 0.0
    gt_max_assign_all: bool = True
    iou_calculator: Any = field(default_factory=BboxOverlaps2D)
    core_class = assigncore.GridAssigner

    def core_knobs(self) -> dict[str, Any]:
        """Return the knobs that are the core's too, with the threshold read by its type as upstream."""
        threshold = background_threshold(self.neg_iou_thr, pairs=(tuple, list))
        return {**super().core_knobs(), "neg_iou_thr": threshold}


@dataclass(eq=False)
class PointKnobs(Knobs):
    """Of :class:`assigncore.PointAssigner`."""

    scale: int = 4
    pos_num: int = 3
    core_class = assigncore.PointAssigner


@dataclass(eq=False)
class RegionKnobs(Knobs):
    """Of :class:`assigncore.RegionAssigner`."""

    center_ratio: float = 0.2
    ignore_ratio: float = 0.5
    core_class = assigncore.RegionAssigner


@dataclass(eq=False)
class TaskAlignedKnobs(Knobs):
    """Of :class:`assigncore.TaskAlignedAssigner`."""

    topk: int
    iou_calculator: Any = field(default_factory=BboxOverlaps2D)
    core_class: ClassVar[type[Any]] = assigncore.TaskAlignedAssigner
    usual_options = MappingProxyType({"alpha": 1, "beta": 6})

    @also_assertion
    def __post_init__(self) -> None:
        if self.topk < 1:
            raise ValueError(f"topk: expected at least 1, got {self.topk!r}")
        super().__post_init__()


@dataclass(eq=False)
class UniformKnobs(Knobs):
    """Of :class:`assigncore.UniformAssigner`."""

    pos_ignore_thr: float
    neg_ignore_thr: float
    match_times: int = 4
    iou_calculator: Any = field(default_factory=BboxOverlaps2D)
    core_class = assigncore.UniformAssigner

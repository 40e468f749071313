"""The assigners of MMDetection 3 that decide by overlaps with ground truths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import assigncore
from assigncore.adapters.containers import array_of, as_integers, boxes_of, optional, required
from assigncore.adapters.errors import also_assertion
from assigncore.adapters.mmdet.inputs import PRED, ground_truth, ignore_regions
from assigncore.adapters.mmdet.jitter import RepeatJitter
from assigncore.adapters.mmdet.knobs import GridKnobs, MaxIoUKnobs
from assigncore.adapters.mmdet.result import AssignResult
from assigncore.backend import get_backend

__all__ = ["ApproxMaxIoUAssigner", "GridAssigner", "MaxIoUAssigner", "MultiInstanceAssigner"]


@dataclass(eq=False)
class MaxIoUAssigner(MaxIoUKnobs):
    """Decide by each prior's best overlap: see :class:`assigncore.MaxIoUAssigner` for rule and knobs.

    Parameters
    ----------
    perm_repeat_gt_cfg : mapping, optional
        Set ground truths with equal boxes apart: the arguments of
        :class:`assigncore.adapters.mmdet.jitter.RepeatJitter`, among which ``seed`` makes it repeatable.
    """

    perm_repeat_gt_cfg: Any = None

    @also_assertion
    def __post_init__(self) -> None:
        super().__post_init__()
        self._jitter = RepeatJitter.of(self.perm_repeat_gt_cfg)

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Assign ``priors`` (N, 4) to the ``bboxes`` (G, 4) and ``labels`` (G,) of ground truths.

        Parameters
        ----------
        pred_instances : object with ``priors``
            Priors, boxes in pixels.
        gt_instances : object with ``bboxes`` and ``labels``
            Ground truths.
        gt_instances_ignore : object with ``bboxes``, optional
            Ignore regions.
        **kwargs
            Without effect.

        Returns
        -------
        AssignResult
        """
        priors = self.boxes_of(required(pred_instances, "priors", PRED))
        gt = ground_truth(gt_instances, self.boxes_of)
        if self._jitter is not None and len(priors):
            gt["gt_bboxes"] = self._jitter(gt["gt_bboxes"], self.iou_calculator)
        ignored = ignore_regions(gt_instances_ignore, self.boxes_of)
        return AssignResult.of(self.core().assign(priors, **gt, ignore_bboxes=ignored))


@dataclass(eq=False)
class ApproxMaxIoUAssigner(MaxIoUKnobs):
    """Decide by the best of several approximations: see :class:`assigncore.ApproxMaxIoUAssigner`."""

    core_class = assigncore.ApproxMaxIoUAssigner

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Assign ``priors`` (N, 4), squares, by their ``approxs`` (N, A, 4).

        The other arguments and the result are those of :meth:`MaxIoUAssigner.assign`.
        """
        result = self.core().assign(
            boxes_of(required(pred_instances, "priors", PRED)),
            **ground_truth(gt_instances),
            approxs=array_of(required(pred_instances, "approxs", PRED)),
            ignore_bboxes=ignore_regions(gt_instances_ignore),
        )
        return AssignResult.of(result)


@dataclass(eq=False)
class GridAssigner(GridKnobs):
    """Decide by overlaps of the priors of responsible cells: see :class:`assigncore.GridAssigner`."""

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Assign ``priors`` (N, 4) with their ``responsible_flags`` (N,), which are true where not 0.

        Ignore regions are without effect, as published. The other arguments and the result are those of
        :meth:`MaxIoUAssigner.assign`.
        """
        flags = required(pred_instances, "responsible_flags", PRED)
        result = self.core().assign(
            self.boxes_of(required(pred_instances, "priors", PRED)),
            **ground_truth(gt_instances, self.boxes_of),
            responsible_flags=flags != 0,
        )
        return AssignResult.of(result)


@dataclass(eq=False, init=False)
class MultiInstanceAssigner(MaxIoUAssigner):
    """Decide by the best few overlaps of each prior: see :class:`assigncore.MultiInstanceAssigner`.

    Parameters
    ----------
    num_instance : int, default 2
        Predictions of each prior.
    **kwargs
        The knobs of :class:`MaxIoUAssigner`, of which the two thresholds decide.
    """

    num_instance: int = 2
    core_class = assigncore.MultiInstanceAssigner

    @also_assertion
    def __init__(self, num_instance: int = 2, **kwargs: Any) -> None:
        self.num_instance = num_instance
        MaxIoUAssigner.__init__(self, **kwargs)

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Assign ``priors`` (N, 4), and behind them the G ground truths and I ignore regions themselves.

        The arguments are those of :meth:`MaxIoUAssigner.assign`; ignore regions may have ``labels``.

        Returns
        -------
        AssignResult
            As published: arrays are (N + G + I, `num_instance`), ``gt_inds`` counts boxes from 0, whatever
            was decided, and ``labels`` tell what was: 1 positive, 0 background, between the thresholds
            the class + 1 of the box, or -1. Without any box there are no rows.
        """
        gt = ground_truth(gt_instances)
        ignored = ignore_regions(gt_instances_ignore)
        labels = None if ignored is None else as_integers(optional(gt_instances_ignore, "labels"))
        result = self.core().assign(
            boxes_of(required(pred_instances, "priors", PRED)),
            **gt,
            ignore_bboxes=ignored,
            ignore_labels=labels,
        )
        xp = get_backend(result.gt_inds).xp
        box, label = result.extras["box_inds"], result.extras["box_labels"]
        between = xp.where(box < len(gt["gt_labels"]), label + 1, label)
        decided = xp.where(result.gt_inds > 0, 1, xp.where(result.gt_inds == 0, 0, between))
        stop = None if result.num_gts else 0
        arrays = (xp.matrix_transpose(x)[:stop, :] for x in (box, result.max_overlaps, decided))
        return AssignResult(result.num_gts, *arrays)

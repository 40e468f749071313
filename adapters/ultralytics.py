"""The task-aligned assigners by the arguments and results of the YOLOv8 family's losses.

A YOLOv8-style detection loss keeps its assigner in an attribute, and an end-to-end model has two such losses:
`use_in` finds them and puts this assigner in their place. Nothing of that framework is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from assigncore.adapters.assigned_rows import (
    as_many,
    assigned_rows,
    class_scores,
    padded_ground_truths,
    real_numbers,
)
from assigncore.adapters.core_by_knobs import CoreByKnobs
from assigncore.adapters.errors import also_assertion
from assigncore.adapters.switching import Switched, replace_attribute
from assigncore.assigners.task_aligned_presets import yolo26_pose, yolov8, yolov8_obb

__all__ = [
    "PoseTaskAlignedAssigner",
    "RotatedTaskAlignedAssigner",
    "SegTaskAlignedAssigner",
    "TaskAlignedAssigner",
    "use_in",
]

KNOBS = ("topk", "num_classes", "alpha", "beta", "eps")
"""Knobs that every version of the replaced class has; what later ones added is read where it is there."""


class TaskAlignedAssigner(CoreByKnobs, torch.nn.Module):
    """Task-aligned assignment of a padded batch, as YOLOv8 and its successors train.

    Parameters
    ----------
    topk : int, default 13
        Priors each ground truth may take; all of them where there are fewer.
    num_classes : int, default 80
        Number of classes: C.
    alpha, beta : float, default 1.0 and 6.0
        Exponents of score and overlap.
    stride : sequence of float, optional
        Strides of the levels; default 8, 16, 32. Ground truths with a side shorter than the second, or the
        only one, count as that long when it is decided which points are inside: the attribute `stride_val`.
    eps : float, default 1e-9
        Added to the largest metric where it is divided by.
    topk2 : int, optional
        Of what a ground truth has got, keep so many; by default `topk`, that is all.

    Examples
    --------
    >>> assigner = TaskAlignedAssigner(topk=1, num_classes=2)
    >>> labels, boxes, scores, mask, index = assigner(
    ...     torch.full((1, 2, 2), 0.5),
    ...     torch.tensor([[[0.0, 0, 8, 8], [0, 0, 8, 6]]]),
    ...     torch.tensor([[4.0, 4], [4, 4]]),
    ...     torch.tensor([[[1]]]),
    ...     torch.tensor([[[0.0, 0, 8, 8]]]),
    ...     torch.ones(1, 1, 1),
    ... )
    >>> mask.tolist(), scores.round(decimals=3).tolist()
    ([[True, False]], [[[0.0, 1.0], [0.0, 0.0]]])
    """

    preset = staticmethod(yolov8)
    own_knobs: tuple[str, ...] = ()
    """Attributes that an assigner of this kind has beside those of all."""

    @also_assertion
    def __init__(
        self,
        topk: int = 13,
        num_classes: int = 80,
        alpha: float = 1.0,
        beta: float = 6.0,
        stride: Sequence[float] | None = None,
        eps: float = 1e-9,
        topk2: int | None = None,
    ) -> None:
        super().__init__()
        self.topk, self.num_classes, self.alpha, self.beta = topk, num_classes, alpha, beta
        self.stride, self.eps = [8, 16, 32] if stride is None else stride, eps
        self.stride_val = list(self.stride)[:2][-1]
        self.topk2 = topk if topk2 is None else topk2
        self.core()

    def build(self, **options: Any) -> Any:
        """Build the core's assigner."""
        further: dict[str, Any] = {} if self.topk2 == self.topk else {"topk2": self.topk2}
        return self.preset(
            topk=self.topk,
            alpha=self.alpha,
            beta=self.beta,
            eps=self.eps,
            smallest_side=float(self.stride_val),
            **further,
            **self._options(),
        )

    def _options(self) -> dict[str, Any]:
        """Return the core's knobs that make this kind."""
        return {}

    @torch.no_grad()
    def forward(
        self,
        pd_scores: Tensor,
        pd_bboxes: Tensor,
        anc_points: Tensor,
        gt_labels: Tensor,
        gt_bboxes: Tensor,
        mask_gt: Tensor,
        **extra: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Assign the points of all images.

        Parameters
        ----------
        pd_scores, pd_bboxes : Tensor (B, N, C) and (B, N, 4)
            Predicted probabilities, and boxes in pixels.
        anc_points : Tensor (N, 2)
            Points x, y in pixels.
        gt_labels, gt_bboxes, mask_gt : Tensor (B, K, 1), (B, K, 4) and (B, K, 1)
            Padded ground truths, and true where one is no padding.
        **extra : Tensor
            What other kinds compare; not used here.

        Returns
        -------
        target_labels : Tensor (B, N) of int64
            For background the label of the first ground truth.
        target_bboxes : Tensor (B, N, 4)
            Likewise.
        target_scores : Tensor (B, N, C)
            What the scores are trained towards; 0 for background.
        fg_mask : Tensor (B, N) of bool
            Which points are positive.
        target_gt_idx : Tensor (B, N) of int64
            The ground truth, from 0; 0 for background.
        """
        return self._targets(pd_scores, pd_bboxes, anc_points, gt_labels, gt_bboxes, mask_gt)

    def _targets(
        self,
        pd_scores: Tensor,
        pd_bboxes: Tensor,
        anc_points: Tensor,
        gt_labels: Tensor,
        gt_bboxes: Tensor,
        mask_gt: Tensor,
        strides: Tensor | None = None,
        **further: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        labels, valid = padded_ground_truths(gt_labels, mask_gt)
        given = gt_labels[..., 0].long()
        # As published: a negative label reads the score of a class counted from the end, and comes back as 0.
        read = torch.where(given < 0, given + pd_scores.shape[-1], labels)
        points = real_numbers(anc_points)
        if strides is None:
            points = torch.nn.functional.pad(points, (0, 1), value=1.0)
        else:
            points = torch.cat([points, strides.reshape(-1, 1).to(points.dtype)], dim=-1)
        result = self.core().assign(
            as_many(points, gt_bboxes, pd_bboxes.shape[1]),
            gt_bboxes,
            pred_bboxes=pd_bboxes,
            pred_scores=pd_scores,
            gt_labels=read,
            gt_valid=valid,
            **further,
        )
        rows = assigned_rows(result, labels, gt_bboxes, self.num_classes)
        scores = class_scores(rows.labels, result.extras["assign_metrics"], self.num_classes)
        return rows.labels, rows.bboxes, scores, result.pos_mask, rows.gt_index


class RotatedTaskAlignedAssigner(TaskAlignedAssigner):
    """Task-aligned assignment of oriented boxes, as YOLOv8-OBB and its successors train.

    Called as :class:`TaskAlignedAssigner` is, with boxes (B, N, 5) and (B, K, 5): cx, cy, w, h in pixels and
    the angle in radians, any. Predictions are compared by :class:`assigncore.ProbIoU`.

    Parameters
    ----------
    topk, num_classes, alpha, beta, stride, eps, topk2
        As of :class:`TaskAlignedAssigner`; of `stride` either side of a ground truth is made as long.

    Examples
    --------
    >>> assigner = RotatedTaskAlignedAssigner(topk=1, num_classes=2)
    >>> labels, boxes, scores, mask, index = assigner(
    ...     torch.full((1, 2, 2), 0.5),
    ...     torch.tensor([[[4.0, 4, 8, 4, 0.8], [4, 4, 8, 4, -0.8]]]),
    ...     torch.tensor([[4.0, 4], [4, 4]]),
    ...     torch.tensor([[[1]]]),
    ...     torch.tensor([[[4.0, 4, 8, 4, 0.7]]]),
    ...     torch.ones(1, 1, 1),
    ... )
    >>> mask.tolist(), labels.tolist()
    ([[True, False]], [[1, 1]])
    """

    preset = staticmethod(yolov8_obb)


class PoseTaskAlignedAssigner(TaskAlignedAssigner):
    """Task-aligned assignment of poses, as the newer ultralytics pose detectors train.

    Called as :class:`TaskAlignedAssigner` is, with the strides of the points (N,) behind, and by name the
    keypoints in pixels: ``pd_kpts`` (B, N, k, 2) and ``gt_kpts`` (B, K, k, 3), x, y and visibility.

    Parameters
    ----------
    sigmas : Tensor (k,) or sequence of float
        Tolerances of the keypoints.
    **kwargs
        As of :class:`TaskAlignedAssigner`.

    Examples
    --------
    >>> assigner = PoseTaskAlignedAssigner([0.1], topk=1, num_classes=2)
    >>> labels, boxes, scores, mask, index = assigner(
    ...     torch.full((1, 2, 2), 0.5),
    ...     torch.tensor([[[0.0, 0, 20, 20], [0, 0, 20, 20]]]),
    ...     torch.tensor([[8.0, 8], [12, 12]]),
    ...     torch.tensor([[[1]]]),
    ...     torch.tensor([[[0.0, 0, 20, 20]]]),
    ...     torch.ones(1, 1, 1),
    ...     torch.tensor([8.0, 8]),
    ...     pd_kpts=torch.tensor([[[[4.0, 9]], [[5, 5]]]]),
    ...     gt_kpts=torch.tensor([[[[5.0, 5, 2]]]]),
    ... )
    >>> mask.tolist()
    [[False, True]]
    """

    preset = staticmethod(yolo26_pose)
    own_knobs = ("sigmas",)

    @also_assertion
    def __init__(self, sigmas: Tensor | Sequence[float], **kwargs: Any) -> None:
        # Before the module's own attributes can be set, since its knobs are read while it is made.
        numbers = sigmas.tolist() if isinstance(sigmas, Tensor) else list(sigmas)
        self.__dict__["sigmas"] = tuple(map(float, numbers))
        super().__init__(**kwargs)

    def _options(self) -> dict[str, Any]:
        return {"sigmas": self.sigmas}

    @torch.no_grad()
    def forward(  # type: ignore[override]
        self,
        pd_scores: Tensor,
        pd_bboxes: Tensor,
        anc_points: Tensor,
        gt_labels: Tensor,
        gt_bboxes: Tensor,
        mask_gt: Tensor,
        anc_strides: Tensor,
        *,
        pd_kpts: Tensor,
        gt_kpts: Tensor,
        **extra: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Assign the points of all images; what it returns is what :class:`TaskAlignedAssigner` does."""
        boxes = pd_scores, pd_bboxes, anc_points, gt_labels, gt_bboxes, mask_gt
        return self._targets(*boxes, strides=anc_strides, pred_keypoints=pd_kpts, gt_keypoints=gt_kpts)


class SegTaskAlignedAssigner(TaskAlignedAssigner):
    """Task-aligned assignment by boxes and masks, as the newer ultralytics segmentation detectors train.

    Called as :class:`TaskAlignedAssigner` is, and by name with ``pd_coef`` (B, N, m), ``mask_scale`` (B, 1),
    ``proto`` (B, m, h, w) and ``gt_masks`` (B, K, h, w).

    Parameters
    ----------
    topk, num_classes, alpha, beta, stride, eps, topk2
        As of :class:`TaskAlignedAssigner`. The masks of three times `topk` predictions of each ground truth
        are compared.

    Examples
    --------
    >>> SegTaskAlignedAssigner(topk=10).core().mask_ranks
    30
    """

    def _options(self) -> dict[str, Any]:
        return {"mask_ranks": 3 * self.topk}

    @torch.no_grad()
    def forward(  # type: ignore[override]
        self,
        pd_scores: Tensor,
        pd_bboxes: Tensor,
        anc_points: Tensor,
        gt_labels: Tensor,
        gt_bboxes: Tensor,
        mask_gt: Tensor,
        *,
        pd_coef: Tensor,
        mask_scale: Tensor,
        proto: Tensor,
        gt_masks: Tensor,
        **extra: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Assign the points of all images; what it returns is what :class:`TaskAlignedAssigner` does."""
        return self._targets(
            *(pd_scores, pd_bboxes, anc_points, gt_labels, gt_bboxes, mask_gt),
            pred_coefficients=pd_coef,
            mask_prototypes=proto,
            mask_scale=real_numbers(mask_scale),
            gt_masks=gt_masks if gt_masks.is_floating_point() else gt_masks.to(proto.dtype),
        )


DROP_INS = {
    kind.__name__: kind
    for kind in (
        PoseTaskAlignedAssigner,
        RotatedTaskAlignedAssigner,
        SegTaskAlignedAssigner,
        TaskAlignedAssigner,
    )
}
"""The assigners by the name of the class that each replaces."""


def use_in(model_or_criterion: Any) -> Switched:
    """Put assigners into a model, or into its criterion, with the knobs of those that are there.

    Parameters
    ----------
    model_or_criterion : object
        A model, what holds one as its attribute `model`, or a criterion. A model that has no criterion yet is
        asked for one, for which it must know its settings: from the start of a training on.

    Returns
    -------
    Switched
        The attributes that were replaced, and those that were not, with the reason: an assigner of an unknown
        kind decides by more than these read. `Switched.undo` puts them back.

    Raises
    ------
    ValueError
        If there is no assigner in it.
    TypeError
        If the model cannot make a criterion yet.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> use_in(SimpleNamespace(assigner=TaskAlignedAssigner(topk=10))).left
    {'assigner': 'is one of assigncore already'}
    """
    criterion = _criterion_of(model_or_criterion)
    replaced: dict[str, Callable[[], None]] = {}
    left: dict[str, str] = {}
    for place, owner in _owners(criterion, "", set()):
        why = _why_not(owner.assigner)
        if why:
            left[place] = why
        else:
            replaced[place] = replace_attribute(owner, "assigner", _like(owner.assigner))
    if not replaced and not left:
        raise ValueError(f"model_or_criterion: no assigner found in a {type(criterion).__name__}")
    return Switched(tuple(replaced), left, tuple(replaced.values()))


def _criterion_of(thing: Any) -> Any:
    """Find the criterion: a model makes its own when it is first trained, and keeps it."""
    while not hasattr(thing, "init_criterion") and hasattr(thing, "model") and not hasattr(thing, "assigner"):
        thing = thing.model
    if not hasattr(thing, "init_criterion"):
        return thing
    if getattr(thing, "criterion", None) is None:
        try:
            thing.criterion = thing.init_criterion()
        except AttributeError as error:
            raise TypeError(
                f"model_or_criterion: {type(thing).__name__} cannot make its criterion yet ({error}); "
                "expected a model that is about to be trained, or a criterion"
            ) from error
    return thing.criterion


def _owners(thing: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """List what has an assigner, and where the assigner is."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if hasattr(thing, "assigner"):
        yield f"{path}assigner", thing
    parts = {**getattr(thing, "__dict__", {}), **getattr(thing, "_modules", {})}
    for name, part in parts.items():
        if name != "assigner" and hasattr(part, "assigner"):
            yield from _owners(part, f"{path}{name}.", seen)


def _why_not(assigner: Any) -> str:
    if isinstance(assigner, TaskAlignedAssigner):
        return "is one of assigncore already"
    name = type(assigner).__name__
    if name not in DROP_INS:
        return f"a {name} decides by more than boxes and scores"
    needed = (*KNOBS, *DROP_INS[name].own_knobs)
    lacking = [knob for knob in needed if not hasattr(assigner, knob)]
    return f"has no attribute {', '.join(lacking)}" if lacking else ""


def _like(assigner: Any) -> TaskAlignedAssigner:
    kind = DROP_INS[type(assigner).__name__]
    knobs = {knob: getattr(assigner, knob) for knob in (*KNOBS, *kind.own_knobs)}
    # Before there were strides, small ground truths had no rule of their own.
    stride = [float(side) for side in getattr(assigner, "stride", (0.0,))]
    like = kind(**knobs, stride=stride, topk2=getattr(assigner, "topk2", None))
    like.stride_val = getattr(assigner, "stride_val", like.stride_val)
    return like

"""MMYOLO's batched assigner of YOLOv7: maps of predictions in, lists of positives by level out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from assigncore.adapters.assigned_rows import as_tuple
from assigncore.adapters.errors import also_assertion
from assigncore.assigners import YOLOv7Assigner
from assigncore.assigners.yolov7 import GridCandidates
from assigncore.result import AssignResult

__all__ = ["BatchYOLOv7Assigner"]

COLUMNS = 7
"""Numbers of a target: image, class, centre x and y, width, height, number of the anchor."""


class _Predictions(NamedTuple):
    """Of candidates: boxes (B, E, 4) in pixels, logits of objectness (B, E), and of classes (B, E, C)."""

    bboxes: Tensor
    objectness: Tensor
    logits: Tensor


class BatchYOLOv7Assigner(torch.nn.Module):
    """Assignment of anchors on a grid by dynamic k, for a whole batch, as YOLOv7 trains.

    Parameters
    ----------
    num_classes : int
        Number of classes: C.
    num_base_priors : int
        Anchors of each cell: A.
    featmap_strides : sequence of int
        Strides of the L levels in pixels.
    prior_match_thr : float, default 4.0
        Widths and heights of an anchor and a target differ by less than this factor.
    candidate_topk : int, default 10
        Overlaps that are added up to the number of anchors a target takes.
    iou_weight, cls_weight : float, default 3.0 and 1.0
        Weights of the costs of overlap and class.

    Examples
    --------
    >>> assigner = BatchYOLOv7Assigner(num_classes=1, num_base_priors=1, featmap_strides=[8])
    >>> lists = assigner(
    ...     [torch.zeros(1, 1, 4, 4, 6)],
    ...     torch.tensor([[[0, 0, 0.4, 0.4, 0.25, 0.25, 0]]]),
    ...     (32, 32),
    ...     torch.tensor([[[1.0, 1.0]]]),
    ...     torch.zeros(5, 1, 2),
    ... )
    >>> lists["mlvl_positive_infos"]
    [tensor([[0, 0, 1, 1]])]
    """

    @also_assertion
    def __init__(
        self,
        num_classes: int,
        num_base_priors: int,
        featmap_strides: Sequence[int],
        prior_match_thr: float = YOLOv7Assigner.prior_match_thr,
        candidate_topk: int = YOLOv7Assigner.candidate_topk,
        iou_weight: float = YOLOv7Assigner.iou_weight,
        cls_weight: float = YOLOv7Assigner.cls_weight,
    ) -> None:
        super().__init__()
        self.num_classes, self.num_base_priors = num_classes, num_base_priors
        self.featmap_strides, self.prior_match_thr = featmap_strides, prior_match_thr
        self.candidate_topk, self.iou_weight, self.cls_weight = candidate_topk, iou_weight, cls_weight
        # Knobs out of range are refused here, not in the first step of training.
        self._assigner(YOLOv7Assigner.near_neighbor_thr)

    def _assigner(self, near_neighbor_thr: float) -> YOLOv7Assigner:
        return YOLOv7Assigner(
            prior_match_thr=self.prior_match_thr,
            near_neighbor_thr=near_neighbor_thr,
            candidate_topk=self.candidate_topk,
            iou_weight=self.iou_weight,
            cls_weight=self.cls_weight,
        )

    @torch.no_grad()
    def forward(
        self,
        pred_results: Sequence[Tensor],
        batch_targets_normed: Tensor,
        batch_input_shape: Sequence[int],
        priors_base_sizes: Tensor,
        grid_offset: Tensor,
        near_neighbor_thr: float = YOLOv7Assigner.near_neighbor_thr,
    ) -> dict[str, list[Tensor]]:
        """Assign the anchors of all images.

        Parameters
        ----------
        pred_results : sequence of Tensor (B, A, h, w, 5 + C)
            The raw predictions of each level: box, objectness, classes.
        batch_targets_normed : Tensor (A, T, 7)
            Image, class, centre, width and height relative to the input, anchor; the same for each anchor but
            for the last number.
        batch_input_shape : sequence of int
            Height and width of the input in pixels.
        priors_base_sizes : Tensor (L, A, 2)
            Width and height of the anchors in strides of their level.
        grid_offset : Tensor (5, 1, 2)
            Accepted and not read: own cell, left, up, right, down, as published.
        near_neighbor_thr : float, default 0.5
            How near to a neighbour cell a centre must be, in cells.

        Returns
        -------
        dict of str to list of Tensor
            By level: ``mlvl_positive_infos`` (P, 4) of image, anchor, x, y; ``mlvl_priors`` (P, 2);
            ``mlvl_targets_normed`` (P, 7). Where nothing is positive at any level the latter two are (0, 4),
            and without a target the lists are empty, both as published.
        """
        strides = as_tuple(self.featmap_strides)
        images = int(pred_results[0].shape[0])
        if batch_targets_normed.shape[1] == 0:
            nothing = torch.zeros((0, 4), dtype=torch.int64, device=batch_targets_normed.device)
            infos = [nothing for _ in strides]
            return {"mlvl_positive_infos": infos, "mlvl_priors": [], "mlvl_targets_normed": []}
        targets, valid = _by_image(batch_targets_normed[0], images)
        in_pixels = torch.tensor(strides, dtype=priors_base_sizes.dtype, device=priors_base_sizes.device)
        height, width = batch_input_shape
        scale = targets.new_tensor([width, height])
        center, half = targets[..., 2:4] * scale, targets[..., 4:6] / 2 * scale
        assigner, gt_bboxes = (
            self._assigner(near_neighbor_thr),
            torch.cat([center - half, center + half], dim=-1),
        )
        grid: dict[str, Any] = {
            "base_sizes": priors_base_sizes * in_pixels[:, None, None],
            "featmap_strides": strides,
            "featmap_sizes": [(int(x.shape[2]), int(x.shape[3])) for x in pred_results],
            "gt_valid": valid,
        }
        candidates = assigner.candidates(gt_bboxes, **grid)
        predictions = _decoded(pred_results, candidates, strides, grid["base_sizes"])
        result = assigner.assign(
            gt_bboxes,
            gt_labels=targets[..., 1].long(),
            pred_bboxes=predictions.bboxes,
            pred_logits=predictions.logits,
            pred_objectness=predictions.objectness,
            of_candidates=True,
            **grid,
        )
        lists = zip(*_positives(result, len(strides), priors_base_sizes, targets), strict=True)
        names = ("mlvl_positive_infos", "mlvl_priors", "mlvl_targets_normed")
        return dict(zip(names, map(list, lists), strict=True))


def _by_image(targets: Tensor, images: int) -> tuple[Tensor, Tensor]:
    """Sort targets (T, 7) into a padded batch (B, K, 7), and tell what is no padding, (B, K)."""
    image = targets[:, 0].long()
    order = torch.argsort(image, stable=True)
    counts = torch.bincount(image, minlength=images)
    first = torch.cumsum(counts, 0) - counts
    ordered = image[order]
    place = torch.arange(len(targets), device=targets.device) - first[ordered]
    padded = targets.new_zeros((images, int(counts.max()), COLUMNS))
    padded[ordered, place] = targets[order]
    valid = torch.arange(padded.shape[1], device=targets.device) < counts[:, None]
    return padded, valid


def _decoded(
    pred_results: Sequence[Tensor], candidates: GridCandidates, strides: Sequence[int], base_sizes: Tensor
) -> _Predictions:
    """Decode what the maps predict of the candidates; rows that are none have arbitrary predictions."""
    rows = pred_results[0].new_zeros((*candidates.prior.shape, pred_results[0].shape[-1]))
    names = ("found", "anchor", "y", "x")
    places = (x.chunk(len(strides), dim=1) for x in (rows, *(getattr(candidates, name) for name in names)))
    for prediction, row, found, *cell in zip(pred_results, *places, strict=True):
        image, place = torch.nonzero(found, as_tuple=True)
        row[image, place] = prediction.detach()[image, *(x[image, place] for x in cell)]
    small = torch.sigmoid(rows[..., :4])
    stride = torch.tensor(strides, dtype=small.dtype, device=small.device)[candidates.level][..., None]
    center = (small[..., :2] * 2 - 0.5 + torch.stack([candidates.x, candidates.y], dim=-1)) * stride
    half = (small[..., 2:] * 2) ** 2 * base_sizes[candidates.level, candidates.anchor] / 2
    return _Predictions(torch.cat([center - half, center + half], dim=-1), rows[..., 4], rows[..., 5:])


def _positives(
    result: AssignResult, n_levels: int, base_sizes: Tensor, targets: Tensor
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """List the positives of each level: where they are, what anchor, what target."""
    names = ("gt_inds", "anchor", "x", "y")
    levels = zip(*(result.extras[f"candidate_{name}"].chunk(n_levels, dim=1) for name in names), strict=True)
    lists = []
    for level, (code, anchor, x, y) in enumerate(levels):
        image, place = torch.nonzero(code > 0, as_tuple=True)
        anchor = anchor[image, place]
        infos = torch.stack([image, anchor, x[image, place], y[image, place]], dim=-1)
        lists.append((infos, base_sizes[level, anchor], targets[image, code[image, place] - 1]))
    if any(len(infos) for infos, _, _ in lists):
        return lists
    # Where nothing is positive at any level, every list has four columns, as published.
    return [(infos, sizes.new_zeros((0, 4)), rows.new_zeros((0, 4))) for infos, sizes, rows in lists]

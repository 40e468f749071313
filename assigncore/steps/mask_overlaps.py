"""Overlaps of predicted masks with those of ground truths, of the pairs that matter most."""

from __future__ import annotations

from dataclasses import dataclass, replace

from assigncore.backend import Array, get_backend
from assigncore.boxes.formulas import columns
from assigncore.numerics import quotient
from assigncore.pairs.listed import Pairs
from assigncore.pairs.tiles import TileView, cut_tiles, join_tiles
from assigncore.steps.alignment import Alignment, best_aligned
from assigncore.steps.candidates import gather_priors

__all__ = ["MaskAlignment", "PredictedMasks", "with_masks"]

EPS = 1e-7
"""Added to the union of two masks, in pixels, as published."""


@dataclass(frozen=True, eq=False)
class PredictedMasks:
    """Masks predicted as linear combinations of prototypes, and those of ground truths.

    Attributes
    ----------
    coefficients : array (B or 1, N, M)
        Of the predictions.
    prototypes : array (B or 1, M, H, W)
        What they combine.
    scale : array (B or 1, 1)
        What a coordinate in pixels of the image is multiplied by to be one of the masks.
    gt_masks : array (B, G, H, W)
        Masks of the ground truths, 0 or 1.
    """

    coefficients: Array
    prototypes: Array
    scale: Array
    gt_masks: Array


@dataclass(frozen=True, eq=False, kw_only=True)
class MaskAlignment(Alignment):
    """The metric of predictions that are compared by their boxes and, of some pairs, by their masks.

    Attributes
    ----------
    number : array (B or 1, N) of integers
        The priors, counted from 0.
    compared : array (B, G, K) of integers
        The priors whose masks were compared with each ground truth's; -1 where there is none.
    shared : array (B, G, K)
        Their IoU.
    """

    number: Array
    compared: Array
    shared: Array

    def of_entries(self, prior: Array) -> MaskAlignment:
        """Return the places of some priors (B, E) in place of all."""
        return replace(super().of_entries(prior), number=prior)  # type: ignore[return-value, call-arg]

    def overlaps(self, pairs: Pairs) -> Array:
        """Return the mean of the overlaps of boxes and of masks; of a pair not compared, the latter is 0."""
        xp = self.scene.xp
        number = pairs.of_priors(self.number[..., None])[..., 0]
        of_boxes = super().overlaps(pairs)
        compared, shared = pairs.of_gts(self.compared), pairs.of_gts(self.shared)
        if self.scene.backend.is_traced(number):
            # One comparison makes a shorter program than one for each rank.
            of_masks = xp.max(xp.where(compared == number[..., None], shared, 0.0), axis=-1)
            return (of_boxes + of_masks) * 0.5
        of_masks = xp.zeros_like(of_boxes)
        for k in range(int(self.compared.shape[-1])):
            of_masks = xp.where(compared[..., k] == number, shared[..., k], of_masks)
        return (of_boxes + of_masks) * 0.5


def with_masks(boxes: Alignment, masks: PredictedMasks, ranks: int) -> MaskAlignment:
    """Compare the masks of each ground truth's best predictions by boxes, among those inside it.

    Parameters
    ----------
    boxes : Alignment
        The metric by boxes alone.
    masks : PredictedMasks
        The masks.
    ranks : int
        How many predictions of a ground truth are compared.
    """
    scene = boxes.scene
    backend, xp = scene.backend, scene.xp
    best = best_aligned(boxes, ranks, only_inside=True)
    integers, n_priors = backend.integer_dtype(scene.priors), scene.shape[1]
    number = xp.arange(n_priors, dtype=integers, device=backend.device_of(scene.priors))
    return MaskAlignment(
        **vars(boxes),
        number=number[None, :],
        compared=xp.where(best.found, best.index, -1),
        shared=_mask_iou(boxes, masks, best.index),
    )


def _mask_iou(boxes: Alignment, masks: PredictedMasks, prior: Array) -> Array:
    """Compute the IoU (B, G, K) of each ground truth's mask with those of some predictions, `prior`."""
    backend, gt_bboxes = boxes.scene.backend, boxes.scene.gt_bboxes
    xp = backend.xp
    images, n_gts, ranks = (int(n) for n in prior.shape)
    height, width = (int(n) for n in masks.gt_masks.shape[-2:])
    rows = gather_priors(backend, masks.coefficients, prior)
    box = gather_priors(backend, boxes.pred_bboxes, prior) * masks.scale[:, None, None, :]
    flat = xp.reshape(masks.prototypes, (*masks.prototypes.shape[:2], height * width))
    # Ground truths take the place of priors here, and pixels that of ground truths.
    tiles = cut_tiles(backend, (gt_bboxes,), images, n_gts, ranks * height * width)
    parts = []
    for tile in tiles:
        view = TileView(backend, tile, gt_bboxes)
        own = view.of_priors(rows)
        shape = (int(own.shape[0]), int(own.shape[1]) * ranks, int(own.shape[3]))
        prototypes = flat if flat.shape[0] == 1 else view.of_images(flat)
        logits = backend.matrix_product(xp.reshape(own, shape), prototypes)
        logits = xp.reshape(logits, (*own.shape[:3], height, width))
        predicted = (logits > 0) & _pixels_in(view.of_priors(box), height, width)
        iou = _iou(xp.astype(predicted, rows.dtype), view.of_priors(masks.gt_masks)[:, :, None, ...])
        parts.append(xp.matrix_transpose(iou))
    return xp.matrix_transpose(join_tiles(xp, tiles, parts))


def _pixels_in(boxes: Array, height: int, width: int) -> Array:
    """Tell which pixels are in boxes (..., 4), their left and upper sides included, (..., H, W)."""
    backend = get_backend(boxes)
    xp, device = backend.xp, backend.device_of(boxes)
    x = xp.arange(width, dtype=boxes.dtype, device=device)
    y = xp.arange(height, dtype=boxes.dtype, device=device)[:, None]
    x1, y1, x2, y2 = (side[..., None, None] for side in columns(boxes))
    return (x >= x1) & (x < x2) & (y >= y1) & (y < y2)


def _iou(a: Array, b: Array) -> Array:
    """Compute the IoU (...) of masks (..., H, W) of 0 and 1."""
    xp = get_backend(a).xp

    def area(mask: Array) -> Array:
        return xp.sum(xp.sum(mask, axis=-1), axis=-1)

    shared = area(a * b)
    return quotient(shared, ((area(a) + area(b)) - shared) + EPS)

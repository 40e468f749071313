"""Reading the instances of MMDetection 3."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from assigncore.adapters.containers import (
    array_of,
    as_integers,
    boxes_of,
    flat_masks,
    optional,
    required,
)
from assigncore.adapters.mmdet.knobs import GroundTruths
from assigncore.backend import Array, get_backend

__all__ = ["cost_inputs", "ground_truths", "image_shape"]

PRED, GT = "pred_instances", "gt_instances"


def ground_truths(gt_instances: Any, gt_instances_ignore: Any = None) -> GroundTruths:
    """Read instances; labels may be missing only where there are no boxes."""
    bboxes = required(gt_instances, "bboxes", GT)
    read = optional if 0 in boxes_of(bboxes).shape else partial(required, of=GT)
    ignored = optional(gt_instances_ignore, "bboxes")
    return GroundTruths(bboxes, read(gt_instances, "labels"), ignored, has_labels=True)


def image_shape(img_meta: Any) -> Any:
    """Return height and width of an image.

    Raises
    ------
    AssertionError
        If there is no meta information.
    """
    if img_meta is None:
        raise AssertionError("img_meta: expected the image's 'img_shape', got None")
    return img_meta["img_shape"]


def cost_inputs(
    names: Iterable[str], pred_instances: Any, gt_instances: Any, img_meta: Any
) -> dict[str, Any]:
    """Return inputs of match costs by the core's names.

    Parameters
    ----------
    names : iterable of str
        Which.
    pred_instances, gt_instances : object
        Instances with the attributes that are read.
    img_meta : mapping or None
        Meta information of the image.
    """
    readers: dict[str, Callable[[], Any]] = {
        "pred_bboxes": lambda: boxes_of(required(pred_instances, "bboxes", PRED)),
        "pred_logits": lambda: array_of(required(pred_instances, "scores", PRED)),
        "pred_masks": lambda: flat_masks(required(pred_instances, "masks", PRED)),
        "gt_bboxes": lambda: boxes_of(required(gt_instances, "bboxes", GT)),
        "gt_labels": lambda: as_integers(required(gt_instances, "labels", GT)),
        "gt_masks": lambda: flat_masks(required(gt_instances, "masks", GT)),
        "positive_maps": lambda: required(gt_instances, "positive_maps", GT),
        "text_token_mask": lambda: _of_caption(
            required(gt_instances, "text_token_mask", GT), required(pred_instances, "scores", PRED)
        ),
        "image_shape": lambda: image_shape(img_meta),
    }
    return {name: readers[name]() for name in names}


def _of_caption(mask: Array, scores: Array) -> Array:
    """Return the token mask of a caption, which comes once for each of its ground truths.

    Grounding DINO's is as long as the caption, and its scores as the longest caption it reads.
    """
    backend = get_backend(mask, "text_token_mask")
    xp = backend.xp
    mask = xp.astype(mask[0, :] if mask.ndim == 2 else mask, xp.bool)
    missing = int(scores.shape[-1]) - int(mask.shape[0])
    if missing <= 0:
        return mask
    return xp.concat([mask, xp.zeros((missing,), dtype=xp.bool, device=backend.device_of(mask))])

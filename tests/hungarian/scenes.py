"""Predictions and ground truths to match, and the assigners that do."""

import numpy as np
import pytest

from assigncore import HungarianAssigner, MaskHungarianAssigner, TopkHungarianAssigner

SIZE = (100, 120)
COSTS = [
    {"type": "FocalLossCost", "weight": 2.0},
    {"type": "BBoxL1Cost", "weight": 5.0},
    {"type": "IoUCost", "weight": 2.0},
]
DETR = HungarianAssigner(COSTS)
MASKS = MaskHungarianAssigner(
    mask_cost={"type": "CrossEntropyLossCost", "weight": 5.0},
    dice_cost={"type": "DiceCost", "pred_act": True},
)
TOPK = TopkHungarianAssigner(topk=3)


def boxes(rng, *shape):
    low = rng.uniform(0, 60, (*shape, 2))
    return np.concatenate([low, low + rng.uniform(2, 40, (*shape, 2))], axis=-1).astype(np.float32)


def draw(seed=0, n=20, g=4, lead=(), classes=6):
    rng = np.random.default_rng(seed)
    return {
        "gt_bboxes": boxes(rng, *lead, g),
        "gt_labels": rng.integers(0, classes, (*lead, g)),
        "pred_bboxes": boxes(rng, *lead, n),
        "pred_logits": rng.normal(0, 2, (*lead, n, classes)).astype(np.float32),
    }


def of_masks(arrays, seed=0):
    rng = np.random.default_rng(seed)
    n, g = arrays["pred_logits"].shape[:-1], arrays["gt_labels"].shape
    return {
        "gt_labels": arrays["gt_labels"],
        "pred_logits": arrays["pred_logits"],
        "gt_masks": rng.integers(0, 2, (*g, 6, 5)).astype(bool),
        "pred_masks": rng.normal(0, 2, (*n, 6, 5)).astype(np.float32),
    }


def of_scores(arrays):
    scores = 1 / (1 + np.exp(-arrays["pred_logits"]))
    return {**{name: x for name, x in arrays.items() if name != "pred_logits"}, "pred_scores": scores}


def detr(arrays, **more):
    return DETR.assign(**{"image_shape": SIZE, **arrays, **more})


def masks(arrays, **more):
    return MASKS.assign(**of_masks(arrays), **more)


def topk(arrays, **more):
    return TOPK.assign(**{"image_shape": SIZE, **of_scores(arrays), **more})


each_assigner = pytest.mark.parametrize("assign", [detr, masks, topk])


def pad(arrays, n, g):
    """Add rows that hold NaN and labels that are no classes, and the masks that mark them."""
    padded = {}
    for name, x in arrays.items():
        rows, axis = (g, "gt_valid") if name.startswith("gt") else (n, "prior_valid")
        axes = 2 if name != "gt_labels" else 1
        widths = [(0, 0)] * x.ndim
        widths[x.ndim - axes] = (0, rows - x.shape[x.ndim - axes])
        padded[name] = np.pad(x, widths, constant_values=-7 if x.dtype.kind == "i" else np.nan)
        padded[axis] = np.broadcast_to(
            np.arange(rows) < x.shape[x.ndim - axes], padded[name].shape[: x.ndim - axes + 1]
        )
    return padded

"""What is matched, the costs that are tested, and what they read as a pair at a time."""

import numpy as np

from assigncore import build_cost
from assigncore.conformance.reference.matching import pair_cost

SIZE = (80, 120)

PUBLISHED = {
    "pred_bboxes": "bboxes",
    "pred_logits": "scores",
    "pred_masks": "masks",
}

CONFIGS = [
    {"type": "ClassificationCost", "weight": 2.0},
    {"type": "FocalLossCost", "weight": 2.0},
    {"type": "FocalLossCost", "alpha": 0.5, "gamma": 1.5, "eps": 1e-8},
    {"type": "FocalLossCost", "gamma": 0},
    {"type": "FocalLossCost", "gamma": 1, "binary_input": True, "weight": 20.0},
    {"type": "FocalLossCost", "gamma": 3, "binary_input": True},
    {"type": "FocalLossCost", "eps": 0, "alpha": 0.5},
    {"type": "FocalLossCost", "eps": 0, "binary_input": True},
    {"type": "TokenFocalLossCost", "weight": 2.0},
    {"type": "AlignmentCost", "alpha": 0.5, "beta": 3, "weight": 2.0},
    {"type": "AlignmentCost", "use_sigmoid": False},
    {"type": "PositionModulatedCost", "weight": 2.0},
    {"type": "PositionModulatedCost", "beta": 1.5, "alpha": 0.5, "gamma": 1},
    {"type": "BinaryFocalLossCost", "weight": 2.0},
    {"type": "BBoxL1Cost", "weight": 5.0},
    {"type": "BBoxL1Cost", "box_format": "xywh"},
    {"type": "IoUCost", "weight": 2.0},
    {"type": "OverlapCost", "weight": 2.0},
    {"type": "OKSCost", "sigmas": (0.1, 0.5, 1.0), "weight": 7.0},
    {"type": "OKSCost", "sigmas": [0.2, 0.3, 0.4], "form": "log", "area_share": 0.53},
    {"type": "KeypointL1Cost", "weight": 70.0},
    {"type": "KeypointL1Cost", "relative_to": "object"},
    {"type": "KeypointVisibilityCost", "weight": 2.0},
    {"type": "KeypointVisibilityCost", "visible": True},
    {"type": "KeypointNLLCost", "weight": 0.5},
    {"type": "DiceCost"},
    {"type": "DiceCost", "pred_act": True, "eps": 1.0, "weight": 5.0},
    {"type": "DiceCost", "pred_act": True, "naive_dice": False},
    {"type": "CrossEntropyLossCost", "weight": 5.0},
]


def boxes(rng, *shape):
    low = rng.uniform(0, 60, (*shape, 2))
    return np.concatenate([low, low + rng.uniform(2, 40, (*shape, 2))], axis=-1)


def _named(rng, *shape):
    """Draw which tokens name each ground truth: one at least."""
    maps = rng.integers(0, 2, shape)
    maps[..., 0] |= maps.sum(axis=-1) == 0
    return maps


def draw(seed=0, n=7, g=3, classes=6, lead=(), dtype=np.float32):
    rng = np.random.default_rng(seed)
    arrays = {
        "pred_bboxes": boxes(rng, *lead, n),
        "pred_logits": rng.normal(0, 2, (*lead, n, classes)),
        "pred_masks": rng.normal(0, 2, (*lead, n, 4, 5)),
        "gt_bboxes": boxes(rng, *lead, g),
        "positive_maps": _named(rng, *lead, g, classes),
    }
    keypoints = np.random.default_rng(seed + 1)
    arrays["pred_keypoints"] = keypoints.uniform(0, 80, (*lead, n, 3, 2))
    visible = keypoints.integers(-1, 3, (*lead, g, 3, 1))
    arrays["gt_keypoints"] = np.concatenate([keypoints.uniform(0, 80, (*lead, g, 3, 2)), visible], axis=-1)
    arrays["pred_keypoint_logits"] = keypoints.normal(0, 2, (*lead, n, 3, 2))
    arrays["pred_keypoint_precision"] = keypoints.normal(0, 0.5, (*lead, n, 3, 3))
    return {
        **{name: x.astype(dtype) for name, x in arrays.items()},
        "gt_labels": rng.integers(0, classes, (*lead, g)),
        "gt_masks": rng.integers(0, 2, (*lead, g, 4, 5)).astype(bool),
        "text_token_mask": rng.integers(0, 2, (*lead, classes)).astype(bool),
    }


def read(config, arrays):
    """The cost of every pair by the definition."""
    inputs = {
        PUBLISHED.get(name, name): x.astype(np.float64) if x.dtype.kind == "f" else x
        for name, x in arrays.items()
    }
    inputs["text_token_mask"] = inputs["text_token_mask"][None]
    of_pair = pair_cost(config, inputs, SIZE)
    n, g = len(inputs["bboxes"]), len(inputs["gt_labels"])
    return config.get("weight", 1.0) * np.array([[of_pair(i, j) for j in range(g)] for i in range(n)])


def compute(config, arrays, target=None):
    cost = build_cost(config)
    if target is None:
        return cost(**arrays, image_shape=SIZE)
    with target.running(x64=False):
        brought = {name: target.from_numpy(x) for name, x in arrays.items()}
        return target.to_numpy(cost(**brought, image_shape=SIZE))

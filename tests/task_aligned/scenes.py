"""Scenes of task-aligned assignment, the rules it is tested under, and what they read as."""

import numpy as np

from assigncore import PositiveCIoU, SmoothedIoU, TaskAlignedAssigner
from assigncore.conformance.reference.task_aligned import ciou, iou, smoothed_iou, task_aligned

RULES = {
    "tood": ({"topk": 4}, iou),
    "tood of many": ({"topk": 13, "alpha": 2, "beta": 3}, iou),
    "tood of scores": ({"topk": 5, "beta": 0}, iou),
    "tood of overlaps": ({"topk": 5, "alpha": 0, "conflicts": "inside"}, iou),
    "yolov6": (
        {
            "topk": 6,
            "topk_inside": True,
            "inside_margin": 1e-9,
            "conflicts": "all",
            "normalized": True,
            "eps": 1e-7,
            "iou_calculator": SmoothedIoU(),
        },
        smoothed_iou,
    ),
    "yolov8": (
        {
            "topk": 5,
            "alpha": 0.5,
            "topk_inside": True,
            "inside_margin": 1e-9,
            "smallest_side": 12.0,
            "conflicts": "inside",
            "normalized": True,
            "iou_calculator": PositiveCIoU(),
        },
        ciou,
    ),
    "one to one": (
        {
            "topk": 7,
            "topk2": 1,
            "topk_inside": True,
            "conflicts": "inside",
            "normalized": True,
            "iou_calculator": PositiveCIoU(),
        },
        ciou,
    ),
    "one to three": ({"topk": 9, "topk2": 3, "topk_inside": True, "conflicts": "all"}, iou),
}


def draw(seed, n_priors=60, n_gts=5, n_classes=3, tied=False, dtype=np.float64):
    """Draw a scene; a tied one has few different boxes and scores, and predictions that miss everything."""
    rng = np.random.default_rng(seed)
    if tied:
        low = rng.integers(0, 5, (n_gts, 2)) * 8.0
        sides = rng.integers(1, 4, (n_gts, 2)) * 8.0
        centers = rng.integers(0, 12, (n_priors, 2)) * 4.0 + 2
        half = np.full((n_priors, 2), 8.0)
        away = rng.integers(0, 3, (n_priors, 1)) * 32.0
        scores = rng.integers(1, 3, (n_priors, n_classes)) / 2
    else:
        low, sides = rng.uniform(0, 40, (n_gts, 2)), rng.uniform(4, 40, (n_gts, 2))
        centers = rng.uniform(0, 64, (n_priors, 2))
        half = rng.uniform(2, 20, (n_priors, 2))
        away = rng.normal(0, 3, (n_priors, 2))
        scores = rng.uniform(0, 1, (n_priors, n_classes))
    middle = centers + away
    inputs = {
        "priors": np.concatenate([centers - 4, centers + 4], axis=-1),
        "gt_bboxes": np.concatenate([low, low + sides], axis=-1),
        "pred_bboxes": np.concatenate([middle - half, middle + half], axis=-1),
        "pred_scores": scores,
    }
    return {name: x.astype(dtype) for name, x in inputs.items()} | {
        "gt_labels": rng.integers(0, n_classes, n_gts)
    }


def read(inputs, rule):
    """Assign by the plain reading."""
    knobs, overlap_of = RULES[rule]
    centers = (inputs["priors"][:, :2] + inputs["priors"][:, 2:]) / 2
    others = (inputs[name] for name in ("gt_bboxes", "pred_bboxes", "pred_scores", "gt_labels"))
    return task_aligned(centers, *others, knobs, overlap_of)


def assign(inputs, rule, **more):
    result = TaskAlignedAssigner(**RULES[rule][0]).assign(**inputs, **more)
    return {
        "gt_inds": result.gt_inds,
        "max_overlaps": result.max_overlaps,
        "assign_metrics": result.extras["assign_metrics"],
    }


def check(got, expected):
    np.testing.assert_array_equal(got["gt_inds"], expected["gt_inds"])
    for name in ("max_overlaps", "assign_metrics"):
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-6, atol=1e-12, err_msg=name)

"""Scenes and subjects that the tests of the assigners by dynamic k share."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from assigncore import DynamicSoftLabelAssigner, SimOTAAssigner
from assigncore.conformance.reference.dynamic_k import dynamic_soft_label, sim_ota


@dataclass(frozen=True)
class Subject:
    """An assigner, what it reads of the predictions, and the plain reading of its rule."""

    build: Callable
    predictions: str
    reading: Callable

    def draw(self, seed, **sizes):
        """Draw one image."""
        return draw(seed, self.predictions, **sizes)


SIM_OTA = Subject(SimOTAAssigner, "pred_scores", sim_ota)
SOFT_LABEL = Subject(DynamicSoftLabelAssigner, "pred_logits", dynamic_soft_label)


def draw(seed, predictions, n_gts=5, n_classes=4, size=48, tied=False):
    """Draw points on two levels, predictions around them, and boxes among them."""
    rng = np.random.default_rng(seed)
    points = []
    for stride in (8, 16):
        x, y = np.meshgrid(np.arange(size // stride), np.arange(size // stride))
        xy = np.stack([x, y], axis=-1).reshape(-1, 2) * stride + stride / 2
        points.append(np.concatenate([xy, np.full_like(xy, stride)], axis=-1))
    priors = np.concatenate(points).astype(np.float32)
    low = rng.uniform(0, size * 0.7, (n_gts, 2))
    gts = np.concatenate([low, low + 6 + rng.uniform(0, size * 0.5, low.shape)], axis=-1)
    if tied:
        gts = np.round(gts / 8) * 8 + np.array([0, 0, 8, 8])
    reach = np.full((len(priors), 2), 12.0) if tied else rng.uniform(4, 20, (len(priors), 2))
    numbers = rng.normal(0, 2, (len(priors), n_classes))
    if tied:
        numbers = np.zeros_like(numbers)
    if predictions == "pred_scores":
        numbers = 1 / (1 + np.exp(-numbers))
    return {
        "priors": priors,
        "gt_bboxes": gts.astype(np.float32),
        "gt_labels": rng.integers(0, n_classes, n_gts),
        "pred_bboxes": np.concatenate([priors[:, :2] - reach, priors[:, :2] + reach], axis=-1).astype(
            np.float32
        ),
        predictions: numbers.astype(np.float32),
    }


def outputs(result):
    """Give the arrays of a result by name."""
    return {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, "labels": result.labels}


def same(got, expected):
    """Compare outputs: integers exactly, overlaps closely."""
    np.testing.assert_array_equal(got["gt_inds"], expected["gt_inds"])
    np.testing.assert_array_equal(got["labels"], expected["labels"])
    np.testing.assert_allclose(got["max_overlaps"], expected["max_overlaps"], rtol=1e-5)

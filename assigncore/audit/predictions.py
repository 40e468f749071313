"""Predictions of a detector: read from a results file, or simulated from the ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from assigncore.audit.proposals import clip_to, drawing
from assigncore.audit.results import Detections, Results
from assigncore.datasets import Dataset, Image
from assigncore.inspect.display import plural

POSITION_NOISE = 0.1
SIZE_NOISE = 0.1
SCORE_RANGE = (0.3, 0.9)
KEYPOINT_NOISE = 0.05

LOW_SCORE = 0.001
"""Score of every class that nothing speaks for; results files are usually cut off there."""


@dataclass(frozen=True)
class Predictor:
    """What a detector is taken to find in each image.

    Parameters
    ----------
    dataset : Dataset
    results : Results or None
        None: the detections are simulated.
    seed : int
        Of the simulation.
    """

    dataset: Dataset
    results: Results | None = None
    seed: int = 0

    def detect(self, image: Image) -> Detections:
        """Give the detections of an image in original pixels, best score first."""
        return simulate(self.dataset, image, self.seed) if self.results is None else self.results.of(image)

    def describe(self) -> str:
        """Say in one sentence where the detections come from."""
        if self.results is None:
            low, high = SCORE_RANGE
            return (
                f"predictions: SIMULATED from the ground truth (no --predictions), seed {self.seed}: every "
                f"object found once, its centre moved by {POSITION_NOISE:g} of its sides and its sides by "
                f"{SIZE_NOISE:g} in log (normal), its class right, its score uniform from {low:g} to "
                f"{high:g}: the counts show the rule at work, not your detector"
            )
        unused = self.results.num_unusable
        used = f"predictions: the {plural(self.results.num_used, 'detection')} of {self.results.path}"
        return used + (f"; {plural(unused, 'entry', 'entries')} not used" if unused else "")


def simulate(dataset: Dataset, image: Image, seed: int) -> Detections:
    """Draw one detection of every object of an image.

    Its centre is moved by ``POSITION_NOISE`` of the object's sides and its sides are scaled by
    ``exp(SIZE_NOISE)``, each times a standard normal number; what sticks out of the image is cut off. Its
    class is the object's, its score uniform over ``SCORE_RANGE``. Its keypoints, if it has some, are each
    moved by ``KEYPOINT_NOISE`` of the object's sides; those that are not labelled are about its centre. The
    same seed and image id give the same detections, whatever else is in the data set.
    """
    rng = drawing(seed, image)
    objects = dataset.objects(image)
    boxes = objects.bboxes
    sides = boxes[:, 2:] - boxes[:, :2]
    moves = rng.normal(0, POSITION_NOISE, sides.shape)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2 + sides * moves
    growth = np.exp(rng.normal(0, SIZE_NOISE, sides.shape))
    sides = sides * growth
    drawn = clip_to(image, np.concatenate([centers - sides / 2, centers + sides / 2], axis=1))
    scores = rng.uniform(*SCORE_RANGE, len(objects))
    turned = None if objects.oriented is None else _moved(objects.oriented, moves, growth)
    poses = None if objects.keypoints is None else _posed(objects.keypoints, boxes, rng)
    return Detections.ordered(drawn, scores, objects.labels, turned, poses)


def _posed(keypoints: Any, boxes: Any, rng: np.random.Generator) -> Any:
    """Move keypoints (n, K, 3) by shares of the sides of boxes (n, 4), to (n, K, 2)."""
    sides, centers = boxes[:, None, 2:] - boxes[:, None, :2], (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    places = np.where(keypoints[..., 2:] != 0, keypoints[..., :2], centers)
    return places + sides * rng.normal(0, KEYPOINT_NOISE, places.shape)


def _moved(oriented: Any, moves: Any, growth: Any) -> Any:
    """Move oriented boxes along their own axes, by shares of their sides, and scale these."""
    x, y, w, h, angle = oriented.T
    along, across = w * moves[:, 0], h * moves[:, 1]
    c, s = np.cos(angle), np.sin(angle)
    places = x + c * along - s * across, y + s * along + c * across
    return np.stack([*places, w * growth[:, 0], h * growth[:, 1], angle], axis=1)


def as_logits(scores: Any) -> Any:
    """Give the logits whose sigmoid is `scores`; scores of 0 and 1 are kept a little off."""
    kept = np.clip(scores, LOW_SCORE / 10, 1 - LOW_SCORE / 10)
    return np.log(kept / (1 - kept))


def as_softmax_logits(scores: Any) -> Any:
    """Give logits (..., C + 1) whose softmax is `scores` (..., C), and in the last column no object.

    Where the scores of one prediction sum to more than 1 they are brought down to it.
    """
    total = np.sum(scores, axis=-1, keepdims=True)
    classes = scores / np.maximum(total, 1)
    nothing = 1 - np.sum(classes, axis=-1, keepdims=True)
    return np.log(np.maximum(np.concatenate([classes, nothing], axis=-1), LOW_SCORE / 10))

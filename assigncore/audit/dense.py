"""Dense predictions, a box and a score for each class at every prior, from a detector's final boxes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from assigncore.audit.errors import AuditError
from assigncore.audit.frames import Batch, Frame
from assigncore.audit.layouts import Laid, Layout, Predicted
from assigncore.audit.predictions import LOW_SCORE, Predictor
from assigncore.audit.results import Detections
from assigncore.backend import ArrayBackend
from assigncore.boxes import xyxy_to_xywhr

POINT_SIDE = 4.0
"""Side, in strides, of the square that stands for a point: about what each level of a pyramid serves."""

REACH = 0.5
"""Standard deviation of the weight with which a prior predicts a detection, in box deltas."""

LEAST_WEIGHT = 0.1
"""A prior with less says nothing of a detection."""

LEAST_SIDE = 1.0
"""Boxes are taken for at least so wide and high, in pixels, where sides are compared."""

HOW = (
    f"every prior's prediction is made of these boxes: t² being the squared box deltas (dx/w, dy/h, log w, "
    f"log h) from the prior's own box to a detection, less those of the detection's nearest prior, it speaks "
    f"for the detection with a weight of exp(-t²/(2·{REACH:g}²)), if that is at least {LEAST_WEIGHT:g}; its "
    f"score for a class is the largest score times weight; its box is that of the strongest, and the nearest "
    f"prior of every detection has that one's; other priors predict their own box (points one "
    f"{POINT_SIDE:g} strides wide), with scores of {LOW_SCORE:g}"
)


@dataclass
class PredictingLayout:
    """Priors of another layout, each with a prediction.

    Parameters
    ----------
    layout : Layout
    predictor : Predictor
    points : bool
        Whether the priors are points.
    oriented : bool, default False
        Whether oriented boxes are predicted too.
    keypoints : int, default 0
        Keypoints that are predicted too.
    """

    layout: Layout
    predictor: Predictor
    points: bool
    oriented: bool = False
    keypoints: int = 0

    @property
    def level_names(self) -> tuple[str, ...]:
        """What the other layout calls its levels."""
        return self.layout.level_names

    def lay(self, batch: Batch, backend: ArrayBackend, device: Any) -> Laid:
        """Lay the priors, and predict for each."""
        laid = self.layout.lay(batch, backend, device)
        priors, num_classes = laid.host_priors, len(self.predictor.dataset.categories)
        boxes, scores, oriented, poses = [], [], [], []
        for i, frame in enumerate(batch.frames):
            own = own_boxes(priors[i] if priors.ndim == 3 else priors, self.points)
            found = self.predictor.detect(frame.image)
            scaled = replace(found, boxes=frame.scale(found.boxes))
            chosen, of_classes = speakers(own, scaled, num_classes)
            boxes.append(_predicted_boxes(own, scaled.boxes, chosen))
            scores.append(of_classes)
            if self.oriented:
                turned = xyxy_to_xywhr(scaled.boxes) if found.oriented is None else frame.turn(found.oriented)
                oriented.append(_predicted_boxes(xyxy_to_xywhr(own), turned, chosen))
            if self.keypoints:
                places = self._keypoints(frame, found, scaled.boxes)
                poses.append(_predicted_boxes(_at_centers(own, self.keypoints), places, chosen))
        turned = np.stack(oriented) if self.oriented else None
        keypoints = np.stack(poses) if self.keypoints else None
        return replace(laid, predicted=Predicted(np.stack(boxes), np.stack(scores), turned, keypoints))

    def _keypoints(self, frame: Frame, found: Detections, boxes: Any) -> Any:
        """Give the keypoints of detections at training size; their centres where no object has any."""
        posed = self.predictor.dataset.all_objects.keypoints is not None
        if posed and self.predictor.results is not None and len(found):
            given = None if found.keypoints is None else found.keypoints.shape[1]
            if given != self.keypoints:
                raise AuditError(
                    f"{self.predictor.results.path}: expected 'keypoints' of every entry, x y score of each "
                    f"of {self.keypoints}, got {'none' if given is None else given}"
                )
        if found.keypoints is None:
            return _at_centers(boxes, self.keypoints)
        return frame.scale_points(found.keypoints)


def own_boxes(priors: Any, points: bool) -> Any:
    """Give the boxes that priors stand for, (N, 4): themselves, or squares about points."""
    if not points:
        return priors
    reach = priors[:, 2:] * (POINT_SIDE / 2)
    return np.concatenate([priors[:, :2] - reach, priors[:, :2] + reach], axis=-1)


def spread(own: Any, found: Detections, num_classes: int) -> tuple[Any, Any]:
    """Give every prior a box and a score for each class.

    Parameters
    ----------
    own : NumPy array, shape (N, 4)
        What each prior predicts if nothing is near: its own box.
    found : Detections
        At the size of `own`.
    num_classes : int

    Returns
    -------
    boxes : NumPy array, shape (N, 4), float32
    scores : NumPy array, shape (N, C), float32
        Probabilities of at least ``LOW_SCORE``.

    Examples
    --------
    >>> own = np.asarray([[0, 0, 8, 8], [8, 0, 16, 8], [90, 0, 98, 8]], dtype=np.float32)
    >>> boxes, scores = spread(own, Detections.ordered([[1, 0, 9, 8]], [0.8], [1]), 2)
    >>> boxes.tolist()
    [[1.0, 0.0, 9.0, 8.0], [1.0, 0.0, 9.0, 8.0], [90.0, 0.0, 98.0, 8.0]]
    >>> (1000 * scores).round().astype(int).tolist()
    [[1, 800], [1, 179], [1, 1]]
    """
    chosen, scores = speakers(own, found, num_classes)
    return _predicted_boxes(own, found.boxes, chosen), scores


def speakers(own: Any, found: Detections, num_classes: int) -> tuple[Any, Any]:
    """Find which detection each prior speaks for, -1 for none, (N,), and its scores (N, C): see `spread`."""
    chosen = np.full(len(own), -1)
    scores = np.full((len(own), num_classes), LOW_SCORE, dtype=np.float32)
    if not len(own) or not len(found):
        return chosen, scores
    own_places, places = _places(own), _places(found.boxes)
    strongest = np.full(len(own), LOW_SCORE)
    nearest = np.empty(len(found), dtype=np.int64)
    for i, (place, score, label) in enumerate(zip(places, found.scores, found.labels, strict=True)):
        squared = _squared_deltas(own_places, place)
        nearest[i] = np.argmin(squared)
        weight = np.exp((squared[nearest[i]] - squared) / (2 * REACH**2))
        strength = np.where(weight >= LEAST_WEIGHT, score * weight, 0)
        stronger = strength > strongest
        strongest[stronger], chosen[stronger] = strength[stronger], i
        np.maximum(scores[:, label], strength, out=scores[:, label], casting="same_kind")
    # From the worst to the best, so that of two with the same nearest prior the better has it.
    chosen[nearest[::-1]] = np.arange(len(found))[::-1]
    return chosen, scores


def _at_centers(boxes: Any, count: int) -> Any:
    """Give keypoints that are all at the centres of boxes (n, 4), (n, count, 2)."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.repeat(centers[:, None], count, axis=1)


def _predicted_boxes(own: Any, found: Any, chosen: Any) -> Any:
    """Give each prior what the detection has it speaks for, else its own, (N, ...), float32."""
    boxes = np.array(own, dtype=np.float32)
    speaking = chosen >= 0
    boxes[speaking] = found[chosen[speaking]]
    return boxes


def _places(boxes: Any) -> Any:
    """Give centres, sides and their logarithms, shape (n, 6)."""
    boxes = np.asarray(boxes, dtype=np.float64)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], LEAST_SIDE)
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, sides, np.log(sides)], axis=-1)


def _squared_deltas(own: Any, place: Any) -> Any:
    """Give the squared length of the box deltas from every place (N, 6) to one (6,), shape (N,)."""
    moves = (place[:2] - own[:, :2]) / own[:, 2:4]
    stretches = place[4:] - own[:, 4:]
    return np.sum(moves * moves + stretches * stretches, axis=-1)

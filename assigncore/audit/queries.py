"""Queries: the predictions of a detector that has no priors, as many for every image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from assigncore.audit.frames import Batch
from assigncore.audit.layouts import Laid, Predicted
from assigncore.audit.predictions import LOW_SCORE, Predictor
from assigncore.audit.proposals import check_count, draw_background, drawing
from assigncore.backend import ArrayBackend
from assigncore.datasets import Image


@dataclass(frozen=True)
class Queries:
    """How many objects the detector can tell of in an image, each with a query of its own.

    Parameters
    ----------
    num_queries : int
        Default 300.
    """

    num_queries: int = 300

    def __post_init__(self) -> None:
        """Refuse a count that leaves nothing, or too many."""
        check_count("num_queries", self.num_queries)

    def describe(self, seed: int) -> str:
        """Say in one sentence what the queries predict."""
        return (
            f"each query predicts one of these boxes, the {self.num_queries} best of an image; those left "
            f"over predict random boxes (seed {seed}) with a score of {LOW_SCORE:g} for every class"
        )


@dataclass(frozen=True)
class QueryLayout:
    """The detections of every image in place of priors, padded with random boxes to the number of queries."""

    queries: Queries
    predictor: Predictor
    level_names: tuple[str, ...] = ("queries",)

    def lay(self, batch: Batch, backend: ArrayBackend, device: Any) -> Laid:
        """Collect the predictions at training size."""
        predicted = [self._predict(frame.image) for frame in batch.frames]
        boxes = np.stack(
            [frame.scale(found) for frame, (found, _) in zip(batch.frames, predicted, strict=True)]
        )
        counts = (self.queries.num_queries,) * len(batch.frames)
        return Laid(
            backend.from_numpy(boxes, device),
            None,
            {},
            boxes,
            np.zeros(boxes.shape[:2], dtype=np.int64),
            counts,
            np.asarray(counts)[:, None],
            predicted=Predicted(boxes, np.stack([scores for _, scores in predicted])),
        )

    def _predict(self, image: Image) -> tuple[Any, Any]:
        """Give boxes (Q, 4) in original pixels and scores (Q, C)."""
        count = self.queries.num_queries
        found = self.predictor.detect(image)
        used = min(len(found), count)
        rng = drawing(self.predictor.seed, image, b"queries")
        boxes = np.concatenate([found.boxes[:used], draw_background(rng, image, count - used)])
        scores = np.full((count, len(self.predictor.dataset.categories)), LOW_SCORE, dtype=np.float32)
        scores[np.arange(used), found.labels[:used]] = np.maximum(found.scores[:used], LOW_SCORE)
        return boxes, scores

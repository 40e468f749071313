"""The matcher of detectron2: called with a quality matrix, returns matches and their labels.

It goes to the attribute ``anchor_matcher`` of a RetinaNet or an RPN, and ``proposal_matcher`` of ROI heads.
detectron2 is not imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from assigncore import assigners
from assigncore.adapters.core_by_knobs import CoreByKnobs
from assigncore.adapters.errors import also_assertion
from assigncore.assigners import to_detectron2

__all__ = ["Matcher"]


class Matcher(CoreByKnobs):
    """Match predictions with ground truths by the interval each one's best quality falls into.

    Parameters
    ----------
    thresholds : sequence of float
        Ends of the intervals, ascending.
    labels : sequence of int
        What a prediction in each interval is, one more than there are thresholds: -1 ignored, 0 background, 1
        matched.
    allow_low_quality_matches : bool, default False
        Whether every prediction that has the best quality of a ground truth is labelled 1, however low it is.

    Examples
    --------
    >>> import torch
    >>> matcher = Matcher([0.4, 0.7], [0, -1, 1], allow_low_quality_matches=True)
    >>> matcher(torch.tensor([[0.9, 0.5, 0.1], [0.0, 0.2, 0.2]]))
    (tensor([0, 0, 1]), tensor([1, 1, 1], dtype=torch.int8))
    """

    @also_assertion
    def __init__(
        self,
        thresholds: Sequence[float],
        labels: Sequence[int],
        allow_low_quality_matches: bool = assigners.Matcher.allow_low_quality_matches,
    ) -> None:
        # With the outer ends of the outer intervals, as published.
        self.thresholds = [-float("inf"), *thresholds, float("inf")]
        self.labels = list(labels)
        self.allow_low_quality_matches = allow_low_quality_matches
        self.core()

    def build(self, **options: Any) -> assigners.Matcher:
        """Build the core's matcher."""
        inner = tuple(self.thresholds[1:-1])
        return assigners.Matcher(inner, tuple(self.labels), self.allow_low_quality_matches)

    def __call__(self, match_quality_matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Match the predictions of an image, or of a batch.

        Parameters
        ----------
        match_quality_matrix : Tensor (..., G, N)
            The quality of each ground truth with each prediction, such as their IoU.

        Returns
        -------
        matches : Tensor (..., N) of int64
            The ground truth of each prediction's best quality, from 0; 0 where there is none.
        match_labels : Tensor (..., N) of int8
            1 matched, 0 background, -1 ignored. Background everywhere without ground truths.
        """
        matches, labels = to_detectron2(self.core().match(match_quality_matrix))
        return matches, labels

"""The matchers of torchvision's detectors: called with a quality matrix, sentinels -1 and -2.

``model.proposal_matcher = Matcher(...)`` puts one into a RetinaNet, an RPN, the heads of a Faster R-CNN or an
SSD that is built already. torchvision is not imported.
"""

from __future__ import annotations

from torch import Tensor

from assigncore import assigners
from assigncore.adapters.errors import also_assertion
from assigncore.assigners import to_torchvision

__all__ = ["Matcher", "SSDMatcher"]


class Matcher:
    """Match predictions with ground truths by the interval each one's best quality falls into.

    Parameters
    ----------
    high_threshold : float
        A prediction whose best quality is at least this is matched.
    low_threshold : float
        One whose best quality is below this is background; between the two it is ignored.
    allow_low_quality_matches : bool, default False
        Whether every prediction that has the best quality of a ground truth is matched, however low it is,
        with the ground truth of its own best quality.

    Examples
    --------
    >>> import torch
    >>> quality = torch.tensor([[0.9, 0.5, 0.1], [0.0, 0.2, 0.2]])
    >>> Matcher(0.7, 0.4)(quality)
    tensor([ 0, -2, -1])
    >>> Matcher(0.7, 0.4, allow_low_quality_matches=True)(quality)
    tensor([0, 0, 1])
    """

    BELOW_LOW_THRESHOLD = -1
    BETWEEN_THRESHOLDS = -2

    @also_assertion
    def __init__(
        self,
        high_threshold: float,
        low_threshold: float,
        allow_low_quality_matches: bool = assigners.Matcher.allow_low_quality_matches,
    ) -> None:
        self.high_threshold, self.low_threshold = high_threshold, low_threshold
        self.allow_low_quality_matches = allow_low_quality_matches
        self.assigner: assigners.Matcher | assigners.SSDMatcher = assigners.Matcher.from_torchvision(
            high_threshold, low_threshold, allow_low_quality_matches
        )

    def __call__(self, match_quality_matrix: Tensor) -> Tensor:
        """Match the predictions of an image, or of a batch.

        Parameters
        ----------
        match_quality_matrix : Tensor (..., G, N)
            The quality of each ground truth with each prediction, such as their IoU.

        Returns
        -------
        Tensor (..., N) of int64
            The ground truth from 0; -1 for background, -2 for ignored. Background everywhere without ground
            truths.
        """
        matches: Tensor = to_torchvision(self.assigner.match(match_quality_matrix))
        return matches


class SSDMatcher(Matcher):
    """Let each ground truth take its best prediction, then match all others by one threshold.

    Parameters
    ----------
    threshold : float
        A prediction that no ground truth takes is matched where its best quality is at least this.

    Examples
    --------
    >>> import torch
    >>> SSDMatcher(0.6)(torch.tensor([[0.9, 0.5, 0.0], [0.0, 0.0, 0.1]]))
    tensor([ 0, -1,  1])
    """

    @also_assertion
    def __init__(self, threshold: float) -> None:
        super().__init__(threshold, threshold)
        self.assigner = assigners.SSDMatcher(threshold=threshold)

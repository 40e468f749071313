"""The matchers of torchvision's detectors, and the steps that assign by them, for all images at once.

``use_in(model)`` switches a detector that is built already. A matcher is called with a quality matrix and
answers with sentinels -1 and -2, as published. A step first takes the module whose method it replaces, so
that ``rpn.assign_targets_to_anchors = partial(assign_targets_to_anchors, rpn)`` puts it in alone.
torchvision is not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from assigncore import assigners
from assigncore.adapters.core_by_knobs import CoreByKnobs
from assigncore.adapters.errors import also_assertion
from assigncore.adapters.switching import Switched, replace_attribute
from assigncore.adapters.torchvision_fcos import TorchvisionFCOS
from assigncore.assigners import to_torchvision

__all__ = [
    "Matcher",
    "SSDMatcher",
    "assign_targets_to_anchors",
    "assign_targets_to_proposals",
    "fcos_loss",
    "retinanet_loss",
    "use_in",
]


class Matcher(CoreByKnobs):
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
        self.core()

    def build(self, **options: Any) -> Any:
        """Build the core's matcher."""
        return _core_of(self)

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
        matches: Tensor = to_torchvision(self.core().match(match_quality_matrix))
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

    def build(self, **options: Any) -> Any:
        """Build the core's matcher.

        Raises
        ------
        ValueError
            If the two thresholds, which were one, are set to different numbers.
        """
        low, high = self.low_threshold, self.high_threshold
        if low != high:
            raise ValueError(f"low_threshold: expected that of high_threshold, {high}, got {low}")
        return assigners.SSDMatcher(threshold=high)


def assign_targets_to_anchors(
    rpn: Any, anchors: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]]
) -> tuple[list[Tensor], list[Tensor]]:
    """Stand in for the method of an RPN: label the anchors of all images in one call, without a matrix.

    Parameters
    ----------
    rpn : RegionProposalNetwork
        Its `proposal_matcher` has the thresholds.
    anchors : sequence of Tensor (N, 4)
        For each image.
    targets : sequence of mapping of str to Tensor
        For each image ``boxes`` (G, 4).

    Returns
    -------
    labels : list of Tensor (N,) of float32
        1 matched, 0 background, -1 neither.
    matched_gt_boxes : list of Tensor (N, 4)
        The box of an anchor; the first box of the image where it has none, zeros of float32 where the image
        has none, as published.
    """
    boxes = [target["boxes"] for target in targets]
    labels, matched = [], []
    for codes, own, of_image in zip(
        _matched(rpn.proposal_matcher, anchors, boxes), anchors, boxes, strict=True
    ):
        labels.append(codes.sign().to(torch.float32))
        if of_image.numel() == 0:
            matched.append(torch.zeros(own.shape, dtype=torch.float32, device=own.device))
        else:
            matched.append(of_image[(codes - 1).clamp(min=0)])
    return labels, matched


def assign_targets_to_proposals(
    roi_heads: Any, proposals: Sequence[Tensor], gt_boxes: Sequence[Tensor], gt_labels: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Stand in for the method of RoI heads: label the proposals of all images in one call.

    Parameters
    ----------
    roi_heads : RoIHeads
        Its `proposal_matcher` has the thresholds.
    proposals : sequence of Tensor (N, 4)
        For each image, of any number.
    gt_boxes, gt_labels : sequence of Tensor (G, 4) and (G,)
        For each image.

    Returns
    -------
    matched_idxs : list of Tensor (N,) of int64
        The ground truth of each proposal, 0 where it has none.
    labels : list of Tensor (N,) of int64
        Its class, 0 for background, -1 for neither.
    """
    matched, labels = [], []
    codes_of_images = _matched(roi_heads.proposal_matcher, proposals, gt_boxes)
    for codes, of_image in zip(codes_of_images, gt_labels, strict=True):
        matched.append((codes - 1).clamp(min=0))
        if of_image.numel() == 0:
            labels.append(torch.zeros_like(codes))
        else:
            labels.append(torch.where(codes > 0, of_image[matched[-1]].to(torch.int64), codes))
    return matched, labels


def retinanet_loss(
    model: Any, targets: Sequence[Mapping[str, Tensor]], head_outputs: Any, anchors: Sequence[Tensor]
) -> Any:
    """Stand in for ``compute_loss`` of a RetinaNet: match the anchors of all images in one call.

    Parameters
    ----------
    model : RetinaNet
        Its `proposal_matcher` has the thresholds, its `head` computes the losses.
    targets : sequence of mapping of str to Tensor
        For each image ``boxes`` (G, 4) and what the head reads.
    head_outputs : mapping of str to Tensor
        For the head.
    anchors : sequence of Tensor (N, 4)
        For each image.
    """
    boxes = [target["boxes"] for target in targets]
    matched = [codes - 1 for codes in _matched(model.proposal_matcher, anchors, boxes)]
    return model.head.compute_loss(targets, head_outputs, anchors, matched)


def fcos_loss(
    model: Any,
    targets: Sequence[Mapping[str, Tensor]],
    head_outputs: Any,
    anchors: Sequence[Tensor],
    num_anchors_per_level: Sequence[int],
    *,
    like_areas: bool = True,
) -> Any:
    """Stand in for ``compute_loss`` of an FCOS: assign the points of all images in one call.

    Parameters
    ----------
    model : FCOS
        It has `center_sampling_radius`, and a `head` that computes the losses.
    targets : sequence of mapping of str to Tensor
        For each image ``boxes`` (G, 4) and what the head reads.
    head_outputs : mapping of str to Tensor
        For the head.
    anchors : sequence of Tensor (N, 4)
        For each image, squares whose side is the stride of their level.
    num_anchors_per_level : sequence of int
        They sum to N.
    like_areas : bool, default True
        Whether boxes whose areas differ by less than 8 count as equally large in float32, as published.
    """
    assigner = TorchvisionFCOS(center_sample_radius=model.center_sampling_radius, like_areas=like_areas)
    gt_bboxes, gt_valid = _padded([target["boxes"] for target in targets], anchors)
    result = assigner.assign_anchors(
        torch.stack(list(anchors)),
        gt_bboxes,
        num_level_priors=tuple(num_anchors_per_level),
        gt_valid=gt_valid,
    )
    return model.head.compute_loss(targets, head_outputs, anchors, list(to_torchvision(result)))


def use_in(model: torch.nn.Module) -> Switched:
    """Let a detector of torchvision assign by assigncore, with the knobs it has.

    RPN and RoI heads of a Faster, Mask or Keypoint R-CNN, a RetinaNet and an FCOS get the steps above.
    An SSD, whose step is written into its `forward`, gets an :class:`SSDMatcher`. So do classes that derive
    from these; what decides by other rules than theirs is left.

    Parameters
    ----------
    model : torch.nn.Module
        The detector.

    Returns
    -------
    Switched
        What was replaced, and what was not, with the reason: a method, matcher or similarity of one's own.
        `Switched.undo` puts it back.

    Raises
    ------
    ValueError
        If it has nothing that assigns as torchvision does.

    Examples
    --------
    >>> use_in(torch.nn.Linear(1, 1))
    Traceback (most recent call last):
    ValueError: model: expected a detector of torchvision, got a Linear
    """
    back: dict[str, Callable[[], None]] = {}
    left: dict[str, str] = {}
    for place, module in model.named_modules():
        kind = next((base for base in type(module).__mro__ if base.__name__ in REPLACED), None)
        if kind is None:
            continue
        name = REPLACED[kind.__name__]
        where = f"{place}.{name}".lstrip(".")
        why = _why_not(module, kind, name)
        if why:
            left[where] = why
        elif name == "proposal_matcher":
            back[where] = replace_attribute(module, name, SSDMatcher(module.proposal_matcher.high_threshold))
        else:
            back[where] = _replace_method(module, name, partial(STEPS[kind.__name__], module))
    if not back and not left:
        raise ValueError(f"model: expected a detector of torchvision, got a {type(model).__name__}")
    return Switched(tuple(back), left, tuple(back.values()))


REPLACED: Mapping[str, str] = {
    "RegionProposalNetwork": "assign_targets_to_anchors",
    "RoIHeads": "assign_targets_to_proposals",
    "RetinaNet": "compute_loss",
    "FCOS": "compute_loss",
    "SSD": "proposal_matcher",
}
"""The attribute that assigns in each class."""

STEPS: Mapping[str, Callable[..., Any]] = {
    "RegionProposalNetwork": assign_targets_to_anchors,
    "RoIHeads": assign_targets_to_proposals,
    "RetinaNet": retinanet_loss,
    "FCOS": fcos_loss,
}
"""What stands in for the method of each class."""


def _why_not(module: Any, kind: type, name: str) -> str:
    """Say why what assigns in a module, which is of a kind of torchvision's, is left."""
    own = getattr(module, name)
    if isinstance(own, SSDMatcher) or getattr(own, "func", None) in STEPS.values():
        return "is one of assigncore already"
    if name in vars(module) and name != "proposal_matcher":
        return "is a method of the object's own"
    if getattr(type(module), name, None) is not getattr(kind, name, None):
        return f"is a method of {type(module).__name__}'s own"
    matcher = getattr(module, "proposal_matcher", None)
    if matcher is not None and type(matcher).__name__ not in ("Matcher", "SSDMatcher"):
        return f"a {type(matcher).__name__} decides by more than thresholds"
    similarity = getattr(module, "box_similarity", None)
    if similarity is not None and getattr(similarity, "__name__", "") != "box_iou":
        return "its box_similarity is not torchvision's box_iou"
    return ""


def _replace_method(owner: Any, name: str, new: Any) -> Callable[[], None]:
    """Give an object an attribute in place of the method of its class; return what takes it away again."""
    setattr(owner, name, new)
    return lambda: delattr(owner, name)


def _core_of(matcher: Any) -> assigners.Matcher:
    """Return the core's matcher with the knobs that a matcher of torchvision has now."""
    return assigners.Matcher.from_torchvision(
        matcher.high_threshold, matcher.low_threshold, matcher.allow_low_quality_matches
    )


def _matched(matcher: Any, priors: Sequence[Tensor], boxes: Sequence[Tensor]) -> list[Tensor]:
    """Match the priors of each image by the thresholds of a matcher of torchvision; return the codes (N,)."""
    assigner = _core_of(matcher)
    gt_bboxes, gt_valid = _padded(boxes, priors)
    lengths = [len(own) for own in priors]
    prior_valid = None
    if len(set(lengths)) > 1:
        each = torch.tensor(lengths, device=priors[0].device)[:, None]
        prior_valid = torch.arange(max(lengths), device=priors[0].device) < each
    padded = pad_sequence(list(priors), batch_first=True)
    result = assigner.assign(padded, gt_bboxes, gt_valid=gt_valid, prior_valid=prior_valid)
    return [codes[:length] for codes, length in zip(result.gt_inds, lengths, strict=True)]


def _padded(boxes: Sequence[Tensor], like: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stack the boxes of images, none in whatever shape; return them and which are no padding."""
    rows = [own.detach().reshape(-1, 4).to(like[0].dtype) for own in boxes]
    sizes = torch.tensor([len(own) for own in rows], device=like[0].device)[:, None]
    padded = pad_sequence(rows, batch_first=True)
    return padded, torch.arange(padded.shape[1], device=like[0].device) < sizes

"""The matchers by torchvision's arguments, against plain readings of its rules."""

import copy
import pickle

import pytest
import torch

from assigncore import MaxIoUAssigner
from assigncore.adapters.torchvision import Matcher, SSDMatcher

from .qualities import EMPTY, best_of_column, intervals, matrices

SENTINELS = {0: -1, -1: -2}
KNOBS = {
    "retinanet": (0.5, 0.375, True),
    "rpn": (0.75, 0.25, True),
    "heads": (0.5, 0.5, False),
    "apart": (0.875, 0.125, False),
}


def read(table, high, low, low_quality):
    rows, labels = intervals(table, (low, high), (0, -1, 1), low_quality)
    return [SENTINELS.get(label, row) for row, label in zip(rows, labels, strict=True)]


def read_ssd(table, threshold):
    found = []
    for n in range(table.shape[1]):
        row, value = best_of_column(table, n)
        found.append(row if value >= threshold else -1)
    for row, values in enumerate(table.tolist()):
        found[values.index(max(values))] = row
    return found


@pytest.mark.parametrize("knobs", KNOBS.values(), ids=KNOBS)
def test_matches_by_the_published_rule(knobs):
    matcher = Matcher(*knobs)
    for table in matrices(seed=1):
        matches = matcher(table)
        assert matches.dtype == torch.int64
        assert matches.tolist() == read(table, *knobs)


@pytest.mark.parametrize("threshold", [0.5, 0.125, 1.5])
def test_ssd_matches_by_the_published_rule(threshold):
    for table in matrices(seed=2):
        assert SSDMatcher(threshold)(table).tolist() == read_ssd(table, threshold)


@pytest.mark.parametrize("matcher", [Matcher(0.5, 0.4, True), SSDMatcher(0.5)], ids=["matcher", "ssd"])
class TestAnyMatcher:
    """What both owe their users."""

    @pytest.mark.parametrize("shape", EMPTY.values(), ids=EMPTY)
    def test_empty_is_background(self, matcher, shape):
        assert matcher(torch.zeros(shape)).tolist() == [-1] * shape[1]

    def test_a_batch_is_its_images(self, matcher):
        tables = torch.rand(4, 3, 7, generator=torch.Generator().manual_seed(0))
        assert torch.equal(matcher(tables), torch.stack([matcher(table) for table in tables]))

    def test_sentinels_are_the_published_ones(self, matcher):
        assert (matcher.BELOW_LOW_THRESHOLD, matcher.BETWEEN_THRESHOLDS) == (-1, -2)
        labels = matcher(torch.tensor([[0.9, 0.45, 0.1]]))
        assert (labels == matcher.BELOW_LOW_THRESHOLD).tolist()[2]

    def test_copies_and_pickles_do_the_same(self, matcher):
        table = torch.rand(3, 9, generator=torch.Generator().manual_seed(0))
        for same in (copy.deepcopy(matcher), pickle.loads(pickle.dumps(matcher))):
            assert torch.equal(same(table), matcher(table))

    def test_a_quality_that_is_not_finite_is_none(self, matcher):
        table = torch.tensor([[0.9, float("nan"), 0.2], [0.1, 0.2, float("inf")]])
        assert torch.equal(matcher(table), matcher(table.nan_to_num(0, 0, 0)))

    def test_the_matrix_is_not_written_to_and_has_no_gradient(self, matcher):
        table = torch.rand(3, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
        before = table.detach().clone()
        assert not matcher(table).requires_grad
        assert torch.equal(table, before)


def test_the_thresholds_are_attributes_and_are_checked():
    matcher = Matcher(0.7, 0.3)
    assert (matcher.high_threshold, matcher.low_threshold) == (0.7, 0.3)
    assert not matcher.allow_low_quality_matches
    with pytest.raises(ValueError, match="low_threshold"):
        Matcher(0.3, 0.7)


def iou(boxes1, boxes2):
    low = torch.maximum(boxes1[:, None, :2], boxes2[:, :2])
    high = torch.minimum(boxes1[:, None, 2:], boxes2[:, 2:])
    both = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=-1) for boxes in (boxes1, boxes2)]
    return both / (areas[0][:, None] + areas[1] - both)


class ProposalHead:
    """What RetinaNet, an RPN and ROI heads do with `proposal_matcher`: labels of anchors by its sentinels."""

    def __init__(self, proposal_matcher):
        self.proposal_matcher = proposal_matcher

    def labels(self, anchors, targets):
        matched = self.proposal_matcher(iou(targets["boxes"], anchors))
        labels = targets["labels"][matched.clamp(min=0)]
        labels[matched == self.proposal_matcher.BELOW_LOW_THRESHOLD] = 0
        labels[matched == self.proposal_matcher.BETWEEN_THRESHOLDS] = -1
        return labels


def test_a_head_finds_foreground_background_and_what_is_discarded():
    head = ProposalHead(None)
    head.proposal_matcher = Matcher(0.7, 0.3)
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 1], [30, 30, 40, 42]])
    targets = {"boxes": torch.tensor([[0.0, 0, 10, 10], [30, 30, 40, 40]]), "labels": torch.tensor([3, 5])}
    assert head.labels(anchors, targets).tolist() == [3, -1, 0, 5]


def test_without_low_quality_it_agrees_with_the_assigner_on_boxes():
    generator = torch.Generator().manual_seed(0)
    low = torch.rand((2, 30, 2), generator=generator) * 50
    boxes = torch.cat([low, low + torch.rand(low.shape, generator=generator) * 40 + 1], dim=-1)
    gts, anchors = boxes[0, :6], boxes[1]
    result = MaxIoUAssigner(0.6, 0.3, match_low_quality=False).assign(anchors, gts)
    assert torch.equal(Matcher(0.6, 0.3)(iou(gts, anchors)), result.gt_inds - 1)

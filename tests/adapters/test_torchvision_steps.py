"""The steps of torchvision's detectors: the published answers for every golden case, and how they are put in."""

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from assigncore.adapters import torchvision
from assigncore.adapters.torchvision import Matcher, SSDMatcher, use_in
from assigncore.conformance import REPLAYS
from assigncore.conformance.goldens.replay_torchvision import TORCHVISION_REPLAYS, matcher_of

from .golden import cases, tensors


def images(x, name):
    return list(torch.split(x[name], x["gt_sizes"].tolist()))


def call(case, x):
    """Call what stands in for the method, on the module as far as it reads that; return outputs by name."""
    if "quality" in x:
        kind = SSDMatcher if case.variant == "TVSSDMatcher" else Matcher
        return {"matches": kind(**case.init)(x["quality"])}
    boxes = images(x, "gt_bboxes")
    targets = [{"boxes": own} for own in boxes]
    module = SimpleNamespace(head=SimpleNamespace(compute_loss=lambda *arguments: arguments[3]))
    if case.variant == "TVFCOS":
        module.center_sampling_radius = case.init.get("center_sampling_radius", 1.5)
        levels = case.call["num_anchors_per_level"]
        return {"matched_idxs": torchvision.fcos_loss(module, targets, {}, list(x["anchors"]), levels)}
    core = matcher_of(case)
    if case.variant == "TVSSD":
        matcher, overlap = SSDMatcher(core.threshold), core.iou_calculator
        return {
            "matched_idxs": [matcher(overlap(own, p)) for own, p in zip(boxes, x["anchors"], strict=True)]
        }
    low, high = core.thresholds
    module.proposal_matcher = Matcher(high, low, core.allow_low_quality_matches)
    if case.variant == "TVRetinaNet":
        return {"matched_idxs": torchvision.retinanet_loss(module, targets, {}, list(x["anchors"]))}
    if case.variant == "TVRPN":
        found = torchvision.assign_targets_to_anchors(module, list(x["anchors"]), targets)
        return dict(zip(("labels", "matched_gt_boxes"), found, strict=True))
    labels = images(x, "gt_labels")
    found = torchvision.assign_targets_to_proposals(module, list(x["proposals"]), boxes, labels)
    return dict(zip(("matched_idxs", "labels"), found, strict=True))


@pytest.mark.parametrize("variant", TORCHVISION_REPLAYS)
def test_published_answers(variant):
    for case in cases(variant):
        if case.raises == "AssertionError":
            with pytest.raises(AssertionError, match="low_threshold"):
                Matcher(**case.init)
            continue
        got = call(case, tensors(case))
        due = REPLAYS[variant].expect(case)
        for name, expected in due.expected.items():
            for image, own in enumerate(got[name] if "quality" not in case.inputs else [got[name]]):
                of_image = expected if "quality" in case.inputs else expected[image]
                np.testing.assert_array_equal(own.numpy(), of_image, f"{case} {name}")
        if variant == "TVRPN":
            # Zeros of float32 stand for the boxes of an image that has none.
            for own, size in zip(got["matched_gt_boxes"], case.inputs["gt_sizes"], strict=True):
                assert own.dtype == (getattr(torch, case.dtype) if size else torch.float32)


def test_proposals_of_images_may_be_of_different_number():
    (case,) = (case for case in cases("TVRoIHeads") if case.name == "defaults_float32")
    x = tensors(case)
    heads = SimpleNamespace(proposal_matcher=Matcher(0.5, 0.5))
    lists = [x["proposals"][0], x["proposals"][1][:40]], images(x, "gt_bboxes"), images(x, "gt_labels")
    matched, labels = torchvision.assign_targets_to_proposals(heads, *lists)
    for image, count in enumerate((100, 40)):
        np.testing.assert_array_equal(matched[image], case.expected["matched_idxs"][image, :count])
        np.testing.assert_array_equal(labels[image], case.expected["labels"][image, :count])


def module_of(name, **contents):
    made = type(name, (torch.nn.Module,), {"__module__": __name__, **contents})
    globals()[name] = made
    return made()


def detector():
    """Make a detector of parts by torchvision's names."""
    published = Matcher(0.7, 0.3, allow_low_quality_matches=True)
    model = torch.nn.Module()
    model.rpn = module_of("RegionProposalNetwork", assign_targets_to_anchors=lambda *_: "theirs")
    model.roi_heads = module_of("RoIHeads", assign_targets_to_proposals=lambda *_: "theirs")
    model.rpn.proposal_matcher = published
    return model


def test_a_detector_is_switched_and_back():
    model = detector()
    found = use_in(model)
    assert found.replaced == ("rpn.assign_targets_to_anchors", "roi_heads.assign_targets_to_proposals")
    anchors, targets = (
        [torch.tensor([[0.0, 0, 9, 9], [20, 20, 30, 30]])],
        [{"boxes": torch.tensor([[0.0, 0, 9, 8]])}],
    )
    labels, _ = model.rpn.assign_targets_to_anchors(anchors, targets)
    assert labels[0].tolist() == [1.0, 0.0]
    for same in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        same.rpn.proposal_matcher.high_threshold = 0.95
        same.rpn.proposal_matcher.allow_low_quality_matches = False
        assert same.rpn.assign_targets_to_anchors(anchors, targets)[0][0].tolist() == [-1.0, 0.0]
        assert model.rpn.assign_targets_to_anchors(anchors, targets)[0][0].tolist() == [1.0, 0.0]
    assert set(use_in(model).left.values()) == {"is one of assigncore already"}
    found.undo()
    assert model.rpn.assign_targets_to_anchors() == "theirs"


def test_an_ssd_gets_a_matcher_with_its_threshold():
    model = module_of("SSD")
    model.proposal_matcher = type("SSDMatcher", (), {"high_threshold": 0.6})()
    found = use_in(model)
    assert found.replaced == ("proposal_matcher",)
    assert isinstance(model.proposal_matcher, SSDMatcher)
    assert model.proposal_matcher.high_threshold == 0.6
    found.undo()
    assert not isinstance(model.proposal_matcher, SSDMatcher)


class Tracked(Matcher):
    """A matcher of a user's own, by a rule that has no thresholds."""


class Proposals(torch.nn.Module):
    def __init__(self, **attributes):
        super().__init__()
        vars(self).update(attributes)

    def assign_targets_to_anchors(self, *_):
        return "theirs"


def rpn_of(name, **attributes):
    """Make an RPN, or of `name` a class that derives from it."""
    rpn = type("RegionProposalNetwork", (Proposals,), {})
    return type(name, (rpn,), {} if "own" not in name else {"assign_targets_to_anchors": lambda *_: "own"})(
        **{"proposal_matcher": Matcher(0.7, 0.3), "box_similarity": box_iou, **attributes}
    )


def box_iou(first, second):
    """Stand for torchvision's, which is known by its name."""


def test_a_class_that_derives_from_torchvisions_is_switched():
    model = torch.nn.ModuleDict({"rpn": rpn_of("Derived")})
    assert use_in(model).replaced == ("rpn.assign_targets_to_anchors",)


@pytest.mark.parametrize(
    ("rpn", "reason"),
    [
        (rpn_of("own"), "is a method of own's own"),
        (rpn_of("Patched", assign_targets_to_anchors=len), "is a method of the object's own"),
        (rpn_of("Plain", proposal_matcher=Tracked(0.7, 0.3)), "a Tracked decides by more than thresholds"),
        (rpn_of("Plain", box_similarity=max), "its box_similarity is not torchvision's box_iou"),
    ],
)
def test_what_decides_by_another_rule_is_left_and_said(rpn, reason):
    before = rpn.assign_targets_to_anchors
    found = use_in(torch.nn.ModuleDict({"rpn": rpn}))
    assert found.left == {"rpn.assign_targets_to_anchors": reason}
    assert not found.replaced
    assert rpn.assign_targets_to_anchors == before

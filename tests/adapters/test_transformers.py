"""The matchers by the names of transformers do what those they derive from do."""

from types import SimpleNamespace

import pytest
import torch

from assigncore.adapters import detr, transformers

from .modules import assert_same, check_module
from .test_detr import SIZES, WEIGHT_DICT, WEIGHTS, draw, draw_masks


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (transformers.HungarianMatcher, detr.HungarianMatcher),
        (transformers.DeformableDetrHungarianMatcher, detr.FocalHungarianMatcher),
    ],
)
def test_transformers_has_names_of_its_own(theirs, ours):
    outputs, targets = draw(3, layers=3)
    got = theirs(class_cost=1, bbox_cost=5, giou_cost=2).match_layers(*renamed(outputs, targets))
    assert_same(got, ours(*WEIGHTS).match_layers(outputs, targets))


def renamed(outputs, targets):
    """Return the same by the names of transformers."""
    layers = [
        {"logits": layer["pred_logits"], "pred_boxes": layer["pred_boxes"]}
        for layer in (outputs, *outputs["aux_outputs"])
    ]
    targets = [{"class_labels": target["labels"], "boxes": target["boxes"]} for target in targets]
    return {**layers[0], "auxiliary_outputs": layers[1:]}, targets


@pytest.mark.parametrize("focal", [False, True])
def test_transformers_rtdetr_reads_its_config(focal):
    config = SimpleNamespace(
        matcher_class_cost=1,
        matcher_bbox_cost=5,
        matcher_giou_cost=2,
        use_focal_loss=focal,
        matcher_alpha=0.4,
        matcher_gamma=1.5,
    )
    outputs, targets = draw(3, layers=3)
    theirs = transformers.RTDetrHungarianMatcher(config)
    ours = detr.RTDETRMatcher(WEIGHT_DICT, use_focal_loss=focal, alpha=0.4, gamma=1.5)
    assert_same(theirs.match_layers(*renamed(outputs, targets)), ours.match_layers(outputs, targets))
    outputs["pred_logits"][0, 0, 0] = float("nan")
    assert [len(i) for i, _ in theirs(*renamed(outputs, targets))] == list(SIZES)


def test_transformers_mask2former_takes_four_arguments():
    outputs, targets = draw_masks(3, of_targets=12)
    theirs = transformers.Mask2FormerHungarianMatcher(2.0, 5.0, 5.0, num_points=40)
    ours = detr.Mask2FormerMatcher(2, 5, 5, num_points=40)
    torch.manual_seed(1)
    expected = ours(outputs, targets)
    torch.manual_seed(1)
    lists = [[target[name] for target in targets] for name in ("masks", "labels")]
    assert_same(theirs(outputs["pred_masks"], outputs["pred_logits"], *lists), expected)
    assert repr(theirs) == "Mask2FormerHungarianMatcher()"
    assert theirs.num_points == 40


def test_modules_have_no_state_and_their_weights_are_attributes():
    arguments = renamed(*draw(4, layers=2))
    matcher = transformers.HungarianMatcher(2, 5, 3)
    check_module(matcher, lambda module: module(*arguments))
    assert (matcher.class_cost, matcher.bbox_cost, matcher.giou_cost) == (2, 5, 3)
    with pytest.raises(ValueError, match="at least one that is not 0"):
        transformers.HungarianMatcher(0, 0, 0)


def test_lists_of_different_length_are_named():
    outputs, targets = renamed(*draw(1))
    outputs["label_maps"] = (torch.ones(7, 7),) * 2
    with pytest.raises(ValueError, match="label_maps: expected 3, as many as targets, got 2"):
        transformers.GroundingDinoHungarianMatcher()(outputs, targets)
    predicted, of_targets = draw_masks(2)
    lists = [target["masks"] for target in of_targets], [target["labels"] for target in of_targets][:2]
    with pytest.raises(ValueError, match="mask_labels: expected 2, as many as class_labels, got 3"):
        transformers.MaskFormerHungarianMatcher()(predicted["pred_masks"], predicted["pred_logits"], *lists)


@pytest.mark.parametrize(
    "name",
    [
        "Mask2FormerHungarianMatcher",
        "OneFormerHungarianMatcher",
        "EomtHungarianMatcher",
        "EomtDinov3HungarianMatcher",
        "VideomtHungarianMatcher",
    ],
)
def test_masks_of_several_sizes_are_matched_as_each_image_is_alone(name):
    generator = torch.Generator().manual_seed(5)
    matcher = getattr(transformers, name)(2.0, 5.0, 5.0, num_points=200)
    predicted = torch.randn(3, 9, 16, 20, generator=generator)
    logits = torch.randn(3, 9, 5, generator=generator)
    sizes = ((3, 40, 52), (0, 12, 12), (4, 64, 31))
    masks = [(torch.rand(size, generator=generator) < 0.4).float() for size in sizes]
    labels = [torch.randint(0, 4, size[:1], generator=generator) for size in sizes]
    torch.manual_seed(0)
    alone = [
        matcher(predicted[i : i + 1], logits[i : i + 1], masks[i : i + 1], labels[i : i + 1])[0]
        for i in range(3)
    ]
    torch.manual_seed(0)
    for got, due in zip(matcher(predicted, logits, masks, labels), alone, strict=True):
        assert [x.tolist() for x in got] == [x.tolist() for x in due]

"""Knobs are read at each call, as the replaced classes read them: a drop-in with a changed knob decides by it."""

from types import SimpleNamespace

import pytest
import torch

from assigncore.adapters import detectron2, detr, mmyolo, torchvision, transformers, ultralytics
from assigncore.registry import OVERLAP_CALCULATORS

from .modules import assert_same
from .test_compiled import CALLS, CALLS_BY_NAME, PRIORS

SCORES, BOXES, POINTS, LABELS, OBJECTS, VALID = CALLS["ultralytics"][1]
QUALITY = (torch.rand((4, 40), generator=torch.Generator().manual_seed(0)),)


def set_inputs(entries, *, masks=False):
    """Return outputs of 2 images of 8 predictions, and targets, by names of the entries."""
    generator = torch.Generator().manual_seed(0)
    labels, boxes = entries
    outputs = {
        name: torch.rand((2, 8, size), generator=generator)
        for name, size in (("pred_logits", 3), ("logits", 3), ("pred_boxes", 4))
    }
    outputs["label_maps"] = [torch.eye(3), torch.eye(3)]
    targets = [
        {labels: torch.tensor([0, 2, 1]), boxes: torch.rand((3, 4), generator=generator)} for _ in range(2)
    ]
    if masks:
        outputs["pred_masks"] = torch.randn((2, 8, 6, 6), generator=generator)
        for target in targets:
            target["masks"] = torch.rand((3, 6, 6), generator=generator).round()
    return outputs, targets


DETR = set_inputs(("labels", "boxes"))
DETR_MASKS = set_inputs(("labels", "boxes"), masks=True)
TRANSFORMERS = set_inputs(("class_labels", "boxes"))
TRANSFORMERS_MASKS = set_inputs(("class_labels", "boxes"), masks=True)
MASKS = (
    TRANSFORMERS_MASKS[0]["pred_masks"],
    TRANSFORMERS_MASKS[0]["logits"],
    [target["masks"] for target in TRANSFORMERS_MASKS[1]],
    [target["class_labels"] for target in TRANSFORMERS_MASKS[1]],
)
WEIGHTS = {"cost_class": 0.0, "cost_bbox": 1.0, "cost_giou": 4.0}
OTHER_WEIGHTS = {"class_cost": 9.0, "bbox_cost": 0.0, "giou_cost": 1.0}


def rt_detr(**weights):
    matcher = {f"matcher_{name}": value for name, value in {**OTHER_WEIGHTS, **weights}.items()}
    return transformers.RTDetrHungarianMatcher(
        SimpleNamespace(use_focal_loss=True, matcher_alpha=0.25, matcher_gamma=2.0, **matcher)
    )


def soft_label(**knobs):
    return mmyolo.BatchDynamicSoftLabelAssigner(3, **{"topk": 5, **knobs})


CASES = {
    "torchvision": (
        lambda **knobs: torchvision.Matcher(**{"high_threshold": 0.9, "low_threshold": 0.8, **knobs}),
        {"low_threshold": 0.6, "high_threshold": 0.7, "allow_low_quality_matches": True},
        QUALITY,
    ),
    "torchvision_ssd": (
        lambda high_threshold=0.95, **_: torchvision.SSDMatcher(high_threshold),
        {"high_threshold": 0.7, "low_threshold": 0.7},
        QUALITY,
    ),
    "detectron2": (
        lambda labels=(0, 1), allow_low_quality_matches=False: detectron2.Matcher(
            [0.7], labels, allow_low_quality_matches
        ),
        {"labels": [-1, 0], "allow_low_quality_matches": True},
        QUALITY,
    ),
    "ultralytics": (
        lambda **knobs: ultralytics.TaskAlignedAssigner(**{"topk": 2, "topk2": 2, "num_classes": 3, **knobs}),
        {"topk": 5, "topk2": 3, "alpha": 0.5, "beta": 1.0, "eps": 0.1},
        CALLS["ultralytics"][1],
    ),
    "ultralytics_oriented": (
        lambda **knobs: ultralytics.RotatedTaskAlignedAssigner(**{"topk": 2, "num_classes": 3, **knobs}),
        {"alpha": 0.2, "beta": 2.0},
        CALLS["ultralytics_oriented"][1],
    ),
    "mmyolo_task_aligned": (
        lambda **knobs: mmyolo.BatchTaskAlignedAssigner(3, **knobs),
        {"topk": 2, "alpha": 0.5, "beta": 1.0, "eps": 0.1, "use_ciou": True},
        CALLS["mmyolo_task_aligned"][1],
    ),
    "mmyolo_atss": (
        lambda **knobs: mmyolo.BatchATSSAssigner(3, **knobs),
        {"topk": 1},
        (None, PRIORS, [16], torch.tensor([[[1]]]), torch.tensor([[[0.0, 0, 30, 30]]]), torch.ones(1, 1, 1)),
    ),
    "mmyolo_soft_label": (
        soft_label,
        {"soft_center_radius": 1.0, "topk": 1, "iou_weight": 0.5},
        CALLS["mmyolo_soft_label"][1],
    ),
    "detr": (lambda **weights: detr.HungarianMatcher(**{"cost_class": 9, **weights}), WEIGHTS, DETR),
    "deformable_detr": (
        lambda **weights: detr.FocalHungarianMatcher(**{"cost_class": 9, **weights}), WEIGHTS, DETR
    ),
    "rt_detr": (
        lambda cost_class=9, cost_bbox=0, cost_giou=0, **knobs: detr.RTDETRMatcher(
            {"cost_class": cost_class, "cost_bbox": cost_bbox, "cost_giou": cost_giou}, **knobs
        ),
        {**WEIGHTS, "cost_class": 3, "use_focal_loss": True, "alpha": 0.9, "gamma": 0.5},
        DETR,
    ),
    "rf_detr": (
        lambda **knobs: detr.RFDETRMatcher(**{"cost_class": 9, "mask_point_sample_ratio": 37, **knobs}),
        {**WEIGHTS, "focal_alpha": 0.9},
        DETR_MASKS,
    ),
    "mask2former": (
        lambda **weights: detr.Mask2FormerMatcher(**{"cost_class": 9, **weights}),
        {"cost_class": 0, "cost_mask": 2, "cost_dice": 3},
        DETR_MASKS,
    ),
    "transformers_detr": (
        transformers.HungarianMatcher, OTHER_WEIGHTS, TRANSFORMERS
    ),
    "transformers_grounding_dino": (
        transformers.GroundingDinoHungarianMatcher, OTHER_WEIGHTS, TRANSFORMERS
    ),
    "transformers_rt_detr": (
        rt_detr, {"class_cost": 0.0, "bbox_cost": 5.0, "giou_cost": 2.0}, TRANSFORMERS
    ),
    "transformers_rf_detr": (
        lambda **knobs: transformers.RfDetrHungarianMatcher(**{"mask_point_sample_ratio": 999, **knobs}),
        OTHER_WEIGHTS,
        TRANSFORMERS_MASKS,
    ),
    "transformers_maskformer": (
        transformers.MaskFormerHungarianMatcher,
        {"cost_class": 9.0, "cost_mask": 0.0, "cost_dice": 0.5},
        MASKS,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("build", "knobs", "arguments"), CASES.values(), ids=CASES)
def test_a_changed_drop_in_is_one_built_so(build, knobs, arguments):
    changed, expected = build(), build(**knobs)
    before, after = changed(*arguments), expected(*arguments)
    with pytest.raises(AssertionError):
        assert_same(before, after)
    for name, value in knobs.items():
        setattr(changed, name, value)
    assert_same(changed(*arguments), after)


def test_what_a_pose_has_of_its_own_may_change_too():
    module, arguments, named = CALLS_BY_NAME["ultralytics_pose"]
    build = type(module)
    changed = build([0.1, 0.2], topk=5, num_classes=3)
    expected = build([9.0, 9.0], topk=5, num_classes=3)(*arguments, **named)
    with pytest.raises(AssertionError):
        assert_same(changed(*arguments, **named), expected)
    changed.sigmas = (9.0, 9.0)
    assert_same(changed(*arguments, **named), expected)


def test_the_least_side_of_ultralytics_is_stride_val():
    arguments = CALLS["ultralytics"][1]
    changed, expected = (
        ultralytics.TaskAlignedAssigner(topk=5, num_classes=3, stride=stride) for stride in (None, [8, 64])
    )
    assert (changed.stride, changed.stride_val, expected.stride_val) == ([8, 16, 32], 16, 64)
    before = changed(*arguments)
    with pytest.raises(AssertionError):
        assert_same(before, expected(*arguments))
    changed.stride = [8, 64]
    assert_same(changed(*arguments), before)
    changed.stride_val = 64
    assert_same(changed(*arguments), expected(*arguments))
    criterion = SimpleNamespace(assigner=type("TaskAlignedAssigner", (), vars(changed))())
    ultralytics.use_in(criterion)
    assert_same(criterion.assigner(*arguments), expected(*arguments))


def test_d_fine_reads_the_power_of_its_later_epochs_at_each_call():
    matcher, expected = (
        detr.DFINEMatcher(dict.fromkeys(WEIGHTS, 1.0), change_matcher=True, iou_order_alpha=power)
        for power in (0.0, 8.0)
    )
    late = expected(*DETR, epoch=10000)["indices"]
    with pytest.raises(AssertionError):
        assert_same(matcher(*DETR, epoch=10000)["indices"], late)
    matcher.iou_order_alpha = 8.0
    assert_same(matcher(*DETR, epoch=10000)["indices"], late)


def test_a_knob_set_wrong_is_an_error_of_the_next_call():
    matcher = torchvision.SSDMatcher(0.5)
    matcher.high_threshold = 0.7
    with pytest.raises(ValueError, match=r"low_threshold: expected that of high_threshold, 0\.7, got 0\.5"):
        matcher(*QUALITY)


def test_training_or_not_keeps_what_is_built():
    module = soft_label()
    built = module.core()
    assert module.eval().train().core() is built


def test_a_calculator_is_an_attribute_and_may_be_of_the_users_own():
    registered = {}

    class Registry:
        def register_module(self, *, name, module, force):
            registered[name] = module

        def get(self, name):
            return registered.get(name)

        def build(self, config):
            return registered[config["type"]]()

    class Halved:
        def __call__(self, first, second, mode="iou", is_aligned=False):
            return OVERLAP_CALCULATORS.build({"type": "BboxOverlaps2D"})(first, second, mode, is_aligned) / 2

    registry = Registry()
    mmyolo.register(registry)
    registry.register_module(name="Halved", module=Halved, force=True)
    for kind in (mmyolo.BatchATSSAssigner, mmyolo.BatchDynamicSoftLabelAssigner):
        assert callable(kind(3, iou_calculator={"type": "mmdet.BboxOverlaps2D"}).iou_calculator)
        assert isinstance(kind(3, iou_calculator={"type": "Halved"}).iou_calculator, Halved)

"""The adapters of MMYOLO's batched assigners against the published answers, in the published containers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import Registry

from assigncore.adapters import mmyolo

from ..golden import cases, check, tensors
from ..modules import assert_same, check_module

DICTS = ("BatchTaskAlignedAssigner", "BatchATSSAssigner", "BatchDynamicSoftLabelAssigner")
EACH_DICT = [case for variant in DICTS for case in cases(variant)]
EACH_LIST = cases("BatchYOLOv7Assigner")
LISTS = ("mlvl_positive_infos", "mlvl_priors", "mlvl_targets_normed")


def build(case, **knobs):
    return getattr(mmyolo, case.variant)(**{**case.init, **knobs})


def arguments(case):
    """Return the arguments in the published order."""
    x = tensors(case)
    gts = (x["gt_labels"], x["gt_bboxes"], x["pad_bbox_flag"])
    if case.variant == "BatchATSSAssigner":
        return (x.get("pred_bboxes"), x["priors"], case.call["num_level_priors"], *gts)
    return (x["pred_bboxes"], x["pred_scores"], x["priors"], *gts)


@pytest.mark.parametrize("case", EACH_DICT, ids=str)
def test_dicts_are_the_published_ones(case):
    check(case, build(case)(*arguments(case)))


@pytest.mark.parametrize("scope", ["", "mmrotate."])
@pytest.mark.parametrize("case", cases("BatchDynamicSoftLabelAssigner"), ids=str)
def test_oriented_boxes_of_angle_0_have_the_published_answers_of_upright_ones(case, scope):
    """As MMYOLO's rotated RTMDet assigns, by MMRotate's calculator."""
    predictions, scores, priors, labels, gts, valid = arguments(case)
    matcher = build(case, iou_calculator={"type": f"{scope}RBboxOverlaps2D", "min_side": 0.0})
    got = matcher(oriented(predictions), scores, priors, labels, oriented(gts), valid)
    expected = build(case)(predictions, scores, priors, labels, gts, valid)
    assert torch.equal(got["assigned_labels"], expected["assigned_labels"])
    torch.testing.assert_close(got["assign_metrics"], expected["assign_metrics"])
    positive = expected["assigned_labels"] != case.init["num_classes"]
    upright = oriented(expected["assigned_bboxes"]) * positive[..., None]
    torch.testing.assert_close(got["assigned_bboxes"], upright)


def oriented(boxes):
    """Return boxes x1, y1, x2, y2 as cx, cy, w, h and an angle of 0."""
    center, size = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    return torch.cat([center, size, torch.zeros_like(size[..., :1])], dim=-1)


@pytest.mark.parametrize(("depth", "label"), [(0.005, 1), (0.02, 0)])
def test_a_prior_is_more_than_a_hundredth_of_a_pixel_inside_an_oriented_box(depth, label):
    """As MMRotate's boxes say; at the other prior the class is worse by far."""
    gt = torch.tensor([[[20.0, 20.0, 20.0, 10.0, np.pi / 2]]])
    priors = torch.tensor([[20.0, 30.0 - depth, 8.0, 8.0], [20.0, 20.0, 8.0, 8.0]])
    scores = torch.tensor([[[9.0], [-9.0]]])
    matcher = mmyolo.BatchDynamicSoftLabelAssigner(1, topk=1, iou_calculator={"type": "RBboxOverlaps2D"})
    got = matcher(gt.expand(1, 2, 5), scores, priors, torch.zeros(1, 1, 1), gt, torch.ones(1, 1, 1))
    assert got["assigned_labels"][0].tolist() == [label, 1 - label]


@pytest.mark.parametrize("variant", DICTS)
def test_modules_have_no_state(variant):
    case = cases(variant)[0]
    check_module(build(case), lambda module: module(*arguments(case)))
    check_module(build(case), lambda module: module.forward(*arguments(case)))


@pytest.mark.parametrize("variant", DICTS)
def test_predictions_with_gradients_are_taken_as_they_are(variant):
    case = cases(variant)[0]
    args = list(arguments(case))
    for i in range(1 if variant == "BatchATSSAssigner" else 2):
        args[i].requires_grad_()
    got = build(case)(*args)
    assert not any(x.requires_grad for x in got.values())
    for name, x in build(case)(*arguments(case)).items():
        assert torch.equal(got[name], x)


@pytest.mark.parametrize("variant", DICTS)
def test_half_precision_predictions_are_raised(variant):
    """As under automatic mixed precision: predictions are halves, priors and ground truths are not."""
    case = next(case for case in cases(variant) if case.dtype == "float32")
    args = list(arguments(case))
    for i in range(1 if variant == "BatchATSSAssigner" else 2):
        args[i] = args[i].half()
    got = build(case)(*args)
    for i in range(1 if variant == "BatchATSSAssigner" else 2):
        args[i] = args[i].float()
    assert_same(got, build(case)(*args))


@pytest.mark.parametrize("variant", DICTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_scores_of_inputs_in_half_precision_are_no_halves(variant, dtype):
    case = next(case for case in cases(variant) if case.dtype == "float32")
    args = [x.to(dtype) if torch.is_tensor(x) and x.is_floating_point() else x for x in arguments(case)]
    got = build(case)(*args)
    computed = [x.dtype for name, x in got.items() if name in ("assigned_scores", "assign_metrics")]
    assert computed == [torch.float32]
    assert got["assigned_bboxes"].dtype == dtype


@pytest.mark.parametrize("variant", DICTS)
def test_an_empty_batch_of_ground_truths_has_whole_numbers_and_a_mask(variant):
    case = cases(variant)[0]
    *first, labels, boxes, flags = arguments(case)
    got = build(case)(*first, labels[:, :0], boxes[:, :0], flags[:, :0])
    assert got["assigned_labels"].dtype == torch.int64
    assert (got["assigned_labels"] == case.init["num_classes"]).all()
    assert (got["assigned_bboxes"] == 0).all()
    if "fg_mask_pre_prior" in got:
        assert got["fg_mask_pre_prior"].dtype == torch.bool
        assert not got["fg_mask_pre_prior"].any()


def test_calculators_may_have_a_scope_and_labels_be_floats():
    case = cases("BatchATSSAssigner")[0]
    predictions, priors, levels, labels, boxes, flags = arguments(case)
    scoped = build(case, iou_calculator={"type": "mmdet.BboxOverlaps2D"})
    check(case, scoped(predictions, priors, levels, labels.float(), boxes, flags.bool()))
    soft = cases("BatchDynamicSoftLabelAssigner")[0]
    scoped = build(soft, iou_calculator={"type": "mmdet.BboxOverlaps2D"}, batch_iou=False)
    check(soft, scoped(*arguments(soft)))


def test_a_registry_builds_them_from_published_configs():
    """The dicts of YOLOv6's, RTMDet's and YOLOv7's published settings, unchanged."""
    registry = Registry("task util", scope="published")
    registry.register_module(name="BatchATSSAssigner", module=object)
    mmyolo.register(registry)
    configs = [
        {
            "type": "BatchATSSAssigner",
            "num_classes": 80,
            "topk": 9,
            "iou_calculator": {"type": "mmdet.BboxOverlaps2D"},
        },
        {"type": "BatchTaskAlignedAssigner", "num_classes": 80, "topk": 13, "alpha": 1, "beta": 6},
        {
            "type": "BatchDynamicSoftLabelAssigner",
            "num_classes": 80,
            "topk": 13,
            "iou_calculator": {"type": "mmdet.BboxOverlaps2D"},
        },
        {
            "type": "BatchYOLOv7Assigner",
            "num_classes": 80,
            "num_base_priors": 3,
            "featmap_strides": [8, 16, 32],
            "prior_match_thr": 4.0,
            "candidate_topk": 10,
            "iou_weight": 3.0,
            "cls_weight": 1.0,
        },
    ]
    for config in configs:
        assert type(registry.build(ConfigDict(config))) is getattr(mmyolo, config["type"])
    with pytest.raises(KeyError):
        mmyolo.register(registry, force=False)


def test_a_registry_builds_them_by_their_full_names():
    registry = Registry("task util", scope="published_too")
    config = {"type": "assigncore.adapters.mmyolo.BatchTaskAlignedAssigner", "num_classes": 3}
    assert isinstance(registry.build(config), mmyolo.BatchTaskAlignedAssigner)


def run_yolov7(case, module=None):
    x = tensors(case)
    maps = [x[name] for name in sorted(x) if name.startswith("pred_")]
    offset = torch.tensor([[0.0, 0], [1, 0], [0, 1], [-1, 0], [0, -1]])[:, None]
    rest = {name: value for name, value in case.call.items() if name != "batch_input_shape"}
    module = build(case) if module is None else module
    return module(
        maps,
        x["batch_targets_normed"],
        case.call["batch_input_shape"],
        x["priors_base_sizes"],
        offset,
        **rest,
    )


@pytest.mark.parametrize("case", EACH_LIST, ids=str)
def test_lists_are_the_published_ones(case):
    got = run_yolov7(case)
    assert list(got) == list(LISTS)
    flat = {f"{name}_{level}": x for name, levels in got.items() for level, x in enumerate(levels)}
    assert flat.keys() == case.expected.keys()
    # Without any positive upstream's places are floats.
    expected = {
        name: x if len(x) else x.astype(np.int64 if "infos" in name else x.dtype)
        for name, x in case.expected.items()
    }
    check(case, flat, due=replace(case, expected=expected))


def test_the_module_of_lists_has_no_state():
    case = EACH_LIST[0]
    check_module(build(case), lambda module: run_yolov7(case, module))


def test_targets_in_any_order_of_images_give_the_same_lists():
    torch.manual_seed(0)
    maps = [torch.randn(2, 1, n, n, 7) for n in (8, 4)]
    sizes = torch.tensor([[[2.0, 2.0]], [[2.0, 2.0]]])
    targets = torch.tensor(
        [[0, 1, 0.3, 0.4, 0.2, 0.3, 0], [1, 0, 0.6, 0.6, 0.4, 0.5, 0], [0, 0, 0.7, 0.2, 0.3, 0.3, 0]]
    )
    module = mmyolo.BatchYOLOv7Assigner(num_classes=2, num_base_priors=1, featmap_strides=(8, 16))
    offset = torch.zeros(5, 1, 2)
    ordered = module(maps, targets[[0, 2, 1]][None], (64, 64), sizes, offset)
    mixed = module(maps, targets[None], (64, 64), sizes, offset)
    for name in LISTS:
        for one, other in zip(ordered[name], mixed[name], strict=True):
            assert torch.equal(one, other)
    assert sum(len(x) for x in mixed["mlvl_priors"]) > 0


def test_lists_without_any_positive_have_four_columns():
    """As MMYOLO returns them where no target has a candidate; a level without one among others has its own."""
    maps = [torch.randn(1, 1, n, n, 7) for n in (8, 4)]
    sizes = torch.tensor([[[2.0, 2.0]], [[2.0, 2.0]]])
    module = mmyolo.BatchYOLOv7Assigner(num_classes=2, num_base_priors=1, featmap_strides=(8, 16))

    def shapes(side):
        target = torch.tensor([[[0, 1, 0.5, 0.5, side, side, 0]]])
        lists = module(maps, target, (64, 64), sizes, torch.zeros(5, 1, 2))
        return {name: [tuple(x.shape) for x in lists[name]] for name in LISTS}

    assert shapes(0.001) == {name: [(0, 4), (0, 4)] for name in LISTS}
    found = shapes(0.1)
    assert [shape[1] for shape in found["mlvl_priors"]] == [2, 2]
    assert [shape[1] for shape in found["mlvl_targets_normed"]] == [7, 7]
    assert found["mlvl_priors"][1][0] == 0 < found["mlvl_priors"][0][0]

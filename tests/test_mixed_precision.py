"""A trainer's mixed precision changes no answer: neither of costs nor of assigners nor of drop-ins.

Of the assigners the law of precision shows it; small scenes are computed by NumPy, which knows no autocast, so
that large ones are what this is about.
"""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from assigncore import build_cost
from assigncore.adapters import detr, mmdet, mmdet2, transformers
from assigncore.backend import load_backend
from assigncore.backend.fast_path import without_numpy_fast_path
from assigncore.conformance.goldens.dropins import CALLS, CALLS_2, call_2, call_3

from .adapters.golden import cases, tensors
from .adapters.instances import Instances
from .adapters.mmdet import test_goldens as goldens3
from .adapters.mmdet import test_goldens_2 as goldens2
from .costs.scenes import CONFIGS, SIZE, boxes

HALVES = (torch.float16, torch.bfloat16)
each_half = pytest.mark.parametrize("half", HALVES, ids=str)


def drawn(rng):
    """Draw predictions, ground truths, pixels and tokens."""
    n, g, classes = 70, 8, 80
    arrays = {
        "pred_bboxes": boxes(rng, n),
        "pred_logits": rng.normal(0, 2, (n, classes)),
        "pred_masks": rng.normal(0, 2, (n, 128, 128)),
        "gt_bboxes": boxes(rng, g),
        "positive_maps": rng.integers(0, 2, (g, classes)),
        "pred_keypoints": rng.uniform(0, 80, (n, 3, 2)),
        "gt_keypoints": rng.uniform(0, 80, (g, 3, 3)),
        "pred_keypoint_logits": rng.normal(0, 2, (n, 3, 2)),
        "pred_keypoint_precision": rng.normal(0, 0.5, (n, 3, 3)),
    }
    return {
        **{name: torch.from_numpy(x.astype(np.float32)) for name, x in arrays.items()},
        "gt_labels": torch.from_numpy(rng.integers(0, classes, g)),
        "gt_masks": torch.from_numpy(rng.random((g, 128, 128)) < 0.5),
        "text_token_mask": torch.from_numpy(rng.random(classes) < 0.7),
    }


@each_half
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_cost_is_the_same_amid_mixed_precision(config, half):
    cost, arrays = build_cost(config), drawn(np.random.default_rng(0))
    compiled = torch.compile(lambda **arrays: cost(**arrays, image_shape=SIZE), backend="aot_eager")
    for compute in (lambda **arrays: cost(**arrays, image_shape=SIZE), compiled):
        expected = compute(**arrays)
        with torch.autocast("cpu", half):
            got = compute(**arrays)
        assert got.dtype == torch.float32
        assert torch.equal(got, expected)


@each_half
def test_matrices_are_multiplied_in_their_dtype_on_cuda_as_well(half):
    backend = load_backend("torch")
    with FakeTensorMode():
        x, y = torch.empty(4, 5, device="cuda"), torch.empty(5, 3, device="cuda")
        torch.set_autocast_dtype("cuda", half)
        torch.set_autocast_enabled("cuda", True)
        try:
            assert (x @ y).dtype == half
            assert backend.matrix_product(x, y).dtype == torch.float32
            assert (x @ y).dtype == half
        finally:
            torch.set_autocast_enabled("cuda", False)


def masks(seed=0, images=2):
    """Draw what a decoder says of masks, and the ground truths: classes decide nothing, pixels everything."""
    rng = np.random.default_rng(seed)
    outputs = {
        "pred_logits": torch.zeros(images, 70, 5),
        "pred_masks": torch.from_numpy(rng.normal(0, 2, (images, 70, 128, 128)).astype(np.float32)),
    }
    targets = [
        {
            "labels": torch.from_numpy(rng.integers(0, 5, 8)),
            "masks": torch.from_numpy(rng.random((8, 128, 128)) < 0.5),
        }
        for _ in range(images)
    ]
    return outputs, targets


def of_detr():
    outputs, targets = masks()
    torch.manual_seed(0)
    pairs = detr.Mask2FormerMatcher(2, 5, 5, num_points=12544)(outputs, targets)
    return [x for pair in pairs for x in pair]


def of_transformers():
    outputs, targets = masks()
    torch.manual_seed(0)
    matcher = transformers.Mask2FormerHungarianMatcher(2.0, 5.0, 5.0, num_points=12544)
    lists = [[target[name] for target in targets] for name in ("masks", "labels")]
    return [x for pair in matcher(outputs["pred_masks"], outputs["pred_logits"], *lists) for x in pair]


def of_mmdet_masks():
    (outputs, (target, *_)) = masks()
    assigner = mmdet.HungarianAssigner(
        [
            {"type": "ClassificationCost", "weight": 2.0},
            {"type": "CrossEntropyLossCost", "weight": 5.0},
            {"type": "DiceCost", "weight": 5.0, "pred_act": True, "eps": 1.0},
        ]
    )
    pred = Instances(scores=outputs["pred_logits"][0], masks=outputs["pred_masks"][0])
    return [assigner.assign(pred, Instances(**target), {"img_shape": (128, 128)}).gt_inds]


def of_mmdet_text():
    rng = np.random.default_rng(0)
    tokens = 256
    pred = Instances(scores=torch.from_numpy(rng.normal(0, 1, (5000, tokens)).astype(np.float32)))
    maps = torch.from_numpy((rng.random((40, tokens)) < 0.3).astype(np.float32))
    gt = Instances(
        labels=torch.zeros(40, dtype=torch.int64), positive_maps=maps,
        text_token_mask=torch.ones(40, tokens, dtype=torch.bool),
    )  # fmt: skip
    assigner = mmdet.HungarianAssigner([{"type": "BinaryFocalLossCost", "weight": 2.0}])
    return [assigner.assign(pred, gt, {"img_shape": (128, 128)}).gt_inds]


def of_mmdet2_masks():
    (outputs, (target, *_)) = masks()
    assigner = mmdet2.MaskHungarianAssigner(
        {"type": "ClassificationCost", "weight": 2.0},
        {"type": "FocalLossCost", "weight": 5.0, "binary_input": True},
        {"type": "DiceCost", "weight": 5.0, "pred_act": True, "eps": 1.0},
    )
    logits, pixels = outputs["pred_logits"][0], outputs["pred_masks"][0]
    return [assigner.assign(logits, pixels, target["labels"], target["masks"].long(), {}).gt_inds]


@each_half
@pytest.mark.parametrize("match", [of_detr, of_transformers, of_mmdet_masks, of_mmdet_text, of_mmdet2_masks])
def test_drop_ins_find_the_same_pairs_amid_mixed_precision(match, half):
    expected = match()
    with torch.autocast("cpu", half):
        got = match()
    assert all(torch.equal(x, y) for x, y in zip(got, expected, strict=True))


@each_half
@pytest.mark.filterwarnings("ignore:predictions are given to ATSSAssigner")
@pytest.mark.parametrize("variant", CALLS)
def test_drop_ins_of_mmdet_answer_the_same_amid_mixed_precision(variant, half):
    case = next(case for case in cases(variant) if case.raises is None)
    assigner = mmdet.build_assigner({"type": variant, **case.init})
    check(lambda: goldens3.outputs(call_3(assigner, case, tensors(case), Instances)), half)


@each_half
@pytest.mark.parametrize("variant", CALLS_2)
def test_drop_ins_of_mmdet_2_answer_the_same_amid_mixed_precision(variant, half):
    case = next(case for case in cases(variant) if case.raises is None)
    assigner = mmdet2.build_assigner({"type": variant.removesuffix("2x"), **case.init})
    check(lambda: goldens2.outputs(call_2(assigner, case, tensors(case))), half)


def check(answer, half):
    """Hold what PyTorch itself computes amid mixed precision against what it computes without."""
    with without_numpy_fast_path():
        expected = answer()
        with torch.autocast("cpu", half):
            got = answer()
    assert got.keys() == expected.keys()
    for name, x in expected.items():
        np.testing.assert_array_equal(got[name], x, err_msg=name, strict=True)

"""A label that is none of the classes is an error where the host can see it; elsewhere its object takes no part."""

from functools import cache

import jax
import numpy as np
import pytest
import torch

from assigncore.adapters import detr, mmdet, transformers
from assigncore.backend.fast_path import without_numpy_fast_path
from assigncore.conformance import get_target
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.recipes import recipe_of
from assigncore.conformance.scenes.scene import CLASSES
from assigncore.registry import ASSIGNERS

from .adapters.instances import Instances

READ_CLASSES = [
    "TaskAlignedAssigner",
    "SimOTAAssigner",
    "DynamicSoftLabelAssigner",
    "YOLOv7Assigner",
    "SinkhornAssigner",
    "HungarianAssigner",
    "MaskHungarianAssigner",
    "TopkHungarianAssigner",
    "GreedyMatcher",
]
each_assigner = pytest.mark.parametrize("name", READ_CLASSES)


@cache
def assign_of(name, target, eagerly):
    """Give the call as a function of arrays, compiled where else every operation would be."""
    recipe = recipe_of(name)
    assign = recipe.call(recipe.statics(draw_scene("fpn-3-0")))
    return target.compile(assign) if target.compiles_operations and not eagerly else assign


def call(name, target, label, *, images=None, valid=True, eagerly=False):
    """Assign a scene of which the third ground truth has a label."""
    recipe, scene = recipe_of(name), draw_scene("fpn-3-0")
    arrays = {
        key: x.astype(np.float32) if x.dtype.kind == "f" else x for key, x in recipe.arrays(scene).items()
    }
    arrays["gt_labels"] = arrays["gt_labels"].copy()
    arrays["gt_labels"][2] = label
    arrays["gt_valid"] = np.ones_like(arrays["gt_valid"])
    arrays["gt_valid"][2] = valid
    if images:
        arrays = {key: np.stack([x] * images) for key, x in arrays.items()}
    assign = assign_of(name, target, eagerly)
    with target.running(x64=False):
        native = {key: target.from_numpy(x) for key, x in arrays.items()}
        return {key: target.to_numpy(x) for key, x in assign(**native).items()}


@each_assigner
@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("label", [CLASSES, CLASSES + 3, -1])
def test_the_host_names_it(name, library, label):
    message = f"gt_labels: expected 0 to {CLASSES - 1}, since there are {CLASSES} classes, got {label} for "
    for images, place in ((None, "ground truth 2"), (2, "image 0, ground truth 2")):
        with pytest.raises(ValueError, match=f"^{message}{place}") as caught:
            call(name, get_target(library), label, images=images)
        assert ("counted from 1" in str(caught.value)) == (label == CLASSES)


@each_assigner
def test_padding_may_have_any_label(name):
    for library in ("numpy", "torch", "jax"):
        target = get_target(library)
        np.testing.assert_array_equal(
            call(name, target, 99, valid=False)["gt_inds"], call(name, target, 0, valid=False)["gt_inds"]
        )


@each_assigner
@pytest.mark.parametrize("label", [CLASSES, -1])
def test_elsewhere_its_object_takes_no_part(name, label):
    target = get_target("jax")
    got, expected = call(name, target, label), call(name, target, 0, valid=False)
    np.testing.assert_array_equal(got["gt_inds"], expected["gt_inds"])
    np.testing.assert_array_equal(got["labels"], expected["labels"])


def test_elsewhere_it_takes_no_part_eagerly_either():
    target = get_target("jax")
    got = call("TaskAlignedAssigner", target, CLASSES, eagerly=True)
    expected = call("TaskAlignedAssigner", target, 0, valid=False)
    np.testing.assert_array_equal(got["gt_inds"], expected["gt_inds"])


def test_a_compiler_lets_it_take_no_part():
    recipe, scene = recipe_of("TaskAlignedAssigner"), draw_scene("fpn-3-0")
    arrays = {key: torch.from_numpy(x).float() if x.dtype.kind == "f" else torch.from_numpy(x)
              for key, x in recipe.arrays(scene).items()}  # fmt: skip
    wrong = {**arrays, "gt_labels": arrays["gt_labels"].clone()}
    wrong["gt_labels"][2] = CLASSES
    absent = {**arrays, "gt_valid": arrays["gt_valid"].clone()}
    absent["gt_valid"][2] = False
    assign = recipe.call(recipe.statics(scene))
    compiled = torch.compile(assign, fullgraph=True, backend="eager")
    with without_numpy_fast_path():
        assert torch.equal(compiled(**wrong)["gt_inds"], assign(**absent)["gt_inds"])
    assert jax.jit(assign)


def test_drop_ins_that_forbid_what_is_not_finite_name_it_too():
    """Once they left the object out without a word."""
    boxes = torch.tensor([[0.2, 0.2, 0.1, 0.1], [0.7, 0.7, 0.2, 0.2]])
    outputs = {"pred_logits": torch.zeros(1, 2, 3), "pred_boxes": boxes[None]}
    target = {"labels": torch.tensor([1, 3]), "boxes": boxes}
    weights = {"cost_class": 1, "cost_bbox": 5, "cost_giou": 2}
    for focal in (False, True):
        matcher = detr.RTDETRMatcher(weights, use_focal_loss=focal, nonfinite="forbid")
        with pytest.raises(
            ValueError, match="3 classes, got 3 for ground truth 1; are labels counted from 1"
        ):
            matcher(outputs, [target])
    masks = torch.rand(2, 8, 8) < 0.5
    matcher = transformers.Mask2FormerHungarianMatcher(num_points=20)
    with pytest.raises(ValueError, match="3 classes, got 5 for ground truth 0"):
        matcher(torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 3), [masks], [torch.tensor([5, 0])])


def test_task_aligned_drop_ins_name_it():
    boxes = torch.tensor([[0.0, 0, 8, 8], [4, 4, 12, 12]])
    pred = Instances(priors=boxes, bboxes=boxes, scores=torch.full((2, 3), 0.5))
    for label in (-1, 3):
        gt = Instances(bboxes=boxes[:1], labels=torch.tensor([label]))
        with pytest.raises(ValueError, match=f"3 classes, got {label} for ground truth 0"):
            mmdet.TaskAlignedAssigner(1).assign(pred, gt)


NAMED_ONLY = [name for name in ASSIGNERS.names() if not ASSIGNERS.get(name).decides_by_classes]


@pytest.mark.parametrize("name", NAMED_ONLY)
def test_labels_that_only_name_classes_may_be_left_out(name):
    recipe, scene = recipe_of(name), draw_scene("fpn-3-0")
    assign, given = recipe.call(recipe.statics(scene)), recipe.arrays(scene)
    named = assign(**given)
    del given["gt_labels"]
    without = assign(**given)
    assert (named["gt_inds"] > 0).any()
    np.testing.assert_array_equal(without["gt_inds"], named["gt_inds"])
    assert "labels" not in without
    assert len(NAMED_ONLY) >= 8

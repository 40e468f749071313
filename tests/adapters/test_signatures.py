"""Constructor knobs and defaults of the drop-ins are those of the published packages."""

import inspect

import pytest

from assigncore.adapters import detectron2, detr, mmyolo, torchvision, transformers, ultralytics

BOXES = {"class_cost": 1, "bbox_cost": 1, "giou_cost": 1}
MASKS = {"cost_class": 1.0, "cost_mask": 1.0, "cost_dice": 1.0}
POINTS = {**MASKS, "num_points": 12544}

PUBLISHED = {
    detectron2.Matcher: {"allow_low_quality_matches": False},
    mmyolo.BatchATSSAssigner: {"topk": 9},
    mmyolo.BatchDynamicSoftLabelAssigner: {
        "soft_center_radius": 3.0, "topk": 13, "iou_weight": 3.0, "batch_iou": True,
    },
    mmyolo.BatchTaskAlignedAssigner: {
        "topk": 13, "alpha": 1.0, "beta": 6.0, "eps": 1e-7, "use_ciou": False,
    },
    mmyolo.BatchYOLOv7Assigner: {
        "prior_match_thr": 4.0, "candidate_topk": 10, "iou_weight": 3.0, "cls_weight": 1.0,
    },
    mmyolo.PoseSimOTAAssigner: {
        "center_radius": 2.5, "candidate_topk": 10, "iou_weight": 3.0, "cls_weight": 1.0, "oks_weight": 0.0,
        "vis_weight": 0.0,
    },
    torchvision.Matcher: {"allow_low_quality_matches": False},
    torchvision.SSDMatcher: {},
    transformers.HungarianMatcher: BOXES,
    transformers.DeformableDetrHungarianMatcher: BOXES,
    transformers.GroundingDinoHungarianMatcher: BOXES,
    transformers.LwDetrHungarianMatcher: BOXES,
    transformers.RfDetrHungarianMatcher: {
        **BOXES, "mask_point_sample_ratio": 16, "cost_mask_class_cost": 1, "cost_mask_dice_cost": 1,
    },
    transformers.RTDetrHungarianMatcher: {},
    transformers.MaskFormerHungarianMatcher: MASKS,
    transformers.Mask2FormerHungarianMatcher: POINTS,
    transformers.OneFormerHungarianMatcher: POINTS,
    transformers.EomtHungarianMatcher: POINTS,
    transformers.EomtDinov3HungarianMatcher: POINTS,
    transformers.VideomtHungarianMatcher: POINTS,
    detr.DFINEMatcher: {
        "use_focal_loss": False, "alpha": 0.25, "gamma": 2.0, "change_matcher": False, "iou_order_alpha": 1.0,
        "matcher_change_epoch": 10000,
    },
    detr.RFDETRMatcher: {
        "cost_class": 1, "cost_bbox": 1, "cost_giou": 1, "focal_alpha": 0.25, "use_pos_only": False,
        "use_position_modulated_cost": False, "mask_point_sample_ratio": 16, "cost_mask_ce": 1,
        "cost_mask_dice": 1, "num_keypoints_per_class": None, "keypoint_l1_loss_coef": 0.0,
        "keypoint_findable_loss_coef": 0.0, "keypoint_visible_loss_coef": 0.0, "keypoint_nll_loss_coef": 0.0,
    },
    ultralytics.TaskAlignedAssigner: {
        "topk": 13, "num_classes": 80, "alpha": 1.0, "beta": 6.0, "stride": None, "eps": 1e-9, "topk2": None,
    },
}  # fmt: skip
OURS = {"nonfinite", "iou_calculator", "oks_calculator"}
"""Knobs that upstream has not, or whose default is an object there."""


@pytest.mark.parametrize("cls", PUBLISHED, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_defaults(cls):
    knobs = inspect.signature(cls).parameters.values()
    found = {knob.name: knob.default for knob in knobs if knob.default is not knob.empty}
    assert {name: value for name, value in found.items() if name not in OURS} == PUBLISHED[cls]

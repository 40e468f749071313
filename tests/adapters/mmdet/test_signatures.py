"""Constructor knobs, defaults and arguments are those of the published packages."""

import inspect

import pytest

from assigncore.adapters import mmdet, mmdet2

ANY = "any"
"""A default that is a config upstream and an object here."""

MAX_IOU = (
    "pos_iou_thr, neg_iou_thr, min_pos_iou=0.0, gt_max_assign_all=True, ignore_iof_thr=-1, "
    "ignore_wrt_candidates=True, match_low_quality=True, gpu_assign_thr=-1, iou_calculator=any"
)
SIM_OTA = "center_radius=2.5, candidate_topk=10, iou_weight=3.0, cls_weight=1.0"
CENTER = "pos_scale, neg_scale, min_pos_iof=0.01, ignore_gt_scale=0.5, foreground_dominate=False, iou_calculator=any"
GRID = "pos_iou_thr, neg_iou_thr, min_pos_iou=0.0, gt_max_assign_all=True, iou_calculator=any"
UNIFORM = "pos_ignore_thr, neg_ignore_thr, match_times=4, iou_calculator=any"
ATSS = "topk, alpha=None, iou_calculator=any, ignore_iof_thr=-1"
FOCAL = "alpha=0.25, gamma=2, eps=1e-12, binary_input=False"
INSTANCES = "pred_instances, gt_instances, gt_instances_ignore=None"

V3 = {
    "ATSSAssigner": (ATSS, "pred_instances, num_level_priors, gt_instances, gt_instances_ignore=None"),
    "ApproxMaxIoUAssigner": (MAX_IOU, f"{INSTANCES}, **kwargs"),
    "CenterRegionAssigner": (CENTER, f"{INSTANCES}, **kwargs"),
    "DynamicSoftLabelAssigner": (
        "soft_center_radius=3.0, topk=13, iou_weight=3.0, iou_calculator=any",
        f"{INSTANCES}, **kwargs",
    ),
    "GridAssigner": (GRID, f"{INSTANCES}, **kwargs"),
    "HungarianAssigner": ("match_costs", "pred_instances, gt_instances, img_meta=None, **kwargs"),
    "MaxIoUAssigner": (f"{MAX_IOU}, perm_repeat_gt_cfg=None", f"{INSTANCES}, **kwargs"),
    "MultiInstanceAssigner": ("num_instance=2, **kwargs", f"{INSTANCES}, **kwargs"),
    "PointAssigner": ("scale=4, pos_num=3", f"{INSTANCES}, **kwargs"),
    "RegionAssigner": (
        "center_ratio=0.2, ignore_ratio=0.5",
        "pred_instances, gt_instances, img_meta, featmap_sizes, num_level_anchors, anchor_scale, "
        "anchor_strides, gt_instances_ignore=None, allowed_border=0",
    ),
    "SimOTAAssigner": (f"{SIM_OTA}, iou_calculator=any", f"{INSTANCES}, **kwargs"),
    "TaskAlignedAssigner": ("topk, iou_calculator=any", f"{INSTANCES}, alpha=1, beta=6"),
    "TopkHungarianAssigner": (
        "topk, iou_calculator=any, *, cls_cost=any, reg_cost=any, iou_cost=any",
        "pred_scores, decode_bboxes, gt_bboxes, gt_labels, img_meta, alpha=1, beta=6, **kwargs",
    ),
    "UniformAssigner": (UNIFORM, INSTANCES),
}

FLAT = "bboxes, gt_bboxes, gt_bboxes_ignore=None, gt_labels=None"

V2 = {
    "ATSSAssigner": (
        ATSS,
        "bboxes, num_level_bboxes, gt_bboxes, gt_bboxes_ignore=None, gt_labels=None, cls_scores=None, "
        "bbox_preds=None",
    ),
    "ApproxMaxIoUAssigner": (
        MAX_IOU,
        "approxs, squares, approxs_per_octave, gt_bboxes, gt_bboxes_ignore=None, gt_labels=None",
    ),
    "AscendMaxIoUAssigner": (
        MAX_IOU,
        "batch_bboxes, batch_gt_bboxes, batch_gt_bboxes_ignore=None, batch_gt_labels=None, "
        "batch_bboxes_ignore_mask=None, batch_num_gts=None",
    ),
    "CenterRegionAssigner": (CENTER, FLAT),
    "GridAssigner": (GRID, "bboxes, box_responsible_flags, gt_bboxes, gt_labels=None"),
    "HungarianAssigner": (
        "cls_cost=any, reg_cost=any, iou_cost=any",
        "bbox_pred, cls_pred, gt_bboxes, gt_labels, img_meta, gt_bboxes_ignore=None, eps=1e-07",
    ),
    "MaskHungarianAssigner": (
        "cls_cost=any, mask_cost=any, dice_cost=any",
        "cls_pred, mask_pred, gt_labels, gt_mask, img_meta, gt_bboxes_ignore=None, eps=1e-07",
    ),
    "MaxIoUAssigner": (MAX_IOU, FLAT),
    "PointAssigner": ("scale=4, pos_num=3", FLAT.replace("bboxes,", "points,", 1)),
    "RegionAssigner": (
        "center_ratio=0.2, ignore_ratio=0.5",
        "mlvl_anchors, mlvl_valid_flags, gt_bboxes, img_meta, featmap_sizes, anchor_scale, anchor_strides, "
        "gt_bboxes_ignore=None, gt_labels=None, allowed_border=0",
    ),
    "SimOTAAssigner": (
        SIM_OTA,
        "pred_scores, priors, decoded_bboxes, gt_bboxes, gt_labels, gt_bboxes_ignore=None, eps=1e-07",
    ),
    "TaskAlignedAssigner": (
        "topk, iou_calculator=any",
        "pred_scores, decode_bboxes, anchors, gt_bboxes, gt_bboxes_ignore=None, gt_labels=None, alpha=1, beta=6",
    ),
    "UniformAssigner": (UNIFORM, "bbox_pred, anchor, gt_bboxes, gt_bboxes_ignore=None, gt_labels=None"),
}

COSTS_V3 = {
    "BBoxL1Cost": "box_format='xyxy', weight=1.0",
    "BinaryFocalLossCost": f"{FOCAL}, weight=1.0",
    "ClassificationCost": "weight=1",
    "CrossEntropyLossCost": "use_sigmoid=True, weight=1.0",
    "DiceCost": "pred_act=False, eps=0.001, naive_dice=True, weight=1.0",
    "FocalLossCost": f"{FOCAL}, weight=1.0",
    "IoUCost": "iou_mode='giou', weight=1.0",
}

COSTS_V2 = {
    "BBoxL1Cost": ("weight=1.0, box_format='xyxy'", "bbox_pred, gt_bboxes"),
    "ClassificationCost": ("weight=1.0", "cls_pred, gt_labels"),
    "CrossEntropyLossCost": ("weight=1.0, use_sigmoid=True", "cls_pred, gt_labels"),
    "DiceCost": ("weight=1.0, pred_act=False, eps=0.001, naive_dice=True", "mask_preds, gt_masks"),
    "FocalLossCost": (f"weight=1.0, {FOCAL}", "cls_pred, gt_labels"),
    "IoUCost": ("iou_mode='giou', weight=1.0", "bboxes, gt_bboxes"),
}


def written(function):
    """Write a signature without self and annotations; a default that is no plain value as `any`."""
    parts, keyword_only = [], False
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            parts.append("*")
        if parameter.kind is parameter.VAR_KEYWORD:
            name = f"**{name}"
        if parameter.default is not parameter.empty:
            known = parameter.default is None or isinstance(parameter.default, bool | int | float | str)
            name = f"{name}={parameter.default!r}" if known else f"{name}={ANY}"
        parts.append(name)
    return ", ".join(parts)


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [(mmdet, name, pair) for name, pair in V3.items()] + [(mmdet2, name, pair) for name, pair in V2.items()],
)
def test_assigners(module, name, expected):
    cls = module.ASSIGNERS[name]
    assert (written(cls.__init__), written(cls.assign)) == expected


def test_costs():
    called = "pred_instances, gt_instances, img_meta=None, **kwargs"
    for name, knobs in COSTS_V3.items():
        cls = getattr(mmdet, name)
        assert (written(cls.__init__), written(cls.__call__)) == (knobs, called), name
    for name, expected in COSTS_V2.items():
        cls = getattr(mmdet2, name)
        assert (written(cls.__init__), written(cls.__call__)) == expected, name


def test_overlaps():
    arguments = "bboxes1, bboxes2, mode='iou', is_aligned=False"
    for cls in (mmdet.BboxOverlaps2D, mmdet.BboxOverlaps2D_GLIP, mmdet2.BboxOverlaps2D):
        assert written(cls.__init__) == "scale=1.0, dtype=None"
        assert written(cls.__call__) == arguments
    assert written(mmdet.bbox_overlaps) == f"{arguments}, eps=1e-06"


def test_results():
    assert written(mmdet.AssignResult.__init__) == "num_gts, gt_inds, max_overlaps, labels=None"
    assert written(mmdet2.AscendAssignResult.__init__) == (
        "batch_num_gts, batch_pos_mask, batch_neg_mask, batch_max_overlaps, batch_anchor_gt_indes=None, "
        "batch_anchor_gt_labels=None"
    )


def test_the_default_calculators_and_costs_are_the_published_ones():
    assert repr(mmdet.MaxIoUAssigner(0.5, 0.4).iou_calculator) == "BboxOverlaps2D(scale=1.0, dtype=None)"
    topk = mmdet.TopkHungarianAssigner(4)
    assert [repr(cost) for cost in (topk.cls_cost, topk.reg_cost, topk.iou_cost)] == [
        "FocalLossCost(alpha=0.25, gamma=2, eps=1e-12, binary_input=False, weight=2.0)",
        "BBoxL1Cost(box_format='xyxy', weight=5.0)",
        "IoUCost(iou_mode='giou', weight=2.0)",
    ]
    masks = mmdet2.MaskHungarianAssigner()
    assert masks.mask_cost.binary_input
    assert not mmdet2.FocalLossCost().binary_input

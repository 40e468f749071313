"""Published training settings of methods that read predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assigncore.audit.preset import Preset
from assigncore.priors import published
from assigncore.steps.keypoints import COCO_SIGMAS

_ONE_ANCHOR = {"type": "AnchorGenerator", **published.ATSS}
_BOX_COSTS = (
    {"type": "BBoxL1Cost", "weight": 5.0, "box_format": "xywh"},
    {"type": "IoUCost", "iou_mode": "giou", "weight": 2.0},
)
_FOCAL_AS_DETR = {"type": "FocalLossCost", "weight": 2.0, "eps": 1e-8}
_RTMDET = {
    "type": "DynamicSoftLabelAssigner",
    "soft_center_radius": 3.0,
    "topk": 13,
    "iou_weight": 3.0,
}
_YOLOV8 = {
    "type": "TaskAlignedAssigner",
    "topk": 10,
    "alpha": 0.5,
    "beta": 6.0,
    "iou_calculator": {"type": "PositiveCIoU"},
    "topk_inside": True,
    "inside_margin": 1e-9,
    "smallest_side": 16.0,
    "conflicts": "inside",
}
_UPRIGHT = "where annotations have no angles, boxes are taken as upright; overlaps told are rotated IoU"
_ONE_TO_ONE = "each object takes one query, whatever it predicts; only objects beyond the queries get none"


def _points(offset: float, *, stride_xy: bool) -> Mapping[str, Any]:
    """Lay one point in each cell of the three levels of a YOLO."""
    return {"type": "PointGenerator", **published.YOLO, "offset": offset, "stride_xy": stride_xy}


def _queries(count: int) -> Mapping[str, Any]:
    return {"type": "Queries", "num_queries": count}


PREDICTING = (
    Preset(
        name="tood",
        source="Feng et al., TOOD (2021); knobs as in MMDetection 3.3, configs/tood/tood_r50_fpn_1x_coco.py",
        priors=_ONE_ANCHOR,
        assigner={"type": "TaskAlignedAssigner", "topk": 13, "alpha": 1.0, "beta": 6.0},
        note="from the fifth epoch on; the first four assign as atss does",
    ),
    Preset(
        name="yolox",
        source="Ge et al., YOLOX (2021); knobs as in MMDetection 3.3, "
        "configs/yolox/yolox_s_8xb8-300e_coco.py",
        priors=_points(0.5, stride_xy=True),
        assigner={
            "type": "SimOTAAssigner",
            "center_radius": 2.5,
            "candidate_topk": 10,
            "iou_weight": 3.0,
            "cls_weight": 1.0,
        },
        image_scale="640x640",
    ),
    Preset(
        name="rtmdet",
        source="Lyu et al., RTMDet (2022); knobs as in MMDetection 3.3, "
        "configs/rtmdet/rtmdet_l_8xb32-300e_coco.py",
        priors=_points(0.0, stride_xy=True),
        assigner=_RTMDET,
        image_scale="640x640",
    ),
    Preset(
        name="rotated-rtmdet",
        source="Lyu et al., RTMDet (2022), of oriented boxes; knobs as in MMRotate 1.0, "
        "configs/rotated_rtmdet/rotated_rtmdet_l-3x-dota.py",
        priors=_points(0.0, stride_xy=True),
        assigner={**_RTMDET, "iou_calculator": {"type": "RotatedIoU", "min_side": 1e-3}},
        image_scale="1024x1024",
        note=_UPRIGHT,
    ),
    Preset(
        name="yolov8",
        source="Jocher et al., Ultralytics YOLOv8 (2023), after Feng et al., TOOD (2021): the ten best "
        "priors inside, by complete IoU",
        priors=_points(0.5, stride_xy=False),
        assigner=_YOLOV8,
        image_scale="640x640",
    ),
    Preset(
        name="yolo11-obb",
        source="Jocher et al., Ultralytics YOLOv8-OBB and YOLO11-OBB (2024): YOLOv8's rule for oriented "
        "boxes, by the probabilistic IoU of Llerena et al. (2021)",
        priors=_points(0.5, stride_xy=False),
        assigner={**_YOLOV8, "iou_calculator": {"type": "ProbIoU"}, "inside_margin": None},
        image_scale="1024x1024",
        note=_UPRIGHT,
    ),
    Preset(
        name="yolo26-pose",
        source="Jocher et al., Ultralytics YOLO26-pose (2026): YOLOv8's rule by the similarity of keypoints, "
        "on the levels that suit an object",
        priors=_points(0.5, stride_xy=False),
        assigner={**_YOLOV8, "sigmas": COCO_SIGMAS, "level_sizes": (2.0, 12.0)},
        image_scale="640x640",
        note="objects without labelled keypoints are compared by boxes, and overlaps told are of boxes; "
        "YOLO11-pose assigns by boxes alone, as yolov8 does",
    ),
    Preset(
        name="ddod",
        source="Chen et al., Disentangle Your Dense Object Detector (2021), classification; knobs as in "
        "MMDetection 3.3, configs/ddod/ddod_r50_fpn_1x_coco.py",
        priors=_ONE_ANCHOR,
        assigner={"type": "ATSSAssigner", "topk": 9, "alpha": 0.8},
        note="what is classified; the boxes are learnt by an assignment of their own, with alpha=0.5",
    ),
    Preset(
        name="yolov7",
        source="Wang et al., YOLOv7 (2022); its anchors for COCO and images of 640 pixels",
        priors={
            "type": "YOLOAnchorGenerator",
            "strides": (8, 16, 32),
            "base_sizes": (
                ((12, 16), (19, 36), (40, 28)),
                ((36, 75), (76, 55), (72, 146)),
                ((142, 110), (192, 243), (459, 401)),
            ),
        },
        assigner={
            "type": "YOLOv7Assigner",
            "prior_match_thr": 4.0,
            "near_neighbor_thr": 0.5,
            "candidate_topk": 10,
            "iou_weight": 3.0,
            "cls_weight": 1.0,
        },
        image_scale="640x640",
        note="a prior that several objects take learns from each in training; here it counts for the first",
    ),
    Preset(
        name="detr",
        source="Carion et al., End-to-End Object Detection with Transformers (2020); knobs as in "
        "MMDetection 3.3, configs/detr/detr_r50_8xb2-150e_coco.py",
        priors=_queries(100),
        assigner={
            "type": "HungarianAssigner",
            "match_costs": ({"type": "ClassificationCost", "weight": 1.0}, *_BOX_COSTS),
        },
        note=_ONE_TO_ONE,
    ),
    Preset(
        name="deformable-detr",
        source="Zhu et al., Deformable DETR (2020); knobs as in MMDetection 3.3, "
        "configs/deformable_detr/deformable-detr_r50_16xb2-50e_coco.py",
        priors=_queries(300),
        assigner={
            "type": "HungarianAssigner",
            "match_costs": ({"type": "FocalLossCost", "weight": 2.0}, *_BOX_COSTS),
        },
        note=_ONE_TO_ONE,
    ),
    Preset(
        name="dino",
        source="Zhang et al., DINO (2022), its matching queries; knobs as in MMDetection 3.3, "
        "configs/dino/dino-4scale_r50_8xb2-12e_coco.py",
        priors=_queries(900),
        assigner={
            "type": "HungarianAssigner",
            "match_costs": ({"type": "FocalLossCost", "weight": 2.0}, *_BOX_COSTS),
        },
        note=_ONE_TO_ONE,
    ),
    Preset(
        name="rt-detr",
        source="Zhao et al., DETRs Beat YOLOs on Real-time Object Detection (2024); knobs as in "
        "transformers 5.24, RTDetrConfig",
        priors=_queries(300),
        assigner={"type": "HungarianAssigner", "match_costs": (_FOCAL_AS_DETR, *_BOX_COSTS)},
        image_scale="640x640",
        note=_ONE_TO_ONE,
    ),
    Preset(
        name="d-fine",
        source="Peng et al., D-FINE (2024); knobs as in transformers 5.24, DFineConfig",
        priors=_queries(300),
        assigner={"type": "HungarianAssigner", "match_costs": (_FOCAL_AS_DETR, *_BOX_COSTS)},
        image_scale="640x640",
        note=f"the matching of one layer: {_ONE_TO_ONE}",
    ),
    Preset(
        name="lw-detr",
        source="Chen et al., LW-DETR (2024); knobs as in transformers 5.24, LwDetrConfig",
        priors=_queries(13 * 300),
        assigner={
            "type": "HungarianAssigner",
            "match_costs": (_FOCAL_AS_DETR, *_BOX_COSTS),
            "groups": 13,
        },
        image_scale="640x640",
        note="13 groups of 300 queries while it trains: each object takes one query of each group",
    ),
    Preset(
        name="mask2former",
        source="Cheng et al., Mask2Former (2022); knobs as in MMDetection 3.3, "
        "configs/mask2former/mask2former_r50_8xb2-lsj-50e_coco.py",
        priors=_queries(100),
        assigner={
            "type": "HungarianAssigner",
            "match_costs": (
                {"type": "ClassificationCost", "weight": 2.0},
                {"type": "CrossEntropyLossCost", "weight": 5.0, "use_sigmoid": True},
                {"type": "DiceCost", "weight": 5.0, "pred_act": True, "eps": 1.0},
            ),
        },
        note=_ONE_TO_ONE,
    ),
)

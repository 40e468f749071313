"""Published training settings: which priors, and what assigns them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from assigncore.audit.predicting_presets import PREDICTING
from assigncore.audit.preset import Preset
from assigncore.priors import published

__all__ = ["DEFAULT_PRESET", "PRESETS", "Preset"]

DEFAULT_PRESET = "rpn"


_SQUARES = {"type": "AnchorGenerator", "strides": published.FROM_P2, "ratios": (1.0,), "scales": (8.0,)}

_RPN = {
    "type": "MaxIoUAssigner",
    "pos_iou_thr": 0.7,
    "neg_iou_thr": 0.3,
    "min_pos_iou": 0.3,
    "match_low_quality": True,
    "ignore_iof_thr": -1,
}


_ALL = (
    Preset(
        name="rpn",
        source="Ren et al., Faster R-CNN (2015), on Lin et al., Feature Pyramid Networks (2017); "
        "knobs as in MMDetection 3.3, configs/_base_/models/rpn_r50_fpn.py",
        priors={"type": "AnchorGenerator", **published.RPN},
        assigner=_RPN,
    ),
    Preset(
        name="nwd",
        source="Xu et al., Detecting Tiny Objects in Aerial Images (2022), its RPN: the rule of rpn by the "
        "normalized Wasserstein distance; knobs as in the authors' mmdet-aitod",
        priors={"type": "AnchorGenerator", **published.RPN},
        assigner={**_RPN, "iou_calculator": {"type": "NWD", "constant": 12.7}},
        note="the distance is in pixels, for objects of some 13; much larger ones find no prior near enough: "
        "--set iou_calculator.constant=SIZE",
    ),
    Preset(
        name="rfla",
        source="Xu et al., Gaussian Receptive Field based Label Assignment (2022), its RPN; knobs as in the "
        "authors' mmdet-rfla, configs/rfla/aitod_faster_r50_rfla_kld_1x.py",
        priors={"type": "AnchorGenerator", **published.RFLA},
        assigner={"type": "RFLAAssigner", "topk": (3, 1), "decay": 0.9},
        note="priors are halves of the receptive fields of ResNet-50's pyramid, in three aspect ratios",
    ),
    Preset(
        name="retinanet",
        source="Lin et al., Focal Loss for Dense Object Detection (2017); knobs as in MMDetection 3.3, "
        "configs/_base_/models/retinanet_r50_fpn.py",
        priors={"type": "AnchorGenerator", **published.RETINANET},
        assigner={
            "type": "MaxIoUAssigner",
            "pos_iou_thr": 0.5,
            "neg_iou_thr": 0.4,
            "min_pos_iou": 0.0,
            "ignore_iof_thr": -1,
        },
    ),
    Preset(
        name="faster-rcnn-rcnn",
        source="Ren et al., Faster R-CNN (2015), second stage, on proposals; knobs as in MMDetection 3.3, "
        "configs/_base_/models/faster-rcnn_r50_fpn.py",
        priors={"type": "Proposals", "max_per_image": 1000},
        assigner={
            "type": "MaxIoUAssigner",
            "pos_iou_thr": 0.5,
            "neg_iou_thr": 0.5,
            "min_pos_iou": 0.5,
            "match_low_quality": False,
            "ignore_iof_thr": -1,
        },
    ),
    Preset(
        name="ssd",
        source="Liu et al., SSD (2016), SSD300, the paper's matching; default boxes for COCO as in "
        "MMDetection 3.3, configs/ssd/ssd300_coco.py",
        priors={
            "type": "SSDAnchorGenerator",
            "strides": (8, 16, 32, 64, 100, 300),
            "min_sizes": (21, 45, 99, 153, 207, 261),
            "max_sizes": (45, 99, 153, 207, 261, 315),
            "ratios": ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
        },
        assigner={"type": "SSDMatcher", "threshold": 0.5},
        image_scale="300x300!",
    ),
    Preset(
        name="atss",
        source="Zhang et al., ATSS (2020); knobs as in MMDetection 3.3, configs/atss/atss_r50_fpn_1x_coco.py",
        priors={"type": "AnchorGenerator", **published.ATSS},
        assigner={"type": "ATSSAssigner", "topk": 9},
    ),
    Preset(
        name="vfnet",
        source="Zhang et al., VarifocalNet (2021); knobs as in MMDetection 3.3, "
        "configs/vfnet/vfnet_r50_fpn_1x_coco.py",
        priors={"type": "AnchorGenerator", **published.ATSS},
        assigner={"type": "ATSSAssigner", "topk": 9},
    ),
    Preset(
        name="yolof",
        source="Chen et al., You Only Look One-level Feature (2021); knobs as in MMDetection 3.3, "
        "configs/yolof/yolof_r50-c5_8xb8-1x_coco.py",
        priors={
            "type": "AnchorGenerator",
            "strides": (32,),
            "ratios": (1.0,),
            "scales": (1.0, 2.0, 4.0, 8.0, 16.0),
        },
        assigner={
            "type": "UniformAssigner",
            "pos_ignore_thr": 0.15,
            "neg_ignore_thr": 0.7,
            "match_times": 4,
        },
    ),
    Preset(
        name="fsaf",
        source="Zhu et al., Feature Selective Anchor-Free Module (2019); knobs as in MMDetection 3.3, "
        "configs/fsaf/fsaf_r50_fpn_1x_coco.py",
        priors={"type": "AnchorGenerator", **published.ATSS, "octave_base_scale": 1.0},
        assigner={
            "type": "CenterRegionAssigner",
            "pos_scale": 0.2,
            "neg_scale": 0.2,
            "min_pos_iof": 0.01,
        },
        note="positives are of all levels; in training each object keeps those of the level with least loss",
    ),
    Preset(
        name="fcos",
        source="Tian et al., FCOS (2019), without centre sampling; knobs as in MMDetection 3.3, "
        "configs/fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py",
        priors={"type": "PointGenerator", **published.FCOS},
        assigner={
            "type": "FCOSAssigner",
            "regress_ranges": ((-1, 64), (64, 128), (128, 256), (256, 512), (512, math.inf)),
            "center_sampling": False,
            "center_sample_radius": 1.5,
        },
    ),
    Preset(
        name="reppoints",
        source="Yang et al., RepPoints (2019), first stage; knobs as in MMDetection 3.3, "
        "configs/reppoints/reppoints-moment_r50_fpn_1x_coco.py",
        priors={"type": "PointGenerator", "strides": published.FROM_P3, "offset": 0.0},
        assigner={"type": "PointAssigner", "scale": 4, "pos_num": 1},
        note="the first stage; the second assigns the boxes that it predicts, by retinanet's thresholds",
    ),
    Preset(
        name="guided-anchoring",
        source="Wang et al., Region Proposal by Guided Anchoring (2019), where anchors are; anchors as in "
        "MMDetection 3.3, configs/guided_anchoring/ga-rpn_r50-caffe_fpn_1x_coco.py, rule as in "
        "configs/cascade_rpn/cascade-rpn_r50-caffe_fpn_1x_coco.py",
        priors=_SQUARES,
        assigner={"type": "RegionAssigner", "center_ratio": 0.2, "ignore_ratio": 0.5},
    ),
    Preset(
        name="guided-anchoring-shape",
        source="Wang et al., Region Proposal by Guided Anchoring (2019), what shape anchors have; "
        "knobs as in MMDetection 3.3, configs/guided_anchoring/ga-rpn_r50-caffe_fpn_1x_coco.py",
        priors=_SQUARES,
        approxs={
            "type": "AnchorGenerator",
            "strides": published.FROM_P2,
            "ratios": (0.5, 1.0, 2.0),
            "octave_base_scale": 8.0,
            "scales_per_octave": 3,
        },
        assigner={
            "type": "ApproxMaxIoUAssigner",
            "pos_iou_thr": 0.7,
            "neg_iou_thr": 0.3,
            "min_pos_iou": 0.3,
            "ignore_iof_thr": -1,
        },
        note="a prior is a place where an anchor's shape is learnt, judged by the fixed anchors there",
    ),
)

PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in (*_ALL, *PREDICTING)}

"""Published training settings: which priors, and what assigns them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_PRESET = "rpn"


@dataclass(frozen=True)
class Preset:
    """A detector's label assignment as it is published.

    Attributes
    ----------
    name : str
        What the command line calls it.
    source : str
        Where the settings stand.
    priors : mapping
        ``{"type": ..., knobs}``: an `AnchorGenerator`, a `PointGenerator`, or `Proposals`.
    assigner : mapping
        ``{"type": ..., knobs}`` as `assigncore.build_assigner` takes it. What the assigner's ``assign`` is
        given follows from the names in its signature.
    allowed_border : float
        Pixels that an anchor may reach over the image's edge and still take part. Below 0: all take part.
    """

    name: str
    source: str
    priors: Mapping[str, Any]
    assigner: Mapping[str, Any]
    allowed_border: float = -1


_ALL = (
    Preset(
        name="rpn",
        source="Ren et al., Faster R-CNN (2015), on Lin et al., Feature Pyramid Networks (2017); "
        "knobs as in MMDetection 3.3, configs/_base_/models/rpn_r50_fpn.py",
        priors={
            "type": "AnchorGenerator",
            "strides": (4, 8, 16, 32, 64),
            "ratios": (0.5, 1.0, 2.0),
            "scales": (8.0,),
        },
        assigner={
            "type": "MaxIoUAssigner",
            "pos_iou_thr": 0.7,
            "neg_iou_thr": 0.3,
            "min_pos_iou": 0.3,
            "match_low_quality": True,
            "ignore_iof_thr": -1,
        },
    ),
    Preset(
        name="retinanet",
        source="Lin et al., Focal Loss for Dense Object Detection (2017); knobs as in MMDetection 3.3, "
        "configs/_base_/models/retinanet_r50_fpn.py",
        priors={
            "type": "AnchorGenerator",
            "strides": (8, 16, 32, 64, 128),
            "ratios": (0.5, 1.0, 2.0),
            "octave_base_scale": 4.0,
            "scales_per_octave": 3,
        },
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
)

PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _ALL}

"""Constructor knobs and defaults of the drop-ins are those of the published packages."""

import inspect

import pytest

from assigncore.adapters import detectron2, mmyolo, torchvision, ultralytics

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
    torchvision.Matcher: {"allow_low_quality_matches": False},
    torchvision.SSDMatcher: {},
    ultralytics.TaskAlignedAssigner: {
        "topk": 13, "num_classes": 80, "alpha": 1.0, "beta": 6.0, "stride": (8, 16, 32), "eps": 1e-9, "topk2": None,
    },
}  # fmt: skip
OURS = {"nonfinite", "iou_calculator"}
"""Knobs that upstream has not, or whose default is an object there."""


@pytest.mark.parametrize("cls", PUBLISHED, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_defaults(cls):
    knobs = inspect.signature(cls).parameters.values()
    found = {knob.name: knob.default for knob in knobs if knob.default is not knob.empty}
    assert {name: value for name, value in found.items() if name not in OURS} == PUBLISHED[cls]

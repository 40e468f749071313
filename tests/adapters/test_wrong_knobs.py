"""A wrong knob is an AssertionError, as the replaced classes have it, and the core's own error too."""

import pytest

from assigncore.adapters import (
    detectron2,
    detr,
    mmdet,
    mmdet2,
    mmyolo,
    torchvision,
    transformers,
    ultralytics,
)

WRONG = {
    "mmdet grid": lambda: mmdet.GridAssigner(0.5, neg_iou_thr=[0.3, 0.1, 0.4]),
    "mmdet2 grid": lambda: mmdet2.GridAssigner(0.5, neg_iou_thr=[0.3, 0.1, 0.4]),
    "mmdet max iou": lambda: mmdet.MaxIoUAssigner(0.5, neg_iou_thr=(0.4, 0.1)),
    "mmdet atss": lambda: mmdet.ATSSAssigner(topk=0),
    "mmdet task aligned": lambda: mmdet.TaskAlignedAssigner(topk=0),
    "mmdet point": lambda: mmdet.PointAssigner(scale=0),
    "mmdet uniform": lambda: mmdet.UniformAssigner(0.15, 0.7, match_times=0),
    "mmdet region": lambda: mmdet.RegionAssigner(center_ratio=-1),
    "mmdet sim ota": lambda: mmdet.SimOTAAssigner(candidate_topk=0),
    "mmdet hungarian": lambda: mmdet.HungarianAssigner([]),
    "mmdet multi instance": lambda: mmdet.MultiInstanceAssigner(0, pos_iou_thr=0.5, neg_iou_thr=0.4),
    "mmdet config": lambda: mmdet.build_assigner(
        {"type": "GridAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": (0.4, 0.1)}
    ),
    "mmyolo task aligned": lambda: mmyolo.BatchTaskAlignedAssigner(80, topk=0),
    "mmyolo atss": lambda: mmyolo.BatchATSSAssigner(80, topk=0),
    "mmyolo soft label": lambda: mmyolo.BatchDynamicSoftLabelAssigner(80, topk=0),
    "mmyolo yolov7": lambda: mmyolo.BatchYOLOv7Assigner(80, 3, [8, 16, 32], candidate_topk=0),
    "ultralytics": lambda: ultralytics.TaskAlignedAssigner(topk=0),
    "torchvision": lambda: torchvision.Matcher(0.4, 0.7),
    "detectron2": lambda: detectron2.Matcher([0.7, 0.4], [0, -1, 1]),
    "detr": lambda: detr.HungarianMatcher(0, 0, 0),
    "transformers": lambda: transformers.HungarianMatcher(0, 0, 0),
}


@pytest.mark.parametrize("build", WRONG.values(), ids=WRONG)
def test_a_wrong_knob_can_be_caught_as_either(build):
    with pytest.raises(AssertionError) as caught:
        build()
    assert isinstance(caught.value, ValueError | TypeError)
    assert str(caught.value)


def test_the_cores_error_is_the_cause():
    with pytest.raises(AssertionError, match="neg_iou_thr: expected") as caught:
        mmdet.GridAssigner(0.5, neg_iou_thr=[0.3, 0.1, 0.4])
    assert type(caught.value.__cause__) is ValueError

"""The settings of methods that read predictions: each is its assigner called by hand, on any results."""

import dataclasses
import math
import re
from functools import wraps

import numpy as np
import pytest

from assigncore.assigners import (
    ATSSAssigner,
    DynamicSoftLabelAssigner,
    HungarianAssigner,
    SimOTAAssigner,
    TaskAlignedAssigner,
    YOLOv7Assigner,
    yolo26_pose,
    yolov8,
    yolov8_obb,
)
from assigncore.audit import masks
from assigncore.audit.assigning import Settings, assign_images
from assigncore.audit.dense import speakers, spread
from assigncore.audit.devices import open_backend
from assigncore.audit.errors import AuditError
from assigncore.audit.predicting_presets import PREDICTING
from assigncore.audit.predictions import LOW_SCORE, as_logits, as_softmax_logits, simulate
from assigncore.audit.presets import PRESETS
from assigncore.audit.results import load_results
from assigncore.boxes import pairwise_iou, xyxy_to_xywhr
from assigncore.boxes.calculators import RotatedIoU

FROM_P3 = (8, 16, 32, 64, 128)
OF_YOLO = (8, 16, 32)
BOX_COSTS = (
    {"type": "BBoxL1Cost", "weight": 5.0, "box_format": "xywh"},
    {"type": "IoUCost", "iou_mode": "giou", "weight": 2.0},
)
FOCAL = ({"type": "FocalLossCost", "weight": 2.0}, *BOX_COSTS)
FOCAL_AS_DETR = ({"type": "FocalLossCost", "weight": 2.0, "eps": 1e-8}, *BOX_COSTS)
SOFTMAX = ({"type": "ClassificationCost", "weight": 1.0}, *BOX_COSTS)
MASKS = (
    {"type": "ClassificationCost", "weight": 2.0},
    {"type": "CrossEntropyLossCost", "weight": 5.0, "use_sigmoid": True},
    {"type": "DiceCost", "weight": 5.0, "pred_act": True, "eps": 1.0},
)


def places(shape, strides, offset):
    """Give x, y and stride of every cell, level by level, and the cells of each level."""
    levels = []
    for stride in strides:
        rows, columns = (math.ceil(side / stride) for side in shape)
        y, x = np.mgrid[:rows, :columns]
        at = (np.stack([x.ravel(), y.ravel()], axis=-1) + offset) * stride
        levels.append(np.pad(at, ((0, 0), (0, 1)), constant_values=stride))
    return np.concatenate(levels).astype(np.float32), tuple(map(len, levels))


def squares_about(laid, side):
    reach = laid[:, 2:3] * side / 2
    return np.concatenate([laid[:, :2] - reach, laid[:, :2] + reach], axis=-1)


def call_ddod(laid, counts, gt, boxes, scores, labels):
    assigner = ATSSAssigner(topk=9, alpha=0.8)
    given = {"gt_labels": labels, "pred_bboxes": boxes, "pred_logits": as_logits(scores)}
    return assigner.assign(squares_about(laid, 8), gt, num_level_priors=counts, **given)


def call_tood(laid, counts, gt, boxes, scores, labels):
    assigner = TaskAlignedAssigner(topk=13, alpha=1, beta=6)
    priors = squares_about(laid, 8)
    return assigner.assign(priors, gt, gt_labels=labels, pred_bboxes=boxes, pred_scores=scores)


def call_yolox(laid, counts, gt, boxes, scores, labels):
    points = np.concatenate([laid, laid[:, 2:]], axis=-1)
    given = {"gt_labels": labels, "pred_bboxes": boxes, "pred_scores": scores}
    return SimOTAAssigner(center_radius=2.5).assign(points, gt, **given)


def call_rtmdet(laid, counts, gt, boxes, scores, labels):
    points = np.concatenate([laid, laid[:, 2:]], axis=-1)
    given = {"gt_labels": labels, "pred_bboxes": boxes, "pred_logits": as_logits(scores)}
    return DynamicSoftLabelAssigner(topk=13).assign(points, gt, **given)


def call_yolov8(laid, counts, gt, boxes, scores, labels):
    return yolov8().assign(laid, gt, gt_labels=labels, pred_bboxes=boxes, pred_scores=scores)


def call_obb(laid, counts, gt, boxes, scores, labels):
    gt, boxes = (xyxy_to_xywhr(x.astype(np.float32)) for x in (gt, boxes))
    return yolov8_obb().assign(laid, gt, gt_labels=labels, pred_bboxes=boxes, pred_scores=scores)


def call_rotated_rtmdet(laid, counts, gt, boxes, scores, labels):
    gt, boxes = (xyxy_to_xywhr(x.astype(np.float32)) for x in (gt, boxes))
    points = np.concatenate([laid, laid[:, 2:]], axis=-1)
    given = {"gt_labels": labels, "pred_bboxes": boxes, "pred_logits": as_logits(scores)}
    calculator = RotatedIoU(min_side=1e-3)
    return DynamicSoftLabelAssigner(topk=13, iou_calculator=calculator).assign(points, gt, **given)


def call_pose(laid, counts, gt, boxes, scores, labels):
    # Without keypoints boxes are compared, on the levels that suit the objects.
    given = {"pred_keypoints": np.zeros((len(laid), 17, 2)), "gt_keypoints": np.zeros((len(gt), 17, 3))}
    return yolo26_pose().assign(laid, gt, gt_labels=labels, pred_bboxes=boxes, pred_scores=scores, **given)


# Strides, offset in a cell, side of a prior's own box in strides, and the assigner called by hand.
DENSE = {
    "ddod": (FROM_P3, 0.0, 8, call_ddod),
    "tood": (FROM_P3, 0.0, 8, call_tood),
    "yolox": (OF_YOLO, 0.5, 4, call_yolox),
    "rtmdet": (OF_YOLO, 0.0, 4, call_rtmdet),
    "yolov8": (OF_YOLO, 0.5, 4, call_yolov8),
    "yolo11-obb": (OF_YOLO, 0.5, 4, call_obb),
    "yolo26-pose": (OF_YOLO, 0.5, 4, call_pose),
    "rotated-rtmdet": (OF_YOLO, 0.0, 4, call_rotated_rtmdet),
}
# Number of queries, costs, and what makes logits of scores.
MATCHED = {
    "detr": (100, SOFTMAX, as_softmax_logits),
    "deformable-detr": (300, FOCAL, as_logits),
    "dino": (900, FOCAL, as_logits),
    "rt-detr": (300, FOCAL_AS_DETR, as_logits),
    "d-fine": (300, FOCAL_AS_DETR, as_logits),
    "lw-detr": (3900, FOCAL_AS_DETR, as_logits),
    "mask2former": (100, MASKS, as_softmax_logits),
}
GROUPS = {"lw-detr": 13}
OTHER_SOURCES = ("yolov7", "yolov8", "yolo11-obb", "yolo26-pose", "rt-detr", "d-fine", "lw-detr")


NAMES = [*DENSE, *MATCHED, "yolov7"]


def by_image(stream):
    return {one.frame.image.id: one for one in stream}


def detections(rivals, frame):
    found = simulate(rivals, frame.image, 0)
    return dataclasses.replace(found, boxes=frame.scale(found.boxes))


def labels_of(rivals, one):
    return np.asarray([rivals.labels[a.category_id] for a in one.objects], dtype=np.int64)


SHAPES = (
    ((12, 16), (19, 36), (40, 28)),
    ((36, 75), (76, 55), (72, 146)),
    ((142, 110), (192, 243), (459, 401)),
)


def test_yolov7_is_its_assigner_called_by_hand(rivals, frames_of, plan, settings):
    preset = plan("yolov7")
    done = by_image(assign_images(preset, rivals, frames_of(preset), settings))
    for frame in frames_of(preset):
        one, priors, sizes = done[frame.image.id], [], []
        for stride, shapes in zip(OF_YOLO, SHAPES, strict=True):
            sizes.append(tuple(side // stride for side in frame.padded))
            centers = places(frame.padded, (stride,), 0.5)[0][:, :2]
            for shape in shapes:
                half = np.asarray(shape, dtype=np.float32) / 2
                priors.append(np.concatenate([centers - half, centers + half], axis=-1))
        np.testing.assert_allclose(one.priors, np.concatenate(priors), atol=1e-4)
        assert np.bincount(one.level).tolist() == [3 * rows * columns for rows, columns in sizes]
        boxes, scores = spread(one.priors, detections(rivals, frame), 2)
        result = YOLOv7Assigner().assign(
            frame.boxes(one.objects),
            gt_labels=labels_of(rivals, one),
            pred_bboxes=boxes,
            pred_logits=as_logits(scores),
            pred_objectness=as_logits(np.ones(len(boxes), dtype=np.float32)),
            base_sizes=np.asarray(SHAPES, dtype=np.float32),
            featmap_strides=OF_YOLO,
            featmap_sizes=tuple(sizes),
        )
        np.testing.assert_array_equal(one.gt_inds, result.gt_inds)
        assert set(one.gt_inds.tolist()) == set(range(len(one.objects) + 1))


def test_every_preset_that_reads_predictions_is_checked_by_hand():
    assert {preset.name for preset in PREDICTING} == {*DENSE, *MATCHED, "yolov7"}


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_names_its_paper(name):
    assert "et al." in PRESETS[name].source
    assert "(20" in PRESETS[name].source
    source = PRESETS[name].source
    assert re.search(r"(MMDetection 3.3|MMRotate 1.0), configs/", source) or name in OTHER_SOURCES


@pytest.mark.parametrize("name", DENSE)
def test_a_dense_preset_is_its_assigner_called_by_hand(name, rivals, frames_of, plan, settings):
    strides, offset, side, call = DENSE[name]
    preset = plan(name)
    done = by_image(assign_images(preset, rivals, frames_of(preset), settings))
    assert any(np.any(one.gt_inds > 0) for one in done.values())
    for frame in frames_of(preset):
        one = done[frame.image.id]
        laid, counts = places(frame.padded, strides, offset)
        boxes, scores = spread(squares_about(laid, side), detections(rivals, frame), 2)
        gt = frame.boxes(one.objects)
        result = call(laid, counts, gt, boxes, scores, labels_of(rivals, one))
        np.testing.assert_array_equal(one.gt_inds, result.gt_inds)
        if len(gt):
            np.testing.assert_allclose(one.best_overlaps, pairwise_iou(gt, boxes).max(axis=1), rtol=1e-5)


@pytest.mark.parametrize("name", MATCHED)
def test_a_matching_preset_is_its_assigner_called_by_hand(name, rivals, frames_of, plan, settings):
    count, costs, to_logits = MATCHED[name]
    preset = plan(name)
    done = by_image(assign_images(preset, rivals, frames_of(preset), settings))
    for frame in frames_of(preset):
        one, found = done[frame.image.id], detections(rivals, frame)
        assert one.priors.shape == (count, 4)
        np.testing.assert_array_equal(one.priors[: len(found)], found.boxes)
        scores = np.full((count, 2), LOW_SCORE, dtype=np.float32)
        scores[np.arange(len(found)), found.labels] = found.scores
        gt, shape = frame.boxes(one.objects), np.asarray([frame.shape], dtype=np.float32)
        given = {"pred_bboxes": one.priors, "pred_logits": to_logits(scores)}
        if name == "mask2former":
            given["pred_masks"] = as_logits(masks.box_masks(one.priors[None], shape)[0])
            given["gt_masks"] = masks.box_masks(gt[None], shape)[0]
        groups = GROUPS.get(name, 1)
        assigner = HungarianAssigner(match_costs=costs, groups=groups)
        labels = labels_of(rivals, one)
        result = assigner.assign(gt, gt_labels=labels, image_shape=shape[0], **given)
        np.testing.assert_array_equal(one.gt_inds, result.gt_inds)
        assert sorted(one.gt_inds[one.gt_inds > 0]) == sorted([*range(1, len(gt) + 1)] * groups)


@pytest.mark.parametrize("name", NAMES)
def test_torch_decides_the_same(name, rivals, frames_of, plan, settings, results):
    pytest.importorskip("torch")
    backend, device = open_backend("torch", "cpu")
    preset = plan(name)
    expected = by_image(assign_images(preset, rivals, frames_of(preset), settings))
    there = Settings(backend, device, batch_size=3)
    found = by_image(assign_images(preset, rivals, frames_of(preset), there))
    for image_id, one in expected.items():
        np.testing.assert_array_equal(one.gt_inds, found[image_id].gt_inds)
        np.testing.assert_array_equal(one.best_overlaps, found[image_id].best_overlaps)


@pytest.mark.parametrize("name", ["tood", "detr"])
def test_jax_decides_the_same(name, rivals, frames_of, plan, settings):
    pytest.importorskip("jax")
    backend, device = open_backend("jax", "cpu")
    preset = plan(name)
    wide = [frame for frame in frames_of(preset) if frame.padded == (256, 320)]
    expected = by_image(assign_images(preset, rivals, wide, settings))
    for image_id, one in by_image(assign_images(preset, rivals, wide, Settings(backend, device))).items():
        np.testing.assert_array_equal(one.gt_inds, expected[image_id].gt_inds)


def test_oriented_boxes_are_assigned_by_their_angle(rivals, frames_of, plan, settings):
    preset = plan("yolo11-obb")
    turned = np.concatenate(
        [xyxy_to_xywhr(rivals.all_objects.bboxes)[:, :4], np.full((len(rivals.all_objects), 1), 0.5)], axis=-1
    )
    tilted = dataclasses.replace(rivals, all_objects=dataclasses.replace(rivals.all_objects, oriented=turned))
    upright = by_image(assign_images(preset, rivals, frames_of(preset), settings))
    differ = 0
    for name, one in by_image(assign_images(preset, tilted, frames_of(preset), settings)).items():
        boxes = one.frame.oriented(one.objects)
        positive = one.gt_inds > 0
        if not positive.any():
            continue
        own = boxes[one.gt_inds[positive] - 1]
        wide = np.concatenate([own[:, :2], np.maximum(own[:, 2:4], 16), own[:, 4:]], axis=-1)
        c, s = np.cos(wide[:, 4]), np.sin(wide[:, 4])
        dx, dy = (one.priors[positive, :2] - wide[:, :2]).T
        assert (np.abs(c * dx + s * dy) <= wide[:, 2] / 2 + 1e-3).all()
        assert (np.abs(c * dy - s * dx) <= wide[:, 3] / 2 + 1e-3).all()
        assert 0.4 < np.nanmean(one.matched_overlaps) <= 1
        differ += int(np.sum(one.gt_inds != upright[name].gt_inds))
    assert differ > 0


def with_poses(dataset, count=17):
    """Give every object keypoints at random places in its box, some of which are not labelled."""
    rng, objects = np.random.default_rng(0), dataset.all_objects
    sides = objects.bboxes[:, None, 2:] - objects.bboxes[:, None, :2]
    places = objects.bboxes[:, None, :2] + sides * rng.random((len(objects), count, 2))
    seen = rng.integers(0, 3, (len(objects), count, 1)).astype(float)
    poses = np.concatenate([places, seen], axis=-1)
    return dataclasses.replace(dataset, all_objects=dataclasses.replace(objects, keypoints=poses))


def test_poses_are_assigned_by_their_keypoints(rivals, frames_of, plan, settings, monkeypatch):
    preset, posed = plan("yolo26-pose"), with_poses(rivals)
    assign, given = TaskAlignedAssigner.assign, []

    @wraps(assign)
    def spy(self, *places, **arrays):
        given.append(arrays)
        return assign(self, *places, **arrays)

    monkeypatch.setattr(TaskAlignedAssigner, "assign", spy)
    done = by_image(assign_images(preset, posed, frames_of(preset), settings))
    assert any(np.any(arrays["gt_keypoints"][..., 2] == 2) for arrays in given)
    assert all(arrays["pred_keypoints"].shape[-2:] == (17, 2) for arrays in given)
    for frame in frames_of(preset):
        one, found = done[frame.image.id], detections(posed, frame)
        laid, _ = places(frame.padded, OF_YOLO, 0.5)
        own = squares_about(laid, 4)
        chosen, scores = speakers(own, found, 2)
        boxes, _ = spread(own, found, 2)
        keypoints = np.repeat(laid[:, None, :2], 17, axis=1)
        keypoints[chosen >= 0] = frame.scale_points(found.keypoints)[chosen[chosen >= 0]]
        result = yolo26_pose().assign(
            laid,
            frame.boxes(one.objects),
            gt_labels=labels_of(posed, one),
            pred_bboxes=boxes,
            pred_scores=scores,
            pred_keypoints=keypoints,
            gt_keypoints=frame.keypoints(one.objects),
        )
        np.testing.assert_array_equal(one.gt_inds, result.gt_inds)


def test_predicted_poses_are_read_and_asked_for(rivals, frames_of, plan, settings, write):
    preset, posed = plan("yolo26-pose"), with_poses(rivals)
    entries = [
        {
            **{"image_id": a.image_id, "category_id": a.category_id, "score": 0.5},
            **{"bbox": [a.bbox[0], a.bbox[1], a.bbox[2] - a.bbox[0], a.bbox[3] - a.bbox[1]]},
            "keypoints": pose.ravel().tolist(),
        }
        for a, pose in zip(posed.all_objects, posed.all_objects.keypoints, strict=True)
    ]

    def assigned(entries):
        read = load_results("--predictions", write(entries, "results.json"), posed, with_classes=True)
        given = dataclasses.replace(settings, predictions=read)
        return by_image(assign_images(preset, posed, frames_of(preset), given))

    done = assigned(entries)
    assert all(set(range(1, len(one.objects) + 1)) <= set(one.gt_inds) for one in done.values())
    for wrong in ([{**entry, "keypoints": entry["keypoints"][:6]} for entry in entries], entries[:1]):
        if len(wrong) == 1:
            wrong = [{name: x for name, x in wrong[0].items() if name != "keypoints"}]
        with pytest.raises(AuditError, match="expected 'keypoints' of every entry, x y score of each of 17"):
            assigned(wrong)


def test_objects_of_another_number_of_keypoints_are_refused(rivals, frames_of, plan, settings):
    preset = plan("yolo26-pose")
    with pytest.raises(AuditError, match="sigmas: expected 3, one for each keypoint of an object, got 17"):
        by_image(assign_images(preset, with_poses(rivals, 3), frames_of(preset), settings))

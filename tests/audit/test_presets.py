"""The published settings: what they are, and that an audit gives each assigner what its method asks for."""

import math

import numpy as np
import pytest

from assigncore.assigners import (
    ApproxMaxIoUAssigner,
    ATSSAssigner,
    CenterRegionAssigner,
    FCOSAssigner,
    MaxIoUAssigner,
    PointAssigner,
    RegionAssigner,
    RFLAAssigner,
    SSDMatcher,
    UniformAssigner,
)
from assigncore.audit.assigning import Settings, assign_images
from assigncore.audit.devices import open_backend
from assigncore.audit.predicting_presets import PREDICTING
from assigncore.audit.presets import PRESETS
from assigncore.boxes import pairwise_iou
from assigncore.boxes.calculators import NWD

FROM_P2 = (4, 8, 16, 32, 64)
FROM_P3 = (8, 16, 32, 64, 128)
RANGES = ((-1, 64), (64, 128), (128, 256), (256, 512), (512, math.inf))


def cells(shape, stride):
    """Give x and y of every cell of one level, row by row."""
    rows, columns = (math.ceil(side / stride) for side in shape)
    y, x = np.mgrid[:rows, :columns]
    return np.stack([x.ravel(), y.ravel()], axis=-1) * float(stride)


def anchors(shape, strides, shapes):
    """Lay boxes about the corners of cells, `shapes` of (width, height) in strides in each."""
    half = np.asarray(shapes)[None] / 2
    levels = []
    for stride in strides:
        at = cells(shape, stride)[:, None]
        levels.append(np.concatenate([at - half * stride, at + half * stride], axis=-1).reshape(-1, 4))
    return np.concatenate(levels).astype(np.float32), tuple(map(len, levels))


def points(shape, strides, offset):
    levels = [np.pad(cells(shape, s) + s * offset, ((0, 0), (0, 1)), constant_values=s) for s in strides]
    return np.concatenate(levels).astype(np.float32), tuple(map(len, levels))


def default_boxes(shape):
    """Write the default boxes of SSD300 for COCO down: sides in hundredths of 300 pixels."""
    percent = (7, 15, 33, 51, 69, 87, 105)
    levels = []
    for k, (stride, more) in enumerate(zip((8, 16, 32, 64, 100, 300), (0, 1, 1, 1, 0, 0), strict=True)):
        small, large = 3 * percent[k], 3 * percent[k + 1]
        sides = [(small, small), (math.sqrt(small * large),) * 2]
        for ratio in (2, 3)[: 1 + more]:
            wide, narrow = small * math.sqrt(ratio), small / math.sqrt(ratio)
            sides += [(wide, narrow), (narrow, wide)]
        at, half = cells(shape, stride)[:, None] + stride / 2, np.asarray(sides)[None] / 2
        levels.append(np.concatenate([at - half, at + half], axis=-1).reshape(-1, 4))
    return np.concatenate(levels).astype(np.float32), tuple(map(len, levels))


def receptive_fields(shape):
    """Lay half of the receptive fields of ResNet-50's pyramid, in three aspect ratios."""
    levels = []
    for stride, field in zip(FROM_P2, (35, 91, 267, 427, 555), strict=True):
        side = field / 2 / stride
        shapes = [(side / math.sqrt(r), side * math.sqrt(r)) for r in (0.5, 1.0, 2.0)]
        levels.append(anchors(shape, (stride,), shapes)[0])
    return np.concatenate(levels), tuple(map(len, levels))


def rpn_like(shape):
    return anchors(shape, FROM_P2, [(8 / math.sqrt(r), 8 * math.sqrt(r)) for r in (0.5, 1.0, 2.0)])


def call_nwd(priors, gt, **_):
    return MaxIoUAssigner(0.7, 0.3, min_pos_iou=0.3, iou_calculator=NWD(constant=12.7)).assign(priors, gt)


def squares(scale, strides):
    return lambda shape: anchors(shape, strides, [(scale, scale)])


def retina_like(shape):
    """Lay the nine anchors that approximate each place, (N, 9, 4)."""
    scales = [8 * 2 ** (i / 3) for i in range(3)]
    shapes = [(s / math.sqrt(r), s * math.sqrt(r)) for r in (0.5, 1.0, 2.0) for s in scales]
    return anchors(shape, FROM_P2, shapes)[0].reshape(-1, 9, 4)


def call_uniform(priors, gt, **_):
    assigner = UniformAssigner(pos_ignore_thr=0.15, neg_ignore_thr=0.7, match_times=4)
    return assigner.assign(priors, gt, pred_bboxes=priors)


def call_center_region(priors, gt, labels, crowds, **_):
    assigner = CenterRegionAssigner(pos_scale=0.2, neg_scale=0.2, min_pos_iof=0.01)
    return assigner.assign(priors, gt, gt_labels=labels, ignore_bboxes=crowds)


def call_region(priors, gt, counts, frame, **_):
    sizes = tuple(tuple(math.ceil(side / stride) for side in frame.padded) for stride in FROM_P2)
    return RegionAssigner(center_ratio=0.2, ignore_ratio=0.5).assign(
        priors,
        gt,
        num_level_priors=counts,
        featmap_sizes=sizes,
        anchor_scale=8,
        anchor_strides=FROM_P2,
        image_shape=frame.shape,
        allowed_border=-1,
    )


def call_approx(priors, gt, frame, **_):
    assigner = ApproxMaxIoUAssigner(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3)
    return assigner.assign(priors, gt, approxs=retina_like(frame.padded))


def call_atss(priors, gt, counts, **_):
    return ATSSAssigner(topk=9).assign(priors, gt, num_level_priors=counts)


# The priors of a padded image with their number on each level, and the assigner called by hand.
BY_HAND = {
    "nwd": (rpn_like, call_nwd),
    "rfla": (
        receptive_fields,
        lambda priors, gt, **_: RFLAAssigner(topk=(3, 1), decay=0.9, neg_iou_thr=0.8).assign(priors, gt),
    ),
    "ssd": (default_boxes, lambda priors, gt, **_: SSDMatcher(threshold=0.5).assign(priors, gt)),
    "atss": (squares(8, FROM_P3), call_atss),
    "vfnet": (squares(8, FROM_P3), call_atss),
    "yolof": (lambda shape: anchors(shape, (32,), [(s, s) for s in (1, 2, 4, 8, 16)]), call_uniform),
    "fsaf": (squares(1, FROM_P3), call_center_region),
    "fcos": (
        lambda shape: points(shape, FROM_P3, 0.5),
        lambda priors, gt, counts, **_: FCOSAssigner(regress_ranges=RANGES).assign(
            priors, gt, num_level_priors=counts
        ),
    ),
    "reppoints": (
        lambda shape: points(shape, FROM_P3, 0.0),
        lambda priors, gt, **_: PointAssigner(scale=4, pos_num=1).assign(priors, gt),
    ),
    "guided-anchoring": (squares(8, FROM_P2), call_region),
    "guided-anchoring-shape": (squares(8, FROM_P2), call_approx),
}
WITHOUT_SHAPES = {"fsaf", "fcos", "reppoints", "guided-anchoring"}


def by_image(stream):
    return {one.frame.image.id: one for one in stream}


def test_every_preset_is_checked_by_hand_or_by_the_plain_rule():
    without_predictions = set(PRESETS) - {preset.name for preset in PREDICTING}
    assert without_predictions == {"rpn", "retinanet", "faster-rcnn-rcnn", *BY_HAND}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_preset_names_its_paper_and_its_configuration(name):
    source = PRESETS[name].source
    assert "et al." in source
    assert "(20" in source
    assert "MMDetection 3.3, configs/" in source or "knobs as in the authors' mmdet-" in source


@pytest.mark.parametrize("name", BY_HAND)
def test_a_preset_is_its_assigner_called_by_hand(name, rivals, frames_of, plan, settings):
    lay, call = BY_HAND[name]
    preset = plan(name)
    done = by_image(assign_images(preset, rivals, frames_of(preset), settings))
    assert sorted(done) == [3, 5, 7]
    assert any(np.any(one.gt_inds > 0) for one in done.values())
    for frame in frames_of(preset):
        one = done[frame.image.id]
        priors, counts = lay(frame.padded)
        np.testing.assert_allclose(one.priors, priors, rtol=1e-6, atol=1e-4)
        assert tuple(np.bincount(one.level, minlength=len(counts))) == counts
        boxes = frame.boxes(rivals.objects(frame.image))
        labels = np.asarray([rivals.labels[a.category_id] for a in one.objects], dtype=np.int64)
        crowds = frame.boxes(rivals.crowds(frame.image))
        result = call(one.priors, boxes, counts=counts, frame=frame, labels=labels, crowds=crowds)
        np.testing.assert_array_equal(one.gt_inds, result.gt_inds)
        assert one.num_excluded == 0


@pytest.mark.parametrize("name", BY_HAND)
def test_the_best_overlap_is_with_what_the_method_compares(name, rivals, frames_of, plan, settings):
    preset = plan(name)
    for one in assign_images(preset, rivals, frames_of(preset), settings):
        if name in WITHOUT_SHAPES:
            assert one.best_overlaps is None
            continue
        shapes = one.priors
        if name == "guided-anchoring-shape":
            shapes = retina_like(one.frame.padded).reshape(-1, 4)
        boxes = one.frame.boxes(one.objects)
        expected = pairwise_iou(boxes, shapes).max(axis=1) if len(boxes) else []
        np.testing.assert_allclose(one.best_overlaps, expected, rtol=1e-5)


def same(left, right):
    assert sorted(left) == sorted(right)
    for image_id, one in left.items():
        other = right[image_id]
        assert one.num_excluded == other.num_excluded
        np.testing.assert_array_equal(one.gt_inds, other.gt_inds)
        if one.best_overlaps is None:
            assert other.best_overlaps is None
        else:
            np.testing.assert_array_equal(one.best_overlaps, other.best_overlaps)


@pytest.mark.parametrize("name", BY_HAND)
def test_torch_decides_the_same(name, rivals, frames_of, plan, settings):
    pytest.importorskip("torch")
    backend, device = open_backend("torch", "cpu")
    preset = plan(name)
    expected = by_image(assign_images(preset, rivals, frames_of(preset), settings))
    there = Settings(backend, device, batch_size=3)
    same(expected, by_image(assign_images(preset, rivals, frames_of(preset), there)))


# Those that give the compiled function most: sizes and strides that are no arrays, and approximations.
@pytest.mark.parametrize("name", ["guided-anchoring", "guided-anchoring-shape"])
def test_jax_decides_the_same(name, rivals, frames_of, plan, settings):
    pytest.importorskip("jax")
    backend, device = open_backend("jax", "cpu")
    preset = plan(name, "allowed_border=0")
    wide = [frame for frame in frames_of(preset) if frame.padded == (256, 320)]
    expected = by_image(assign_images(preset, rivals, wide, settings))
    assert sorted(expected) == [5, 7]
    same(expected, by_image(assign_images(preset, rivals, wide, Settings(backend, device))))


@pytest.mark.parametrize("name", ["guided-anchoring", "guided-anchoring-shape"])
def test_the_border_is_that_of_each_image(name, rivals, frames_of, plan, settings):
    preset = plan(name, "allowed_border=0")
    for one in assign_images(preset, rivals, frames_of(preset), settings):
        height, width = one.frame.shape
        shapes = one.priors[:, None]
        if name == "guided-anchoring-shape":
            shapes = retina_like(one.frame.padded)
        inside = (shapes[..., :2] >= 0).all(-1) & (shapes[..., 2] < width) & (shapes[..., 3] < height)
        outside = ~inside.any(axis=1)
        assert one.num_excluded == outside.sum() > 0
        assert (one.gt_inds[outside] == -1).all()

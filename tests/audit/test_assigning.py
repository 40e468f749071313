"""Assigning: against a plain reading of the rule, on every library, in batches of any size."""

import dataclasses

import numpy as np
import pytest

from assigncore.audit.assigning import Settings, assign_images
from assigncore.audit.config import make_plans
from assigncore.audit.devices import open_backend
from assigncore.audit.errors import AuditError
from assigncore.audit.inputs import uses_crowds
from assigncore.datasets import read_coco


@pytest.fixture
def dataset(document, write):
    return read_coco(write(document))


@pytest.fixture
def frames(dataset, scale):
    return [scale.frame(image) for image in dataset.images]


def by_image(stream):
    return {one.frame.image.id: one for one in stream}


def plain_iou(a, b):
    """Overlaps of boxes, a pair at a time, in float32 as the library computes."""
    out = np.zeros((len(a), len(b)), dtype=np.float32)
    for i, p in enumerate(a):
        lt, rb = np.maximum(p[:2], b[:, :2]), np.minimum(p[2:], b[:, 2:])
        w, h = np.clip(rb - lt, 0, None).T
        areas = (p[2] - p[0]) * (p[3] - p[1]) + (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
        out[i] = w * h / np.maximum(areas - w * h, np.float32(1e-6))
    return out


def plain_max_iou(overlaps, pos, neg, low, match_low_quality):
    """Read the rule of the overlap thresholds once more, a ground truth at a time."""
    best = overlaps.max(axis=0)
    gt_inds = np.full(len(best), -1)
    gt_inds[best < np.float32(neg)] = 0
    gt_inds = np.where(best >= np.float32(pos), overlaps.argmax(axis=0) + 1, gt_inds)
    for i, row in enumerate(overlaps):
        if match_low_quality and row.max() >= np.float32(low):
            gt_inds[row == row.max()] = i + 1
    return gt_inds


@pytest.mark.parametrize("name", ["rpn", "retinanet", "faster-rcnn-rcnn"])
def test_a_preset_does_what_its_rule_says(name, dataset, frames, plan, settings):
    preset = plan(name)
    done = by_image(assign_images(preset, dataset, frames, settings))
    assert sorted(done) == [3, 5, 7]
    for frame in frames:
        one = done[frame.image.id]
        boxes = frame.boxes(dataset.objects(frame.image))
        assert [a.id for a in one.objects] == [a.id for a in dataset.objects(frame.image)]
        if not len(boxes):
            assert not one.gt_inds.any()
            continue
        overlaps = plain_iou(boxes, one.priors)
        rule = preset.assigner
        expected = plain_max_iou(
            overlaps, rule.pos_iou_thr, rule.neg_iou_thr, rule.min_pos_iou, rule.match_low_quality
        )
        np.testing.assert_array_equal(one.gt_inds, expected)
        np.testing.assert_array_equal(one.best_overlaps, overlaps.max(axis=1))


def test_every_prior_has_its_level(dataset, frames, plan, settings):
    one = next(assign_images(plan("rpn"), dataset, frames, settings))
    sides = np.sqrt((one.priors[:, 2] - one.priors[:, 0]) * (one.priors[:, 3] - one.priors[:, 1]))
    np.testing.assert_allclose(sides, 32 * 2.0**one.level, rtol=1e-5)


def same(left, right):
    assert sorted(left) == sorted(right)
    for image_id, one in left.items():
        other = right[image_id]
        assert [a.id for a in one.objects] == [a.id for a in other.objects]
        assert one.num_excluded == other.num_excluded
        np.testing.assert_array_equal(one.gt_inds, other.gt_inds)
        np.testing.assert_array_equal(one.level, other.level)
        np.testing.assert_array_equal(one.best_overlaps, other.best_overlaps)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("name", ["rpn", "faster-rcnn-rcnn"])
def test_the_batch_size_changes_nothing(batch_size, name, dataset, frames, plan, settings):
    other = dataclasses.replace(settings, batch_size=batch_size)
    expected = by_image(assign_images(plan(name), dataset, frames, settings))
    same(expected, by_image(assign_images(plan(name), dataset, frames, other)))


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize(
    "overrides", [(), ("allowed_border=0", "ignore_iof_thr=0.5")], ids=["plain", "all masks"]
)
def test_every_library_decides_the_same(library, overrides, dataset, frames, plan, settings):
    pytest.importorskip(library)
    backend, device = open_backend(library, "cpu")
    expected = by_image(assign_images(plan("rpn", *overrides), dataset, frames, settings))
    there = Settings(backend, device, batch_size=2)
    same(expected, by_image(assign_images(plan("rpn", *overrides), dataset, frames, there)))


def test_border_anchors_take_no_part(document, write, scale, plan, settings):
    # The best anchor for this narrow object at the left edge reaches over the edge.
    document["annotations"].append({"id": 16, "image_id": 7, "category_id": 4, "bbox": [0, 100, 10, 60]})
    dataset = read_coco(write(document))
    frames = [scale.frame(image) for image in dataset.images]
    done = by_image(assign_images(plan("rpn", "allowed_border=0"), dataset, frames, settings))
    for frame in frames:
        one = done[frame.image.id]
        height, width = frame.shape
        x1, y1, x2, y2 = one.priors.T
        outside = (x1 < 0) | (y1 < 0) | (x2 >= width) | (y2 >= height)
        assert one.num_excluded == outside.sum() > 0
        assert (one.gt_inds[outside] == -1).all()
        boxes = frame.boxes(one.objects)
        expected = plain_iou(boxes, one.priors[~outside]).max(axis=1) if len(boxes) else []
        np.testing.assert_array_equal(one.best_overlaps, expected)


def test_crowd_regions_become_ignore_regions(dataset, frames, plan, settings):
    without = by_image(assign_images(plan("rpn"), dataset, frames, settings))[7]
    assert not uses_crowds(plan("rpn"))
    crowded = plan("rpn", "ignore_iof_thr=0.5")
    assert uses_crowds(crowded)
    one = by_image(assign_images(crowded, dataset, frames, settings))[7]
    x1, y1, x2, y2 = one.priors.T
    width = np.clip(np.minimum(x2, 300) - np.maximum(x1, 200), 0, None)
    height = np.clip(np.minimum(y2, 200) - np.maximum(y1, 20), 0, None)
    covered = width * height / ((x2 - x1) * (y2 - y1)) > 0.5
    assert (one.gt_inds[covered] == -1).all()
    assert (without.gt_inds[covered] == 0).any()
    np.testing.assert_array_equal(one.gt_inds[~covered], without.gt_inds[~covered])


def test_the_batched_variant_of_the_assigner_can_be_audited(dataset, frames, plan, settings, write):
    own = {"type": "AscendMaxIoUAssigner", "pos_iou_thr": 0.7, "neg_iou_thr": 0.3, "min_pos_iou": 0.3}
    ascend = make_plans([], [write(own, "ascend.json")], [])[0]
    expected = by_image(assign_images(plan("rpn"), dataset, frames, settings))
    same(expected, by_image(assign_images(ascend, dataset, frames, settings)))


def recording(plan, signature):
    """Put an assigner in a plan that records what it is given."""
    space = {"seen": []}
    body = "seen.append(locals()); raise ValueError('done')"
    exec(f"def assign(priors, gt_bboxes, {signature}): {body}", space)
    assigner = type("Recorder", (), {"assign": staticmethod(space["assign"])})()
    return dataclasses.replace(plan, assigner=assigner), space["seen"]


def test_an_assigner_is_given_what_its_signature_names(dataset, frames, plan, settings):
    recorder, seen = recording(plan("rpn"), "num_level_priors, *, gt_valid, gt_labels=None, pred_scores=None")
    with pytest.raises(AuditError, match="rpn: done"):
        list(assign_images(recorder, dataset, frames[:1], settings))
    assert seen[0]["num_level_priors"] == (15360, 3840, 960, 240, 60)
    assert seen[0]["gt_valid"].sum() == 2
    assert seen[0]["gt_labels"][0, :2].tolist() == [1, 0]
    assert seen[0]["pred_scores"] is None


@pytest.mark.parametrize(
    ("name", "overrides", "signature", "reason"),
    [
        ("rpn", (), "*, gt_valid, gt_keypoints", "needs 'gt_keypoints'"),
        ("rpn", ("allowed_border=0",), "*, gt_valid", "takes no 'prior_valid'"),
        ("faster-rcnn-rcnn", (), "*, gt_valid", "takes no 'prior_valid'"),
        ("faster-rcnn-rcnn", (), "num_level_priors, *, gt_valid, prior_valid", "needs 'num_level_priors'"),
        ("rpn", (), "*, gt_labels=None", "takes no 'gt_valid'"),
    ],
)
def test_an_assigner_that_cannot_be_served_is_named(
    name, overrides, signature, reason, dataset, frames, plan, settings
):
    recorder, seen = recording(plan(name, *overrides), signature)
    with pytest.raises(AuditError, match=f"^{name}[^:]*: Recorder {reason}"):
        list(assign_images(recorder, dataset, frames, settings))
    assert not seen


def test_a_grid_no_memory_holds_is_refused(dataset, plan, settings, scale):
    huge = dataclasses.replace(scale, long_edge=100_000, short_edge=100_000)
    frames = [huge.frame(image) for image in dataset.images]
    with pytest.raises(AuditError, match="image 5: at 100000 x 75008 pixels it has 1,873,370,508 priors"):
        list(assign_images(plan("rpn"), dataset, frames, settings))


@pytest.mark.parametrize(
    ("name", "device", "reason"),
    [
        ("numpy", "cuda", "--device cuda: not available to numpy: NumPy computes on 'cpu' only"),
        ("torch", "nowhere", "--device nowhere: not available to torch"),
        ("jax", "nowhere", "--device nowhere: not available to jax"),
        ("jax", "cpu:99", "--device cpu:99: not available to jax"),
    ],
)
def test_a_device_that_is_not_there_is_named(name, device, reason):
    pytest.importorskip(name)
    with pytest.raises(AuditError, match=reason):
        open_backend(name, device)


def test_a_library_that_is_not_installed_is_named(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"backend {name!r}: install it")

    monkeypatch.setattr("assigncore.audit.devices.load_backend", missing)
    with pytest.raises(AuditError, match="--backend cupy: backend 'cupy': install it"):
        open_backend("cupy", None)

"""The statistics, against plain counting."""

import numpy as np
import pytest

from assigncore.audit.assigning import Assigned
from assigncore.audit.frames import ImageScale
from assigncore.audit.matched import matched_overlaps, summarize_matched
from assigncore.audit.statistics import (
    PriorCounts,
    SizeRow,
    collect,
    count_positives,
    overlap_histogram,
    size_row,
    summarize,
)
from assigncore.datasets import Annotations, Image
from assigncore.inspect.object_sizes import size_index


def assigned(image_id, areas, gt_inds, level, best, excluded=0):
    frame = ImageScale(None, None).frame(Image(image_id, 64, 64, f"{image_id}.png"))
    zeros = np.zeros(len(areas), dtype=np.int64)
    boxes = np.tile([0.0, 0.0, 8.0, 8.0], (len(areas), 1))
    objects = Annotations((frame.image,), (1,), zeros, boxes, zeros, np.asarray(areas, dtype=float), zeros)
    best = None if best is None else np.asarray(best, dtype=np.float32)
    gt_inds, level = np.asarray(gt_inds), np.asarray(level)
    labels, priors = np.arange(len(objects)), np.zeros((len(gt_inds), 4))
    by_level = np.bincount(level, minlength=1 + max(level))
    return Assigned(frame, objects, labels, gt_inds, excluded, priors, level, by_level, best)


@pytest.fixture
def findings():
    stream = [
        assigned(2, [5000.0, 10.0], [2, 0, 1, 1, -1, 2], [0, 0, 0, 1, 1, 1], [0.5, 0.25]),
        assigned(4, [], [0, 0, -1, -1], [0, 0, 0, 1], []),
        assigned(1, [20000.0, 900.0, 1024.0], [0, 0, -1, 3, -1, 3], [0, 0, 0, 1, 1, 1], [0.1, 1.0, 0.7], 1),
    ]
    return collect(stream, {1: 0, 2: 1, 4: 2}, 2)


def test_objects_come_in_the_order_of_the_data_set(findings):
    assert findings.objects.image.tolist() == [0, 0, 0, 1, 1]
    assert findings.objects.index.tolist() == [0, 1, 2, 0, 1]
    assert findings.objects.size.tolist() == [2, 0, 1, 1, 0]
    assert findings.objects.label.tolist() == [0, 1, 2, 0, 1]
    assert findings.objects.level.tolist() == [-1, -1, 1, 0, 0]
    assert findings.objects.positives.tolist() == [[0, 0], [0, 0], [0, 2], [1, 1], [1, 1]]
    np.testing.assert_allclose(findings.objects.best_overlaps, [0.1, 1.0, 0.7, 0.5, 0.25])


def test_every_prior_is_counted_once(findings):
    assert findings.priors == PriorCounts(positive=6, negative=5, ignored=4, excluded=1)
    assert findings.priors.total == 16
    assert findings.priors_by_level == (9, 7)


def test_size_rows_and_levels(findings):
    statistics = summarize(findings, ("fine", "coarse"))
    assert statistics.sizes == (
        SizeRow("small", 2, 1.0, 1.0, 1, 0.5),
        SizeRow("medium", 2, 2.0, 2.0, 0, 0.0),
        SizeRow("large", 1, 0.0, 0.0, 1, 1.0),
        SizeRow("all", 5, 1.2, 2.0, 2, 0.4),
    )
    fine, coarse = statistics.levels
    assert (fine.name, fine.priors, fine.positives, fine.objects) == ("fine", 9, 2, 2)
    assert fine.positives_by_size == (1, 1, 0)
    assert fine.share_of_positives == pytest.approx(1 / 3)
    assert (coarse.priors, coarse.positives, coarse.objects) == (7, 4, 3)
    assert coarse.positives_by_size == (1, 3, 0)


def test_without_objects_there_are_no_means():
    assert size_row("large", np.asarray([], dtype=int)) == SizeRow("large", 0, None, None, 0, None)
    findings = collect([assigned(1, [50.0], [0, 0], [0, 0], [0.0])], {1: 0}, 1)
    assert summarize(findings, ("only",)).levels[0].share_of_positives is None


def test_priors_that_are_no_boxes_have_no_overlaps():
    findings = collect([assigned(1, [50.0], [1, 0], [0, 0], None)], {1: 0}, 1)
    assert findings.objects.best_overlaps is None
    assert summarize(findings, ("only",)).overlaps is None


def test_size_classes_are_those_of_coco():
    areas = np.asarray([0.0, 1023.9, 1024.0, 9215.9, 9216.0, 1e9])
    assert size_index(areas).tolist() == [0, 0, 1, 1, 2, 2]


def test_positives_are_counted_as_one_would_by_hand():
    rng = np.random.default_rng(0)
    gt_inds, level = rng.integers(-1, 6, 500), rng.integers(0, 3, 500)
    expected = np.zeros((7, 3), dtype=int)
    for index, at in zip(gt_inds, level, strict=True):
        if index > 0:
            expected[index - 1, at] += 1
    np.testing.assert_array_equal(count_positives(gt_inds, level, 7, 3), expected)
    assert count_positives(np.asarray([0, -1]), np.asarray([0, 1]), 0, 3).shape == (0, 3)


def test_the_histogram_has_half_open_bins_and_one_in_the_last():
    best = np.asarray([0.0, 0.04, 0.05, 0.7, 0.6999, 0.95, 1.0], dtype=np.float32)
    sizes = np.asarray([0, 0, 0, 1, 1, 2, 2])
    histogram = overlap_histogram(best, sizes)
    small, medium, large = (np.nonzero(counts)[0].tolist() for counts in histogram.counts)
    assert (small, medium, large) == ([0, 1], [13, 14], [19])
    assert sum(map(sum, histogram.counts)) == 7
    assert histogram.counts[0][:2] == (2, 1)
    assert histogram.median == pytest.approx(0.6999)


def test_what_learns_is_judged_by_the_predictions_it_is_given():
    gt = np.asarray([[0, 0, 10, 10], [20, 0, 30, 10], [50, 0, 60, 10]], dtype=np.float32)
    boxes = np.asarray([[0, 0, 10, 10], [0, 0, 10, 5], [20, 0, 24, 10], [50, 0, 60, 10]], dtype=np.float32)
    found = matched_overlaps(np.asarray([1, 1, 2, 0]), boxes, gt)
    np.testing.assert_allclose(found, [0.75, 0.4, np.nan])
    row = summarize_matched(found)
    assert (row.objects, row.poor, row.share_poor) == (2, 1, 0.5)
    assert (row.mean, row.median) == pytest.approx((0.575, 0.575))


def test_nothing_learns_without_positives():
    found = matched_overlaps(np.zeros(3, dtype=int), np.zeros((3, 4)), np.ones((2, 4)))
    assert np.isnan(found).all()
    row = summarize_matched(found)
    assert (row.objects, row.mean, row.median, row.poor, row.share_poor) == (0, None, None, 0, None)


def test_assignments_without_predictions_have_none_to_judge(findings):
    assert summarize(findings, ("fine", "coarse")).matched is None

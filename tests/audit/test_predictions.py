"""Predictions: simulated ones, and what priors, queries and masks are given of a detector's boxes."""

import numpy as np
import pytest

from assigncore.audit import dense, masks
from assigncore.audit.dense import PredictingLayout, own_boxes, spread
from assigncore.audit.frames import make_batch
from assigncore.audit.layouts import GridLayout
from assigncore.audit.predictions import LOW_SCORE, Predictor, as_logits, as_softmax_logits, simulate
from assigncore.audit.queries import Queries, QueryLayout
from assigncore.audit.results import Detections, load_results
from assigncore.backend import load_backend
from assigncore.boxes import pairwise_iou
from assigncore.datasets import read_coco
from assigncore.priors import PointGenerator


@pytest.fixture
def dataset(document, write):
    return read_coco(write(document))


@pytest.fixture
def given(dataset, write):
    results = [
        {"image_id": 7, "category_id": 4, "bbox": [100, 100, 40, 50], "score": 0.8},
        {"image_id": 7, "category_id": 9, "bbox": [5, 8, 0, 7], "score": 0.4},
        {"image_id": 7, "category_id": 9, "bbox": [200, 20, 30, 30], "score": 0.6},
    ]
    return Predictor(
        dataset, load_results("--predictions", write(results, "r.json"), dataset, with_classes=True)
    )


def batch_of(dataset, scale, *image_ids):
    return make_batch(dataset, [scale.frame(i) for i in dataset.images if i.id in image_ids])


def test_simulated_detections_are_repeatable_and_inside_the_image(rivals):
    for image in rivals.images:
        found = simulate(rivals, image, seed=1)
        assert len(found) == len(rivals.objects(image))
        assert (found.boxes[:, :2] <= found.boxes[:, 2:]).all()
        assert (found.boxes >= 0).all()
        assert (found.boxes <= [image.width, image.height] * 2).all()
        assert (np.diff(found.scores) <= 0).all()
        again = simulate(rivals, image, seed=1)
        np.testing.assert_array_equal(found.boxes, again.boxes)
        if len(found):
            assert (found.boxes != simulate(rivals, image, seed=2).boxes).any()


def test_simulated_detections_are_the_objects_with_noise(document, write):
    document["images"] = [{"id": 1, "width": 9000, "height": 9000}]
    document["annotations"] = [
        {"id": i, "image_id": 1, "category_id": 4, "bbox": [3000, 4000, 100, 200]} for i in range(2000)
    ]
    dataset = read_coco(write(document))
    found = simulate(dataset, dataset.images[0], seed=0)
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    moves = ((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 - [3050, 4100]) / [100, 200]
    for noise in (moves, np.log(sides / [100, 200])):
        np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.01)
        np.testing.assert_allclose(noise.std(axis=0), 0.1, atol=0.005)
    assert 0.3 <= found.scores.min() < 0.31
    assert 0.89 < found.scores.max() <= 0.9
    assert set(found.labels.tolist()) == {1}


def test_the_report_says_where_predictions_come_from(dataset, given):
    assert (
        "SIMULATED from the ground truth (no --predictions), seed 3" in Predictor(dataset, seed=3).describe()
    )
    assert given.describe().startswith("predictions: the 3 detections of ")
    assert "not used" not in given.describe()


SQUARES = np.asarray([[16 * i, 0, 16 * i + 16, 16] for i in range(6)], dtype=np.float32)


def test_every_prior_predicts_the_strongest_detection_near_it():
    found = Detections.ordered([[0, 0, 16, 16], [18, 0, 34, 16]], [0.9, 0.2], [0, 1])
    boxes, scores = spread(SQUARES, found, 2)
    weight = np.exp(-((14 / 16) ** 2 - (2 / 16) ** 2) / (2 * dense.REACH**2))
    np.testing.assert_allclose(scores[:3, 0], [0.9, 0.9 * np.exp(-2), LOW_SCORE], rtol=1e-5)
    np.testing.assert_allclose(scores[:3, 1], [LOW_SCORE, 0.2, 0.2 * weight], rtol=1e-5)
    np.testing.assert_array_equal(boxes[:3], found.boxes[[0, 1, 1]])
    np.testing.assert_array_equal(boxes[3:], SQUARES[3:])
    np.testing.assert_array_equal(scores[3:], np.float32(LOW_SCORE))


def test_no_detection_is_lost_to_a_stronger_neighbour_unless_they_share_the_nearest_prior():
    close = Detections.ordered([[0, 0, 16, 16], [9, 0, 25, 16]], [0.9, 0.1], [0, 0])
    np.testing.assert_array_equal(spread(SQUARES, close, 1)[0][:2], close.boxes)
    same = Detections.ordered([[0, 0, 16, 16], [1, 0, 17, 16]], [0.9, 0.1], [0, 1])
    boxes, scores = spread(SQUARES, same, 2)
    np.testing.assert_array_equal(boxes[:2], same.boxes[[0, 0]])
    np.testing.assert_allclose(scores[0], [0.9, 0.1])


def test_the_prior_of_the_right_size_is_the_nearest():
    own = np.asarray([[0, 0, 16, 16], [-8, -8, 24, 24], [-24, -24, 40, 40]], dtype=np.float32)
    found = Detections.ordered([[-7, -9, 23, 25]], [0.5], [0])
    scores = spread(own, found, 1)[1][:, 0]
    assert scores.argmax() == 1
    assert scores[1] == np.float32(0.5)


def test_boxes_without_area_and_nothing_at_all_are_predicted_too():
    flat = Detections.ordered([[40, 4, 40, 9], [20, 8, 20, 8]], [1.0, 0.0], [0, 0])
    boxes, scores = spread(SQUARES, flat, 1)
    assert boxes[2].tolist() == [40, 4, 40, 9]
    assert boxes[1].tolist() == [20, 8, 20, 8]
    assert scores[2] == 1
    assert np.isfinite(scores).all()
    boxes, scores = spread(SQUARES, Detections.ordered([], [], []), 3)
    np.testing.assert_array_equal(boxes, SQUARES)
    assert scores.shape == (6, 3)
    assert spread(SQUARES[:0], flat, 1)[0].shape == (0, 4)


def test_points_stand_for_squares_of_their_strides():
    points = np.asarray([[4, 4, 8, 8], [100, 50, 16, 32]], dtype=np.float32)
    expected = [[-12, -12, 20, 20], [68, -14, 132, 114]]
    np.testing.assert_array_equal(own_boxes(points, points=True), expected)
    np.testing.assert_array_equal(own_boxes(points[:1, :3], points=True), expected[:1])
    assert own_boxes(SQUARES, points=False) is SQUARES


def test_each_image_of_a_batch_has_the_predictions_of_its_own_detections(dataset, given, scale):
    batch = batch_of(dataset, scale, 7, 5)
    grid = GridLayout(PointGenerator(strides=(8, 16)), -1)
    laid = PredictingLayout(grid, given, points=True).lay(batch, load_backend("numpy"), None)
    assert laid.predicted.boxes.shape == (2, len(laid.host_priors), 4)
    assert laid.predicted.scores.shape == (2, len(laid.host_priors), 2)
    first, second = laid.predicted.scores
    assert first.max(axis=0).tolist() == pytest.approx([0.6, 0.8])
    np.testing.assert_array_equal(second, np.float32(LOW_SCORE))
    objects = batch.gt_bboxes[0, :1]
    assert pairwise_iou(objects, laid.predicted.boxes[0]).max() == 1


def test_queries_are_the_best_detections_and_then_random_boxes(dataset, given, scale):
    batch = batch_of(dataset, scale, 7, 5)
    laid = QueryLayout(Queries(5), given).lay(batch, load_backend("numpy"), None)
    assert laid.counts == (5, 5)
    boxes, scores = laid.predicted.boxes, laid.predicted.scores
    assert boxes[0, :3].tolist() == [[100, 100, 140, 150], [200, 20, 230, 50], [5, 8, 5, 15]]
    np.testing.assert_allclose(scores[0, :3], [[LOW_SCORE, 0.8], [0.6, LOW_SCORE], [0.4, LOW_SCORE]])
    rest = np.concatenate([boxes[0, 3:], boxes[1]])
    assert (rest[:, :2] < rest[:, 2:]).all()
    assert len(np.unique(rest, axis=0)) == 7
    np.testing.assert_array_equal(scores[1], np.float32(LOW_SCORE))
    few = QueryLayout(Queries(2), given).lay(batch, load_backend("numpy"), None)
    np.testing.assert_array_equal(few.predicted.boxes[0], boxes[0, :2])


def test_queries_that_are_none_are_refused():
    for wrong in (0, 2.0, True):
        with pytest.raises(ValueError, match="num_queries: expected an integer of at least 1"):
            Queries(wrong)


def test_logits_give_the_scores_back():
    scores = np.asarray([[0.8, 0.001], [0.5, 0.5], [0.9, 0.6]])
    np.testing.assert_allclose(1 / (1 + np.exp(-as_logits(scores))), scores, rtol=1e-6)
    softmax = np.exp(as_softmax_logits(scores))
    softmax /= softmax.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(softmax[0], [0.8, 0.001, 0.199], rtol=1e-3)
    np.testing.assert_allclose(softmax[1:], [[0.5, 0.5, 0], [0.6, 0.4, 0]], atol=1e-3)
    assert np.isfinite(as_logits(np.asarray([0.0, 1.0]))).all()


def test_masks_cover_what_their_boxes_cover():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 100, (2, 9, 2, 2))
    boxes = np.concatenate([corners.min(axis=-2), corners.max(axis=-2)], axis=-1)
    drawn = masks.box_masks(boxes, np.asarray([[100, 100], [100, 200]]), cells=10)
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    np.testing.assert_allclose(drawn.sum(axis=(-1, -2)), areas / [[100], [200]], rtol=1e-5)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert masks.box_masks(np.zeros((1, 2, 4)), np.asarray([[9, 9]])).shape == (1, 2, 112, 112)

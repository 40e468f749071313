"""Proposals: read from a results file, or simulated."""

import numpy as np
import pytest

from assigncore.audit.coco import load_coco
from assigncore.audit.errors import AuditError
from assigncore.audit.proposals import Proposals, fpn_levels, load_proposals


@pytest.fixture
def dataset(document, write):
    return load_coco(write(document))


def entry(image_id, score, x=0):
    return {"image_id": image_id, "category_id": 1, "bbox": [x, 0, 10, 20], "score": score}


def test_the_best_scores_come_first_and_equal_ones_in_order(dataset, write):
    results = [entry(7, 0.5, 1), entry(3, 0.9, 2), entry(7, 0.8, 3), entry(7, 0.5, 4)]
    found = load_proposals(write(results, "results.json"), dataset)
    assert found.of(dataset.images[0], 1000).tolist() == [[3, 0, 13, 20], [1, 0, 11, 20], [4, 0, 14, 20]]
    assert found.of(dataset.images[0], 2)[:, 0].tolist() == [3, 1]
    assert found.of(dataset.images[2], 5).shape == (0, 4)
    assert found.num_unusable == 0


@pytest.mark.parametrize(
    "broken",
    [
        "text",
        {"image_id": 7, "score": 0.5},
        {"image_id": 7, "bbox": [1, 2, 3, 4]},
        {"image_id": [7], "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 99, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 7, "bbox": [1, 2, -3, 4], "score": 0.5},
        {"image_id": 7, "bbox": [1, 2, None, 4], "score": 0.5},
        {"image_id": 7, "bbox": [1, 2, float("nan"), 4], "score": 0.5},
        {"image_id": 7, "bbox": [1, 2, 3, 4], "score": float("nan")},
        {"image_id": 7, "bbox": [1, 2, 3], "score": 0.5},
    ],
)
def test_what_cannot_be_used_is_counted(broken, dataset, write):
    found = load_proposals(write([broken, entry(7, 0.5)], "results.json"), dataset)
    assert found.num_unusable == 1
    assert len(found.of(dataset.images[0], 1000)) == 1


def test_a_zero_width_is_kept_as_detectors_do(dataset, write):
    results = [{"image_id": 7, "bbox": [1, 2, 0, 4], "score": 0.5}]
    assert load_proposals(write(results, "results.json"), dataset).num_unusable == 0


def test_a_file_of_other_images_is_refused(dataset, write):
    with pytest.raises(AuditError, match=r"none of the 1 entries"):
        load_proposals(write([entry(99, 0.5)], "results.json"), dataset)
    with pytest.raises(AuditError, match=r"expected a COCO results file"):
        load_proposals(write({"boxes": []}, "results.json"), dataset)
    with pytest.raises(AuditError, match=r"results.json: is empty"):
        load_proposals(write("", "results.json"), dataset)


def test_simulated_proposals_are_repeatable_and_inside_the_image(dataset):
    model = Proposals(max_per_image=200, per_object=5)
    for image in dataset.images:
        boxes = model.simulate(dataset, image, seed=1)
        assert boxes.shape == (200, 4)
        assert (boxes[:, :2] <= boxes[:, 2:]).all()
        assert (boxes >= 0).all()
        assert (boxes[:, [0, 2]] <= image.width).all()
        assert (boxes[:, [1, 3]] <= image.height).all()
        np.testing.assert_array_equal(boxes, model.simulate(dataset, image, seed=1))
        assert (boxes != model.simulate(dataset, image, seed=2)).any()


def test_simulated_proposals_lie_around_the_objects(dataset):
    boxes = Proposals(max_per_image=400, per_object=200).simulate(dataset, dataset.images[0], seed=0)
    np.testing.assert_allclose(np.median(boxes[:200], axis=0), [100, 100, 140, 150], atol=3)
    np.testing.assert_allclose(np.median(boxes[200:], axis=0), [5, 8, 11, 15], atol=1)


def test_many_objects_may_have_more_proposals(dataset):
    assert len(Proposals(max_per_image=3, per_object=4).simulate(dataset, dataset.images[0], seed=0)) == 8


def test_the_report_says_that_they_are_simulated(dataset, write):
    assert "SIMULATED" in Proposals().describe(None, 3)
    assert "seed 3" in Proposals().describe(None, 3)
    given = load_proposals(write([entry(7, 0.5)], "results.json"), dataset)
    assert "SIMULATED" not in Proposals().describe(given, 3)
    assert "not used" not in Proposals().describe(given, 3)
    mixed = load_proposals(write([entry(7, 0.5), entry(99, 0.5)], "results.json"), dataset)
    assert "1 of its entries are not used" in Proposals().describe(mixed, 3)


def test_levels_follow_the_published_equation():
    sides = np.asarray([0.0, 1.0, 111.0, 112.0, 223.0, 224.0, 447.0, 448.0, 5000.0])
    boxes = np.stack([np.zeros(9), np.zeros(9), sides, sides], axis=-1)
    assert fpn_levels(boxes).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3]

"""Proposals: of a results file, or simulated."""

import numpy as np
import pytest

from assigncore.audit.proposals import Proposals, fpn_levels
from assigncore.audit.results import load_results
from assigncore.datasets import read_coco


@pytest.fixture
def dataset(document, write):
    return read_coco(write(document))


def entry(image_id, score, x=0):
    return {"image_id": image_id, "category_id": 1, "bbox": [x, 0, 10, 20], "score": score}


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
    given = load_results("--proposals", write([entry(7, 0.5)], "results.json"), dataset)
    assert "SIMULATED" not in Proposals().describe(given, 3)
    assert "not used" not in Proposals().describe(given, 3)
    mixed = load_results("--proposals", write([entry(7, 0.5), entry(99, 0.5)], "results.json"), dataset)
    assert "1 entry not used" in Proposals().describe(mixed, 3)


def test_levels_follow_the_published_equation():
    sides = np.asarray([0.0, 1.0, 111.0, 112.0, 223.0, 224.0, 447.0, 448.0, 5000.0])
    boxes = np.stack([np.zeros(9), np.zeros(9), sides, sides], axis=-1)
    assert fpn_levels(boxes).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3]

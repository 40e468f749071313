"""Results files: what is read, and what is broken or of nobody's image."""

import pytest

from assigncore.audit.errors import AuditError
from assigncore.audit.results import load_results
from assigncore.datasets import InputFileError, read_coco


@pytest.fixture
def read(document, write):
    dataset = read_coco(write(document))

    def read(results, **options):
        return load_results("--boxes", write(results, "results.json"), dataset, **options)

    return read


@pytest.fixture
def image(document, write):
    images = {i.id: i for i in read_coco(write(document)).images}
    return images.__getitem__


def entry(image_id, score, x=0, **fields):
    return {"image_id": image_id, "category_id": 4, "bbox": [x, 0, 10, 20], "score": score, **fields}


def test_the_best_scores_come_first_and_equal_ones_in_order(read, image):
    found = read([entry(7, 0.5, 1), entry(3, 0.9, 2), entry(7, 0.8, 3, category_id=9), entry(7, 0.5, 4)])
    assert found.of(image(7)).boxes.tolist() == [[3, 0, 13, 20], [1, 0, 11, 20], [4, 0, 14, 20]]
    assert found.of(image(7)).scores.tolist() == [0.8, 0.5, 0.5]
    assert found.of(image(7)).labels.tolist() == [0, 1, 1]
    assert found.of(image(5)).boxes.shape == (0, 4)
    assert (found.num_used, found.num_unusable) == (4, 0)
    assert found.warnings() == []


BROKEN = {
    "text": ("text", "expected an object"),
    "no box": ({"image_id": 7, "score": 0.5}, "the field 'bbox' is missing"),
    "no score": ({"image_id": 7, "bbox": [1, 2, 3, 4]}, "the field 'score' is missing"),
    "an image that is a list": (entry([7], 0.5), "image_id: expected a number or a name"),
    "a negative width": (entry(7, 0.5, bbox=[1, 2, -3, 4]), "bbox: expected width and height of at least 0"),
    "a box with null": (entry(7, 0.5, bbox=[1, 2, None, 4]), "bbox: expected four finite numbers"),
    "a box with NaN": (entry(7, 0.5, bbox=[1, 2, float("nan"), 4]), "bbox: expected four finite numbers"),
    "a box beyond all numbers": (
        entry(7, 0.5, bbox=[1e308, 2, 1e308, 4]),
        "bbox: expected pixels of an image",
    ),
    "three numbers": (entry(7, 0.5, bbox=[1, 2, 3]), "bbox: expected four finite numbers"),
    "a score that is NaN": (entry(7, float("nan")), "score: expected a finite number, got nan"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read_is_named(case, read, image):
    broken, reason = BROKEN[case]
    found = read([entry(7, 0.25), broken, entry(7, 0.5)])
    assert found.num_unusable == 1
    assert len(found.of(image(7))) == 2
    assert len(found.warnings()) == 1
    assert f"results.json: entry at index 1: {reason}" in found.warnings()[0]


CLASSLESS = {
    "no category": (
        {"image_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5},
        "the field 'category_id' is missing",
    ),
    "a category of another data set": (entry(7, 0.5, category_id=1), "there is no category 1"),
    "a category as text": (entry(7, 0.5, category_id="ape"), "there is no category 'ape'"),
    "a score above 1": (entry(7, 99), "score: expected a probability from 0 to 1, got 99"),
    "a score below 0": (entry(7, -0.5), "score: expected a probability from 0 to 1, got -0.5"),
}


@pytest.mark.parametrize("case", CLASSLESS)
def test_classes_and_probabilities_count_only_where_they_are_read(case, read):
    odd, reason = CLASSLESS[case]
    assert read([odd]).num_used == 1
    found = read([odd, entry(7, 0.5)], with_classes=True)
    assert (found.num_used, found.num_unusable) == (1, 1)
    assert reason in found.warnings()[0]


def test_a_box_without_area_is_kept_as_detectors_do(read):
    assert read([entry(7, 0.5, bbox=[1, 2, 0, 4])]).num_unusable == 0


def test_entries_of_unknown_images_are_counted_and_named(read):
    found = read([entry(99, 0.5), entry(7, 0.5), entry("x", 0.5), entry(99, 0.25)])
    assert found.unknown_images == {99: 2, "x": 1}
    assert found.num_unusable == 3
    (line,) = found.warnings()
    assert line.endswith("3 entries of images that the annotations do not list, not used: 99, x")


def test_many_are_named_up_to_ten(read):
    found = read([entry(7, 0.5), *(entry(100 + i, 0.5) for i in range(12)), *(["text"] * 13)])
    lines = found.warnings()
    assert len(lines) == 12
    assert lines[10].endswith("3 more broken entries skipped")
    assert lines[11].endswith("100, 101, 102, 103, 104, 105, 106, 107, 108, 109 and 2 more")


def test_a_file_without_a_usable_box_is_refused(read):
    with pytest.raises(AuditError, match=r"none of 1 entry is .* of the images 99, this run has 7, 3, 5$"):
        read([entry(99, 0.5)])
    with pytest.raises(AuditError, match=r"a list of boxes .*, got an empty one$"):
        read([])
    with pytest.raises(AuditError, match=r"none of 1 entry .*; the first: entry at index 0: there is"):
        read([entry(7, 0.5, category_id=1)], with_classes=True)
    with pytest.raises(AuditError, match=r"--boxes .*results.json: expected a COCO results file"):
        read({"boxes": []})
    with pytest.raises(InputFileError, match=r"results.json: is empty"):
        read("")

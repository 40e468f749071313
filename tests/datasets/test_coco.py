"""COCO files: what is kept, what is skipped and why, what is refused."""

import hashlib
import lzma
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from assigncore.datasets import InputFileError, read_coco, sample_dataset

DATA = Path(__file__).resolve().parents[1] / "data"


def test_a_good_file_is_read_whole(document, write):
    dataset = read_coco(write(document))
    assert [image.id for image in dataset.images] == [7, 3, 5]
    assert [[a.id for a in dataset.objects(image)] for image in dataset.images] == [[12, 13], [11, 15], []]
    assert [[a.id for a in dataset.crowds(image)] for image in dataset.images] == [[14], [], []]
    assert dataset.skipped == ()
    assert dataset.categories == {9: "zebra", 4: "ape"}
    assert dataset.labels == {9: 0, 4: 1}


def test_boxes_become_corners_clipped_to_the_image(document, write):
    dataset = read_coco(write(document))
    first, second = dataset.objects(dataset.images[1])
    assert first.bbox == (20, 30, 150, 170)
    assert second.bbox == (200, 280, 240, 320)
    assert dataset.num_clipped == 1


def test_a_rounding_error_at_the_edge_is_no_clipping(document, write):
    document["annotations"][0]["bbox"] = [0, 0, 240.0000001, 10]
    assert read_coco(write(document)).num_clipped == 1


def test_what_coco_lets_out_is_filled_in(document, write):
    dataset = read_coco(write(document))
    last = dataset.objects(dataset.images[1])[1]
    assert last.area == 3600
    assert not last.crowd


def test_names_may_be_ids(document, write):
    for image in document["images"]:
        image["id"] = f"image {image['id']}"
    for annotation in document["annotations"]:
        annotation["image_id"] = f"image {annotation['image_id']}"
    del document["categories"]
    dataset = read_coco(write(document))
    assert len(dataset.objects(dataset.images[0])) == 2
    assert dataset.categories == {9: "9", 4: "4"}


BROKEN = {
    "no object": ("what", "expected an object, got a string"),
    "no image_id": ({"image_id": None}, "the field 'image_id' is missing"),
    "no category_id": ({"category_id": None}, "the field 'category_id' is missing"),
    "no bbox": ({"bbox": None}, "the field 'bbox' is missing"),
    "unknown image": ({"image_id": 99}, "there is no image 99"),
    "image of a wrong type": ({"image_id": {}}, "there is no image"),
    "category of a wrong type": (
        {"category_id": "ape"},
        "category_id: expected an id of 'categories', got 'ape'",
    ),
    "three numbers": ({"bbox": [1, 2, 3]}, "expected four finite numbers"),
    "a text among numbers": ({"bbox": [1, 2, "3", 4]}, "expected four finite numbers"),
    "a boolean among numbers": ({"bbox": [1, 2, True, 4]}, "expected four finite numbers"),
    "not a number": ({"bbox": [1, 2, float("nan"), 4]}, "expected four finite numbers"),
    "infinite": ({"bbox": [1, 2, float("inf"), 4]}, "expected four finite numbers"),
    "beyond floats": ({"bbox": [1, 2, 10**400, 4]}, "expected four finite numbers"),
    "beyond any image": ({"bbox": [1, 2, 1e300, 4]}, "expected pixels of an image, up to 2,147,483,647"),
    "the sum beyond floats": ({"bbox": [1e308, 2, 1e308, 4]}, "expected pixels of an image"),
    "a mask beyond floats": (
        {"bbox": None, "segmentation": {"counts": [1, 2, 3], "size": [10**400, 4]}},
        "the field 'bbox' is missing",
    ),
    "negative width": ({"bbox": [10, 10, -5, 5]}, "expected width and height above 0"),
    "zero height": ({"bbox": [10, 10, 5, 0]}, "expected width and height above 0"),
    "outside": ({"bbox": [1000, 10, 5, 5]}, "lies outside its image of 320 x 240 pixels"),
    "negative area": ({"area": -1}, "area: expected a finite number"),
    "iscrowd of a wrong value": ({"iscrowd": 2}, "iscrowd: expected 0 or 1"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_annotation_is_named_skipped_and_counted(case, document, write):
    change, reason = BROKEN[case]
    broken = change
    if isinstance(change, dict):
        broken = {"id": 77, "image_id": 7, "category_id": 4, "bbox": [1, 2, 3, 4], "iscrowd": 0, **change}
        broken = {k: v for k, v in broken.items() if v is not None}
    document["annotations"].insert(2, broken)
    dataset = read_coco(write(document))
    assert len(dataset.skipped) == 1
    skipped = dataset.skipped[0]
    assert skipped.index == 2
    assert reason in str(skipped)
    shown = broken.get("id") if isinstance(broken, dict) else None
    assert str(skipped).startswith(
        f"annotation {shown}:" if isinstance(shown, int) else "annotation at index 2:"
    )
    assert len(dataset.all_objects) + len(dataset.all_crowds) == 5


REFUSED = {
    "empty file": ("", "is empty"),
    "blank file": (" \n", "is empty"),
    "no JSON": ("{", "is not valid JSON"),
    "too deep": ("[" * 200_000, "is not valid JSON"),
    "a list": ([], "is not a COCO annotation file.*got a list"),
    "a number": ("3", "is not a COCO annotation file.*got a number"),
    "another object": ({"a": 1}, "is not a COCO annotation file.*got an object with 'a'"),
    "no annotations": ({"images": []}, "is not a COCO annotation file"),
    "images of a wrong type": (
        {"images": {}, "annotations": []},
        "'images' is an object of 0 entries by key",
    ),
    "no image": ({"images": [], "annotations": []}, "'images' is empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_coco_is_refused(case, write):
    content, reason = REFUSED[case]
    with pytest.raises(InputFileError, match=reason):
        read_coco(write(content))


IMAGES = {
    "no id": ({"id": None}, "image at index 0"),
    "no width": ({"width": None}, "image 7: expected width.*missing"),
    "no height": ({"height": None}, "image 7: expected height.*missing"),
    "zero width": ({"width": 0}, "image 7: expected width"),
    "half a pixel": ({"height": 10.5}, "image 7: expected height"),
    "width as text": ({"width": "320"}, "image 7: expected width"),
    "same id": ({"id": 3}, "image 3: another image has the same id"),
}


@pytest.mark.parametrize("case", IMAGES)
def test_an_image_that_cannot_be_used_is_named(case, document, write):
    change, reason = IMAGES[case]
    image = {**document["images"][0], **change}
    document["images"][0] = {k: v for k, v in image.items() if v is not None}
    with pytest.raises(InputFileError, match=reason):
        read_coco(write(document))


def test_nothing_usable_is_an_error_that_shows_the_first(document, write):
    for annotation in document["annotations"]:
        del annotation["bbox"]
    with pytest.raises(InputFileError, match=r"none of 5.*annotation 11: the field 'bbox' is missing"):
        read_coco(write(document))
    with pytest.raises(InputFileError, match="'annotations' is empty"):
        read_coco(write({**document, "annotations": []}))


def test_crowd_regions_alone_are_nothing_to_audit(document, write):
    for annotation in document["annotations"]:
        annotation["iscrowd"] = 1
    with pytest.raises(InputFileError, match=r"expected objects, got nothing but 5 crowd regions$"):
        read_coco(write(document))


def test_crowd_regions_and_broken_objects_are_nothing_to_audit(document, write):
    for annotation in document["annotations"]:
        annotation["bbox"][2] *= 1 if annotation.get("iscrowd") else -1
    with pytest.raises(
        InputFileError, match=r"1 crowd region; 4 more .*, the first is annotation 11: bbox: "
    ):
        read_coco(write(document))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputFileError, match="no such file"):
        read_coco(tmp_path / "nowhere.json")
    with pytest.raises(InputFileError, match="is a folder"):
        read_coco(tmp_path)
    (tmp_path / "binary").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x81\xff\xfe")
    with pytest.raises(InputFileError, match="is not text"):
        read_coco(tmp_path / "binary")


def test_every_error_is_one_line(write):
    with pytest.raises(InputFileError) as caught:
        read_coco(write({"images": [{"id": "a\nb"}], "annotations": []}))
    assert "\n" not in str(caught.value)


def test_the_bundled_sample_is_whole():
    dataset = sample_dataset()
    assert sorted(len(dataset.objects(image)) for image in dataset.images) == [37, 61, 279, 574]
    assert dataset.skipped == ()
    assert dataset.num_clipped == 0


def test_the_bundled_sample_says_whose_it_is():
    folder = files("assigncore") / "data"
    assert "Weinstein" in (folder / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert "MIT License" in (folder / "LICENSE.neon_trees").read_text(encoding="utf-8")
    assert "Weinstein" in (folder / "neon_trees.json").read_text(encoding="utf-8")


def test_the_bundled_sample_has_the_numbers_of_its_source():
    dataset = sample_dataset()
    numbers = [(image.id, a.bbox) for image in dataset.images for a in dataset.objects(image)]
    assert hashlib.sha256(repr(numbers).encode()).hexdigest() == (
        "0784f8bc2bf063683b460033533ecd06a192dfb3621d2a22a4fcd4a0d45059c7"
    )


def test_the_annotations_of_coco_are_whole_and_say_whose_they_are(tmp_path):
    path = tmp_path / "annotations.json"
    path.write_bytes(lzma.decompress((DATA / "coco_val2014_100.json.xz").read_bytes()))
    dataset = read_coco(path)
    assert len(dataset.images) == 100
    assert sum(len(dataset.objects(image)) for image in dataset.images) == 830
    assert sum(len(dataset.crowds(image)) for image in dataset.images) == 9
    assert dataset.skipped == ()
    told = (DATA / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert all(word in told for word in ("cocodataset.org", "Attribution 4.0", "Lin, Maire", "Changes:"))


def test_an_image_gives_what_assigners_take(document, write):
    dataset = read_coco(str(write(document)))
    assert len(dataset) == 3
    assert dataset.class_names == ("zebra", "ape")
    first, second, third = dataset
    assert first.image_shape == (240, 320)
    assert first.gt_bboxes.tolist() == [[100, 100, 140, 150], [5, 8, 11, 15]]
    assert (first.gt_bboxes.dtype, first.gt_labels.dtype) == (np.float32, np.int64)
    assert first.gt_labels.tolist() == [1, 0]
    assert first.ignore_bboxes.tolist() == [[200, 20, 300, 200]]
    assert second.ignore_bboxes.shape == (0, 4)
    assert (third.gt_bboxes.shape, third.gt_labels.shape) == ((0, 4), (0,))
    assert [each.image.id for each in dataset[1:]] == [3, 5]
    assert dataset[-1].image.id == 5


def test_its_repr_says_what_there_is(document, write):
    dataset = read_coco(write(document), source="a file")
    assert repr(dataset) == "Dataset(a file: 3 images, 4 objects, 2 classes)"
    assert repr(dataset[0]) == "AnnotatedImage(a.png, 320x240, 2 objects, 1 crowd region)"


def test_reading_needs_no_command_line():
    code = (
        "import sys, assigncore; assigncore.sample_dataset(); "
        "print({'click', 'rich', 'matplotlib', 'assigncore.audit'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

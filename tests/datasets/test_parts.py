"""Parts of a data set: images, classes, the first ones and random ones; and which format a path holds."""

import json

import numpy as np
import pytest

from assigncore.datasets import InputFileError, read_coco, read_dataset


@pytest.fixture
def dataset(document, write):
    """Read the small document."""
    return read_coco(write(document))


def boxes(dataset):
    """List the objects' boxes by image."""
    return {image.id: dataset[i].gt_bboxes.tolist() for i, image in enumerate(dataset.images)}


def test_a_part_has_the_images_and_their_annotations(dataset):
    part = dataset.part(1, 3)
    assert [image.id for image in part.images] == [3, 5]
    assert boxes(part) == {key: value for key, value in boxes(dataset).items() if key != 7}
    assert [a.image_id for a in part.all_objects] == [3, 3]
    assert [len(dataset.part(i, i + 1).all_crowds) for i in range(3)] == [1, 0, 0]
    assert len(dataset.part(3, 9)) == 0


def test_images_are_taken_in_any_order(dataset):
    taken = dataset.take([2, 0])
    assert [image.id for image in taken.images] == [5, 7]
    assert taken[1].gt_bboxes.tolist() == dataset[0].gt_bboxes.tolist()
    assert [a.id for a in taken.all_crowds] == [14]


@pytest.mark.parametrize("name", [3, "3", "b.png", "b"])
def test_an_image_is_called_by_id_or_file(name, dataset):
    part = dataset.filter(image_ids=[name])
    assert [image.id for image in part.images] == [3]
    assert part.notices == ("1 of 3 images",)


@pytest.mark.parametrize("name", ["ape", 4, "4"])
def test_a_category_alone(name, dataset):
    part = dataset.filter(categories=[name])
    assert part.class_names == ("ape",)
    assert [a.id for a in part.all_objects] == [12, 15]
    assert {a.category_id for a in part.all_objects} == {4}
    assert part[0].gt_labels.tolist() == [0]
    assert [a.id for a in part.all_crowds] == [14]
    assert [image.id for image in part.images] == [7, 3]


def test_several_filters_at_once(dataset):
    part = dataset.filter(categories=["zebra", "ape"], image_ids=[3, 7], limit=1)
    assert [image.id for image in part.images] == [7]
    assert part.class_names == ("zebra", "ape")


def test_images_are_drawn_by_a_seed(document, write):
    document["images"] = [{**document["images"][0], "id": i} for i in range(50)]
    document["annotations"] = [
        {"id": i, "image_id": i, "category_id": 4, "bbox": [i, 2, 30, 40]} for i in range(50)
    ]
    whole = read_coco(write(document))
    drawn = [[image.id for image in whole.filter(limit=10, seed=seed).images] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] == sorted(drawn[0])
    assert drawn[0] != drawn[2]
    assert [image.id for image in whole.filter(limit=10).images] == list(range(10))
    assert np.all(whole.filter(limit=10, seed=0).all_objects.bboxes[:, 0] == drawn[0])


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"image_ids": ["q"]}, "there is no image 'q'; the first ids are 7, 3, 5"),
        ({"categories": ["cow"]}, "there is no category 'cow'; known are zebra, ape"),
        ({"image_ids": [5]}, "nothing is left: no image chosen has an object"),
        ({"image_ids": [5], "categories": ["ape"]}, "nothing is left: no image chosen has an object"),
    ],
)
def test_what_is_not_there_is_said(wanted, reason, dataset):
    with pytest.raises(ValueError, match=reason):
        dataset.filter(**wanted)


def test_a_folder_with_one_file_is_that_file(document, write, tmp_path):
    (tmp_path / "set" / "annotations").mkdir(parents=True)
    path = tmp_path / "set" / "annotations" / "instances.json"
    path.write_text(json.dumps(document))
    assert len(read_dataset(tmp_path / "set").images) == 3
    assert len(read_dataset(tmp_path / "set", "coco").images) == 3
    (path.parent / "other.json").write_text("{}")
    with pytest.raises(
        InputFileError, match=r"several annotation files, annotations/instances\.json, annotations/other"
    ):
        read_dataset(tmp_path / "set")


def test_a_format_that_is_said_is_taken(document, write):
    path = write(document, "annotations.txt")
    assert read_dataset(path, "coco").format == "coco"
    with pytest.raises(InputFileError, match="none of 1 line can be used"):
        read_dataset(path, "crowdhuman")
    with pytest.raises(
        ValueError, match="format: expected one of coco, lvis, yolo, voc, crowdhuman, dota, got 'csv'"
    ):
        read_dataset(path, "csv")
    with pytest.raises(ValueError, match="split: coco has no splits"):
        read_dataset(path, split="val")


def test_what_is_not_there_or_of_no_format_is_one_line(tmp_path):
    for format in (None, "coco", "yolo", "voc", "crowdhuman"):
        with pytest.raises(InputFileError, match="no such file"):
            read_dataset(tmp_path / "nowhere", format)
    with pytest.raises(InputFileError, match="is a folder of no format that is known"):
        read_dataset(tmp_path)
    for format in ("coco", "crowdhuman", "voc", "yolo"):
        with pytest.raises(InputFileError):
            read_dataset(tmp_path, format)

"""Keypoints of label files: COCO's, and YOLO's."""

import numpy as np
import pytest

from assigncore import read_coco, read_dataset
from assigncore.datasets import InputFileError

from .images import write_image

POSES = [[10, 20, 2, 0, 0, 0, 30, 25, 1], [50, 60, 2, 55, 65, 2, 60, 70, 2]]


@pytest.fixture
def people(document):
    """Make three annotations of one image, of which two have keypoints."""
    annotations = [
        {"id": i, "image_id": 7, "category_id": 4, "bbox": [10 * i, 10, 40, 60]} for i in range(1, 4)
    ]
    for annotation, pose in zip(annotations, POSES, strict=False):
        annotation["keypoints"] = pose
    return {**document, "annotations": annotations}


def poses_of(dataset):
    return dataset.all_objects.keypoints


def test_coco_gives_keypoints_and_none_to_objects_without(people, write):
    dataset = read_coco(write(people))
    expected = np.array([*POSES, [0] * 9], dtype=float).reshape(3, 3, 3)
    np.testing.assert_array_equal(poses_of(dataset), expected)
    index = dataset.index_of[7]
    np.testing.assert_array_equal(dataset[index].gt_keypoints, expected.astype(np.float32))
    np.testing.assert_array_equal(poses_of(dataset.take([index])), expected)


def test_files_without_keypoints_have_none(document, write):
    dataset = read_coco(write(document))
    assert poses_of(dataset) is None
    assert dataset[0].gt_keypoints is None


@pytest.mark.parametrize("wrong", ["text", [1, 2], [1, 2, None], {"nose": 1}])
def test_keypoints_that_cannot_be_read_are_counted(people, write, wrong):
    people["annotations"][0]["keypoints"] = wrong
    dataset = read_coco(write(people))
    assert any("1 annotation has 'keypoints' that are no list" in notice for notice in dataset.notices)
    np.testing.assert_array_equal(poses_of(dataset)[0], np.zeros((3, 3)))
    np.testing.assert_array_equal(poses_of(dataset)[1].ravel(), POSES[1])


def test_keypoints_of_fewer_parts_are_filled_up(people, write):
    people["annotations"][2]["keypoints"] = [5, 6, 1]
    assert poses_of(read_coco(write(people)))[2].tolist() == [[5, 6, 1], [0, 0, 0], [0, 0, 0]]


@pytest.fixture
def labelled(tmp_path):
    """Give a function that writes a YOLO data set of one image."""

    def write(shape, *lines):
        write_image(tmp_path / "images" / "a.png", 200, 100)
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / "a.txt").write_text("".join(f"{line}\n" for line in lines))
        (tmp_path / "data.yaml").write_text(f"train: images\nnames: [person]\nkpt_shape: {shape}\n")
        return read_dataset(tmp_path)

    return write


BOX = "0 .5 .5 .2 .4"


def test_yolo_gives_keypoints_with_visibility_and_without(labelled):
    seen = labelled("[2, 3]", f"{BOX} .1 .2 2 0 0 0", f"{BOX[:-1]}5", f"{BOX[:-1]}6 .3 .4 1 .5 .6 2")
    assert poses_of(seen).tolist() == [
        [[20, 20, 2], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0]],
        [[60, 40, 1], [100, 60, 2]],
    ]
    plain = labelled("[2, 2]", f"{BOX} .1 .2 -1 -1", f"{BOX[:-1]}5 0 0 .5 nan")
    assert poses_of(plain).tolist() == [[[20, 20, 1], [0, 0, 0]], [[0, 0, 1], [0, 0, 0]]]


def test_four_keypoints_are_no_oriented_box(labelled):
    dataset = labelled("[2, 2]", f"{BOX} .1 .2 .3 .4")
    assert dataset.all_objects.oriented is None


def test_a_line_with_another_number_of_keypoints_is_named(labelled):
    dataset = labelled("[2, 3]", BOX, f"{BOX} .1 .2 2")
    (skipped,) = dataset.skipped
    assert "box" not in str(skipped)
    assert "2 keypoints of 3 numbers, got 8 numbers" in str(skipped)


@pytest.mark.parametrize("shape", ["17", "[17]", "[17, 4]", "[0, 3]", "[a, 3]", "[17, 3.5]"])
def test_a_wrong_shape_is_an_error_that_says_what_is_expected(labelled, shape):
    with pytest.raises(InputFileError, match="kpt_shape: expected the number of keypoints and 2 or 3"):
        labelled(shape, BOX)

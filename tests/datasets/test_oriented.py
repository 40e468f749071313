"""Oriented boxes of label files: DOTA's, and YOLO's with four corners."""

import numpy as np
import pytest

from assigncore import RotatedIoU, read_dataset
from assigncore.boxes import xywhr_to_corners
from assigncore.datasets import InputFileError

from .images import write_image

BOXES = np.array([[40.0, 30.0, 30.0, 10.0, 0.6], [70.0, 50.0, 12.0, 20.0, -0.3], [20.0, 60.0, 8.0, 8.0, 0.0]])


def same_boxes(found, expected):
    assert found.shape == expected.shape
    overlaps = RotatedIoU()(found.astype(np.float64), np.asarray(expected), is_aligned=True)
    np.testing.assert_allclose(overlaps, 1, atol=1e-5)


def dota(folder, lines, name="P0001", labels="labelTxt"):
    write_image(folder / "images" / f"{name}.png", 100, 80)
    (folder / labels).mkdir(exist_ok=True)
    (folder / labels / f"{name}.txt").write_text("\n".join(lines))


def line(box, name="ship", difficult="0"):
    return " ".join([*(f"{x:.6f}" for x in xywhr_to_corners(box).ravel()), name, difficult])


def test_dota_gives_oriented_boxes_and_those_around_them(tmp_path):
    lines = [
        "imagesource:GoogleEarth",
        "gsd:0.15",
        line(BOXES[0]),
        line(BOXES[1], "plane", "1"),
        line(BOXES[2]),
    ]
    dota(tmp_path, lines)
    dota(tmp_path, [], "P0002")
    dataset = read_dataset(tmp_path)
    assert (dataset.format, dataset.class_names) == ("dota", ("plane", "ship"))
    assert [image.file_name for image in dataset.images] == ["P0001", "P0002"]
    image, empty = dataset
    assert image.image_shape == (80, 100)
    same_boxes(image.gt_oriented, BOXES)
    assert image.gt_labels.tolist() == [1, 0, 1]
    corners = xywhr_to_corners(BOXES)
    around = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=-1)
    np.testing.assert_allclose(image.gt_bboxes, around, atol=1e-3)
    assert empty.gt_oriented.shape == (0, 5)
    # The size class is by the object's own area, not by that of the upright box around it.
    np.testing.assert_allclose(dataset.all_objects.areas, BOXES[:, 2] * BOXES[:, 3], rtol=1e-5)
    assert any("1 object is marked as difficult" in notice for notice in dataset.notices)
    assert read_dataset(tmp_path / "labelTxt", "dota", images=tmp_path / "images").format == "dota"
    same_boxes(dataset.filter(categories=[1])[0].gt_oriented, BOXES[[0, 2]])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("1 2 3 ship 0", "expected four corners"),
        ("1 2 3 4 5 6 7 x ship 0", "expected numbers"),
        ("1 2 3 4 5 6 7 nan ship 0", "expected finite numbers of pixels"),
        ("1 2 3 4 5 6 7 1e300 ship 0", "expected finite numbers of pixels"),
    ],
)
def test_a_wrong_line_is_left_out_and_named(tmp_path, wrong, words):
    dota(tmp_path, [line(BOXES[0]), wrong])
    dataset = read_dataset(tmp_path)
    assert len(dataset.all_objects) == 1
    (skipped,) = dataset.skipped
    assert str(skipped).startswith("labelTxt/P0001.txt line 2: ")
    assert words in skipped.reason


def test_dota_without_images_says_what_is_missing(tmp_path):
    (tmp_path / "labelTxt").mkdir()
    (tmp_path / "labelTxt" / "a.txt").write_text(line(BOXES[0]))
    with pytest.raises(InputFileError, match="--images DIR says where they are"):
        read_dataset(tmp_path)
    (tmp_path / "labelTxt" / "a.txt").unlink()
    with pytest.raises(InputFileError, match="expected label files, found none"):
        read_dataset(tmp_path)


def yolo(folder, lines):
    write_image(folder / "images" / "a.png", 100, 80)
    (folder / "labels").mkdir()
    (folder / "labels" / "a.txt").write_text("\n".join(lines))


def test_yolo_obb_gives_oriented_boxes(tmp_path):
    corners = xywhr_to_corners(BOXES) / np.array([100.0, 80.0])
    yolo(tmp_path, [" ".join(["0", *(f"{x:.8f}" for x in points.ravel())]) for points in corners])
    dataset = read_dataset(tmp_path)
    same_boxes(dataset[0].gt_oriented, BOXES)
    assert any("oriented boxes" in notice for notice in dataset.notices)


def test_upright_boxes_are_not_oriented(tmp_path):
    yolo(tmp_path, ["0 0.5 0.5 0.2 0.2"])
    assert read_dataset(tmp_path)[0].gt_oriented is None

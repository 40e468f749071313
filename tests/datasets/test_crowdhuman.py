"""CrowdHuman's odgt: sizes from the images, what is ignored, and broken lines."""

import json

import pytest

from assigncore.datasets import InputFileError, read_dataset

from .images import write_image


def person(box, **more):
    """Give one entry of gtboxes."""
    return {"tag": "person", "fbox": box, "vbox": [0, 0, 1, 1], "hbox": [0, 0, 1, 1], **more}


LINES = [
    {
        "ID": "273271,c9db000d",
        "gtboxes": [
            person([10, 20, 30, 60]),
            person([50, 10, 20, 40], extra={"ignore": 1}),
            person([-10, 30, 40, 80], extra={"occ": 1}),
            {"tag": "mask", "fbox": [70, 70, 10, 10]},
        ],
    },
    {"ID": "b", "gtboxes": []},
]


@pytest.fixture
def path(tmp_path):
    """Write a file of two images beside the folder of images."""
    for line in LINES:
        write_image(tmp_path / "Images" / f"{line['ID']}.jpg", 100, 90)
    return save(tmp_path / "annotation_val.odgt", *LINES)


def save(path, *lines):
    """Write lines of JSON, or of anything."""
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def test_whole_bodies_are_objects_and_what_is_ignored_are_regions(path):
    dataset = read_dataset(path)
    assert (dataset.format, dataset.class_names) == ("crowdhuman", ("person",))
    assert [(i.id, i.width, i.height) for i in dataset.images] == [
        ("273271,c9db000d", 100, 90),
        ("b", 100, 90),
    ]
    assert dataset[0].gt_bboxes.tolist() == [[10, 20, 40, 80], [0, 30, 30, 90]]
    assert dataset[0].ignore_bboxes.tolist() == [[50, 10, 70, 50], [70, 70, 80, 80]]
    assert dataset.num_clipped == 1
    assert read_dataset(path.parent).format == "crowdhuman"


def test_sizes_come_from_the_images(path, tmp_path):
    (tmp_path / "Images").rename(tmp_path / "elsewhere")
    with pytest.raises(InputFileError, match=r"none of 2 lines can be used.*--images DIR"):
        read_dataset(path)
    assert len(read_dataset(path, images=tmp_path / "elsewhere").all_objects) == 2
    told = save(tmp_path / "told.odgt", {**LINES[0], "width": 100, "height": 90})
    assert len(read_dataset(told).all_objects) == 2
    with pytest.raises(InputFileError, match="the format does not tell the size"):
        read_dataset(save(tmp_path / "told.odgt", {**LINES[0], "width": 1e300, "height": 90}))


BROKEN = {
    "no JSON": ("{oops", "line 3: is not valid JSON"),
    "no ID": ({"gtboxes": []}, "line 3: expected an object with 'ID'"),
    "a list": ("[]", "line 3: expected an object with 'ID'"),
    "no image": ({"ID": "c", "gtboxes": []}, "line 3: there is no 'c.jpg'"),
    "an image again": (LINES[1], "line 3: another line has the image 'b'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_line_among_good_ones_is_named_skipped_and_counted(case, path):
    line, reason = BROKEN[case]
    dataset = read_dataset(save(path, *LINES, line))
    assert len(dataset.images) == 2
    assert len(dataset.skipped) == 1
    assert str(dataset.skipped[0]).startswith(reason)


@pytest.mark.parametrize(
    "box", [None, [1, 2, 3], [1, 2, "3", 4], [5, 5, 0, 4], [200, 5, 5, 5], [1e308, 2, 1e308, 4]]
)
def test_a_broken_box_is_named_skipped_and_counted(box, path):
    line = {"ID": "b", "gtboxes": [person([5, 5, 5, 5]), person(box)]}
    dataset = read_dataset(save(path, LINES[0], line))
    assert len(dataset.all_objects) == 3
    assert [s.index for s in dataset.skipped] == [2]
    assert "object 2: " in str(dataset.skipped[0])

"""YOLO's folders: where images and labels are, what a line may be, and what is broken among them."""

import pytest

from assigncore.datasets import InputFileError, read_dataset

from .images import write_image

YAML = "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n"


@pytest.fixture
def folder(tmp_path):
    """Make a data set: two training images with three objects, one without labels, one validation image."""
    root = tmp_path / "pets"
    for name in ("train/000012.jpg", "train/b.png", "train/c.png", "val/v.png"):
        write_image(root / "images" / name, 200, 100)
    put(root, "train/000012.txt", "0 0.5 0.5 0.2 0.4\n1 0.25 0.5 0.1 0.1\n")
    put(root, "train/b.txt", "1 0.9 0.5 0.4 0.5\n")
    put(root, "val/v.txt", "0 0.5 0.5 1 1")
    (root / "data.yaml").write_text(YAML)
    return root


def put(root, name, text):
    """Write a label file."""
    path = root / "labels" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("given", ["data.yaml", ""])
def test_a_data_set_is_read_by_its_description_or_its_folder(given, folder):
    dataset = read_dataset(folder / given)
    assert dataset.format == "yolo"
    assert [(i.id, i.width, i.height, i.file_name) for i in dataset.images] == [
        (12, 200, 100, "000012.jpg"),
        ("b", 200, 100, "b.png"),
        ("c", 200, 100, "c.png"),
    ]
    assert dataset.class_names == ("cat", "dog")
    assert dataset[0].gt_bboxes.tolist() == [[80, 30, 120, 70], [40, 45, 60, 55]]
    assert dataset[0].gt_labels.tolist() == [0, 1]
    assert dataset[1].gt_bboxes.tolist() == [[140, 25, 200, 75]]
    assert dataset.num_clipped == 1
    assert [a.id for a in dataset.all_objects] == ["line 1", "line 2", "line 1"]
    assert dataset.all_objects.areas.tolist() == pytest.approx([1600, 200, 4000])
    assert dataset.notices == (
        "the split 'train' of data.yaml is read",
        "1 image has no label file, so no object",
    )
    assert dataset.image_folder == folder / "images" / "train"


def test_a_split_is_chosen(folder):
    assert [i.id for i in read_dataset(folder, split="val").images] == ["v"]
    with pytest.raises(InputFileError, match=r"expected the split 'test'.*it has train, val"):
        read_dataset(folder, split="test")


@pytest.mark.parametrize(
    "yaml",
    [
        "train: images/train\nnames: [cat, dog]\n",
        "train: ../images/train\nnames: [cat, dog]\n",
        "train: ./images/train\nnames: [cat, dog]\nnc: 2\n",
        "path: images\ntrain: train\nnames: [cat, dog]\n",
        "path: ../pets\ntrain: [images/train, images/train/b.png]\nnames: [cat, dog]\n",
        "train: list.txt\nnames: {0: cat, 1: dog}\n",
    ],
)
def test_descriptions_as_people_write_them(yaml, folder):
    (folder / "list.txt").write_text("./images/train/000012.jpg\nimages/train/b.png\n\nimages/train/c.png\n")
    (folder / "data.yaml").write_text(yaml)
    dataset = read_dataset(folder)
    assert len(dataset.images) == 3
    assert dataset.class_names == ("cat", "dog")
    assert len(dataset.all_objects) == 3


def test_a_number_of_classes_without_names(folder):
    (folder / "data.yaml").write_text("train: images/train\nnc: 3\n")
    assert read_dataset(folder).class_names == ("0", "1", "2")


def test_without_a_description_images_are_paired_with_labels(folder):
    (folder / "data.yaml").unlink()
    dataset = read_dataset(folder, split="train")
    assert dataset.class_names == ("0", "1")
    assert len(dataset.all_objects) == 3
    assert len(read_dataset(folder).images) == 4
    (folder / "labels" / "classes.txt").write_text("cat\ndog\nemu\n")
    assert read_dataset(folder).class_names == ("cat", "dog", "emu")


def test_the_folder_of_labels_is_enough(folder):
    assert len(read_dataset(folder / "labels").images) == 4


def test_images_without_any_label_file_are_refused(folder):
    (folder / "labels").rename(folder / "annotations")
    with pytest.raises(
        InputFileError, match=r"none of 3 images has a label file: there is no .*labels.train"
    ):
        read_dataset(folder)


def test_labels_beside_their_images(tmp_path):
    write_image(tmp_path / "a.png", 10, 20)
    (tmp_path / "a.txt").write_text("3 .5 .5 .4 .4")
    dataset = read_dataset(tmp_path)
    assert (dataset.format, dataset.class_names) == ("yolo", ("3",))
    assert dataset[0].gt_bboxes.tolist() == [[3, 6, 7, 14]]


def test_labels_alone_need_the_images(folder, tmp_path):
    moved = tmp_path / "elsewhere"
    (folder / "images").rename(moved)
    (folder / "data.yaml").unlink()
    with pytest.raises(InputFileError, match=r"none of 3 images .*--images DIR"):
        read_dataset(folder)
    assert len(read_dataset(folder, images=moved).all_objects) == 4


def test_polygons_give_boxes(folder):
    put(folder, "train/b.txt", "0 0.1 0.2 0.5 0.2 0.3 0.8\n1 .5 .5 .1 .2\n")
    dataset = read_dataset(folder)
    assert dataset[1].gt_bboxes[0].tolist() == [20, 20, 100, 80]
    assert any("1 object is a polygon: the boxes around them are taken" in n for n in dataset.notices)


def test_oriented_boxes_are_said(folder):
    put(folder, "train/000012.txt", "0 0.1 0.2 0.5 0.2 0.5 0.4 0.1 0.4\n")
    put(folder, "train/b.txt", "0 0.5 0.1 0.9 0.5 0.5 0.9 0.1 0.5\n")
    dataset = read_dataset(folder)
    assert any("oriented boxes" in notice for notice in dataset.notices)
    assert dataset[1].gt_bboxes.tolist() == [[20, 10, 180, 90]]


def test_keypoints_are_no_polygon(folder):
    (folder / "data.yaml").write_text(YAML + "kpt_shape: [2, 3]\n")
    for name in ("000012", "b"):
        put(folder, f"train/{name}.txt", "1 0.5 0.5 0.2 0.4 0.1 0.1 2 0.9 0.9 1\n")
    dataset = read_dataset(folder)
    assert dataset[0].gt_bboxes.tolist() == [[80, 30, 120, 70]]
    assert dataset[0].gt_keypoints.tolist() == [[[20, 10, 2], [180, 90, 1]]]


BROKEN_LINES = {
    "a class beyond the names": ("2 .5 .5 .1 .1", "expected a class from 0 to 1, got 2"),
    "a class that is a name": ("cat .5 .5 .1 .1", "expected numbers, got 'cat"),
    "half a class": ("0.5 .5 .5 .1 .1", "expected a class from 0 to 1, got 0.5"),
    "a negative class": ("-1 .5 .5 .1 .1", "expected a class from 0 to 1, got -1"),
    "four numbers": ("0 .5 .5 .1", "got 4 numbers"),
    "a score": ("0 .5 .5 .1 .1 .9", "a sixth number: is it the score"),
    "a polygon with a coordinate missing": ("0 .5 .5 .1 .1 .9 .9 .2", "got 8 numbers"),
    "pixels": ("0 100 50 20 20", "expected fractions of the image from 0 to 1, got 100 50 20 20"),
    "not a number": ("0 nan .5 .1 .1", "expected fractions"),
    "a polygon with an infinite corner": ("0 .1 .1 .2 .2 inf .3", "expected finite numbers"),
    "commas": ("0,.5,.5,.1,.1", "expected numbers"),
    "no width": ("0 .5 .5 0 .1", "expected x2 above x1"),
}


@pytest.mark.parametrize("case", BROKEN_LINES)
def test_a_broken_line_is_named_skipped_and_counted(case, folder):
    line, reason = BROKEN_LINES[case]
    put(folder, "train/b.txt", f"1 0.9 0.5 0.4 0.5\n\n{line}\n")
    dataset = read_dataset(folder)
    assert len(dataset.all_objects) == 3
    assert len(dataset.skipped) == 1
    assert str(dataset.skipped[0]).startswith("labels/train/b.txt line 3: ")
    assert reason in str(dataset.skipped[0])


def test_classes_that_are_not_counted_from_0_are_named(folder):
    (folder / "data.yaml").write_text("train: images/train\nnames: {1: cat, 5: dog}\n")
    assert "expected one of the classes 1, 5, got 0" in str(read_dataset(folder).skipped[0])


def test_paths_may_be_as_windows_writes_them(folder):
    names = "names: [cat, dog]\n"
    (folder / "list.txt").write_text("images\\train\\000012.jpg\n.\\images\\train\\b.png\n")
    for split, count in (("images\\train", 3), (".\\images\\train", 3), ("list.txt", 2)):
        (folder / "data.yaml").write_text(f"{names}train: {split}\n")
        assert len(read_dataset(folder).images) == count


def test_a_broken_file_among_good_ones_is_named_skipped_and_counted(folder):
    (folder / "images" / "train" / "b.png").write_bytes(b"no image")
    (folder / "labels" / "train" / "c.txt").write_bytes(b"0 .5 .5 .1 .1 \xe9")
    dataset = read_dataset(folder)
    assert [i.id for i in dataset.images] == [12]
    assert sorted(map(str, dataset.skipped))[0].startswith("b.png: is no image")
    assert "labels/train/c.txt: is not UTF-8 text" in sorted(map(str, dataset.skipped))[1]


def test_lines_that_stand_twice_are_dropped_as_loaders_do(folder):
    put(folder, "train/b.txt", "1 .5 .5 .4 .5\n1 .5 .5 .4 .5\n")
    dataset = read_dataset(folder)
    assert len(dataset.all_objects) == 3
    assert dataset.dropped == {"it stands twice": 1}


REFUSED = {
    "no mapping": ("- a\n", "expected an object with 'names'.*got a list"),
    "no YAML": ("a: [\n", "is not valid YAML"),
    "no names": ("train: images/train\n", "names: expected a list"),
    "names of a wrong type": ("train: images/train\nnames: cat\n", "names: expected a list.*got a string"),
    "no split": ("names: [cat]\n", "expected one of the splits train, val, test.*it has none"),
    "a split that is not there": ("train: imgs\nnames: [cat]\n", "the images 'imgs' are not there"),
    "empty": (" \n", "is empty"),
    "a value that its tag does not fit": ("names: [!!bool perhaps]\n", "is not valid YAML"),
    "a split that no path can be": (
        f"names: [cat]\ntrain: {'x' * 5000}\n",
        "cannot be read: File name too long",
    ),
    "more keypoints than memory": (
        "names: [cat]\ntrain: images/train\nkpt_shape: [99999999999, 3]\n",
        "kpt_shape: expected the number of keypoints",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_description_that_cannot_be_used_is_one_line(case, folder):
    content, reason = REFUSED[case]
    (folder / "data.yaml").write_text(content)
    with pytest.raises(InputFileError, match=reason) as caught:
        read_dataset(folder / "data.yaml")
    assert "\n" not in str(caught.value)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "images").mkdir()
    with pytest.raises(InputFileError, match="expected images with label files, found none"):
        read_dataset(tmp_path, "yolo")

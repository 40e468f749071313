"""Pascal VOC's XML: one file, folders, splits, and what is broken among them."""

import pytest

from assigncore.datasets import InputFileError, read_dataset

from .images import write_image

NAMES = ("xmin", "ymin", "xmax", "ymax")


def xml(name, *objects, size=(64, 48)):
    """Write one image's annotation; an object is (class, xmin, ymin, xmax, ymax) and more XML."""
    parts = [
        f"<object><name>{kind}</name>{''.join(more)}<bndbox>"
        + "".join(f"<{n}>{v}</{n}>" for n, v in zip(NAMES, box, strict=True))
        + "</bndbox></object>"
        for kind, box, *more in objects
    ]
    sides = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    return f"<annotation><filename>{name}</filename>{sides}{''.join(parts)}</annotation>"


@pytest.fixture
def folder(tmp_path):
    """Make a data set as VOC lays it out."""
    root = tmp_path / "VOC2007"
    (root / "Annotations").mkdir(parents=True)
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("000005\n")
    (root / "ImageSets" / "Main" / "cat_train.txt").write_text("000007 -1\n000005  1\n")
    (root / "Annotations" / "000005.xml").write_text(
        xml("000005.jpg", ("dog", (1, 1, 64, 48)), ("cat", (11, 21, 30, 30), "<difficult>1</difficult>"))
    )
    (root / "Annotations" / "000007.xml").write_text(xml("000007.jpg", ("cat", (5.5, 9, 80, 18))))
    return root


@pytest.mark.parametrize("given", ["", "Annotations"])
def test_pixels_are_counted_from_1_and_the_last_is_meant_too(given, folder):
    dataset = read_dataset(folder / given)
    assert dataset.format == "voc"
    assert [(i.id, i.width, i.height, i.file_name) for i in dataset.images] == [
        (5, 64, 48, "000005.jpg"),
        (7, 64, 48, "000007.jpg"),
    ]
    assert dataset.categories == {0: "cat", 1: "dog"}
    assert dataset[0].gt_bboxes.tolist() == [[0, 0, 64, 48]]
    assert dataset[0].ignore_bboxes.tolist() == [[10, 20, 30, 30]]
    assert dataset[1].gt_bboxes.tolist() == [[4.5, 8, 64, 18]]
    assert dataset.num_clipped == 1
    assert [a.id for a in dataset.all_objects] == ["object 1", "object 1"]
    assert dataset.notices == ("objects marked as difficult are regions to ignore, as crowds are",)


def test_pixels_counted_from_0_are_noticed(folder):
    (folder / "Annotations" / "000007.xml").write_text(xml("000007.jpg", ("cat", (0, 9, 20, 18))))
    dataset = read_dataset(folder)
    assert dataset[1].gt_bboxes.tolist() == [[0, 9, 20, 18]]
    assert any("counted from 0" in notice for notice in dataset.notices)


def test_a_split_and_a_single_file(folder):
    assert [i.id for i in read_dataset(folder, split="train").images] == [5]
    assert [i.id for i in read_dataset(folder, split="cat_train").images] == [7, 5]
    assert [i.id for i in read_dataset(folder / "Annotations" / "000007.xml").images] == [7]
    with pytest.raises(InputFileError, match=r"nowhere\.txt: no such file"):
        read_dataset(folder, split="nowhere")


@pytest.mark.parametrize("size", [None, (0, 0), (-1, 48), ("", ""), ("1e300", 48)])
def test_sizes_that_are_missing_come_from_the_images(size, folder):
    (folder / "Annotations" / "000007.xml").write_text(xml("000007.jpg", ("cat", (5, 9, 20, 18)), size=size))
    dataset = read_dataset(folder)
    assert len(dataset.skipped) == 1
    assert "--images DIR" in str(dataset.skipped[0])
    write_image(folder / "JPEGImages" / "000007.jpg", 33, 44)
    dataset = read_dataset(folder)
    assert (dataset.images[1].width, dataset.images[1].height) == (33, 44)
    assert dataset.skipped == ()


BROKEN_FILES = {
    "no XML": ("<annotation><object>", "is not valid XML"),
    "empty": ("", "is empty"),
    "something else": ("<html/>", "expected an <annotation>, got a <html>"),
}


@pytest.mark.parametrize("case", BROKEN_FILES)
def test_a_broken_file_among_good_ones_is_named_skipped_and_counted(case, folder):
    content, reason = BROKEN_FILES[case]
    (folder / "Annotations" / "000006.xml").write_text(content)
    dataset = read_dataset(folder)
    assert [i.id for i in dataset.images] == [5, 7]
    assert str(dataset.skipped[0]).startswith("Annotations/000006.xml: ")
    assert reason in str(dataset.skipped[0])


BROKEN_OBJECTS = {
    "no name": (("", (5, 9, 20, 18)), "the <name> is missing"),
    "no number": (("cat", (5, "x", 20, 18)), "bndbox: expected the numbers"),
    "not a number": (("cat", (5, "nan", 20, 18)), "bndbox: expected the numbers"),
    "beyond any image": (("cat", (5, 9, 1e300, 18)), "bndbox: expected the numbers"),
    "crossed": (("cat", (30, 9, 20, 18)), "expected x2 above x1"),
    "outside": (("cat", (70, 9, 90, 18)), "lies outside its image of 64 x 48 pixels"),
}


@pytest.mark.parametrize("case", BROKEN_OBJECTS)
def test_a_broken_object_is_named_skipped_and_counted(case, folder):
    entry, reason = BROKEN_OBJECTS[case]
    (folder / "Annotations" / "000007.xml").write_text(xml("000007.jpg", ("cat", (5, 9, 20, 18)), entry))
    dataset = read_dataset(folder)
    assert len(dataset.all_objects) == 2
    assert len(dataset.skipped) == 1
    assert str(dataset.skipped[0]).startswith("Annotations/000007.xml object 2: ")
    assert reason in str(dataset.skipped[0])


@pytest.mark.parametrize(("encoding", "name"), [("latin-1", "zèbre"), ("utf-16", "zèbre"), ("gbk", "斑马")])
def test_other_encodings_are_read_as_xml_declares_them(encoding, name, folder):
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + xml("7.jpg", (name, (5, 9, 20, 18)))
    (folder / "Annotations" / "000007.xml").write_bytes(text.encode(encoding))
    assert name in read_dataset(folder).class_names


def test_an_encoding_that_nobody_knows_is_named(folder):
    text = '<?xml version="1.0" encoding="zebra-8"?>' + xml("7.jpg", ("cat", (5, 9, 20, 18)))
    (folder / "Annotations" / "000007.xml").write_bytes(text.encode())
    assert "declares the encoding 'zebra-8', which is not known" in str(read_dataset(folder).skipped[0])


def test_oriented_boxes_are_said(folder):
    text = xml("7.jpg", ("cat", (5, 9, 20, 18))).replace("bndbox>", "robndbox>")
    (folder / "Annotations" / "000007.xml").write_text(text)
    assert "is an oriented box" in str(read_dataset(folder).skipped[0])


def test_nothing_that_can_be_used_is_refused(tmp_path):
    (tmp_path / "a.xml").write_text("<")
    with pytest.raises(
        InputFileError, match=r"none of 1 file can be used, the first is a\.xml: is not valid"
    ):
        read_dataset(tmp_path)

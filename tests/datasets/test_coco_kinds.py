"""COCO files as people have them: odd ids, categories, boxes, sizes, masks, and what loaders leave out."""

import json

import numpy as np
import pytest

from assigncore.datasets import InputFileError, read_coco, read_dataset
from assigncore.datasets.masks import segmentation_box, unpack_counts

from .images import write_image


def notices(dataset):
    """Join what is said of the reading."""
    return "; ".join(dataset.notices)


def test_whole_floats_are_ids(document, write):
    for image in document["images"]:
        image["id"] = float(image["id"])
    for annotation in document["annotations"]:
        annotation["id"], annotation["category_id"] = (
            float(annotation["id"]),
            float(annotation["category_id"]),
        )
    for category in document["categories"]:
        category["id"] = float(category["id"])
    dataset = read_coco(write(document))
    assert [(image.id, type(image.id)) for image in dataset.images] == [(7, int), (3, int), (5, int)]
    assert dataset.categories == {9: "zebra", 4: "ape"}
    assert [a.id for a in dataset.all_objects] == [12, 13, 11, 15]


@pytest.mark.parametrize("value", [0, "x", None, [1], 2.5, {}])
def test_annotations_need_no_ids_of_their_own(value, document, write):
    for annotation in document["annotations"]:
        annotation["id"] = value
    dataset = read_coco(write(document))
    assert dataset.skipped == ()
    assert [a.id for a in dataset.all_objects] == ["index 1", "index 2", "index 0", "index 4"]
    assert ("5 annotations share their ids" in notices(dataset)) == (value in (0, "x"))


def test_an_id_that_repeats_loses_no_object_and_others_keep_theirs(document, write):
    document["annotations"][4]["id"] = 12
    dataset = read_coco(write(document))
    assert [a.id for a in dataset.all_objects] == ["index 1", 13, 11, "index 4"]
    assert "2 annotations share their ids" in notices(dataset)


def test_ids_of_any_size_are_kept(document, write):
    document["annotations"][1]["id"] = 2**70
    assert read_coco(write(document)).all_objects[0].id == 2**70


@pytest.mark.parametrize("key", ["annotations", "images"])
def test_a_mapping_in_place_of_a_list_is_said(key, document, write):
    document[key] = {str(entry["id"]): entry for entry in document[key]}
    with pytest.raises(InputFileError, match=f"'{key}' is an object of . entries by key, expected a list"):
        read_coco(write(document))


def test_a_results_file_is_recognised(write):
    with pytest.raises(InputFileError, match="a list of detections: is this what --predictions wants"):
        read_coco(write([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]))


@pytest.mark.parametrize("value", ["ape", None, [4], {}, 4.5, True])
def test_a_category_that_is_none_names_the_annotation(value, document, write):
    document["annotations"][1]["category_id"] = value
    skipped = read_coco(write(document)).skipped
    assert len(skipped) == 1
    assert str(skipped[0]).startswith("annotation 12: ")
    assert "category_id" in str(skipped[0])


def test_ids_of_another_type_are_pointed_out(document, write):
    document["annotations"][1]["category_id"] = "4"
    document["annotations"][2]["image_id"] = "7"
    first, second = read_coco(write(document)).skipped
    assert "got '4'; there is 4, which is not the same" in str(first)
    assert "there is no image '7'; there is 7, which is not the same" in str(second)


def test_categories_may_have_names_for_ids(document, write):
    document["categories"] = [{"id": "z", "name": "zebra"}, {"id": "a", "name": "ape"}]
    for annotation in document["annotations"]:
        annotation["category_id"] = "za"[annotation["category_id"] == 4]
    dataset = read_coco(write(document))
    assert dataset.categories == {"z": "zebra", "a": "ape"}
    assert dataset[0].gt_labels.tolist() == [1, 0]


def test_categories_that_are_not_listed_are_said(document, write):
    document["annotations"][1]["category_id"] = 77
    dataset = read_coco(write(document))
    assert dataset.categories == {9: "zebra", 4: "ape", 77: "77"}
    assert "1 annotation is of categories that 'categories' does not list: 77" in notices(dataset)


@pytest.mark.parametrize("entry", ["zebra", {"name": "zebra"}, {"id": 4, "name": "another"}, None])
def test_categories_that_cannot_be_read_are_said(entry, document, write):
    document["categories"].append(entry)
    dataset = read_coco(write(document))
    assert dataset.categories == {9: "zebra", 4: "ape"}
    assert "not used: 1 entry of 'categories' without an own id" in notices(dataset)


def test_a_category_without_name_is_called_by_its_id(document, write):
    document["categories"][1]["name"] = None
    assert read_coco(write(document)).categories == {9: "zebra", 4: "4"}


@pytest.mark.parametrize("more", [{"rotation": 30}, {"attributes": {"rotation": 12.5, "occluded": False}}])
def test_a_rotation_is_said(more, document, write):
    document["annotations"][1] |= more
    document["annotations"][2] |= {"rotation": 0}
    assert "1 annotation has a rotation, which is not used" in notices(read_coco(write(document)))


def test_a_box_of_five_numbers_is_said(document, write):
    document["annotations"][1]["bbox"] = [100, 100, 40, 50, 30]
    dataset = read_coco(write(document))
    assert "annotation 12: bbox: five numbers are an oriented box" in str(dataset.skipped[0])


def test_boxes_come_from_segmentations_where_there_are_none(document, write):
    for annotation in document["annotations"][:3]:
        del annotation["bbox"]
    document["annotations"][0]["segmentation"] = [[30, 40, 90, 40, 90, 80], [20, 60, 40, 100, 30, 100]]
    document["annotations"][1]["segmentation"] = {
        "counts": [240 * 10 + 5, 3, 237, 4, 73349],
        "size": [240, 320],
    }
    dataset = read_coco(write(document))
    assert dataset[1].gt_bboxes[0].tolist() == [20, 40, 90, 100]
    assert dataset[0].gt_bboxes.tolist() == [[10, 5, 12, 9]]
    assert "2 annotations have no 'bbox'" in notices(dataset)
    assert str(dataset.skipped[0]) == "annotation 13: the field 'bbox' is missing or null"


def runs_of(mask):
    """Write a mask's run lengths, down each column."""
    flat = np.concatenate([[0], mask.T.ravel(), [2]])
    edges = np.nonzero(np.diff(np.where(flat == 2, 1 - flat[-2], flat)))[0]
    counts = np.diff([0, *edges]).tolist() if len(edges) else []
    return counts if sum(counts) == mask.size else [*counts, mask.size - sum(counts)]


def packed(counts):
    """Write run lengths as text: the inverse of what is tested, by division instead of shifts."""
    text = ""
    for i, count in enumerate(counts):
        value = count - (counts[i - 2] if i > 2 else 0)
        while True:
            value, digit = divmod(value, 32)
            done = (value == 0 and digit < 16) or (value == -1 and digit >= 16)
            text += chr(48 + digit + (0 if done else 32))
            if done:
                break
    return text


@pytest.mark.parametrize("seed", range(12))
def test_the_box_of_a_mask_is_that_of_its_pixels(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((37, 29), dtype=np.int64)
    y, x = int(rng.integers(0, 30)), int(rng.integers(0, 25))
    mask[y : y + int(rng.integers(1, 8)), x : x + int(rng.integers(1, 5))] = 1
    mask *= rng.random(mask.shape) < 0.8
    ys, xs = np.nonzero(mask)
    due = None
    if len(ys):
        due = (float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))
    counts = runs_of(mask)
    assert segmentation_box({"counts": counts, "size": [37, 29]}) == due
    assert unpack_counts(packed(counts)) == counts
    assert segmentation_box({"counts": packed(counts), "size": [37, 29]}) == due


@pytest.mark.parametrize(
    "segmentation",
    [
        *(
            [],
            [[]],
            [[1, 2, 3, 4]],
            [[1, 2, 3, 4, 5]],
            [[1, 2, None, 4, 5, 6]],
            "polygon",
            5,
            {},
            {"counts": [1]},
        ),
        *(
            {"counts": "~~", "size": [4, 4]},
            {"counts": [3, -1], "size": [4, 4]},
            {"counts": [16], "size": [4, 4]},
        ),
        *(
            {"counts": [1, 2], "size": [0, 4]},
            {"counts": {}, "size": [4, 4]},
            {"counts": "P", "size": [4, 4]},
        ),
    ],
)
def test_a_segmentation_without_box_is_none(segmentation):
    assert segmentation_box(segmentation) is None


@pytest.mark.parametrize(
    "size", [{"width": -1, "height": -1}, {"width": None}, {"height": 0}, {"width": "?"}]
)
def test_sizes_that_are_missing_come_from_the_images(size, document, write, tmp_path):
    document["images"][0] |= size
    path = write(document)
    with pytest.raises(InputFileError, match=r"image 7: expected (width|height) .*--images DIR"):
        read_coco(path)
    write_image(tmp_path / "pictures" / "a.png", 333, 222)
    dataset = read_dataset(path, images=tmp_path / "pictures")
    assert (dataset.images[0].width, dataset.images[0].height) == (333, 222)


def test_an_image_without_size_or_file_is_skipped_with_its_annotations(document, write, tmp_path):
    document["images"][0]["width"] = -1
    write_image(tmp_path / "pictures" / "b.png", 240, 320)
    dataset = read_dataset(write(document), images=tmp_path / "pictures")
    assert [image.id for image in dataset.images] == [3, 5]
    assert str(dataset.skipped[0]).startswith("image 7: expected width as a whole number above 0, got -1")
    assert [s.reason for s in dataset.skipped[1:]] == ["its image 7 cannot be used"] * 3


def test_a_size_that_disagrees_with_the_file_is_said(document, write, tmp_path):
    for image in document["images"]:
        image["file_name"] = image["file_name"].replace("png", "jpg")
    write_image(tmp_path / "a.jpg", 320, 240)
    write_image(tmp_path / "b.jpg", 240, 320, orientation=6)
    dataset = read_dataset(write(document), images=tmp_path)
    assert "1 of 2 image files that were looked at are of another size" in notices(dataset)
    assert "b.jpg has 320 x 240 pixels, not 240 x 320" in notices(dataset)


def test_a_folder_without_the_images_is_said(document, write, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "there is none of the images in" in notices(
        read_dataset(write(document), images=tmp_path / "empty")
    )


LEFT_OUT = {
    "ignore": ({"ignore": 1}, "ignore is set"),
    "ignored crowds": ({"ignore": 1, "iscrowd": 1}, "ignore is set"),
    "no area": ({"area": 0}, "the area is 0"),
    "a narrow one": ({"bbox": [10, 10, 0.99, 50]}, "a side is below 1 pixel"),
    "a low one": ({"bbox": [10, 10, 50, 0.5]}, "a side is below 1 pixel"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_loaders_leave_out_is_no_object_and_counted(case, document, write):
    change, reason = LEFT_OUT[case]
    document["annotations"][1] |= change
    dataset = read_coco(write(document))
    assert [a.id for a in dataset.all_objects] == [13, 11, 15]
    assert len(dataset.all_crowds) == 1
    assert dataset.dropped == {reason: 1}
    assert dataset.skipped == ()


def test_a_side_of_a_pixel_is_enough(document, write):
    document["annotations"][1] |= {"bbox": [10, 10, 1, 1], "area": 0.1, "ignore": 0}
    dataset = read_coco(write(document))
    assert dataset.dropped == {}
    assert len(dataset.all_objects) == 4


def test_corners_in_place_of_sides_are_noticed(document, write):
    for annotation in document["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["bbox"] = [x, y, min(x + width, 240), min(y + height, 240)]
    document["annotations"].pop()
    dataset = read_coco(write(document))
    assert dataset.num_clipped == 2
    assert "are they corners x1 y1 x2 y2?" in notices(dataset)


def test_fractions_in_place_of_pixels_are_noticed(document, write):
    for annotation in document["annotations"]:
        annotation["bbox"] = [value / 400 for value in annotation["bbox"]]
    with pytest.raises(InputFileError, match=r"no object is left.*are they fractions of the image\?"):
        read_coco(write(document))


def test_boxes_for_images_of_another_size_are_noticed(document, write):
    entries = [{"id": i, "image_id": 7, "category_id": 4, "bbox": [300 + i, 30, 60, 50]} for i in range(15)]
    assert "same scale?" in notices(read_coco(write({**document, "annotations": entries})))


def test_lvis_is_read_by_the_names_it_has(document, write):
    for category in document["categories"]:
        category |= {"frequency": "r", "synset": f"{category['name']}.n.01"}
    for image in document["images"]:
        image["coco_url"] = f"http://images.cocodataset.org/train2017/{image.pop('file_name')}"
        image |= {"neg_category_ids": [1], "not_exhaustive_category_ids": []}
    for annotation in document["annotations"]:
        annotation.pop("iscrowd", None)
        annotation["segmentation"] = [[1, 2, 3, 4, 5, 6]]
    dataset = read_dataset(write(document))
    assert dataset.format == "lvis"
    assert [image.file_name for image in dataset.images] == [
        "train2017/a.png",
        "train2017/b.png",
        "train2017/c.png",
    ]
    assert len(dataset.all_objects) == 5


def test_what_only_python_writes_is_read_and_a_broken_number_named(document, write):
    document["annotations"][1]["bbox"][0] = float("nan")
    document["categories"][0]["name"] = "\ud800"
    dataset = read_coco(write(document))
    assert [s.annotation_id for s in dataset.skipped] == [12]
    assert dataset.class_names[0] == "\ud800"


def test_many_annotations_are_columns(document, write):
    entries = [{**document["annotations"][i % 5], "id": i} for i in range(5000)]
    dataset = read_coco(write({**document, "annotations": entries}))
    objects = dataset.all_objects
    assert len(objects) == 4000
    held = (
        objects.image_index,
        objects.bboxes,
        objects.labels,
        objects.areas,
        objects.positions,
        objects.ids,
    )
    assert sum(column.nbytes for column in held) == 4000 * (8 + 32 + 8 + 8 + 8 + 8)


def test_the_quick_parser_and_the_patient_one_agree(document, tmp_path):
    quick, patient = tmp_path / "quick.json", tmp_path / "patient.json"
    quick.write_text(json.dumps(document))
    # A number that is not JSON, in a field that nothing reads, is for the patient one.
    patient.write_text(json.dumps({**document, "info": float("nan")}))
    first, second = read_coco(quick, source="a"), read_coco(patient, source="a")
    assert first.images == second.images
    assert list(first.all_objects) == list(second.all_objects)
    assert list(first.all_crowds) == list(second.all_crowds)
    assert repr(first) == repr(second)

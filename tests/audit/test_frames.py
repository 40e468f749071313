"""Images at training size, and batches of them."""

import numpy as np
import pytest

from assigncore.audit.errors import AuditError
from assigncore.audit.frames import ExactSize, ImageScale, make_batch, make_batches, parse_scale
from assigncore.datasets import Image, read_coco


@pytest.mark.parametrize(
    ("size", "shape", "padded"),
    [
        ((640, 480), (800, 1067), (800, 1088)),
        ((480, 640), (1067, 800), (1088, 800)),
        ((2000, 500), (333, 1333), (352, 1344)),
        ((4000, 3000), (800, 1067), (800, 1088)),
        ((1333, 800), (800, 1333), (800, 1344)),
        ((100000, 1), (1, 1333), (32, 1344)),
    ],
)
def test_the_usual_training_size(size, shape, padded):
    frame = ImageScale().frame(Image(1, *size, "x"))
    assert frame.shape == shape
    assert frame.padded == padded


def test_the_original_size_is_only_padded():
    frame = parse_scale("original", "--image-scale", 128).frame(Image(1, 300, 129, "x"))
    assert frame.shape == (129, 300)
    assert frame.padded == (256, 384)


def test_edges_may_be_named_in_any_order():
    assert parse_scale("600X1000", "--image-scale") == ImageScale(1000, 600, 32)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "800",
        "0x800",
        "800x",
        "axb",
        "800x600x3",
        "-5x3",
        "8.5x3",
        "²x3",
        "1e9x3",
        "!",
        "8!x3",
        "8x3!!",
        "original!",
    ],
)
def test_a_wrong_scale_is_named(text):
    with pytest.raises(AuditError, match="--image-scale: expected two edges like 1333x800"):
        parse_scale(text, "--image-scale")


def test_an_exact_size_keeps_no_aspect_ratio_and_adds_no_padding(document, write):
    exact = parse_scale("300x200!", "--image-scale", 128)
    assert exact == ExactSize(300, 200)
    dataset = read_coco(write(document))
    frame = exact.frame(dataset.images[0])
    assert frame.shape == frame.padded == (200, 300)
    box = frame.boxes(dataset.objects(dataset.images[0]))[0]
    np.testing.assert_allclose(
        box, [100 * 300 / 320, 100 * 200 / 240, 140 * 300 / 320, 150 * 200 / 240], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1333x800", "scaled to 1333x800"),
        ("original", "original size"),
        ("3x2!", "resized to exactly 3x2, aspect ratio not kept"),
    ],
)
def test_a_scale_says_what_it_does(text, said):
    assert str(parse_scale(text, "--image-scale")) == said


def test_boxes_are_scaled_with_the_rounded_size(document, write):
    dataset = read_coco(write(document))
    frame = ImageScale(500, 333, 32).frame(dataset.images[0])
    assert frame.shape == (333, 444)
    box = frame.boxes(dataset.objects(dataset.images[0]))[0]
    np.testing.assert_allclose(box, [100 * 444 / 320, 100 * 333 / 240, 140 * 444 / 320, 150 * 333 / 240])
    assert box.dtype == np.float32


def test_a_batch_pads_its_images_to_one_length(document, write):
    dataset = read_coco(write(document))
    frames = [ImageScale(None, None).frame(image) for image in dataset.images]
    batch = make_batch(dataset, [frames[2], frames[0]])
    assert batch.padded == (256, 320)
    assert batch.gt_bboxes.shape == (2, 16, 4)
    assert batch.gt_valid.sum(axis=1).tolist() == [0, 2]
    assert batch.gt_labels[1, :2].tolist() == [1, 0]
    assert batch.gt_bboxes[1, 1].tolist() == [5, 8, 11, 15]
    assert not batch.gt_bboxes[~batch.gt_valid].any()
    assert batch.ignore_valid.sum(axis=1).tolist() == [0, 1]
    assert batch.ignore_bboxes[1, 0].tolist() == [200, 20, 300, 200]


def test_images_without_any_object_make_a_batch(document, write):
    dataset = read_coco(write(document))
    batch = make_batch(dataset, [ImageScale().frame(dataset.images[2])])
    assert batch.gt_bboxes.shape == (1, 0, 4)
    assert batch.ignore_bboxes.shape == (1, 0, 4)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_every_image_is_in_one_batch_of_its_size(batch_size, document, write):
    document["images"] += [{"id": 100 + i, "width": 320, "height": 240 - i} for i in range(4)]
    dataset = read_coco(write(document))
    frames = [ImageScale(None, None).frame(image) for image in dataset.images]
    batches = list(make_batches(dataset, frames, batch_size))
    assert sorted(f.image.id for b in batches for f in b.frames) == [3, 5, 7, 100, 101, 102, 103]
    for batch in batches:
        assert len(batch.frames) <= batch_size
        assert {f.padded for f in batch.frames} == {batch.padded}

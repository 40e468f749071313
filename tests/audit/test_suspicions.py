"""Results that mean something else than they should: boxes of another form or unit, classes shifted."""

import pytest

from assigncore.audit.errors import AuditError
from assigncore.audit.results import load_results

FORMS = {
    "corners x1 y1 x2 y2 in pixels": lambda x, y, w, h, *_: [x, y, x + w, y + h],
    "centre x y, width and height in pixels": lambda x, y, w, h, *_: [x + w / 2, y + h / 2, w, h],
    "x y width height in fractions of the image": lambda x, y, w, h, W, H: [x / W, y / H, w / W, h / H],
    "x y width height in percent of the image": lambda x, y, w, h, W, H: [
        100 * v for v in (x / W, y / H, w / W, h / H)
    ],
    "corners x1 y1 x2 y2 in fractions of the image": lambda x, y, w, h, W, H: [
        x / W,
        y / H,
        (x + w) / W,
        (y + h) / H,
    ],
}

SHIFTS = {
    "one too large": lambda category: {4: 5, 9: 10}[category],
    "one too small": lambda category: {4: 3, 9: 8}[category],
    "places in 'categories', counted from 0": lambda category: {9: 0, 4: 1}[category],
    "places in 'categories', counted from 1": lambda category: {9: 1, 4: 2}[category],
}


@pytest.fixture
def load(rivals, write):
    """Load detections of every object, a little off, in some form and with some class."""

    def load(form=lambda *box: box[:4], shift=lambda category: category):
        entries = []
        for image in rivals.images:
            for a in rivals.objects(image):
                x1, y1, x2, y2 = a.bbox
                box = form(x1 + 1, y1, x2 - x1, y2 - y1 - 1, image.width, image.height)
                entries.append(
                    {
                        "image_id": image.id,
                        "category_id": shift(a.category_id),
                        "bbox": list(box),
                        "score": 0.9,
                    }
                )
        return load_results("--predictions", write(entries, "results.json"), rivals, with_classes=True)

    return load


def test_what_is_as_it_should_be_is_not_suspected(load):
    assert load().suspicions == ()


@pytest.mark.parametrize("form", FORMS)
def test_boxes_of_another_form_are_noticed(form, load):
    found = load(FORMS[form])
    assert len(found.suspicions) == 1
    assert f"are the boxes {form}?" in found.suspicions[0]
    assert f"results.json: {found.suspicions[0]}" in found.warnings()[-1]


@pytest.mark.parametrize("shift", SHIFTS)
def test_shifted_classes_are_noticed(shift, load):
    try:
        (said,) = load(shift=SHIFTS[shift]).suspicions
    except AuditError as error:
        # Where no class is known there is nothing to use, and the error says so.
        said = str(error)
    assert (
        f"are the category ids shifted? Of the boxes that fit an object 0% are of its class; if they are {shift}, 100%"
        in said
    )


def test_a_bad_detector_is_not_suspected(rivals, write):
    entries = [
        {"image_id": image.id, "category_id": 4, "bbox": [7 * i, 11 * i, 13 + i, 17], "score": 0.1 * (i % 9)}
        for image in rivals.images
        for i in range(12)
    ]
    found = load_results("--predictions", write(entries, "results.json"), rivals, with_classes=True)
    assert found.suspicions == ()


def test_image_ids_of_another_type_are_pointed_out(rivals, write):
    entries = [{"image_id": "7", "category_id": 4, "bbox": [1, 2, 30, 40], "score": 1}]
    with pytest.raises(AuditError, match="image_id '7' is not 7, which the annotations have"):
        load_results("--predictions", write(entries, "results.json"), rivals, with_classes=True)


def test_whole_floats_and_names_are_ids_of_results_too(rivals, write):
    entries = [{"image_id": 7.0, "category_id": 4.0, "bbox": [1, 2, 30, 40], "score": 1}]
    found = load_results("--predictions", write(entries, "results.json"), rivals, with_classes=True)
    assert found.num_used == 1

"""Small annotation files, and the command line run in this process."""

import copy
import json

import pytest
from click.testing import CliRunner

from assigncore.audit.coco import load_coco
from assigncore.audit.command import cli
from assigncore.audit.config import make_plans
from assigncore.audit.frames import ImageScale
from assigncore.audit.results import load_results
from assigncore.audit.run import Settings
from assigncore.backend import load_backend

# Two sizes of images, one without objects, one crowd region, objects of all three size classes.
DOCUMENT = {
    "images": [
        {"id": 7, "width": 320, "height": 240, "file_name": "a.png"},
        {"id": 3, "width": 240, "height": 320, "file_name": "b.png"},
        {"id": 5, "width": 320, "height": 240, "file_name": "c.png"},
    ],
    "annotations": [
        {"id": 11, "image_id": 3, "category_id": 9, "bbox": [20, 30, 130, 140], "area": 18200, "iscrowd": 0},
        {"id": 12, "image_id": 7, "category_id": 4, "bbox": [100, 100, 40, 50], "area": 2000, "iscrowd": 0},
        {"id": 13, "image_id": 7, "category_id": 9, "bbox": [5, 8, 6, 7], "area": 42, "iscrowd": 0},
        {"id": 14, "image_id": 7, "category_id": 4, "bbox": [200, 20, 100, 180], "area": 9000, "iscrowd": 1},
        {"id": 15, "image_id": 3, "category_id": 4, "bbox": [200, 280, 60, 60]},
    ],
    "categories": [{"id": 9, "name": "zebra"}, {"id": 4, "name": "ape"}],
}


@pytest.fixture
def document():
    """Give a COCO document to change at will."""
    return copy.deepcopy(DOCUMENT)


@pytest.fixture
def write(tmp_path):
    """Write a document, or any text, to a file."""

    def write(content, name="annotations.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


@pytest.fixture
def command():
    """Run the command line with some arguments."""

    def command(*arguments):
        return CliRunner().invoke(cli, [str(a) for a in arguments])

    return command


@pytest.fixture
def plan():
    """Build the plan of a preset with overrides."""

    def plan(name, *overrides):
        return make_plans([name], [], overrides)[0]

    return plan


@pytest.fixture
def settings():
    """Compute with NumPy, two images at a time."""
    return Settings(load_backend("numpy"), batch_size=2)


@pytest.fixture
def scale():
    """Keep the images' size, padded to multiples of 32."""
    return ImageScale(None, None)


@pytest.fixture
def rivals(document, write):
    """Read the document with more objects in it: neighbours that compete, also of one class."""
    document["annotations"] += [
        {"id": 21, "image_id": 7, "category_id": 4, "bbox": [110, 90, 60, 50]},
        {"id": 22, "image_id": 3, "category_id": 9, "bbox": [60, 60, 70, 90]},
        {"id": 23, "image_id": 3, "category_id": 4, "bbox": [150, 20, 17, 12]},
    ]
    return load_coco(write(document))


@pytest.fixture
def frames_of(rivals, scale):
    """Make the images of `rivals` as a plan trains on them."""

    def frames_of(plan):
        return [(plan.scale or scale).frame(image) for image in rivals.images]

    return frames_of


@pytest.fixture
def results(rivals, write):
    """Read results with all that real ones hold: hits, duplicates, wrong classes, boxes without area, nothing."""
    entries = []
    for image in rivals.images:
        for a in rivals.objects(image):
            x1, y1, x2, y2 = a.bbox
            box = [x1 + 1, y1, x2 - x1, y2 - y1 - 1]
            entries += [
                {"image_id": image.id, "category_id": a.category_id, "bbox": box, "score": 1.0},
                {"image_id": image.id, "category_id": a.category_id, "bbox": box, "score": 0.5},
                {"image_id": image.id, "category_id": 9, "bbox": [x1, y1, 0.0, y2 - y1], "score": 0.0},
                {"image_id": image.id, "category_id": 4, "bbox": [x2, y2, 0.0, 0.0], "score": 0.001},
            ]
    return load_results("--predictions", write(entries, "results.json"), rivals, with_classes=True)

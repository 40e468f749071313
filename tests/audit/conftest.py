"""The command line run in this process, and what it makes of the small annotation file."""

import pytest
from click.testing import CliRunner

from assigncore.audit import progress
from assigncore.audit.assigning import Settings
from assigncore.audit.audit import assign_dataset
from assigncore.audit.command import cli
from assigncore.audit.config import make_plans
from assigncore.audit.frames import ImageScale
from assigncore.audit.results import load_results
from assigncore.backend import load_backend
from assigncore.datasets import read_coco


@pytest.fixture
def command(monkeypatch):
    """Run the command line with some arguments, without progress, which depends on time."""
    monkeypatch.setattr(progress, "FIRST", 1e6)

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
    return read_coco(write(document))


@pytest.fixture
def audit(dataset, scale, settings, plan):
    """Audit the data set of a module with presets, each a name and maybe overrides after it."""

    def audit(*assigners):
        plans = [plan(*assigner.split()) for assigner in assigners]
        return assign_dataset(plans, dataset, scale, settings)

    return audit


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


@pytest.fixture
def repeated(document):
    """Give a function that repeats the document, every image and object with an id of its own."""

    def repeat(times):
        images = [{**image, "id": image["id"] + 10 * i} for i in range(times) for image in document["images"]]
        annotations = [
            {**a, "id": a["id"] + 100 * i, "image_id": a["image_id"] + 10 * i}
            for i in range(times)
            for a in document["annotations"]
        ]
        return {"images": images, "annotations": annotations, "categories": document["categories"]}

    return repeat

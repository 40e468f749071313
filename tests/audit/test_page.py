"""The report as a page: all text of the data escaped, nothing of it in a script, of bounded size."""

import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from assigncore import audit
from assigncore.audit import page
from assigncore.audit.page import make_page
from assigncore.datasets import read_coco

SCRIPT = "</script><script>document.title='mine'</script>"
HOSTILE = [
    SCRIPT,
    "a\"b'c&amp;<d>",
    "\u202eشجرة\u202c",
    "x" * 5000,
    "<img src=x onerror=alert(1)>",
    "\x1b[31m\n",
]


class Elements(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.texts, self.scripts, self.within = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        self.within.append(tag)

    def handle_endtag(self, tag):
        while self.within and self.within.pop() != tag:
            pass

    def handle_data(self, data):
        (self.scripts if "script" in self.within else self.texts).append(data)


@pytest.fixture
def hostile(write):
    """Read a data set whose names all mean mischief."""
    images = [
        {"id": name if i < 2 else i, "width": 200, "height": 100, "file_name": name}
        for i, name in enumerate(HOSTILE)
    ]
    annotations = [
        {
            "id": f"{HOSTILE[i % 6]}{i}",
            "image_id": image["id"],
            "category_id": i % 6,
            "bbox": [i, i, side, side],
        }
        for i, (image, side) in enumerate((image, side) for image in images for side in (3, 4, 60))
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(HOSTILE)]
    return read_coco(write({"images": images, "annotations": annotations, "categories": categories}))


@pytest.fixture
def elements(hostile):
    """Read the page of an audit of that data set."""
    return Elements(make_page(audit.run(hostile, ["rpn", "fcos"], image_scale="original")))


def test_names_are_text_and_nothing_else(elements):
    text = "".join(elements.texts)
    assert SCRIPT in text
    assert "a\"b'c&amp;<d>" in text
    assert elements.tags.count("script") == 1
    assert "img" not in elements.tags
    assert not [name for _, name, _ in elements.attributes if name.startswith("on")]


def test_no_text_of_the_data_is_in_the_script_which_alone_may_run(elements):
    assert "".join(elements.scripts) == page.SCRIPT
    (policy,) = [
        value for _, name, value in elements.attributes if name == "content" and "script-src" in value
    ]
    digest = base64.b64encode(hashlib.sha256(page.SCRIPT.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_nothing_is_fetched(elements):
    assert not [
        a for a in elements.attributes if a[1] in ("src", "href") and not a[2].startswith(("#", "data:"))
    ]


def test_long_names_are_cut_and_nothing_turns_the_text_round(elements):
    text = "".join(elements.texts)
    assert max(map(len, re.findall("x+", text))) <= page.MAX_NAME
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b]", text)


def test_what_is_filtered_names_size_and_category_by_number(elements):
    for name in ("data-s", "data-c"):
        values = {value for _, found, value in elements.attributes if found == name}
        assert values
        assert all(value.isdigit() for value in values)
    options = [value for tag, name, value in elements.attributes if tag == "option" and name == "value"]
    assert options == ["", "0", "1", "2", "", "0", "1", "2", "3", "4", "5"]


def test_the_page_grows_with_neither_images_nor_objects(write, monkeypatch):
    monkeypatch.setattr(page, "MAX_IMAGES", 3)
    sizes = []
    for count in (10, 40):
        images = [{"id": i, "width": 64, "height": 64, "file_name": "a"} for i in range(count)]
        annotations = [
            {"id": i, "image_id": i % count, "category_id": 1, "bbox": [5, 5, 3, 3]}
            for i in range(count * count)
        ]
        dataset = read_coco(write({"images": images, "annotations": annotations, "categories": []}))
        text = make_page(audit.run(dataset, image_scale="original"))
        assert text.count("<details") == 3
        sizes.append(text.count("<tr"))
    assert sizes[1] - sizes[0] <= 3 * (page.MAX_LISTED - 10)


def test_the_page_says_that_a_run_was_interrupted_and_which_scale_it_used(rivals):
    whole = audit.run(rivals, "ssd")
    text = "".join(Elements(make_page(dataclasses.replace(whole, images_done=2))).texts)
    assert "resized to exactly 300x300, aspect ratio not kept" in text
    assert "interrupted after 2 images, which all below is about" in text


def test_the_page_shows_reasons_advice_and_variations(rivals):
    found = audit.run(rivals, "rpn", image_scale="original", overrides=["priors.scales=[64]"])
    text = "".join(Elements(make_page(found.suggest().vary(["priors.scales=[2]"]))).texts)
    assert "no prior: best overlap of the ground truth at least min_pos_iou" in text
    assert "Why objects have no positives" in text
    assert "The anchors are too large" in text
    assert "priors.scales=[2]" in text


def test_the_command_writes_it_with_the_pictures_in_it(command, document, write, tmp_path):
    result = command("audit", write(document), "--assigner", "atss", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,") == 3 + len(list(tmp_path.glob("atss/gallery/*.png")))


def test_what_is_advised_names_its_assigner_where_there_are_several():
    alone = audit.run(assigners="detr").suggest()
    beside = audit.run(assigners=["detr", "fcos"]).suggest()
    assert "<pre>--set priors.num_queries=574</pre>" in make_page(alone)
    assert "<pre>--set detr:priors.num_queries=574</pre>" in make_page(beside)


def test_labelled_keypoints_are_dots_that_are_filtered_with_their_object(hostile):
    objects = hostile.all_objects
    poses = np.zeros((len(objects), 3, 3))
    poses[:, 0], poses[:, 1] = [20.0, 30.0, 2.0], [25.5, 31.0, 1.0]
    poses[-1] = 0
    posed = dataclasses.replace(hostile, all_objects=dataclasses.replace(objects, keypoints=poses))
    found = Elements(make_page(audit.run(posed, ["fcos"], image_scale="original")))
    dots = [value for tag, name, value in found.attributes if (tag, name) == ("path", "d")]
    boxes = found.tags.count("rect")
    assert dots
    assert set(dots) == {"M20 30h0M25.5 31h0"}
    assert len(dots) == boxes - 1
    named = [name for tag, name, _ in found.attributes if tag == "path"]
    assert named.count("data-s") == named.count("data-c") == len(dots)
    plain = Elements(make_page(audit.run(hostile, ["fcos"], image_scale="original")))
    assert "path" not in plain.tags


def test_oriented_boxes_are_drawn_and_measured_along_their_own_sides(hostile):
    objects = hostile.all_objects
    turned = np.concatenate(
        [(objects.bboxes[:, :2] + objects.bboxes[:, 2:]) / 2, np.full((len(objects), 3), [20.0, 8.0, 0.5])],
        axis=1,
    )
    tilted = dataclasses.replace(hostile, all_objects=dataclasses.replace(objects, oriented=turned))
    found = Elements(make_page(audit.run(tilted, ["fcos"], image_scale="original")))
    assert "rect" not in found.tags
    corners = [value for tag, name, value in found.attributes if (tag, name) == ("polygon", "points")]
    assert corners
    for text in corners:
        points = np.array([[float(x) for x in point.split(",")] for point in text.split()])
        sides = np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1)
        np.testing.assert_allclose(np.sort(sides), [8, 8, 20, 20], atol=0.02)
    assert "20 x 8" in found.texts

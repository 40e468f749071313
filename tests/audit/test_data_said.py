"""What the command says of the data: parts, boxes that were cut, objects that were left out, and odd names."""

import json
import re
import warnings

import pytest

CONTROL = "ze\x1b[31mbra\x07\u202e\ud800"


def lines(result):
    """Return what was printed, wrapped lines joined."""
    return " ".join(result.stdout.split())


def test_a_part_of_the_data_is_audited_and_said(command, document, write):
    path = write(document)
    assert "1 image, 2 objects" in lines(command("audit", path, "--image-id", "b"))
    assert "1 image, 2 objects, 1 crowd region" in lines(command("audit", path, "--limit", 1))
    one = command("audit", path, "--category", "ape", "--limit", 1, "--sample", 3)
    assert "Note (data): only the objects of: ape" in lines(one)
    assert "1 of 3 images, drawn by the seed 3" in lines(one)


def test_predictions_of_the_rest_are_passed_over(command, document, write):
    entries = [
        {"image_id": i, "category_id": c, "bbox": [20, 30, 100, 100], "score": 0.5}
        for i in (7, 3)
        for c in (9, 4)
    ]
    given = ("--assigner", "tood", "--predictions", write(entries, "results.json"))
    result = command("audit", write(document), *given, "--category", "ape", "--image-id", 3)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert "the 1 detection of" in lines(result)


def test_clipped_boxes_and_objects_left_out_are_counted(command, document, write, tmp_path):
    document["annotations"][1]["ignore"] = 1
    document["annotations"][2]["area"] = 0
    result = command("audit", write(document), "--out", tmp_path / "out", "--gallery", 0)
    assert "3 images, 2 objects, 1 crowd region" in lines(result)
    page = re.sub("<[^>]*>", "", (tmp_path / "out" / "report.html").read_text())
    for said in (lines(result), page):
        assert "3 images, 2 objects, 1 crowd region; " in said
        assert "1 box cut at the edge; 2 objects left out as data loaders do" in said
        assert (
            "Note (data): as data loaders do, objects are left out where ignore is set (1), the area is 0 (1)"
            in said
        )
    data = json.loads((tmp_path / "out" / "report.json").read_text())["data"]
    assert data["dropped"] == {"ignore is set": 1, "the area is 0": 1}
    assert data["format"] == "coco"
    assert data["notices"] == []


def test_a_broken_file_and_a_broken_annotation_are_counted_apart(command, tmp_path):
    good = "<annotation><size><width>64</width><height>48</height></size>{}</annotation>"
    box = "<bndbox><xmin>5</xmin><ymin>9</ymin><xmax>40</xmax><ymax>38</ymax></bndbox>"
    (tmp_path / "a.xml").write_text(good.format(f"<object><name>cat</name>{box}</object><object/>"))
    (tmp_path / "b.xml").write_text("<annotation>")
    result = command("audit", tmp_path)
    assert "1 image, 1 object; " in lines(result)
    assert "1 broken file skipped; 1 broken annotation skipped" in lines(result)
    assert [line.partition(": ")[2].partition(": ")[0] for line in result.stderr.splitlines()[:2]] == [
        str(tmp_path),
        str(tmp_path),
    ]


@pytest.mark.parametrize("where", ["category", "image", "file"])
def test_control_characters_do_not_reach_the_terminal(where, command, document, write):
    if where == "category":
        document["categories"][0]["name"] = CONTROL
    elif where == "image":
        for image in document["images"]:
            image["id"] = f"{image['id']}{CONTROL}"
        for annotation in document["annotations"]:
            annotation["image_id"] = f"{annotation['image_id']}{CONTROL}"
    path = write(document, "a\x1b[31m\x07.json" if where == "file" else "a.json")
    result = command("audit", path, "--set", "pos_iou_thr=0.99", "--set", "match_low_quality=false")
    assert result.exit_code == 0, result.output
    assert not set("\x1b\x07\u202e\ud800") & set(result.output)
    # A path that is long enough is broken anywhere.
    assert r"\x1b[31m" in lines(result).replace(" ", "")


def test_that_most_priors_are_ignored_is_said(command, document, write):
    path = write(document)
    said = lines(command("audit", path, "--set", "neg_iou_thr=[0.1, 0.3]"))
    assert "% of the priors are ignored: they learn nothing, not even background; by neg_iou_thr only" in said
    assert "priors are ignored" not in lines(command("audit", path))


def test_one_of_a_kind_is_said_in_english(command, document, write):
    document["images"] = document["images"][:1]
    document["annotations"] = document["annotations"][1:2]
    said = lines(command("audit", write(document)))
    assert "1 image, 1 object; " in said
    assert "1 objects" not in said
    assert "1 images" not in said


def test_control_characters_of_mistakes_do_not_reach_the_terminal(command, document, write):
    document["annotations"][0]["image_id"] = CONTROL
    result = command("audit", write(document), "--set", "pos_iou_thr=0.6")
    assert "\x1b" not in result.output
    assert "\x1b" not in command("audit", write(document), "--assigner", "rpn\x1b[31m").output


@pytest.mark.parametrize("name", ["[bold]", "[/]", "a[/b]c", "[link=x]y"])
def test_brackets_are_no_markup(name, command, document, write):
    document["categories"][0]["name"] = name
    for image in document["images"]:
        image["id"] = f"{image['id']}{name}"
    for annotation in document["annotations"]:
        annotation["image_id"] = f"{annotation['image_id']}{name}"
    config = write({"name": name, "assigner": {"pos_iou_thr": 0.99, "match_low_quality": False}}, "own.json")
    alone = command("audit", write(document), "--config", config, "--suggest")
    assert alone.exit_code == 0, alone.output
    assert lines(alone).count(name) >= 5
    beside = command("audit", write(document), "--config", config, "--assigner", "rpn")
    assert beside.exit_code == 0, beside.output
    assert name in lines(beside)


def test_a_name_of_5000_characters_is_cut(command, document, write):
    document["categories"][0]["name"] = "z" * 5000
    document["images"][0]["id"] = "i" * 5000
    for annotation in document["annotations"]:
        annotation["image_id"] = "i" * 5000 if annotation["image_id"] == 7 else annotation["image_id"]
    document["annotations"][0]["bbox"] = ["y" * 5000]
    result = command("audit", write(document))
    assert result.exit_code == 0
    assert "z" * 100 not in result.stdout
    assert max(map(len, result.output.splitlines())) < 2100


def test_pictures_take_names_as_they_are(command, document, write, tmp_path):
    name = "a$b^{2}$ c_1 \\alpha 日本語 🌲 \x1b " + "x" * 3000
    document["categories"][0]["name"] = name
    document["images"][0]["file_name"] = f"{name}.png"
    document["images"][1]["file_name"] = "$x$/$\\frac{$.png"
    config = {"name": name, "assigner": {"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4}}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = command(
            *("audit", write(document), "--config", write(config, "own.json"), "--assigner", "rpn"),
            *("--out", tmp_path / "out"),
        )
    assert result.exit_code == 0, result.output
    assert [str(w.message) for w in caught if "lyph" in str(w.message)] == []
    assert len(list((tmp_path / "out").rglob("*.png"))) == 11


def test_halves_of_surrogate_pairs_reach_every_file_as_escapes(command, document, write, tmp_path):
    document["categories"][0]["name"] = "\ud800</script>"
    document["images"][0] |= {"id": "\udfff", "file_name": "\ud800/\udc00a.png"}
    for annotation in document["annotations"]:
        annotation["image_id"] = "\udfff" if annotation["image_id"] == 7 else annotation["image_id"]
    result = command("audit", write(document), "--out", tmp_path / "out", "--gallery", 1)
    assert result.exit_code == 0, result.output
    assert "\\ud800" in (tmp_path / "out" / "rpn" / "objects.csv").read_text(encoding="utf-8")
    assert "<html" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")

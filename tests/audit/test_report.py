"""The report and the table say what the statistics hold."""

import dataclasses
import io
import json

import pytest
from rich.console import Console

from assigncore.audit.audit import assign_dataset
from assigncore.audit.presets import PRESETS
from assigncore.audit.report import unmatched_rows, write_report
from assigncore.audit.table import print_audit
from assigncore.datasets import read_coco


@pytest.fixture
def dataset(document, write):
    document["annotations"].append({"id": 99, "image_id": 7, "category_id": 4, "bbox": [1, 1, 0, 5]})
    return read_coco(write(document))


def noted(audit):
    """Put a note into each run."""
    return dataclasses.replace(
        audit, runs=tuple(dataclasses.replace(run, notes=("mind this",)) for run in audit)
    )


def test_unmatched_objects_are_listed_with_all_that_is_asked_for(audit):
    # The best anchor for 6 x 7 pixels is one of 32 x 32 that covers them all: 42 / 1024.
    assert unmatched_rows(audit("rpn")["rpn"]) == [
        {
            "image_id": 7,
            "file_name": "a.png",
            "annotation_id": 13,
            "category": "zebra",
            "size_class": "small",
            "width": 6.0,
            "height": 7.0,
            "oriented": None,
            "training_width": 6.0,
            "training_height": 7.0,
            "best_overlap": 0.041,
            "reason": "no prior: best overlap of the ground truth at least min_pos_iou (0.04102, limit 0.3)",
        }
    ]
    assert unmatched_rows(audit("retinanet")["retinanet"]) == []


def test_the_report_adds_up(audit):
    report = noted(audit("rpn", "retinanet")).report()
    assert (report["schema"], report["schema_version"]) == ("assigncore-audit", 1)
    data = report["data"]
    assert (data["images"], data["images_without_objects"], data["objects"]) == (3, 1, 4)
    assert (data["crowd_regions"], data["clipped"], data["num_skipped"]) == (1, 1, 1)
    assert data["skipped"][0]["annotation_id"] == 99
    assert set(report["versions"]) == {"python", "assigncore", "numpy"}
    for section in report["runs"]:
        split = section["prior_split"]
        assert split["positive"] + split["negative"] + split["ignored"] + split["excluded"] == split["total"]
        assert sum(level["priors"] for level in section["levels"]) == split["total"]
        assert sum(level["positives"] for level in section["levels"]) == split["positive"]
        small, medium, large, whole = section["objects_by_size"]
        assert small["objects"] + medium["objects"] + large["objects"] == whole["objects"] == 4
        assert whole["mean_positives"] * 4 == split["positive"]
        assert whole["without"] == section["num_unmatched"] == len(section["unmatched"])
        assert sum(map(sum, section["best_overlap"]["counts"])) == 4
        assert section["notes"] == ("mind this",)
    assert report["runs"][0]["assigner"]["pos_iou_thr"] == 0.7


def test_the_file_is_strict_json_and_the_same_every_time(audit, tmp_path):
    report = audit("rpn").report()
    report["settings"]["odd"] = {"value": float("inf"), "path": tmp_path}
    for name in ("first.json", "second.json"):
        write_report(report, tmp_path / name)
    text = (tmp_path / "first.json").read_text()
    assert text == (tmp_path / "second.json").read_text()
    back = json.loads(text, parse_constant=pytest.fail)
    assert back["settings"]["odd"] == {"value": "inf", "path": str(tmp_path)}
    assert back["runs"][0]["unmatched"][0]["annotation_id"] == 13


def printed(audit, width=80):
    out = io.StringIO()
    print_audit(Console(file=out, width=width), noted(audit))
    return out.getvalue()


def line_of(text, start):
    return next(line for line in text.splitlines() if line.strip("│ ").startswith(start))


def test_the_table_of_one_assigner(audit):
    text = printed(audit("rpn"))
    assert (
        "3 images, 4 objects, 1 crowd region; original size, on numpy; 1 box cut at the edge; 1 broken"
        in " ".join(text.split())
    )
    assert "Note (rpn): mind this" in text
    assert line_of(text, "small").split() == [
        "│",
        "small",
        "│",
        "1",
        "│",
        "0.0",
        "│",
        "0.0",
        "│",
        "1",
        "(100.0%)",
        "│",
    ]
    assert "Objects without any positive: 1" in text
    assert "0.041" in line_of(text, "7 ")
    assert max(map(len, text.splitlines())) <= 80


def test_a_line_for_border_priors_only_where_there_are_any(audit):
    assert "excluded" not in printed(audit("rpn"))
    assert "excluded" in printed(audit("rpn allowed_border=0"))


def test_every_object_served_is_said(audit):
    assert "Every object has at least one positive." in printed(audit("retinanet"))


def test_several_assigners_stand_side_by_side(audit):
    text = printed(audit("rpn", "retinanet", "faster-rcnn-rcnn"))
    tables = text.split("What became of the priors")
    for table in tables:
        for name in ("rpn", "retinanet", "faster-rcnn-rcnn"):
            assert line_of(table, name)
    assert "Note (rpn, retinanet, faster-rcnn-rcnn): mind this" in text
    assert max(map(len, text.splitlines())) <= 80


def test_all_presets_fit_on_a_terminal(audit):
    text = printed(audit(*PRESETS))
    assert max(map(len, text.splitlines())) <= 80
    for table in text.split("What became of the priors"):
        for name in PRESETS:
            assert line_of(table, f"{name} ").count("│") in (6, 7)
    assert "…" not in text


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("ssd",), "resized to exactly 300x300, aspect ratio not kept, on numpy"),
        (("ssd", "rpn"), "original size, on numpy"),
        (("ssd", "ssd image_scale=64x64!"), "image scales as noted, on numpy"),
    ],
)
def test_the_headline_names_the_scale_that_is_used(names, said, audit):
    assert said in " ".join(printed(audit(*names)).split("Mean")[0].split())


def test_a_long_name_is_broken_before_any_number_is(audit):
    found = audit("retinanet", "fcos")
    runs = (found["retinanet"], renamed(found["fcos"], "fcos-" + "very-" * 14))
    text = printed(dataclasses.replace(found, runs=runs))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text


def test_shares_and_means_stand_below_one_another(audit):
    text = printed(audit("retinanet", "fsaf", "rpn")).split("What became")[0]
    rows = [line_of(text, name).split("│")[2:-1] for name in ("retinanet", "fsaf", "rpn")]
    for cells in zip(*rows, strict=True):
        starts = {cell.index(cell.split()[0]) + len(cell.split()[0]) for cell in cells}
        ends = {cell.rindex("%") for cell in cells}
        assert (len(starts), len(ends)) == (1, 1)


def renamed(run, name):
    settings = dataclasses.replace(run.plan.settings, name=name)
    return dataclasses.replace(run, plan=dataclasses.replace(run.plan, settings=settings))


def test_points_have_no_overlap_in_table_and_report(audit):
    fcos = audit("fcos")
    assert "Best IoU" not in printed(fcos)
    section = fcos.report()["runs"][0]
    assert section["best_overlap"] is None
    assert all(row["best_overlap"] is None for row in section["unmatched"])


def test_the_report_names_approximations_and_the_size_of_images(audit):
    runs = audit("ssd", "guided-anchoring-shape").report()["runs"]
    assert [section["image_scale"] for section in runs] == ["300x300!", None]
    assert runs[0]["approxs"] is None
    assert runs[1]["approxs"]["octave_base_scale"] == 8


def test_names_with_markup_are_printed_as_they_are(document, write, plan, scale, settings):
    document["categories"][0]["name"] = "[red]zebra[/nothing]"
    changed = read_coco(write(document, "[bold]other.json"))
    text = printed(assign_dataset([plan("rpn")], changed, scale, settings), width=200)
    assert "[red]zebra[/nothing]" in text
    assert "[bold]other.json" in text

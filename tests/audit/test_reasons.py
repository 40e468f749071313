"""Why objects have no positives: one reason each, which the assignment itself bears out."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest

import assigncore
from assigncore import audit
from assigncore.audit import assigning, reasons
from assigncore.audit.assigning import assign_images
from assigncore.audit.config import make_plans
from assigncore.audit.reasons import ReasonKind, reason_text
from assigncore.audit.report import write_objects

NAMES = ("rpn", "retinanet", "ssd", "atss", "yolof", "fsaf", "fcos", "reppoints", "guided-anchoring", "tood", "yolox", "yolov7", "detr")  # fmt: skip


@pytest.fixture(scope="module")
def crowns():
    """Audit the tree crowns with an assigner of each kind."""
    return audit.run(assigners=["atss", "fcos", "yolof", "ssd", "detr"])


def test_objects_have_a_reason_just_where_they_have_no_positives(crowns):
    for run in crowns:
        objects = run.findings.objects
        np.testing.assert_array_equal(objects.reason >= 0, objects.totals == 0)
        assert sum(row.objects for row in run.statistics.reasons) == int(np.sum(objects.totals == 0))


def test_who_has_the_prior_has_positives(crowns):
    for run in crowns:
        objects = run.findings.objects
        for row in np.flatnonzero(objects.rival >= 0).tolist():
            rival = row - int(objects.index[row]) + int(objects.rival[row])
            assert objects.image[rival] == objects.image[row]
            assert objects.totals[rival] > 0


def test_centres_outside_are_said_of_objects_without_an_anchor_in_them(crowns):
    run = crowns["atss"]
    (row,) = run.statistics.reasons[:1]
    assert row.name == "no prior: centre inside the box"
    table = run.objects_table()
    narrow = np.minimum(table["training_width"], table["training_height"]) < 8
    assert all(narrow[i] for i in range(len(narrow)) if "centre inside" in table["reason"][i])


def test_more_objects_than_queries_is_the_reason_of_a_matching(crowns):
    assert [row.name for row in crowns["detr"].statistics.reasons] == [
        "no prior: a prediction for every ground truth"
    ]
    reasons = set(crowns["detr"].objects_table()["reason"].tolist())
    assert "no prior: a prediction for every ground truth (100, limit 574)" in reasons


def test_the_best_overlap_that_is_said_is_the_audits(rivals):
    run = audit.run(rivals, "rpn", image_scale="original", overrides=["priors.scales=[32]"])[0]
    objects = run.findings.objects
    said = np.flatnonzero((objects.reason >= 0) & (objects.rival < 0))
    assert len(said)
    np.testing.assert_allclose(objects.reason_value[said], objects.best_overlaps[said], rtol=1e-6)
    np.testing.assert_allclose(objects.reason_limit[said], 0.3, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_reason_names_who_has_positives_and_no_object_that_has_some(name, rivals, settings):
    plan = make_plans([name], [], [])[0]
    frames = [(plan.scale or audit.audit.parse_scale("original", "")).frame(image) for image in rivals.images]
    for one in assign_images(plan, rivals, frames, settings):
        for index, reason in one.reasons.items():
            assert not (one.gt_inds == index + 1).any()
            assert reason.rival != index
            if reason.rival >= 0:
                assert (one.gt_inds == reason.rival + 1).any()


@pytest.mark.parametrize("name", [*NAMES, "nwd"])
def test_images_whose_steps_are_recorded_at_once_have_the_same_answers(name, rivals, settings, monkeypatch):
    plan = make_plans([name], [], [])[0]
    frames = [(plan.scale or audit.audit.parse_scale("original", "")).frame(image) for image in rivals.images]
    alone, found = dataclasses.replace(settings, batch_size=1), []
    for share in (1, -1):
        monkeypatch.setattr(assigning, "MOST_LACKING", share)
        found.append({one.frame.image.id: one for one in assign_images(plan, rivals, frames, alone)})
    for image, one in found[0].items():
        other = found[1][image]
        np.testing.assert_array_equal(one.gt_inds, other.gt_inds)
        assert one.reasons.keys() == other.reasons.keys()
        assert {str(x) for x in one.reasons.values()} == {str(x) for x in other.reasons.values()}
        for x, y in (
            (one.best_overlaps, other.best_overlaps),
            (one.matched_overlaps, other.matched_overlaps),
        ):
            np.testing.assert_array_equal(x, y)


def test_a_lost_prior_is_lost_by_the_explanation_too():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9.5]], dtype=np.float32)
    assigner = assigncore.MaxIoUAssigner(0.5, 0.4, match_low_quality=False)
    explanation = assigncore.explain(assigner, boxes[:1], boxes)
    reason = explanation.why_none(1)
    assert (reason.outcome, reason.winner, reason.prior) == ("lost", 0, 0)
    assert reason.value == 1
    assert reason.limit == pytest.approx(0.95)
    assert str(explanation.pair(1, 0)) == str(reason)


def test_without_priors_there_is_nothing_to_compare():
    assigner = assigncore.MaxIoUAssigner(0.5, 0.4)
    boxes = np.array([[0, 0, 10, 10]], dtype=np.float32)
    far = np.array([[50, 50, 60, 60]], dtype=np.float32)
    reason = assigncore.explain(assigncore.MaxIoUAssigner(0.5, 0.4, min_pos_iou=0.2), far, boxes).why_none(0)
    assert (reason.outcome, reason.value, reason.limit) == ("failed", 0, pytest.approx(0.2))
    assert assigncore.explain(assigner, far[:0], boxes).why_none(0).step == "anything to compare"


def test_reasons_are_left_out_where_nobody_wants_them(rivals):
    run = audit.run(rivals, "rpn", image_scale="original", reasons=False)[0]
    assert run.statistics.reasons == ()
    assert set(run.objects_table()["reason"].tolist()) == {""}


def test_priors_that_touch_no_such_object_change_no_reason(rivals, monkeypatch):
    overrides = ["min_pos_iof=0.9"]
    near = audit.run(rivals, "fsaf", image_scale="original", overrides=overrides)[0]
    monkeypatch.setattr(reasons, "EACH_PRIOR_ALONE", ())
    every = audit.run(rivals, "fsaf", image_scale="original", overrides=overrides)[0]
    assert every.statistics.reasons
    assert near.objects_table()["reason"].tolist() == every.objects_table()["reason"].tolist()


def test_equal_values_are_not_compared_in_words():
    assert reason_text(ReasonKind("lost", "the later ground truth"), 0.0, 0.0, "5") == (
        "lost to object 5: the later ground truth"
    )


def test_every_object_is_in_the_file(command, document, write, tmp_path):
    document["categories"][0]["name"] = 'ze"bra, \n striped'
    result = command("audit", write(document), "--assigner", "rpn", "--out", tmp_path, "--gallery", 0)
    assert result.exit_code == 0, result.output
    with open(tmp_path / "rpn" / "objects.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    report = json.loads((tmp_path / "report.json").read_text())
    run = report["runs"][0]
    assert len(rows) == report["data"]["objects"]
    assert sum(row["positives"] == "0" for row in rows) == run["num_unmatched"]
    assert {row["category"] for row in rows} <= {'ze"bra, \n striped', "ape"}
    for row in rows:
        assert float(row["x2"]) - float(row["x1"]) == pytest.approx(float(row["width"]))
        assert bool(row["reason"]) == (row["positives"] == "0")
    assert sum(row["objects"] for row in run["objects_by_category"]) == len(rows)
    assert [row["objects"] for row in run["reasons"]] == sorted(
        (row["objects"] for row in run["reasons"]), reverse=True
    )


@pytest.mark.parametrize("name", ["a\rb", "a\r\nb", "a\nb", 'a"b', "a,b", " a"])
def test_a_row_holds_every_name_as_it_is(name, document, write, tmp_path):
    document["categories"][0]["name"] = document["images"][0]["file_name"] = name
    write_objects(audit.run(write(document))[0], tmp_path)
    with open(tmp_path / "objects.csv", encoding="utf-8", newline="") as file:
        text = file.read()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == 4
    assert {row["category"] for row in rows} == {name, "ape"}
    assert {row["file_name"] for row in rows} == {name, "b.png"}
    assert text.split("\n", 1)[0].endswith("reason")


def test_ids_of_more_than_64_bits_are_ids(document, write):
    large = 2**64 - 1
    document["images"][0]["id"] = document["annotations"][0]["id"] = large
    for annotation in document["annotations"]:
        annotation["image_id"] = large if annotation["image_id"] == 7 else annotation["image_id"]
    table = audit.run(write(document))[0].objects_table()
    assert table["image_id"].tolist() == [large, large, 3, 3]
    assert large in table["annotation_id"].tolist()

"""Predictions on the command line: what is said, and what the report holds."""

import json

import pytest


def said(result):
    """Return the lines on stderr."""
    return result.stderr.splitlines()


NOT_USED = [
    "entry at index 1: bbox: expected four finite numbers x y width height, got [20, 30]; skipped",
    "1 entry of images that the annotations do not list, not used: 99",
]


@pytest.mark.parametrize("options", [("--proposals",), ("--predictions",), ("--proposals", "--predictions")])
def test_what_is_not_used_of_a_results_file_is_named_once(options, command, document, write):
    results = [
        {"image_id": 7, "category_id": 4, "bbox": [99, 101, 41, 50], "score": 0.75},
        {"image_id": 3, "category_id": 9, "bbox": [20, 30], "score": 0.5},
        {"image_id": 99, "category_id": 9, "bbox": [20, 30, 10, 10], "score": 0.5},
    ]
    path = write(results, "results.json")
    given = [part for option in options for part in (option, path)]
    names = ("--assigner", "faster-rcnn-rcnn", "--assigner", "detr")
    result = command("audit", write(document), *names, *given)
    assert result.exit_code == 0
    assert said(result) == [f"Warning: {path}: {line}" for line in NOT_USED]
    assert "2 entries not used" in " ".join(result.stdout.split())


def test_predictions_are_simulated_or_given_and_the_report_says_which(command, document, write, tmp_path):
    boxes = [
        {"image_id": 7, "category_id": 4, "bbox": [99, 101, 41, 50], "score": 0.75},
        {"image_id": 3, "category_id": 9, "bbox": [20, 30, 0, 140], "score": 0.5},
        {"image_id": 3, "category_id": 9, "bbox": [20, 30], "score": 0.5},
        {"image_id": 99, "category_id": 9, "bbox": [20, 30, 10, 10], "score": 0.5},
        {"image_id": 98, "category_id": 9, "bbox": [20, 30, 10, 10], "score": 0.5},
        {"image_id": 99, "category_id": 9, "bbox": [20, 30, 10, 10], "score": 0.5},
    ]
    options = ("audit", write(document), "--assigner", "tood", "--assigner", "detr", "--gallery", 1)
    simulated = command(*options, "--out", tmp_path / "simulated")
    assert simulated.exit_code == 0
    assert "SIMULATED from the ground truth" in " ".join(simulated.stdout.split())
    assert json.loads((tmp_path / "simulated" / "report.json").read_text())["predictions"] is None
    path = write(boxes, "results.json")
    given = command(*options, "--out", tmp_path / "given", "--predictions", path)
    assert given.exit_code == 0
    assert "SIMULATED" not in given.stdout
    assert "IoU of objects with their predictions" in given.stdout
    assert [line.partition("results.json: ")[2] for line in said(given)] == [
        "entry at index 2: bbox: expected four finite numbers x y width height, got [20, 30]; skipped",
        "3 entries of images that the annotations do not list, not used: 99, 98",
    ]
    report = json.loads((tmp_path / "given" / "report.json").read_text())
    assert report["predictions"] == {
        "source": str(path),
        "used": 2,
        "without_area": 1,
        "num_broken": 1,
        "broken": ["entry at index 2: bbox: expected four finite numbers x y width height, got [20, 30]"],
        "unknown_images": [{"image_id": 99, "entries": 2}, {"image_id": 98, "entries": 1}],
        "suspicions": [],
    }
    tood, detr = report["runs"]
    assert tood["matched_overlap"]["objects"] >= 1
    assert detr["matched_overlap"]["objects"] == 4
    assert len(list((tmp_path / "given").rglob("*.png"))) == 9

"""Every preset on real annotations, and the numbers that the documentation tells."""

import json
import lzma
import re
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from assigncore.audit import command as command_module
from assigncore.audit.predicting_presets import PREDICTING
from assigncore.audit.presets import PRESETS

ROOT = Path(__file__).resolve().parents[2]
COCO = ROOT / "tests" / "data" / "coco_val2014_100.json.xz"
CROWNS = Path(str(files("assigncore") / "data" / "neon_trees.json"))
FIRST = 4
# The documentation's tables show these side by side, the others with predictions.
PREDICTED = [preset.name for preset in PREDICTING]
BEFORE_TRAINING = [name for name in PRESETS if name not in PREDICTED]
# Of those, the quickest of each kind on all of the images.
CHECKED = ("tood", "detr", "dino")


def assigners(names):
    return [part for name in names for part in ("--assigner", name)]


@pytest.fixture
def audit(command, tmp_path, monkeypatch):
    """Run the command for its output and its report, without the time that pictures take."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(
        command_module, "_prepare_pictures", lambda _: SimpleNamespace(draw_all=lambda *_: [])
    )

    def audit(*arguments):
        result = command("audit", *arguments, "--out", tmp_path)
        assert result.exit_code == 0, result.output
        return result, json.loads((tmp_path / "report.json").read_text())

    return audit


@pytest.fixture(scope="session")
def coco(tmp_path_factory):
    """Unpack the annotations of COCO."""
    path = tmp_path_factory.mktemp("coco") / "coco_val2014_100.json"
    path.write_bytes(lzma.decompress(COCO.read_bytes()))
    return path


@pytest.fixture
def annotations_of(coco):
    return {"coco": coco, "crowns": CROWNS}


def first_images(path, write):
    """Write the first images of a data set, and what a detector might have found in them."""
    truth = json.loads(path.read_text())
    truth["images"] = truth["images"][:FIRST]
    ids = {image["id"] for image in truth["images"]}
    truth["annotations"] = [a for a in truth["annotations"] if a["image_id"] in ids]
    return truth, write(truth), write(found_in(truth), "results.json")


def found_in(truth):
    """Draw results with all that real ones hold: good and poor hits, wrong classes, misses, boxes of nothing."""
    rng = np.random.default_rng(0)
    classes = [category["id"] for category in truth["categories"]]
    entries = []

    def add(annotation, bbox, category, score):
        image_id = annotation["image_id"]
        entry = {"image_id": image_id, "category_id": int(category), "bbox": bbox, "score": float(score)}
        entries.append(entry)

    for annotation in truth["annotations"]:
        x, y, w, h = annotation["bbox"]
        for _ in range(rng.integers(0, 4)):
            dx, dy, dw, dh = rng.normal(0, 0.15, 4)
            box = [x + dx * w, y + dy * h, w * np.exp(dw), h * np.exp(dh)]
            right = rng.random() < 0.8
            category = annotation["category_id"] if right else rng.choice(classes)
            add(annotation, box, category, rng.uniform(0.05, 1))
        if rng.random() < 0.1:
            add(annotation, [x, y, 0.0, h], rng.choice(classes), 0.001)
            add(annotation, [x / 2, y / 2, w + 8, h / 2 + 8], rng.choice(classes), rng.uniform(0, 0.3))
    return entries


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["coco", "crowns"])
def test_every_preset_adds_up(name, audit, annotations_of, write):
    truth, annotations, results = first_images(annotations_of[name], write)
    objects = sum(not a.get("iscrowd", 0) for a in truth["annotations"])
    given = ("--proposals", results, "--predictions", results)
    done, report = audit(annotations, *given, *assigners(PRESETS))
    assert done.stderr == ""
    assert "SIMULATED" not in done.stdout
    data = report["data"]
    assert (data["images"], data["objects"], data["num_skipped"]) == (len(truth["images"]), objects, 0)
    assert [run["name"] for run in report["runs"]] == list(PRESETS)
    for run in report["runs"]:
        split, levels, whole = run["prior_split"], run["levels"], run["objects_by_size"][-1]
        assert split["positive"] + split["negative"] + split["ignored"] + split["excluded"] == split["total"]
        assert all(count >= 0 for count in split.values())
        assert sum(level["priors"] for level in levels) == split["total"]
        assert sum(level["positives"] for level in levels) == split["positive"] > 0
        assert sum(row["objects"] for row in run["objects_by_size"][:-1]) == whole["objects"] == objects
        assert whole["mean_positives"] * objects == pytest.approx(split["positive"])
        assert whole["without"] == run["num_unmatched"] == len(run["unmatched"]) < objects
        if "num_queries" in run["priors"]:
            assert split["total"] == len(truth["images"]) * run["priors"]["num_queries"]
        if run["best_overlap"] is not None:
            assert sum(map(sum, run["best_overlap"]["counts"])) == objects
        if run["name"] in PREDICTED:
            assert run["matched_overlap"]["objects"] == objects - run["num_unmatched"]


def documented():
    return (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")


def documented_tables():
    """Give the two side-by-side tables of all presets, COCO's first."""
    section = documented().partition("\n## What the presets do with COCO")[2]
    return re.findall(r"^Mean positives.*?(?=^```)", section, re.S | re.M)


def trimmed(text):
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def test_the_table_of_coco_is_what_the_command_prints(audit, coco):
    done, _ = audit(coco, *assigners(BEFORE_TRAINING))
    assert documented_tables()[0] in trimmed(done.stdout)


def test_the_table_of_the_bundled_sample_is_what_the_command_prints(audit):
    done, _ = audit(*assigners(BEFORE_TRAINING))
    assert documented_tables()[1] in trimmed(done.stdout)


@pytest.mark.parametrize(("name", "columns"), [("coco", slice(0, 3)), ("crowns", slice(3, 6))])
def test_the_table_of_predictions_holds_what_is_reported(name, columns, audit, annotations_of):
    _, report = audit(annotations_of[name], *assigners(CHECKED))
    for run in report["runs"]:
        (row,) = re.findall(rf"^{run['name']} +(\d.*%)$", documented(), re.M)
        whole, matched = run["objects_by_size"][-1], run["matched_overlap"]
        shares = (whole["share_without"], matched["poor"] / matched["objects"])
        reported = [f"{whole['mean_positives']:.1f}", *(f"{share:.1%}" for share in shares)]
        assert row.split()[columns] == reported, run["name"]

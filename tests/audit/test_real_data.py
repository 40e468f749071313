"""Every preset on real annotations and a detector's real boxes, and the numbers that the documentation tells.

The files are ``../shared/data`` beside the repository, or in the folder that ``ASSIGNCORE_DATA`` names.
"""

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from assigncore.audit import command as command_module
from assigncore.audit.predicting_presets import PREDICTING
from assigncore.audit.presets import PRESETS

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("ASSIGNCORE_DATA", ROOT.parent / "shared" / "data"))
SETS = {
    "coco_val2014_100": ("gt.json", "pred_fakebbox100.json"),
    "txl_pbc": ("gt_test.json", "pred_yolov8n_test.json"),
    "neon_trees": ("gt.json", "pred_deepforest.json"),
}
FIRST = 4
# The documentation's tables show these side by side, the others with a detector's boxes.
PREDICTED = [preset.name for preset in PREDICTING]
BEFORE_TRAINING = [name for name in PRESETS if name not in PREDICTED]
# Of those, the quickest of each kind on all of the images.
CHECKED = ("tood", "detr", "dino")

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no folder of annotation files at {DATA}")


def assigners(names):
    return [part for name in names for part in ("--assigner", name)]


@pytest.fixture
def audit(command, tmp_path, monkeypatch):
    """Run the command for its output and its report, without the time that pictures take."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(command_module, "_prepare_pictures", lambda _: SimpleNamespace(draw_all=lambda *_: 0))

    def audit(*arguments):
        result = command("audit", *arguments, "--out", tmp_path)
        assert result.exit_code == 0, result.output
        return result, json.loads((tmp_path / "report.json").read_text())

    return audit


def first_images(name, write):
    """Write the first images of a data set, and what a detector found in them."""
    truth, found = (json.loads((DATA / name / file).read_text()) for file in SETS[name])
    truth["images"] = truth["images"][:FIRST]
    ids = {image["id"] for image in truth["images"]}
    truth["annotations"] = [a for a in truth["annotations"] if a["image_id"] in ids]
    found = [entry for entry in found if entry["image_id"] in ids]
    return truth, write(truth), write(found, "results.json")


@needs_data
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", SETS)
def test_every_preset_adds_up(name, audit, write):
    truth, annotations, results = first_images(name, write)
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
    """Give the two side-by-side tables, COCO's first."""
    return re.findall(r"^Mean positives.*?(?=^```)", documented(), re.S | re.M)


def trimmed(text):
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


@needs_data
def test_the_table_of_coco_is_what_the_command_prints(audit):
    done, _ = audit(DATA / "coco_val2014_100" / "gt.json", *assigners(BEFORE_TRAINING))
    assert documented_tables()[0] in trimmed(done.stdout)


def test_the_table_of_the_bundled_sample_is_what_the_command_prints(audit):
    done, _ = audit(*assigners(BEFORE_TRAINING))
    assert documented_tables()[1] in trimmed(done.stdout)


@needs_data
@pytest.mark.parametrize(("name", "columns"), [("txl_pbc", slice(0, 3)), ("coco_val2014_100", slice(3, 6))])
def test_the_table_of_predictions_holds_what_is_reported(name, columns, audit):
    truth, found = (DATA / name / file for file in SETS[name])
    _, report = audit(truth, "--predictions", found, *assigners(CHECKED))
    for run in report["runs"]:
        (row,) = re.findall(rf"^{run['name']} +(\d.*%)$", documented(), re.M)
        whole, matched = run["objects_by_size"][-1], run["matched_overlap"]
        shares = (whole["share_without"], matched["poor"] / matched["objects"])
        reported = [f"{whole['mean_positives']:.1f}", *(f"{share:.1%}" for share in shares)]
        assert row.split()[columns] == reported, run["name"]

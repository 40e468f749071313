"""Advice on the bundled tree crowns, and that following it does what it says."""

import json
import re
import shlex

import pytest

from assigncore import audit
from assigncore.audit import Advice, Outcome, WhatIf
from assigncore.audit.config import preset_as_toml, read_preset
from assigncore.audit.presets import PRESETS


def options_said(output):
    """Read the options that the command says to add."""
    lines = re.findall(r"^ +(--set .*(?:\n +(?!--set)\S.*)*)", output, flags=re.MULTILINE)
    return [shlex.split(" ".join(line.split())) for line in lines]


def report_of(folder):
    return json.loads((folder / "report.json").read_text())["runs"]


@pytest.fixture(scope="module")
def crowns():
    """Audit the tree crowns with the published anchors, and ask what to change."""
    return audit.run(assigners="rpn").suggest()


def test_the_published_anchors_are_found_too_large_for_the_tree_crowns(crowns):
    advice = crowns["rpn"].advice
    assert advice.causes[0].startswith("The anchors are too large: the smallest has a side of 32 pixels")
    assert "430 of the 430 without positives" in advice.causes[0]
    fitted = crowns["rpn"].plan.priors.scales[0]
    scales = next(one for one in advice.what_ifs if one.name == "scales fitted").overrides[0]
    assert json.loads(scales.partition("=")[2])[0] < fitted / 2


def test_followed_by_options_and_by_config_it_leaves_less_than_a_quarter(command, tmp_path):
    first = command("audit", "--suggest", "--gallery", 0, "--out", tmp_path / "first")
    assert first.exit_code == 0, first.output
    (run,) = report_of(tmp_path / "first")
    (options,) = options_said(first.stdout)
    assert options[1::2] == run["advice"]["overrides"]
    config = tmp_path / "first" / "rpn" / "advice.toml"
    for name, followed in (("set", options), ("config", ["--config", config])):
        result = command("audit", *followed, "--gallery", 0, "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
        (after,) = report_of(tmp_path / name)
        assert after["num_unmatched"] < run["num_unmatched"] / 4
        assert after["num_unmatched"] == run["advice"]["outcome"]["without"]


def test_of_several_assigners_each_has_its_own_options(command, tmp_path):
    names = [option for name in ("atss", "reppoints") for option in ("--assigner", name)]
    first = command("audit", *names, "--suggest")
    options = [option for line in options_said(first.stdout) for option in line]
    assert {text.partition(":")[0] for text in options[1::2]} == {"atss", "reppoints"}
    command("audit", *names, *options, "--out", tmp_path, "--gallery", 0)
    assert [run["num_unmatched"] for run in report_of(tmp_path)] == [0, 0]


def test_every_what_if_is_what_a_run_of_it_gives(crowns):
    advice = crowns["rpn"].advice
    for one in advice.what_ifs[:2]:
        run = audit.run(assigners="rpn", overrides=one.overrides)[0]
        assert run.statistics.sizes[-1].without == one.outcome.without
        assert [row.without for row in run.statistics.sizes[:-1]] == list(one.outcome.without_by_size)


def test_the_same_data_give_the_same_advice_in_any_number_of_processes(crowns):
    assert crowns.suggest(jobs=2)["rpn"].advice == crowns["rpn"].advice


def test_where_every_object_has_positives_nothing_is_advised(rivals):
    run = audit.run(rivals, "reppoints", image_scale="original")
    assert run["reppoints"].statistics.sizes[-1].without == 0
    advice = run.suggest()["reppoints"].advice
    assert (advice.steps, advice.overrides, advice.config) == ((), (), "")
    assert advice.outcome == advice.today
    assert advice.what_ifs


@pytest.mark.parametrize("name", ["ssd", "fcos", "detr"])
def test_what_is_advised_leaves_fewer_of_the_tree_crowns_out(name):
    advice = audit.run(assigners=name).suggest()[name].advice
    assert advice.outcome.without < advice.today.without / 4


def test_a_step_is_called_by_what_it_changes_besides_those_before():
    steps = [("scales fitted", ("priors.scales=[3]",)), ("", ("priors.scales=[3]", "min_pos_iou=0.1"))]
    today = Outcome(9, 9, (9, 0, 0), 0.0, None, 100)
    advice = Advice("rpn", 1, today, (), (), tuple(WhatIf(*step, today) for step in steps))
    assert advice.step_names == ("scales fitted", "min_pos_iou=0.1")


def test_more_objects_than_queries_are_said(crowns):
    advice = audit.run(crowns.dataset, "detr", overrides=["priors.num_queries=600"]).suggest()[0].advice
    assert not any("queries" in cause for cause in advice.causes)
    advice = audit.run(crowns.dataset, "detr").suggest()[0].advice
    assert "up to 574 objects, and there are 100 queries" in advice.causes[0]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_written_as_a_config_is_read_back(name, tmp_path):
    preset = PRESETS[name]
    path = tmp_path / "own.toml"
    path.write_text(preset_as_toml(preset, "own"), encoding="utf-8")
    read = read_preset(path)
    assert read.name == "own"
    for section in ("priors", "assigner", "approxs"):
        known = getattr(preset, section)
        assert getattr(read, section) == (
            None if known is None else {k: v for k, v in known.items() if v is not None}
        )
    assert (read.allowed_border, read.image_scale) == (preset.allowed_border, preset.image_scale)


def test_an_interrupt_keeps_the_audit(command, monkeypatch, document, write):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(audit.Audit, "suggest", interrupted)
    result = command("audit", write(document), "--suggest")
    assert result.exit_code == 130
    assert "the audit itself is whole" in result.stderr
    assert "Every object has at least one positive" in result.stdout


def test_objects_on_the_edge_of_nothing_do_not_stop_the_advice(document, write, command):
    document["annotations"] = [{"id": 1, "image_id": 7, "category_id": 4, "bbox": [0, 0, 1, 200]}]
    result = command("audit", write(document), "--suggest", "--assigner", "rpn", "--assigner", "yolov7")
    assert result.exit_code == 0, result.output

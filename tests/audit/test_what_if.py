"""Settings with knobs varied: which values, for whom, and what comes of them."""

import json

import pytest

from assigncore import audit
from assigncore.audit.config import Override, change_plan
from assigncore.audit.errors import AuditError
from assigncore.audit.what_if import as_override, read_variations


def test_values_are_cut_at_commas_outside_of_brackets_and_quotes():
    assert read_variations(['a={"b": [1, 2]}, [3,4] ,x,"y,z"'], []) == (
        ('a={"b": [1, 2]}',), ("a=[3,4]",), ("a=x",), ('a="y,z"',)
    )  # fmt: skip


def test_several_are_combined():
    assert read_variations(["a=1,2", "b=3,4"], []) == (
        ("a=1", "b=3"), ("a=1", "b=4"), ("a=2", "b=3"), ("a=2", "b=4")
    )  # fmt: skip
    assert read_variations([], []) == ()


@pytest.mark.parametrize(
    ("texts", "error"),
    [
        (["priors.scales"], "expected KEY=VALUE"),
        (["priors.scales="], "expected KEY=VALUE,VALUE"),
        (["=1"], "expected KEY=VALUE"),
        (["atss:topk=3"], "no assigner of this run is called 'atss'"),
        (["min_pos_iou=0.1", "priors.scales=[4],[0]"], "priors.scales=\\[0\\]: rpn: scales"),
        (["pos=1"], "--vary pos=1: rpn: MaxIoUAssigner has no knob 'pos'"),
        (["min_pos_iou=" + ",".join(f"0.{i}" for i in range(201))], "at most 200 combinations, got 201"),
    ],
)
def test_what_cannot_be_varied_is_refused_before_anything_runs(plan, texts, error):
    with pytest.raises(AuditError, match=error):
        read_variations(texts, [plan("rpn")])


@pytest.mark.parametrize("value", [0.25, 4.0, (4.0, 8.5), ((-1, 64), (64, float("inf"))), True, "2666x1600"])
def test_an_override_reads_what_was_written(plan, value):
    preset = Override.parse(as_override("priors.knob", value)).apply(plan("rpn").settings)
    assert preset.priors["knob"] == value


def test_scales_take_the_place_of_octaves_and_back(plan):
    retinanet = change_plan(plan("retinanet"), ["priors.scales=[4]"])
    assert retinanet.priors.all_scales == (4.0,)
    rpn = change_plan(plan("rpn"), ["priors.octave_base_scale=4", "priors.scales_per_octave=2"])
    assert rpn.priors.all_scales == pytest.approx((4, 4 * 2**0.5))


def test_each_variation_gives_what_a_run_of_its_own_gives(rivals):
    found = audit.run(rivals, ["rpn", "atss"], image_scale="original")
    varied = found.vary(["priors.scales=[2],[4]", "rpn:min_pos_iou=0.1"])
    for run in varied:
        for one in run.variations.what_ifs:
            overrides = [f"{run.name}:{text}" for text in one.overrides]
            alone = audit.run(rivals, run.name, image_scale="original", overrides=overrides)[0]
            assert one.outcome.without == alone.statistics.sizes[-1].without
            assert one.outcome.mean_positives == pytest.approx(alone.statistics.sizes[-1].mean_positives)
            assert one.outcome.mean_best_overlap == pytest.approx(alone.statistics.overlaps.mean)
            assert one.outcome.priors == alone.statistics.priors.total
        assert run.variations.today.without == run.statistics.sizes[-1].without
    assert [len(one.overrides) for one in varied["rpn"].variations.what_ifs] == [2, 2]
    assert [len(one.overrides) for one in varied["atss"].variations.what_ifs] == [1, 1]


def test_a_few_images_stand_for_many(rivals):
    found = audit.run(rivals, "rpn", image_scale="original")
    few = found.vary(["priors.scales=[4]"], images=1)["rpn"].variations
    assert few.images == 1
    assert few.today.objects == few.what_ifs[0].outcome.objects == len(rivals.objects(rivals.images[0]))


def test_a_setting_that_the_data_refuse_is_told_and_the_others_run(rivals):
    found = audit.run(rivals, "rpn", image_scale="original")
    bad, good = found.vary(["image_scale=99999x99999,100x100"])["rpn"].variations.what_ifs
    assert "priors, more than" in bad.error
    assert bad.outcome is None
    assert good.outcome.objects == 7


def test_the_command_prints_and_writes_them(command, document, write, tmp_path):
    options = ("--image-scale", "original", "--vary", "priors.scales=[4],[16]", "--gallery", 0)
    result = command("audit", write(document), *options, "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    assert "rpn with other knobs, on 3 images" in result.stdout
    assert "priors.scales=[16]" in result.stdout
    run = json.loads((tmp_path / "o" / "report.json").read_text())["runs"][0]
    assert [one["overrides"] for one in run["variations"]["what_ifs"]] == [
        ["priors.scales=[4]"], ["priors.scales=[16]"]
    ]  # fmt: skip
    assert run["advice"] is None


def test_a_wrong_variation_is_one_line(command):
    result = command("audit", "--vary", "nosuch=1,2")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: --vary nosuch=1: rpn: MaxIoUAssigner has no knob 'nosuch'")
    assert result.stderr.count("\n") == 1

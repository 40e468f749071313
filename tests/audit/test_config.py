"""Presets, config files and overrides."""

import dataclasses
from pathlib import Path

import pytest

from assigncore import audit
from assigncore.audit.config import Override, make_plans, read_preset
from assigncore.audit.errors import AuditError
from assigncore.audit.presets import PRESETS
from assigncore.audit.proposals import Proposals
from assigncore.costs import build_costs
from assigncore.datasets import InputFileError
from assigncore.priors import AnchorGenerator, PointGenerator
from assigncore.registry import build_overlap_calculator

OWN = {"type": "MaxIoUAssigner", "pos_iou_thr": 0.6, "neg_iou_thr": [0.1, 0.3]}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds_and_names_its_source(name):
    plan = make_plans([name], [], [])[0]
    assert plan.name == name
    assert "et al." in plan.settings.source
    for knob, value in plan.settings.assigner.items():
        if knob == "match_costs":
            value = build_costs(value)
        if knob == "iou_calculator":
            value = build_overlap_calculator(value)
        if knob != "type":
            assert getattr(plan.assigner, knob) == value


def test_the_published_settings():
    rpn, retinanet, rcnn = make_plans(["rpn", "retinanet", "faster-rcnn-rcnn"], [], [])
    assert rpn.priors == AnchorGenerator((4, 8, 16, 32, 64), (0.5, 1.0, 2.0), scales=(8.0,))
    assert (rpn.assigner.pos_iou_thr, rpn.assigner.neg_iou_thr, rpn.assigner.min_pos_iou) == (0.7, 0.3, 0.3)
    assert retinanet.priors.num_base_priors == (9, 9, 9, 9, 9)
    assert (retinanet.assigner.pos_iou_thr, retinanet.assigner.neg_iou_thr) == (0.5, 0.4)
    assert retinanet.assigner.min_pos_iou == 0
    assert rcnn.priors == Proposals(1000)
    assert not rcnn.assigner.match_low_quality


def test_without_any_name_it_is_rpn():
    assert [plan.name for plan in make_plans([], [], [])] == ["rpn"]


def test_an_override_reaches_assigner_priors_and_border():
    overrides = [
        "pos_iou_thr=0.6",
        "priors.ratios=[1, 3]",
        "allowed_border=0",
        "iou_calculator.type=BboxOverlaps2D",
    ]
    plan = make_plans(["rpn"], [], overrides)[0]
    assert plan.assigner.pos_iou_thr == 0.6
    assert plan.priors.ratios == (1, 3)
    assert plan.settings.allowed_border == 0


def test_an_override_can_be_for_one_assigner():
    rpn, retinanet = make_plans(["rpn", "retinanet"], [], ["retinanet:neg_iou_thr=0.2", "min_pos_iou=0.1"])
    assert (rpn.assigner.neg_iou_thr, retinanet.assigner.neg_iou_thr) == (0.3, 0.2)
    assert rpn.assigner.min_pos_iou == retinanet.assigner.min_pos_iou == 0.1


def test_a_whole_number_stays_a_threshold():
    assigner = make_plans(["rpn"], [], ["neg_iou_thr=1"])[0].assigner
    assert isinstance(assigner.neg_iou_thr, float)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=0.5", 0.5),
        ("a=true", True),
        ("a=[1, [2, 3]]", (1, (2, 3))),
        ('a={"b": [1]}', {"b": (1,)}),
        ("a=some text", "some text"),
        ("a=", ""),
        ("a=b=c", "b=c"),
    ],
)
def test_values_are_json_or_text(text, value):
    assert Override.parse(text).value == value


@pytest.mark.parametrize("text", ["", "a", "=1", "a.=1", ".a=1", ":a=1", "rpn:=1"])
def test_an_override_without_key_and_value_is_refused(text):
    with pytest.raises(AuditError, match="--set: expected KEY=VALUE"):
        Override.parse(text)


def test_an_assigner_config_keeps_the_default_priors(write):
    preset = read_preset(write(OWN, "mine.json"))
    assert preset.name == "mine"
    assert preset.priors == PRESETS["rpn"].priors
    plan = make_plans([], [write(OWN, "mine.json")], [])[0]
    assert plan.assigner.neg_iou_thr == (0.1, 0.3)


def test_a_config_with_sections(write):
    text = """
    name = "mine too"
    base = "retinanet"
    allowed_border = 0
    [assigner]
    type = "MaxIoUAssigner"
    pos_iou_thr = 0.6
    neg_iou_thr = 0.5
    """
    path = write(text, "x.toml")
    plan = make_plans(["rpn"], [path], ["mine too:min_pos_iou=0.2"])[1]
    assert plan.name == "mine too min_pos_iou=0.2"
    assert plan.settings.source == str(path)
    assert plan.priors == make_plans(["retinanet"], [], [])[0].priors
    assert plan.assigner.min_pos_iou == 0.2
    assert plan.settings.allowed_border == 0


def test_a_config_can_bring_its_priors(write):
    config = {"priors": {"type": "PointGenerator", "strides": [8, [16, 16]], "offset": 0.25}}
    plan = make_plans([], [write(config, "points.json")], [])[0]
    assert plan.priors == PointGenerator((8, (16, 16)), 0.25)


def test_priors_inherit_what_a_config_does_not_say(write):
    published = make_plans(["retinanet"], [], [])[0].priors
    for priors in ({"ratios": [1, 3]}, {"type": "AnchorGenerator", "ratios": [1, 3]}):
        preset = read_preset(write({"base": "retinanet", "priors": priors}, "own.json"))
        assert make_plans([], [write({"base": "retinanet", "priors": priors}, "own.json")], [])[0].priors == (
            dataclasses.replace(published, ratios=(1, 3))
        )
        assert preset.assigner == PRESETS["retinanet"].assigner
    other = {"base": "retinanet", "priors": {"type": "PointGenerator", "strides": [8]}}
    assert make_plans([], [write(other, "own.json")], [])[0].priors == PointGenerator((8,))


def test_scales_stand_for_the_octaves_of_the_base_and_the_reverse(write):
    given = {"base": "retinanet", "priors": {"scales": [2, 4]}}
    priors = make_plans([], [write(given, "own.json")], [])[0].priors
    assert (priors.scales, priors.octave_base_scale) == ((2, 4), None)
    given = {"base": "rpn", "priors": {"octave_base_scale": 4, "scales_per_octave": 2}}
    priors = make_plans([], [write(given, "own.json")], [])[0].priors
    assert (priors.scales, priors.octave_base_scale) == (None, 4)
    assert make_plans(["retinanet"], [], ["priors.scales=[2]"])[0].priors.scales == (2,)


def test_approximations_inherit_too(write):
    base = "guided-anchoring-shape"
    plan = make_plans([], [write({"base": base, "approxs": {"ratios": [1]}}, "own.json")], [])[0]
    assert plan.approxs == dataclasses.replace(make_plans([base], [], [])[0].approxs, ratios=(1,))


def test_an_assigner_without_type_is_that_of_the_base(write):
    plan = make_plans([], [write({"assigner": {"pos_iou_thr": 0.6}}, "own.json")], [])[0]
    assert plan.assigner == dataclasses.replace(make_plans(["rpn"], [], [])[0].assigner, pos_iou_thr=0.6)


def test_what_was_changed_is_in_the_name():
    texts = ["pos_iou_thr=0.6", "priors.scales=[4]", "pos_iou_thr=0.65", "min_pos_iou=0.3"]
    assert make_plans(["rpn"], [], texts)[0].name == "rpn priors.scales=[4], pos_iou_thr=0.65"
    assert make_plans(["rpn"], [], ["pos_iou_thr=0.7"])[0].name == "rpn"


def test_one_preset_runs_under_two_names():
    first, second = make_plans(["rpn", "low = rpn"], [], ["low:pos_iou_thr=0.5"])
    assert (first.name, second.name) == ("rpn", "low pos_iou_thr=0.5")
    assert (first.assigner.pos_iou_thr, second.assigner.pos_iou_thr) == (0.7, 0.5)
    for text, reason in (("=rpn", "expected PRESET or NAME=PRESET"), ("low=", "unknown preset ''")):
        with pytest.raises(AuditError, match=reason):
            make_plans([text], [], [])


WRONG_FILES = {
    "empty": ("", "is empty"),
    "no JSON": ("{", "is not valid JSON"),
    "a list": ([OWN], "expected an assigner's config"),
    "nothing in it": ({}, "expected an assigner's config"),
    "unknown section": ({"asigner": OWN}, "unknown section 'asigner'; did you mean assigner"),
    "section of a wrong type": ({"assigner": [1]}, "assigner: expected a table with 'type'"),
    "type of a wrong type": ({"priors": {"type": 3}}, "priors: expected a table with 'type'"),
    "unknown base": ({"base": "retinant"}, "base: unknown preset 'retinant'; did you mean retinanet"),
    "empty name": ({"name": " "}, "name: expected a name"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_wrong_config_file_is_named(case, write):
    content, reason = WRONG_FILES[case]
    path = write(content, "wrong.json")
    with pytest.raises((AuditError, InputFileError), match=reason) as caught:
        read_preset(path)
    assert "wrong.json" in str(caught.value)


def test_a_wrong_toml_file_is_named(write, tmp_path):
    with pytest.raises(AuditError, match=r"wrong\.toml: is not valid TOML"):
        read_preset(write("a = ", "wrong.toml"))
    with pytest.raises(InputFileError, match=r"nowhere\.toml: no such file"):
        read_preset(tmp_path / "nowhere.toml")


WRONG_OVERRIDES = {
    "pos_iou_th=0.5": r"rpn: MaxIoUAssigner has no knob 'pos_iou_th'; did you mean pos_iou_thr",
    "pos_iou_thr=much": "rpn: pos_iou_thr",
    "type=MaxIOUAssigner": r"rpn: unknown assigner 'MaxIOUAssigner'; did you mean MaxIoUAssigner",
    "priors.ratio=[1]": r"rpn: priors: unknown knob of AnchorGenerator 'ratio'; did you mean ratios",
    "priors.type=Anchors": r"rpn: priors: unknown type 'Anchors'; known are AnchorGenerator",
    "priors.ratios=[]": "rpn: ratios: expected at least one entry",
    "allowed_border=wide": "rpn: allowed_border: expected a finite number of pixels, got 'wide'",
    "allowed_border=true": "rpn: allowed_border: expected a finite number of pixels, got True",
    "allowed_border=NaN": "rpn: allowed_border: expected a finite number of pixels, got nan",
    f"allowed_border={10**400}": "rpn: allowed_border: expected a finite number of pixels, got an integer of",
    "fcos:pos_iou_thr=0.5": r"unknown assigner of this run 'fcos'; known are rpn",
    "scales=[4]": r"rpn: scales is a knob of the priors: expected priors\.scales=\[4\]",
    "pos_iou_thr=" + 9999 * "[": "rpn: pos_iou_thr: expected a number",
    "image_scale=large": "rpn: image_scale: expected two edges like 1333x800",
}


@pytest.mark.parametrize("text", WRONG_OVERRIDES)
def test_a_wrong_override_is_named(text):
    with pytest.raises(AuditError, match=WRONG_OVERRIDES[text]):
        make_plans(["rpn"], [], [text])


@pytest.mark.parametrize("name", ["retina", "RetinaNet", "RETINANET"])
def test_an_unknown_preset_names_those_spelled_alike(name):
    with pytest.raises(AuditError, match=rf"unknown preset '{name}'; did you mean retinanet\?"):
        make_plans([name], [], [])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_config_file_may_be_saved_as_windows_does(encoding, tmp_path):
    (tmp_path / "own.toml").write_bytes(
        'base = "retinanet"\r\n[assigner]\r\nmin_pos_iou = 0.1\r\n'.encode(encoding)
    )
    assert read_preset(tmp_path / "own.toml").assigner["min_pos_iou"] == 0.1


def test_a_knob_of_the_assigner_may_be_called_as_in_a_config_file():
    plans = [make_plans(["rpn"], [], [text])[0] for text in ("assigner.min_pos_iou=0.2", "min_pos_iou=0.2")]
    assert plans[0].assigner == plans[1].assigner


def test_the_same_name_twice_is_refused(write):
    with pytest.raises(AuditError, match="'rpn' is given twice; names must differ: --assigner other=rpn"):
        make_plans(["rpn", "rpn"], [], [])
    with pytest.raises(AuditError, match="'rpn' is given twice"):
        make_plans(["rpn"], [write(OWN, "rpn.json")], [])


@pytest.mark.parametrize("knob", ["max_per_image", "per_object"])
def test_a_wrong_number_of_proposals_is_named(knob):
    with pytest.raises(AuditError, match=f"{knob}: expected an integer of at least 1"):
        make_plans(["faster-rcnn-rcnn"], [], [f"priors.{knob}=0"])


@pytest.mark.parametrize(
    "name", ["faster-rcnn-rcnn:max_per_image", "faster-rcnn-rcnn:per_object", "detr:num_queries"]
)
@pytest.mark.parametrize("value", [10**9, 10**400])
def test_more_boxes_than_any_training_holds_are_refused(name, value):
    preset, _, knob = name.partition(":")
    with pytest.raises(AuditError, match=f"{knob}: expected at most 100,000, got ") as caught:
        make_plans([preset], [], [f"priors.{knob}={value}"])
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    "override",
    ["priors.scales=[{}]", "priors.ratios=[{}]", "priors.strides=[{},8,16,32,64]", "pos_iou_thr={}"],
)
def test_integers_beyond_floats_are_refused(override):
    with pytest.raises(AuditError, match=r"rpn: \w+: expected"):
        make_plans(["rpn"], [], [override.format(10**400)])


def test_the_example_of_the_page_trains_on_most_priors(write):
    page = (Path(__file__).resolve().parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    example = page.partition("```toml\n")[2].partition("```")[0]
    (run,) = audit.run(assigners=write(example, "dense.toml"))
    assert run.name == "dense"
    assert run.plan.priors.ratios == PRESETS["retinanet"].priors["ratios"]
    assert run.statistics.priors.ignored < 0.05 * run.statistics.priors.total
    assert run.statistics.sizes[-1].share_without < 0.05

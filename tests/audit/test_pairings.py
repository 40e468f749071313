"""Every assigner on every preset's priors: it is audited, or refused in one line."""

import pytest

from assigncore.audit.config import make_plans
from assigncore.audit.errors import AuditError
from assigncore.audit.pairing import OF_STRIDED_POINTS
from assigncore.audit.presets import PRESETS
from assigncore.conformance.capabilities import CAPABILITIES
from assigncore.conformance.capabilities import Priors as Kind
from assigncore.registry import ASSIGNERS

THRESHOLDS = {"pos_iou_thr": 0.5, "neg_iou_thr": 0.4}
COSTS = {"match_costs": [{"type": "FocalLossCost"}, {"type": "BBoxL1Cost"}]}
# What has no default.
KNOBS = {
    "ATSSAssigner": {"topk": 9},
    "ApproxMaxIoUAssigner": THRESHOLDS,
    "AscendMaxIoUAssigner": THRESHOLDS,
    "CenterRegionAssigner": {"pos_scale": 0.2, "neg_scale": 0.2},
    "GreedyMatcher": COSTS,
    "GridAssigner": THRESHOLDS,
    "HungarianAssigner": COSTS,
    "Matcher": {"thresholds": [0.3, 0.7], "labels": [0, -1, 1]},
    "MaxIoUAssigner": THRESHOLDS,
    "TaskAlignedAssigner": {"topk": 13},
    "TopkHungarianAssigner": {"topk": 4},
    "UniformAssigner": {"pos_ignore_thr": 0.15, "neg_ignore_thr": 0.7},
}
QUERIES = [name for name, preset in PRESETS.items() if preset.priors["type"] == "Queries"]


@pytest.fixture
def config(write):
    """Write a config file of an assigner on a preset's priors."""

    def config(kind, base=None):
        sections = {"assigner": {"type": kind, **KNOBS.get(kind, {})}, "image_scale": "64x48"}
        return write(sections if base is None else {**sections, "base": base}, "own.json")

    return config


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("base", PRESETS)
@pytest.mark.parametrize("kind", ASSIGNERS.names())
def test_every_pair_is_audited_or_refused_in_one_line(kind, base, config, command, document, write):
    result = command("audit", write(document), "--config", config(kind, base))
    lines = result.stderr.splitlines()
    if result.exit_code == 0:
        assert lines == []
        assert "4 objects" in result.stdout
    else:
        assert result.exit_code == 2, result.exception
        assert result.stdout == ""
        assert len(lines) == 1
        assert lines[0].startswith("Error: own: ")


@pytest.mark.parametrize("base", QUERIES)
@pytest.mark.parametrize("kind", ["MaxIoUAssigner", "SimOTAAssigner"])
def test_queries_are_no_priors(kind, base, config):
    with pytest.raises(
        AuditError,
        match=f"^own: priors: {kind} needs priors, got Queries, .* expected another base, as 'rpn'$",
    ):
        make_plans([], [config(kind, base)], [])


@pytest.mark.parametrize("kind", ["HungarianAssigner", "GreedyMatcher"])
def test_priors_are_no_queries(kind, config):
    with pytest.raises(
        AuditError,
        match=f"^own: priors: {kind} matches queries, got AnchorGenerator; expected Queries, .* 'detr'",
    ):
        make_plans([], [config(kind)], [])
    assert make_plans([], [config(kind, "detr")], [])[0].priors.num_queries == 100


@pytest.mark.parametrize("base", [None, "faster-rcnn-rcnn", "detr"])
def test_several_objects_a_prior_are_not_counted(base, config):
    with pytest.raises(
        AuditError, match=r"^own: assigner: expected one that .* got MultiInstanceAssigner, .* several$"
    ):
        make_plans([], [config("MultiInstanceAssigner", base)], [])


@pytest.mark.parametrize(("kind", "base"), [("SimOTAAssigner", "rpn"), ("DynamicSoftLabelAssigner", "tood"),
                                            ("SinkhornAssigner", "yolov8")])  # fmt: skip
def test_other_priors_are_no_points_with_two_strides(kind, base, config):
    with pytest.raises(
        AuditError, match=f"^own: priors: {kind} takes points with two strides, got .*'yolox'"
    ):
        make_plans([], [config(kind, base)], [])


@pytest.mark.parametrize("kind", ["MaxIoUAssigner", "TaskAlignedAssigner", "PointAssigner"])
def test_points_with_two_strides_are_no_boxes(kind, config):
    with pytest.raises(
        AuditError, match=f"^own: priors: {kind} would take points with two strides for boxes"
    ):
        make_plans([], [config(kind, "yolox")], [])


def test_what_takes_points_with_two_strides_is_what_the_suite_has_declared():
    declared = {name for name, one in CAPABILITIES.items() if one.priors is Kind.STRIDED}
    assert declared == OF_STRIDED_POINTS

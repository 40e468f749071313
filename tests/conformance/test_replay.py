from dataclasses import replace

import numpy as np
import pytest

from assigncore.conformance import REPLAYS, Agreement, Call, Refusal, compare_case, get_target, load_packed
from assigncore.conformance.goldens import dropins
from assigncore.conformance.goldens.replay_mmdet import ascend_answer
from assigncore.conformance.goldens.runner import replay_case
from assigncore.conformance.reference.image import iof, iou

NUMPY = get_target("numpy")


def _case(variant, name):
    return {case.name: case for case in load_packed(variant)}[name]


def _plant(monkeypatch, change):
    """Let every assigner be built with changed knobs."""
    for package in (dropins.mmdet, dropins.mmdet2):
        build = package.build_assigner
        monkeypatch.setattr(
            package, "build_assigner", lambda config, build=build: build({**config, **change})
        )


@pytest.mark.parametrize(
    ("variant", "name", "change"),
    [
        ("MaxIoUAssigner", "rpn_base_float32", {"match_low_quality": False}),
        ("MaxIoUAssigner", "assign_all_on_ties_float32", {"gt_max_assign_all": False}),
        ("MaxIoUAssigner", "ignore_rpn_float32", {"ignore_iof_thr": -1.0}),
        ("ApproxMaxIoUAssigner", "ga_base_float32", {"pos_iou_thr": 0.6}),
        ("GridAssigner", "edge_pos_float32", {"pos_iou_thr": 0.49}),
        ("AscendMaxIoUAssigner", "retina_float32", {"neg_iou_thr": 0.35}),
    ],
)
def test_a_wrong_assigner_is_caught(monkeypatch, variant, name, change):
    case = _case(variant, name)
    assert replay_case(REPLAYS[variant], case, NUMPY).agreement.agrees
    _plant(monkeypatch, change)
    result = replay_case(REPLAYS[variant], case, NUMPY)
    assert result.agreement is Agreement.DIFFERENT
    assert "entries differ, first at" in result.message


def test_an_assigner_that_fails_is_an_error_with_its_message(monkeypatch):
    _plant(monkeypatch, {"no_such_knob": 1})
    result = replay_case(REPLAYS["MaxIoUAssigner"], _case("MaxIoUAssigner", "rpn_base_float32"), NUMPY)
    assert result.agreement is Agreement.ERROR
    assert "no_such_knob" in result.message


def test_the_reference_gives_the_published_answers():
    checked = 0
    for case in load_packed("AscendMaxIoUAssigner"):
        plain = isinstance(case.init["neg_iou_thr"], float) and "iou_calculator" not in case.init
        if case.raises is None and plain and not case.none_outputs:
            answer = ascend_answer(case)
            due = REPLAYS["AscendMaxIoUAssigner"].expect(case)
            assert compare_case(due, answer).agreement is Agreement.IDENTICAL, case.name
            checked += 1
    assert checked > 20


@pytest.mark.parametrize("name", ["ignore_raises_float32", "ignore_wrt_gt_raises_float32"])
def test_ignore_regions_that_upstream_fails_on_take_priors_out(name):
    case = _case("AscendMaxIoUAssigner", name)
    due = REPLAYS["AscendMaxIoUAssigner"].expect(case)
    inputs = {key: array for key, array in case.inputs.items() if key != "batch_gt_bboxes_ignore"}
    without = ascend_answer(replace(case, inputs=inputs))
    ignored = (due.expected["batch_max_overlaps"] == -1) & (without["batch_max_overlaps"] != -1)
    assert 0 < ignored.sum() < ignored.size
    for mask in ("batch_pos_mask", "batch_neg_mask"):
        assert not due.expected[mask][ignored].any()


def test_overlaps_of_known_boxes():
    one, inside, apart = (tuple(map(np.float32, box)) for box in ((0, 0, 4, 2), (2, 0, 4, 2), (9, 9, 9, 9)))
    assert [iou(one, inside), iou(one, apart)] == [0.5, 0]
    assert [iof(one, inside), iof(inside, one), iof(apart, one)] == [0.5, 1, 0]


def test_an_upstream_failure_without_a_stated_answer_cannot_pass():
    case = replace(_case("MaxIoUAssigner", "rpn_base_float32"), raises="RuntimeError")
    result = replay_case(REPLAYS["MaxIoUAssigner"], case, NUMPY)
    assert result.agreement is Agreement.ERROR
    assert "is not stated" in result.message


def test_a_refusal_wants_the_right_error_with_the_right_words():
    refusal = Refusal(mentions=("mode", "ciou"))
    assert refusal.fault(ValueError("mode 'ciou' is not known; expected iou")) == ""
    assert refusal.fault(TypeError("mode must not be 'ciou'")) == ""
    assert "does not mention ciou" in refusal.fault(ValueError("unknown mode"))
    assert "KeyError" in refusal.fault(KeyError("mode ciou"))
    assert "got a result" in refusal.fault(None)


def test_a_compiler_may_quote_the_refusal_in_an_error_of_its_own():
    refusal = Refusal(mentions=("mode", "ciou"))
    quoting = RuntimeError("raised exception ValueError(\"mode: expected iou, got 'ciou'\")")
    assert refusal.fault(quoting, compiled=True) == ""
    assert "RuntimeError" in refusal.fault(quoting)
    assert "RuntimeError" in refusal.fault(RuntimeError("mode ciou cannot be compiled"), compiled=True)
    unbound = RuntimeError("failed to bind arguments when attempting to inline: mode, ciou")
    assert refusal.fault(unbound, compiled=True) == ""
    assert "RuntimeError" in refusal.fault(unbound)


def test_a_wrong_call_that_returns_is_different_and_one_that_fails_darkly_an_error():
    case = _case("BboxOverlaps2D", "bad_mode_raises_float32")
    genuine = REPLAYS["BboxOverlaps2D"]
    assert replay_case(genuine, case, NUMPY).agreement is Agreement.IDENTICAL

    def answer(bboxes1, bboxes2):
        return {"overlaps": bboxes1}

    def fail(bboxes1, bboxes2):
        raise KeyError("ciou")

    lax = replace(genuine, prepare=lambda case: Call(answer, case.inputs))
    assert replay_case(lax, case, NUMPY).agreement is Agreement.DIFFERENT
    dark = replace(genuine, prepare=lambda case: Call(fail, case.inputs))
    assert replay_case(dark, case, NUMPY).agreement is Agreement.ERROR

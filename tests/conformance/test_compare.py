from dataclasses import replace

import numpy as np
import pytest

from assigncore.conformance import Agreement, compare_case, compare_output, load_packed
from assigncore.conformance.goldens.compare import matching_cost


@pytest.fixture(scope="module")
def case():
    by_name = {case.name: case for case in load_packed("MaxIoUAssigner")}
    return by_name["rpn_base_float32"]


@pytest.fixture(scope="module")
def matching():
    by_name = {case.name: case for case in load_packed("HungarianAssigner")}
    return by_name["detr_float32"]


def _copy(case):
    return {name: array.copy() for name, array in case.expected.items()}


def test_the_answer_itself_is_identical(case):
    outcome = compare_case(case, case.expected)
    assert (outcome.agreement, outcome.message, outcome.entries) == (Agreement.IDENTICAL, "", 0)
    assert outcome.agreement.agrees


def test_one_wrong_integer_is_named_with_its_place(case):
    got = _copy(case)
    got["gt_inds"][17] += 1
    outcome = compare_case(case, got)
    assert outcome.agreement is Agreement.DIFFERENT
    assert not outcome.agreement.agrees
    assert outcome.entries == 1
    expected = case.expected["gt_inds"][17]
    size = got["gt_inds"].size
    place = f"first at [17]: got {expected + 1}, expected {expected}"
    assert outcome.message == f"gt_inds: 1 of {size} entries differ, {place}"


def test_every_output_that_differs_is_named(case):
    got = _copy(case)
    got["labels"][3] += 1
    got["max_overlaps"][5] += 1
    message = compare_case(case, got).message
    assert "labels: 1 of" in message
    assert "max_overlaps: 1 of" in message


def test_integers_of_another_width_agree(case):
    got = _copy(case) | {"gt_inds": case.expected["gt_inds"].astype(np.int32)}
    assert compare_case(case, got).agreement is Agreement.IDENTICAL


@pytest.mark.parametrize(
    ("name", "dtype"), [("gt_inds", np.float32), ("gt_inds", bool), ("max_overlaps", np.float64)]
)
def test_another_kind_of_dtype_is_different(case, name, dtype):
    got = _copy(case) | {name: case.expected[name].astype(dtype)}
    outcome = compare_case(case, got)
    assert outcome.agreement is Agreement.DIFFERENT
    assert f"{name}: dtype" in outcome.message


def test_booleans_must_be_booleans():
    expected = np.array([True, False])
    assert compare_output("mask", expected.astype(np.int64), expected).agreement is Agreement.DIFFERENT
    assert compare_output("mask", expected, expected).agreement is Agreement.IDENTICAL
    assert compare_output("mask", ~expected, expected).entries == 2


def test_another_shape_is_different(case):
    got = _copy(case) | {"labels": case.expected["labels"][:-1]}
    outcome = compare_case(case, got)
    assert outcome.agreement is Agreement.DIFFERENT
    assert "labels: shape" in outcome.message


def test_empty_arrays_agree_by_shape_alone():
    empty = np.zeros((0, 30), dtype=np.float32)
    assert compare_output("overlaps", empty.copy(), empty).agreement is Agreement.IDENTICAL
    assert compare_output("overlaps", empty.T, empty).agreement is Agreement.DIFFERENT


@pytest.mark.parametrize(
    ("factor", "agreement"),
    [(1 + 9e-5, Agreement.CLOSE), (1 + 2e-4, Agreement.DIFFERENT)],
)
def test_floats_are_compared_relatively(factor, agreement):
    expected = np.array([1000.0, 2000.0])
    assert compare_output("cost", expected * factor, expected).agreement is agreement


def test_floats_near_zero_are_compared_absolutely():
    expected = np.zeros(3)
    assert compare_output("max_overlaps", expected + 9e-6, expected).agreement is Agreement.CLOSE
    assert compare_output("max_overlaps", expected + 2e-5, expected).agreement is Agreement.DIFFERENT


def test_nan_and_infinity_agree_with_themselves_only():
    expected = np.array([np.nan, np.inf, -np.inf, 1.0])
    assert compare_output("cost", expected.copy(), expected).agreement is Agreement.IDENTICAL
    assert compare_output("cost", expected + np.array([0, 0, 0, 1e-6]), expected).agreement is Agreement.CLOSE
    for place, value in ((0, 0.0), (1, -np.inf), (2, np.nan), (3, np.nan)):
        wrong = expected.copy()
        wrong[place] = value
        outcome = compare_output("cost", wrong, expected)
        assert outcome.agreement is Agreement.DIFFERENT
        assert outcome.entries == 1
        assert f"first at [{place}]" in outcome.message


def test_rounding_may_decide_as_many_entries_as_the_case_says_and_no_more(case):
    near = replace(case, f64_diff=2)
    got = _copy(case)
    got["gt_inds"][:2] += 1
    outcome = compare_case(near, got)
    assert outcome.agreement is Agreement.NEAR_TIE
    assert outcome.agreement.agrees
    assert "rounding decides up to 2" in outcome.message
    got["gt_inds"][2] += 1
    assert compare_case(near, got).agreement is Agreement.DIFFERENT


def test_a_missing_output_and_an_unexpected_one_are_different(case):
    got = _copy(case) | {"labels": None}
    assert "labels: got None" in compare_case(case, got).message
    without = replace(case, none_outputs=("assign_metrics",))
    got = _copy(case) | {"assign_metrics": np.zeros(3)}
    outcome = compare_case(without, got)
    assert outcome.agreement is Agreement.DIFFERENT
    assert "assign_metrics" in outcome.message
    assert compare_case(without, _copy(case)).agreement is Agreement.IDENTICAL


def test_the_golden_matching_costs_what_the_golden_says():
    cases = [
        case for case in load_packed("HungarianAssigner") if case.cost is not None and case.raises is None
    ]
    assert len(cases) > 5
    for case in cases:
        assert matching_cost(case.expected["gt_inds"], case.cost) == pytest.approx(case.opt_cost, rel=1e-6)


@pytest.mark.parametrize(
    "gt_inds",
    [[1, 0, 0], [1, 1, 0], [1, 3, 0], [1, -1, 0], [1, 2]],
    ids=["too few", "one twice", "no such", "negative", "wrong length"],
)
def test_what_is_no_full_matching_has_no_cost(gt_inds):
    assert np.isnan(matching_cost(np.array(gt_inds), np.ones((3, 2))))


def _swapped(matching):
    """Swap the priors of two ground truths, and make that cost the same."""
    got = _copy(matching)
    first, second = np.flatnonzero(got["gt_inds"])[:2]
    for array in got.values():
        array[[first, second]] = array[[second, first]]
    cost = matching.cost.copy()
    columns = matching.expected["gt_inds"][[first, second]] - 1
    cost[first, columns[1]], cost[second, columns[0]] = cost[first, columns[0]], cost[second, columns[1]]
    return got, cost


def test_another_matching_of_the_same_cost_is_equivalent(matching):
    got, cost = _swapped(matching)
    outcome = compare_case(replace(matching, cost=cost), got)
    assert outcome.agreement is Agreement.EQUIVALENT
    assert outcome.agreement.agrees
    assert "the same total cost" in outcome.message


def test_a_matching_of_another_cost_or_with_foreign_labels_is_different(matching):
    got, cost = _swapped(matching)
    assert compare_case(matching, got).agreement is Agreement.DIFFERENT
    got["labels"] = matching.expected["labels"] + 1
    assert compare_case(replace(matching, cost=cost), got).agreement is Agreement.DIFFERENT


def several(**changes):
    """Make a case of two layers of two images, three predictions and two ground truths each, in one group."""
    cost = np.array([[0.0, 1.0], [1.0, 0.0], [5.0, 5.0]])
    codes = np.tile([1, 2, 0], (2, 2, 1))
    case = load_packed("HungarianAssigner")[0]
    made = {"expected": {"gt_inds": codes}, "cost": (cost,) * 4, "opt_cost": (0.0,) * 4}
    return replace(case, none_outputs=("labels",), f64_diff=0, **{**made, **changes})


def test_of_several_matchings_each_may_be_another_of_its_own_cost():
    free = np.array([[1.0, 1.0], [1.0, 1.0], [5.0, 5.0]])
    case = several(cost=(several().cost[0], free, *several().cost[2:]), opt_cost=(0.0, 2.0, 0.0, 0.0))
    got = case.expected["gt_inds"].copy()
    got[0, 1] = [2, 1, 0]
    assert compare_case(case, {"gt_inds": got}).agreement is Agreement.EQUIVALENT
    got[0, 0] = [2, 1, 0]
    assert compare_case(case, {"gt_inds": got}).agreement is Agreement.DIFFERENT


def test_groups_of_predictions_are_matchings_of_their_own():
    same, other = np.array([[0.0], [9.0]]), np.array([[2.0], [2.0]])
    codes = np.array([[[1, 0, 1, 0]]])
    case = several(expected={"gt_inds": codes}, cost=(same, other), opt_cost=(0.0, 2.0))
    assert compare_case(case, {"gt_inds": np.array([[[1, 0, 0, 1]]])}).agreement is Agreement.EQUIVALENT
    assert compare_case(case, {"gt_inds": np.array([[[0, 1, 1, 0]]])}).agreement is Agreement.DIFFERENT

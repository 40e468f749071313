"""The rules with exponentials in them, held against readings in double precision, where rounding decides nothing.

What is decided must be exactly what the reading decides, but for priors of which the reading itself says that
they hang on rounding; those are counted, and must stay rare.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from assigncore import build_assigner
from assigncore.conformance.reference.dynamic_k import dynamic_soft_label, sim_ota

from . import readings_predictions as rules
from .checking import TARGETS, for_all
from .scenes import CLASSES, anchors, floats, grids
from .subjects import SUBJECTS

RTOL = 1e-9
"""How far numbers may be apart in double precision."""

MOST_UNCLEAR = 0.02
"""The share of priors that may hang on rounding."""

FEWEST_POSITIVE = 0.03
"""The share of priors that must be positive, or the readings would be of nothing."""

BY_NAME = {subject.name: subject for subject in SUBJECTS}


@dataclass(frozen=True)
class Read:
    """A subject and the reading of its rule."""

    name: str
    rule: Any

    def __str__(self):
        """Name the parameter."""
        return self.name

    @property
    def subject(self):
        """What is read."""
        return BY_NAME[self.name]


ALL = (
    Read("task_aligned", rules.task_aligned),
    Read("task_aligned-all", rules.task_aligned),
    Read("task_aligned-yolov6", rules.task_aligned_smoothed),
    Read("task_aligned-yolov8", rules.task_aligned_ciou),
    Read("task_aligned-one_to_one", rules.task_aligned_ciou),
    Read("sim_ota", sim_ota),
    Read("sim_ota-sqrt_scores", sim_ota),
    Read("soft_label", dynamic_soft_label),
    Read("soft_label-outside", dynamic_soft_label),
    Read("soft_label-masks", dynamic_soft_label),
)
ELSEWHERE = ("task_aligned-yolov8", "sim_ota", "soft_label")
CASES = [
    pytest.param(read, target, id=f"{read}-{target.name}")
    for target in TARGETS
    for read in ALL
    if target.library == "numpy" or read.name in ELSEWHERE
]


def _scenes():
    kinds = [kind(dtype=np.float64) for kind in (grids, floats, anchors)]
    return st.one_of(kinds[0], *kinds)


@pytest.mark.parametrize(("read", "target"), CASES)
def test_decisions_are_those_of_the_reading_where_rounding_decides_nothing(read, target):
    counts = np.zeros(3, dtype=int)

    @for_all(target, _scenes(), share=1.5)
    def check(scene):
        arguments = read.subject.arguments(scene)
        if "pred_scores" in arguments and "ota" in read.name:
            # Scores of 0 and 1 cost 100 each, in which what the others cost is lost.
            arguments["pred_scores"] = np.clip(arguments["pred_scores"], 0.1, 0.9)
        expected, clear = rules.read_closely(read.rule, arguments, _knobs(read.subject))
        got = read.subject.run(target, arguments)
        clear |= ~scene["prior_valid"]
        counts[:] += [(~clear).sum(), (expected["gt_inds"] > 0).sum(), len(clear)]
        np.testing.assert_array_equal(got["gt_inds"][clear], expected["gt_inds"][clear])
        for name in ("max_overlaps", "assign_metrics"):
            if name in expected:
                rows = clear & scene["prior_valid"]
                np.testing.assert_allclose(got[name][rows], expected[name][rows], RTOL, RTOL, err_msg=name)

    unclear, positive, all_of_them = counts
    assert unclear <= MOST_UNCLEAR * all_of_them
    assert positive >= FEWEST_POSITIVE * all_of_them


def _knobs(subject):
    """Give the knobs a reading takes."""
    return {name: value for name, value in subject.config.items() if name not in ("type", "iou_calculator")}


def test_what_is_nudged_apart_is_unclear():
    """Two priors that cost the same by the sum of different numbers are told from two that are alike."""
    scores = np.full((3, CLASSES), 0.5)
    scores[:, :2] = [[0.25, 0.75], [0.75, 0.25], [0.875, 0.875]]
    boxes = np.tile(np.array([[0.0, 0, 8, 8]]), (3, 1))
    arguments = {
        "priors": np.tile(np.array([[4.0, 4, 8, 8]]), (3, 1)),
        "gt_bboxes": boxes[:1],
        "gt_labels": np.array([5]),
        "pred_bboxes": boxes,
        "pred_scores": scores,
    }
    knobs = {"candidate_topk": 1}
    assert rules.read_closely(sim_ota, arguments, knobs)[1].tolist() == [False, False, True]
    arguments["pred_scores"][1] = scores[0]
    assert rules.read_closely(sim_ota, arguments, knobs)[1].tolist() == [True] * 3
    got = build_assigner({"type": "SimOTAAssigner", **knobs}).assign(**arguments)
    assert got.gt_inds.tolist() == [1, 0, 0]

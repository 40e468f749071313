"""The rules with exponentials in them, held against readings in double precision, where rounding decides nothing.

What is decided must be exactly what the reading decides, but for priors of which the reading itself says that
they hang on rounding; those are counted, and must stay rare.
"""

import zlib
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assigncore import build_assigner
from assigncore.conformance.reference import task_aligned as batched
from assigncore.conformance.reference.dynamic_k import dynamic_soft_label, sim_ota
from assigncore.conformance.reference.image import Image

from .scenes import anchors, floats, grids
from .subjects import AVAILABLE, BY_NAME, bench_of
from .test_laws import EXAMPLES, OTHERS

NUDGE = 1e-9
"""How far numbers are moved to see whether a decision hangs on rounding, which in double precision is 1e-14."""

NUDGES = 5
"""How often. A decision that hangs on rounding falls the same way each time by a chance of 1 in 32."""

RTOL = 1e-9
"""How far numbers may be apart in double precision."""

MOST_UNCLEAR = 0.02
"""The share of priors that may hang on rounding."""

FEWEST_POSITIVE = 0.03
"""The share of priors that must be positive, or the readings would be of nothing."""


def task_aligned(inputs, knobs, overlap_of=batched.iou):
    """Give the arguments of an image to the reference."""
    centers = (inputs["priors"][:, :2] + inputs["priors"][:, 2:]) / 2
    others = (inputs[name] for name in ("gt_bboxes", "pred_bboxes", "pred_scores", "gt_labels"))
    return batched.task_aligned(centers, *others, knobs, overlap_of)


task_aligned_smoothed = partial(task_aligned, overlap_of=batched.smoothed_iou)
task_aligned_ciou = partial(task_aligned, overlap_of=batched.ciou)


def read_closely(rule, arguments, knobs):
    """Read an image without broken numbers, and tell for which priors the reading is the only one.

    Returns
    -------
    outputs : dict of str to numpy.ndarray
        ``gt_inds`` and what else there is a row of for each prior.
    clear : numpy.ndarray (N,) of bool
        False where the least change of the predictions decides otherwise: scores (or logits) that differ in
        value or class are nudged apart, while equal ones of a class stay equal.
    """
    image = Image(arguments)
    gts, part = list(image.gts), np.flatnonzero(image.valid)
    inputs = {name: x[part] for name, x in arguments.items() if name == "priors" or name.startswith("pred_")}
    inputs |= {
        name: x[gts] for name, x in arguments.items() if name in ("gt_bboxes", "gt_labels", "gt_masks")
    }
    straight = _spread(rule(inputs, knobs), part, gts, len(image.priors))
    clear = np.ones(len(image.priors), dtype=bool)
    for salt in range(NUDGES):
        nudged = _spread(rule(_nudged(inputs, salt), knobs), part, gts, len(image.priors))
        clear &= nudged["gt_inds"] == straight["gt_inds"]
    return straight, clear


def _spread(outputs, part, gts, n_priors):
    """Give outputs for the priors that take part their places among all."""
    index = np.concatenate([[0], np.asarray(gts, dtype=np.int64) + 1])
    spread = {"gt_inds": np.full(n_priors, -1, dtype=np.int64)}
    spread["gt_inds"][part] = index[outputs["gt_inds"]]
    for name in ("max_overlaps", "assign_metrics"):
        if name in outputs:
            spread[name] = np.full(n_priors, np.nan, dtype=outputs[name].dtype)
            spread[name][part] = outputs[name]
    return spread


def _nudged(inputs, salt):
    """Nudge scores within 0 and 1, or logits, by what their value and class say."""
    nudged = dict(inputs)
    for name in {"pred_scores", "pred_logits"} & set(inputs):
        values = inputs[name]
        steps = [[_hash(float(x), c, salt) for c, x in enumerate(row)] for row in values]
        room = values * (1 - values) if name == "pred_scores" else 1
        nudged[name] = values + NUDGE * room * np.reshape(steps, values.shape)
    return nudged


def _hash(*key):
    """Give a number from -1 to 1 that the key decides, in every process."""
    return zlib.crc32(repr(key).encode()) / 2**31 - 1


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
    Read("task_aligned", task_aligned),
    Read("task_aligned-all", task_aligned),
    Read("task_aligned-yolov6", task_aligned_smoothed),
    Read("task_aligned-yolov8", task_aligned_ciou),
    Read("task_aligned-one_to_one", task_aligned_ciou),
    Read("sim_ota", sim_ota),
    Read("sim_ota-sqrt_scores", sim_ota),
    Read("soft_label", dynamic_soft_label),
    Read("soft_label-outside", dynamic_soft_label),
    Read("soft_label-masks", dynamic_soft_label),
)
ELSEWHERE = ("task_aligned-yolov8", "sim_ota", "soft_label")
CASES = [
    pytest.param(read, target, id=f"{read}-{target.name}")
    for target in AVAILABLE
    for read in ALL
    if target.library == "numpy" or read.name in ELSEWHERE
]


@pytest.mark.parametrize(("read", "target"), CASES)
def test_decisions_are_those_of_the_reading_where_rounding_decides_nothing(read, target):
    counts = np.zeros(3, dtype=int)

    bench = bench_of(read.subject, target)

    @settings(max_examples=round(1.5 * EXAMPLES.get(target.name, OTHERS)))
    @given(st.one_of(grids(), grids(), floats(), anchors()))
    def check(scene):
        arguments = dict(read.subject.recipe.arrays(scene))
        if "pred_scores" in arguments and "ota" in read.name:
            # Scores of 0 and 1 cost 100 each, in which what the others cost is lost.
            scores = np.clip(arguments["pred_scores"], 0.1, 0.9)
            scene, arguments["pred_scores"] = scene.with_arrays(pred_scores=scores), scores
        expected, clear = read_closely(read.rule, arguments, _knobs(read.subject))
        got = bench.run(scene, "float64")
        valid = scene.arrays["prior_valid"]
        clear |= ~valid
        counts[:] += [(~clear).sum(), (expected["gt_inds"] > 0).sum(), len(clear)]
        np.testing.assert_array_equal(got["gt_inds"][clear], expected["gt_inds"][clear])
        for name in ("max_overlaps", "assign_metrics"):
            if name in expected:
                rows = clear & valid
                np.testing.assert_allclose(got[name][rows], expected[name][rows], RTOL, RTOL, err_msg=name)

    check()
    unclear, positive, all_of_them = counts
    assert unclear <= MOST_UNCLEAR * all_of_them
    assert positive >= FEWEST_POSITIVE * all_of_them


def _knobs(subject):
    """Give the knobs a reading takes."""
    assigner = subject.recipe.assigner
    return {
        knob.name: getattr(assigner, knob.name) for knob in fields(assigner) if knob.name != "iou_calculator"
    }


def test_what_is_nudged_apart_is_unclear():
    """Two priors that cost the same by the sum of different numbers are told from two that are alike."""
    scores = np.full((3, 10), 0.5)
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
    assert read_closely(sim_ota, arguments, knobs)[1].tolist() == [False, False, True]
    arguments["pred_scores"][1] = scores[0]
    assert read_closely(sim_ota, arguments, knobs)[1].tolist() == [True] * 3
    got = build_assigner({"type": "SimOTAAssigner", **knobs}).assign(**arguments)
    assert got.gt_inds.tolist() == [1, 0, 0]

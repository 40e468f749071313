"""Winners: who has a prior was a candidate for it, or what the method says of the exception holds."""

import numpy as np
import pytest
from hypothesis import given, settings

from assigncore.conformance import get_target
from assigncore.conformance.reference.image import iou
from assigncore.conformance.scenes.scene import BOXES, MASKS, ROWS, SCORES

from .scenes import any_scenes, floats
from .subjects import AVAILABLE, BY_NAME, ELSEWHERE, bench_of

MATCHERS = [s for s in BY_NAME.values() if "hungarian" in s.name or "greedy" in s.name]


def on_targets(subjects):
    """Parametrize a test with subjects on the libraries that do not compile for each."""
    return pytest.mark.parametrize(
        ("subject", "target"),
        [
            pytest.param(subject, target, id=f"{subject}-{target.name}")
            for subject in subjects
            for target in AVAILABLE
            if target.name == "numpy" or (subject in ELSEWHERE and not target.compiles_operations)
        ],
    )


def for_each(subject, target, scenes, examples):
    """Run the decorated function at once on the arguments of scenes and the codes they get."""

    def run(check):
        bench = bench_of(subject, target)

        @settings(max_examples=examples)
        @given(scenes)
        def checked(scene):
            arguments = {**scene.arrays, **subject.arguments(scene)}
            check(arguments, bench.run(scene)["gt_inds"])

        checked()

    return run


def _centre(box):
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _inside(point, box, margin=0.0, side=0.0):
    """Tell whether a point is inside a box, whose sides are at least so long."""
    x, y = _centre(box)
    half = [max(high - low, side) / 2 for low, high in (box[0::2], box[1::2])]
    return min(half[0] - abs(point[0] - x), half[1] - abs(point[1] - y)) > margin - 1e-3


def _near_centre(point, box, reach):
    x, y = _centre(box)
    return max(abs(point[0] - x), abs(point[1] - y)) < reach + 1e-3


def _claimed(a, n, g, others):
    """Inside the ground truth, and of a positive metric."""
    label, overlap = a["gt_labels"][g], iou(a["pred_bboxes"][n], a["gt_bboxes"][g])
    return _inside(_centre(a["priors"][n]), a["gt_bboxes"][g]) and a["pred_scores"][n, label] * overlap > 0


def _claimed_by_any(a, n, g, others):
    """Inside some ground truth: the largest overlap decides among more than the claimants."""
    return any(_inside(_centre(a["priors"][n]), a["gt_bboxes"][i], side=4.0) for i in others)


def _in_or_near_any(a, n, g, others):
    point = a["priors"][n]
    return any(
        _inside(point, a["gt_bboxes"][i]) or _near_centre(point, a["gt_bboxes"][i], 1.5 * 8) for i in others
    )


def _in_any(a, n, g, others):
    return any(_inside(a["priors"][n], a["gt_bboxes"][i]) for i in others)


def _in_own(a, n, g, others):
    return _inside(_centre(a["priors"][n]), a["gt_bboxes"][g])


def _overlaps_enough(a, n, g, others):
    return iou(a["priors"][n], a["gt_bboxes"][g]) >= np.float32(0.15)


RULES = {
    "task_aligned": _claimed,
    "task_aligned-all": _claimed_by_any,
    "task_aligned-yolov6": _claimed_by_any,
    "task_aligned-yolov8": _claimed_by_any,
    "task_aligned-one_to_one": _claimed_by_any,
    "sim_ota": _in_or_near_any,
    "sim_ota-sqrt_scores": _in_or_near_any,
    "soft_label": _in_any,
    "soft_label-masks": _in_any,
    "atss": _in_own,
    "atss-alpha": _in_own,
    "uniform": _overlaps_enough,
}


@on_targets([BY_NAME[name] for name in RULES])
def test_winners_were_candidates(subject, target):
    @for_each(subject, target, any_scenes(subject), 18 if target.name == "numpy" else 6)
    def check(arguments, codes):
        boxes = arguments["gt_bboxes"]
        whole = np.isfinite(boxes).all(axis=-1) & (np.abs(boxes) < 1e15).all(axis=-1)
        others = np.flatnonzero(arguments["gt_valid"] & whole)
        for n in np.flatnonzero(codes > 0):
            assert codes[n] - 1 in others
            assert RULES[subject.name](arguments, n, codes[n] - 1, others), (n, codes[n])


TIMES = {"hungarian-repeat": 2, "greedy-repeat": 2, "topk_hungarian": 3, "topk_hungarian-rotated": 3}
"""How many predictions a ground truth is matched with, where it is not one."""


@on_targets(MATCHERS)
def test_a_matching_is_one_to_one_and_leaves_nobody_who_could_be_matched(subject, target):
    times = TIMES.get(subject.name, 1)

    @for_each(subject, target, any_scenes(subject), 18 if target.name == "numpy" else 6)
    def check(arguments, codes):
        sound = {kind: _sound(subject, arguments, kind) for kind in ("N", "G")}
        per_gt = np.bincount(codes[codes > 0] - 1, minlength=len(sound["G"]))
        assert (per_gt <= times).all()
        assert not per_gt[~sound["G"]].any()
        assert (codes[~sound["N"]] <= 0).all()
        if not subject.name.startswith("topk_hungarian") and subject.name != "greedy-repeat":
            assert per_gt.sum() == min(sound["N"].sum(), times * sound["G"].sum())


def _sound(subject, arguments, kind):
    """Tell which rows of a kind take part and hold no broken number."""
    sound = arguments[MASKS[kind]].copy()
    for name in (n for n in (*BOXES, *SCORES) if n in subject.recipe.parameters and ROWS[n] == kind):
        with np.errstate(over="ignore"):
            numbers = np.abs(arguments[name]) < 1e15
        sound &= numbers.all(axis=tuple(range(1, numbers.ndim)))
    return sound


@pytest.mark.parametrize("name", ["multi_instance", "multi_instance-three"])
def test_the_instances_of_a_prior_are_of_different_boxes(name):
    subject, target = BY_NAME[name], get_target("numpy")

    @for_each(subject, target, floats(), 30)
    def check(_, codes):
        for row in codes.T:
            assert len(set(row[row > 0])) == (row > 0).sum()

"""Winners: who has a prior was a candidate for it, or what the method says of the exception holds."""

import numpy as np
import pytest

from assigncore.conformance import get_target
from assigncore.conformance.reference.image import iou

from .checking import for_all, on_every_target, scenes_for
from .scenes import FLOATS, ROWS, floats
from .subjects import SUBJECTS
from .subjects_matching import MATCHING_SUBJECTS

BY_NAME = {subject.name: subject for subject in SUBJECTS}


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


@on_every_target([BY_NAME[name] for name in RULES], jax=())
def test_winners_were_candidates(subject, target):
    @for_all(target, scenes_for(subject), share=0.3)
    def check(scene):
        arguments = subject.arguments(scene)
        codes = subject.run(target, arguments)["gt_inds"]
        boxes = arguments["gt_bboxes"]
        whole = np.isfinite(boxes).all(axis=-1) & (np.abs(boxes) < 1e15).all(axis=-1)
        others = np.flatnonzero(arguments["gt_valid"] & whole)
        for n in np.flatnonzero(codes > 0):
            assert codes[n] - 1 in others
            assert RULES[subject.name](arguments, n, codes[n] - 1, others), (n, codes[n])


TIMES = {"hungarian-repeat": 2, "greedy-repeat": 2, "topk_hungarian": 3}
"""How many predictions a ground truth is matched with, where it is not one."""


@on_every_target(MATCHING_SUBJECTS, jax=())
def test_a_matching_is_one_to_one_and_leaves_nobody_who_could_be_matched(subject, target):
    times = TIMES.get(subject.name, 1)

    @for_all(target, scenes_for(subject), share=0.3)
    def check(scene):
        arguments = subject.arguments(scene)
        codes = subject.run(target, arguments)["gt_inds"]
        sound = {kind: _sound(arguments, kind) for kind in ("N", "G")}
        per_gt = np.bincount(codes[codes > 0] - 1, minlength=len(sound["G"]))
        assert (per_gt <= times).all()
        assert not per_gt[~sound["G"]].any()
        assert (codes[~sound["N"]] <= 0).all()
        if subject.name not in ("topk_hungarian", "greedy-repeat"):
            assert per_gt.sum() == min(sound["N"].sum(), times * sound["G"].sum())


def _sound(arguments, kind):
    """Tell which rows of a kind take part and hold no broken number."""
    sound = arguments["prior_valid" if kind == "N" else "gt_valid"].copy()
    for name in (name for name in FLOATS if name in arguments and ROWS[name] == kind):
        with np.errstate(over="ignore"):
            numbers = np.abs(arguments[name]) < 1e15
        sound &= numbers.all(axis=tuple(range(1, numbers.ndim)))
    return sound


@pytest.mark.parametrize("name", ["multi_instance", "multi_instance-three"])
def test_the_instances_of_a_prior_are_of_different_boxes(name):
    subject, target = BY_NAME[name], get_target("numpy")

    @for_all(target, floats(), share=0.5)
    def check(scene):
        codes = subject.run(target, subject.arguments(scene))["gt_inds"]
        for row in codes:
            assert len(set(row[row > 0])) == (row > 0).sum()

"""Permutation: where nothing ties, the order of priors, ground truths and ignore regions decides nothing."""

import numpy as np
from hypothesis import strategies as st

from .checking import assert_equal, assert_same, for_all, on_every_target
from .scenes import any_scenes, apart, take_rows
from .subject import BOX, BY_INDEX, CODE, IN_TURN, INDEX, NO_ROWS, OF_GTS, PAIRS
from .subjects import SUBJECTS

# Where boxes are far apart, these may find no positive at all; any other assigner finds some.
MAY_FIND_NONE = ("center_region-calculator", "atss", "atss-ignore")

# Where masks are far from their boxes, all priors are equally dear.
ALL_TIE = ("soft_label-masks",)

# Of several candidates some are far ones, which are another's: there the order of writing decides.
TAKE_FAR_ONES = ("uniform",)


@on_every_target([s for s in SUBJECTS if "N" not in s.fixed and s.name not in ALL_TIE])
def test_permuted_priors_permute_the_outputs(subject, target):
    @for_all(target, apart(), st.integers(0, 2**16), share=0.12)
    def check(scene, seed):
        arguments = subject.arguments(scene)
        order = np.random.default_rng(seed).permutation(len(scene["priors"]))
        straight, permuted = (subject.run(target, a) for a in (arguments, take_rows(arguments, "N", order)))
        assert (straight["gt_inds"] > 0).any() or subject.name in MAY_FIND_NONE
        for name, values in straight.items():
            moved = values if subject.holds[name] in NO_ROWS else values[order]
            assert_equal(permuted[name], moved, name, subject.rtol)


@on_every_target([s for s in SUBJECTS if s.name not in (*ALL_TIE, *TAKE_FAR_ONES)])
def test_permuted_ground_truths_permute_the_codes(subject, target):
    @for_all(target, apart(), st.integers(0, 2**16), share=0.12)
    def check(scene, seed):
        arguments = subject.arguments(scene)
        order = np.random.default_rng(seed).permutation(len(scene["gt_bboxes"]))
        straight, permuted = (subject.run(target, a) for a in (arguments, take_rows(arguments, "G", order)))
        new_place = np.argsort(order)
        positive = straight["gt_inds"] > 0
        for name, values in straight.items():
            holds = subject.holds[name]
            if holds == CODE:
                values = np.where(positive, new_place[values - 1] + 1, values)
            elif holds == INDEX:
                values = new_place[values]
            elif holds == PAIRS:
                values = values[:, order]
            elif holds == OF_GTS:
                values = values[order]
            elif holds == IN_TURN:
                in_turn = values.reshape(-1, len(order), *values.shape[1:])[:, order]
                values = in_turn.reshape(values.shape)
            elif holds == BOX:
                regions = len(order) + np.arange(len(scene["ignore_bboxes"]))
                values = np.append(new_place, [*regions, -1])[values]
            # What belongs to no ground truth may name the first of them all the same.
            rows = positive if holds in (INDEX, BY_INDEX, BOX) else ...
            assert_equal(permuted[name][rows], values[rows], name, subject.rtol)


@on_every_target([subject for subject in SUBJECTS if subject.takes_regions])
def test_the_order_of_ignore_regions_never_matters(subject, target):
    @for_all(target, any_scenes(), share=0.12)
    def check(scene):
        arguments = subject.arguments(scene)
        backwards = take_rows(arguments, "I", np.arange(len(scene["ignore_bboxes"]))[::-1])
        straight, permuted = (subject.run(target, each) for each in (arguments, backwards))
        for name in (name for name, holds in subject.holds.items() if holds == BOX):
            # Which of them it is moves; whether it is one does not.
            for outputs in (straight, permuted):
                outputs[name] = np.minimum(outputs[name], len(scene["gt_bboxes"]))
        assert_same(permuted, straight, subject.rtol)

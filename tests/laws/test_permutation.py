"""Permutation: where nothing ties, the order of priors, ground truths and ignore regions decides nothing."""

import numpy as np
from hypothesis import strategies as st

from .checking import assert_same, for_all, on_every_target
from .scenes import any_scenes, apart, take_rows
from .subject import BY_INDEX, CODE, INDEX, PAIRS
from .subjects import SUBJECTS

# Where boxes are far apart, these may find no positive at all; any other assigner finds some.
MAY_FIND_NONE = ("center_region-calculator", "atss", "atss-ignore")


@on_every_target()
def test_permuted_priors_permute_the_outputs(subject, target):
    @for_all(target, apart(), st.integers(0, 2**16), share=0.12)
    def check(scene, seed):
        arguments = subject.arguments(scene)
        order = np.random.default_rng(seed).permutation(len(scene["priors"]))
        straight, permuted = (subject.run(target, a) for a in (arguments, take_rows(arguments, "N", order)))
        assert (straight["gt_inds"] > 0).any() or subject.name in MAY_FIND_NONE
        for name, values in straight.items():
            np.testing.assert_array_equal(permuted[name], values[order], err_msg=name)


@on_every_target()
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
            # What belongs to no ground truth may name the first of them all the same.
            rows = positive if holds in (INDEX, BY_INDEX) else slice(None)
            np.testing.assert_array_equal(permuted[name][rows], values[rows], err_msg=name)


@on_every_target([subject for subject in SUBJECTS if subject.takes_regions])
def test_the_order_of_ignore_regions_never_matters(subject, target):
    @for_all(target, any_scenes(), share=0.12)
    def check(scene):
        arguments = subject.arguments(scene)
        backwards = take_rows(arguments, "I", np.arange(len(scene["ignore_bboxes"]))[::-1])
        assert_same(subject.run(target, backwards), subject.run(target, arguments))

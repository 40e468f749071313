"""Broken numbers: a box with a NaN or infinite coordinate matches nothing and changes nothing else."""

import numpy as np
from hypothesis import strategies as st

from .checking import assert_same, for_all, on_every_target
from .scenes import FLOATS, MASKS, ROWS, anchors, floats, grids, with_broken_rows

SCENES = with_broken_rows(st.one_of(grids(), grids(), floats(), anchors()))


def _broken(array):
    """Tell which rows hold a number that is no coordinate."""
    with np.errstate(over="ignore"):
        return ~(np.abs(array) < 1e15).all(axis=-1)


def _as_padding(arguments, kind):
    """Mark the broken rows of one kind as padding, and mend their numbers."""
    mended = dict(arguments)
    for name in set(FLOATS) & set(arguments):
        if ROWS[name] == kind and name != "approxs":
            broken = _broken(arguments[name])
            mended[name] = np.where(broken[:, None], 1, arguments[name]).astype(arguments[name].dtype)
            mended[MASKS[kind]] = arguments[MASKS[kind]] & ~broken
    return mended


@on_every_target()
def test_broken_ground_truths_and_regions_are_like_padding(subject, target):
    @for_all(target, SCENES, share=0.2)
    def check(scene):
        arguments = subject.arguments(scene)
        mended = _as_padding(_as_padding(arguments, "G"), "I")
        assert_same(subject.run(target, arguments), subject.run(target, mended))


@on_every_target()
def test_broken_priors_match_nothing_and_leave_the_others_alone(subject, target):
    @for_all(target, SCENES, share=0.2)
    def check(scene):
        arguments = subject.arguments(scene)
        broken = _broken(arguments["priors"])
        got = subject.run(target, arguments)
        without = subject.run(target, _as_padding(arguments, "N"))
        for name, values in without.items():
            np.testing.assert_array_equal(got[name][~broken], values[~broken], err_msg=name)
        assert (got["gt_inds"][broken] <= 0).all()
        assert np.isfinite(got.get("max_overlaps", np.zeros(1))).all()

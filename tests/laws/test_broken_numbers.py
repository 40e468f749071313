"""Broken numbers: a box with a NaN or infinite coordinate matches nothing and changes nothing else."""

import numpy as np
from hypothesis import strategies as st

from .checking import assert_equal, assert_same, for_all, on_every_target
from .scenes import FLOATS, MASKS, NOT_BOXES, ROWS, anchors, floats, grids, with_broken_rows
from .subject import NO_ROWS
from .subjects import SUBJECTS


def _scenes(subject):
    kinds = [grids(), grids(), floats(), anchors()] if subject.tied else [floats()]
    return with_broken_rows(st.one_of(*kinds))


def _broken(array):
    """Tell which rows hold a number that is no coordinate."""
    with np.errstate(over="ignore"):
        sound = np.abs(array) < 1e15
    return ~sound.all(axis=tuple(range(1, array.ndim)))


def _numbers(arguments, kind):
    """Name the arguments with numbers that a row of a kind needs."""
    return [name for name in FLOATS if name in arguments and ROWS[name] == kind and name != "approxs"]


def _as_padding(arguments, kind):
    """Mark the broken rows of one kind as padding, and mend their numbers."""
    mended = dict(arguments)
    for name in _numbers(arguments, kind):
        broken = _broken(arguments[name])
        rows = broken.reshape(-1, *[1] * (arguments[name].ndim - 1))
        mended[name] = np.where(rows, 1, arguments[name]).astype(arguments[name].dtype)
        mended[MASKS[kind]] = mended[MASKS[kind]] & ~broken
    return mended


def _broken_throughout(arguments, rows):
    """Break all numbers of some priors."""
    broken = dict(arguments)
    for name in _numbers(arguments, "N"):
        broken[name] = arguments[name].copy()
        broken[name][rows] = np.nan
    return broken


@on_every_target([subject for subject in SUBJECTS if "G" not in subject.counts_broken])
def test_broken_ground_truths_and_regions_are_like_padding(subject, target):
    @for_all(target, _scenes(subject), share=0.2)
    def check(scene):
        arguments = subject.arguments(scene)
        mended = _as_padding(_as_padding(arguments, "G"), "I")
        assert_same(subject.run(target, arguments), subject.run(target, mended), subject.rtol)


@on_every_target()
def test_broken_priors_match_nothing_and_leave_the_others_alone(subject, target):
    @for_all(target, _scenes(subject), share=0.2)
    def check(scene):
        arguments = subject.arguments(scene)
        broken = np.any([_broken(arguments[name]) for name in _numbers(arguments, "N")], axis=0)
        if subject.all_or_none:
            arguments = _broken_throughout(arguments, broken)
        got = subject.run(target, arguments)
        assert (got["gt_inds"][broken] <= 0).all()
        assert np.isfinite(got.get("max_overlaps", np.zeros(1))).all()
        if "N" in subject.counts_broken:
            return
        # A number that is no coordinate may stand for 0, with which others are compared.
        rest = set(NOT_BOXES) & set(arguments)
        arguments = arguments | {name: np.nan_to_num(arguments[name]) for name in rest}
        got = subject.run(target, arguments)
        without = subject.run(target, _as_padding(arguments, "N"))
        for name, values in without.items():
            if subject.holds[name] in NO_ROWS:
                assert_equal(got[name], values, name, subject.rtol)
                continue
            assert_equal(got[name][~broken], values[~broken], name, subject.rtol)

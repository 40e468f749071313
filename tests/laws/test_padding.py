"""Padding: rows that are not valid change nothing for the others, whatever numbers they hold."""

import numpy as np
from hypothesis import strategies as st

from .checking import assert_equal, assert_same, for_all, on_every_target
from .scenes import FULL, SMALLER, anchors, floats, grids, scatter_rows
from .subject import BOX, CODE, IN_TURN, INDEX, NO_ROWS, OF_GTS, PAIRS
from .subjects import LEADERS

LENGTHS = {"N": FULL.priors, "G": FULL.gts, "I": FULL.regions}


def _all_valid(scene):
    return {name: np.ones_like(x) if name in ("gt_valid", "ignore_valid") else x for name, x in scene.items()}


def _moved(values, holds, places):
    """Give what an output becomes when ground truth i moves to row places["G"][i]."""
    gt_places = places["G"]
    if holds == PAIRS:
        moved = np.zeros((len(values), LENGTHS["G"]), dtype=values.dtype)
        moved[:, gt_places] = values
        return moved
    if holds == CODE:
        return np.where(values > 0, gt_places[values - 1] + 1, values)
    if holds == BOX:
        boxes = np.concatenate([gt_places, places["I"] + LENGTHS["G"]])
        return np.where(values >= 0, boxes[values], values)
    return gt_places[values] if holds == INDEX else values


def _picked(values, holds, places):
    """Pick from an output among padding the rows that are no padding."""
    if holds == OF_GTS:
        return values[places["G"]]
    if holds == IN_TURN:
        in_turn = values.reshape(-1, LENGTHS["G"], *values.shape[1:])[:, places["G"]]
        return in_turn.reshape(-1, *values.shape[1:])
    return values if holds in NO_ROWS or "N" not in places else values[places["N"]]


@on_every_target()
def test_padding_changes_nothing(subject, target):
    kinds = [grids(SMALLER), floats(SMALLER), anchors(SMALLER)] if subject.tied else [floats(SMALLER)]
    scenes = st.one_of(*kinds).map(_all_valid)

    @for_all(target, scenes, st.integers(0, 2**16), share=0.4)
    def check(scene, seed):
        rng = np.random.default_rng(seed)
        arguments = padded = subject.arguments(scene)
        places = {}
        for kind in subject.kinds:
            count = subject.count(kind, arguments)
            places[kind] = np.sort(rng.permutation(LENGTHS[kind])[:count])
            padded = scatter_rows(padded, kind, places[kind], LENGTHS[kind], rng)
        among_padding = subject.run(target, padded)
        for name, values in subject.expected(target, arguments).items():
            holds = subject.holds[name]
            got = _picked(among_padding[name], holds, places)
            assert_equal(got, _moved(values, holds, places), name, subject.rtol)
        invalid = ~padded["prior_valid"]
        assert (among_padding["gt_inds"][invalid] == -1).all()
        assert np.isin(among_padding["labels"][invalid], [-1, subject.no_label]).all()


@on_every_target(jax=LEADERS[:1])
def test_masks_that_are_all_true_say_nothing(subject, target):
    @for_all(target, grids() if subject.tied else floats(), share=0.1)
    def check(scene):
        arguments = subject.arguments(scene)
        for name in ("prior_valid", "gt_valid", "ignore_valid"):
            if name in arguments:
                arguments[name] = np.ones_like(arguments[name])
        bare = {name: array for name, array in arguments.items() if not name.endswith("_valid")}
        assert_same(subject.run(target, bare), subject.expected(target, arguments), subject.rtol)

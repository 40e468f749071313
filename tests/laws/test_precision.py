"""Precision: computed in the inputs' dtype, never below float32, and float outputs come in that dtype."""

import ml_dtypes
import numpy as np
import pytest

from .checking import TARGETS, assert_same, for_all, on_every_target
from .scenes import FLOATS, floats, grids
from .subjects import COMPILED_OFTEN, LEADERS, READ, SUBJECTS

HALVES = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}


def _narrowed(target, array, dtype):
    """Bring an array to the target in a dtype that NumPy itself may not have."""
    if target.library == "numpy":
        return array.astype(HALVES[dtype])
    xp = target.backend.xp
    return xp.astype(target.from_numpy(array), getattr(xp, dtype))


def _call(subject, target, arrays):
    outputs = subject.assign(**arrays)
    if "max_overlaps" in outputs:
        assert outputs["max_overlaps"].dtype == target.backend.xp.float32
    return {name: target.to_numpy(x) for name, x in outputs.items()}


HALVED = {"numpy": SUBJECTS, "jax": [subject for subject in COMPILED_OFTEN if subject in READ]}
"""What is tested on which library: JAX compiles operation by operation here."""

NARROW = [
    pytest.param(subject, target, dtype, id=f"{subject}-{target.name}-{dtype}")
    for target in TARGETS
    for dtype in HALVES
    for subject in HALVED.get(target.library, LEADERS)
    if target.library == "numpy" or hasattr(target.backend.xp, dtype)
]


@pytest.mark.parametrize(("subject", "target", "dtype"), NARROW)
def test_half_precision_is_raised_to_float32(subject, target, dtype):
    @for_all(target, floats(), share=0.08)
    def check(scene):
        arguments = subject.arguments(scene)
        boxes = [name for name in FLOATS if name in arguments]
        raised = {name: arguments[name].astype(HALVES[dtype]).astype(np.float32) for name in boxes}
        with target.running(x64=False):
            given = {name: target.from_numpy(array) for name, array in arguments.items()}
            half = {name: _narrowed(target, arguments[name], dtype) for name in boxes}
            got = _call(subject, target, {**given, **half})
            assert_same(got, subject.expected(target, {**arguments, **raised}), subject.rtol)
            # One input in float32 among halves is not rounded to half itself.
            mixed = {**given, **half, boxes[0]: given[boxes[0]]}
            expected = subject.expected(target, {**arguments, **raised, boxes[0]: arguments[boxes[0]]})
            assert_same(_call(subject, target, mixed), expected, subject.rtol)


@on_every_target(jax=COMPILED_OFTEN)
def test_float64_stays_float64(subject, target):
    @for_all(target, floats(dtype=np.float64), share=0.1)
    def check(scene):
        arguments = subject.arguments(scene)
        got, expected = subject.run(target, arguments), subject.expected(target, arguments)
        assert_same(got, expected, subject.rtol)
        if "max_overlaps" in got:
            assert got["max_overlaps"].dtype == expected["max_overlaps"].dtype == np.float64


@on_every_target([s for s in LEADERS if "gt_bboxes" in s.takes], jax=LEADERS[:1])
def test_one_input_in_float64_raises_all(subject, target):
    @for_all(target, grids() if subject.tied else floats(), share=0.1)
    def check(scene):
        arguments = subject.arguments(scene)
        arguments["gt_bboxes"] = arguments["gt_bboxes"].astype(np.float64) / 3
        raised = {name: x.astype(np.float64) if x.dtype.kind == "f" else x for name, x in arguments.items()}
        got = subject.run(target, arguments)
        if "max_overlaps" in got:
            assert got["max_overlaps"].dtype == np.float64
        assert_same(got, subject.expected(target, raised), subject.rtol)

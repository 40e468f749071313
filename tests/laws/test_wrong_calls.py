"""Wrong calls: a ValueError or TypeError that says which argument, what was given and what is expected."""

from dataclasses import fields

import jax
import numpy as np
import pytest

from assigncore import build_assigner

from .checking import on_every_target
from .scenes import FLOATS, FULL, PREDICTIONS
from .subjects import LEADERS, SUBJECTS
from .test_empties import some_scene


def _wrong_arrays(arguments):
    """Give arrays an argument must not be: its name, the array, the error, and what the message says."""
    for name, x in arguments.items():
        if name in FLOATS:
            short, flat = x[..., :-2], x[0]
            if name not in PREDICTIONS or name in ("pred_bboxes", "pred_objectness"):
                yield name, short, ValueError, str(short.shape)
            yield name, flat, ValueError, str(flat.shape)
            yield name, x.astype(np.int32), TypeError, "int32"
            yield name, x > 1, TypeError, "bool"
            continue
        if name == "gt_masks":
            yield name, x[0], ValueError, str(x[0].shape)
            continue
        longer = np.concatenate([x, x])
        yield name, longer, ValueError, str(longer.shape)
        yield name, x.astype(np.float32), TypeError, "float32"
        if x.dtype == bool:
            yield name, x.astype(np.int32), TypeError, "int32"


@on_every_target(LEADERS)
def test_wrong_arrays_are_refused_by_name(subject, target):
    arguments = subject.arguments(some_scene(FULL))
    with target.running(x64=False):
        arrays = {name: target.from_numpy(x) for name, x in arguments.items()}
        others = subject.others(arrays)
        for name, wrong, error, given in _wrong_arrays(arguments):
            with pytest.raises(error) as caught:
                subject.assigner.assign(**{**arrays, name: target.from_numpy(np.array(wrong))}, **others)
            assert name in str(caught.value)
            assert given in str(caught.value)


@pytest.mark.parametrize("subject", LEADERS, ids=str)
def test_wrong_arrays_are_refused_while_compiling(subject):
    arguments = subject.arguments(some_scene(FULL))

    def assign(right, wrong):
        return subject.assigner.assign(**{**right, **wrong}, **subject.others(right))

    for name, wrong, error, given in _wrong_arrays(arguments):
        with pytest.raises(error) as caught:
            jax.eval_shape(assign, arguments, {name: wrong})
        assert name in str(caught.value)
        assert given in str(caught.value)


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_what_is_no_array_is_refused_by_name(subject):
    arguments = subject.arguments(some_scene(FULL))
    others = subject.others(arguments)
    for name, x in arguments.items():
        with pytest.raises(TypeError, match=f"{name}.*list"):
            subject.assigner.assign(**{**arguments, name: x.tolist()}, **others)


@pytest.mark.parametrize("subject", LEADERS, ids=str)
def test_a_missing_input_is_named(subject):
    arguments = subject.arguments(some_scene(FULL))
    others = subject.others(arguments)
    for name in subject.required:
        rest = {key: x for key, x in arguments.items() if key != name}
        with pytest.raises((TypeError, ValueError), match=name):
            subject.assigner.assign(**rest, **others)
        with pytest.raises((TypeError, ValueError), match=name):
            subject.assigner.assign(**rest, **{name: None}, **others)
    with pytest.raises(TypeError, match="no_such_input"):
        subject.assigner.assign(**arguments, **others, no_such_input=arguments[subject.first])


@pytest.mark.parametrize("subject", [s for s in LEADERS if s.takes_regions], ids=str)
def test_a_mask_without_its_regions_is_refused(subject):
    arguments = subject.arguments(some_scene(FULL))
    del arguments["ignore_bboxes"]
    with pytest.raises(ValueError, match=r"ignore_valid.*ignore_bboxes"):
        subject.assigner.assign(**arguments, **subject.others(arguments))


@pytest.mark.parametrize("subject", LEADERS, ids=str)
def test_leading_dimensions_that_do_not_broadcast_are_named(subject):
    arguments = subject.arguments(some_scene(FULL))
    first = subject.first
    for name in (n for n in arguments if n != first):
        two, three = np.stack([arguments[first]] * 2), np.stack([arguments[name]] * 3)
        wrong = {**arguments, first: two, name: three}
        with pytest.raises(ValueError, match=f"(?s){first}.*{name}") as caught:
            subject.assigner.assign(**wrong, **subject.others(arguments))
        assert "(2,)" in str(caught.value)
        assert "(3,)" in str(caught.value)


NOT_NUMBERS = ["much", None, float("nan"), float("inf"), True]


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
@pytest.mark.parametrize("wrong", NOT_NUMBERS, ids=repr)
def test_a_knob_that_must_be_a_number_is_refused_by_name(subject, wrong):
    defaults = {field.name: field.default for field in fields(subject.assigner)}
    numbers = [name for name, value in subject.config.items() if isinstance(value, float)]
    numbers = [name for name in numbers if wrong is not None or defaults[name] is not None]
    for name in numbers:
        with pytest.raises((TypeError, ValueError), match=name) as caught:
            build_assigner({**subject.config, name: wrong})
        assert repr(wrong) in str(caught.value)


@pytest.mark.parametrize("subject", LEADERS, ids=str)
def test_a_switch_that_is_not_true_or_false_is_refused_by_name(subject):
    for field in fields(subject.assigner):
        if isinstance(field.default, bool):
            with pytest.raises((TypeError, ValueError), match=field.name):
                build_assigner({**subject.config, field.name: "no"})


@pytest.mark.parametrize("subject", LEADERS, ids=str)
def test_an_unknown_knob_is_refused_by_name(subject):
    with pytest.raises(TypeError, match="no_such_knob"):
        build_assigner({**subject.config, "no_such_knob": 1})

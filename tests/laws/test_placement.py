"""Namespace and device: results live where inputs live; mixed libraries or devices are refused by name."""

import array_api_compat
import jax
import numpy as np
import pytest

from assigncore import AssignResult
from assigncore.conformance import get_target

from .checking import TARGETS, on_every_target
from .scenes import FULL
from .subjects import LEADERS
from .test_empties import some_scene

WITH_DEVICES = [target for target in TARGETS if target.library != "numpy"]
PLACES = [
    pytest.param(
        subject, target, there, id=f"{subject}-{target.name}-{'another' if there else 'default'}_device"
    )
    for there in (False, True)
    for target in (WITH_DEVICES if there else TARGETS)
    for subject in (LEADERS[:1] if there and target.library == "jax" else LEADERS)
    # PyTorch's other device is "meta", which has no values for the host.
    if not (subject.on_host and there and target.library == "torch")
]


def _arrays(subject, target):
    return {name: target.from_numpy(x) for name, x in subject.arguments(some_scene(FULL)).items()}


def _elsewhere(target, x):
    """Bring an array of the target to another device of its library."""
    if target.library == "torch":
        return x.to("meta")
    if target.library == "jax":
        return jax.device_put(x, jax.devices()[1])
    return get_target("array_api_strict:device1").from_numpy(np.asarray(target.to_numpy(x)))


def _outputs(subject, target, arrays):
    outputs = (subject.jitted if target.library == "jax" else subject.assign)(**arrays)
    result = AssignResult(outputs["gt_inds"], None, None, FULL.gts)
    return {**outputs, "matched_gt": result.matched_gt, "positives_per_gt": result.positives_per_gt}


def _both(subject, name):
    """Give what an error about an argument and the others says: the first of them and it, or any other."""
    return f"(?s){subject.first} .*{name}" if name != subject.first else f"(?s){name} .* and "


@pytest.mark.parametrize(("subject", "target", "there"), PLACES)
def test_results_live_where_the_inputs_live(subject, target, there):
    with target.running(x64=False):
        arrays = _arrays(subject, target)
        if there:
            arrays = {name: _elsewhere(target, x) for name, x in arrays.items()}
        home = array_api_compat.device(arrays[subject.first])
        for name, x in _outputs(subject, target, arrays).items():
            assert type(x) is type(arrays[subject.first]), name
            assert array_api_compat.device(x) == home, name


@on_every_target(LEADERS)
def test_mixed_libraries_are_refused_by_the_names_of_the_arguments(subject, target):
    other = get_target("torch" if target.library == "numpy" else "numpy")
    with target.running(x64=False):
        arrays = _arrays(subject, target)
        foreign = _arrays(subject, other)
        for name in arrays:
            with pytest.raises(TypeError, match=_both(subject, name)):
                subject.assigner.assign(**{**arrays, name: foreign[name]}, **subject.others(arrays))


@pytest.mark.parametrize("subject", LEADERS, ids=str)
@pytest.mark.parametrize("target", WITH_DEVICES, ids=lambda t: t.name)
def test_mixed_devices_are_refused_by_the_names_of_the_arguments(subject, target):
    with target.running(x64=False):
        arrays = _arrays(subject, target)
        for name, x in arrays.items():
            mixed = {**arrays, name: _elsewhere(target, x)}
            with pytest.raises(ValueError, match=_both(subject, name)):
                subject.assigner.assign(**mixed, **subject.others(arrays))

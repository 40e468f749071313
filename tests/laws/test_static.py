"""Static: no host synchronisation and no data-dependent shape, so the same function compiles as a whole."""

import jax
import numpy as np
import pytest
import torch

from assigncore.conformance import get_target

from .checking import assert_same
from .scenes import FULL, stack
from .subjects import LEADERS, SUBJECTS
from .test_empties import some_scene

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script_method:DeprecationWarning", "ignore:Dynamo detected a call:UserWarning"
)

BY_NAME = {subject.name: subject for subject in SUBJECTS}


def _arguments(subject, seed=0):
    # Where rounding is by no rule, predictions are apart, so that all libraries decide alike.
    return subject.arguments(some_scene(FULL, seed, tied=subject.rule is not None))


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_jax_traces_once_and_reads_nothing(subject):
    subject.jitted(**jax.device_put(_arguments(subject)))
    traces = list(subject.traces)
    for seed in range(4):
        arguments = _arguments(subject, seed)
        arrays = jax.device_put(arguments)
        with jax.transfer_guard("disallow"):
            outputs = subject.jitted(**arrays)
        expected = subject.expected(get_target("numpy"), arguments)
        assert_same({name: np.asarray(x) for name, x in outputs.items()}, expected, subject.rtol)
    assert subject.traces == traces


@pytest.mark.parametrize("subject", LEADERS[:3], ids=str)
def test_jax_maps_over_images(subject):
    images = [_arguments(subject, seed) for seed in range(3)]
    mapped = jax.jit(jax.vmap(lambda arrays: subject.assign(**arrays)))(stack(images, (3,)))
    for row, image in enumerate(images):
        expected = subject.expected(get_target("jax"), image)
        assert_same({name: np.asarray(x[row]) for name, x in mapped.items()}, expected, subject.rtol)


@pytest.mark.parametrize("subject", [s for s in SUBJECTS if not s.on_host], ids=str)
def test_pytorch_needs_no_values(subject):
    """On the meta device there are none: whatever read one would fail, as on a GPU it would wait."""
    images = [_arguments(subject, seed) for seed in range(2)]
    arrays = {name: torch.from_numpy(x).to("meta") for name, x in stack(images, (2,)).items()}
    outputs = subject.assign(**arrays)
    for name, x in subject.expected(get_target("numpy"), images[0]).items():
        assert tuple(outputs[name].shape) == (2, *x.shape), name
        assert outputs[name].dtype == torch.from_numpy(x).dtype, name


def _compiled_agrees(subject, backend):
    torch.compiler.reset()
    compiled = torch.compile(subject.assign, fullgraph=True, dynamic=False, backend=backend)
    target = get_target("torch")
    for seed in range(3):
        arguments = _arguments(subject, seed)
        arrays = {name: torch.from_numpy(x) for name, x in arguments.items()}
        with torch.compiler.set_stance("default" if seed == 0 else "fail_on_recompile"):
            outputs = compiled(**arrays)
        expected = subject.expected(target, arguments)
        assert_same({name: target.to_numpy(x) for name, x in outputs.items()}, expected, subject.rtol)


@pytest.mark.parametrize("subject", LEADERS, ids=str)
def test_pytorch_captures_one_graph(subject):
    _compiled_agrees(subject, "eager")


@pytest.mark.parametrize("name", ["max_iou-half"])
def test_pytorch_compiles_to_the_same_bits(name):
    _compiled_agrees(BY_NAME[name], "inductor")

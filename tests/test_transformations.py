"""Under PyTorch's transformations an assigner answers as it does eagerly, or says in a sentence what to do."""

from functools import cache
from unittest import mock

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.flop_counter import FlopCounterMode

from assigncore.adapters.backends import plain_tensors
from assigncore.backend import load_backend
from assigncore.backend.fast_path import without_numpy_fast_path
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.recipes import recipe_of

pytestmark = pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning",
    "ignore:.*torch.jit:DeprecationWarning",
    "ignore:There is a performance drop:UserWarning",
    "ignore:.*quantized tensor creation:UserWarning",
    "ignore:The PyTorch API of nested tensors:UserWarning",
)

STATIC = ("MaxIoUAssigner", "ATSSAssigner", "TaskAlignedAssigner", "SimOTAAssigner", "UniformAssigner",
          "PointAssigner", "CenterRegionAssigner", "YOLOv7Assigner", "GreedyMatcher")  # fmt: skip
ON_HOST = ("HungarianAssigner", "MaskHungarianAssigner", "TopkHungarianAssigner")


class Call:
    """An assigner as a function of tensors, with what it gives eagerly for them, and for others."""

    def __init__(self, name):
        recipe = recipe_of(name)
        scenes = [draw_scene(kind) for kind in ("fpn-0-0", "crowd-0-2")]
        self.assign = recipe.call(recipe.statics(scenes[0]))
        self.names = list(recipe.arrays(scenes[0]))
        self.given, self.others = ([_tensor(x) for x in recipe.arrays(scene).values()] for scene in scenes)
        with without_numpy_fast_path():
            self.due, self.due_of_others = self(*self.given), self(*self.others)

    def __call__(self, *tensors):
        return tuple(self.assign(**dict(zip(self.names, tensors, strict=True))).values())

    def of_one(self, x):
        """Give a number that depends on all real outputs, as a function of one input."""
        place = self.place
        outputs = self(*self.given[:place], x, *self.given[place + 1 :])
        return sum(y.sum() for y in outputs if y.is_floating_point()) + 0 * x.sum()

    @property
    def place(self):
        return max(i for i, x in enumerate(self.given) if x.is_floating_point())


def _tensor(x):
    return torch.from_numpy(x).float() if x.dtype.kind == "f" else torch.from_numpy(x)


def check(got, due):
    for x, y in zip(got, due, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=0, equal_nan=True)


def functionalize(call):
    check(torch.func.functionalize(call)(*call.given), call.due)


def trace_by_fx(call):
    graph = make_fx(call)(*call.given)
    check(graph(*call.given), call.due)
    check(graph(*call.others), call.due_of_others)


def trace_by_jit(call):
    graph = torch.jit.trace(lambda *tensors: call(*tensors), call.given, check_trace=False)
    check(graph(*call.given), call.due)
    check(graph(*call.others), call.due_of_others)


def map_over_images(call):
    both = [torch.stack(pair) for pair in zip(call.given, call.others, strict=True)]
    for image, due in enumerate((call.due, call.due_of_others)):
        check([x[image] for x in torch.vmap(call)(*both)], due)


def differentiate(call):
    x = call.given[call.place]
    assert not torch.func.grad(call.of_one)(x).any()
    assert not torch.func.jacfwd(call.of_one)(x).any()


def fake(call):
    mode = FakeTensorMode()
    with mode:
        got = call(*[mode.from_tensor(x) for x in call.given])
    assert [(x.shape, x.dtype) for x in got] == [(x.shape, x.dtype) for x in call.due]


TRANSFORMATIONS = (functionalize, trace_by_fx, trace_by_jit, map_over_images, differentiate, fake)
each_transformation = pytest.mark.parametrize("transform", TRANSFORMATIONS, ids=lambda f: f.__name__)


@pytest.fixture(scope="module")
def calls():
    return cache(Call)


@each_transformation
@pytest.mark.parametrize("name", STATIC)
def test_answers_are_those_without(calls, name, transform):
    transform(calls(name))


@each_transformation
@pytest.mark.parametrize("name", ON_HOST)
def test_what_is_matched_on_the_host_says_so(calls, name, transform):
    with pytest.raises(
        RuntimeError, match="a matching is solved on the host, which cannot read values under"
    ) as error:
        transform(calls(name))
    assert "call the assigner outside of it" in str(error.value)


@pytest.mark.parametrize("name", [*STATIC[:3], "HungarianAssigner"])
def test_modes_that_watch_and_inference_see_the_answer(calls, name):
    call = calls(name)
    with FlopCounterMode(display=False):
        check(call(*call.given), call.due)
    with torch.inference_mode():
        check(call(*call.given), call.due)
        assert load_backend("torch").reads_host(call.given[0])


def test_tensors_whose_memory_is_not_their_value_are_not_plain():
    x = torch.ones(3, dtype=torch.complex64)
    wrapped = [x.conj(), x.conj().imag, torch.ones(3).to_sparse(), torch.ones(3, device="meta"),
               torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8),
               torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])]  # fmt: skip
    assert not any(plain_tensors.are_plain([y]) for y in wrapped)
    assert plain_tensors.are_plain([torch.ones(3)])
    assert plain_tensors.are_plain([torch.nn.Parameter(torch.ones(3))])
    assert plain_tensors.are_plain([torch.empty(0)])


def test_a_name_that_a_version_lacks_means_the_portable_path():
    with mock.patch.object(torch._C, "_functorch", None):
        questions = plain_tensors._questions()
    with mock.patch.object(plain_tensors, "_QUESTIONS", questions):
        assert not plain_tensors.are_plain([torch.ones(3)])
        assert plain_tensors.what_hides(torch.ones(3)) == ""

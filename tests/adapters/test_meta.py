"""On PyTorch's meta device tensors have no values: a drop-in that read one there would wait for a GPU."""

import importlib
import pkgutil

import pytest
import torch
from torch.utils import _pytree as pytree

from assigncore import adapters
from assigncore.adapters import mmdet, mmdet2, mmyolo
from assigncore.adapters.index_pairs import SetMatcher
from assigncore.conformance.goldens.dropins import CALLS, CALLS_2, call_2, call_3

from .golden import cases, tensors
from .instances import Instances
from .test_compiled import CALLS as BATCHED
from .test_compiled import CALLS_BY_NAME

READ_VALUES = {
    "HungarianAssigner": "matches on the host",
    "MaskHungarianAssigner": "matches on the host",
    "TopkHungarianAssigner": "matches on the host",
    "CenterRegionAssigner": "hands back a list of shadows, as long as there are any",
    "BatchYOLOv7Assigner": "hands back lists of positives",
}
"""Drop-ins whose published results are known by values alone."""

PER_CASE = 6
"""Golden cases of each drop-in: with ignore regions and without, with labels and without, with no boxes."""


def on_meta(tree):
    return pytree.tree_map(lambda x: x.to("meta") if isinstance(x, torch.Tensor) else x, tree)


def described(tree):
    """Give shapes and dtypes for the tensors of a tree."""
    return [(tuple(x.shape), x.dtype) for x in pytree.tree_leaves(tree) if isinstance(x, torch.Tensor)]


def various(variant):
    """Pick cases that are told apart by what is there."""
    kinds = {}
    for case in cases(variant):
        if case.raises is None:
            there = frozenset((name, len(x) > 0) for name, x in case.inputs.items() if name.startswith("gt_"))
            kinds.setdefault(there, case)
    return list(kinds.values())[:PER_CASE]


def fields(result):
    if isinstance(result, mmdet2.AscendAssignResult):
        return vars(result)
    return {**result.info, "assign_metrics": getattr(result, "assign_metrics", None)}


@pytest.mark.filterwarnings("ignore:predictions are given to ATSSAssigner")
@pytest.mark.parametrize("variant", sorted(set(CALLS) - READ_VALUES.keys()))
def test_version_3_reads_nothing(variant):
    for case in various(variant):
        assigner = mmdet.build_assigner({"type": variant, **case.init})
        given = tensors(case)
        got = fields(call_3(assigner, case, on_meta(given), Instances))
        assert described(got) == described(fields(call_3(assigner, case, given, Instances))), case


@pytest.mark.parametrize("variant", sorted(v for v in CALLS_2 if v.removesuffix("2x") not in READ_VALUES))
def test_version_2_reads_nothing(variant):
    for case in various(variant):
        assigner = mmdet2.build_assigner({"type": variant.removesuffix("2x"), **case.init})
        given = tensors(case)
        got = fields(call_2(assigner, case, on_meta(given)))
        assert described(got) == described(fields(call_2(assigner, case, given))), case


def without_ground_truths(arguments):
    """Cut the ground truths off: the last three of a batch's arguments, or the rows of a matrix of qualities."""
    if len(arguments) == 1:
        return (arguments[0][:, :0],)
    return (*arguments[:-3], *[x[:, :0] for x in arguments[-3:]])


@pytest.mark.parametrize("some", [True, False])
@pytest.mark.parametrize(("function", "arguments"), BATCHED.values(), ids=BATCHED)
def test_batched_drop_ins_read_nothing(function, arguments, some):
    given = arguments if some else without_ground_truths(arguments)
    assert described(function(*on_meta(given))) == described(function(*given))


@pytest.mark.parametrize(("function", "arguments", "named"), CALLS_BY_NAME.values(), ids=CALLS_BY_NAME)
def test_what_is_given_by_name_is_not_read(function, arguments, named):
    assert described(function(*on_meta(arguments), **on_meta(named))) == described(
        function(*arguments, **named)
    )


def drop_ins():
    """Find the classes of all modules of adapters that assign or match, by their names."""
    for found in pkgutil.iter_modules(adapters.__path__):
        if found.name.startswith("in_") or found.name in ("backends", "kernels"):
            continue
        module = importlib.import_module(f"assigncore.adapters.{found.name}")
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if isinstance(thing, type) and name.endswith(("Assigner", "Matcher")):
                yield found.name, thing


def test_every_drop_in_is_swept():
    for module, calls in ((mmdet, CALLS), (mmdet2, CALLS_2)):
        assert set(module.ASSIGNERS) == {name.removesuffix("2x") for name in calls}
    swept = {type(function) for function, *_ in (*BATCHED.values(), *CALLS_BY_NAME.values())}
    swept.add(mmyolo.PoseSimOTAAssigner)  # Called with instances, in mmyolo/test_pose.py.
    left = {
        f"{module}.{cls.__name__}"
        for module, cls in drop_ins()
        if module not in ("mmdet", "mmdet2") and cls not in swept and not issubclass(cls, SetMatcher)
    }
    assert {name.rpartition(".")[2] for name in left} <= READ_VALUES.keys(), left


def test_the_golden_cases_have_all_that_is_to_be_swept():
    there = {
        (name, len(x) > 0)
        for case in various("MaxIoUAssigner")
        for name, x in case.inputs.items()
        if "gt_" in name
    }
    assert there >= {
        ("gt_bboxes", True),
        ("gt_bboxes", False),
        ("gt_labels", True),
        ("gt_bboxes_ignore", True),
    }

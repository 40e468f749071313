"""Law 12: wrong calls are refused by a ValueError or TypeError that names the argument and what was given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.laws.bench import Bench, refused, stacked
from assigncore.conformance.scenes.scene import BOXES, ROWS, SCORES, Scene
from assigncore.conformance.targets.libraries import Mode

__all__ = ["wrong_calls"]

AnyArray = NDArray[Any]

NO_NUMBERS = ("much", float("nan"), float("inf"), True)
"""What a knob that is a number must not be."""

EITHER = (TypeError, ValueError)


def wrong_calls(bench: Bench, scenes: Sequence[Scene]) -> None:
    """Refuse wrong shapes, dtypes, knobs and missing inputs by name, and say what was given."""
    for scene in scenes:
        arrays, statics = bench.recipe.arrays(scene), bench.recipe.statics(scene)
        with bench.running():
            native = bench.native(arrays)
            call = bench.recipe.call(statics)
            _wrong_arrays(bench, arrays, native, statics)
            _missing(bench, native, statics)
            for name in native:
                as_list = {**native, name: bench.target.to_numpy(native[name]).tolist()}
                refused(partial(call, **as_list), TypeError, name, "list", what=f"{name} that is a list")
            _leads(bench, arrays, statics)
    if is_dataclass(bench.recipe.assigner):
        _knobs(bench)


def _wrong(name: str, x: AnyArray) -> Iterator[tuple[AnyArray, type[Exception], str]]:
    """Give arrays that an argument must not be, the error, and what of it the message says."""
    if name in (*BOXES, *SCORES):
        if name in BOXES or name == "pred_objectness":
            short = x[..., :-2]
            yield short, ValueError, str(short.shape)
        yield x[0], ValueError, str(x[0].shape)
        yield x.astype(np.int32), TypeError, "int32"
        yield x > 1, TypeError, "bool"
    elif name == "gt_masks":
        yield x[0], ValueError, str(x[0].shape)
    elif name in ROWS:
        longer = np.concatenate([x, x])
        yield longer, ValueError, str(longer.shape)
        yield x.astype(np.float32), TypeError, "float32"
        if x.dtype == bool:
            yield x.astype(np.int32), TypeError, "int32"


def _wrong_arrays(
    bench: Bench, arrays: Mapping[str, AnyArray], native: Mapping[str, Any], statics: Mapping[str, Any]
) -> None:
    calls = [bench.recipe.call(statics)]
    if bench.target.compiles_operations and Mode.JIT in bench.target.modes:
        calls.append(bench.target.compile(bench.recipe.call(statics)))
    for name, x in arrays.items():
        for wrong, error, given in _wrong(name, x):
            [brought] = bench.native({name: wrong}).values()
            what = f"a wrong {name} of shape {wrong.shape} and dtype {wrong.dtype}"
            for call in calls:
                refused(partial(call, **{**native, name: brought}), error, name, given, what=what)


def _missing(bench: Bench, native: Mapping[str, Any], statics: Mapping[str, Any]) -> None:
    call = bench.recipe.call(statics)
    for name in bench.recipe.needed:
        rest = {key: x for key, x in native.items() if key != name}
        refused(partial(call, **rest), EITHER, name, what=f"a call without {name}")
        refused(partial(call, **rest, **{name: None}), EITHER, name, what=f"{name} that is None")
    unknown = {**native, "no_such_input": next(iter(native.values()))}
    refused(partial(call, **unknown), TypeError, "no_such_input", what="an input that it does not know")
    if bench.recipe.takes_regions:
        alone = {name: x for name, x in native.items() if name != "ignore_bboxes"}
        words = ("ignore_valid", "ignore_bboxes")
        refused(partial(call, **alone), ValueError, *words, what="a mask without its ignore regions")


def _leads(bench: Bench, arrays: Mapping[str, AnyArray], statics: Mapping[str, Any]) -> None:
    """Refuse leading dimensions that do not broadcast."""
    first = bench.recipe.first
    for name in (name for name in arrays if name != first and name in ROWS):
        three = {
            **arrays,
            **stacked([{name: arrays[name]}] * 3, (3,)),
            **stacked([{first: arrays[first]}] * 2, (2,)),
        }
        call = partial(bench.recipe.call(statics), **bench.native(three))
        refused(call, ValueError, first, name, "(2,)", "(3,)", what=f"{first} of 2 images and {name} of 3")


def _knobs(bench: Bench) -> None:
    assigner = bench.recipe.assigner
    for knob in (knob for knob in fields(assigner) if knob.init):
        value = getattr(assigner, knob.name)
        rebuild = partial(replace, assigner)
        if isinstance(value, float):
            none = () if "None" in str(knob.type) else (None,)
            for wrong in (*NO_NUMBERS, *none):
                words = (knob.name, repr(wrong))
                call = partial(rebuild, **{knob.name: wrong})
                refused(call, EITHER, *words, what=f"the knob {knob.name}={wrong!r}")
        if isinstance(knob.default, bool):
            refused(
                partial(rebuild, **{knob.name: "no"}), EITHER, knob.name, what=f"the switch {knob.name}='no'"
            )
    unknown = partial(replace, assigner, **{"no_such_knob": 1})
    refused(unknown, TypeError, "no_such_knob", what="a knob that it does not know")

"""Golden cases as calls of the drop-ins: the published signatures, and the call of the core they come to.

What a published call means is known to the drop-ins alone. A case is handed to one as the package was called,
on NumPy, up to the call of the core that it makes: these arguments are what every library is then given,
alone, padded and compiled.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import Any
from unittest import mock

import numpy as np

from assigncore.adapters import mmdet, mmdet2
from assigncore.conformance.goldens.calls import Call, Outputs
from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.registry import ASSIGNERS
from assigncore.result import AssignResult

__all__ = ["CALLS", "CALLS_2", "Instances", "call_2", "call_3", "core_call", "through"]

Array = Any
Arrays = Mapping[str, Array]
Container = Callable[..., Any]

_GT = MappingProxyType(
    {
        "gt_bboxes": "bboxes", "gt_labels": "labels", "gt_masks": "masks", "positive_maps": "positive_maps",
        "text_token_mask": "text_token_mask",
    }
)  # fmt: skip
"""The inputs of a case that are attributes of ground truths, and as which; others are of predictions."""


class Instances:
    """The least that an assigner may ask of instances: attributes and a length."""

    def __init__(self, **fields: Array) -> None:
        self.__dict__.update(fields)

    def __len__(self) -> int:
        return len(next(iter(vars(self).values())))


def call_3(assigner: Any, case: GoldenCase, x: Arrays, container: Container = Instances) -> Any:
    """Call an assigner of MMDetection 3 with the inputs of a case.

    Parameters
    ----------
    assigner : object
        With the published ``assign``.
    case : GoldenCase
        The case.
    x : mapping of str to array
        Its inputs, by the package's names, in any library.
    container : callable, optional
        Makes instances of arrays by name.
    """
    pred = container(**{name: x[name] for name in x if name not in _GT and name != "gt_bboxes_ignore"})
    gt = container(**{_GT[name]: x[name] for name in x if name in _GT})
    ignored = container(bboxes=x["gt_bboxes_ignore"]) if "gt_bboxes_ignore" in x else None
    return CALLS[case.variant](assigner, case.call, pred, gt, ignored)


def _plain(assigner: Any, call: Mapping[str, Any], pred: Any, gt: Any, ignored: Any) -> Any:
    return assigner.assign(pred, gt, ignored, **call)


def _atss(assigner: Any, call: Mapping[str, Any], pred: Any, gt: Any, ignored: Any) -> Any:
    return assigner.assign(pred, call["num_level_priors"], gt, ignored)


def _hungarian(assigner: Any, call: Mapping[str, Any], pred: Any, gt: Any, _ignored: Any) -> Any:
    return assigner.assign(pred, gt, {"img_shape": tuple(call["img_shape"])})


def _region(assigner: Any, call: Mapping[str, Any], pred: Any, gt: Any, ignored: Any) -> Any:
    others = {name: x for name, x in call.items() if name != "img_shape"}
    img_meta = {"img_shape": tuple(call["img_shape"])}
    return assigner.assign(pred, gt, img_meta, gt_instances_ignore=ignored, **others)


def _topk_hungarian(assigner: Any, call: Mapping[str, Any], pred: Any, gt: Any, _ignored: Any) -> Any:
    others = {name: x for name, x in call.items() if name != "img_shape"}
    img_meta = {"img_shape": tuple(call["img_shape"])}
    return assigner.assign(pred.scores, pred.bboxes, gt.bboxes, gt.labels, img_meta, **others)


CALLS: Mapping[str, Callable[[Any, Mapping[str, Any], Any, Any, Any], Any]] = MappingProxyType(
    {
        **dict.fromkeys(mmdet.ASSIGNERS, _plain),
        "ATSSAssigner": _atss,
        "HungarianAssigner": _hungarian,
        "RegionAssigner": _region,
        "TopkHungarianAssigner": _topk_hungarian,
    }
)
"""How each assigner of MMDetection 3 is called, by the variant of its cases."""


def call_2(assigner: Any, case: GoldenCase, x: Arrays) -> Any:
    """Call an assigner of MMDetection 2 with the inputs of a case; the arguments are those of `call_3`."""
    return CALLS_2[case.variant](assigner, case, x)


def _flat(*names: str) -> Callable[[Any, GoldenCase, Arrays], Any]:
    """Call with the inputs of these names first, then the ground truths as most assigners take them."""

    def call(assigner: Any, case: GoldenCase, x: Arrays) -> Any:
        first = [x[name] for name in names]
        labels = {"gt_labels": x["gt_labels"]} if "gt_labels" in x else {}
        return assigner.assign(*first, x["gt_bboxes"], x.get("gt_bboxes_ignore"), **labels, **case.call)

    return call


def _approx_2(assigner: Any, _case: GoldenCase, x: Arrays) -> Any:
    n, a = x["approxs"].shape[:2]
    rows = x["approxs"].reshape(n, 4 * a)
    return assigner.assign(rows, x["priors"], a, x["gt_bboxes"], x.get("gt_bboxes_ignore"), x["gt_labels"])


def _grid_2(assigner: Any, _case: GoldenCase, x: Arrays) -> Any:
    return assigner.assign(x["priors"], x["responsible_flags"], x["gt_bboxes"], x["gt_labels"])


def _atss_2(priors: str, levels: str, logits: str, boxes: str) -> Callable[[Any, GoldenCase, Arrays], Any]:
    def call(assigner: Any, case: GoldenCase, x: Arrays) -> Any:
        truths = (x["gt_bboxes"], x.get("gt_bboxes_ignore"), x.get("gt_labels"))
        return assigner.assign(x[priors], case.call[levels], *truths, x.get(logits), x.get(boxes))

    return call


def _levels(x: Array, counts: Sequence[int]) -> list[Array]:
    return [x[start:stop] for start, stop in pairwise(accumulate(counts, initial=0))]


def _region_2(assigner: Any, case: GoldenCase, x: Arrays) -> Any:
    call = case.call
    counts = call["num_level_anchors"]
    return assigner.assign(
        _levels(x["priors"], counts),
        _levels(x["valid_flags"], counts),
        x["gt_bboxes"],
        {"img_shape": (*call["img_shape"][:2], 3)},
        call["featmap_sizes"],
        call["anchor_scale"],
        call["anchor_strides"],
        x.get("gt_bboxes_ignore"),
        x.get("gt_labels"),
        call["allowed_border"],
    )


def _sim_ota_2(assigner: Any, case: GoldenCase, x: Arrays) -> Any:
    return assigner.assign(
        x["pred_scores"], x["priors"], x["decoded_bboxes"], x["gt_bboxes"], x["gt_labels"], **case.call
    )


def _hungarian_2(assigner: Any, case: GoldenCase, x: Arrays) -> Any:
    img_meta = {"img_shape": tuple(case.call["img_shape"])}
    return assigner.assign(x["bbox_pred"], x["cls_pred"], x["gt_bboxes"], x["gt_labels"], img_meta)


def _mask_hungarian_2(assigner: Any, _case: GoldenCase, x: Arrays) -> Any:
    return assigner.assign(x.get("cls_pred"), x["mask_pred"], x["gt_labels"], x["gt_mask"], {})


def _ascend(assigner: Any, _case: GoldenCase, x: Arrays) -> Any:
    return assigner.assign(**x)


CALLS_2: Mapping[str, Callable[[Any, GoldenCase, Arrays], Any]] = MappingProxyType(
    {
        "ATSSAssigner": _atss_2("priors", "num_level_priors", "scores", "bboxes"),
        "ATSSAssigner2x": _atss_2("bboxes", "num_level_bboxes", "cls_scores", "bbox_preds"),
        "ApproxMaxIoUAssigner": _approx_2,
        "AscendMaxIoUAssigner": _ascend,
        "CenterRegionAssigner": _flat("priors"),
        "GridAssigner": _grid_2,
        "HungarianAssigner2x": _hungarian_2,
        "MaskHungarianAssigner": _mask_hungarian_2,
        "MaxIoUAssigner": _flat("priors"),
        "PointAssigner": _flat("priors"),
        "RegionAssigner2x": _region_2,
        "SimOTAAssigner2x": _sim_ota_2,
        "TaskAlignedAssigner": _flat("scores", "bboxes", "priors"),
        "UniformAssigner": _flat("decoder_priors", "priors"),
    }
)
"""How each assigner of MMDetection 2 is called, by the variant of its cases."""


class _Reached(Exception):  # noqa: N818
    """A drop-in has called the core: holds the core's assigner and the arguments by name."""


def core_call(kind: str, call: Callable[[], object]) -> tuple[Any, dict[str, Any]]:
    """Tell with what a drop-in calls the core.

    Parameters
    ----------
    kind : str
        The core's assigner.
    call : callable
        Calls the drop-in.

    Returns
    -------
    assigner : object
        The core's assigner, as the drop-in built it.
    arguments : dict
        By name, without those that are None.
    """
    core = ASSIGNERS.get(kind)
    signature = inspect.signature(core.assign)

    def reached(self: Any, *arguments: Any, **named: Any) -> Any:
        raise _Reached(self, signature.bind(self, *arguments, **named))

    with mock.patch.object(core, "assign", reached), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except _Reached as found:
            assigner, bound = found.args
            names = list(signature.parameters)[1:]
            given = {name: bound.arguments[name] for name in names if name in bound.arguments}
            return assigner, {name: x for name, x in given.items() if x is not None}
    raise LookupError(f"the drop-in answers without {kind}")


def codes(result: AssignResult, _arrays: Arrays) -> Outputs:
    """Give what every result has, by the published names, which are the core's."""
    return {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, "labels": result.labels}


def through(
    outputs: Callable[[AssignResult, Arrays], Outputs] = codes, *, version: int = 3
) -> Callable[[GoldenCase], Call]:
    """Give the translation of cases by MMDetection's drop-ins.

    Parameters
    ----------
    outputs : callable, optional
        Gives the published outputs by name from the core's result and arrays.
    version : {3, 2}
        MMDetection's.
    """

    def prepare(case: GoldenCase) -> Call:
        kind = case.variant.removesuffix("2x")
        package, call = (mmdet, call_3) if version == 3 else (mmdet2, call_2)
        drop_in = package.build_assigner({"type": kind, **case.init})
        assigner, given = core_call(kind, lambda: call(drop_in, case, case.inputs))
        arrays = {name: x for name, x in given.items() if isinstance(x, np.ndarray)}
        static = {name: x for name, x in given.items() if name not in arrays}

        def assign(**arrays: Array) -> Outputs:
            return outputs(assigner.assign(**arrays, **static), arrays)

        return Call(assign, arrays)

    return prepare

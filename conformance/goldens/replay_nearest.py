"""The replays of the assigners by nearest priors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from assigncore.conformance.goldens.calls import Call, Outputs, Refusal, Replay
from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.reference.image import Image
from assigncore.conformance.reference.nearest import point, uniform
from assigncore.registry import build_assigner

__all__ = ["NEAREST_REPLAYS"]

Array = Any
AnyArray = NDArray[Any]

_ATSS_INPUTS = {
    "priors": "priors",
    "gt_bboxes": "gt_bboxes",
    "gt_labels": "gt_labels",
    "gt_bboxes_ignore": "ignore_bboxes",
    "bboxes": "pred_bboxes",
    "scores": "pred_logits",
}

_ATSS_2X_INPUTS = {
    "bboxes": "priors",
    "gt_bboxes": "gt_bboxes",
    "gt_labels": "gt_labels",
    "gt_bboxes_ignore": "ignore_bboxes",
    "bbox_preds": "pred_bboxes",
    "cls_scores": "pred_logits",
}


def _atss(names: Mapping[str, str], levels: str) -> Callable[[GoldenCase], Call]:
    """Translate ATSS, whose two upstream versions name their arguments differently."""

    def prepare(case: GoldenCase) -> Call:
        assigner = build_assigner({"type": "ATSSAssigner", **case.init})
        num_level_priors = case.call[levels]

        def assign(**arrays: Array) -> Outputs:
            result = assigner.assign(**arrays, num_level_priors=num_level_priors)
            return {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, "labels": result.labels}

        arrays = {names[name]: array for name, array in case.inputs.items()}
        # Upstream drops further columns of its priors, a score say; the core asks its caller for boxes.
        arrays["priors"] = arrays["priors"][:, :4]
        return Call(assign, arrays)

    return prepare


def _expect_atss(case: GoldenCase) -> GoldenCase | Refusal:
    """Expect the dynamic cost without predictions, the only failure among the cases, to be refused."""
    return case if case.raises is None else Refusal(mentions=("alpha",))


def _uniform(case: GoldenCase) -> Call:
    """Translate the assigner of YOLOF, with its extras."""
    assigner = build_assigner({"type": "UniformAssigner", **case.init})

    def assign(decoder_priors: Array, **arrays: Array) -> Outputs:
        result = assigner.assign(**arrays, pred_bboxes=decoder_priors)
        outputs = {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, "labels": result.labels}
        return outputs | dict(result.extras)

    return Call(assign, case.inputs)


def _reference_uniform(case: GoldenCase) -> dict[str, AnyArray]:
    arrays = {"pred_bboxes" if name == "decoder_priors" else name: x for name, x in case.inputs.items()}
    return uniform(Image(arrays), **case.init)


def _expect_uniform(case: GoldenCase) -> GoldenCase:
    """Expect the rule's own answer where there are fewer boxes than are sought, and in one tied case.

    In ``match8_float64`` a tie reorders one extra alone, for which the case holds no answer by the tie law.
    """
    if case.raises is not None:
        return replace(case, expected=MappingProxyType(_reference_uniform(case)))
    if case.name != "match8_float64":
        return case
    boxes = _reference_uniform(case)["pos_predicted_boxes"]
    return replace(case, expected=MappingProxyType({**case.expected, "pos_predicted_boxes": boxes}))


def _point(case: GoldenCase) -> Call:
    """Translate the assigner of RepPoints."""
    assigner = build_assigner({"type": "PointAssigner", **case.init})

    def assign(**arrays: Array) -> Outputs:
        result = assigner.assign(**arrays)
        return {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, "labels": result.labels}

    return Call(assign, case.inputs)


def _expect_point(case: GoldenCase) -> GoldenCase:
    """Expect the rule's own answer where a level has fewer points than are sought."""
    if case.raises is None:
        return case
    return replace(case, expected=MappingProxyType(point(Image(case.inputs), **case.init)))


NEAREST_REPLAYS: Mapping[str, Replay] = MappingProxyType(
    {
        "ATSSAssigner": Replay(_atss(_ATSS_INPUTS, "num_level_priors"), _expect_atss),
        "ATSSAssigner2x": Replay(_atss(_ATSS_2X_INPUTS, "num_level_bboxes"), _expect_atss),
        "PointAssigner": Replay(_point, _expect_point),
        "UniformAssigner": Replay(_uniform, _expect_uniform),
    }
)
"""The variants of these assigners."""

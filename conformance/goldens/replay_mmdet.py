"""MMDetection's assigners of priors, in both versions: their goldens through its drop-ins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.adapters import mmdet2
from assigncore.backend import get_backend
from assigncore.conformance.goldens.calls import Call, Outputs, Refusal, Replay, answered
from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.goldens.dropins import codes, through
from assigncore.conformance.reference.dynamic_k import sim_ota
from assigncore.conformance.reference.image import Image
from assigncore.conformance.reference.multi_instance import multi_instance
from assigncore.conformance.reference.nearest import point, uniform
from assigncore.conformance.reference.regions import guided_anchoring
from assigncore.conformance.reference.thresholds import ascend_max_iou
from assigncore.result import AssignResult

__all__ = ["MMDET_REPLAYS", "ascend_answer", "published"]

Array = Any
Arrays = Mapping[str, Array]
AnyArray = NDArray[Any]


def _image(case: GoldenCase) -> Image:
    """Give the inputs of a case to the reference implementations."""
    names = {"decoder_priors": "pred_bboxes", "gt_bboxes_ignore": "ignore_bboxes"}
    return Image({names.get(name, name): x for name, x in case.inputs.items()})


def _with_metrics(result: AssignResult, arrays: Arrays) -> Outputs:
    return {**codes(result, arrays), "assign_metrics": result.extras["assign_metrics"]}


def _with_positives(result: AssignResult, arrays: Arrays) -> Outputs:
    return {**codes(result, arrays), **result.extras}


def _expect_region(case: GoldenCase) -> GoldenCase | Refusal:
    """Expect ignore regions, which the method does not have, to be refused."""
    return (
        case if case.raises is None else Refusal(mentions=("ignore regions",), errors=(NotImplementedError,))
    )


def _expect_region_2x(case: GoldenCase) -> GoldenCase:
    """Expect the method's own definition where there are ground truths, for mmdet 2.28.2 has two faults.

    It ignores the first anchor or two of each level in place of those next to a ground truth of another
    level, and fails where it should give labels on several levels.
    """
    if not len(case.inputs["gt_bboxes"]):
        return answered(case)
    gt_inds, labels = guided_anchoring(case.inputs, case.init, case.call)
    expected = {"gt_inds": gt_inds} if labels is None else {"gt_inds": gt_inds, "labels": labels}
    return replace(case, expected=MappingProxyType(expected))


def _with_shadows(result: AssignResult, arrays: Arrays) -> Outputs:
    """Give the list of shadows in a form that can be compiled."""
    return {**codes(result, arrays), "shadowed_labels": _padded_list(result, arrays["gt_labels"])}


def _padded_list(result: AssignResult, gt_labels: Array) -> Array:
    """List prior and class of the shadows in the published order, then -1 up to the most there could be."""
    backend = get_backend(result.gt_inds)
    xp, device = backend.xp, backend.device_of(result.gt_inds)
    shadow, outranked = result.extras["shadow"], result.extras["outranked"]
    shape, dtype = shadow.shape, result.gt_inds.dtype
    lead, pairs = shape[:-2], shape[-2:]
    if 0 in shape:
        return xp.zeros((*lead, 0, 2), dtype=dtype, device=device)
    listed = xp.reshape(xp.stack([shadow & ~outranked, outranked], axis=-3), (*lead, -1))
    order = xp.argsort(xp.astype(~listed, xp.int32), axis=-1, stable=True)
    prior = xp.arange(pairs[0], dtype=dtype, device=device)[:, None]
    columns = []
    for column in (prior, xp.astype(gt_labels, dtype)[..., None, None, :]):
        both = xp.reshape(xp.broadcast_to(column, (*lead, 2, *pairs)), (*lead, -1))
        columns.append(xp.take_along_axis(xp.where(listed, both, -1), order, axis=-1))
    return xp.stack(columns, axis=-1)


def _expect_center_region(case: GoldenCase) -> GoldenCase:
    """Expect the published list, padded."""
    case = answered(case)
    pairs = case.expected["shadowed_labels"]
    most = 2 * len(case.inputs["priors"]) * len(case.inputs["gt_bboxes"])
    padded = np.full((most, 2), -1, dtype=pairs.dtype)
    padded[: len(pairs)] = pairs
    return replace(case, expected=MappingProxyType({**case.expected, "shadowed_labels": padded}))


def _expect_atss(case: GoldenCase) -> GoldenCase | Refusal:
    """Expect the dynamic cost without predictions, the only failure among the cases, to be refused."""
    return case if case.raises is None else Refusal(mentions=("alpha",), errors=(AssertionError,))


def _reference_uniform(case: GoldenCase) -> dict[str, AnyArray]:
    return uniform(_image(case), **case.init)


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


def _expect_point(case: GoldenCase) -> GoldenCase:
    """Expect the rule's own answer where a level has fewer points than are sought."""
    if case.raises is None:
        return case
    return replace(case, expected=MappingProxyType(point(_image(case), **case.init)))


def _of_instances(result: AssignResult, arrays: Arrays) -> Outputs:
    """Give the outputs of CrowdDet, which have the rows first and codes of their own.

    Indices count boxes from 0 whatever was decided, and labels tell what was: 1 is positive and 0 background;
    between the thresholds they are the class + 1 of the box, or -1 of an ignore region.
    """
    xp, n_gts = get_backend(result.gt_inds).xp, arrays["gt_bboxes"].shape[-2]
    box_inds, classes = result.extras["box_inds"], result.extras["box_labels"]
    between = xp.where(box_inds < n_gts, classes + 1, classes)
    labels = xp.where(result.gt_inds > 0, 1, xp.where(result.gt_inds == 0, 0, between))
    outputs = {"gt_inds": box_inds, "max_overlaps": result.max_overlaps, "labels": labels}
    # Without any box upstream has no rows at all; the core has the priors', all background.
    stop = None if result.num_gts else 0
    return {name: xp.matrix_transpose(x)[..., :stop, :] for name, x in outputs.items()}


def published(found: Mapping[str, Any], n_gts: int) -> dict[str, Any]:
    """Give outputs by the published names and codes, rows first.

    Parameters
    ----------
    found : mapping of str to numpy.ndarray
        The outputs of the reference implementation.
    n_gts : int
        Number of ground truths.
    """
    box_inds, classes, codes = found["box_inds"], found["box_labels"], found["gt_inds"]
    between = np.where(box_inds < n_gts, classes + 1, classes)
    between = np.where(box_inds < 0, 0, between)
    labels = np.where(codes > 0, 1, np.where(codes == 0, 0, between))
    outputs = {"gt_inds": box_inds, "max_overlaps": found["max_overlaps"], "labels": labels}
    return {name: x.T for name, x in outputs.items()}


def _expect_multi_instance(case: GoldenCase) -> GoldenCase:
    """Expect the rule's own answer where there are fewer boxes than instances, and integer labels.

    Upstream makes floats of them where ignore regions come without labels of their own.
    """
    expected = dict(case.expected)
    if case.raises is not None:
        expected = published(multi_instance(_image(case), **case.init), len(case.inputs["gt_bboxes"]))
    expected["labels"] = expected["labels"].astype(np.int64)
    return replace(case, expected=MappingProxyType(expected))


def _expect_sim_ota(case: GoldenCase) -> GoldenCase:
    """Expect the rule's own answer where upstream refuses scores above 1, and overlaps in the inputs' dtype.

    Upstream's overlaps are float32 whatever it is given.
    """
    expected = dict(case.expected)
    if case.raises is not None:
        prepare = MMDET_REPLAYS[case.variant].prepare
        expected = dict(sim_ota(prepare(case).arrays, case.init))
    expected["max_overlaps"] = expected["max_overlaps"].astype(case.inputs["gt_bboxes"].dtype)
    return replace(case, expected=MappingProxyType(expected))


_ASCEND_OUTPUTS = {
    "pos_mask": "batch_pos_mask",
    "neg_mask": "batch_neg_mask",
    "max_overlaps": "batch_max_overlaps",
    "anchor_gt_indices": "batch_anchor_gt_indes",
    "anchor_gt_labels": "batch_anchor_gt_labels",
}


def _ascend(case: GoldenCase) -> Call:
    """Translate the batched assigner, marking the ground truths beyond an image's number as padding.

    Upstream has no such mask: its padded rows are zero boxes that take part. That they overlap nothing, lose
    every tie to a lower index and may not take a low-quality match is why both ways give the same, and the
    marked way is how the core is meant to be called, with the padding law at work.
    """
    call = through(_of_batch, version=2)(case)
    counts = case.inputs["batch_num_gts"][:, None]
    valid = np.arange(case.inputs["batch_gt_bboxes"].shape[1]) < counts
    return Call(call.function, {**call.arrays, "gt_valid": valid})


def _of_batch(result: AssignResult, _arrays: Arrays) -> Outputs:
    own = {**result.extras, "max_overlaps": result.max_overlaps}
    return {published: own.get(name) for name, published in _ASCEND_OUTPUTS.items()}


def ascend_answer(case: GoldenCase) -> dict[str, AnyArray]:
    """Answer a call of ``AscendMaxIoUAssigner`` by the reference implementation, by the published names."""
    arrays, knobs = _ascend(case).arrays, mmdet2.AscendMaxIoUAssigner(**case.init).core_knobs()
    del knobs["iou_calculator"]
    images = [
        ascend_max_iou(Image({name: x[image] for name, x in arrays.items()}), **knobs)
        for image in range(len(arrays["priors"]))
    ]
    return {name: np.stack([image[own] for image in images]) for own, name in _ASCEND_OUTPUTS.items()}


def _expect_ascend(case: GoldenCase) -> GoldenCase:
    """Expect the method's own definition where upstream fails: on ignore regions and on empty inputs."""
    expected = dict(case.expected)
    if case.raises is not None:
        expected = ascend_answer(case)
    # Upstream hands this argument through to its result untouched: there is nothing to compare.
    expected.pop("batch_num_gts", None)
    for mask in ("batch_pos_mask", "batch_neg_mask"):
        # Upstream's masks are 0 and 1 in int32; the core's are booleans.
        expected[mask] = expected[mask].astype(bool)
    return replace(case, expected=MappingProxyType(expected))


MMDET_REPLAYS: Mapping[str, Replay] = MappingProxyType(
    {
        "ATSSAssigner": Replay(through(), _expect_atss),
        "ATSSAssigner2x": Replay(through(version=2), _expect_atss),
        "ApproxMaxIoUAssigner": Replay(through(), answered),
        "AscendMaxIoUAssigner": Replay(_ascend, _expect_ascend, batches=True),
        "CenterRegionAssigner": Replay(through(_with_shadows), _expect_center_region),
        "DynamicSoftLabelAssigner": Replay(through(), answered),
        "GridAssigner": Replay(through(), answered),
        "MaxIoUAssigner": Replay(through(), answered),
        "MultiInstanceAssigner": Replay(through(_of_instances), _expect_multi_instance),
        "PointAssigner": Replay(through(), _expect_point),
        "RegionAssigner": Replay(through(), _expect_region),
        "RegionAssigner2x": Replay(through(version=2), _expect_region_2x),
        "SimOTAAssigner": Replay(through(), _expect_sim_ota),
        "SimOTAAssigner2x": Replay(through(version=2), _expect_sim_ota),
        "TaskAlignedAssigner": Replay(through(_with_metrics), answered),
        "UniformAssigner": Replay(through(_with_positives), _expect_uniform),
    }
)
"""The variants of these assigners."""

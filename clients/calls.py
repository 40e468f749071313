"""Random scenes, and how the heads of each framework call an assigner with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch

SIZES = (20, 10, 5)
STRIDES = (8, 16, 32)
NUMBERS = [size * size for size in SIZES]
SIDE = 160
CLASSES = 5
GTS = 6
META = {"img_shape": (SIDE, SIDE), "pad_shape": (SIDE, SIDE)}
META_2 = {"img_shape": (SIDE, SIDE, 3)}

Scene = dict[str, torch.Tensor]


def scene(seed: int, classes: int = CLASSES) -> Scene:
    """Draw a scene: three levels, six ground truths, predictions near the priors; no ties but by chance."""
    torch.manual_seed(seed)
    points, strides = [], []
    for size, stride in zip(SIZES, STRIDES, strict=True):
        along = (torch.arange(size) + 0.5) * stride
        y, x = torch.meshgrid(along, along, indexing="ij")
        points.append(torch.stack([x.flatten(), y.flatten()], dim=-1))
        strides.append(torch.full((size * size, 1), float(stride)))
    center, stride = torch.cat(points), torch.cat(strides)
    half = stride * (1.5 + torch.rand(len(center), 2))
    corner = torch.rand(GTS, 2) * (SIDE - 60)
    gts = torch.cat([corner, corner + 12 + 60 * torch.rand(GTS, 2)], dim=-1)
    boxes = torch.cat([center - half, center + half], dim=-1)
    return {
        "points": torch.cat([center, stride], dim=-1),
        "boxes": boxes,
        "gts": gts,
        "labels": torch.randint(0, classes, (GTS,)),
        "ignored": gts[:1] + 9.5,
        "pred": boxes + 4 * torch.randn_like(boxes),
        "scores": torch.randn(len(center), classes),
        "masks": torch.randn(len(center), 12, 12),
        "gt_masks": (torch.rand(GTS, 12, 12) < 0.4).float(),
        "flags": torch.rand(len(center)) < 0.5,
        "jitter": 0.5 + torch.rand(len(center), 3, 4),
        "pred_keypoints": torch.cat(
            [center[:, None] + 12 * torch.randn(len(center), 17, 2), torch.randn(len(center), 17, 1)], dim=-1
        ),
        "keypoints": torch.cat(
            [
                gts[:, None, :2] + torch.rand(GTS, 17, 2) * (gts[:, None, 2:] - gts[:, None, :2]),
                (torch.rand(GTS, 17, 1) < 0.7).float(),
            ],
            dim=-1,
        ),
    }


def call_mmdet(assigner: Any, kind: str, given: Scene) -> Any:
    """Call an assigner of MMDetection 3 or its drop-in."""
    from mmengine.structures import InstanceData

    gt = InstanceData(bboxes=given["gts"].clone(), labels=given["labels"])
    ignored = InstanceData(bboxes=given["ignored"])
    boxes = InstanceData(priors=given["boxes"].clone())
    probabilities = given["scores"].sigmoid()
    pred = given["pred"].clone()
    if kind == "PointAssigner":
        return assigner.assign(InstanceData(priors=given["points"]), gt)
    if kind == "ATSSAssigner":
        boxes.bboxes, boxes.scores = pred, given["scores"]
        return assigner.assign(boxes, NUMBERS, gt, ignored)
    if kind == "ApproxMaxIoUAssigner":
        boxes.approxs = given["boxes"][:, None, :] + given["jitter"]
        return assigner.assign(boxes, gt, ignored)
    if kind == "GridAssigner":
        boxes.responsible_flags = given["flags"]
        return assigner.assign(boxes, gt, ignored)
    if kind == "UniformAssigner":
        return assigner.assign(InstanceData(priors=given["boxes"], decoder_priors=pred), gt)
    if kind == "RegionAssigner":
        maps = [torch.Size((size, size)) for size in SIZES]
        boxes.valid_flags = torch.ones(len(given["boxes"]), dtype=torch.bool)
        return assigner.assign(boxes, gt, META, maps, NUMBERS, 4, list(STRIDES))
    if kind in ("SimOTAAssigner", "DynamicSoftLabelAssigner", "TaskAlignedAssigner"):
        priors = given["boxes"] if kind == "TaskAlignedAssigner" else _with_both_strides(given)
        scores = given["scores"] if kind == "DynamicSoftLabelAssigner" else probabilities
        return assigner.assign(InstanceData(priors=priors, bboxes=pred, scores=scores), gt)
    if kind in ("HungarianAssigner", "TopkHungarianAssigner"):
        instances = InstanceData(bboxes=pred.clamp(0, SIDE), scores=given["scores"], masks=given["masks"])
        gt.masks = given["gt_masks"]
        gt.positive_maps = torch.nn.functional.one_hot(given["labels"], CLASSES).float()
        gt.text_token_mask = torch.ones(GTS, CLASSES, dtype=torch.bool)
        return assigner.assign(instances, gt, img_meta=META)
    return assigner.assign(boxes, gt, ignored)


def call_mmdet2(assigner: Any, kind: str, given: Scene) -> Any:
    """Call an assigner of MMDetection 2 or its drop-in."""
    boxes, gts, labels = given["boxes"].clone(), given["gts"].clone(), given["labels"]
    pred, ignored = given["pred"].clone(), given["ignored"]
    if kind == "PointAssigner":
        return assigner.assign(given["points"], gts, gt_labels=labels)
    if kind == "ATSSAssigner":
        return assigner.assign(boxes, NUMBERS, gts, ignored, labels, given["scores"], pred)
    if kind == "ApproxMaxIoUAssigner":
        approxs = (boxes[:, None, :] + given["jitter"]).reshape(len(boxes), -1)
        return assigner.assign(approxs, boxes, given["jitter"].shape[1], gts, ignored, labels)
    if kind == "AscendMaxIoUAssigner":
        # Its own fails with ignore boxes, and without flags.
        flags = given["flags"][None].int()
        return assigner.assign(boxes[None], gts[None], None, labels[None], flags, [len(gts)])
    if kind == "GridAssigner":
        return assigner.assign(boxes, given["flags"], gts, labels)
    if kind == "UniformAssigner":
        return assigner.assign(pred, boxes, gts, None, labels)
    if kind == "RegionAssigner":
        # One level: on several its own ignores other anchors than the method, and fails with labels.
        first, valid = boxes[: NUMBERS[0]], torch.ones(NUMBERS[0], dtype=torch.bool)
        maps = [torch.Size((SIZES[0], SIZES[0]))]
        return assigner.assign([first], [valid], gts, META_2, maps, 4, [STRIDES[0]], None, labels)
    if kind == "SimOTAAssigner":
        return assigner.assign(given["scores"].sigmoid(), _with_both_strides(given), pred, gts, labels)
    if kind == "TaskAlignedAssigner":
        return assigner.assign(given["scores"].sigmoid(), pred, boxes, gts, None, labels)
    if kind == "HungarianAssigner":
        inside = pred.clamp(0, SIDE) / SIDE
        low, high = inside[:, :2], inside[:, 2:]
        centers = torch.cat([(low + high) / 2, high - low], dim=-1)
        return assigner.assign(centers, given["scores"], gts, labels, META_2)
    if kind == "MaskHungarianAssigner":
        return assigner.assign(given["scores"], given["masks"], labels, given["gt_masks"], META_2)
    return assigner.assign(boxes, gts, ignored, labels)


def call_mmyolo(assigner: Any, kind: str, given: Scene) -> Any:
    """Call an assigner of MMYOLO or its drop-in: the second image of a batch has two rows of padding."""
    if kind == "SimOTAAssigner":
        return call_mmdet(assigner, kind, given)
    if kind == "PoseSimOTAAssigner":
        return _call_by_poses(assigner, given)
    points = _with_both_strides(given)
    scores = torch.stack([given["scores"], given["scores"].flip(0)])
    pred = torch.stack([given["pred"], given["pred"] + 2.5])
    flags = torch.ones(2, GTS, 1)
    flags[1, GTS - 2 :] = 0
    gts = torch.stack([given["gts"], given["gts"].flip(0)]) * flags
    labels = torch.stack([given["labels"], given["labels"].flip(0)])[..., None] * flags.long()
    if kind == "BatchATSSAssigner":
        return assigner(pred, points, NUMBERS, labels, gts, flags)
    if kind == "BatchTaskAlignedAssigner":
        scores = scores.sigmoid()
    return assigner(pred, scores, points, labels, gts, flags)


def _call_by_poses(assigner: Any, given: Scene) -> Any:
    """Call it as the head of YOLOX-Pose does, which knows the one class of persons."""
    from mmengine.structures import InstanceData

    rows = torch.cat([given["pred"], given["pred_keypoints"].flatten(1)], dim=-1)
    scores = given["scores"][:, :1].sigmoid()
    gt = InstanceData(bboxes=given["gts"], labels=torch.zeros_like(given["labels"]))
    gt.keypoints, gt.keypoints_visible = given["keypoints"][..., :2], given["keypoints"][..., 2]
    return assigner.assign(InstanceData(priors=_with_both_strides(given), bboxes=rows, scores=scores), gt)


def _with_both_strides(given: Scene) -> torch.Tensor:
    points = given["points"]
    return torch.cat([points, points[:, 2:]], dim=-1)


CALLS: dict[str, Callable[[Any, str, Scene], Any]] = {
    "mmdet": call_mmdet,
    "mmdet2": call_mmdet2,
    "mmyolo": call_mmyolo,
}
"""By framework."""

NAMES = ("gt_inds", "labels", "max_overlaps", "assign_metrics")
EXTRAS = ("pos_idx", "pos_predicted_boxes", "target_boxes", "shadowed_labels")


def answer(result: Any) -> dict[str, Any]:
    """Return what a result says by name: of a dict its entries, of an object the attributes that are read."""
    if isinstance(result, dict):
        return result
    if not hasattr(result, "gt_inds"):
        return {name: value for name, value in vars(result).items() if not name.startswith("_")}
    found = {name: getattr(result, name, None) for name in NAMES}
    return found | {name: result.get_extra_property(name) for name in EXTRAS}


@contextmanager
def ties_to_the_lowest_index() -> Iterator[None]:
    """Let every sort and top-k of PyTorch prefer the lowest index among equals, which it leaves open."""
    sort = torch.sort

    def stable(x: torch.Tensor, dim: int = -1, descending: bool = False, **_: Any) -> Any:
        return sort(x, dim=dim, descending=descending, stable=True)

    def argsort(x: torch.Tensor, dim: int = -1, descending: bool = False, **_: Any) -> torch.Tensor:
        return stable(x, dim, descending).indices  # type: ignore[no-any-return]

    def topk(x: torch.Tensor, k: int, dim: int = -1, largest: bool = True, **others: Any) -> Any:
        dim = others.get("axis", dim)
        values, order = sort(x, dim=dim, descending=largest, stable=True)
        return torch.return_types.topk((values.narrow(dim, 0, k), order.narrow(dim, 0, k)))

    with ExitStack() as stack:
        for owner in (torch, torch.Tensor):
            stack.enter_context(mock.patch.object(owner, "sort", stable))
            stack.enter_context(mock.patch.object(owner, "argsort", argsort))
            stack.enter_context(mock.patch.object(owner, "topk", topk))
        yield

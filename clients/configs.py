"""Every assigner that a published config of MMDetection names, built and called, theirs beside ours.

Prints one JSON object: for each distinct assigner dict, where it was found and whether the answers on random
scenes are equal. ``configs.py`` is run by ``run.py``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

WHEELS = Path(__file__).resolve().parents[1] / "build" / "clients"
sys.path[:0] = [str(WHEELS / "mmdet"), str(Path(__file__).resolve().parent)]
sys.path[:0] = [str(WHEELS / "mmdet"), str(Path(__file__).resolve().parent)]

SCENES = 3
SIZES = (20, 10, 5)
STRIDES = (8, 16, 32)
SIDE = 160.0
CLASSES = 5
KEYS = ("assigner", "initial_assigner", "alignment_assigner")


def assigners_of(node: Any) -> Iterator[dict[str, Any]]:
    """Find the assigner dicts of a config."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in KEYS and isinstance(value, dict) and "type" in value:
                yield value
            yield from assigners_of(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from assigners_of(value)


def published() -> tuple[dict[str, tuple[dict[str, Any], str]], list[str]]:
    """Return the distinct assigner dicts with the first config of each, and the configs nobody can read."""
    from mmengine.config import Config

    folder = WHEELS / "mmdet" / "mmdet" / ".mim" / "configs"
    found: dict[str, tuple[dict[str, Any], str]] = {}
    unread = []
    for file in sorted(folder.rglob("*.py")):
        name = str(file.relative_to(folder))
        try:
            config = Config.fromfile(str(file))._cfg_dict.to_dict()
        except Exception as error:
            unread.append(f"{name}: {type(error).__name__}")
            continue
        for each in assigners_of(config):
            found.setdefault(json.dumps(each, sort_keys=True, default=_name), (each, name))
    return found, unread


def _name(value: Any) -> str:
    return getattr(value, "__name__", str(value))


def scene(seed: int) -> dict[str, torch.Tensor]:
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
    corner = torch.rand(6, 2) * (SIDE - 60)
    gts = torch.cat([corner, corner + 12 + 60 * torch.rand(6, 2)], dim=-1)
    boxes = torch.cat([center - half, center + half], dim=-1)
    return {
        "points": torch.cat([center, stride], dim=-1),
        "boxes": boxes,
        "gts": gts,
        "labels": torch.randint(0, CLASSES, (6,)),
        "ignored": gts[:1] + 9.5,
        "pred": boxes + 4 * torch.randn_like(boxes),
        "scores": torch.randn(len(center), CLASSES),
        "masks": torch.randn(len(center), 12, 12),
        "gt_masks": (torch.rand(6, 12, 12) < 0.4).float(),
        "flags": torch.rand(len(center)) < 0.5,
        "jitter": 0.5 + torch.rand(len(center), 3, 4),
    }


def call(assigner: Any, kind: str, given: dict[str, torch.Tensor]) -> Any:
    """Call an assigner of either side, as heads do."""
    from mmengine.structures import InstanceData

    numbers = [size * size for size in SIZES]
    gt = InstanceData(bboxes=given["gts"].clone(), labels=given["labels"])
    ignored = InstanceData(bboxes=given["ignored"])
    boxes = InstanceData(priors=given["boxes"].clone())
    probabilities = given["scores"].sigmoid()
    pred = given["pred"].clone()
    if kind == "PointAssigner":
        return assigner.assign(InstanceData(priors=given["points"]), gt)
    if kind == "ATSSAssigner":
        boxes.bboxes, boxes.scores = pred, given["scores"]
        return assigner.assign(boxes, numbers, gt, ignored)
    if kind == "ApproxMaxIoUAssigner":
        boxes.approxs = given["boxes"][:, None, :] + given["jitter"]
        return assigner.assign(boxes, gt, ignored)
    if kind == "GridAssigner":
        boxes.responsible_flags = given["flags"]
        return assigner.assign(boxes, gt, ignored)
    if kind == "UniformAssigner":
        return assigner.assign(InstanceData(priors=given["boxes"], decoder_priors=pred), gt)
    if kind == "RegionAssigner":
        meta = {"img_shape": (int(SIDE), int(SIDE)), "pad_shape": (int(SIDE), int(SIDE))}
        maps = [torch.Size((size, size)) for size in SIZES]
        boxes.valid_flags = torch.ones(len(given["boxes"]), dtype=torch.bool)
        return assigner.assign(boxes, gt, meta, maps, numbers, 4, list(STRIDES))
    if kind in ("SimOTAAssigner", "DynamicSoftLabelAssigner", "TaskAlignedAssigner"):
        points = given["points"]
        four = torch.cat([points, points[:, 2:]], dim=-1)
        four = given["boxes"] if kind == "TaskAlignedAssigner" else four
        logits = kind == "DynamicSoftLabelAssigner"
        instances = InstanceData(
            priors=four, bboxes=pred, scores=given["scores"] if logits else probabilities
        )
        return assigner.assign(instances, gt)
    if kind == "HungarianAssigner":
        instances = InstanceData(bboxes=pred.clamp(0, SIDE), scores=given["scores"], masks=given["masks"])
        gt.masks = given["gt_masks"]
        gt.positive_maps = torch.nn.functional.one_hot(given["labels"], CLASSES).float()
        gt.text_token_mask = torch.ones(6, CLASSES, dtype=torch.bool)
        return assigner.assign(instances, gt, img_meta={"img_shape": (int(SIDE), int(SIDE))})
    return assigner.assign(boxes, gt, ignored)


def compare(theirs: Any, own: Any) -> list[str]:
    """Name what differs between two results; a result without a field has None there."""
    wrong = []
    for name in ("gt_inds", "labels"):
        a, b = getattr(theirs, name, None), getattr(own, name, None)
        if (a is None) != (b is None) or (a is not None and not torch.equal(a, b)):
            wrong.append(name)
    a, b = theirs.max_overlaps, own.max_overlaps
    if (a is None) != (b is None) or (a is not None and not torch.allclose(a, b, rtol=1e-5, atol=1e-6)):
        wrong.append("max_overlaps")
    return wrong


def held_together(sides: tuple[Any, Any], kind: str) -> dict[str, Any]:
    """Call both sides on all scenes, from the same seed, and say what differs."""
    wrong: set[str] = set()
    positives = 0
    for seed in range(SCENES):
        results = []
        for side in sides:
            torch.manual_seed(seed)
            results.append(call(side, kind, scene(seed)))
        wrong |= set(compare(*results))
        positives += int((results[0].gt_inds > 0).sum())
    verdict = "different" if wrong else "equal" if positives else "no positives"
    return {"verdict": verdict, "why": ", ".join(sorted(wrong)), "positives": positives}


def main() -> None:
    """Compare all, and print what was found."""
    import without_operations  # noqa: F401  MMCV's compiled operations are not there
    from mmdet.registry import TASK_UTILS
    from mmengine.registry import DefaultScope, Registry

    from assigncore.adapters import mmdet as ours

    DefaultScope.get_instance("configs", scope_name="mmdet")
    registry = Registry("task util", scope="assigncore")
    ours.register(registry)
    found, unread = published()
    answers = {}
    for key, (config, file) in found.items():
        kind = _name(config["type"]).rpartition(".")[2]
        try:
            sides = TASK_UTILS.build(dict(config)), registry.build({**config, "type": kind})
            if [type(side).__module__.partition(".")[0] for side in sides] != ["mmdet", "assigncore"]:
                raise TypeError(f"expected one of each side, got {[type(side).__module__ for side in sides]}")
            answers[key] = {"config": file, **held_together(sides, kind)}
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            answers[key] = {"config": file, "verdict": "failed", "why": why[:300]}
    print(json.dumps({"assigners": answers, "unread": unread}))


if __name__ == "__main__":
    main()

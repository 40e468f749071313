"""The models: how each is built, and one training step of it.

``models.py TIES CLIENT MODEL...`` trains models with their assigner and with ours, and with ties ``free`` or
``pinned``; it prints a JSON object a model. Without arguments it lists them, and the versions of what is
installed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from typing import Any

import detectors
import set_predictors
import torch
import wheels
from calls import ties_to_the_lowest_index
from pages import PARTS

STEPS = 2

CONFIGS_COMPARED = ("mmdet", "mmdet2", "mmyolo")
"""The frameworks whose configs' assigners are compared; of MMRotate the files alone are there."""

ULTRALYTICS = (
    "yolov8n", "yolov8n-p2", "yolov10n", "yolo11n", "yolo26n", "yolov8n-seg", "yolov8n-pose", "yolo26n-seg",
    "yolo26n-pose", "yolov8n-obb", "yolo26n-obb",
)  # fmt: skip
MMYOLO = (
    "yolov7/yolov7_tiny_syncbn_fast_8x16b-300e_coco", "yolov8/yolov8_n_syncbn_fast_8xb16-500e_coco",
    "yolox/yolox_tiny_fast_8xb8-300e_coco", "rtmdet/rtmdet_tiny_syncbn_fast_8xb32-300e_coco",
    "yolov6/yolov6_n_syncbn_fast_8xb32-400e_coco", "ppyoloe/ppyoloe_plus_s_fast_8xb8-80e_coco",
)  # fmt: skip

TORCHVISION = (
    "fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn", "maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2",
    "keypointrcnn_resnet50_fpn", "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2", "ssd300_vgg16",
    "ssdlite320_mobilenet_v3_large", "fcos_resnet50_fpn",
)  # fmt: skip

Step = Callable[[], dict[str, torch.Tensor]]
"""Computes the losses, which add up to what is differentiated."""


def freeze_statistics(model: torch.nn.Module) -> None:
    """Let the running statistics of batch norms stay, and nothing be dropped by chance."""
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 0.0
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def ultralytics(name: str, ours: bool) -> tuple[torch.nn.Module, Step, Any]:
    """Build a model of Ultralytics and its step."""
    from ultralytics.cfg import get_cfg
    from ultralytics.nn import tasks

    from assigncore.adapters.ultralytics import use_in

    kind = name.partition("-")[2]
    classes = {"seg": "SegmentationModel", "pose": "PoseModel", "obb": "OBBModel"}
    model = getattr(tasks, classes.get(kind, "DetectionModel"))(f"{name}.yaml", verbose=False)
    model.args = get_cfg()
    model.train()
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(6, 4, generator=generator) * 0.3 + 0.2
    batch = {
        "img": torch.rand(2, 3, 128, 128, generator=generator),
        "batch_idx": torch.tensor([0, 0, 0, 1, 1, 1.0]),
        "cls": torch.randint(0, 3, (6, 1), generator=generator).float(),
        "bboxes": boxes,
    }
    if kind == "seg":
        batch["masks"] = torch.randint(0, 4, (2, 32, 32), generator=generator).float()
        batch["sem_masks"] = torch.randint(0, 3, (2, 32, 32), generator=generator)
    if kind == "pose":
        batch["keypoints"] = torch.rand(6, 17, 3, generator=generator)
        batch["cls"] *= 0
    if kind == "obb":
        batch["bboxes"] = torch.cat([boxes, torch.rand(6, 1, generator=generator)], dim=1)
    switched = use_in(model) if ours else None

    def step() -> dict[str, torch.Tensor]:
        parts = model.loss({key: x.clone() for key, x in batch.items()})[0]
        return {str(number): part for number, part in enumerate(parts.reshape(-1))}

    return model, step, switched


def transformers(name: str, ours: bool) -> tuple[torch.nn.Module, Step, Any]:
    """Build a small model of transformers and its step."""
    import transformers as framework

    from assigncore.adapters.transformers import use_in

    model = set_predictors.build(name, framework)
    switched = use_in(model) if ours else None
    given = set_predictors.inputs(name)

    def step() -> dict[str, torch.Tensor]:
        return {"loss": model(**given).loss.sum()}

    return model, step, switched


def torchvision(name: str, ours: bool) -> tuple[torch.nn.Module, Step, Any]:
    """Build a detector of torchvision and its step."""
    from torchvision.models import detection

    from assigncore.adapters.torchvision import use_in

    small = {} if name.startswith("ssd") else {"min_size": 160, "max_size": 160}
    if "rcnn" in name:
        small |= {
            "rpn_pre_nms_top_n_train": 200,
            "rpn_post_nms_top_n_train": 100,
            "box_batch_size_per_image": 64,
        }
    model = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=7, **small)
    model.train()
    generator = torch.Generator().manual_seed(0)
    pixels = [torch.rand(3, 160, 160, generator=generator) for _ in range(2)]
    targets = []
    for count in (3, 5):
        low = torch.rand(count, 2, generator=generator) * 90
        boxes = torch.cat([low, low + 12 + torch.rand(count, 2, generator=generator) * 50], dim=1)
        marks = low[:, None] + 10 * torch.rand(count, 17, 2, generator=generator)
        targets.append(
            {
                "boxes": boxes,
                "labels": torch.randint(1, 7, (count,), generator=generator),
                "masks": (torch.rand(count, 160, 160, generator=generator) < 0.5).byte(),
                "keypoints": torch.cat([marks, torch.ones(count, 17, 1)], dim=-1),
            }
        )
    switched = use_in(model) if ours else None

    def step() -> dict[str, torch.Tensor]:
        losses: dict[str, torch.Tensor] = model(pixels, [dict(target) for target in targets])
        return losses

    return model, step, switched


def mmdet(name: str, ours: bool) -> tuple[torch.nn.Module, Step, Any]:
    """Build a detector of MMDetection and its step."""
    from assigncore.adapters.switching import Switched

    if ours:
        import_module("assigncore.adapters.mmdet.in_mmdet")
    model, step = detectors.build(detectors.config_of(name), detectors.SIDES.get(name, detectors.SIDE))
    return model, step, Switched(tuple(detectors.own_assigners(model))) if ours else None


def mmyolo(name: str, ours: bool) -> tuple[torch.nn.Module, Step, Any]:
    """Build a model from a config of MMYOLO and its step."""
    from mmengine.config import Config

    switched = import_module("assigncore.adapters.in_mmyolo").switched if ours else None
    return *mmyolo_of(Config.fromfile(str(wheels.CONFIGS["mmyolo"] / f"{name}.py"))), switched


def mmyolo_of(config: Any) -> tuple[torch.nn.Module, Step]:
    """Build the model of a config of MMYOLO's and its step."""
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import init_default_scope
    from mmyolo.registry import MODELS

    init_default_scope("mmyolo")
    MMLogger.get_instance("mmengine", log_level="ERROR")
    config.model.backbone.init_cfg = None  # No weights are downloaded.
    model = MODELS.build(config.model)
    model.init_weights()
    model.train()
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(6, 2, generator=generator) * 90
    boxes = torch.cat([low, low + torch.rand(6, 2, generator=generator) * 60 + 10], dim=1).clamp(max=159)
    image = torch.tensor([0, 0, 0, 1, 1, 1.0])[:, None]
    rows = torch.cat([image, torch.randint(0, 20, (6, 1), generator=generator).float(), boxes], dim=1)
    pixels = torch.rand(2, 3, 160, 160, generator=generator)

    # The first step as in a training's first epoch, the second as in a late one: some heads change assigners.
    epochs = iter((0, 100))

    def step() -> dict[str, torch.Tensor]:
        MessageHub.get_current_instance().update_info("epoch", next(epochs))
        # Some heads write to what they are given.
        given = {"bboxes_labels": rows.clone(), "img_metas": [{"batch_input_shape": (160, 160)}] * 2}
        return detectors.parts_of(model(pixels.clone(), given, mode="loss"))

    return model, step


CLIENTS: dict[str, tuple[Callable[..., Any], tuple[str, ...], tuple[str, ...]]] = {
    "ultralytics": (ultralytics, ULTRALYTICS, ("ultralytics.nn.tasks",)),
    "transformers": (transformers, set_predictors.NAMES, ("transformers", "transformers.loss.loss_utils")),
    "torchvision": (torchvision, TORCHVISION, ("torchvision.models.detection",)),
    "mmdet": (mmdet, detectors.NAMES, ("mmdet.models",)),
    "mmyolo": (mmyolo, MMYOLO, ("mmyolo.models",)),
}
"""What builds a model, the models, and what all of them import."""

LIMIT = 600
"""Seconds a model may take."""


def train_sides(client: str, name: str, ties: str) -> dict[str, Any]:
    """Train both sides at once, each in a process that has what this one has imported."""
    fork = multiprocessing.get_context("fork")
    ends = {}
    for side in ("theirs", "ours"):
        ends[side], far = fork.Pipe(duplex=False)
        fork.Process(target=answer, args=(far, client, name, side, ties), daemon=True).start()
        far.close()
    found = {}
    for side, end in ends.items():
        try:
            found[side] = end.recv() if end.poll(LIMIT) else {"error": f"no answer within {LIMIT} s"}
        except EOFError:
            found[side] = {"error": "the process ended without a word"}
    for process in multiprocessing.active_children():
        process.terminate()
    return found


def answer(end: Connection, *arguments: str) -> None:
    """Send what training gives, or its error."""
    os.dup2(2, 1)  # What a framework prints is no answer.
    try:
        end.send(train(*arguments))
    except Exception as error:
        traceback.print_exc()
        end.send({"error": f"{type(error).__name__}: {error}"[:300]})


def train(client: str, name: str, side: str, ties: str) -> dict[str, Any]:
    """Train a model for some steps, with their assigner or ours, with ties as they are or pinned."""
    with ties_to_the_lowest_index() if ties == "pinned" else nullcontext():
        torch.manual_seed(0)
        model, step, switched = CLIENTS[client][0](name, side == "ours")
        numbers = steps_of(model, step)
    left = {} if switched is None else dict(switched.left)
    replaced = [] if switched is None else list(switched.replaced)
    return {"numbers": numbers, "switched": replaced, "left": left}


def steps_of(model: torch.nn.Module, step: Step) -> list[list[float]]:
    """Train for some steps; give for each its losses and the norm of the gradients."""
    freeze_statistics(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    numbers = []
    for number in range(STEPS):
        torch.manual_seed(number)
        optimizer.zero_grad()
        losses = step()
        sum(losses.values()).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        numbers.append([*(float(loss) for loss in losses.values()), float(norm)])
        optimizer.step()
    return numbers


def _versions() -> dict[str, str]:
    found = {}
    for name in ("assigncore", "torch", "torchvision", "ultralytics", "transformers", "mmengine"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {**found, "mmdet": "3.3.0 and 2.28.2", "mmyolo": "0.6.0", "detr": "0.1.4", "detectron2-cdo": "0.5"}


def main(ties: str, client: str, *names: str) -> None:
    """Train models."""
    if client in wheels.FOLDERS:
        wheels.use(client)
    for module in CLIENTS[client][2]:
        import_module(module)
    for name in names:
        print(json.dumps({"model": name, **train_sides(client, name, ties)}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(*sys.argv[1:])
    else:
        listed = {name: list(models) for name, (_, models, _) in CLIENTS.items()}
        told = {
            "versions": _versions(),
            "models": listed,
            "pages": list(PARTS),
            "configs": list(CONFIGS_COMPARED),
        }
        print(json.dumps(told))

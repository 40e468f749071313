"""The models: how each is built, and one training step of it. ``models.py CLIENT MODEL SIDE`` trains one.

Without arguments it lists them, and the versions of what is installed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("YOLO_OFFLINE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import wheels

STEPS = 2

ULTRALYTICS = (
    "yolov8n", "yolov8n-p2", "yolov10n", "yolo11n", "yolo26n", "yolov8n-seg", "yolov8n-pose", "yolo26n-seg",
    "yolo26n-pose", "yolov8n-obb",
)  # fmt: skip
TRANSFORMERS = ("deformable_detr", "rt_detr", "d_fine", "mask2former", "conditional_detr")
MMYOLO = (
    "yolov7/yolov7_tiny_syncbn_fast_8x16b-300e_coco", "yolov8/yolov8_n_syncbn_fast_8xb16-500e_coco",
    "yolox/yolox_tiny_fast_8xb8-300e_coco", "rtmdet/rtmdet_tiny_syncbn_fast_8xb32-300e_coco",
    "yolov6/yolov6_n_syncbn_fast_8xb32-400e_coco", "ppyoloe/ppyoloe_plus_s_fast_8xb8-80e_coco",
)  # fmt: skip

Step = Callable[[], torch.Tensor]


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

    def step() -> torch.Tensor:
        loss: torch.Tensor = model.loss({key: x.clone() for key, x in batch.items()})[0].sum()
        return loss

    return model, step, switched


def transformers(name: str, ours: bool) -> tuple[torch.nn.Module, Step, Any]:
    """Build a small model of transformers and its step."""
    import transformers as framework

    from assigncore.adapters.transformers import use_in_transformers

    switched = use_in_transformers() if ours else None
    resnet = framework.ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 1, 1],
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    small = {"d_model": 64, "encoder_layers": 1, "decoder_layers": 2, "num_queries": 30, "num_labels": 5}
    no_hub = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
    if name == "deformable_detr":
        config = framework.DeformableDetrConfig(backbone_config=resnet, **no_hub, **small)
        model = framework.DeformableDetrForObjectDetection(config)
    elif name == "conditional_detr":
        config = framework.ConditionalDetrConfig(backbone_config=resnet, **no_hub, **small)
        model = framework.ConditionalDetrForObjectDetection(config)
    elif name == "rt_detr":
        model = framework.RTDetrForObjectDetection(framework.RTDetrConfig(num_labels=5, num_queries=30))
    elif name == "d_fine":
        model = framework.DFineForObjectDetection(framework.DFineConfig(num_labels=5, num_queries=30))
    else:
        swin = framework.SwinConfig(
            embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4],
            out_features=["stage1", "stage2", "stage3", "stage4"],
        )  # fmt: skip
        config = framework.Mask2FormerConfig(
            backbone_config=swin, num_labels=5, num_queries=20, hidden_dim=64, mask_feature_size=64,
            feature_size=64, encoder_layers=1, decoder_layers=2, num_attention_heads=4,
        )  # fmt: skip
        model = framework.Mask2FormerForUniversalSegmentation(config)
    model.train()
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(2, 3, 128, 128, generator=generator)
    counts = (3, 5)
    labels = [torch.randint(0, 5, (count,), generator=generator) for count in counts]
    if name == "mask2former":
        masks = [(torch.rand(count, 128, 128, generator=generator) < 0.3).float() for count in counts]
        given = {"mask_labels": masks, "class_labels": labels}
    else:
        boxes = [torch.rand(count, 4, generator=generator) * 0.3 + 0.2 for count in counts]
        given = {"labels": [{"class_labels": c, "boxes": b} for c, b in zip(labels, boxes, strict=True)]}

    def step() -> torch.Tensor:
        loss: torch.Tensor = model(pixel_values=pixels, **given).loss
        return loss

    return model, step, switched


def mmyolo(name: str, ours: bool) -> tuple[torch.nn.Module, Step, Any]:
    """Build a model from a config of MMYOLO and its step."""
    wheels.use("mmyolo")
    from mmengine.config import Config
    from mmengine.logging import MessageHub
    from mmengine.registry import init_default_scope

    if ours:
        from assigncore.adapters.in_mmyolo import switched
    else:
        import mmyolo.models  # noqa: F401

        switched = None
    from mmyolo.registry import MODELS

    init_default_scope("mmyolo")
    config = Config.fromfile(str(wheels.CONFIGS["mmyolo"] / f"{name}.py"))
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

    def step() -> torch.Tensor:
        MessageHub.get_current_instance().update_info("epoch", next(epochs))
        # Some heads write to what they are given.
        given = {"bboxes_labels": rows.clone(), "img_metas": [{"batch_input_shape": (160, 160)}] * 2}
        losses = model(pixels.clone(), given, mode="loss")
        total: torch.Tensor = sum(
            x.sum() if isinstance(x, torch.Tensor) else sum(y.sum() for y in x)
            for key, x in losses.items()
            if "loss" in key
        )
        return total

    return model, step, switched


CLIENTS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "ultralytics": (ultralytics, ULTRALYTICS),
    "transformers": (transformers, TRANSFORMERS),
    "mmyolo": (mmyolo, MMYOLO),
}


def train(client: str, name: str, side: str) -> dict[str, Any]:
    """Train a model for some steps; give each step's loss and the norm of its gradients."""
    torch.manual_seed(0)
    model, step, switched = CLIENTS[client][0](name, side == "ours")
    freeze_statistics(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    numbers = []
    for number in range(STEPS):
        torch.manual_seed(number)
        optimizer.zero_grad()
        loss = step()
        loss.backward()
        norms = [p.grad.norm() for p in model.parameters() if p.grad is not None]
        numbers += [float(loss), float(torch.stack(norms).norm())]
        optimizer.step()
    left = {} if switched is None else dict(switched.left)
    return {"numbers": numbers, "switched": [] if switched is None else list(switched.replaced), "left": left}


def _versions() -> dict[str, str]:
    found = {}
    for name in ("assigncore", "torch", "ultralytics", "transformers", "mmengine"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {**found, "mmdet": "3.3.0", "mmyolo": "0.6.0"}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(train(*sys.argv[1:4])))
    else:
        listed = {name: list(models) for name, (_, models) in CLIENTS.items()}
        print(json.dumps({"versions": _versions(), "models": listed, "configs": list(wheels.CONFIGS)}))

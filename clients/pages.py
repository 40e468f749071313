"""The pages of docs/coming_from, executed: their own lines, read from them, switch the real frameworks.

``pages.py PART`` runs one part in a process of its own and prints what it showed; without arguments the parts
are listed, each with the page it is of and the block it runs.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
import wheels

PAGES = wheels.HERE.parent / "docs" / "coming_from"
BLOCK = re.compile(r"^( *)```python\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`]+)`")

Part = Callable[[str], str]


def text_of(page: str) -> str:
    """Return a page."""
    return (PAGES / f"{page}.md").read_text(encoding="utf-8")


def blocks_of(page: str) -> list[str]:
    """Return the Python blocks of a page, those in lists too."""
    return [textwrap.dedent(block) for _, block in BLOCK.findall(text_of(page))]


def inline(page: str, needle: str) -> str:
    """Return the one piece of code within the lines of a page that holds some words."""
    lines = BLOCK.sub("", text_of(page))
    pieces = dict.fromkeys(code for code in INLINE.findall(lines) if needle in code)
    if len(pieces) != 1:
        raise LookupError(f"{page}: expected one piece of code with {needle}, found {len(pieces)}")
    return next(iter(pieces))


def same(theirs: list[list[float]], ours: list[list[float]], bound: float = 1e-4) -> str:
    """Say that the losses and norms of all steps agree, or raise."""
    pairs = [pair for step in zip(theirs, ours, strict=True) for pair in zip(*step, strict=True)]
    apart = max(abs(a - b) / max(abs(a), 1e-3) for a, b in pairs)
    if not apart <= bound:
        raise AssertionError(f"losses differ by {apart:.1e} from {theirs} to {ours}")
    return f"trains as before, losses and gradients within {apart:.1e}"


def trained(build: Callable[[], tuple[torch.nn.Module, Any]]) -> list[list[float]]:
    """Build a model and train it for two steps."""
    from models import steps_of

    torch.manual_seed(0)
    model, step = build()
    return steps_of(model, step)


def config_with(framework: str, base: str, code: str) -> Any:
    """Read a config of the framework's own with lines added to it, as MMEngine's runner would."""
    from mmengine.config import Config

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.py"
        file.write_text(f"_base_ = [{str(wheels.CONFIGS[framework] / base)!r}]\n{code}", encoding="utf-8")
        return Config.fromfile(str(file))


def switched_detector(code: str) -> str:
    """Train MMDetection's ATSS with its assigner, and again from a config that has some lines more."""
    import detectors

    base = "atss/atss_r50_fpn_1x_coco.py"
    theirs = trained(lambda: detectors.build(config_with("mmdet", base, "")))
    config = config_with("mmdet", base, code)
    model, _ = detectors.build(config)
    places = detectors.own_assigners(model)
    if places != ["bbox_head.assigner"]:
        raise AssertionError(f"expected the assigner of the head to be switched, got {places}")
    return same(theirs, trained(lambda: detectors.build(config)))


def mmdetection_config(code: str) -> str:
    """Run the config's line."""
    wheels.use("mmdet")
    return switched_detector(code)


def mmdetection_by_hand(code: str) -> str:
    """Run the call that the table has for MMDetection 3."""
    wheels.use("mmdet")
    import mmdet.models
    import mmdet.registry

    import assigncore.adapters.mmdet

    exec(code, {"assigncore": assigncore, "mmdet": mmdet})
    from mmdet.registry import TASK_UTILS

    kinds = [TASK_UTILS.get(name).__module__ for name in assigncore.adapters.mmdet.ASSIGNERS]
    if not all(kind.startswith("assigncore.") for kind in kinds):
        raise AssertionError(f"not all are switched: {kinds}")
    return f"{len(kinds)} assigners of the registry are ours"


def mmdetection_2(code: str) -> str:
    """Run the call that the table has for MMDetection 2, and import the module that it names."""
    wheels.use("mmdet2")
    from mmdet.core.bbox.builder import BBOX_ASSIGNERS
    from mmdet.core.bbox.iou_calculators.builder import IOU_CALCULATORS
    from mmdet.core.bbox.match_costs.builder import MATCH_COST

    import assigncore.adapters.mmdet2

    registries = {
        "BBOX_ASSIGNERS": BBOX_ASSIGNERS,
        "IOU_CALCULATORS": IOU_CALCULATORS,
        "MATCH_COST": MATCH_COST,
    }
    published = {name: dict(registry.module_dict) for name, registry in registries.items()}
    counts = []
    for line in (code, f"import {inline('mmdetection', 'adapters.mmdet2.in_mmdet')}"):
        for name, registry in registries.items():
            registry.module_dict.update(published[name])
        exec(line, {"assigncore": assigncore, **registries})
        kinds = [
            kind.__module__ for registry in registries.values() for kind in registry.module_dict.values()
        ]
        counts.append(sum(kind.startswith("assigncore.") for kind in kinds))
    if counts[0] != counts[1] or len(assigncore.adapters.mmdet2.ASSIGNERS) > counts[0]:
        raise AssertionError(f"expected all to be switched both ways, got {counts}")
    return f"{counts[0]} classes of its three registries are ours, by the call and by the import"


def mmyolo_name(code: str) -> str:
    """Name an assigner in full, in a config of YOLOv6."""
    return _switched_yolov6(code + "model = dict(train_cfg=dict(assigner=assigner))\n", "assigner")


def mmyolo_import(code: str) -> str:
    """Let the config's line switch all of MMYOLO."""
    return _switched_yolov6(code, "initial_assigner", "assigner")


def _switched_yolov6(code: str, *expected: str) -> str:
    wheels.use("mmyolo")
    import mmyolo.models  # noqa: F401  registers
    from models import mmyolo_of

    base = "yolov6/yolov6_n_syncbn_fast_8xb32-400e_coco.py"
    theirs = trained(lambda: mmyolo_of(config_with("mmyolo", base, "")))
    config = config_with("mmyolo", base, code)
    head = mmyolo_of(config)[0].bbox_head
    for name in expected:
        if not type(getattr(head, name)).__module__.startswith("assigncore."):
            raise AssertionError(f"{name} is not switched")
    return same(theirs, trained(lambda: mmyolo_of(config)))


def torchvision_use_in(code: str) -> str:
    """Let one call switch each kind of detector of torchvision."""
    from models import torchvision

    told = []
    for name in ("fasterrcnn_mobilenet_v3_large_320_fpn", "fcos_resnet50_fpn"):
        theirs = trained(lambda name=name: torchvision(name, False)[:2])
        torch.manual_seed(0)
        model, step, _ = torchvision(name, False)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, {"model": model})
        if "replaced: " not in printed.getvalue():
            raise AssertionError(f"printed {printed.getvalue()!r}")
        told.append(f"{name} {same(theirs, trained(lambda pair=(model, step): pair))}")
    return "; ".join(told)


def torchvision_matchers(code: str) -> str:
    """Assign to the matchers of three detectors."""
    from models import torchvision

    names = {
        "retinanet": "retinanet_resnet50_fpn",
        "faster_rcnn": "fasterrcnn_resnet50_fpn",
        "ssd": "ssd300_vgg16",
    }
    theirs, models, steps = {}, {}, {}
    for name, model in names.items():
        theirs[name] = trained(lambda model=model: torchvision(model, False)[:2])
        torch.manual_seed(0)
        models[name], steps[name], _ = torchvision(model, False)
    exec(code, models)
    told = []
    for name in names:
        matchers = [
            module.proposal_matcher
            for module in models[name].modules()
            if hasattr(module, "proposal_matcher")
        ]
        if not all(type(matcher).__module__.startswith("assigncore.") for matcher in matchers):
            raise AssertionError(f"{name}: not all is switched, but {matchers}")
        told.append(f"{name} " + same(theirs[name], trained(lambda name=name: (models[name], steps[name]))))
    return "; ".join(told)


def ultralytics_use_in(code: str) -> str:
    """Switch a model of Ultralytics, and take it back."""
    from models import ultralytics

    theirs = trained(lambda: ultralytics("yolov8n", False)[:2])
    torch.manual_seed(0)
    model, step, _ = ultralytics("yolov8n", False)
    printed = io.StringIO()
    names = {"model": model}
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    if not printed.getvalue().startswith("replaced: "):
        raise AssertionError(f"printed {printed.getvalue()!r}")
    told = same(theirs, trained(lambda: (model, step)))
    exec(inline("ultralytics", "undo()"), names)
    return told


def ultralytics_callback(code: str) -> str:
    """Train by Ultralytics' own trainer, with the callback that the page adds."""
    import cv2
    import numpy as np
    from ultralytics import YOLO

    from assigncore.adapters.ultralytics import use_in

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as printed:
        root = Path(folder)
        for kind in ("images", "labels"):
            (root / kind).mkdir()
        generator = np.random.default_rng(0)
        for number in range(4):
            pixels = generator.integers(0, 255, (64, 64, 3), dtype=np.uint8)
            cv2.imwrite(str(root / "images" / f"{number}.png"), pixels)
            (root / "labels" / f"{number}.txt").write_text("0 0.5 0.5 0.4 0.4\n1 0.3 0.3 0.3 0.2\n")
        data = root / "data.yaml"
        data.write_text(f"path: {root}\ntrain: images\nval: images\nnames: [a, b]\n")
        yolo = YOLO("yolov8n.yaml")
        exec(code, {"yolo": yolo, "use_in": use_in})
        settings = {"epochs": 1, "imgsz": 64, "batch": 2, "workers": 0, "device": "cpu", "project": folder}
        yolo.train(data=str(data), val=False, plots=False, amp=False, **settings)
        assigner = yolo.trainer.model.criterion.assigner
    if not type(assigner).__module__.startswith("assigncore."):
        raise AssertionError(f"trained with {type(assigner)}, printed {printed.getvalue()[-300:]!r}")
    return "Ultralytics' trainer trains an epoch with ours"


def detr_criterion(code: str) -> str:
    """Set the matcher of DETR's criterion, with the weights of its paper."""
    criterion, outputs, targets = _facebook_detr()
    theirs = criterion(outputs, targets)
    exec(code, {"criterion": criterion})
    ours = criterion(outputs, targets)
    if not type(criterion.matcher).__module__.startswith("assigncore."):
        raise AssertionError("the matcher is not switched")
    return "the criterion gives the same: " + _same_losses(theirs, ours)


def detr_layers(code: str) -> str:
    """Match all layers of DETR's decoder at once, as a criterion would."""
    from assigncore.adapters.detr import HungarianMatcher

    criterion, outputs, targets = _facebook_detr()
    layers = [outputs, *outputs["aux_outputs"]]
    theirs = [criterion.matcher(layer, targets) for layer in layers]
    names = {
        "self": SimpleNamespace(matcher=HungarianMatcher(1, 5, 2)),
        "outputs": outputs,
        "targets": targets,
    }
    exec(code, names)
    for one, other in zip(theirs, [names["last"], *names["others"]], strict=True):
        for pairs in zip(one, other, strict=True):
            if not all(torch.equal(a, b) for a, b in zip(*pairs, strict=True)):
                raise AssertionError(f"pairs differ: {pairs}")
    return f"the pairs of {len(layers)} layers are the published ones"


def _facebook_detr() -> tuple[Any, Any, Any]:
    """Build DETR as it was published, small, and let it predict for two images."""
    sys.path.insert(0, str(wheels.WHEELS / "detr"))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("models", "util", "datasets")]:
        del sys.modules[name]
    # Version 0.29 reads as 0.2 there.
    with mock.patch("torchvision.__version__", "0.9"):
        from models.backbone import Backbone, Joiner
        from models.detr import DETR, SetCriterion
        from models.matcher import HungarianMatcher
        from models.position_encoding import PositionEmbeddingSine
        from models.transformer import Transformer
        from util.misc import nested_tensor_from_tensor_list

    torch.manual_seed(0)
    # The main process downloads weights.
    with mock.patch("models.backbone.is_main_process", return_value=False):
        backbone = Joiner(Backbone("resnet18", True, False, False), PositionEmbeddingSine(32, normalize=True))
    backbone.num_channels = 512
    transformer = Transformer(64, 4, 1, 3, 128, 0.0, return_intermediate_dec=True)
    model = DETR(backbone, transformer, num_classes=7, num_queries=20, aux_loss=True)
    weights = {"loss_ce": 1, "loss_bbox": 5, "loss_giou": 2}
    criterion = SetCriterion(7, HungarianMatcher(1, 5, 2), weights, 0.1, ["labels", "boxes", "cardinality"])
    targets = [
        {"labels": torch.randint(0, 7, (count,)), "boxes": torch.rand(count, 4) * 0.3 + 0.2}
        for count in (3, 5)
    ]
    outputs = model(nested_tensor_from_tensor_list([torch.rand(3, 96, 96), torch.rand(3, 96, 128)]))
    return criterion, outputs, targets


def _same_losses(theirs: dict[str, torch.Tensor], ours: dict[str, torch.Tensor]) -> str:
    apart = max(abs(float(theirs[name]) - float(ours[name])) for name in theirs)
    if not apart <= 1e-5:
        raise AssertionError(f"losses differ by {apart:.1e}")
    return f"{len(theirs)} losses within {apart:.1e}"


def transformers_use_in(code: str) -> str:
    """Let one call switch a model of transformers."""
    from models import transformers
    from transformers import RTDetrConfig

    theirs = trained(lambda: transformers("rt_detr", False)[:2])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {"config": RTDetrConfig(num_labels=5, num_queries=30)})
    if "replaced: transformers.loss.loss_rt_detr.RTDetrHungarianMatcher" not in printed.getvalue():
        raise AssertionError(f"printed {printed.getvalue()!r}")
    # The name that the loss looks up is switched for every model.
    return "RT-DETR " + same(theirs, trained(lambda: transformers("rt_detr", False)[:2]))


SOURCE_ALONE = "Detectron2 is on no package index; its source has to be compiled"


def detectron2_import(code: str) -> str:
    """Import the matcher in place of Detectron2's, for the RPN and the heads of Faster R-CNN."""
    theirs = _detectron2("GeneralizedRCNN")
    names: dict[str, Any] = {}
    exec(code, names)
    ours = _detectron2("GeneralizedRCNN")
    for owner, name in (
        (ours[0].proposal_generator, "anchor_matcher"),
        (ours[0].roi_heads, "proposal_matcher"),
    ):
        old = getattr(owner, name)
        # The outer thresholds are infinite, and put there by the constructor.
        new = names["Matcher"](old.thresholds[1:-1], old.labels, old.allow_low_quality_matches)
        setattr(owner, name, new)
    return "Faster R-CNN " + same(trained(lambda: theirs), trained(lambda: ours))


def detectron2_attribute(code: str) -> str:
    """Set the attribute of a RetinaNet that is built."""
    theirs, (model, step) = _detectron2("RetinaNet"), _detectron2("RetinaNet")
    names = {"model": model}
    exec(blocks_of("detectron2")[0], names)
    exec(code, names)
    if not type(model.anchor_matcher).__module__.startswith("assigncore."):
        raise AssertionError("the matcher is not switched")
    return "RetinaNet " + same(trained(lambda: theirs), trained(lambda: (model, step)))


def _detectron2(architecture: str) -> tuple[torch.nn.Module, Any]:
    """Build a model of Detectron2's and its step; its compiled operations are names that fail."""
    import PIL.Image

    sys.path.insert(0, str(wheels.WHEELS / "detectron2_cdo-0.5"))
    # A name that later versions of Pillow have not.
    PIL.Image.LINEAR = PIL.Image.BILINEAR
    import detectron2
    from operations import Compiled

    detectron2._C = sys.modules["detectron2._C"] = Compiled("detectron2._C")
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model
    from detectron2.structures import Boxes, Instances
    from detectron2.utils.events import EventStorage

    config = get_cfg()
    first = 3 if architecture == "RetinaNet" else 2
    levels = [f"res{number}" for number in range(first, 6)]
    kind = "retinanet_resnet" if architecture == "RetinaNet" else "resnet"
    config.MODEL.update(META_ARCHITECTURE=architecture, DEVICE="cpu", WEIGHTS="", MASK_ON=False)
    config.MODEL.BACKBONE.NAME = f"build_{kind}_fpn_backbone"
    config.MODEL.RESNETS.update(OUT_FEATURES=levels, DEPTH=18, RES2_OUT_CHANNELS=64, NORM="BN")
    config.MODEL.FPN.IN_FEATURES = levels
    config.MODEL.ANCHOR_GENERATOR.SIZES = [[size] for size in (32, 64, 128, 256, 512)]
    config.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    config.MODEL.ROI_HEADS.update(
        NAME="StandardROIHeads", IN_FEATURES=["p2", "p3", "p4", "p5"], BATCH_SIZE_PER_IMAGE=64
    )
    config.MODEL.ROI_BOX_HEAD.update(NAME="FastRCNNConvFCHead", NUM_FC=2, POOLER_RESOLUTION=7)
    torch.manual_seed(0)
    model = build_model(config)
    model.train()
    images = []
    for count in (3, 5):
        low = torch.rand(count, 2) * 80
        boxes = torch.cat([low, low + 12 + torch.rand(count, 2) * 50], dim=1)
        classes = torch.randint(0, 7, (count,))
        instances = Instances((160, 160), gt_boxes=Boxes(boxes), gt_classes=classes)
        images.append({"image": torch.randint(0, 255, (3, 160, 160)).float(), "instances": instances})

    def step() -> dict[str, torch.Tensor]:
        with EventStorage(0):
            losses: dict[str, torch.Tensor] = model(images)
        return losses

    return model, step


VISDET = "visdet 2.28.4 imports viscv, which is on no package index"

PARTS: dict[str, tuple[str, int | str, Part | str]] = {
    "mmdetection config": ("mmdetection", 0, mmdetection_config),
    "mmdetection by hand": ("mmdetection", "(mmdet.registry", mmdetection_by_hand),
    "mmdetection 2": ("mmdetection", "(BBOX_ASSIGNERS", mmdetection_2),
    "visdet": (
        "mmdetection",
        "(visdet.registry",
        "visdet 2.28.4 imports viscv, which is on no package index",
    ),
    "mmyolo by name": ("mmyolo", 0, mmyolo_name),
    "mmyolo config": ("mmyolo", 1, mmyolo_import),
    "torchvision": ("torchvision", 0, torchvision_use_in),
    "torchvision matchers": ("torchvision", 1, torchvision_matchers),
    "ultralytics": ("ultralytics", 0, ultralytics_use_in),
    "ultralytics trainer": ("ultralytics", "yolo.add_callback", ultralytics_callback),
    "detr criterion": ("detr", 0, detr_criterion),
    "transformers": ("transformers", 0, transformers_use_in),
    "detr layers": ("detr", 1, detr_layers),
    "detectron2 import": ("detectron2", 0, detectron2_import),
    "detectron2 attribute": ("detectron2", 1, detectron2_attribute),
}
"""By name: the page; its block, or words that tell a piece of its code; what runs it, or why nothing does."""


def code_of(part: str) -> str:
    """Return the lines of a page that a part runs."""
    page, place, _ = PARTS[part]
    return blocks_of(page)[place] if isinstance(place, int) else inline(page, place)


def main(part: str) -> dict[str, str]:
    """Run a part."""
    page, _, run = PARTS[part]
    code = code_of(part)
    told = {"page": page, "code": code.strip().splitlines()[0]}
    if isinstance(run, str):
        return {**told, "verdict": "left", "why": run}
    return {**told, "verdict": "ran", "why": run(code)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1]) if len(sys.argv) > 1 else list(PARTS)))

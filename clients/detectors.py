"""Detectors from MMDetection's own config files, made small enough to train on a CPU within seconds."""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
import wheels

NAMES = (
    "atss/atss_r50_fpn_1x_coco",
    "carafe/mask-rcnn_r50_fpn-carafe_1x_coco",
    "cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco",
    "cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco",
    "conditional_detr/conditional-detr_r50_8xb2-50e_coco",
    "crowddet/crowddet-rcnn_r50_fpn_8xb2-30e_crowdhuman",
    "crowddet/crowddet-rcnn_refine_r50_fpn_8xb2-30e_crowdhuman",
    "dab_detr/dab-detr_r50_8xb2-50e_coco",
    "dcn/faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco",
    "dcnv2/faster-rcnn_r50-mdconv-c3-c5_fpn_1x_coco",
    "ddod/ddod_r50_fpn_1x_coco",
    "ddq/ddq-detr-4scale_r50_8xb2-12e_coco",
    "deformable_detr/deformable-detr_r50_16xb2-50e_coco",
    "deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco",
    "detectors/htc_r50-rfp_1x_coco",
    "detr/detr_r50_8xb2-150e_coco",
    "dino/dino-4scale_r50_8xb2-12e_coco",
    "double_heads/dh-faster-rcnn_r50_fpn_1x_coco",
    "dyhead/atss_r50_fpn_dyhead_1x_coco",
    "dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco",
    "efficientnet/retinanet_effb3_fpn_8xb4-crop896-1x_coco",
    "empirical_attention/faster-rcnn_r50-attn0010_fpn_1x_coco",
    "fast_rcnn/fast-rcnn_r50_fpn_1x_coco",
    "faster_rcnn/faster-rcnn_r50_fpn_1x_coco",
    "fpg/mask-rcnn_r50_fpg_crop640-50e_coco",
    "free_anchor/freeanchor_r50_fpn_1x_coco",
    "fsaf/fsaf_r50_fpn_1x_coco",
    "gcnet/mask-rcnn_r50-syncbn_fpn_1x_coco",
    "gfl/gfl_r50_fpn_1x_coco",
    "ghm/retinanet_r50_fpn_ghm-1x_coco",
    "gn+ws/mask-rcnn_r50_fpn_gn-ws-all_2x_coco",
    "grounding_dino/grounding_dino_r50_scratch_8xb2_1x_coco",
    "mm_grounding_dino/grounding_dino_swin-t_pretrain_obj365",
    "grid_rcnn/grid-rcnn_r50_fpn_gn-head_1x_coco",
    "groie/mask-rcnn_r50_fpn_groie_1x_coco",
    "guided_anchoring/ga-rpn_r50_fpn_1x_coco",
    "guided_anchoring/ga-faster-rcnn_r50-caffe_fpn_1x_coco",
    "guided_anchoring/ga-retinanet_r50-caffe_fpn_1x_coco",
    "hrnet/htc_hrnetv2p-w18_20e_coco",
    "htc/htc_r50_fpn_1x_coco",
    "lad/lad_r101-paa-r50_fpn_2xb8_coco_1x",
    "ld/ld_r50-gflv1-r101_fpn_1x_coco",
    "libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco",
    "libra_rcnn/libra-retinanet_r50_fpn_1x_coco",
    "mask2former/mask2former_r50_8xb2-lsj-50e_coco",
    "mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic",
    "mask_rcnn/mask-rcnn_r50_fpn_1x_coco",
    "maskformer/maskformer_r50_ms-16xb1-75e_coco",
    "ms_rcnn/ms-rcnn_r50_fpn_1x_coco",
    "nas_fcos/nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco",
    "nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco",
    "paa/paa_r50_fpn_1x_coco",
    "pafpn/faster-rcnn_r50_pafpn_1x_coco",
    "panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco",
    "pisa/mask-rcnn_r50_fpn_pisa_1x_coco",
    "pisa/retinanet-r50_fpn_pisa_1x_coco",
    "point_rend/point-rend_r50-caffe_fpn_ms-1x_coco",
    "pvt/retinanet_pvt-t_fpn_1x_coco",
    "queryinst/queryinst_r50_fpn_1x_coco",
    "regnet/faster-rcnn_regnetx-400MF_fpn_ms-3x_coco",
    "reppoints/reppoints-moment_r50_fpn_1x_coco",
    "reppoints/reppoints-bbox_r50_fpn-gn_head-gn-grid_1x_coco",
    "res2net/htc_res2net-101_fpn_20e_coco",
    "resnest/mask-rcnn_s50_fpn_syncbn-backbone+head_ms-1x_coco",
    "retinanet/retinanet_r50_fpn_1x_coco",
    "rpn/rpn_r50_fpn_1x_coco",
    "rtmdet/rtmdet_tiny_8xb32-300e_coco",
    "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco",
    "sabl/sabl-retinanet_r50_fpn_1x_coco",
    "sabl/sabl-faster-rcnn_r50_fpn_1x_coco",
    "scnet/scnet_r50_fpn_1x_coco",
    "seesaw_loss/mask-rcnn_r50_fpn_seesaw-loss_random-ms-2x_lvis-v1",
    "sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco",
    "ssd/ssd300_coco",
    "ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco",
    "swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco",
    "tood/tood_r50_fpn_1x_coco",
    "tood/tood_r50_fpn_anchor-based_1x_coco",
    "tridentnet/tridentnet_r50-caffe_1x_coco",
    "vfnet/vfnet_r50_fpn_1x_coco",
    "yolact/yolact_r50_1xb8-55e_coco",
    "yolo/yolov3_d53_8xb8-320-273e_coco",
    "yolof/yolof_r50-c5_8xb8-1x_coco",
    "yolox/yolox_tiny_8xb8-300e_coco",
)
"""A config of each method, and of each of its folders in which a method is trained by assigners."""

WORDS = ("tree", "house", "car")
"""The classes of models that read their names."""

SIDE = 128
SIDES = {"ssd/ssd300_coco": 300, "ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco": 320}
"""Models that take images of one size."""

AT_MOST = {"num_queries": 100, "num_proposals": 100, "nms_pre": 200, "max_per_img": 100}
"""Numbers that cost time, and of which a small image has fewer than some configs ask for."""

SAMPLES = 64
"""At most so many proposals of an image train the second stage."""


def simplify(node: Any) -> None:
    """Let a config need no download, no other process and little time."""
    if isinstance(node, dict):
        # An initialisation may be a list, of which downloads are a part.
        if _downloads(node.get("init_cfg")):
            node["init_cfg"] = None
        if node.get("type") in ("SyncBN", "MMSyncBN"):
            node["type"] = "BN"
        if "norm_eval" in node:
            # Without the statistics of a trained backbone its activations grow beyond all bounds.
            node["norm_eval"] = False
        node.pop("pretrained", None)
        node.pop("batch_augments", None)
        node.pop("teacher_ckpt", None)
        if "num_cp" in node:
            # Computing layers twice saves memory, and asks for a package.
            node["num_cp"] = 0
        for name, most in AT_MOST.items():
            if isinstance(node.get(name), int):
                node[name] = min(node[name], most)
        if str(node.get("type")).endswith("Sampler") and isinstance(node.get("num"), int):
            node["num"] = min(node["num"], SAMPLES)
        if "teacher_config" in node:
            name = node["teacher_config"].removeprefix("configs/")
            node["teacher_config"] = str(wheels.CONFIGS["mmdet"] / name)
        for value in node.values():
            simplify(value)
    elif isinstance(node, list | tuple):
        for value in node:
            simplify(value)


def speak() -> None:
    """Register a small model of language for BERT's, whose weights are a download: a vector for each word."""
    import mmdet.models  # noqa: F401  registers its own, which is replaced
    from mmdet.registry import MODELS
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    class Words(torch.nn.Module):
        pad_to_max = False

        def __init__(self, **_: Any) -> None:
            super().__init__()
            vocabulary = {word: number for number, word in enumerate(("[PAD]", ".", *WORDS))}
            tokens = Tokenizer(models.WordLevel(vocabulary, "[PAD]"))
            tokens.pre_tokenizer = pre_tokenizers.Whitespace()
            self.tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="[PAD]")
            self.vectors = torch.nn.Embedding(len(vocabulary), 32)
            self.language_backbone = torch.nn.Module()
            self.language_backbone.body = torch.nn.Module()
            self.language_backbone.body.language_dim = 32

        def forward(self, captions: list[str]) -> dict[str, torch.Tensor]:
            tokens = self.tokenizer(captions, padding="longest", return_tensors="pt")
            mask = tokens.attention_mask.bool()
            embedded = self.vectors(tokens.input_ids)
            return {
                "embedded": embedded,
                "hidden": embedded,
                "masks": mask[:, None] & mask[:, :, None],
                "position_ids": torch.arange(mask.shape[1]).expand(mask.shape),
                "text_token_mask": mask,
            }

    MODELS.register_module("BertModel", force=True, module=Words)


def _downloads(init: Any) -> bool:
    each = init if isinstance(init, list | tuple) else [init]
    return any(isinstance(one, dict) and "checkpoint" in one for one in each)


def classes_of(node: Any) -> list[int]:
    """Return the numbers of classes in a config."""
    if isinstance(node, dict):
        own = node.get("num_classes")
        return [own] * isinstance(own, int) + [n for value in node.values() for n in classes_of(value)]
    if isinstance(node, list | tuple):
        return [n for value in node for n in classes_of(value)]
    return []


def images(side: int, classes: int, masks_too: bool) -> dict[str, list[Any]]:
    """Make two images with boxes, classes of pixels and proposals, as a pipeline would pack them."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData, PixelData

    generator = torch.Generator().manual_seed(0)
    samples = []
    for count in (3, 5):
        low = torch.rand(count, 2, generator=generator) * side * 0.6
        size = side * (0.1 + 0.3 * torch.rand(count, 2, generator=generator))
        boxes = torch.cat([low, low + size], dim=-1)
        sample = DetDataSample(
            metainfo={
                "img_shape": (side, side),
                "ori_shape": (side, side),
                "pad_shape": (side, side),
                "scale_factor": (1.0, 1.0),
                "flip": False,
                "text": WORDS,
                "custom_entities": True,
            }
        )
        masks = np.zeros((count, side, side), dtype=np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
            mask[y1:y2, x1:x2] = 1
        labels = torch.randint(0, classes, (count,), generator=generator)
        sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
        if masks_too:
            sample.gt_instances.masks = BitmapMasks(masks, side, side)
        sample.ignored_instances = InstanceData(bboxes=boxes[:1] + 7.5)
        near = boxes.repeat(10, 1) + 8 * torch.randn(10 * count, 4, generator=generator)
        sample.proposals = InstanceData(bboxes=near, scores=torch.ones(len(near)))
        things = torch.full((1, side, side), classes)
        sample.gt_sem_seg = PixelData(sem_seg=things)
        samples.append(sample)
    pixels = torch.randint(0, 255, (2, 3, side, side), generator=generator, dtype=torch.uint8)
    return {"inputs": list(pixels), "data_samples": samples}


def own_assigners(model: torch.nn.Module) -> list[str]:
    """Name the places of a model that have a drop-in."""
    found = []
    for place, module in model.named_modules():
        for name, value in vars(module).items():
            each = value if isinstance(value, list | tuple) else [value]
            if any(type(one).__module__.startswith("assigncore.") for one in each):
                found.append(f"{place}.{name}")
    return found


def parts_of(losses: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the losses as OpenMMLab's trainers read them: a list is a sum, not all entries are losses."""
    return {
        name: sum(x.sum() for x in (value if isinstance(value, list | tuple) else [value]))
        for name, value in losses.items()
        if "loss" in name
    }


def config_of(name: str) -> Any:
    """Return a config of MMDetection's, without what it imports besides."""
    from mmengine.config import Config

    return Config.fromfile(str(wheels.CONFIGS["mmdet"] / f"{name}.py"), import_custom_modules=False)


def build(config: Any, side: int = SIDE) -> tuple[torch.nn.Module, Callable[[], dict[str, torch.Tensor]]]:
    """Build the detector of a config, and what trains it for a step."""
    from mmdet.registry import MODELS
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    MMLogger.get_instance("mmengine", log_level="ERROR")
    random.seed(0)
    np.random.seed(0)
    simplify(config.model)
    speak()
    model = MODELS.build(config.model)
    model.init_weights()
    for module in model.modules():
        if type(module).__name__ == "TridentConv":
            # Its weight is memory as it was found until a checkpoint is loaded, and differs in each process.
            torch.nn.init.normal_(module.weight, std=0.01)
    model.train()
    # Some assigners read the masks of boxes, if there are any, in the form that a head of masks gives them.
    counts = classes_of(config.model) + [len(WORDS)] * ("language_model" in config.model)
    data = images(side, min(counts, default=1), "mask" in str(config.model).lower())

    # The first step as in a training's first epoch, the second as in a late one: some heads change assigners.
    epochs = iter((0, 100))

    def step() -> dict[str, torch.Tensor]:
        MessageHub.get_current_instance().update_info("epoch", next(epochs))
        return parts_of(model(**model.data_preprocessor(deepcopy(data), training=True), mode="loss"))

    return model, step

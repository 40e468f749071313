"""Small models of transformers with random weights: every one whose loss matches queries with targets.

But VidEoMT, whose model of this version refuses to be trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["NAMES", "build", "inputs"]

SIDE = 128
"""Pixels of an image along either axis."""

NO_HUB = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
SMALL = {"encoder_layers": 1, "decoder_layers": 2, "num_labels": 5, "auxiliary_loss": True}
VIT = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": SIDE, "patch_size": 16,
    "num_queries": 20, "num_blocks": 1, "num_labels": 5, "num_upscale_blocks": 1,
}  # fmt: skip
MASKS = {"num_labels": 5, "num_queries": 20, "hidden_dim": 64, "num_attention_heads": 4}
TOKENS = [[101, 3000, 1012, 3001, 3002, 1012, 3003, 1012, 102]] * 2
"""A caption of three phrases, which are the classes, as BERT spells it."""


def _resnet(framework: Any, *stages: int) -> Any:
    return framework.ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 1, 1],
        out_features=[f"stage{stage}" for stage in stages],
    )  # fmt: skip


def _swin(framework: Any, *stages: int) -> Any:
    return framework.SwinConfig(
        embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4],
        out_features=[f"stage{stage}" for stage in stages],
    )  # fmt: skip


def _detr(name: str, *stages: int, task: str = "ObjectDetection") -> Callable[[Any], torch.nn.Module]:
    """Build a descendant of DETR on a small ResNet."""

    def make(framework: Any) -> torch.nn.Module:
        config = getattr(framework, f"{name}Config")(
            backbone_config=_resnet(framework, *(stages or (4,))),
            **NO_HUB,
            **SMALL,
            d_model=64,
            num_queries=30,
        )
        model: torch.nn.Module = getattr(framework, f"{name}For{task}")(config)
        return model

    return make


def _plain(name: str, task: str = "ObjectDetection", **knobs: Any) -> Callable[[Any], torch.nn.Module]:
    """Build a model by the knobs of its config."""

    def make(framework: Any) -> torch.nn.Module:
        config = getattr(framework, f"{name}Config")(**knobs)
        model: torch.nn.Module = getattr(framework, f"{name}For{task}")(config)
        return model

    return make


def _dab_detr(framework: Any) -> torch.nn.Module:
    config = framework.DabDetrConfig(
        backbone_config=_resnet(framework, 4), **NO_HUB, **SMALL, hidden_size=64, num_queries=30
    )
    model: torch.nn.Module = framework.DabDetrForObjectDetection(config)
    return model


def _grounded(name: str) -> Callable[[Any], torch.nn.Module]:
    """Build a detector of phrases."""

    def make(framework: Any) -> torch.nn.Module:
        text = framework.BertConfig(
            hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
        )
        config = getattr(framework, f"{name}Config")(
            backbone_config=_swin(framework, 2, 3, 4), text_config=text, **NO_HUB, d_model=64, num_queries=30,
            encoder_layers=1, decoder_layers=2, encoder_ffn_dim=64, decoder_ffn_dim=64, auxiliary_loss=True,
        )  # fmt: skip
        model: torch.nn.Module = getattr(framework, f"{name}ForObjectDetection")(config)
        return model

    return make


def _maskformer(framework: Any) -> torch.nn.Module:
    decoder = framework.DetrConfig(
        d_model=64, encoder_layers=1, decoder_layers=2, num_queries=20, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64,
        backbone_config=_resnet(framework, 4), **NO_HUB,
    )  # fmt: skip
    config = framework.MaskFormerConfig(
        backbone_config=_swin(framework, 1, 2, 3, 4), decoder_config=decoder, num_labels=5,
        fpn_feature_size=64, mask_feature_size=64, use_auxiliary_loss=True,
    )  # fmt: skip
    model: torch.nn.Module = framework.MaskFormerForInstanceSegmentation(config)
    return model


def _of_swin(name: str, **knobs: Any) -> Callable[[Any], torch.nn.Module]:
    """Build a segmenter on a small Swin."""

    def make(framework: Any) -> torch.nn.Module:
        config = getattr(framework, f"{name}Config")(
            backbone_config=_swin(framework, 1, 2, 3, 4), encoder_layers=1, decoder_layers=2, **MASKS, **knobs
        )
        model: torch.nn.Module = getattr(framework, f"{name}ForUniversalSegmentation")(config)
        return model

    return make


TEXT = {
    "is_training": True, "text_encoder_width": 64, "text_encoder_num_layers": 1,
    "text_encoder_vocab_size": 100, "text_encoder_context_length": 16, "text_encoder_n_ctx": 4,
    "task_seq_len": 16, "mask_dim": 64, "conv_dim": 64,
}  # fmt: skip
MODELS: dict[str, Callable[[Any], torch.nn.Module]] = {
    "detr": _detr("Detr"),
    "table_transformer": _detr("TableTransformer"),
    "yolos": _plain(
        "Yolos", hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        image_size=[SIDE, SIDE], num_detection_tokens=20, num_labels=5,
    ),
    "conditional_detr": _detr("ConditionalDetr"),
    "conditional_detr_segmentation": _detr("ConditionalDetr", 1, 2, 3, 4, task="Segmentation"),
    "deformable_detr": _detr("DeformableDetr", 2, 3, 4),
    "dab_detr": _dab_detr,
    "rt_detr": _plain("RTDetr", num_labels=5, num_queries=30),
    "rt_detr_v2": _plain("RTDetrV2", num_labels=5, num_queries=30),
    "d_fine": _plain("DFine", num_labels=5, num_queries=30),
    "deimv2": _plain("Deimv2", num_labels=5, num_queries=30),
    "lw_detr": _plain("LwDetr", num_labels=5, num_queries=20, group_detr=3, projector_scale_factors=[1.0]),
    "rf_detr": _plain("RfDetr", num_labels=5, num_queries=20, group_detr=3),
    "rf_detr_segmentation": _plain(
        "RfDetr", "InstanceSegmentation", num_labels=5, num_queries=20, group_detr=3
    ),
    "grounding_dino": _grounded("GroundingDino"),
    "mm_grounding_dino": _grounded("MMGroundingDino"),
    "maskformer": _maskformer,
    "mask2former": _of_swin("Mask2Former", mask_feature_size=64, feature_size=64),
    "oneformer": _of_swin("OneFormer", **TEXT),
    "eomt": _plain("Eomt", "UniversalSegmentation", **VIT),
    "eomt_dinov3": _plain("EomtDinov3", "UniversalSegmentation", intermediate_size=64, **VIT),
}  # fmt: skip
NAMES = tuple(MODELS)

OF_MASKS = ("maskformer", "mask2former", "oneformer", "eomt", "eomt_dinov3")
LARGER = {"lw_detr": 256, "rf_detr": 224, "rf_detr_segmentation": 224}
"""Models whose backbone asks for another size."""


def build(name: str, framework: Any) -> torch.nn.Module:
    """Build a model of `framework`, which is transformers."""
    return MODELS[name](framework).train()


def inputs(name: str) -> dict[str, Any]:
    """Return what the model is called with in training, two images of three and five objects."""
    generator = torch.Generator().manual_seed(0)
    counts, side = (3, 5), LARGER.get(name, SIDE)
    classes = 3 if name.endswith("grounding_dino") else 5
    pixels = torch.rand(2, 3, side, side, generator=generator)
    labels = [torch.randint(0, classes, (count,), generator=generator) for count in counts]
    masks = [(torch.rand(count, side, side, generator=generator) < 0.3).float() for count in counts]
    if name in OF_MASKS:
        given: dict[str, Any] = {"pixel_values": pixels, "mask_labels": masks, "class_labels": labels}
        if name == "maskformer":
            given["output_hidden_states"] = True
        if name == "oneformer":
            given["task_inputs"] = torch.randint(0, 100, (2, 16), generator=generator)
            given["text_inputs"] = torch.randint(0, 100, (2, 16, 16), generator=generator)
        return given
    boxes = [torch.rand(count, 4, generator=generator) * 0.3 + 0.2 for count in counts]
    targets = [{"class_labels": c, "boxes": b} for c, b in zip(labels, boxes, strict=True)]
    if "segmentation" in name:
        targets = [{**target, "masks": own} for target, own in zip(targets, masks, strict=True)]
    given = {"pixel_values": pixels, "labels": targets}
    if name.endswith("grounding_dino"):
        given["input_ids"] = torch.tensor(TOKENS)
    return given

"""Train a one-stage detector on anchors, as RetinaNet, ATSS or SSD do: choose by --assigner."""

from __future__ import annotations

from typing import Any

import shapes
import torch
import torch_parts as parts
from shapes import Batch
from torch import Tensor, nn
from torch.nn import functional

import assigncore
from assigncore.boxes import xyxy_to_cxcywh
from assigncore.priors import AnchorGenerator

ASSIGNERS: dict[str, dict[str, Any]] = {
    "max_iou": {"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4},
    "atss": {"type": "ATSSAssigner", "topk": 9},
    "torchvision": {
        "type": "Matcher",
        "thresholds": (0.4, 0.5),
        "labels": (0, -1, 1),
        "allow_low_quality_matches": True,
    },
    "ssd": {"type": "SSDMatcher", "threshold": 0.5},
}


class Detector(nn.Module):
    """A detector whose loss asks an assigner what each anchor learns."""

    anchors: Tensor

    def __init__(self, assigner: dict[str, Any]) -> None:
        super().__init__()
        generator = AnchorGenerator(
            strides=parts.STRIDES, ratios=(0.5, 1.0, 2.0), scales=(1.5, 2.2), center_offset=0.5
        )
        grid = generator.grid(parts.FEATMAP_SIZES, xp=torch)
        self.register_buffer("anchors", grid.priors)
        self.backbone = parts.Backbone()
        self.head = parts.DenseHead(generator.num_base_priors[0])
        self.assigner = assigncore.build_assigner(assigner)
        self.monitor = assigncore.Monitor(num_level_priors=grid.num_level_priors, class_names=shapes.CLASSES)
        levels = {"num_level_priors": grid.num_level_priors}
        self.further = levels if assigner["type"] == "ATSSAssigner" else {}

    def loss(self, batch: Batch) -> Tensor:
        """Assign the anchors of all images at once; nothing here depends on how many are positive."""
        logits, deltas = self.head(self.backbone(batch.images))
        result = self.assigner.assign(
            self.anchors,
            batch.gt_bboxes,
            gt_labels=batch.gt_labels,
            gt_valid=batch.gt_valid,
            **self.further,
        )
        self.monitor.update(
            result, gt_bboxes=batch.gt_bboxes, gt_labels=batch.gt_labels, gt_valid=batch.gt_valid
        )
        positive, counted = result.pos_mask, ~result.ignored_mask
        of_class = parts.focal_loss(logits, parts.one_hot(result.labels, positive)) * counted[..., None]
        targets = encode(self.anchors, parts.matched_rows(batch.gt_bboxes, result.matched_gt))
        of_box = functional.smooth_l1_loss(deltas, targets, reduction="none", beta=0.1) * positive[..., None]
        return (of_class.sum() + of_box.sum()) / positive.sum().clamp(min=1)


def encode(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Return where boxes are from anchors, relative to these, and how much larger."""
    anchors, boxes = xyxy_to_cxcywh(anchors), xyxy_to_cxcywh(boxes)
    shift = (boxes[..., :2] - anchors[..., :2]) / anchors[..., 2:]
    return torch.cat([shift, torch.log(boxes[..., 2:] / anchors[..., 2:])], dim=-1)


def train(assigner: str = "atss", steps: int = 150, seed: int = 0) -> list[float]:
    """Train with one of `ASSIGNERS`, and return the losses."""
    torch.manual_seed(seed)
    model = Detector(ASSIGNERS[assigner])
    return parts.train(model, model.loss, steps=steps, seed=seed, monitor=model.monitor)


if __name__ == "__main__":
    train(**parts.parse(__doc__, ASSIGNERS, "atss"))

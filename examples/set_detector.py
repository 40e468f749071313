"""Train a set predictor, as DETR does: queries that are matched with objects, by --assigner."""

from __future__ import annotations

from typing import Any

import shapes
import torch
import torch_parts as parts
from shapes import Batch
from torch import Tensor, nn
from torch.nn import functional

import assigncore
from assigncore.boxes import aligned_giou, cxcywh_to_xyxy

COSTS = (
    {"type": "FocalLossCost", "weight": 2.0},
    {"type": "BBoxL1Cost", "box_format": "xywh", "weight": 5.0},
    {"type": "IoUCost", "iou_mode": "giou", "weight": 2.0},
)

ASSIGNERS: dict[str, dict[str, Any]] = {
    "hungarian": {"type": "HungarianAssigner", "match_costs": COSTS},
    "one_to_many": {"type": "HungarianAssigner", "match_costs": COSTS, "repeat": 3},
    "greedy": {"type": "GreedyMatcher", "match_costs": COSTS},
}

WIDTH, LAYERS = parts.CHANNELS, 2
SIDE = 4
"""Queries begin as boxes on a grid of so many rows and columns."""


class Detector(nn.Module):
    """A detector whose loss matches the queries of all decoder layers in one call."""

    def __init__(self, assigner: dict[str, Any]) -> None:
        super().__init__()
        self.backbone = parts.Backbone()
        cells = parts.FEATMAP_SIZES[0][0] * parts.FEATMAP_SIZES[0][1]
        self.places = nn.Parameter(torch.randn(cells, WIDTH) * 0.5)
        self.queries = nn.Parameter(torch.randn(SIDE * SIDE, WIDTH))
        self.beginnings = nn.Parameter(torch.logit(grid_of_boxes()))
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(WIDTH, 4, 2 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(LAYERS)
        )
        self.classes, self.boxes = nn.Linear(WIDTH, len(shapes.CLASSES)), nn.Linear(WIDTH, 4)
        nn.init.constant_(self.classes.bias, -2.0)
        self.assigner = assigncore.build_assigner(assigner)
        self.monitor = assigncore.Monitor(class_names=shapes.CLASSES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return class logits (L, B, Q, C) and boxes (L, B, Q, 4) in pixels."""
        features = self.backbone(images)[0]
        tokens = features.flatten(2).transpose(1, 2) + self.places
        around = functional.adaptive_avg_pool2d(features, SIDE).flatten(2).transpose(1, 2)
        x = self.queries + around
        states = []
        for layer in self.layers:
            x = layer(x, tokens)
            states.append(x)
        state = torch.stack(states)
        boxes = cxcywh_to_xyxy(torch.sigmoid(self.boxes(state) + self.beginnings) * shapes.SIZE)
        return self.classes(state), boxes

    def loss(self, batch: Batch) -> Tensor:
        """Match all layers and images at once; nothing here depends on how many queries are matched."""
        logits, boxes = self(batch.images)
        result = self.assigner.assign(
            batch.gt_bboxes,
            gt_labels=batch.gt_labels,
            gt_valid=batch.gt_valid,
            pred_bboxes=boxes,
            pred_logits=logits,
            image_shape=(shapes.SIZE, shapes.SIZE),
        )
        self.monitor.update(
            result,
            gt_bboxes=batch.gt_bboxes,
            gt_labels=batch.gt_labels,
            gt_valid=batch.gt_valid,
            image_ids=batch.ids,
        )
        positive = result.pos_mask
        of_class = parts.focal_loss(logits, parts.one_hot(result.labels, positive)).sum()
        matched = parts.matched_rows(batch.gt_bboxes.expand(LAYERS, -1, -1, -1), result.matched_gt)
        apart = ((boxes - matched).abs().sum(dim=-1) / shapes.SIZE * positive).sum()
        of_giou = ((1 - aligned_giou(boxes, matched)) * positive).sum()
        return (2 * of_class + 5 * apart + 2 * of_giou) / positive.sum().clamp(min=1)


def grid_of_boxes() -> Tensor:
    """Return boxes (Q, 4), centre and size relative to the picture."""
    steps = (torch.arange(SIDE) + 0.5) / SIDE
    center = torch.cartesian_prod(steps, steps).flip(-1)
    return torch.cat([center, torch.full_like(center, 0.35)], dim=-1)


def train(assigner: str = "hungarian", steps: int = 150, seed: int = 0) -> list[float]:
    """Train with one of `ASSIGNERS`, and return the losses."""
    torch.manual_seed(seed)
    model = Detector(ASSIGNERS[assigner])
    return parts.train(model, model.loss, steps=steps, seed=seed, monitor=model.monitor, repeat=True)


if __name__ == "__main__":
    train(**parts.parse(__doc__, ASSIGNERS, "hungarian"))

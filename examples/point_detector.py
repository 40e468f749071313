"""Train an anchor-free detector on points, as FCOS, TOOD, YOLOX or RTMDet do: choose by --assigner."""

from __future__ import annotations

from typing import Any

import torch
import torch_parts as parts
from shapes import Batch
from torch import Tensor, nn

import assigncore
from assigncore.boxes import aligned_giou
from assigncore.priors import PointGenerator
from assigncore.result import AssignResult

ASSIGNERS: dict[str, dict[str, Any]] = {
    "fcos": {
        "type": "FCOSAssigner",
        "regress_ranges": ((-1, 20), (20, float("inf"))),
        "center_sampling": True,
    },
    "task_aligned": {"type": "TaskAlignedAssigner", "topk": 9, "alpha": 1, "beta": 6},
    "sim_ota": {"type": "SimOTAAssigner", "center_radius": 2.5},
    "soft_label": {"type": "DynamicSoftLabelAssigner", "topk": 13},
    "sinkhorn": {"type": "SinkhornAssigner", "num_iters": 20},
}


class Detector(nn.Module):
    """A detector whose loss asks an assigner what each point learns."""

    points: Tensor

    def __init__(self, assigner: dict[str, Any]) -> None:
        super().__init__()
        self.grid = PointGenerator(strides=parts.STRIDES, stride_xy=True).grid(parts.FEATMAP_SIZES, xp=torch)
        self.register_buffer("points", self.grid.priors)
        self.backbone = parts.Backbone()
        self.head = parts.DenseHead(1)
        self.kind = assigner["type"]
        self.assigner = assigncore.build_assigner(assigner)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return class logits (B, N, C) and boxes (B, N, 4) in pixels."""
        logits, numbers = self.head(self.backbone(images))
        sides = torch.exp(numbers.clamp(max=4) + 2) * self.points[:, 2:3] / 8
        center = self.points[:, :2]
        return logits, torch.cat([center - sides[..., :2], center + sides[..., 2:]], dim=-1)

    def assign(self, logits: Tensor, boxes: Tensor, batch: Batch) -> AssignResult:
        """Give each assigner what its method reads."""
        points: Tensor = self.points
        inputs: dict[str, Any] = {"pred_bboxes": boxes, "pred_scores": torch.sigmoid(logits)}
        if self.kind == "FCOSAssigner":
            points, inputs = points[:, :3], {"num_level_priors": self.grid.num_level_priors}
        elif self.kind == "TaskAlignedAssigner":
            points = points[:, :3]
        elif self.kind == "DynamicSoftLabelAssigner":
            inputs = {"pred_bboxes": boxes, "pred_logits": logits}
        objects = {"gt_labels": batch.gt_labels, "gt_valid": batch.gt_valid}
        result: AssignResult = self.assigner.assign(points, batch.gt_bboxes, **objects, **inputs)
        return result

    def loss(self, batch: Batch) -> Tensor:
        """Assign the points of all images at once; nothing here depends on how many are positive."""
        logits, boxes = self(batch.images)
        result = self.assign(logits, boxes, batch)
        positive = result.pos_mask
        of_class = parts.focal_loss(logits, parts.one_hot(result.labels, positive))
        matched = parts.matched_rows(batch.gt_bboxes, result.matched_gt)
        of_box = (1 - aligned_giou(boxes, matched)) * positive
        return (of_class.sum() + of_box.sum()) / positive.sum().clamp(min=1)


def train(assigner: str = "task_aligned", steps: int = 150, seed: int = 0) -> list[float]:
    """Train with one of `ASSIGNERS`, and return the losses."""
    torch.manual_seed(seed)
    model = Detector(ASSIGNERS[assigner])
    return parts.train(model, model.loss, steps=steps, seed=seed)


if __name__ == "__main__":
    train(**parts.parse(__doc__, ASSIGNERS, "task_aligned"))

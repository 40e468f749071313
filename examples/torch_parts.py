"""What the PyTorch examples share: a backbone, two losses, and the training loop."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import shapes
import torch
from torch import Tensor, nn
from torch.nn import functional

from assigncore import Monitor

EPOCH = 25
"""Steps after which a training run tells what its assignments were like."""

STRIDES = (8, 16)
FEATMAP_SIZES = tuple((shapes.SIZE // stride, shapes.SIZE // stride) for stride in STRIDES)
CHANNELS = 48


class Backbone(nn.Module):
    """Convolutions to feature maps of strides 8 and 16."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, CHANNELS, CHANNELS)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(8, b), nn.ReLU())
            for a, b in pairwise(widths)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps (B, CHANNELS, h, w) of both levels."""
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps[-len(STRIDES) :]


class DenseHead(nn.Module):
    """For every prior of every cell, class logits and four numbers for a box."""

    def __init__(self, priors_per_cell: int) -> None:
        super().__init__()
        self.width = len(shapes.CLASSES) + 4
        self.layer = nn.Conv2d(CHANNELS, priors_per_cell * self.width, 3, padding=1)
        nn.init.constant_(self.layer.bias, -2.0)

    def forward(self, maps: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Return logits (B, N, C) and numbers (B, N, 4), in the order of prior grids."""
        rows = [self.layer(x).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, self.width)) for x in maps]
        logits, numbers = torch.cat(rows, dim=1).split([self.width - 4, 4], dim=-1)
        return logits, numbers


def focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the focal loss of each logit."""
    entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    wrong = (torch.sigmoid(logits) - targets).abs()
    return (0.25 * targets + 0.75 * (1 - targets)) * wrong**2 * entropy


def one_hot(labels: Tensor, positive: Tensor) -> Tensor:
    """Return what logits are trained towards, (..., C): the class of positive priors, else nothing."""
    each = functional.one_hot(labels.clamp(min=0), len(shapes.CLASSES))
    return (each * positive[..., None]).float()


def matched_rows(rows: Tensor, matched_gt: Tensor) -> Tensor:
    """Return for each prior the row of `rows` (B, G, 4) it is matched with, (B, N, 4); any for background."""
    index = matched_gt.clamp(min=0)[..., None]
    return rows.gather(-2, index.expand(*index.shape[:-1], rows.shape[-1]))


def train(
    model: nn.Module,
    loss_of: Callable[[shapes.Batch], Tensor],
    *,
    steps: int,
    seed: int,
    batch_size: int = 16,
    rate: float = 2e-3,
    monitor: Monitor | None = None,
    repeat: bool = False,
) -> list[float]:
    """Train on new pictures in each step, or with `repeat` the same in each epoch, and return the losses."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-4)
    losses = []
    for step in range(steps):
        of_epoch = step % EPOCH if repeat else step
        if of_epoch == 0:
            rng = np.random.default_rng(seed)
        drawn = shapes.draw(rng, batch_size, first=of_epoch * batch_size)
        batch = shapes.Batch(*(torch.from_numpy(x) for x in drawn))
        loss = loss_of(batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        losses.append(loss.item())
        if step % 20 == 0 or step == steps - 1:
            print(f"step {step:4d}  loss {losses[-1]:.4f}", flush=True)
        if monitor is not None and (step + 1) % EPOCH == 0:
            print(describe(monitor.end_epoch()), flush=True)
    return losses


def describe(report: dict[str, float]) -> str:
    """Say in one line what a monitor reports of an epoch; a logger would take it as it is."""
    parts = [
        f"epoch {report['epoch']}: {report['positives_per_object']:.1f} positives an object",
        f"{report['without_positives_share']:.1%} of objects without",
    ]
    if "instability" in report:
        parts.append(f"{report['instability']:.2f} predictions of a picture matched otherwise than before")
    return ", ".join(parts)


def parse(description: str | None, assigners: Iterable[str], default: str) -> dict[str, Any]:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--assigner", choices=sorted(assigners), default=default)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    return vars(parser.parse_args())

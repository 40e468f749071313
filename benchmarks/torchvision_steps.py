"""Time the assignment steps of torchvision's detectors, theirs and ours, in turns.

It needs torchvision, as the environment of `make clients` has it:

    OMP_NUM_THREADS=1 .venv-clients/bin/python benchmarks/torchvision_steps.py
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from scenes import draw_boxes
from timing import time_in_turns
from torch import Tensor

from assigncore.adapters import torchvision as ours
from assigncore.priors import retinanet_anchors

IMAGE, OBJECTS = (800, 1333), 20
STRIDES = (8, 16, 32, 64, 128)


def steps(images: int) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """Return the steps by title, as torchvision has them and as we have."""
    detection = importlib.import_module("torchvision.models.detection")
    utils = importlib.import_module("torchvision.models.detection._utils")
    box_iou = importlib.import_module("torchvision.ops").box_iou
    rng = np.random.default_rng(0)
    drawn, classes = draw_boxes(rng, IMAGE, images, OBJECTS)
    boxes, labels = [torch.from_numpy(own) for own in drawn], [torch.from_numpy(own) for own in classes]
    targets = [{"boxes": own} for own in boxes]
    anchors = [torch.from_numpy(retinanet_anchors(IMAGE).priors)] * images
    proposals = [torch.from_numpy(own) for own in draw_boxes(rng, IMAGE, images, 2000)[0]]
    squares, levels = _squares()
    head = SimpleNamespace(compute_loss=lambda *arguments: arguments[3])

    def module(high: float, low: float, low_quality: bool) -> Any:
        matcher = utils.Matcher(high, low, allow_low_quality_matches=low_quality)
        return SimpleNamespace(box_similarity=box_iou, proposal_matcher=matcher, head=head)

    rpn, heads, retina = module(0.7, 0.3, True), module(0.5, 0.5, False), module(0.5, 0.4, True)
    fcos = SimpleNamespace(center_sampling_radius=1.5, head=head)
    n, points = f"{len(anchors[0]):,}", [squares] * images
    both = {
        f"RPN, {n} anchors": (
            detection.rpn.RegionProposalNetwork.assign_targets_to_anchors,
            ours.assign_targets_to_anchors,
            (rpn, anchors, targets),
        ),
        "RoI heads, 2,000 proposals": (
            detection.roi_heads.RoIHeads.assign_targets_to_proposals,
            ours.assign_targets_to_proposals,
            (heads, proposals, boxes, labels),
        ),
        f"RetinaNet, {n} anchors": (
            detection.RetinaNet.compute_loss,
            ours.retinanet_loss,
            (retina, targets, {}, anchors),
        ),
        f"FCOS, {len(squares):,} points": (
            detection.FCOS.compute_loss,
            ours.fcos_loss,
            (fcos, targets, {}, points, levels),
        ),
    }
    return {
        title: (partial(theirs, *given), partial(here, *given))
        for title, (theirs, here, given) in both.items()
    }


def _squares() -> tuple[Tensor, list[int]]:
    """Lay one square a cell, as large as the stride, level by level."""
    levels = []
    for stride in STRIDES:
        y, x = (torch.arange(-(-side // stride)) * stride for side in IMAGE)
        down, right = torch.meshgrid(y, x, indexing="ij")
        low = torch.stack([right.reshape(-1), down.reshape(-1)], dim=-1).float()
        levels.append(torch.cat([low, low + stride], dim=-1))
    return torch.cat(levels), [len(level) for level in levels]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=8)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| step, {asked.images} images of {OBJECTS} objects | torchvision | here | ratio |")
    print("|---|---|---|---|")
    for title, (theirs, here) in steps(asked.images).items():
        theirs(), here()
        timed = time_in_turns({"theirs": theirs, "here": here}, "theirs", seconds=8)
        each = (f"{timed[side].median * 1e3:.1f} ms" for side in ("theirs", "here"))
        print(f"| {title} | {' | '.join(each)} | {timed['here'].speed_up:.1f} |", flush=True)


if __name__ == "__main__":
    main()

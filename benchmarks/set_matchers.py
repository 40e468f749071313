"""Time the matchings of one loss of transformers, with its matchers and with ours, in turns.

It needs transformers, as the environment of `make clients` has it, and one thread, so that products of
matrices do not wait for each other's:

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 .venv-clients/bin/python benchmarks/set_matchers.py

Both sides match all layers of a loss. Counted are copies of costs to the host, and calls of a solver:
SciPy's, or the core's, which takes a batch.
"""

from __future__ import annotations

import argparse
import importlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from timing import time_in_turns
from torch import Tensor

from assigncore.adapters import transformers as ours
from assigncore.assigners import HungarianAssigner

CLASSES, TOKENS, OBJECTS = 80, 256, 12


@dataclass(frozen=True)
class Loss:
    """A loss whose matchings are timed.

    Attributes
    ----------
    title : str
        What the table calls it.
    place : str
        Module and name of the published matcher.
    knobs : tuple
        Of its constructor.
    queries, layers, groups : int
        Predictions of a layer, layers, and groups of queries.
    """

    title: str
    place: str
    knobs: tuple[Any, ...] = (2, 5, 2)
    queries: int = 300
    layers: int = 6
    groups: int = 1


CONFIG = SimpleNamespace(
    matcher_class_cost=2, matcher_bbox_cost=5, matcher_giou_cost=2,
    use_focal_loss=True, matcher_alpha=0.25, matcher_gamma=2.0,
)  # fmt: skip
RT_DETR = "loss.loss_rt_detr.RTDetrHungarianMatcher"
LW_DETR = "loss.loss_lw_detr.LwDetrHungarianMatcher"
MASK2FORMER = "models.mask2former.modeling_mask2former.Mask2FormerHungarianMatcher"
MASKFORMER = "models.maskformer.modeling_maskformer.MaskFormerHungarianMatcher"
LOSSES = (
    Loss("DETR, 6 layers", "loss.loss_for_object_detection.HungarianMatcher", queries=100),
    Loss("RT-DETR, 6 layers and the encoder", RT_DETR, (CONFIG,), layers=7),
    Loss("LW-DETR, 3 layers, 13 groups", LW_DETR, queries=3900, layers=3, groups=13),
    Loss("Grounding DINO, 6 layers, 256 tokens", "loss.loss_grounding_dino.GroundingDinoHungarianMatcher",
         (1, 5, 2), queries=900),
    Loss("MaskFormer, 6 layers", MASKFORMER, (1.0, 20.0, 1.0), queries=100),
    Loss("Mask2Former, one layer", MASK2FORMER, (2.0, 5.0, 5.0), queries=100, layers=1),
)  # fmt: skip


def boxes(*shape: int) -> Tensor:
    """Draw boxes, centre and size relative to the image."""
    return torch.cat([torch.rand(*shape, 2) * 0.8 + 0.1, torch.rand(*shape, 2) * 0.3 + 0.02], dim=-1)


def matchings(loss: Loss, matcher: Any, images: int) -> Callable[[], object]:
    """Return what matches all layers of a loss."""
    torch.manual_seed(0)
    labels = [torch.randint(0, CLASSES, (OBJECTS,)) for _ in range(images)]
    if "models." in loss.place:
        masks = [(torch.rand(OBJECTS, 256, 256) < 0.2).float() for _ in range(images)]
        predicted = [
            (torch.randn(images, loss.queries, 64, 64), torch.randn(images, loss.queries, CLASSES + 1))
            for _ in range(loss.layers)
        ]
        layers: Sequence[Mapping[str, Any]] = [
            {"masks_queries_logits": of_masks, "class_queries_logits": of_classes}
            for of_masks, of_classes in predicted
        ]
        targets: Any = masks, labels

        def one(layer: Mapping[str, Any]) -> object:
            return matcher(*layer.values(), masks, labels)
    else:
        maps = tuple((torch.rand(CLASSES, TOKENS) < 0.02).float() for _ in range(images))
        for own in maps:
            own[:, 0] = 1
        width = TOKENS if "grounding" in loss.place else CLASSES
        layers = [
            {
                "logits": torch.randn(images, loss.queries, width),
                "pred_boxes": boxes(images, loss.queries),
                "label_maps": maps,
            }
            for _ in range(loss.layers)
        ]
        targets = [{"class_labels": own, "boxes": boxes(OBJECTS)} for own in labels]
        groups = () if loss.groups == 1 else (loss.groups,)

        def one(layer: Mapping[str, Any]) -> object:
            return matcher(layer, targets, *groups)

    def every() -> object:
        if not isinstance(matcher, ours.SetMatcher) or matcher.draws_points:
            return [one(layer) for layer in layers]
        with matcher.ahead(layers, targets, loss.groups):
            return [one(layer) for layer in layers]

    return every


def counted(run: Callable[[], object], published: Any) -> tuple[int, int]:
    """Count the copies of costs to the host, and the calls of the solver."""
    module = importlib.import_module(published.__module__)
    calls: Counter[str] = Counter()

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any, **named: Any) -> Any:
            calls[name] += 1
            return function(*arguments, **named)

        return count

    solve, copy, assign = module.linear_sum_assignment, Tensor.cpu, HungarianAssigner.assign
    with (
        mock.patch.object(module, "linear_sum_assignment", counting("solve", solve)),
        mock.patch.object(Tensor, "cpu", counting("copy", copy)),
        mock.patch.object(HungarianAssigner, "assign", counting("assign", assign)),
    ):
        run()
    # Ours copies costs and solves in one call of the core; its own use of `cpu` brings the answer back.
    return (calls["assign"], calls["assign"]) if calls["assign"] else (calls["copy"], calls["solve"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=8)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| loss, {asked.images} images of {OBJECTS} objects | published | here | ratio "
          "| transfers | solver calls |")  # fmt: skip
    print("|---|---|---|---|---|---|")
    for loss in LOSSES:
        module, _, name = f"transformers.{loss.place}".rpartition(".")
        published = getattr(importlib.import_module(module), name)
        sides = [cls(*loss.knobs) for cls in (published, ours.OURS[name])]
        runs = [matchings(loss, matcher, asked.images) for matcher in sides]
        counts = [counted(run, published) for run in runs]
        timed = time_in_turns(dict(zip(("published", "here"), runs, strict=True)), "published", seconds=8)
        theirs, here = (timed[side] for side in ("published", "here"))
        (copies, solves), (our_copies, our_solves) = counts
        told = f"{copies} to {our_copies} | {solves} to {our_solves}"
        each = f"{theirs.median * 1e3:.1f} ms | {here.median * 1e3:.1f} ms | {here.speed_up:.1f}"
        print(f"| {loss.title} | {each} | {told} |", flush=True)


if __name__ == "__main__":
    main()

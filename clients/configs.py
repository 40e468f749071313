"""Every assigner that a published config of a framework names, built and called, theirs beside ours.

``configs.py FRAMEWORK`` prints one JSON object: for each distinct assigner dict, where it was found and
whether the answers on random scenes are equal. It is run by ``run.py``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
import wheels
from calls import CALLS, CLASSES, answer, scene, ties_to_the_lowest_index
from published import distinct, name_of, read

SCENES = 3

LEFT = {
    "mmrotate.RBboxOverlaps2D": "rotated boxes; their overlaps are of another package, MMRotate",
}
"""Types in a dict that is not compared, and why."""

Build = Callable[[dict[str, Any]], Any]


def builders_of_mmdet() -> tuple[Build, Build]:
    """Return what builds a dict: MMDetection's registry, and one that has the drop-ins alone."""
    from mmdet.registry import TASK_UTILS
    from mmengine.registry import Registry, init_default_scope

    from assigncore.adapters import mmdet as ours

    init_default_scope("mmdet")
    registry = Registry("task util", scope="assigncore")
    ours.register(registry)
    return TASK_UTILS.build, registry.build


def builders_of_mmdet2() -> tuple[Build, Build]:
    """Return the same for MMDetection 2, which has registries of MMCV's."""
    from mmcv.utils import Registry
    from mmdet.core.bbox.builder import BBOX_ASSIGNERS

    from assigncore.adapters import mmdet2 as ours

    registry = Registry("bbox_assigner")
    ours.register(registry)
    return BBOX_ASSIGNERS.build, registry.build


def builders_of_mmyolo() -> tuple[Build, Build]:
    """Return the same for MMYOLO, whose configs name some of MMDetection's too."""
    from mmengine.registry import Registry, init_default_scope
    from mmyolo.registry import TASK_UTILS

    from assigncore.adapters import mmdet, mmyolo

    import_module("mmyolo.models")  # It registers.
    _read_metainfo_of_poses()
    init_default_scope("mmyolo")
    registry = Registry("task util", scope="assigncore")
    mmdet.register(registry)
    mmyolo.register(registry)
    return TASK_UTILS.build, registry.build


def _read_metainfo_of_poses() -> None:
    """Stand in for MMPose's reader of files that describe poses, which come with MMYOLO."""
    from mmengine.config import Config

    def read_metainfo(named: dict[str, str]) -> dict[str, Any]:
        told = Config.fromfile(str(wheels.CONFIGS["mmyolo"].parent / named["from_file"])).dataset_info
        return {**told, "sigmas": torch.tensor(told["sigmas"]).numpy()}

    import_module("mmyolo.models.losses.oks_loss").parse_pose_metainfo = read_metainfo


BUILDERS = {"mmdet": builders_of_mmdet, "mmdet2": builders_of_mmdet2, "mmyolo": builders_of_mmyolo}


def compare(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """Name what differs between two answers: floats by more than 1e-5, everything else at all."""
    wrong = sorted(set(theirs) ^ set(ours))
    for name in set(theirs) & set(ours):
        a, b = theirs[name], ours[name]
        if not (isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)):
            same = a == b
        elif a.is_floating_point() and a.shape == b.shape:
            same = torch.allclose(a, b.to(a.dtype), rtol=1e-5, atol=1e-6)
        else:
            same = torch.equal(a, b)
        if not same:
            wrong.append(name)
    return wrong


def positives_of(found: dict[str, Any]) -> int:
    """Count the positive priors of an answer."""
    for name in ("gt_inds", "fg_mask_pre_prior", "batch_pos_mask", "assign_metrics"):
        if name in found:
            return int((found[name] > 0).sum())
    raise KeyError(f"no positives among {', '.join(found)}")


def held_together(framework: str, sides: tuple[Any, Any], kind: str, classes: int) -> dict[str, Any]:
    """Call both sides on all scenes, from the same seed, and say what differs."""
    wrong: set[str] = set()
    positives = 0
    for seed in range(SCENES):
        given = scene(seed, classes)
        torch.manual_seed(seed)
        with ties_to_the_lowest_index():
            theirs = answer(CALLS[framework](sides[0], kind, given))
        torch.manual_seed(seed)
        ours = answer(CALLS[framework](sides[1], kind, given))
        wrong |= set(compare(theirs, ours))
        positives += positives_of(theirs)
    verdict = "different" if wrong else "equal" if positives else "no positives"
    return {"verdict": verdict, "why": ", ".join(sorted(wrong)), "positives": positives}


def main(framework: str) -> None:
    """Compare all, and print what was found."""
    wheels.use(framework)
    configs, unread = read(framework)
    found = distinct(configs, "Assigner")
    theirs, ours = BUILDERS[framework]()
    answers: dict[str, dict[str, Any]] = {}
    for key, (config, file) in found.items():
        kind = name_of(config["type"]).rpartition(".")[2]
        left = [why for name, why in LEFT.items() if f'"{name}"' in key]
        if left:
            answers[key] = {"config": file, "verdict": "left", "why": left[0]}
            continue
        try:
            sides = theirs(dict(config)), ours({**config, "type": kind})
            own = [type(side).__module__.partition(".")[0] == "assigncore" for side in sides]
            if own != [False, True]:
                raise TypeError(f"expected one of each side, got {[type(side) for side in sides]}")
            classes = config.get("num_classes", CLASSES)
            answers[key] = {"config": file, **held_together(framework, sides, kind, classes)}
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            answers[key] = {"config": file, "verdict": "failed", "why": why[:300]}
    print(json.dumps({"assigners": answers, "unread": unread}))


if __name__ == "__main__":
    main(sys.argv[1])

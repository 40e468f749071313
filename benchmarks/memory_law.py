"""Measure the memory law: the peak of every assigner on priors in order and in none.

    python benchmarks/memory_law.py [--priors 200000] [--gts 2000] [name ...]

Each call runs in a process of its own and prints one line: how far resident memory rose during the call, its
time, and whether it stayed within the budget. CenterRegionAssigner's result alone is two bytes a pair.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from typing import Any

import numpy as np
from peak_memory import rise_of

from assigncore.backend.memory import DEFAULT_MEMORY_BUDGET
from assigncore.registry import build_assigner

OVERLAP_RULE = {"pos_iou_thr": 0.5, "neg_iou_thr": 0.4}
KNOBS: dict[str, dict[str, Any]] = {
    "ApproxMaxIoUAssigner": OVERLAP_RULE,
    "AscendMaxIoUAssigner": OVERLAP_RULE,
    "ATSSAssigner": {"topk": 9},
    "CenterRegionAssigner": {"pos_scale": 0.2, "neg_scale": 0.5},
    "DynamicSoftLabelAssigner": {},
    "FCOSAssigner": {},
    "GridAssigner": OVERLAP_RULE,
    "Matcher": {"thresholds": (0.4, 0.7), "labels": (0, -1, 1)},
    "MaxIoUAssigner": OVERLAP_RULE,
    "MultiInstanceAssigner": {},
    "PointAssigner": {},
    "RFLAAssigner": {},
    "SimOTAAssigner": {},
    "SSDMatcher": {},
    "TaskAlignedAssigner": {"topk": 13},
    "UniformAssigner": {"pos_ignore_thr": 0.15, "neg_ignore_thr": 0.7},
}
"""Those that look at all pairs; the costs of a matching are a matrix by nature."""

SIDE = 4000
CLASSES = 2


def inputs_of(name: str, n_priors: int, n_gts: int, *, ordered: bool) -> dict[str, Any]:
    """Draw a scene of boxes of 8 to 200 pixels in a square of 4,000, with what the assigner takes."""
    rng = np.random.default_rng(0)
    centers = rng.uniform(0, SIDE, (n_priors, 2)).astype(np.float32)
    if ordered:
        centers = centers[np.lexsort((centers[:, 0], np.floor(centers[:, 1] / 32)))]
    half = rng.uniform(4, 100, (n_priors, 2)).astype(np.float32)
    boxes = np.concatenate([centers - half, centers + half], axis=-1)
    gt_centers = rng.uniform(0, SIDE, (n_gts, 2)).astype(np.float32)
    gt_half = rng.uniform(4, 100, (n_gts, 2)).astype(np.float32)
    given: dict[str, Any] = {
        "priors": boxes,
        "gt_bboxes": np.concatenate([gt_centers - gt_half, gt_centers + gt_half], axis=-1),
    }
    levels = [n_priors // 5] * 4
    levels.append(n_priors - sum(levels))
    strides = np.repeat(np.asarray([8, 16, 32, 64, 128], dtype=np.float32), levels)[:, None]
    points = np.concatenate([centers, strides], axis=-1)
    if name in {"PointAssigner", "FCOSAssigner", "TaskAlignedAssigner"}:
        given["priors"] = points
    if name in {"SimOTAAssigner", "DynamicSoftLabelAssigner"}:
        given["priors"] = np.concatenate([points, strides], axis=-1)
    if name in {"ATSSAssigner", "FCOSAssigner"}:
        given["num_level_priors"] = tuple(levels)
    if name in {"UniformAssigner", "TaskAlignedAssigner", "SimOTAAssigner", "DynamicSoftLabelAssigner"}:
        given["pred_bboxes"] = boxes
    if name in {"TaskAlignedAssigner", "SimOTAAssigner", "DynamicSoftLabelAssigner"}:
        scores = "pred_logits" if name == "DynamicSoftLabelAssigner" else "pred_scores"
        given[scores] = rng.random((n_priors, CLASSES)).astype(np.float32)
        given["gt_labels"] = rng.integers(0, CLASSES, n_gts)
    if name == "GridAssigner":
        given["responsible_flags"] = rng.random(n_priors) < 0.1
    if name == "ApproxMaxIoUAssigner":
        given["approxs"] = np.stack([boxes, boxes * np.float32(1.01)], axis=1)
    return given


def measure(name: str, n_priors: int, n_gts: int, *, ordered: bool) -> tuple[int, float]:
    """Return how far resident memory rises during a call, in bytes, and its seconds."""
    assigner = build_assigner({"type": name, **KNOBS[name]})
    assigner.assign(**inputs_of(name, 100, 2, ordered=True))
    given = inputs_of(name, n_priors, n_gts, ordered=ordered)
    began = time.perf_counter()
    rise = rise_of(lambda: assigner.assign(**given))
    return rise, time.perf_counter() - began


def main() -> int:
    """Run every call in a process of its own; exit 1 where one is over the budget."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", choices=[[], *sorted(KNOBS)], metavar="name")
    parser.add_argument("--priors", type=int, default=200_000)
    parser.add_argument("--gts", type=int, default=2_000)
    parser.add_argument("--one", choices=("ordered", "shuffled"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = options.names or sorted(KNOBS)
    if options.one:
        rise, seconds = measure(names[0], options.priors, options.gts, ordered=options.one == "ordered")
        verdict = "within" if rise <= DEFAULT_MEMORY_BUDGET else "OVER"
        print(f"{names[0]:26} {options.one:9} {rise / 2**20:7.0f} MB {seconds:7.1f} s  {verdict}", flush=True)
        return verdict == "OVER"
    over = 0
    for name in names:
        for order in ("ordered", "shuffled"):
            sizes = ["--priors", str(options.priors), "--gts", str(options.gts)]
            over += subprocess.run([sys.executable, __file__, name, *sizes, "--one", order]).returncode != 0
    return over > 0


if __name__ == "__main__":
    sys.exit(main())

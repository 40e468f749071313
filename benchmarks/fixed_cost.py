"""What a call costs whatever its size: every assigner over few priors, and how many Python calls it makes.

Times are of one thread, the fastest of several rounds; they say how much is left to gain, and are compared
within one run alone.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from assigncore import load_backend
from assigncore.conformance.capabilities import CAPABILITIES
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.recipes import recipe_of
from assigncore.conformance.scenes.scene import round_to

SCENE = "fpn-2026-0"
CALLS, ROUNDS = 50, 20


def fastest(run: Callable[[], Any]) -> float:
    """Return the microseconds of a call, in the fastest of several rounds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            run()
        times.append((time.perf_counter() - start) / CALLS)
    return min(times) * 1e6


def python_calls(run: Callable[[], Any]) -> int:
    """Count the function calls of one call."""
    profile = cProfile.Profile()
    profile.runcall(run)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def main() -> None:
    """Print a line for each assigner."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("assigners", nargs="*", help="default: all")
    parser.add_argument("--backend", choices=("numpy", "torch"), default="torch")
    parser.add_argument("--scene", default=SCENE, help=f"as the conformance suite names it; default {SCENE}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    backend, scene = load_backend(options.backend), draw_scene(options.scene)
    print(f"{options.backend}, {scene.n_priors} priors, {scene.n_gts} objects: microseconds, Python calls")
    for name in options.assigners or CAPABILITIES:
        recipe = recipe_of(name)
        statics = recipe.statics(scene)
        arrays = {key: backend.from_numpy(round_to(x, "float32")) for key, x in recipe.arrays(scene).items()}
        run = partial(recipe.assigner.assign, **arrays, **statics)
        run()
        print(f"{name:26} {fastest(run):7.0f} {python_calls(run):7,}")


if __name__ == "__main__":
    main()
